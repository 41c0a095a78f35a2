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
