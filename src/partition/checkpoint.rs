//! The checkpoint files: where every partition of a log directory stands.

use std::cell::{Cell, RefCell};

use super::LogDirs;
use crate::calls::PartitionOffsets;
use crate::config::Broker;
use crate::log::{LogError, checkpoints};
use crate::metrics::log as lines;

/// Which files of each directory to write; what compaction has seen goes with the recovery points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub recovery_points: bool,
    pub high_watermarks: bool,
    pub log_starts: bool,
}

impl Wanted {
    pub const ALL: Self = Self { recovery_points: true, high_watermarks: true, log_starts: true };
    const NONE: Self = Self { recovery_points: false, high_watermarks: false, log_starts: false };
}

/// When each file is due next, in wall clock milliseconds.
#[derive(Debug, Default)]
pub struct CheckpointsDue {
    due: RefCell<[i64; 3]>,
    /// How often files were begun and written.
    begun: Cell<u64>,
    done: Cell<u64>,
}

impl CheckpointsDue {
    /// Topics have come or gone: all files are due.
    pub fn at_once(&self) {
        self.due.replace([0; 3]);
    }

    /// What is due at `now_ms`, and counts as written from now on.
    pub fn take(&self, now_ms: i64, settings: &Broker) -> Option<Wanted> {
        let every = [
            settings.log_flush_offset_checkpoint_interval_ms,
            settings.replica_high_watermark_checkpoint_interval_ms,
            settings.log_flush_start_offset_checkpoint_interval_ms,
        ];
        let mut due = self.due.borrow_mut();
        let mut found = [false; 3];
        for at in 0..3 {
            found[at] = now_ms >= due[at];
            if found[at] {
                due[at] = now_ms.saturating_add_unsigned(every[at]);
            }
        }
        let [recovery_points, high_watermarks, log_starts] = found;
        let wanted = Wanted { recovery_points, high_watermarks, log_starts };
        if wanted == Wanted::NONE {
            return None;
        }
        self.begun.set(self.begun.get() + 1);
        Some(wanted)
    }

    /// What [`take`](Self::take) named last is written.
    pub fn written(&self) {
        self.done.set(self.begun.get());
    }

    /// Rounds begun and done so far: one behind what was begun at some time says where everything stood then, or later.
    pub fn begun(&self) -> u64 {
        self.begun.get()
    }

    pub fn done(&self) -> u64 {
        self.done.get()
    }
}

/// Writes the files of every directory that works, as `LogManager`, `ReplicaManager` and `LogCleanerManager` do. One that
/// can't take them is taken offline. False: too many files were open, and some are as they were.
pub fn write_checkpoints(directories: &LogDirs, offsets: &[PartitionOffsets], wanted: Wanted) -> bool {
    let mut all = true;
    for (index, directory) in directories.online() {
        let here: Vec<&PartitionOffsets> = offsets.iter().filter(|one| one.directory == index).collect();
        if let Err(error) = write(&directory.path, &here, wanted) {
            if !error.blames_directory() {
                lines::error(format_args!("checkpoints: {error}"));
                all = false;
                continue;
            }
            directories.fail(index, format_args!("checkpoints: {error}"));
        }
    }
    all
}

fn write(path: &std::path::Path, here: &[&PartitionOffsets], wanted: Wanted) -> Result<(), LogError> {
    let entry = |one: &PartitionOffsets, offset: i64| checkpoints::Checkpoint {
        topic: one.topic.to_string(),
        partition: one.partition.index,
        offset,
    };
    if wanted.recovery_points {
        let entries: Vec<_> = here.iter().map(|one| entry(one, one.recovery_point)).collect();
        checkpoints::write(path, checkpoints::RECOVERY_POINT, &entries)?;
        let entries: Vec<_> = here.iter().filter_map(|one| Some(entry(one, one.cleaned?))).collect();
        checkpoints::write(path, checkpoints::CLEANER, &entries)?;
    }
    if wanted.high_watermarks {
        let entries: Vec<_> = here.iter().map(|one| entry(one, one.high_watermark)).collect();
        checkpoints::write(path, checkpoints::REPLICATION, &entries)?;
    }
    if wanted.log_starts {
        let entries: Vec<_> = here.iter().filter_map(|one| Some(entry(one, one.log_start?))).collect();
        checkpoints::write(path, checkpoints::LOG_START, &entries)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Properties, Surroundings, resolve};

    #[test]
    fn each_file_has_its_own_interval() {
        let text = "log.flush.offset.checkpoint.interval.ms=100\nlog.flush.start.offset.checkpoint.interval.ms=30\n\
                    replica.high.watermark.checkpoint.interval.ms=10\n";
        let properties = Properties::parse("f", text.as_bytes()).unwrap();
        let (settings, _) = resolve(&properties, &Surroundings::default()).unwrap();
        let due = CheckpointsDue::default();
        assert_eq!(due.take(1000, &settings), Some(Wanted::ALL));
        assert_eq!(due.take(1009, &settings), None);
        assert_eq!(due.take(1010, &settings), Some(Wanted { high_watermarks: true, ..Wanted::NONE }));
        assert_eq!(
            due.take(1030, &settings),
            Some(Wanted { high_watermarks: true, log_starts: true, recovery_points: false })
        );
        due.at_once();
        assert_eq!(due.take(1031, &settings), Some(Wanted::ALL));
    }
}
