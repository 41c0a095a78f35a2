//! Compaction: of each key the last record stays (Kafka's `LogCleaner`, `Cleaner`).
//!
//! It works on segments that take no more, below the last stable offset. [`Log::dirty`] says how much there is to do,
//! [`Log::begin_cleaning`] makes a [`Cleaning`] of it, which does the reading and writing away from the shard, step by step,
//! and returns each new segment as a [`Cleaned`]; [`Log::offer_swap`] and [`Log::swap`] put it in the place of those it was
//! made of. What the decisions are is in `state::compaction`.
//!
//! - `map`: key -> last offset; `source`: reading, checked; `rewrite`: one batch; `output`: writing; `clean`: all of it
//! - `swap`: `.cleaned` -> `.swap` -> final names, so that a crash leaves either the old segments or the new one
//!
//! The last batch of a cleaned segment keeps its header, so that every segment goes on to where the next one begins, and
//! recovery can tell what was cleaned from what was lost. Kafka keeps only the last one of a round.

mod clean;
mod map;
mod output;
mod rewrite;
mod source;
mod swap;

#[cfg(test)]
mod kafka_tests;
#[cfg(test)]
mod tests;

use state::compaction::{Bounds, Dirty, LastOfProducers, SegmentSpan, dirty};

use super::Log;
use super::error::LogError;
use super::segment::Segment;
use clean::{Scanning, Work};
use source::Source;

pub use clean::{Cleaning, CleaningLimits, CleaningStats, Step};
pub use output::Cleaned;

/// Bytes after which a step looks whether it should end.
pub const SLICE_BYTES: u64 = 1024 * 1024;

/// What is to be cleaned of a log, and how urgent it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DirtyLog {
    pub dirty: Dirty,
    /// `min.cleanable.dirty.ratio` is exceeded, or `max.compaction.lag.ms`.
    pub is_due: bool,
    last_stable: i64,
}

impl Log {
    /// What of the log can be cleaned now. `cleaned` is the offset up to which it was cleaned before, if ever; `last_stable`
    /// at most the high watermark.
    pub fn dirty(&mut self, cleaned: Option<i64>, last_stable: i64, now_ms: i64) -> Result<DirtyLog, LogError> {
        let spans = self.spans();
        let bounds = Bounds {
            cleaned,
            log_start: self.log_start,
            log_end: self.log_end_offset(),
            active_base: self.closed.get(spans.len()).unwrap_or(&self.active).base(),
            last_stable: last_stable.min(self.log_end_offset()),
        };
        let first_dirty = bounds.first_dirty();
        let first = self.segment_index(first_dirty).min(spans.len());
        let young = self.first_young(first..spans.len(), now_ms)?;
        let overdue = self.is_overdue(first..spans.len(), now_ms)?;
        let dirty = dirty(&spans, &bounds, young);
        let is_due = dirty.is_due(self.config.min_cleanable_dirty_ratio, overdue);
        Ok(DirtyLog { dirty, is_due, last_stable: bounds.last_stable })
    }

    /// The segments that take no more and are wholly written.
    fn spans(&self) -> Vec<SegmentSpan> {
        let done = self.closed.iter().take_while(|segment| segment.written() == segment.size());
        done.map(span).collect()
    }

    /// Base of the first segment with records that are too young to be cleaned.
    fn first_young(&self, dirty: std::ops::Range<usize>, now_ms: i64) -> Result<Option<i64>, LogError> {
        if self.config.min_compaction_lag_ms <= 0 {
            return Ok(None);
        }
        let oldest_young = now_ms.saturating_sub(self.config.min_compaction_lag_ms);
        for segment in &self.closed[dirty] {
            if segment.largest_timestamp()? > oldest_young {
                return Ok(Some(segment.base()));
            }
        }
        Ok(None)
    }

    /// Whether a segment has waited longer than `max.compaction.lag.ms`, by the timestamp of its first batch.
    fn is_overdue(&mut self, dirty: std::ops::Range<usize>, now_ms: i64) -> Result<bool, LogError> {
        if self.config.max_compaction_lag_ms == i64::MAX {
            return Ok(false);
        }
        let waiting_since = now_ms.saturating_sub(self.config.max_compaction_lag_ms.max(0));
        for segment in &mut self.closed[dirty] {
            let first = match segment.first_timestamp() {
                Some(first) => first,
                None => read_first_timestamp(segment)?,
            };
            if first > 0 && first < waiting_since {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Everything that the cleaning of what `dirty` named needs. `last` is what the active producers left last.
    pub fn begin_cleaning(
        &self,
        dirty: &DirtyLog,
        last: LastOfProducers,
        limits: CleaningLimits,
        now_ms: i64,
    ) -> Cleaning {
        let DirtyLog { dirty: Dirty { first_dirty, first_uncleanable, .. }, last_stable, .. } = *dirty;
        let mut segments = self.spans();
        segments.retain(|segment| segment.base < first_uncleanable);
        let behind = self.segments().filter(|segment| (first_uncleanable..last_stable).contains(&segment.base()));
        let behind = behind.map(|segment| Source {
            base: segment.base(),
            next_offset: segment.next_offset(),
            size: segment.written(),
        });
        Cleaning {
            dir: self.dir.to_path_buf(),
            segments,
            behind: behind.collect(),
            first_dirty,
            first_uncleanable,
            last_stable,
            segment_bytes: u64::from(self.config.segment_bytes).min(i32::MAX as u64),
            index_bytes: u64::from(self.config.segment_index_bytes),
            index_interval: u64::from(self.config.index_interval_bytes),
            delete_retention_ms: self.config.delete_retention_ms,
            now_ms,
            last,
            limits,
            work: Work::Scan(Scanning::default()),
            stats: CleaningStats::default(),
            scratch: Default::default(),
            made: None,
            moved: 0,
        }
    }
}

fn span(segment: &Segment) -> SegmentSpan {
    let (offsets, times) = segment.indexes();
    SegmentSpan {
        base: segment.base(),
        next_offset: segment.next_offset(),
        size: segment.size(),
        offset_index_bytes: (offsets.len() * super::index::OffsetIndex::ENTRY_SIZE) as u64,
        time_index_bytes: (times.len() * super::index::TimeIndex::ENTRY_SIZE) as u64,
    }
}

/// Reads it once and has the segment keep it; 0 where it holds no batch.
fn read_first_timestamp(segment: &mut Segment) -> Result<i64, LogError> {
    let first = segment.walk(0, wire::records::HEADER_SIZE)?.next()?.map_or(0, |first| first.header.max_timestamp);
    segment.set_first_timestamp(first);
    segment.cool();
    Ok(first)
}
