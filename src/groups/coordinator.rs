//! One partition of the offsets topic: its groups, the records on their way to the log, the answers that wait for them.

use std::collections::VecDeque;

use state::group::{Effects, GroupError, Groups, Reply};

use super::Asker;
use super::writer::Writer;
use crate::calls::PartitionId;

/// Lives on the shard that owns the partition.
pub(super) struct Coordinator {
    pub(super) id: PartitionId,
    pub(super) phase: Phase,
    pub(super) writer: Writer,
    /// Number of the newest batch that is written and below the high watermark.
    kept: u64,
    /// Answers by the batch they wait for, the oldest first.
    held: VecDeque<Held>,
}

pub(super) enum Phase {
    /// The log is being read. `changed` are topics that changed meanwhile.
    Loading {
        changed: Vec<String>,
    },
    Active(Box<Groups>),
    /// The log could not be read or written: the state is not known any more.
    Gone,
}

struct Held {
    batch: u64,
    to: Asker,
    reply: Reply,
}

/// An answer, and whose it is.
pub(super) type Told = (Asker, Reply);

impl Coordinator {
    pub(super) fn new(id: PartitionId) -> Self {
        let phase = Phase::Loading { changed: Vec::new() };
        Self { id, phase, writer: Writer::default(), kept: 0, held: VecDeque::new() }
    }

    /// Why nothing can be asked now.
    pub(super) fn unavailable(&self) -> Option<GroupError> {
        match self.phase {
            Phase::Loading { .. } => Some(GroupError::Loading),
            Phase::Active(_) => None,
            Phase::Gone => Some(GroupError::NotCoordinator),
        }
    }

    pub(super) fn deadline_ms(&self) -> Option<u64> {
        if let Phase::Active(groups) = &self.phase { groups.next_deadline_ms() } else { None }
    }

    /// Gives the answer now, or holds it back until everything that was decided up to now is in the log.
    pub(super) fn tell(&mut self, to: Asker, reply: Reply, told: &mut Vec<Told>) {
        let batch = self.writer.newest();
        if batch <= self.kept {
            told.push((to, reply));
        } else {
            self.held.push_back(Held { batch, to, reply });
        }
    }

    /// The batch with this number is safe, and those before it.
    pub(super) fn kept(&mut self, batch: u64, told: &mut Vec<Told>) {
        self.kept = self.kept.max(batch);
        while self.held.front().is_some_and(|held| held.batch <= self.kept) {
            let Some(held) = self.held.pop_front() else { break };
            told.push((held.to, held.reply));
        }
    }

    /// The state is given up. Answers that wait for the log will not come true; what the groups tell those who wait for
    /// others is returned.
    pub(super) fn give_up(&mut self, told: &mut Vec<Told>) -> Effects {
        let phase = std::mem::replace(&mut self.phase, Phase::Gone);
        self.writer = Writer::default();
        let lost = |held: Held| (held.to, Reply::Unavailable(GroupError::NotCoordinator));
        told.extend(self.held.drain(..).map(lost));
        match phase {
            Phase::Active(mut groups) => groups.unloaded(),
            Phase::Loading { .. } | Phase::Gone => Effects::default(),
        }
    }
}
