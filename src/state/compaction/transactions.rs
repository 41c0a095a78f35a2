//! Transactions as compaction meets them. Their markers follow their records, so the log is looked through once for
//! markers ([`TransactionScan`]) before anything is decided ([`CleanedTransactions`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wire::records::BatchHeader;

use crate::producer::Marker;

/// A transaction whose records nobody is to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbortedTxn {
    pub first_offset: i64,
    /// Offset of the marker.
    pub last_offset: i64,
    pub producer_id: i64,
}

/// Finds the aborted transactions, in the order of offsets.
#[derive(Debug, Clone, Default)]
pub struct TransactionScan {
    /// Producer id to the first offset of its transaction.
    open: BTreeMap<i64, i64>,
    aborted: Vec<AbortedTxn>,
}

impl TransactionScan {
    /// Transactions remembered at most, open and aborted together: 24 MiB. What lies behind is left to the next round.
    pub const TRANSACTIONS_MAX: usize = 1 << 20;

    /// Takes in the next batch. `marker` is what its record says when it is a control batch.
    pub fn note(&mut self, header: &BatchHeader, marker: Option<Marker>) {
        let producer_id = header.producer_id;
        if !header.is_control() {
            if header.is_transactional() {
                self.open.entry(producer_id).or_insert(header.base_offset);
            }
            return;
        }
        let Some(marker) = marker else { return };
        if let Some(first_offset) = self.open.remove(&producer_id)
            && !marker.commit
        {
            self.aborted.push(AbortedTxn { first_offset, last_offset: header.last_offset(), producer_id });
        }
    }

    pub fn is_full(&self) -> bool {
        self.open.len() + self.aborted.len() >= Self::TRANSACTIONS_MAX
    }

    /// First offset of a transaction whose end was not met: nothing at or behind it can be judged.
    pub fn first_undecided(&self) -> Option<i64> {
        self.open.values().copied().min()
    }

    pub fn finish(mut self) -> CleanedTransactions {
        self.aborted.sort_unstable();
        CleanedTransactions { aborted: self.aborted.into(), ..CleanedTransactions::default() }
    }
}

/// Follows the transactions over the batches of a log from its beginning, and tells what can go.
#[derive(Debug, Clone, Default)]
pub struct CleanedTransactions {
    /// Those that are not reached yet, by first offset.
    aborted: VecDeque<AbortedTxn>,
    /// Producer ids of those that are under way, and whether a batch of theirs was met.
    ongoing_aborted: BTreeMap<i64, bool>,
    ongoing_committed: BTreeSet<i64>,
}

impl CleanedTransactions {
    /// Takes in the next batch; true if it can be discarded: a batch of an aborted transaction, or a marker of a
    /// transaction of which no batch is left.
    pub fn is_discardable(&mut self, header: &BatchHeader, marker: Option<Marker>) -> bool {
        while let Some(next) = self.aborted.pop_front_if(|next| next.first_offset <= header.last_offset()) {
            self.ongoing_aborted.entry(next.producer_id).or_insert(false);
        }
        if header.is_control() { self.is_empty_marker(header, marker) } else { self.is_aborted(header) }
    }

    fn is_aborted(&mut self, header: &BatchHeader) -> bool {
        if !header.is_transactional() {
            return false;
        }
        match self.ongoing_aborted.get_mut(&header.producer_id) {
            Some(met) => {
                *met = true;
                true
            }
            None => {
                self.ongoing_committed.insert(header.producer_id);
                false
            }
        }
    }

    fn is_empty_marker(&mut self, header: &BatchHeader, marker: Option<Marker>) -> bool {
        match marker {
            Some(Marker { commit: true, .. }) => !self.ongoing_committed.remove(&header.producer_id),
            Some(Marker { commit: false, .. }) => self.ongoing_aborted.remove(&header.producer_id) != Some(true),
            // Only a header, as cleaning left it; or a control record of another kind, which is not ours to take.
            None => header.records_count == 0,
        }
    }
}
