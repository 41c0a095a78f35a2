//! Appending: stage, then write what was staged in one go (Kafka's `UnifiedLog.append`, `LocalLog.roll`).

use std::collections::VecDeque;
use std::io;

use shards::{Chunk, File, Files, Part};
use wire::records::{BatchHeader, Stamp, stamp};

use super::Log;
use super::error::LogError;
use super::index::{OffsetIndex, TimeIndex};
use super::segment::Segment;
use super::write_back::WriteBack;
use crate::config::topic::TopicConfig;

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

/// Why a new segment is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollCause {
    Size,
    Time,
    OffsetIndexFull,
    TimeIndexFull,
    /// The batch ends more than 2^31-1 offsets behind the segment's base.
    OffsetOverflow,
}

/// What the decision to roll is made from. Sizes are bytes, times milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RollParams {
    pub(crate) base_offset: i64,
    pub(crate) size: u64,
    pub(crate) first_timestamp: Option<i64>,
    pub(crate) created_ms: Option<i64>,
    pub(crate) offset_index_full: bool,
    pub(crate) time_index_full: bool,
    pub(crate) jitter_ms: i64,
    pub(crate) batch_bytes: u64,
    pub(crate) batch_last_offset: i64,
    pub(crate) batch_max_timestamp: i64,
    pub(crate) now_ms: i64,
}

/// Kafka's `LogSegment.shouldRoll`. An empty segment takes any batch.
pub(crate) fn roll_cause(segment: &RollParams, config: &TopicConfig) -> Option<RollCause> {
    if segment.size == 0 {
        return None;
    }
    // Positions in the index are 31 bits.
    let segment_bytes = u64::from(config.segment_bytes).min(i32::MAX as u64);
    if segment.size.saturating_add(segment.batch_bytes) > segment_bytes {
        return Some(RollCause::Size);
    }
    // Counted between timestamps of records where there are any, so that old records written today don't roll at once.
    let waited_ms = match segment.first_timestamp {
        Some(first) if first >= 0 => segment.batch_max_timestamp.saturating_sub(first),
        _ => segment.now_ms.saturating_sub(segment.created_ms.unwrap_or(segment.now_ms)),
    };
    if waited_ms > config.segment_ms_max().saturating_sub(segment.jitter_ms) {
        return Some(RollCause::Time);
    }
    if segment.offset_index_full {
        return Some(RollCause::OffsetIndexFull);
    }
    if segment.time_index_full {
        return Some(RollCause::TimeIndexFull);
    }
    let overflow = segment.batch_last_offset.saturating_sub(segment.base_offset) > i64::from(i32::MAX);
    overflow.then_some(RollCause::OffsetOverflow)
}

/// How much earlier than `segment.ms` a segment is rolled, so that segments of many partitions don't roll together:
/// spread by the name of the directory and the segment, the same after a restart.
fn jitter_ms(dir: &std::path::Path, base_offset: i64, config: &TopicConfig) -> i64 {
    let most = config.segment_jitter_ms.min(config.segment_ms);
    if most <= 0 {
        return 0;
    }
    // FNV-1a.
    let bytes = dir.as_os_str().as_encoded_bytes().iter().copied().chain(base_offset.to_be_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    (hash % most as u64) as i64
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
            let file = self.active.file().map_err(LogError::io("open segment", self.active.path()))?;
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

    fn roll_params(&self, bytes: usize, batch_last_offset: i64, batch_max_timestamp: i64, now_ms: i64) -> RollParams {
        let (offsets, times): (&OffsetIndex, &TimeIndex) = self.active.indexes();
        let index_bytes = self.config.segment_index_bytes;
        RollParams {
            base_offset: self.active.base(),
            size: self.active.size(),
            first_timestamp: self.active.first_timestamp(),
            created_ms: self.active.created_ms(),
            offset_index_full: offsets.is_full(index_bytes),
            time_index_full: times.is_full(index_bytes),
            jitter_ms: jitter_ms(&self.dir, self.active.base(), &self.config),
            batch_bytes: bytes as u64,
            batch_last_offset,
            batch_max_timestamp,
            now_ms,
        }
    }

    /// Begins a new segment at the next offset, which is returned. The old one is finished when its last write is done.
    pub(super) fn roll(&mut self) -> Result<i64, LogError> {
        let base = self.appends.next_offset;
        let new = Segment::create(&self.dir, base)?;
        let mut old = std::mem::replace(&mut self.active, new);
        if old.written() == old.size() {
            old.finish().map_err(LogError::io("finish index of", old.path()))?;
        }
        self.closed.push(old);
        self.recent.clear();
        self.unsynced.directory_changed(&self.dir, base)?;
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
    use crate::log::testing::{TempDir, append, batch, create, open_clean, read_all, stage};

    const FRESH: RollParams = RollParams {
        base_offset: 100,
        size: 1000,
        first_timestamp: Some(5000),
        created_ms: Some(90_000),
        offset_index_full: false,
        time_index_full: false,
        jitter_ms: 0,
        batch_bytes: 100,
        batch_last_offset: 200,
        batch_max_timestamp: 5000,
        now_ms: 90_000,
    };

    fn config() -> TopicConfig {
        TopicConfig { segment_bytes: 1100, segment_ms: 1000, ..TopicConfig::default() }
    }

    fn cause(params: RollParams) -> Option<RollCause> {
        roll_cause(&params, &config())
    }

    #[test]
    fn a_segment_is_rolled_for_five_reasons() {
        assert_eq!(cause(FRESH), None);
        assert_eq!(cause(RollParams { batch_bytes: 101, ..FRESH }), Some(RollCause::Size));
        assert_eq!(cause(RollParams { batch_max_timestamp: 6000, ..FRESH }), None);
        assert_eq!(cause(RollParams { batch_max_timestamp: 6001, ..FRESH }), Some(RollCause::Time));
        assert_eq!(cause(RollParams { batch_max_timestamp: 6000, jitter_ms: 1, ..FRESH }), Some(RollCause::Time));
        assert_eq!(cause(RollParams { offset_index_full: true, ..FRESH }), Some(RollCause::OffsetIndexFull));
        assert_eq!(cause(RollParams { time_index_full: true, ..FRESH }), Some(RollCause::TimeIndexFull));
        let far = 100 + i64::from(i32::MAX);
        assert_eq!(cause(RollParams { batch_last_offset: far, ..FRESH }), None);
        assert_eq!(cause(RollParams { batch_last_offset: far + 1, ..FRESH }), Some(RollCause::OffsetOverflow));
    }

    #[test]
    fn without_timestamps_the_wall_clock_counts() {
        let stampless = RollParams { first_timestamp: Some(-1), batch_max_timestamp: -1, ..FRESH };
        assert_eq!(cause(RollParams { now_ms: 91_000, ..stampless }), None);
        assert_eq!(cause(RollParams { now_ms: 91_001, ..stampless }), Some(RollCause::Time));
        assert_eq!(cause(RollParams { now_ms: i64::MAX, ..FRESH }), None, "records with timestamps don't look at it");
    }

    #[test]
    fn an_empty_segment_takes_anything() {
        let everything = RollParams { size: 0, batch_bytes: 9999, offset_index_full: true, now_ms: i64::MAX, ..FRESH };
        assert_eq!(cause(everything), None);
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

    #[test]
    fn jitter_stays_below_its_bound() {
        let config = TopicConfig { segment_jitter_ms: 100, segment_ms: 1000, ..TopicConfig::default() };
        let jitters: Vec<i64> = (0..50).map(|base| jitter_ms("/data/t-0".as_ref(), base, &config)).collect();
        assert!(jitters.iter().all(|jitter| (0..100).contains(jitter)));
        assert!(jitters.iter().any(|jitter| *jitter != jitters[0]));
        assert_eq!(jitter_ms("/data/t-0".as_ref(), 0, &TopicConfig::default()), 0);
    }
}
