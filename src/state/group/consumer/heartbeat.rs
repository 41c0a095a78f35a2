//! ConsumerGroupHeartbeat: a member joins, tells what changed and what it owns, or leaves
//! (`GroupMetadataManager.consumerGroupHeartbeat`).

use std::sync::Arc;

use wire::Uuid;

use super::super::groups::Turn;
use super::super::migration::Fate;
use super::super::{ConsumerHeartbeat, ConsumerHeartbeatDone, Cx, GroupError, Reply, Waiting};
use super::advance::Changed;
use super::member::{About, Current, JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, Member, MemberState, Owned, listed};
use super::records::Records;
use super::{Group, configs, regex};

/// Who a heartbeat speaks for.
pub(super) enum Found {
    Known(Arc<str>),
    New(Arc<str>),
    /// A static member that came back under a new id.
    Returned {
        old: Arc<str>,
        new: Arc<str>,
    },
}

/// Whether a heartbeat makes sense at all, before any group is looked at.
pub(in crate::group) fn check(cx: &Cx<'_>, heartbeat: &ConsumerHeartbeat) -> Result<(), GroupError> {
    let invalid = |text: &str| Err(GroupError::InvalidRequest(text.into()));
    let blank = |text: &str| text.trim_matches(|c| c <= ' ').is_empty();
    let epoch = heartbeat.member_epoch;
    if (heartbeat.makes_member_id || epoch > 0 || epoch == LEAVE_EPOCH) && blank(&heartbeat.member) {
        return invalid("MemberId can't be empty.");
    }
    if blank(&heartbeat.group) {
        return invalid("GroupId can't be empty.");
    }
    if heartbeat.instance.as_deref().is_some_and(blank) {
        return invalid("InstanceId can't be empty.");
    }
    if heartbeat.rack.as_deref().is_some_and(blank) {
        return invalid("RackId can't be empty.");
    }
    match epoch {
        JOIN_EPOCH if heartbeat.rebalance_timeout_ms == -1 => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        JOIN_EPOCH if !heartbeat.owned.as_ref().is_some_and(Vec::is_empty) => {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        JOIN_EPOCH if heartbeat.topics.is_none() && heartbeat.regex.is_none() => {
            let text = "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
            return invalid(text);
        }
        LEAVE_STATIC_EPOCH if heartbeat.instance.is_none() => return invalid("InstanceId can't be null."),
        ..LEAVE_STATIC_EPOCH => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    let known = &cx.settings.consumer_assignors;
    match &heartbeat.assignor {
        Some(name) if !known.contains(name) => Err(GroupError::UnsupportedAssignor(format!(
            "ServerAssignor {name} is not supported. Supported assignors: {}.",
            known.join(", ")
        ))),
        _ => Ok(()),
    }
}

impl Group {
    pub(in crate::group) fn heartbeat(
        &mut self,
        turn: &mut Turn<'_, '_>,
        waiting: Waiting,
        heartbeat: ConsumerHeartbeat,
    ) -> Fate {
        let result = match heartbeat.member_epoch {
            LEAVE_EPOCH | LEAVE_STATIC_EPOCH => self.leave_by_heartbeat(turn, &heartbeat),
            _ => self.beat(turn, heartbeat).map(|done| (done, Fate::Stays)),
        };
        let (result, fate) = match result {
            Ok((done, fate)) => (Ok(done), fate),
            Err(error) if self.is_unwritten() => (Err(error), Fate::Ends),
            Err(error) => (Err(error), Fate::Stays),
        };
        turn.reply(waiting, Reply::ConsumerHeartbeat(result));
        fate
    }

    fn beat(
        &mut self,
        turn: &mut Turn<'_, '_>,
        mut heartbeat: ConsumerHeartbeat,
    ) -> Result<ConsumerHeartbeatDone, GroupError> {
        self.check_size(turn.cx, &heartbeat.member)?;
        if heartbeat.member.is_empty() {
            heartbeat.member = (turn.cx.chance)().to_string();
        }
        let found = self.find(&heartbeat)?;
        self.check_new_regex(&heartbeat, &found)?;
        // Nothing is refused from here on, so that what is written is also answered for.
        let before = self.regexes();
        let id = self.admit(turn, found);
        let changed = self.hear(turn, &id, &heartbeat);
        self.refresh(turn, changed, before);
        self.assign_if_due(turn);
        let moved = self.reconcile(turn, &id, changed.any(), heartbeat.owned.as_deref());
        let session_ms = self.session_timeout_ms(turn.cx);
        self.heard_of(turn, &id, session_ms);
        let is_full = heartbeat.rebalance_timeout_ms != -1
            && (heartbeat.topics.is_some() || heartbeat.regex.is_some())
            && heartbeat.owned.is_some();
        let current = &self.state.members[&id].current;
        let tells = heartbeat.member_epoch == JOIN_EPOCH || is_full || moved;
        Ok(ConsumerHeartbeatDone {
            member: heartbeat.member,
            member_epoch: current.epoch,
            heartbeat_interval_ms: configs::heartbeat_interval_ms(&self.id, turn.cx.image, turn.cx.settings),
            assignment: tells.then(|| listed(&current.assigned)),
        })
    }

    pub(super) fn check_size(&self, cx: &Cx<'_>, member: &str) -> Result<(), GroupError> {
        let is_full = self.state.members.len() >= cx.settings.consumer_members_max;
        if is_full && !self.state.members.contains_key(member) {
            return Err(GroupError::GroupMaxSizeReached);
        }
        Ok(())
    }

    fn find(&self, heartbeat: &ConsumerHeartbeat) -> Result<Found, GroupError> {
        let joins = heartbeat.member_epoch == JOIN_EPOCH;
        let found = match &heartbeat.instance {
            None => self.find_dynamic(&heartbeat.member, joins)?,
            Some(instance) => self.find_static(instance, &heartbeat.member, joins, false)?,
        };
        if let Found::Known(id) = &found {
            let owned = heartbeat.owned.as_deref();
            check_epoch(&self.state.members[id].current, heartbeat.member_epoch, owned)?;
        }
        Ok(found)
    }

    pub(super) fn find_dynamic(&self, id: &str, joins: bool) -> Result<Found, GroupError> {
        match self.state.members.get_key_value(id) {
            Some((id, _)) => Ok(Found::Known(Arc::clone(id))),
            None if joins => Ok(Found::New(id.into())),
            None => Err(GroupError::UnknownMember),
        }
    }

    /// An instance that another member has is free when that one has left for a while, or when one of the two speaks the
    /// classic protocol, which knows no such leaving.
    pub(super) fn find_static(
        &self,
        instance: &str,
        id: &str,
        joins: bool,
        is_classic: bool,
    ) -> Result<Found, GroupError> {
        let Some(old) = self.state.member_of_instance(instance) else {
            return if joins { self.find_dynamic(id, true) } else { Err(GroupError::UnknownMember) };
        };
        if !joins {
            return if **old == *id { Ok(Found::Known(Arc::clone(old))) } else { Err(GroupError::FencedInstanceId) };
        }
        let Member { about, current } = &self.state.members[old];
        if !is_classic && about.classic.is_none() && current.epoch != LEAVE_STATIC_EPOCH {
            return Err(GroupError::UnreleasedInstanceId(format!(
                "Static member {id} with instance id {instance} cannot join the group because the instance id is owned \
                 by {old} member."
            )));
        }
        Ok(Found::Returned { old: Arc::clone(old), new: id.into() })
    }

    /// A regex that nobody in the group has yet has to compile.
    fn check_new_regex(&self, heartbeat: &ConsumerHeartbeat, found: &Found) -> Result<(), GroupError> {
        let Some(pattern) = heartbeat.regex.as_deref().filter(|pattern| !pattern.is_empty()) else { return Ok(()) };
        let has = match found {
            Found::Known(id) | Found::Returned { old: id, .. } => self.state.members[id].about.regex == pattern,
            Found::New(_) => false,
        };
        if has || self.state.subscriptions.members_of(pattern) > 0 {
            return Ok(());
        }
        regex::compile(pattern).map(drop)
    }

    /// A member that returned takes the place of its old self, partitions and all.
    pub(super) fn admit(&mut self, turn: &mut Turn<'_, '_>, found: Found) -> Arc<str> {
        let (old, new) = match found {
            Found::Known(id) | Found::New(id) => return id,
            Found::Returned { old, new } => (old, new),
        };
        let Some(Member { about, current }) = self.state.members.get(&old).cloned() else { return new };
        let target = self.state.targets.get(&old).cloned().unwrap_or_default();
        let current = Current { epoch: JOIN_EPOCH, previous_epoch: JOIN_EPOCH, ..current };
        let id = Arc::clone(&self.id);
        let make = Records(&id);
        self.remove(turn, &old);
        let records = &mut turn.effects.records;
        self.write(records, make.member(&new, &about));
        self.write(records, make.target(&new, &target));
        self.write(records, make.current(&new, &current));
        new
    }

    /// Takes a member out of the log and off the clock.
    pub(super) fn remove(&mut self, turn: &mut Turn<'_, '_>, id: &str) {
        let group = Arc::clone(&self.id);
        let make = Records(&group);
        self.clocks.remove(turn.timers, id);
        let records = &mut turn.effects.records;
        self.write(records, make.no_current(id));
        self.write(records, make.no_target(id));
        self.write(records, make.no_member(id));
    }

    /// Takes over what a heartbeat says of its member.
    fn hear(&mut self, turn: &mut Turn<'_, '_>, id: &Arc<str>, heartbeat: &ConsumerHeartbeat) -> Changed {
        let mut about = match self.state.members.get(id) {
            Some(member) if !member.about.is_changed_by(heartbeat) => return Changed::default(),
            Some(member) => member.about.clone(),
            None => About::default(),
        };
        about.update(heartbeat);
        self.set_about(turn, id, about)
    }

    /// A member leaves, for good or (with its partitions) for a while.
    fn leave_by_heartbeat(
        &mut self,
        turn: &mut Turn<'_, '_>,
        heartbeat: &ConsumerHeartbeat,
    ) -> Result<(ConsumerHeartbeatDone, Fate), GroupError> {
        let found = match &heartbeat.instance {
            None => self.find_dynamic(&heartbeat.member, false)?,
            Some(instance) => self.find_static(instance, &heartbeat.member, false, false)?,
        };
        let (Found::Known(id) | Found::New(id) | Found::Returned { new: id, .. }) = found;
        let fate = if heartbeat.member_epoch == LEAVE_STATIC_EPOCH {
            self.leave_for_a_while(turn, &id);
            Fate::Stays
        } else {
            self.fence(turn, &[id])
        };
        let member_epoch = heartbeat.member_epoch;
        let member = heartbeat.member.clone();
        Ok((ConsumerHeartbeatDone { member, member_epoch, heartbeat_interval_ms: 0, assignment: None }, fate))
    }

    /// Its session goes on: until that is over its partitions are nobody else's.
    fn leave_for_a_while(&mut self, turn: &mut Turn<'_, '_>, id: &str) {
        let Some(member) = self.state.members.get(id) else { return };
        let mut current = member.current.clone();
        current.epoch = LEAVE_STATIC_EPOCH;
        current.revoking = Owned::new();
        for epoch in current.assigned.values_mut().flat_map(|partitions| partitions.values_mut()) {
            *epoch = 0;
        }
        let record = Records(&self.id).current(id, &current);
        self.write(&mut turn.effects.records, record);
    }
}

/// A smaller epoch is taken for one whose answer was lost, if it is the last one and the member owns nothing that it
/// could not have.
fn check_epoch(current: &Current, epoch: i32, owned: Option<&[(Uuid, Vec<i32>)]>) -> Result<(), GroupError> {
    let fenced = |than: &str| {
        Err(GroupError::FencedMemberEpoch(format!(
            "The consumer group member has a {than} member epoch ({epoch}) than the one known by the group coordinator \
             ({}). The member must abandon all its partitions and rejoin.",
            current.epoch
        )))
    };
    if current.state == MemberState::Unknown && !owned.is_some_and(<[_]>::is_empty) {
        return Err(GroupError::FencedMemberEpoch(
            "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin."
                .into(),
        ));
    }
    if epoch == JOIN_EPOCH || epoch == current.epoch {
        return Ok(());
    }
    if epoch > current.epoch {
        return fenced("greater");
    }
    let has = |topic: &Uuid, partition: &i32| {
        current.assigned.get(topic).is_some_and(|partitions| partitions.contains_key(partition))
    };
    let is_subset = owned.is_some_and(|owned| {
        owned.iter().all(|(topic, partitions)| partitions.iter().all(|partition| has(topic, partition)))
    });
    if epoch == current.previous_epoch && is_subset { Ok(()) } else { fenced("smaller") }
}
