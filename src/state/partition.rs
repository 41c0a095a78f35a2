//! The offsets and replicas of one partition on this node (Kafka's `Partition` and the offsets of `UnifiedLog`).
//!
//! Log start, log end, high watermark and last stable offset are kept apart: with one replica they move together, with
//! several they do not. Nothing here knows the log; the shell tells what happened to it.

use std::fmt;

/// Which offsets a reader may see the records below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// READ_UNCOMMITTED: the high watermark.
    Replicated,
    /// READ_COMMITTED: the last stable offset.
    Committed,
    /// Followers: the log end.
    Replica,
}

/// What a producer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequiredAcks {
    /// acks 0 and 1.
    Leader,
    /// acks -1.
    AllIsr,
}

/// What the metadata says of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// -1: none.
    pub leader: i32,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
}

/// Why a request that names a leader epoch is refused (KIP-320).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochError {
    /// The request is older than this leader.
    Fenced { current: i32 },
    /// This leader is older than the request.
    Unknown { current: i32 },
}

impl fmt::Display for EpochError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced { current } => write!(f, "the leader epoch is older than {current}"),
            Self::Unknown { current } => write!(f, "the leader epoch is newer than {current}"),
        }
    }
}

impl std::error::Error for EpochError {}

/// What an event changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Moved {
    /// The new high watermark: waiting producers with acks=-1 and waiting consumers may go on.
    pub high_watermark: Option<i64>,
    /// The new log end: waiting producers with acks=1 and followers may go on.
    pub log_end: Option<i64>,
    /// The log has to note that this leader epoch begins at this offset.
    pub epoch_start: Option<(i32, i64)>,
}

/// How far a follower has copied the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Follower {
    replica: i32,
    /// -1: has not fetched since this leader epoch began.
    log_end: i64,
}

/// One partition. `log_start <= high_watermark <= log_end`, and none of them ever moves back while this node leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    node_id: i32,
    assignment: Assignment,
    /// `min.insync.replicas` of the topic.
    min_isr: usize,
    followers: Vec<Follower>,
    log_start: i64,
    log_end: i64,
    high_watermark: i64,
    /// First offset of a transaction that is not stable yet.
    first_unstable: Option<i64>,
}

impl PartitionState {
    /// A partition whose log was opened. `high_watermark` is the one of the checkpoint; it is brought into the bounds of
    /// the log.
    pub fn new(
        node_id: i32,
        assignment: Assignment,
        min_isr: usize,
        log_start: i64,
        log_end: i64,
        high_watermark: i64,
    ) -> Self {
        let log_end = log_end.max(log_start);
        Self {
            node_id,
            assignment,
            min_isr,
            followers: Vec::new(),
            log_start,
            log_end,
            high_watermark: high_watermark.clamp(log_start, log_end),
            first_unstable: None,
        }
    }

    pub fn is_leader(&self) -> bool {
        self.assignment.leader == self.node_id
    }

    pub fn leader(&self) -> i32 {
        self.assignment.leader
    }

    pub fn leader_epoch(&self) -> i32 {
        self.assignment.leader_epoch
    }

    pub fn partition_epoch(&self) -> i32 {
        self.assignment.partition_epoch
    }

    pub fn replicas(&self) -> &[i32] {
        &self.assignment.replicas
    }

    pub fn isr(&self) -> &[i32] {
        &self.assignment.isr
    }

    pub fn log_start(&self) -> i64 {
        self.log_start
    }

    pub fn log_end(&self) -> i64 {
        self.log_end
    }

    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The high watermark, or the first offset of a transaction that is not stable yet.
    pub fn last_stable_offset(&self) -> i64 {
        self.first_unstable.map_or(self.high_watermark, |offset| offset.min(self.high_watermark))
    }

    /// The offset below which such a reader may read.
    pub fn readable_end(&self, visibility: Visibility) -> i64 {
        match visibility {
            Visibility::Replicated => self.high_watermark,
            Visibility::Committed => self.last_stable_offset(),
            Visibility::Replica => self.log_end,
        }
    }

    /// Producers that wait for `acks` are done when the offset after their batch is not above this.
    pub fn acknowledged_end(&self, acks: RequiredAcks) -> i64 {
        match acks {
            RequiredAcks::Leader => self.log_end,
            RequiredAcks::AllIsr => self.high_watermark,
        }
    }

    /// Whether acks=-1 can be promised: the ISR is not smaller than `min.insync.replicas`, of which no more count than
    /// there are replicas.
    pub fn has_min_isr(&self) -> bool {
        self.assignment.isr.len() >= self.min_isr.min(self.assignment.replicas.len())
    }

    /// Compares the leader epoch a client believes in; -1 asks for no comparison.
    pub fn check_epoch(&self, requested: i32) -> Result<(), EpochError> {
        let current = self.leader_epoch();
        match requested {
            -1 => Ok(()),
            older if older < current => Err(EpochError::Fenced { current }),
            newer if newer > current => Err(EpochError::Unknown { current }),
            _ => Ok(()),
        }
    }

    /// Metadata has news of this partition; what is not newer than known is skipped. On a new leader epoch of this node
    /// the epoch begins at the log end, even if nothing is written in it.
    pub fn assigned(&mut self, assignment: Assignment) -> Moved {
        if assignment.partition_epoch < self.assignment.partition_epoch {
            return Moved::default();
        }
        let new_epoch = assignment.leader_epoch > self.assignment.leader_epoch;
        self.assignment = assignment;
        if !self.is_leader() {
            self.followers.clear();
            return Moved::default();
        }
        if new_epoch {
            self.became_leader()
        } else {
            self.keep_followers();
            Moved { high_watermark: self.advance_high_watermark(), ..Moved::default() }
        }
    }

    /// This node leads in the current leader epoch: called once the log is open, and by [`assigned`](Self::assigned).
    pub fn became_leader(&mut self) -> Moved {
        self.followers.clear();
        self.keep_followers();
        Moved {
            high_watermark: self.advance_high_watermark(),
            log_end: None,
            epoch_start: Some((self.leader_epoch(), self.log_end)),
        }
    }

    pub fn min_isr_changed(&mut self, min_isr: usize) -> Moved {
        self.min_isr = min_isr;
        Moved { high_watermark: self.advance_high_watermark(), ..Moved::default() }
    }

    /// Batches up to `log_end` (exclusive) are written.
    pub fn appended(&mut self, log_end: i64) -> Moved {
        if log_end <= self.log_end {
            return Moved::default();
        }
        self.log_end = log_end;
        Moved { log_end: Some(log_end), high_watermark: self.advance_high_watermark(), epoch_start: None }
    }

    /// A follower asks for `offset`: it has everything below.
    pub fn replica_fetched(&mut self, replica: i32, offset: i64) -> Moved {
        if let Some(follower) = self.followers.iter_mut().find(|follower| follower.replica == replica) {
            follower.log_end = follower.log_end.max(offset);
        }
        Moved { high_watermark: self.advance_high_watermark(), ..Moved::default() }
    }

    /// Retention or DeleteRecords moved the start of the log; never beyond the high watermark.
    pub fn log_start_advanced(&mut self, log_start: i64) {
        self.log_start = log_start.clamp(self.log_start, self.high_watermark);
    }

    /// What [`ProducerTable::first_unstable_offset`](crate::producer::ProducerTable::first_unstable_offset) says now.
    pub fn unstable_from(&mut self, first_unstable: Option<i64>) {
        self.first_unstable = first_unstable;
    }

    fn keep_followers(&mut self) {
        let (node_id, replicas) = (self.node_id, &self.assignment.replicas);
        self.followers.retain(|follower| replicas.contains(&follower.replica));
        for &replica in replicas {
            if replica != node_id && !self.followers.iter().any(|follower| follower.replica == replica) {
                self.followers.push(Follower { replica, log_end: -1 });
            }
        }
    }

    /// The high watermark is what every replica in sync has. It stands still below `min.insync.replicas`, whatever acks
    /// the producers asked for (KIP-966).
    fn advance_high_watermark(&mut self) -> Option<i64> {
        if !self.is_leader() || !self.has_min_isr() {
            return None;
        }
        let in_sync = self.followers.iter().filter(|follower| self.assignment.isr.contains(&follower.replica));
        let replicated = in_sync.map(|follower| follower.log_end).fold(self.log_end, i64::min);
        if replicated <= self.high_watermark {
            return None;
        }
        self.high_watermark = replicated;
        Some(replicated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(leader_epoch: i32, partition_epoch: i32, replicas: &[i32], isr: &[i32]) -> Assignment {
        Assignment { leader: 1, leader_epoch, partition_epoch, replicas: replicas.to_vec(), isr: isr.to_vec() }
    }

    #[test]
    fn alone_the_high_watermark_follows_the_log_end() {
        let mut p = PartitionState::new(1, assignment(0, 0, &[1], &[1]), 2, 0, 10, 4);
        assert_eq!(p.high_watermark(), 4);
        let moved = p.became_leader();
        assert_eq!((moved.high_watermark, moved.epoch_start), (Some(10), Some((0, 10))));
        let moved = p.appended(15);
        assert_eq!((moved.log_end, moved.high_watermark), (Some(15), Some(15)));
        assert_eq!(p.appended(15), Moved::default());
        // One replica: min.insync.replicas=2 counts as 1.
        assert!(p.has_min_isr());
        p.log_start_advanced(99);
        assert_eq!(p.log_start(), 15);
        p.log_start_advanced(3);
        assert_eq!(p.log_start(), 15);
    }

    #[test]
    fn open_transactions_hold_the_last_stable_offset() {
        let mut p = PartitionState::new(1, assignment(0, 0, &[1], &[1]), 1, 0, 10, 10);
        p.unstable_from(Some(7));
        assert_eq!(p.last_stable_offset(), 7);
        assert_eq!(p.readable_end(Visibility::Committed), 7);
        assert_eq!(p.readable_end(Visibility::Replicated), 10);
        p.unstable_from(Some(12));
        assert_eq!(p.last_stable_offset(), 10);
        p.unstable_from(None);
        assert_eq!(p.last_stable_offset(), 10);
    }

    #[test]
    fn the_slowest_replica_in_sync_holds_the_high_watermark() {
        let mut p = PartitionState::new(1, assignment(3, 0, &[1, 2, 3], &[1, 2, 3]), 2, 0, 10, 0);
        assert_eq!(p.became_leader().high_watermark, None);
        assert_eq!(p.replica_fetched(2, 10).high_watermark, None);
        assert_eq!(p.replica_fetched(3, 6).high_watermark, Some(6));
        assert_eq!(p.replica_fetched(9, 6), Moved::default());
        assert_eq!(p.acknowledged_end(RequiredAcks::AllIsr), 6);
        assert_eq!(p.acknowledged_end(RequiredAcks::Leader), 10);
        // 3 leaves the ISR.
        assert_eq!(p.assigned(assignment(3, 1, &[1, 2, 3], &[1, 2])).high_watermark, Some(10));
        // Older news is skipped.
        assert_eq!(p.assigned(assignment(3, 0, &[1], &[1])), Moved::default());
        // Below min.insync.replicas it stands still.
        assert_eq!(p.assigned(assignment(3, 2, &[1, 2, 3], &[1])), Moved::default());
        assert!(!p.has_min_isr());
        assert_eq!(p.appended(12).high_watermark, None);
        assert_eq!(p.min_isr_changed(1).high_watermark, Some(12));
        // A new epoch begins at the log end and forgets what followers had.
        let moved = p.assigned(assignment(4, 3, &[1, 2, 3], &[1, 2, 3]));
        assert_eq!((moved.high_watermark, moved.epoch_start), (None, Some((4, 12))));
    }

    #[test]
    fn epochs_are_compared() {
        let p = PartitionState::new(1, assignment(5, 0, &[1], &[1]), 1, 0, 0, 0);
        assert_eq!(p.check_epoch(-1), Ok(()));
        assert_eq!(p.check_epoch(5), Ok(()));
        assert_eq!(p.check_epoch(4), Err(EpochError::Fenced { current: 5 }));
        assert_eq!(p.check_epoch(6), Err(EpochError::Unknown { current: 5 }));
    }
}
