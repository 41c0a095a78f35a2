//! From an offset to bytes of a file (Kafka's `LocalLog.read`, `LogSegment.read`). The bytes themselves are not touched.

use std::collections::VecDeque;

use shards::File;

use super::Log;
use super::error::ReadError;
use super::segment::Segment;

/// Batches of the active segment that are remembered, so that reads near the end need no look at the file.
const RECENT_BATCHES: usize = 64;

/// Bytes to answer a read with. The handle keeps them readable, also after the segment was deleted.
#[derive(Debug, Clone)]
pub struct ReadPlan {
    pub file: File,
    pub position: u64,
    /// 0: nothing to read yet, or not even one batch fits.
    pub len: u64,
    /// Base offset of the batch at `position`; the wanted offset when `len` is 0.
    pub base_offset: i64,
}

/// A batch and where it stands.
#[derive(Debug, Clone, Copy)]
struct Span {
    base_offset: i64,
    last_offset: i64,
    position: u64,
    bytes: u64,
}

/// The newest batches of the active segment, without gaps between them.
#[derive(Debug, Default)]
pub(super) struct Recent {
    spans: VecDeque<Span>,
}

impl Recent {
    pub(super) fn push(&mut self, base_offset: i64, last_offset: i64, position: u64, bytes: u64) {
        if self.spans.len() == RECENT_BATCHES {
            self.spans.pop_front();
        }
        self.spans.push_back(Span { base_offset, last_offset, position, bytes });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.spans.clear();
    }

    /// The first batch that ends at or after `offset`, if it is among the remembered.
    fn find(&self, offset: i64) -> Option<Span> {
        if offset < self.spans.front()?.base_offset {
            return None;
        }
        self.spans.get(self.spans.partition_point(|span| span.last_offset < offset)).copied()
    }

    /// Where the last remembered batch ends that ends at or before `position`.
    fn boundary_at(&self, position: u64) -> Option<u64> {
        let above = self.spans.partition_point(|span| span.position + span.bytes <= position);
        above.checked_sub(1).map(|last| self.spans[last].position + self.spans[last].bytes)
    }
}

impl Log {
    /// Plans a read of the batches from the one that holds `offset`, whole, up to the last one that ends below
    /// `upper_bound` (high watermark, last stable offset or log end offset), of one segment and at most `max_bytes` long.
    /// With `at_least_one` the first batch is given even if it is longer (KIP-74). The last batch may be cut off where
    /// its end is not known without reading; clients drop such a rest.
    ///
    /// Errors: `OutOfRange` outside of log start and log end.
    pub fn plan_read(
        &self,
        offset: i64,
        upper_bound: i64,
        max_bytes: u64,
        at_least_one: bool,
    ) -> Result<ReadPlan, ReadError> {
        let (start, end) = (self.log_start_offset(), self.log_end_offset());
        if offset < start || offset > end {
            return Err(ReadError::OutOfRange { offset, start, end });
        }
        let bound = upper_bound.min(end);
        if offset >= bound {
            return nothing(&self.active, offset);
        }
        for index in self.segment_index(offset)..=self.closed.len() {
            let Some(segment) = self.segment_at(index) else { break };
            self.warm_up(index);
            // Compaction may have left nothing at or behind the offset in this segment.
            let Some(first) = self.locate(index, segment, offset)? else { continue };
            let limit = self.end_of_readable(index, segment, bound)?;
            let available = limit.saturating_sub(first.position);
            if first.bytes > available || (first.bytes > max_bytes && !at_least_one) {
                return nothing(segment, offset);
            }
            let len = self.trim(index, segment, &first, available, max_bytes)?;
            let file = segment.file().map_err(|error| open_failed(segment, error))?;
            return Ok(ReadPlan { file, position: first.position, len, base_offset: first.base_offset });
        }
        nothing(&self.active, offset)
    }

    /// The first batch of the segment that ends at or after `offset`.
    fn locate(&self, index: usize, segment: &Segment, offset: i64) -> Result<Option<Span>, ReadError> {
        if index == self.closed.len()
            && let Some(span) = self.recent.find(offset)
        {
            return Ok(Some(span));
        }
        let located = segment.find(offset)?;
        Ok(located.map(|located| Span {
            base_offset: located.header.base_offset,
            last_offset: located.header.last_offset(),
            position: located.position,
            bytes: located.size(),
        }))
    }

    /// Position behind the last written batch of the segment that ends below `bound`.
    fn end_of_readable(&self, index: usize, segment: &Segment, bound: i64) -> Result<u64, ReadError> {
        let end = if index == self.closed.len() { self.log_end_offset() } else { segment.next_offset() };
        if bound >= end.min(self.log_end_offset()) {
            return Ok(segment.written());
        }
        Ok(self.locate(index, segment, bound)?.map_or(segment.written(), |span| span.position.min(segment.written())))
    }

    /// Cuts the range to `max_bytes`, at the end of a batch where one is known without reading.
    fn trim(
        &self,
        index: usize,
        segment: &Segment,
        first: &Span,
        available: u64,
        max_bytes: u64,
    ) -> Result<u64, ReadError> {
        if available <= max_bytes {
            return Ok(available);
        }
        let (first_end, limit) = (first.position + first.bytes, first.position + max_bytes);
        if first_end >= limit {
            return Ok(first.bytes);
        }
        let recent = if index == self.closed.len() { self.recent.boundary_at(limit) } else { None };
        let boundary = match recent {
            Some(boundary) => Some(boundary),
            None => segment.indexes().0.boundary_at(limit).map_err(segment.index_error())?,
        };
        // An index that is thin here would cost more than a cut batch.
        let worth_it = |boundary: &u64| *boundary >= first_end && *boundary - first.position >= max_bytes / 2;
        Ok(boundary.filter(worth_it).unwrap_or(limit) - first.position)
    }
}

fn nothing(segment: &Segment, offset: i64) -> Result<ReadPlan, ReadError> {
    let file = segment.file().map_err(|error| open_failed(segment, error))?;
    Ok(ReadPlan { file, position: 0, len: 0, base_offset: offset })
}

fn open_failed(segment: &Segment, error: std::io::Error) -> ReadError {
    ReadError::Io { path: segment.path(), position: 0, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::topic::TopicConfig;
    use crate::log::testing::{TempDir, append, batch, create, open_clean, open_unclean, read_all};
    use wire::records::Batches;

    /// A log of many batches of different sizes and counts in several segments; sizes and last offsets of the batches.
    fn log(path: &std::path::Path, config: &TopicConfig) -> (Log, Vec<(i64, i64, u64)>) {
        let mut log = create(path, config);
        let mut batches = Vec::new();
        for at in 0..150_i64 {
            let timestamps: Vec<i64> = (0..=at % 4).map(|record| at * 10 + record).collect();
            let bytes = batch(&timestamps, (at as usize * 37) % 300);
            let size = bytes.len() as u64;
            let staged = append(&mut log, bytes);
            batches.push((staged.base_offset, staged.last_offset, size));
        }
        (log, batches)
    }

    fn config() -> TopicConfig {
        TopicConfig { segment_bytes: 20_000, index_interval_bytes: 700, ..TopicConfig::default() }
    }

    fn check_every_offset(log: &Log, batches: &[(i64, i64, u64)]) {
        for offset in 0..log.log_end_offset() {
            let holder = batches.partition_point(|(_, last, _)| *last < offset);
            let (base, _, size) = batches[holder];
            for max_bytes in [0, 1, size - 1, size, size + 100, 3000, 1 << 30] {
                let plan = log.plan_read(offset, log.log_end_offset(), max_bytes, true).unwrap();
                assert_eq!(plan.base_offset, base, "offset {offset}");
                assert!(plan.len == size || (size..=max_bytes).contains(&plan.len), "{} of {max_bytes}", plan.len);
                let mut bytes = vec![0; plan.len as usize];
                plan.file.read_exact_at(&mut bytes, plan.position).unwrap();
                for (at, found) in Batches::new(&bytes).enumerate() {
                    assert_eq!(found.unwrap().header.base_offset, batches[holder + at].0);
                }
                let strict = log.plan_read(offset, log.log_end_offset(), max_bytes, false).unwrap();
                assert_eq!(strict.len, if size <= max_bytes { plan.len } else { 0 });
            }
        }
    }

    #[test]
    fn every_offset_is_found_while_open_and_after_both_kinds_of_stop() {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        let (mut log, batches) = log(&path, &config());
        assert!(log.segment_count() > 2);
        check_every_offset(&log, &batches);
        let all = read_all(&log, 0, 5000);
        assert_eq!(all.len() as u64, log.size_bytes());
        log.close_clean().unwrap();
        drop(log);
        for open in [open_clean, open_unclean] {
            let log = open(&path, &config()).unwrap();
            check_every_offset(&log, &batches);
            assert_eq!(read_all(&log, 0, 900), all);
        }
    }

    #[test]
    fn nothing_behind_the_bound_is_given() {
        let dir = TempDir::new();
        let (log, batches) = log(&dir.path().join("t-0"), &config());
        for (at, (bound, _, _)) in batches.iter().enumerate() {
            for first in [0, at / 2, at.saturating_sub(1)] {
                let offset = batches[first].0;
                let plan = log.plan_read(offset, *bound, 1 << 30, true).unwrap();
                let mut bytes = vec![0; plan.len as usize];
                plan.file.read_exact_at(&mut bytes, plan.position).unwrap();
                let last = Batches::new(&bytes).last().map(|batch| batch.unwrap().header.last_offset());
                assert!(last.is_none_or(|last| last < *bound), "{last:?} with bound {bound}");
                assert_eq!(plan.len == 0, offset >= *bound, "offset {offset} with bound {bound}");
            }
        }
    }

    #[test]
    fn outside_of_the_log_is_out_of_range() {
        let dir = TempDir::new();
        let (mut log, _) = log(&dir.path().join("t-0"), &config());
        let end = log.log_end_offset();
        log.advance_start(10).unwrap();
        assert!(matches!(log.plan_read(9, end, 100, true), Err(ReadError::OutOfRange { offset: 9, start: 10, .. })));
        assert!(log.plan_read(10, end, 100, true).unwrap().len > 0);
        assert_eq!(log.plan_read(end, i64::MAX, 100, true).unwrap().len, 0);
        assert!(matches!(log.plan_read(end + 1, i64::MAX, 100, true), Err(ReadError::OutOfRange { .. })));
        assert!(matches!(log.plan_read(-1, i64::MAX, 100, true), Err(ReadError::OutOfRange { .. })));
        assert!(log.advance_start(end + 1).is_err());
    }

    #[test]
    fn a_lying_index_is_only_slow() {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        let (mut log, batches) = log(&path, &config());
        log.close_clean().unwrap();
        drop(log);
        let index = path.join("00000000000000000000.index");
        let mut bytes = std::fs::read(&index).unwrap();
        // Every position but the last one points into the middle of a batch.
        let entries = bytes.len() / 8;
        for entry in bytes.chunks_exact_mut(8).take(entries - 1) {
            entry[7] ^= 0x15;
        }
        std::fs::write(&index, bytes).unwrap();
        check_every_offset(&open_clean(&path, &config()).unwrap(), &batches);
    }

    #[test]
    fn a_deleted_segment_stays_readable_for_those_who_have_it() {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        let (log, _) = log(&path, &config());
        let plan = log.plan_read(0, i64::MAX, 1000, true).unwrap();
        drop(log);
        std::fs::remove_dir_all(&path).unwrap();
        let mut bytes = vec![0; plan.len as usize];
        plan.file.read_exact_at(&mut bytes, plan.position).unwrap();
        assert!(Batches::new(&bytes).next().unwrap().unwrap().crc_matches());
    }
}
