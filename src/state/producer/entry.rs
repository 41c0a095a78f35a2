//! What is kept of one producer, and its form in a `.snapshot` file.

use super::ProducerBatch;
use super::transactions::{Marker, MarkerError};

/// Batches of a producer that are recognised when they come again: as many as a client may have in flight.
pub const BATCHES_KEPT: usize = 5;
pub const NO_EPOCH: i16 = -1;
pub const NO_SEQUENCE: i32 = -1;

/// One entry of a `.snapshot` file. Of the last five batches only the newest is kept there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerSnapshotEntry {
    pub producer_id: i64,
    pub epoch: i16,
    /// -1: no batch.
    pub last_sequence: i32,
    /// -1: no batch.
    pub last_offset: i64,
    pub offset_delta: i32,
    pub timestamp: i64,
    /// -1: no marker yet.
    pub coordinator_epoch: i32,
    /// -1: no open transaction.
    pub current_txn_first_offset: i64,
}

/// One batch of the window. Its first sequence and offset follow from the last ones, as the snapshot stores it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) last_sequence: i32,
    pub(super) offset_delta: i32,
    pub(super) last_offset: i64,
    pub(super) timestamp: i64,
}

impl Window {
    pub(super) fn base_offset(&self) -> i64 {
        self.last_offset.saturating_sub(i64::from(self.offset_delta))
    }

    /// Sequences go from `i32::MAX` to 0.
    fn base_sequence(&self) -> i32 {
        self.last_sequence.wrapping_sub(self.offset_delta) & i32::MAX
    }
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) epoch: i16,
    coordinator_epoch: i32,
    timestamp: i64,
    pub(super) txn_first_offset: Option<i64>,
    /// Oldest first; the first `count` are there.
    window: [Window; BATCHES_KEPT],
    count: u8,
    /// When the entry was last used, on the table's own clock.
    pub(super) used: u64,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            epoch: NO_EPOCH,
            coordinator_epoch: -1,
            timestamp: -1,
            txn_first_offset: None,
            window: [Window::default(); BATCHES_KEPT],
            count: 0,
            used: 0,
        }
    }
}

impl Entry {
    pub(super) fn from_snapshot(snapshot: &ProducerSnapshotEntry) -> Self {
        let mut entry = Self {
            epoch: snapshot.epoch,
            coordinator_epoch: snapshot.coordinator_epoch,
            timestamp: snapshot.timestamp,
            txn_first_offset: (snapshot.current_txn_first_offset >= 0).then_some(snapshot.current_txn_first_offset),
            ..Self::default()
        };
        if snapshot.last_offset >= 0 {
            entry.push(Window {
                last_sequence: snapshot.last_sequence,
                offset_delta: snapshot.offset_delta,
                last_offset: snapshot.last_offset,
                timestamp: snapshot.timestamp,
            });
        }
        entry
    }

    pub(super) fn to_snapshot(&self, producer_id: i64) -> ProducerSnapshotEntry {
        let last = self.batches().last();
        ProducerSnapshotEntry {
            producer_id,
            epoch: self.epoch,
            last_sequence: last.map_or(NO_SEQUENCE, |batch| batch.last_sequence),
            last_offset: last.map_or(-1, |batch| batch.last_offset),
            offset_delta: last.map_or(0, |batch| batch.offset_delta),
            timestamp: self.timestamp,
            coordinator_epoch: self.coordinator_epoch,
            current_txn_first_offset: self.txn_first_offset.unwrap_or(-1),
        }
    }

    fn batches(&self) -> &[Window] {
        &self.window[..usize::from(self.count)]
    }

    pub(super) fn last_sequence(&self) -> i32 {
        self.batches().last().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    /// The batch of the window with the same epoch and exactly the same sequences.
    pub(super) fn find(&self, batch: &ProducerBatch) -> Option<&Window> {
        if batch.epoch != self.epoch {
            return None;
        }
        self.batches()
            .iter()
            .find(|kept| kept.last_sequence == batch.last_sequence && kept.base_sequence() == batch.base_sequence)
    }

    pub(super) fn append(&mut self, batch: &ProducerBatch, base_offset: i64, last_offset: i64, timestamp: i64) {
        self.set_epoch(batch.epoch);
        self.push(Window {
            last_sequence: batch.last_sequence,
            offset_delta: i32::try_from(last_offset.saturating_sub(base_offset)).unwrap_or(i32::MAX),
            last_offset,
            timestamp,
        });
        self.timestamp = timestamp;
    }

    fn set_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.count = 0;
        }
    }

    fn push(&mut self, batch: Window) {
        if usize::from(self.count) == BATCHES_KEPT {
            self.window.copy_within(1.., 0);
            self.count -= 1;
        }
        self.window[usize::from(self.count)] = batch;
        self.count += 1;
    }

    pub(super) fn check_marker(&self, epoch: i16, marker: Marker, transaction_version: i16) -> Result<(), MarkerError> {
        // Since transaction version 2 every marker carries a raised epoch. An equal one is a retry if nothing is open,
        // and the last epoch of all is let through so that a producer that used it up can be closed.
        let retry = epoch == self.epoch && (self.txn_first_offset.is_none() || epoch == i16::MAX);
        let stale = if transaction_version >= 2 { epoch <= self.epoch && !retry } else { epoch < self.epoch };
        if stale {
            return Err(MarkerError::InvalidEpoch { epoch, current: self.epoch });
        }
        if marker.coordinator_epoch < self.coordinator_epoch {
            let current = self.coordinator_epoch;
            return Err(MarkerError::CoordinatorFenced { coordinator_epoch: marker.coordinator_epoch, current });
        }
        Ok(())
    }

    /// Returns where the transaction began that this ends.
    pub(super) fn end_txn(&mut self, epoch: i16, coordinator_epoch: i32, timestamp: i64) -> Option<i64> {
        self.set_epoch(epoch);
        self.coordinator_epoch = coordinator_epoch;
        self.timestamp = timestamp;
        self.txn_first_offset.take()
    }

    pub(super) fn expired(&self, now_ms: i64, expiration_ms: i64) -> bool {
        self.txn_first_offset.is_none() && now_ms.saturating_sub(self.timestamp) >= expiration_ms
    }
}

/// Whether a batch that begins with `sequence` comes right after `last`. After -1 (none) comes 0, after `i32::MAX` too.
pub(super) fn sequence_follows(last: i32, sequence: i32) -> bool {
    i64::from(sequence) == i64::from(last) + 1 || (sequence == 0 && last == i32::MAX)
}
