//! One step of a member towards its target (Kafka's `CurrentAssignmentBuilder`).
//!
//! First the member gives up what is not in its target, and says so; only then it moves to the target's epoch and is
//! given what nobody else has. So no partition is ever with two members, and each waits only for those before it.

use std::collections::BTreeSet;

use wire::Uuid;

use super::super::GroupError;
use super::assignor::Partitions;
use super::member::{Current, MemberState, Owned};

pub(super) struct Step<'a> {
    pub(super) current: &'a Current,
    /// Ids of the topics that the member subscribes to now.
    pub(super) subscribed: BTreeSet<Uuid>,
    /// The member subscribes to other topics than the target was made for.
    pub(super) subscription_changed: bool,
    pub(super) target_epoch: i32,
    pub(super) target: &'a Partitions,
    /// What the member says it owns; `None`: nothing new.
    pub(super) owned: Option<&'a [(Uuid, Vec<i32>)]>,
    /// Whether a partition is with another member.
    pub(super) is_taken: &'a dyn Fn(&Uuid, i32) -> bool,
}

/// A target, sorted by what has to happen with each partition.
#[derive(Default)]
struct Sorted {
    kept: Owned,
    revoked: Owned,
    given: Vec<(Uuid, i32)>,
    /// Some of the target are still with others.
    waits: bool,
}

impl Step<'_> {
    /// What the member has after this step.
    pub(super) fn next(&self) -> Result<Current, GroupError> {
        match self.current.state {
            MemberState::Stable if self.current.epoch != self.target_epoch => Ok(self.towards_target(self.current.epoch)),
            MemberState::Stable => Ok(self.shrunk()),
            MemberState::UnrevokedPartitions if self.owns_any_of(&self.current.revoking) => Ok(self.shrunk()),
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
                Ok(self.towards_target(self.current.epoch))
            }
            MemberState::Unknown if self.owned.is_some_and(<[_]>::is_empty) => {
                Ok(self.towards_target(self.target_epoch))
            }
            MemberState::Unknown => Err(GroupError::FencedMemberEpoch(
                "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin."
                    .into(),
            )),
        }
    }

    fn towards_target(&self, epoch: i32) -> Current {
        let Sorted { mut kept, revoked, given, waits } = self.sorted();
        if !revoked.is_empty() && self.owns_any_of(&revoked) {
            return self.moved(epoch, MemberState::UnrevokedPartitions, kept, revoked);
        }
        for (topic, partition) in given {
            kept.entry(topic).or_default().insert(partition, self.target_epoch);
        }
        let state = if waits { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        self.moved(self.target_epoch, state, kept, Owned::new())
    }

    fn sorted(&self) -> Sorted {
        let mut sorted = Sorted::default();
        let nothing = BTreeSet::new();
        for (topic, partitions) in &self.current.assigned {
            let target = if self.subscribed.contains(topic) { self.target.get(topic) } else { None };
            let target = target.unwrap_or(&nothing);
            for (partition, epoch) in partitions {
                let to = if target.contains(partition) { &mut sorted.kept } else { &mut sorted.revoked };
                to.entry(*topic).or_default().insert(*partition, *epoch);
            }
        }
        for (topic, partitions) in self.target.iter().filter(|(topic, _)| self.subscribed.contains(topic)) {
            let assigned = self.current.assigned.get(topic);
            for partition in partitions {
                if assigned.is_some_and(|assigned| assigned.contains_key(partition)) {
                    continue;
                }
                if (self.is_taken)(topic, *partition) {
                    sorted.waits = true;
                } else {
                    sorted.given.push((*topic, *partition));
                }
            }
        }
        sorted
    }

    /// Takes away what the member does not subscribe to any more, without waiting for a new target.
    fn shrunk(&self) -> Current {
        let mut next = self.current.clone();
        if !self.subscription_changed {
            return next;
        }
        next.assigned.retain(|topic, partitions| {
            let stays = self.subscribed.contains(topic);
            if !stays {
                next.revoking.entry(*topic).or_default().append(partitions);
            }
            stays
        });
        if next.assigned.len() == self.current.assigned.len() {
            return next;
        }
        if self.owns_any_of(&next.revoking) {
            return self.moved(next.epoch, MemberState::UnrevokedPartitions, next.assigned, next.revoking);
        }
        self.moved(next.epoch, next.state, next.assigned, self.current.revoking.clone())
    }

    fn moved(&self, epoch: i32, state: MemberState, assigned: Owned, revoking: Owned) -> Current {
        Current { epoch, previous_epoch: self.current.epoch, state, assigned, revoking }
    }

    /// Whether the member did not say yet that it has given up all of these.
    fn owns_any_of(&self, partitions: &Owned) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|(topic, owned)| {
            partitions.get(topic).is_some_and(|partitions| owned.iter().any(|owned| partitions.contains_key(owned)))
        })
    }
}
