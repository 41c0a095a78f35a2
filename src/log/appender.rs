//! Appending: stage, then write what was staged in one go (Kafka's `UnifiedLog.append`, `LocalLog.roll`).

use std::collections::VecDeque;
use std::io;

use shards::{Chunk, File, Files, Part, is_descriptor_shortage};
use wire::records::{BatchHeader, Stamp, stamp};

use super::Log;
use super::error::LogError;
use super::roll::roll_cause;
use super::segment::Segment;
use super::write_back::WriteBack;

/// What the broker knows of a batch beyond its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageMeta {
    pub leader_epoch: i32,
    /// Set for LogAppendTime: the timestamp of every record, milliseconds.
    pub append_time: Option<i64>,
    /// Largest timestamp of the records, milliseconds; -1 for none. Goes into the header.
    pub max_timestamp: i64,
    /// The record that has it.
    pub offset_delta_of_max: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staged {
    pub base_offset: i64,
    pub last_offset: i64,
    /// A new segment was begun with this batch, at this offset: a producer snapshot as of before the batch is due.
    pub rolled: Option<i64>,
}

/// What became of the staged batches.
#[derive(Debug)]
pub enum Flush {
    /// Nothing was staged.
    Nothing,
    /// All of it is written.
    Done,
    /// A write is under way; [`Log::written`] is to be called with its result, then [`Log::flush`] again.
    InFlight,
    /// A write failed. Nothing that was staged will be readable, and the log takes nothing more.
    Failed(io::Error),
}

/// Where the log ends, what is staged, and what is on its way to the disk.
#[derive(Debug)]
pub(super) struct Appends {
    pub(super) next_offset: i64,
    pub(super) log_end: i64,
    /// One entry for each segment that has staged batches, oldest first.
    writes: VecDeque<Write>,
    in_flight: Option<Landing>,
    pub(super) write_back: WriteBack,
    pub(super) failed: bool,
}

impl Appends {
    pub(super) fn at(offset: i64) -> Self {
        Self {
            next_offset: offset,
            log_end: offset,
            writes: VecDeque::new(),
            in_flight: None,
            write_back: WriteBack::default(),
            failed: false,
        }
    }

    /// Nothing is staged or under way.
    pub(super) fn is_idle(&self) -> bool {
        self.writes.is_empty() && self.in_flight.is_none()
    }
}

#[derive(Debug)]
struct Write {
    file: File,
    position: u64,
    parts: Vec<Part>,
    landing: Landing,
}

/// What is true once a write is done.
#[derive(Debug, Clone, Copy)]
struct Landing {
    segment: i64,
    position: u64,
    offset: i64,
}

impl Log {
    /// Gives a batch its offsets and puts it behind what was staged before. `batch` is exactly one whole batch, checked by
    /// the caller; `header` is its parsed header. Offset, leader epoch and, where they change, timestamps and CRC are
    /// written in place of the head; the rest goes to the disk from `batch` as it is.
    ///
    /// Errors: `Failed` after a failed write; `Io` when a new segment could not be made, `OutOfRange` when the batch claims
    /// a negative number of offsets or there are none left; then nothing was staged.
    pub fn stage(
        &mut self,
        batch: Chunk,
        header: &BatchHeader,
        meta: StageMeta,
        now_ms: i64,
    ) -> Result<Staged, LogError> {
        if self.appends.failed {
            return Err(LogError::Failed { dir: self.dir.to_path_buf() });
        }
        debug_assert_eq!(batch.len(), header.size(), "exactly one whole batch");
        let base_offset = self.appends.next_offset;
        let last_offset = base_offset.checked_add(i64::from(header.last_offset_delta));
        let last_offset = last_offset.filter(|last| (base_offset..i64::MAX).contains(last));
        let Some(last_offset) = last_offset else {
            return Err(LogError::OutOfRange { offset: base_offset, start: self.log_start, end: i64::MAX });
        };
        let rolled =
            match roll_cause(&self.roll_params(batch.len(), last_offset, meta.max_timestamp, now_ms), &self.config) {
                Some(_) => Some(self.roll()?),
                None => None,
            };
        let (position, bytes) = (self.active.size(), batch.len() as u64);
        self.push_parts(batch, header, base_offset, last_offset, meta)?;
        let index_interval = u64::from(self.config.index_interval_bytes);
        self.active.note_created(now_ms);
        self.active.note(last_offset, bytes, meta.max_timestamp, index_interval);
        self.recent.push(base_offset, last_offset, position, bytes);
        self.appends.next_offset = last_offset + 1;
        Ok(Staged { base_offset, last_offset, rolled })
    }

    fn push_parts(
        &mut self,
        batch: Chunk,
        header: &BatchHeader,
        base_offset: i64,
        last_offset: i64,
        meta: StageMeta,
    ) -> Result<(), LogError> {
        let segment = self.active.base();
        let position = self.active.size();
        if self.appends.writes.back().is_none_or(|write| write.landing.segment != segment) {
            let failed = |error| LogError::io("open segment", self.active.path())(error);
            let file = self.active.file().map_err(failed)?;
            let landing = Landing { segment, position, offset: base_offset };
            self.appends.writes.push_back(Write { file, position, parts: Vec::new(), landing });
        }
        let StageMeta { leader_epoch, append_time, max_timestamp, .. } = meta;
        let stamp_with = Stamp { base_offset, leader_epoch, append_time, max_timestamp: Some(max_timestamp) };
        let head = stamp(header, &batch, stamp_with);
        if let Some(write) = self.appends.writes.back_mut() {
            write.parts.push(Part::small(head.as_slice()));
            if head.len() < batch.len() {
                write.parts.push(Part::Chunk(batch.slice(head.len()..batch.len())));
            }
            write.landing.position = position + batch.len() as u64;
            write.landing.offset = last_offset + 1;
        }
        Ok(())
    }

    /// Begins a new segment at the next offset, which is returned. The old one is finished when its last write is done.
    pub(super) fn roll(&mut self) -> Result<i64, LogError> {
        let base = self.appends.next_offset;
        self.unsynced.directory_changed(&self.dir, base)?;
        let new = Segment::create(&self.dir, base)?;
        let old = std::mem::replace(&mut self.active, new);
        // From here on the log has a further segment, whatever becomes of the index.
        self.closed.push(old);
        self.recent.clear();
        if let Some(old) = self.closed.last_mut()
            && old.written() == old.size()
        {
            old.finish().map_err(LogError::io("finish index of", old.path()))?;
        }
        Ok(base)
    }

    /// True if something was staged that no write has taken yet.
    pub fn has_staged(&self) -> bool {
        !self.appends.writes.is_empty()
    }

    /// Writes all that is staged, one write for each segment. `token` comes back with the completion of a write that is
    /// not done at once. While one is under way, later batches wait for it.
    pub fn flush(&mut self, files: &Files, token: u64) -> Flush {
        if self.appends.in_flight.is_some() {
            return Flush::InFlight;
        }
        self.begin_write_back(files);
        let mut flush = Flush::Nothing;
        while let Some(write) = self.appends.writes.pop_front() {
            let Write { file, position, parts, landing } = write;
            match files.append(&file, position, parts, token) {
                None => {
                    self.appends.in_flight = Some(landing);
                    return Flush::InFlight;
                }
                Some(result) => flush = self.land(landing, result),
            }
            if let Flush::Failed(_) = flush {
                break;
            }
        }
        flush
    }

    /// The write under way ended with `result`.
    pub fn written(&mut self, result: io::Result<()>) -> Flush {
        match self.appends.in_flight.take() {
            Some(landing) => self.land(landing, result),
            None => Flush::Nothing,
        }
    }

    fn land(&mut self, landing: Landing, result: io::Result<()>) -> Flush {
        match result.and_then(|()| self.settle(landing)) {
            Ok(()) => Flush::Done,
            // An index waits in memory, and is written later.
            Err(error) if is_descriptor_shortage(&error) => Flush::Done,
            Err(error) => {
                self.appends.failed = true;
                self.appends.writes.clear();
                Flush::Failed(error)
            }
        }
    }

    fn settle(&mut self, landing: Landing) -> io::Result<()> {
        self.appends.log_end = landing.offset;
        if landing.segment == self.active.base() {
            return self.active.landed(landing.position);
        }
        let old = self.closed.iter_mut().rev().find(|segment| segment.base() == landing.segment);
        let Some(old) = old else { return Ok(()) };
        old.landed(landing.position)?;
        if old.written() == old.size() { old.finish() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::topic::TopicConfig;
    use crate::log::testing::{TempDir, append, batch, create, open_clean, read_all, stage};

    #[test]
    fn a_segment_whose_index_can_not_be_finished_is_not_lost() {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        let size = batch(&[1, 2, 3], 50).len() as u32;
        let config = TopicConfig { segment_bytes: 2 * size, ..TopicConfig::default() };
        let mut log = create(&path, &config);
        append(&mut log, batch(&[1, 2, 3], 50));
        append(&mut log, batch(&[4, 5, 6], 50));
        let index = path.join("00000000000000000000.timeindex");
        std::fs::remove_file(&index).unwrap();
        std::fs::create_dir(&index).unwrap();
        assert!(stage(&mut log, batch(&[7, 8, 9], 50), 0).is_err());
        let before = read_all(&log, 0, 1000);
        assert_eq!(before.len(), 2 * size as usize);
        std::fs::remove_dir(&index).unwrap();
        assert_eq!(append(&mut log, batch(&[7, 8, 9], 50)).base_offset, 6);
        assert_eq!(read_all(&log, 0, 1000).len(), 3 * size as usize);
        // The index comes with the clean end.
        log.close_clean().unwrap();
        let log = open_clean(&path, &config).unwrap();
        assert_eq!(log.offset_for_timestamp(6).unwrap(), Some((5, 6)));
    }

    #[test]
    fn segments_roll_and_go_on_at_the_next_offset() {
        let dir = TempDir::new();
        let size = batch(&[1, 2, 3], 50).len() as u32;
        let config = TopicConfig { segment_bytes: 2 * size, ..TopicConfig::default() };
        let mut log = create(&dir.path().join("t-0"), &config);
        let rolled: Vec<_> = (0..5).map(|_| append(&mut log, batch(&[1, 2, 3], 50)).rolled).collect();
        assert_eq!(rolled, [None, None, Some(6), None, Some(12)]);
        assert_eq!(log.base_offsets().collect::<Vec<_>>(), [0, 6, 12]);
        assert_eq!((log.log_end_offset(), log.size_bytes()), (15, 5 * u64::from(size)));
        assert_eq!(read_all(&log, 0, 1 << 20).len(), 5 * size as usize);
    }

    #[test]
    fn time_and_index_size_roll_too() {
        let dir = TempDir::new();
        let config = TopicConfig { segment_ms: 1000, ..TopicConfig::default() };
        let mut log = create(&dir.path().join("time-0"), &config);
        let rolled: Vec<_> = [5000, 6000, 6001, 7000].map(|at| append(&mut log, batch(&[at], 1)).rolled).into();
        assert_eq!(rolled, [None, None, Some(2), None]);

        // Room for two entries; one is made before every batch but the first.
        let config = TopicConfig { segment_index_bytes: 16, index_interval_bytes: 1, ..TopicConfig::default() };
        let mut log = create(&dir.path().join("index-0"), &config);
        let rolled: Vec<_> = (0..5).map(|_| append(&mut log, batch(&[-1], 1)).rolled).collect();
        assert_eq!(rolled, [None, Some(1), Some(2), Some(3), Some(4)], "the time index keeps a place free");
        let config = TopicConfig { segment_index_bytes: 36, index_interval_bytes: 1, ..TopicConfig::default() };
        let mut log = create(&dir.path().join("index-1"), &config);
        let rolled: Vec<_> = (0..6).map(|_| append(&mut log, batch(&[-1], 1)).rolled).collect();
        assert_eq!(rolled, [None, None, None, None, None, Some(5)], "four entries fill the offset index");
    }

    #[test]
    fn what_was_staged_before_a_roll_is_written_before() {
        let dir = TempDir::new();
        let size = batch(&[1], 50).len() as u32;
        let config = TopicConfig { segment_bytes: 2 * size, ..TopicConfig::default() };
        let path = dir.path().join("t-0");
        let mut log = create(&path, &config);
        for _ in 0..5 {
            stage(&mut log, batch(&[1], 50), 0).unwrap();
        }
        assert_eq!((log.log_end_offset(), log.next_offset()), (0, 5));
        assert_eq!(log.plan_read(0, 5, 1 << 20, true).unwrap().len, 0, "staged is not readable");
        assert!(matches!(log.flush(&Files::inline(), 0), Flush::Done));
        assert_eq!((log.log_end_offset(), log.next_offset()), (5, 5));
        assert!(matches!(log.flush(&Files::inline(), 0), Flush::Nothing));
        let all = read_all(&log, 0, 1 << 20);
        log.close_clean().unwrap();
        assert_eq!(read_all(&open_clean(&path, &config).unwrap(), 0, 1 << 20), all);
    }

    /// Takes the next write as a ring would, without finishing it.
    fn begin_write(log: &mut Log) -> (File, u64, Vec<u8>) {
        let write = log.appends.writes.pop_front().unwrap();
        log.appends.in_flight = Some(write.landing);
        (write.file, write.position, write.parts.iter().flat_map(|part| part.as_slice().to_vec()).collect())
    }

    #[test]
    fn one_write_is_under_way_at_a_time() {
        let dir = TempDir::new();
        let mut log = create(&dir.path().join("t-0"), &TopicConfig::default());
        stage(&mut log, batch(&[1], 50), 0).unwrap();
        let (file, position, bytes) = begin_write(&mut log);
        stage(&mut log, batch(&[2], 50), 0).unwrap();
        stage(&mut log, batch(&[3], 50), 0).unwrap();
        assert!(matches!(log.flush(&Files::inline(), 0), Flush::InFlight));
        assert_eq!(log.log_end_offset(), 0);
        assert!(matches!(log.truncate_to(0), Err(LogError::Busy { .. })));
        file.write_all_at(&bytes, position).unwrap();
        assert!(matches!(log.written(Ok(())), Flush::Done));
        assert_eq!((log.log_end_offset(), log.has_staged()), (1, true));
        assert_eq!(log.plan_read(0, 3, 1 << 20, true).unwrap().len, bytes.len() as u64);
        assert!(matches!(log.flush(&Files::inline(), 0), Flush::Done));
        assert_eq!(read_all(&log, 0, 1 << 20).len(), 3 * bytes.len());
    }

    #[test]
    fn after_a_failed_write_nothing_is_taken_and_nothing_staged_is_readable() {
        let dir = TempDir::new();
        let mut log = create(&dir.path().join("t-0"), &TopicConfig::default());
        append(&mut log, batch(&[1], 50));
        stage(&mut log, batch(&[2], 50), 0).unwrap();
        begin_write(&mut log);
        stage(&mut log, batch(&[3], 50), 0).unwrap();
        let Flush::Failed(error) = log.written(Err(io::ErrorKind::StorageFull.into())) else { panic!("not failed") };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(matches!(stage(&mut log, batch(&[4], 50), 0), Err(LogError::Failed { .. })));
        assert!(matches!(log.flush(&Files::inline(), 0), Flush::Nothing));
        assert!(matches!(log.close_clean(), Err(LogError::Failed { .. })));
        assert_eq!(log.log_end_offset(), 1);
        assert_eq!(log.plan_read(1, i64::MAX, 1 << 20, true).unwrap().len, 0);
    }

    #[test]
    fn a_full_disk_fails_the_log() {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        std::fs::create_dir(&path).unwrap();
        std::os::unix::fs::symlink("/dev/full", path.join("00000000000000000000.log")).unwrap();
        let mut log = open_clean(&path, &TopicConfig::default()).unwrap();
        stage(&mut log, batch(&[1], 50), 0).unwrap();
        assert!(matches!(log.flush(&Files::inline(), 0), Flush::Failed(_)));
    }
}
