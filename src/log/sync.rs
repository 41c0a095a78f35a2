//! Durability: which files have to be synced before the recovery point may move, and the clean close.
//!
//! The recovery point moves only behind an fsync of everything it vouches for: the bytes below it, the indexes of
//! segments wholly below it (those above are built anew after a crash), the snapshots at or below it (KAFKA-15046), and
//! the directory entries of all of these.

use std::path::Path;

use shards::File;

use super::error::LogError;
use super::replace::sync_dir;
use super::segment::Segment;
use super::{Log, snapshots};

/// Files to sync; then [`Log::synced`] with `offset`.
#[derive(Debug)]
pub struct SyncTargets {
    pub offset: i64,
    pub files: Vec<File>,
}

/// What was written beside the segments and not synced yet.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// Producer snapshots and their offsets.
    snapshots: Vec<(i64, File)>,
    /// The directory, if it has entries that are not durable, and the offset of the newest of them.
    directory: Option<(i64, File)>,
}

impl Unsynced {
    /// A segment or snapshot of this offset was made in `dir`.
    pub(super) fn directory_changed(&mut self, dir: &Path, offset: i64) -> Result<(), LogError> {
        let file = match self.directory.take() {
            Some((_, file)) => file,
            None => File::open_read(dir).map_err(LogError::io("open directory", dir))?,
        };
        self.directory = Some((offset, file));
        Ok(())
    }
}

impl Log {
    /// Files that hold anything not synced yet below the log end: of the active segment the `.log`, of others the indexes
    /// too, snapshots, and the directory.
    ///
    /// The shell syncs all of them, then calls [`synced`](Self::synced) with the log end offset of this moment. A failed
    /// sync is never tried again: the log has to go offline.
    pub fn sync_targets(&self) -> Vec<File> {
        let unsynced = self.segments().filter(|segment| segment.is_unsynced());
        unsynced.flat_map(Segment::open_files).chain(self.side_targets()).collect()
    }

    /// As [`sync_targets`](Self::sync_targets), but only for segments that take no more, to the offset where they end:
    /// what is due in the background after a roll. `None` when there is nothing to do.
    pub fn rolled_targets(&self) -> Option<SyncTargets> {
        let done = |segment: &&Segment| segment.written() == segment.size();
        let rolled: Vec<_> = self.closed.iter().take_while(done).filter(|segment| segment.is_unsynced()).collect();
        let offset = rolled.last()?.next_offset();
        let files = rolled.into_iter().flat_map(Segment::open_files).chain(self.side_targets()).collect();
        Some(SyncTargets { offset, files })
    }

    fn side_targets(&self) -> impl Iterator<Item = File> {
        let snapshots = self.unsynced.snapshots.iter().map(|(_, file)| file.clone());
        snapshots.chain(self.unsynced.directory.iter().map(|(_, file)| file.clone()))
    }

    /// Everything below `offset` was synced, by the files that were named when `offset` was the log end.
    pub fn synced(&mut self, offset: i64) {
        self.recovery_point = self.recovery_point.max(offset.min(self.log_end_offset()));
        for segment in self.closed.iter_mut().filter(|segment| segment.next_offset() <= offset) {
            segment.mark_synced();
            segment.rest();
            if !self.warm.holds(segment.base()) {
                segment.cool();
            }
        }
        // One made at exactly this offset may have come after the targets were named: it is named again.
        self.unsynced.snapshots.retain(|(snapshot, _)| *snapshot >= offset);
        self.unsynced.directory.take_if(|(newest, _)| *newest < offset);
        if offset >= self.next_offset() {
            self.active.mark_synced();
        }
    }

    /// Writes a producer snapshot as of before `offset` (see [`snapshots::encode`]); synced with the next targets.
    pub fn write_snapshot(&mut self, offset: i64, bytes: &[u8]) -> Result<(), LogError> {
        let file = snapshots::write(&self.dir, offset, bytes)?;
        self.unsynced.snapshots.push((offset, file));
        self.unsynced.directory_changed(&self.dir, offset)
    }

    /// Finishes all files and syncs them, on the spot. Returns the log end offset, which is now the recovery point.
    /// After this a start may be told that the stop was clean.
    ///
    /// Errors: `Failed` after a failed write: then the stop was not clean. `Busy` while appends are under way.
    pub fn close_clean(&mut self) -> Result<i64, LogError> {
        if self.appends.failed {
            return Err(LogError::Failed { dir: self.dir.to_path_buf() });
        }
        if !self.appends.is_idle() {
            return Err(LogError::Busy { dir: self.dir.to_path_buf() });
        }
        self.active.finish().map_err(LogError::io("finish index of", self.active.path()))?;
        for segment in self.segments().filter(|segment| segment.is_unsynced()) {
            for file in segment.sync_files(true).map_err(LogError::io("open segment", segment.path()))? {
                file.sync_all().map_err(LogError::io("sync", file.path()))?;
            }
            segment.mark_synced();
        }
        for (_, file) in self.unsynced.snapshots.drain(..) {
            file.sync_all().map_err(LogError::io("sync", file.path()))?;
        }
        self.unsynced.directory = None;
        sync_dir(&self.dir)?;
        self.recovery_point = self.log_end_offset();
        Ok(self.recovery_point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::topic::TopicConfig;
    use crate::log::testing::{TempDir, append, batch, create, stage};

    fn names(files: &[File]) -> Vec<String> {
        let mut names: Vec<String> =
            files.iter().map(|file| file.path().file_name().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn everything_the_recovery_point_vouches_for_is_named() {
        let dir = TempDir::new();
        let size = batch(&[1], 50).len() as u32;
        let config = TopicConfig { segment_bytes: 2 * size, ..TopicConfig::default() };
        let mut log = create(&dir.path().join("t-0"), &config);
        assert_eq!(names(&log.sync_targets()), ["t-0"], "the files of the first segment are new");
        append(&mut log, batch(&[1], 50));
        assert_eq!(names(&log.sync_targets()), ["00000000000000000000.log", "t-0"]);
        assert!(log.rolled_targets().is_none());
        log.synced(1);
        assert_eq!(log.recovery_point(), 1);
        assert_eq!(names(&log.sync_targets()), [""; 0]);

        append(&mut log, batch(&[1], 50));
        log.write_snapshot(2, &snapshots::encode(&[])).unwrap();
        assert_eq!(append(&mut log, batch(&[1], 50)).rolled, Some(2));
        let rolled = log.rolled_targets().unwrap();
        assert_eq!(rolled.offset, 2);
        let closed = ["00000000000000000000.index", "00000000000000000000.log", "00000000000000000000.timeindex"];
        let beside = ["00000000000000000002.snapshot.tmp", "t-0"];
        assert_eq!(names(&rolled.files), [&closed[..], &beside].concat());
        assert_eq!(names(&log.sync_targets()), [&closed[..], &["00000000000000000002.log"], &beside].concat());
        log.synced(rolled.offset);
        assert_eq!(log.recovery_point(), 2);
        assert!(log.rolled_targets().is_none());
        assert_eq!(names(&log.sync_targets()), [&["00000000000000000002.log"][..], &beside].concat());
        log.synced(3);
        assert_eq!((log.recovery_point(), log.sync_targets().len()), (3, 0));
    }

    #[test]
    fn what_came_after_the_targets_is_named_again() {
        let dir = TempDir::new();
        let mut log = create(&dir.path().join("t-0"), &TopicConfig::default());
        append(&mut log, batch(&[1], 50));
        let offset = log.log_end_offset();
        stage(&mut log, batch(&[1], 50), 0).unwrap();
        log.synced(offset);
        assert_eq!(log.recovery_point(), 1);
        assert_eq!(names(&log.sync_targets()), ["00000000000000000000.log"]);
        log.synced(i64::MAX);
        assert_eq!(log.recovery_point(), 1, "never above what is written");
    }

    #[test]
    fn after_a_clean_close_nothing_is_left_to_sync() {
        let dir = TempDir::new();
        let mut log = create(&dir.path().join("t-0"), &TopicConfig::default());
        append(&mut log, batch(&[1, 2], 50));
        log.write_snapshot(2, &snapshots::encode(&[])).unwrap();
        stage(&mut log, batch(&[1], 50), 0).unwrap();
        assert!(matches!(log.close_clean(), Err(LogError::Busy { .. })));
        log.flush(&shards::Files::inline(), 0);
        assert_eq!(log.close_clean().unwrap(), 3);
        assert_eq!((log.recovery_point(), log.sync_targets().len()), (3, 0));
    }
}
