//! Consumer groups (KIP-848): the coordinator computes who gets which partition, and leads each member there.
//!
//! A group has an epoch, which grows with every change that matters, and for each epoch, sooner or later, a target: the
//! partitions that each member shall have. A member has an epoch of its own, and its heartbeats bring it to the target's.
//!
//! - [`state`]: what the records say. Every decision is a record that is applied at once; [`records`] makes them
//! - [`heartbeat`]: a member joins, stays or leaves; [`advance`]: what follows from that for the group and for the member:
//!   epoch, target ([`assignor`]) and the next step towards it ([`reconcile`])
//! - [`classic_member`]: members that still speak the classic protocol; [`migrate`]: groups that change it
//! - [`subscriptions`], [`regex`], [`hash`]: topics that members want, and whether anything about them changed
//! - [`fence`], [`offsets`], [`describe`]: who is taken out, who may commit, what operators see

mod advance;
mod assignor;
mod classic_member;
mod clocks;
mod configs;
mod describe;
mod fence;
mod hash;
mod heartbeat;
mod member;
mod migrate;
mod offsets;
mod protocol;
mod reconcile;
mod records;
mod regex;
mod state;
mod subscriptions;

#[cfg(test)]
#[path = "../oracle/mod.rs"]
mod oracle;
#[cfg(test)]
mod tests;

pub(super) use heartbeat::check;

use std::sync::Arc;

use wire::coordinator_record::{GroupRecordKey, GroupRecordValue};

use super::groups::Turn;
use super::migration::Fate;
use super::timers::{Deadline, Due, Slot, Timer, Timers};
use super::{Cx, Record};
use clocks::{Clocks, Ran};
use member::MemberState;
use records::Records;
use state::State;

/// A consumer group. Its id is the container's, shared.
#[derive(Debug)]
pub(super) struct Group {
    id: Arc<str>,
    state: State,
    clocks: Clocks,
    /// Set while somebody waits for the regexes to be looked at.
    regexes_due: Deadline,
    /// When the topics are looked at again, if nobody says before that they changed.
    refresh_at_ms: u64,
    /// The metadata that last had topics that no regex has seen.
    topics_version: i64,
}

impl Group {
    pub(super) fn new(id: Arc<str>) -> Self {
        let clocks = Clocks::new(Arc::clone(&id));
        let (state, regexes_due) = (State::default(), Deadline::default());
        Self { id, state, clocks, regexes_due, refresh_at_ms: 0, topics_version: -1 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.members.is_empty()
    }

    /// One of the record kinds of consumer groups. After a record without a value the group may be over: then `false`.
    pub(super) fn replay(&mut self, key: GroupRecordKey, value: Option<GroupRecordValue>) -> bool {
        self.state.apply(key, value)
    }

    /// No record was written for it.
    fn is_unwritten(&self) -> bool {
        self.state == State::default()
    }

    /// Decides a record.
    fn write(&mut self, records: &mut Vec<Record>, record: Record) {
        self.state.apply(record.key.clone(), record.value.clone());
        records.push(record);
    }

    pub(super) fn loaded(&mut self, turn: &mut Turn<'_, '_>) -> Fate {
        self.topics_version = turn.cx.image.version();
        let session_ms = configs::session_timeout_ms(&self.id, turn.cx.image, turn.cx.settings);
        for (id, member) in &self.state.members {
            self.clocks.session(turn.timers, id, turn.cx.now_ms + session_ms);
            if member.current.state == MemberState::UnrevokedPartitions && member.about.classic.is_none() {
                let until_ms = turn.cx.now_ms + timeout(member.about.rebalance_timeout_ms);
                self.clocks.revocation(turn.timers, id, member.current.epoch, until_ms);
            }
        }
        Fate::Stays
    }

    /// What was queued under `due` has come, if [`Timers::fires`] says so.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_, '_>, slot: Slot, due: &Due) -> Fate {
        if *due == Due::Regexes {
            let timer = Timer { group: Arc::clone(&self.id), what: Due::Regexes };
            if turn.timers.fires(&mut self.regexes_due, slot, &timer, turn.cx.now_ms) {
                self.look_at_regexes(turn);
            }
            return Fate::Stays;
        }
        let Some((id, ran)) = self.clocks.fired(turn.timers, slot, due, turn.cx.now_ms) else { return Fate::Stays };
        let Some(member) = self.state.members.get(&id) else { return Fate::Stays };
        if ran == Ran::Out || ran == Ran::OutAtEpoch(member.current.epoch) {
            return self.fence(turn, &[id]);
        }
        Fate::Stays
    }

    /// Members learn of it with their next heartbeat.
    pub(super) fn metadata_changed(&mut self, turn: &mut Turn<'_, '_>, changed: &[&str]) -> Fate {
        for topic in changed {
            if self.is_subscribed(topic) {
                self.refresh_at_ms = 0;
            } else if turn.cx.image.topic(topic).is_some() {
                self.topics_version = turn.cx.image.version();
            }
        }
        Fate::Stays
    }

    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        self.state.subscriptions.contains(topic)
    }

    /// What deletes the group from the log.
    pub(super) fn tombstones(&self, records: &mut Vec<Record>) {
        let make = Records(&self.id);
        records.extend(self.state.members.keys().map(|id| make.no_current(id)));
        records.extend(self.state.members.keys().map(|id| make.no_target(id)));
        records.push(make.no_target_epoch());
        records.extend(self.state.members.keys().map(|id| make.no_member(id)));
        records.extend(self.state.subscriptions.resolved().keys().map(|regex| make.no_regex(regex)));
        records.push(make.no_partition_metadata());
        records.push(make.no_group());
    }

    /// Before the group is dropped.
    pub(super) fn cancel_timers(&mut self, timers: &mut Timers) {
        self.clocks.clear(timers);
        timers.cancel(&mut self.regexes_due);
    }

    fn heard_of(&mut self, turn: &mut Turn<'_, '_>, id: &Arc<str>, session_ms: u64) {
        self.clocks.session(turn.timers, id, turn.cx.now_ms + session_ms);
    }

    fn session_timeout_ms(&self, cx: &Cx<'_>) -> u64 {
        configs::session_timeout_ms(&self.id, cx.image, cx.settings)
    }
}

/// What clients give as int32.
fn timeout(ms: i32) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}
