//! Consumer groups (KIP-848). This is the interface that [`super::groups`] dispatches to.

use std::sync::Arc;

use wire::coordinator_record::{GroupRecordKey, GroupRecordValue};

use super::groups::Turn;
use super::migration::{Fate, Migration};
use super::timers::{Due, Slot, Timers};
use super::{
    Commit, ConsumerHeartbeat, Cx, DescribedConsumerGroup, Fetch, GroupError, Heartbeat, Join, Leave, ListedGroup,
    Record, Reply, Sync, Waiting,
};

/// A consumer group. Its id is the container's, shared.
#[derive(Debug)]
pub(super) struct Group {
    id: Arc<str>,
}

/// Whether a heartbeat makes sense at all, before any group is looked at.
pub(super) fn check(_cx: &Cx<'_>, _heartbeat: &ConsumerHeartbeat) -> Result<(), GroupError> {
    Err(GroupError::NotAvailable)
}

impl Group {
    pub(super) fn new(id: Arc<str>) -> Self {
        Self { id }
    }

    /// The group that a classic group becomes, and its records, which come after the classic group's tombstone.
    pub(super) fn upgrade(_cx: &mut Cx<'_>, _migration: &Migration) -> Result<(Self, Vec<Record>), GroupError> {
        Err(GroupError::NotAvailable)
    }

    pub(super) fn is_empty(&self) -> bool {
        true
    }

    /// Answers, now or later.
    pub(super) fn heartbeat(
        &mut self,
        turn: &mut Turn<'_, '_>,
        waiting: Waiting,
        _heartbeat: ConsumerHeartbeat,
    ) -> Fate {
        turn.reply(waiting, Reply::Unavailable(GroupError::NotAvailable));
        Fate::Stays
    }

    /// Of a classic member, as the three that follow. The group is not empty.
    pub(super) fn join(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, _join: Join) -> Fate {
        turn.reply(waiting, Reply::Unavailable(GroupError::NotAvailable));
        Fate::Stays
    }

    pub(super) fn sync(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, _sync: Sync) -> Fate {
        turn.reply(waiting, Reply::Unavailable(GroupError::NotAvailable));
        Fate::Stays
    }

    pub(super) fn classic_heartbeat(
        &mut self,
        turn: &mut Turn<'_, '_>,
        waiting: Waiting,
        _heartbeat: Heartbeat,
    ) -> Fate {
        turn.reply(waiting, Reply::Unavailable(GroupError::NotAvailable));
        Fate::Stays
    }

    pub(super) fn leave(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, _leave: Leave) -> Fate {
        turn.reply(waiting, Reply::Unavailable(GroupError::NotAvailable));
        Fate::Stays
    }

    /// Whether offsets may be committed; an error is of the whole request. Partitions whose metadata is too large are
    /// refused by the caller, and are not to be looked at here.
    pub(super) fn check_commit(&mut self, _turn: &mut Turn<'_, '_>, _commit: &Commit) -> Result<(), GroupError> {
        Err(GroupError::NotAvailable)
    }

    pub(super) fn check_fetch(&self, _fetch: &Fetch) -> Result<(), GroupError> {
        Err(GroupError::NotAvailable)
    }

    pub(super) fn is_subscribed(&self, _topic: &str) -> bool {
        false
    }

    pub(super) fn describe(&self, _cx: &Cx<'_>) -> DescribedConsumerGroup {
        DescribedConsumerGroup {
            state: "Empty",
            epoch: 0,
            assignment_epoch: 0,
            assignor: String::new(),
            members: Vec::new(),
        }
    }

    pub(super) fn listed(&self) -> ListedGroup {
        ListedGroup {
            group: self.id.as_ref().into(),
            protocol_type: "consumer".into(),
            state: "Empty",
            kind: "Consumer",
        }
    }

    /// What deletes the group from the log.
    pub(super) fn tombstones(&self, _records: &mut Vec<Record>) {}

    /// Before the group is dropped.
    pub(super) fn cancel_timers(&mut self, _timers: &mut Timers) {}

    /// One of the record kinds of consumer groups. After a record without a value the group may be over: then `false`.
    pub(super) fn replay(&mut self, _key: GroupRecordKey, _value: Option<GroupRecordValue>) -> bool {
        true
    }

    pub(super) fn loaded(&mut self, _turn: &mut Turn<'_, '_>) -> Fate {
        Fate::Stays
    }

    /// What was queued under `due` has come, if [`Timers::fires`] says so.
    pub(super) fn expire(&mut self, _turn: &mut Turn<'_, '_>, _slot: Slot, _due: &Due) -> Fate {
        Fate::Stays
    }

    pub(super) fn metadata_changed(&mut self, _turn: &mut Turn<'_, '_>, _changed: &[&str]) -> Fate {
        Fate::Stays
    }
}
