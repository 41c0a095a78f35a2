//! Durability: which files have to be synced before the recovery point may move, and the clean close.
//!
//! The recovery point moves only behind an fsync of everything it vouches for: the bytes below it, the indexes of
//! segments wholly below it (those above are built anew after a crash), the snapshots at or below it (KAFKA-15046), and
//! the directory entries of all of these.

use std::path::Path;

use shards::File;

use super::error::LogError;
use super::replace::shares_file_system;
use super::segment::Segment;
use super::{Log, snapshots};

/// Files to sync; then [`Log::synced`] with `offset`.
#[derive(Debug)]
pub struct SyncTargets {
    pub offset: i64,
    pub files: Vec<File>,
}

/// What lay beside the segments when sync targets were named.
#[derive(Debug, Clone, Copy)]
pub struct SideFiles {
    made: u64,
}

/// What was written beside the segments and not synced yet.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// How often anything was made.
    made: u64,
    /// Producer snapshots and their offsets.
    snapshots: Vec<(i64, File)>,
    /// The directory, if it has entries that are not durable, and the offset of the newest of them.
    directory: Option<(i64, File)>,
}

impl Unsynced {
    /// A segment or snapshot of this offset is about to be made in `dir`, or was: what can't be opened is not made, so
    /// that nothing is taken for durable that isn't.
    pub(super) fn directory_changed(&mut self, dir: &Path, offset: i64) -> Result<(), LogError> {
        let file = match self.directory.take() {
            Some((_, file)) => file,
            None => File::open_read(dir).map_err(LogError::io("open directory", dir))?,
        };
        self.directory = Some((offset, file));
        self.made += 1;
        Ok(())
    }

    pub(super) fn open_count(&self) -> usize {
        self.snapshots.len() + usize::from(self.directory.is_some())
    }
}

impl Log {
    /// Files that hold anything not synced yet below the log end: of the active segment the `.log` (its indexes are built
    /// anew after a crash), of others the indexes too, snapshots, and the directory.
    ///
    /// The shell syncs all of them, then calls [`synced`](Self::synced) with the log end offset of this moment. A failed
    /// sync is never tried again: the log has to go offline.
    pub fn sync_targets(&self) -> Vec<File> {
        let active = if self.active.is_unsynced() { self.active.open_log() } else { None };
        self.closed_targets().chain(active).chain(self.side_targets()).collect()
    }

    fn closed_targets(&self) -> impl Iterator<Item = File> {
        self.closed.iter().filter(|segment| segment.is_unsynced()).flat_map(Segment::open_files)
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

    /// Segments that were rolled while their indexes could not be written (for want of descriptors, say) get them, if that
    /// is possible now. No sync may be under way: the indexes are in the targets that are named next.
    pub fn finish_rolled(&mut self) {
        let done = |segment: &&mut Segment| segment.is_unfinished() && segment.written() == segment.size();
        for segment in self.closed.iter_mut().filter(done) {
            if segment.finish().is_err() {
                break;
            }
        }
    }

    /// What lies beside the segments and is among the targets of this moment.
    pub fn side_files(&self) -> SideFiles {
        SideFiles { made: self.unsynced.made }
    }

    /// All of that was synced. [`synced`](Self::synced) alone keeps what may have come later.
    pub fn side_files_synced(&mut self, beside: SideFiles) {
        if self.unsynced.made == beside.made {
            self.unsynced.snapshots.clear();
            self.unsynced.directory = None;
        }
    }

    /// Everything below `offset` was synced, by the files that were named when `offset` was the log end. The recovery point
    /// stops before a segment without its indexes: a start would take them for whole.
    pub fn synced(&mut self, offset: i64) {
        let below = |segment: &&Segment| segment.next_offset() <= offset;
        let unfinished = self.closed.iter().take_while(below).find(|segment| segment.is_unfinished());
        let whole = unfinished.map_or(offset, Segment::base);
        self.recovery_point = self.recovery_point.max(whole.min(self.log_end_offset()));
        let is_whole = |segment: &&mut Segment| segment.next_offset() <= offset && !segment.is_unfinished();
        for segment in self.closed.iter_mut().filter(is_whole) {
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
        self.unsynced.directory_changed(&self.dir, offset)?;
        let file = snapshots::write(&self.dir, offset, bytes)?;
        self.unsynced.snapshots.push((offset, file));
        Ok(())
    }

    /// Finishes all files and lets go of them. Returns the log end offset, which is the recovery point once the caller has
    /// synced the file system of the log directory: for many logs that is one wait instead of several for each. After it a
    /// start may be told that the stop was clean.
    ///
    /// Errors: `Failed` after a failed write: then the stop was not clean. `Busy` while appends are under way.
    pub fn close_clean(&mut self) -> Result<i64, LogError> {
        if self.appends.failed {
            return Err(LogError::Failed { dir: self.dir.to_path_buf() });
        }
        if !self.appends.is_idle() {
            return Err(LogError::Busy { dir: self.dir.to_path_buf() });
        }
        let changed = |segment: &&mut Segment| segment.is_unsynced() || segment.is_unfinished();
        for segment in self.closed.iter_mut().chain([&mut self.active]).filter(changed) {
            segment.finish().map_err(LogError::io("finish index of", segment.path()))?;
        }
        if !shares_file_system(&self.dir) {
            for file in self.closed_targets().chain(self.active.open_files()).chain(self.side_targets()) {
                file.sync_all().map_err(LogError::io("sync", file.path()))?;
            }
        }
        self.segments().for_each(Segment::mark_synced);
        self.rest();
        self.unsynced = Unsynced::default();
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

    /// Two batches fill a segment.
    fn two_a_segment(path: &Path) -> Log {
        let config = TopicConfig { segment_bytes: 2 * batch(&[1], 50).len() as u32, ..TopicConfig::default() };
        create(path, &config)
    }

    #[test]
    fn everything_the_recovery_point_vouches_for_is_named() {
        let dir = TempDir::new();
        let mut log = two_a_segment(&dir.path().join("t-0"));
        assert_eq!(names(&log.sync_targets()), [""; 0], "the first segment is made durable with the directory");
        append(&mut log, batch(&[1], 50));
        assert_eq!(names(&log.sync_targets()), ["00000000000000000000.log"]);
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
    fn indexes_are_synced_when_their_segment_takes_no_more() {
        let dir = TempDir::new();
        let config = TopicConfig { index_interval_bytes: 1, ..TopicConfig::default() };
        let mut log = create(&dir.path().join("t-0"), &config);
        while log.active.open_count() < 3 {
            let timestamp = log.next_offset();
            append(&mut log, batch(&[timestamp], 50));
        }
        assert_eq!(names(&log.sync_targets()), ["00000000000000000000.log"], "a flush waits for one file");
        log.synced(log.log_end_offset());
        log.rest();
        assert_eq!(log.active.open_count(), 0);
        log.set_config(&TopicConfig { segment_bytes: log.size_bytes() as u32, ..config });
        assert!(append(&mut log, batch(&[0], 50)).rolled.is_some());
        let rolled = log.rolled_targets().unwrap();
        let indexes = ["00000000000000000000.index", "00000000000000000000.timeindex"];
        assert_eq!(names(&rolled.files), [&indexes[..], &["t-0"]].concat(), "also what was written before it rested");
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
    fn the_recovery_point_stops_before_a_segment_without_its_indexes() {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        let mut log = two_a_segment(&path);
        append(&mut log, batch(&[1], 50));
        append(&mut log, batch(&[2], 50));
        let index = path.join("00000000000000000000.timeindex");
        std::fs::remove_file(&index).unwrap();
        std::fs::create_dir(&index).unwrap();
        assert!(stage(&mut log, batch(&[3], 50), 0).is_err());
        append(&mut log, batch(&[3], 50));
        log.synced(3);
        assert_eq!(log.recovery_point(), 0);
        log.finish_rolled();
        log.synced(3);
        assert_eq!(log.recovery_point(), 0, "still none");

        std::fs::remove_dir(&index).unwrap();
        log.finish_rolled();
        let closed = ["00000000000000000000.index", "00000000000000000000.log", "00000000000000000000.timeindex"];
        assert_eq!(names(&log.rolled_targets().unwrap().files), closed);
        log.synced(3);
        assert_eq!(log.recovery_point(), 3);
    }

    #[test]
    fn an_index_that_is_finished_after_its_batches_were_synced_is_synced_too() {
        let dir = TempDir::new();
        let mut log = two_a_segment(&dir.path().join("t-0"));
        append(&mut log, batch(&[1], 50));
        append(&mut log, batch(&[2], 50));
        log.synced(2);
        log.rest();
        append(&mut log, batch(&[3], 50));
        let closed = ["00000000000000000000.index", "00000000000000000000.timeindex"];
        assert_eq!(names(&log.rolled_targets().unwrap().files), [&closed[..], &["t-0"]].concat());
    }

    #[test]
    fn what_lies_beside_is_let_go_unless_more_came() {
        let dir = TempDir::new();
        let mut log = create(&dir.path().join("t-0"), &TopicConfig::default());
        append(&mut log, batch(&[1], 50));
        log.write_snapshot(1, &snapshots::encode(&[])).unwrap();
        let (beside, end) = (log.side_files(), log.log_end_offset());
        log.synced(end);
        assert_eq!(log.open_files(), 1 + 2, "made at this offset, perhaps after the targets were named");
        log.write_snapshot(1, &snapshots::encode(&[])).unwrap();
        log.side_files_synced(beside);
        assert!(log.open_files() > 1, "one more came");
        log.side_files_synced(log.side_files());
        log.rest();
        assert!(log.is_at_rest());
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
