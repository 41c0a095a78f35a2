//! Idempotent and transactional producers of one partition (KIP-98, KIP-360; Kafka's `ProducerStateManager`,
//! `ProducerAppendInfo` and `ProducerStateEntry`).
//!
//! The partition's shard owns one [`ProducerTable`] beside its log. A batch is checked, and once it has its offsets it is
//! staged, before it is written: a second batch of the same producer in the same wake sees the first. When a write
//! fails the partition goes offline, so nothing is ever taken back.

mod entry;
mod transactions;

use std::collections::BTreeMap;
use std::fmt;

use wire::records::BatchHeader;

pub use entry::{BATCHES_KEPT, NO_EPOCH, NO_SEQUENCE, ProducerSnapshotEntry};
use entry::{Entry, sequence_follows};
use transactions::Transactions;
pub use transactions::{CompletedTxn, Marker, MarkerError};

/// When the table is full it makes room for this part of its size at once, so that a flood of new ids costs little each.
const EVICTED_PART: usize = 16;

/// What the header of a batch says about its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerBatch {
    /// Negative: no producer id, nothing to check.
    pub producer_id: i64,
    pub epoch: i16,
    pub base_sequence: i32,
    pub last_sequence: i32,
    pub transactional: bool,
}

impl From<&BatchHeader> for ProducerBatch {
    fn from(header: &BatchHeader) -> Self {
        Self {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            transactional: header.is_transactional(),
        }
    }
}

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Append,
    /// One of the producer's last five batches, sent again: answer with the offsets it got then. It may still be on its
    /// way to the disk or to the replicas, so the answer waits for `last_offset` like that of a new batch.
    Duplicate {
        base_offset: i64,
        last_offset: i64,
        timestamp: i64,
    },
    Rejected(ProducerError),
}

/// Why a batch of a producer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProducerError {
    /// The first sequence does not follow the last one seen, or a new epoch does not begin with 0. A duplicate of a batch
    /// older than the last five ends here too. `expected` is the only sequence that would have been taken.
    OutOfOrderSequence { producer_id: i64, sequence: i32, expected: i32 },
    /// A younger incarnation of the producer has written here.
    InvalidEpoch { producer_id: i64, epoch: i16, current: i16 },
    /// A batch outside of any transaction while one of the same producer is open.
    InvalidTxnState { producer_id: i64 },
    /// Every place of the table is held by an open transaction.
    TooManyTransactions { producers_max: usize },
}

impl fmt::Display for ProducerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrderSequence { producer_id, sequence, expected } => {
                write!(f, "sequence {sequence} of producer {producer_id} is out of order, expected is {expected}")
            }
            Self::InvalidEpoch { producer_id, epoch, current } => {
                write!(f, "epoch {epoch} of producer {producer_id} is older than {current}")
            }
            Self::InvalidTxnState { producer_id } => {
                write!(f, "producer {producer_id} has an open transaction and this batch is not part of it")
            }
            Self::TooManyTransactions { producers_max } => {
                write!(f, "all {producers_max} producers of the partition have open transactions")
            }
        }
    }
}

impl std::error::Error for ProducerError {}

/// How much a table remembers, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerLimits {
    /// `producer.id.expiration.ms`, measured against the newest record timestamp of a producer's last batch.
    pub expiration_ms: i64,
    /// Producers remembered at once. Beyond it those that have been silent the longest are forgotten.
    pub producers_max: usize,
}

impl Default for ProducerLimits {
    fn default() -> Self {
        Self { expiration_ms: 86_400_000, producers_max: 100_000 }
    }
}

/// The producers of one partition, as of [`end_offset`](Self::end_offset).
#[derive(Debug, Clone)]
pub struct ProducerTable {
    limits: ProducerLimits,
    producers: BTreeMap<i64, Entry>,
    transactions: Transactions,
    end_offset: i64,
    /// Counts the uses of entries: the clock of the eviction.
    uses: u64,
}

impl ProducerTable {
    pub fn new(limits: ProducerLimits) -> Self {
        Self { limits, producers: BTreeMap::new(), transactions: Transactions::default(), end_offset: 0, uses: 0 }
    }

    /// `producer.id.expiration.ms` has changed; it counts from the next [`expire`](Self::expire) on.
    pub fn set_expiration_ms(&mut self, expiration_ms: i64) {
        self.limits.expiration_ms = expiration_ms;
    }

    /// What a `.snapshot` file as of `end_offset` (exclusive) holds. Expired producers are left out.
    pub fn from_snapshot(
        limits: ProducerLimits,
        end_offset: i64,
        entries: impl IntoIterator<Item = ProducerSnapshotEntry>,
        now_ms: i64,
    ) -> Self {
        let mut table = Self::new(limits);
        table.end_offset = end_offset;
        for snapshot in entries {
            let mut entry = Entry::from_snapshot(&snapshot);
            if entry.expired(now_ms, limits.expiration_ms) {
                continue;
            }
            table.make_room(snapshot.producer_id);
            entry.used = table.next_use();
            if let Some(first_offset) = entry.txn_first_offset {
                table.transactions.began(snapshot.producer_id, first_offset);
            }
            table.producers.insert(snapshot.producer_id, entry);
        }
        table
    }

    /// What a `.snapshot` file as of [`end_offset`](Self::end_offset) has to hold, by producer id.
    pub fn to_snapshot(&self) -> Vec<ProducerSnapshotEntry> {
        self.producers.iter().map(|(&producer_id, entry)| entry.to_snapshot(producer_id)).collect()
    }

    /// The offset after the last batch that was staged or replayed.
    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    pub fn len(&self) -> usize {
        self.producers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Everything known about the producers, for DescribeProducers: same shape as the snapshot.
    pub fn producer(&self, producer_id: i64) -> Option<ProducerSnapshotEntry> {
        self.producers.get(&producer_id).map(|entry| entry.to_snapshot(producer_id))
    }

    /// Judges a batch from a client. Batches that were staged count as appended.
    pub fn check(&self, batch: &ProducerBatch) -> Verdict {
        if batch.producer_id < 0 {
            return Verdict::Append;
        }
        let Some(entry) = self.producers.get(&batch.producer_id) else {
            return self.check_room();
        };
        if let Some(duplicate) = entry.find(batch) {
            return Verdict::Duplicate {
                base_offset: duplicate.base_offset(),
                last_offset: duplicate.last_offset,
                timestamp: duplicate.timestamp,
            };
        }
        match check_entry(entry, batch) {
            Ok(()) => Verdict::Append,
            Err(error) => Verdict::Rejected(error),
        }
    }

    /// An unknown producer may begin with any sequence: its state may have expired.
    fn check_room(&self) -> Verdict {
        let producers_max = self.limits.producers_max;
        if self.transactions.ongoing_count() >= producers_max {
            return Verdict::Rejected(ProducerError::TooManyTransactions { producers_max });
        }
        Verdict::Append
    }

    /// The batch, which was checked, got its offsets and leaves for the disk. `max_timestamp` is that of its header as
    /// it is written.
    pub fn stage(&mut self, batch: &ProducerBatch, base_offset: i64, last_offset: i64, max_timestamp: i64) {
        self.end_offset = last_offset.saturating_add(1);
        if batch.producer_id < 0 {
            return;
        }
        self.make_room(batch.producer_id);
        let used = self.next_use();
        let entry = self.producers.entry(batch.producer_id).or_default();
        entry.used = used;
        entry.append(batch, base_offset, last_offset, max_timestamp);
        if batch.transactional && entry.txn_first_offset.is_none() {
            entry.txn_first_offset = Some(base_offset);
            self.transactions.began(batch.producer_id, base_offset);
        }
    }

    /// A batch was appended that carries no producer id.
    pub fn appended(&mut self, next_offset: i64) {
        self.end_offset = self.end_offset.max(next_offset);
    }

    /// A batch found in the log, or copied from the leader: taken as it is. `marker` is what its record says when it is
    /// a control batch; a transaction that this ends is returned, for the transaction index.
    pub fn replay(&mut self, header: &BatchHeader, marker: Option<Marker>) -> Option<CompletedTxn> {
        if header.producer_id >= 0 && header.is_control() {
            let marker = marker?;
            return self.end_txn(
                header.producer_id,
                header.producer_epoch,
                marker,
                header.base_offset,
                header.base_timestamp,
            );
        }
        if header.is_control() {
            self.appended(header.next_offset());
        } else {
            self.stage(&ProducerBatch::from(header), header.base_offset, header.last_offset(), header.max_timestamp);
        }
        None
    }

    /// Judges a marker of the transaction coordinator. `transaction_version` decides whether its epoch has to be above
    /// the producer's (2 and later, KIP-890) or may be equal.
    pub fn check_marker(
        &self,
        producer_id: i64,
        epoch: i16,
        marker: Marker,
        transaction_version: i16,
    ) -> Result<(), MarkerError> {
        let Some(entry) = self.producers.get(&producer_id) else {
            return Ok(());
        };
        entry.check_marker(epoch, marker, transaction_version)
    }

    /// A marker takes its place in the log at `offset`. It ends the producer's transaction here, if one was open.
    pub fn end_txn(
        &mut self,
        producer_id: i64,
        epoch: i16,
        marker: Marker,
        offset: i64,
        timestamp: i64,
    ) -> Option<CompletedTxn> {
        self.end_offset = offset.saturating_add(1);
        self.make_room(producer_id);
        let used = self.next_use();
        let entry = self.producers.entry(producer_id).or_default();
        entry.used = used;
        let first_offset = entry.end_txn(epoch, marker.coordinator_epoch, timestamp)?;
        Some(self.transactions.ended(producer_id, first_offset, offset, marker))
    }

    /// Whether this incarnation of the producer has an open transaction here.
    pub fn has_open_txn(&self, producer_id: i64, epoch: i16) -> bool {
        self.producers.get(&producer_id).is_some_and(|entry| entry.epoch == epoch && entry.txn_first_offset.is_some())
    }

    /// The first offset of a transaction that is open, or whose marker is not below the high watermark yet: the last
    /// stable offset is the smaller of this and the high watermark.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        self.transactions.first_unstable_offset()
    }

    /// The first offset of a transaction that is open: compaction stops there.
    pub fn first_undecided_offset(&self) -> Option<i64> {
        self.transactions.first_undecided_offset()
    }

    /// Markers below it are replicated: their transactions no longer hold back the last stable offset.
    pub fn high_watermark_advanced(&mut self, high_watermark: i64) {
        self.transactions.forget_ended_below(high_watermark);
    }

    pub fn log_start_advanced(&mut self, log_start: i64) {
        self.transactions.forget_ended_below(log_start);
        self.end_offset = self.end_offset.max(log_start);
    }

    /// Forgets producers that have been silent for `producer.id.expiration.ms` and have no open transaction. Returns
    /// how many.
    pub fn expire(&mut self, now_ms: i64) -> usize {
        let before = self.producers.len();
        let expiration_ms = self.limits.expiration_ms;
        self.producers.retain(|_, entry| !entry.expired(now_ms, expiration_ms));
        before - self.producers.len()
    }

    pub fn set_limits(&mut self, limits: ProducerLimits) {
        self.limits = limits;
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    /// Before a new producer enters a full table, the longest unused ones leave. Open transactions stay.
    fn make_room(&mut self, producer_id: i64) {
        if self.producers.len() < self.limits.producers_max || self.producers.contains_key(&producer_id) {
            return;
        }
        let idle = self.producers.iter().filter(|(_, entry)| entry.txn_first_offset.is_none());
        let mut idle: Vec<(u64, i64)> = idle.map(|(&id, entry)| (entry.used, id)).collect();
        let count = (self.limits.producers_max / EVICTED_PART).max(1).min(idle.len());
        if count < idle.len() {
            idle.select_nth_unstable(count);
        }
        for (_, id) in &idle[..count] {
            self.producers.remove(id);
        }
    }
}

fn check_entry(entry: &Entry, batch: &ProducerBatch) -> Result<(), ProducerError> {
    let producer_id = batch.producer_id;
    if batch.epoch < entry.epoch {
        return Err(ProducerError::InvalidEpoch { producer_id, epoch: batch.epoch, current: entry.epoch });
    }
    let last_sequence = if batch.epoch == entry.epoch { entry.last_sequence() } else { NO_SEQUENCE };
    if entry.epoch != NO_EPOCH && !sequence_follows(last_sequence, batch.base_sequence) {
        let expected = last_sequence.wrapping_add(1) & i32::MAX;
        return Err(ProducerError::OutOfOrderSequence { producer_id, sequence: batch.base_sequence, expected });
    }
    if entry.txn_first_offset.is_some() && !batch.transactional {
        return Err(ProducerError::InvalidTxnState { producer_id });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
