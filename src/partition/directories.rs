//! The log directories of this node while it runs: what was found in each at start, and which of them have failed.
//!
//! A directory that fails is taken offline alone: its partitions answer with a storage error until the broker is started
//! again, those of the others go on (KIP-112). The broker ends where nothing useful is left: when the last directory is
//! gone, or the one with the metadata log (`ReplicaManager.handleLogDirFailure`).

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use wire::Uuid;

use crate::log::OpenHints;
use crate::log::directory::PartitionDirectory;
use crate::metrics::log as lines;

/// Offsets of the checkpoint files of one log directory, by topic and partition.
pub type Offsets = HashMap<(String, i32), i64>;

/// A log directory as it was found at start.
#[derive(Debug, Default)]
pub struct Directory {
    pub path: PathBuf,
    /// Zero where it could not be read.
    pub id: Uuid,
    pub holds_metadata: bool,
    /// The broker was stopped cleanly.
    pub clean: bool,
    pub recovery_points: Offsets,
    pub high_watermarks: Offsets,
    pub log_starts: Offsets,
    /// What compaction has seen.
    pub cleaned: Offsets,
    /// What deletions before the last stop left behind.
    pub deleted: Vec<PathBuf>,
    /// Replicas that were on their way here.
    pub futures: Vec<PartitionDirectory>,
    /// Read by every shard, but never on the way of a produce or a fetch.
    pub offline: AtomicBool,
}

/// All of `log.dirs`, in that order: partitions name theirs by its place here.
#[derive(Debug)]
pub struct LogDirs {
    all: Vec<Directory>,
    /// Shards that move replicas at this moment; they share the throttle.
    pub(super) movers: AtomicU32,
}

impl Directory {
    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Relaxed)
    }

    /// What the checkpoints say of a partition: for opening its log, its high watermark, and how far it was cleaned.
    pub(super) fn hints(&self, topic: &str, partition: i32) -> (OpenHints, i64, Option<i64>) {
        let of = |offsets: &Offsets| offsets.get(&(topic.to_owned(), partition)).copied();
        let hints = OpenHints {
            recovery_point: of(&self.recovery_points).unwrap_or(0),
            log_start: of(&self.log_starts).unwrap_or(0),
            clean: self.clean,
            ..OpenHints::default()
        };
        (hints, of(&self.high_watermarks).unwrap_or(0), of(&self.cleaned))
    }

    /// Bytes that are free; 0 where nobody can tell.
    pub fn free_bytes(&self) -> u64 {
        shards::disk_space(&self.path).map_or(0, |(_, free)| free)
    }
}

impl LogDirs {
    pub fn new(all: Vec<Directory>) -> Self {
        Self { all, movers: AtomicU32::new(0) }
    }

    pub fn get(&self, index: usize) -> &Directory {
        &self.all[index]
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Directory)> {
        self.all.iter().enumerate()
    }

    pub fn online(&self) -> impl Iterator<Item = (usize, &Directory)> {
        self.iter().filter(|(_, directory)| !directory.is_offline())
    }

    pub fn any_offline(&self) -> bool {
        self.all.iter().any(Directory::is_offline)
    }

    /// The place of a directory that works, by its id.
    pub fn by_id(&self, id: Uuid) -> Option<usize> {
        self.online().find(|(_, directory)| directory.id == id).map(|(index, _)| index)
    }

    /// By the name that clients use: absolute, as DescribeLogDirs tells it, or as it stands in the settings.
    pub fn by_path(&self, path: &str) -> Option<usize> {
        let is = |directory: &Directory| directory.path == *path || absolute(&directory.path) == *path;
        self.iter().find(|(_, directory)| is(directory)).map(|(index, _)| index)
    }

    /// Takes a directory offline; its partitions follow at the next round of housekeeping on each shard.
    pub fn fail(&self, index: usize, why: impl Display) {
        let directory = &self.all[index];
        if directory.offline.swap(true, Ordering::Relaxed) {
            return;
        }
        lines::error(format_args!("log directory {} is taken offline: {why}", directory.path.display()));
        if let Some(end) = self.end() {
            shards::fatal(end);
        }
    }

    /// Why the broker can't go on, if it can't.
    pub fn end(&self) -> Option<String> {
        if let Some(metadata) = self.all.iter().find(|one| one.holds_metadata && one.is_offline()) {
            return Some(format!("the directory of the metadata log, {}, has failed", metadata.path.display()));
        }
        self.all.iter().all(Directory::is_offline).then(|| "all log directories have failed".into())
    }
}

/// As Kafka names directories to its clients.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(of: &[(&str, u128, bool)]) -> LogDirs {
        let directory = |(path, id, holds_metadata): &(&str, u128, bool)| Directory {
            path: path.into(),
            id: Uuid(*id),
            holds_metadata: *holds_metadata,
            ..Directory::default()
        };
        LogDirs::new(of.iter().map(directory).collect())
    }

    #[test]
    fn one_failed_directory_is_no_end() {
        let dirs = dirs(&[("/a", 7, false), ("/b", 8, false)]);
        assert_eq!((dirs.by_id(Uuid(8)), dirs.by_path("/b"), dirs.any_offline()), (Some(1), Some(1), false));
        dirs.fail(1, "a test");
        assert_eq!((dirs.by_id(Uuid(8)), dirs.by_path("/b"), dirs.any_offline()), (None, Some(1), true));
        assert_eq!((dirs.end(), dirs.online().count()), (None, 1));
    }

    #[test]
    fn the_last_one_and_that_of_the_metadata_are() {
        let two = dirs(&[("/a", 7, true), ("/b", 8, false)]);
        two.all[0].offline.store(true, Ordering::Relaxed);
        assert_eq!(two.end().unwrap(), "the directory of the metadata log, /a, has failed");
        let one = dirs(&[("/a", 7, false)]);
        one.all[0].offline.store(true, Ordering::Relaxed);
        assert_eq!(one.end().unwrap(), "all log directories have failed");
    }
}
