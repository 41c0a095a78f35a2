//! What compaction takes from a log and what it keeps (Kafka's `LogCleanerManager`, `LogToClean`, `Cleaner`,
//! `CleanedTransactionMetadata`): which segments are cleaned, which of them become one, which batches and records stay.
//!
//! Nothing here sees a byte of a record: the log reads and asks, batch by batch.

mod transactions;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;

use wire::records::BatchHeader;

use crate::producer::ProducerSnapshotEntry;

pub use transactions::{AbortedTxn, CleanedTransactions, TransactionScan};

/// A segment that takes no more. Sizes are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSpan {
    pub base: i64,
    /// Where the next segment begins.
    pub next_offset: i64,
    pub size: u64,
    pub offset_index_bytes: u64,
    pub time_index_bytes: u64,
}

/// What must not be crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Everything before it was cleaned, as the checkpoint has it.
    pub cleaned: Option<i64>,
    pub log_start: i64,
    pub log_end: i64,
    /// Where the first segment begins that still changes.
    pub active_base: i64,
    /// The last stable offset: what is behind it may yet be aborted, or lost.
    pub last_stable: i64,
}

impl Bounds {
    /// Where cleaning has to go on. A checkpoint outside of the log says nothing: all of it counts as dirty.
    pub fn first_dirty(&self) -> i64 {
        self.cleaned.filter(|cleaned| (self.log_start..=self.log_end).contains(cleaned)).unwrap_or(self.log_start)
    }
}

/// How much there is to clean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dirty {
    pub first_dirty: i64,
    /// Base of the first segment that stays as it is; everything before it may be cleaned.
    pub first_uncleanable: i64,
    /// Bytes of the segments in between.
    pub cleanable_bytes: u64,
    /// The same, and those before the first dirty offset.
    pub total_bytes: u64,
}

impl Dirty {
    /// The share of the log that was not cleaned yet, 0 to 1: the dirtiest log is cleaned first.
    pub fn ratio(&self) -> f64 {
        if self.total_bytes == 0 { 0.0 } else { self.cleanable_bytes as f64 / self.total_bytes as f64 }
    }

    /// Whether cleaning is worth its cost, or was put off for as long as may be (`overdue`).
    pub fn is_due(&self, ratio_min: f64, overdue: bool) -> bool {
        self.cleanable_bytes > 0 && (overdue || self.ratio() > ratio_min)
    }
}

/// What of `closed`, the segments that take no more, can be cleaned. `first_young` is the base of the first dirty one that
/// has records within `min.compaction.lag.ms`.
pub fn dirty(closed: &[SegmentSpan], bounds: &Bounds, first_young: Option<i64>) -> Dirty {
    let first_dirty = bounds.first_dirty();
    let limit = bounds.last_stable.min(bounds.active_base).min(first_young.unwrap_or(i64::MAX)).max(first_dirty);
    // Only whole segments: the one that holds the limit stays.
    let holding = |offset: i64| closed.partition_point(|segment| segment.base <= offset).saturating_sub(1);
    let end = if limit >= bounds.active_base {
        closed.partition_point(|segment| segment.base < bounds.active_base)
    } else {
        holding(limit)
    };
    let first_uncleanable = closed.get(end).map_or(bounds.active_base, |segment| segment.base);
    let begin = holding(first_dirty.min(first_uncleanable)).min(end);
    let bytes = |segments: &[SegmentSpan]| segments.iter().map(|segment| segment.size).sum::<u64>();
    let cleanable_bytes = if first_dirty < first_uncleanable { bytes(&closed[begin..end]) } else { 0 };
    let clean = closed.partition_point(|segment| segment.base < first_dirty);
    let total_bytes = bytes(&closed[..clean]) + cleanable_bytes;
    Dirty { first_dirty, first_uncleanable: first_uncleanable.max(first_dirty), cleanable_bytes, total_bytes }
}

/// The segments that become one segment each: neighbours, as long as their sizes before cleaning fit together, so that
/// segments do not get ever smaller. Sizes are bytes.
pub fn groups(segments: &[SegmentSpan], segment_bytes: u64, index_bytes: u64) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    while let Some(first) = segments.get(start) {
        let (mut size, mut offsets, mut times) = (first.size, first.offset_index_bytes, first.time_index_bytes);
        let mut end = start + 1;
        while let Some(next) = segments.get(end) {
            size += next.size;
            offsets += next.offset_index_bytes;
            times += next.time_index_bytes;
            // Offsets are stored relative to the base, in 31 bits. An empty segment stores none.
            let in_reach = next.size == 0 || next.next_offset - 1 - first.base <= i64::from(i32::MAX);
            if size > segment_bytes || offsets > index_bytes || times > index_bytes || !in_reach {
                break;
            }
            end += 1;
        }
        groups.push(start..end);
        start = end;
    }
    groups
}

/// The last thing that an active producer left in the log, by producer id: its last offset, if it has one, and its epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastOfProducers {
    last: HashMap<i64, (Option<i64>, i16)>,
}

impl LastOfProducers {
    pub fn of(producers: &[ProducerSnapshotEntry]) -> Self {
        let last = |entry: &ProducerSnapshotEntry| ((entry.last_offset >= 0).then_some(entry.last_offset), entry.epoch);
        Self { last: producers.iter().map(|entry| (entry.producer_id, last(entry))).collect() }
    }

    /// Whether the batch holds a producer's last sequence or, where only a marker is left of it, its last epoch. It stays,
    /// if empty: a start would not know the producer any more otherwise.
    fn holds(&self, header: &BatchHeader) -> bool {
        match self.last.get(&header.producer_id) {
            _ if !header.has_producer_id() => false,
            None => false,
            Some((Some(offset), _)) => header.last_offset() == *offset,
            Some((None, epoch)) => header.is_control() && header.producer_epoch == *epoch,
        }
    }
}

/// What stays of a batch that has lost all its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    /// The offsets, without the producer: a transaction that is begun by an empty batch would need its marker for ever.
    Offsets,
    /// The header as it is, for the sake of its producer.
    Header,
}

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// None of its records stays, whatever their keys.
    pub discard: bool,
    /// What stays if no record does.
    pub keep: Keep,
    /// It is the marker of a transaction that has no records any more: it may go once `delete.retention.ms` has passed.
    pub starts_horizon: bool,
}

impl Retention {
    /// `discardable`: its transaction was aborted, or has no records left, see [`CleanedTransactions`]. `is_last`: the last
    /// batch of a segment to be, whose offsets stay, so that the segment goes on to where the next begins.
    pub fn of(header: &BatchHeader, discardable: bool, is_last: bool, last: &LastOfProducers, now_ms: i64) -> Self {
        let expired = header.delete_horizon_ms().is_some_and(|horizon| horizon <= now_ms);
        Self {
            discard: discardable && (!header.is_control() || expired),
            keep: match (last.holds(header), is_last) {
                (true, _) => Keep::Header,
                (false, true) => Keep::Offsets,
                (false, false) => Keep::Nothing,
            },
            starts_horizon: discardable && header.is_control(),
        }
    }
}

/// What decides about one record of a batch that is not discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub offset: i64,
    /// The highest offset of its key in what was mapped, if the key is there; no key, no offset.
    pub newest: Option<i64>,
    pub has_key: bool,
    pub has_value: bool,
}

impl Candidate {
    /// `mapped_end`: the map knows all records before it. `horizon_ms`: when tombstones of the batch may go.
    pub fn stays(&self, mapped_end: i64, horizon_ms: Option<i64>, now_ms: i64) -> bool {
        if self.offset >= mapped_end {
            return true;
        }
        let is_newest = self.newest.is_none_or(|newest| self.offset >= newest);
        self.has_key && is_newest && (self.has_value || horizon_ms.is_none_or(|horizon| now_ms < horizon))
    }
}
