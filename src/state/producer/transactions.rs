//! The transactions of one partition: which are open, and which are over but not yet below the high watermark.

use std::collections::BTreeMap;
use std::fmt;

/// What the record of a control batch says that ends a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    pub commit: bool,
    pub coordinator_epoch: i32,
}

/// Why a marker is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerError {
    InvalidEpoch { epoch: i16, current: i16 },
    CoordinatorFenced { coordinator_epoch: i32, current: i32 },
}

impl fmt::Display for MarkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidEpoch { epoch, current } => {
                write!(f, "the marker's producer epoch {epoch} does not follow {current}")
            }
            Self::CoordinatorFenced { coordinator_epoch, current } => {
                write!(f, "the marker's coordinator epoch {coordinator_epoch} is older than {current}")
            }
        }
    }
}

impl std::error::Error for MarkerError {}

/// A transaction that a marker ended. Aborted ones go to the `.txnindex` of the segment that holds the marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedTxn {
    pub producer_id: i64,
    pub first_offset: i64,
    /// Offset of the marker.
    pub last_offset: i64,
    pub aborted: bool,
    /// The last stable offset once this transaction no longer counts.
    pub last_stable_offset: i64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Transactions {
    /// First offset to producer id.
    ongoing: BTreeMap<i64, i64>,
    /// First offset to the offset of the marker.
    ended: BTreeMap<i64, i64>,
}

impl Transactions {
    pub(super) fn ongoing_count(&self) -> usize {
        self.ongoing.len()
    }

    pub(super) fn began(&mut self, producer_id: i64, first_offset: i64) {
        self.ongoing.insert(first_offset, producer_id);
    }

    pub(super) fn ended(&mut self, producer_id: i64, first_offset: i64, offset: i64, marker: Marker) -> CompletedTxn {
        self.ongoing.remove(&first_offset);
        self.ended.insert(first_offset, offset);
        CompletedTxn {
            producer_id,
            first_offset,
            last_offset: offset,
            aborted: !marker.commit,
            last_stable_offset: self.first_undecided_offset().unwrap_or(offset.saturating_add(1)),
        }
    }

    pub(super) fn first_undecided_offset(&self) -> Option<i64> {
        self.ongoing.keys().next().copied()
    }

    pub(super) fn first_unstable_offset(&self) -> Option<i64> {
        let ended = self.ended.keys().next().copied();
        match (self.first_undecided_offset(), ended) {
            (Some(open), Some(ended)) => Some(open.min(ended)),
            (open, ended) => open.or(ended),
        }
    }

    pub(super) fn forget_ended_below(&mut self, offset: i64) {
        if !self.ended.is_empty() {
            self.ended.retain(|_, marker| *marker >= offset);
        }
    }
}
