//! Members of a consumer group that speak the classic protocol (KIP-848's online migration).
//!
//! Such a member does not know that the coordinator assigns. It joins and is answered at once, with its member epoch as
//! the generation and another member as the leader; it syncs and gets its part. When that changes it is told with a
//! heartbeat that a rebalance is in progress, and rejoins with the partitions that it gave up.

use std::sync::Arc;

use wire::generated::consumer_group_member_metadata_value::{ClassicMemberMetadata, ClassicProtocol};

use super::super::groups::Turn;
use super::super::migration::Fate;
use super::super::{
    Client, GroupError, Heartbeat, Join, Joined, Leave, LeavingMember, LeftMember, MigrationPolicy, Reply, Sync,
    Synced, Waiting,
};
use super::heartbeat::Found;
use super::member::{About, Member, MemberState};
use super::{Group, protocol, timeout};

impl Group {
    /// Of a classic member, as the three that follow. The group is not empty.
    pub(in crate::group) fn join(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, join: Join) -> Fate {
        let member = join.member.clone();
        let (joined, fate) =
            self.classic_join(turn, join).unwrap_or_else(|error| (refused(member, error), Fate::Stays));
        turn.reply(waiting, Reply::Joined(joined));
        fate
    }

    fn classic_join(&mut self, turn: &mut Turn<'_, '_>, mut join: Join) -> Result<(Joined, Fate), GroupError> {
        if turn.cx.settings.consumer_migration == MigrationPolicy::Disabled {
            return Err(GroupError::InconsistentProtocol);
        }
        let is_unknown = join.member.is_empty();
        if is_unknown {
            join.member = (turn.cx.chance)().to_string();
        }
        self.check_size(turn.cx, &join.member)?;
        let names = join.protocols.iter().map(|(name, _)| name.as_str());
        if join.protocol_type != protocol::PROTOCOL_TYPE || !self.state.supports_any(names) {
            return Err(GroupError::InconsistentProtocol);
        }
        if is_unknown && join.instance.is_none() && join.takes_member_id {
            return Ok((refused(join.member, GroupError::MemberIdRequired), Fate::Stays));
        }
        let found = match &join.instance {
            None => self.find_dynamic(&join.member, true)?,
            Some(instance) => self.find_static(instance, &join.member, is_unknown, true)?,
        };
        self.rejoin(turn, join, found)
    }

    fn rejoin(&mut self, turn: &mut Turn<'_, '_>, join: Join, found: Found) -> Result<(Joined, Fate), GroupError> {
        let Some((protocol_name, metadata)) = join.protocols.first() else {
            return Err(GroupError::InconsistentProtocol);
        };
        // What cannot be read cannot be assigned for.
        let subscription = protocol::subscription(metadata).map_err(|_| GroupError::InconsistentProtocol)?;
        let owned = protocol::owned_of(&subscription, turn.cx.image);
        let protocol_name = protocol_name.clone();
        let downgrades = self.may_downgrade_when_replaced(turn.cx, join.instance.as_deref());
        let generation = self.state.epoch;

        let before = self.regexes();
        let id = self.admit(turn, found);
        let mut about = self.state.members.get(&id).map(|member| member.about.clone()).unwrap_or_default();
        update(&mut about, &join, subscription.topics, subscription.rack_id);
        let is_same = self.state.members.get(&id).is_some_and(|member| member.about == about);
        let changed = if is_same { Default::default() } else { self.set_about(turn, &id, about) };
        self.refresh(turn, changed, before);

        let rebalances = self.state.assignment_epoch < self.state.epoch;
        if !downgrades {
            self.assign_if_due(turn);
        }
        if !(downgrades && rebalances) {
            self.reconcile(turn, &id, changed.any(), Some(&owned));
        }
        let joined = Joined {
            error: None,
            member: join.member,
            generation: self.state.members[&id].current.epoch,
            protocol_type: Some(protocol::PROTOCOL_TYPE.into()),
            protocol: Some(protocol_name),
            ..Joined::default()
        };
        if downgrades {
            return Ok((joined, self.downgrade_replaced(turn, generation, rebalances)));
        }
        let now_ms = turn.cx.now_ms;
        self.clocks.joined(turn.timers, &id, now_ms + timeout(join.rebalance_timeout_ms));
        self.heard_of(turn, &id, timeout(join.session_timeout_ms));
        Ok((joined, Fate::Stays))
    }

    pub(in crate::group) fn sync(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, sync: Sync) -> Fate {
        let synced = self.classic_sync(turn, sync);
        turn.reply(waiting, Reply::Synced(synced));
        Fate::Stays
    }

    fn classic_sync(&mut self, turn: &mut Turn<'_, '_>, sync: Sync) -> Result<Synced, GroupError> {
        let id = self.find_classic(&sync.member, sync.instance.as_deref(), sync.generation)?;
        let Member { about, current } = &self.state.members[&id];
        let (name, metadata) = about.classic_protocol().ok_or(GroupError::UnknownMember)?;
        if sync.protocol_type.as_deref().is_some_and(|given| given != protocol::PROTOCOL_TYPE)
            || sync.protocol.as_deref().is_some_and(|given| given != name)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        if self.state.assignment_epoch > current.epoch && current.state != MemberState::UnrevokedPartitions {
            self.tell_to_rejoin(turn, &id);
            return Err(GroupError::RebalanceInProgress);
        }
        let partitions =
            current.assigned.iter().map(|(topic, partitions)| (topic, partitions.keys().copied().collect()));
        let assignment = protocol::encode_assignment(partitions, metadata, turn.cx.image)
            .map_err(|_| GroupError::InconsistentProtocol)?;
        let session_ms = session_of(about);
        self.clocks.synced(turn.timers, &id);
        self.heard_of(turn, &id, session_ms);
        Ok(Synced { protocol_type: sync.protocol_type, protocol: sync.protocol, assignment })
    }

    pub(in crate::group) fn classic_heartbeat(
        &mut self,
        turn: &mut Turn<'_, '_>,
        waiting: Waiting,
        heartbeat: Heartbeat,
    ) -> Fate {
        let result = self.classic_beat(turn, &heartbeat);
        turn.reply(waiting, Reply::Heartbeat(result));
        Fate::Stays
    }

    fn classic_beat(&mut self, turn: &mut Turn<'_, '_>, heartbeat: &Heartbeat) -> Result<(), GroupError> {
        let id = self.find_classic(&heartbeat.member, heartbeat.instance.as_deref(), heartbeat.generation)?;
        let session_ms = session_of(&self.state.members[&id].about);
        self.heard_of(turn, &id, session_ms);
        let current = &self.state.members[&id].current;
        let rebalances = match current.state {
            _ if current.epoch < self.state.assignment_epoch => true,
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => !self.waits_for_others(&id),
            _ => false,
        };
        if rebalances {
            self.tell_to_rejoin(turn, &id);
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether some of a member's target is still with others: then rejoining would not bring it on.
    fn waits_for_others(&self, id: &str) -> bool {
        let (Some(target), Some(member)) = (self.state.targets.get(id), self.state.members.get(id)) else {
            return false;
        };
        let has = |topic, partition| {
            member.current.assigned.get(topic).is_some_and(|partitions| partitions.contains_key(partition))
        };
        target.iter().any(|(topic, partitions)| {
            let mut missing = partitions.iter().filter(|partition| !has(topic, partition));
            missing.any(|partition| self.state.owner(topic, *partition).is_some())
        })
    }

    fn tell_to_rejoin(&mut self, turn: &mut Turn<'_, '_>, id: &Arc<str>) {
        let until_ms = turn.cx.now_ms + timeout(self.state.members[id].about.rebalance_timeout_ms);
        self.clocks.rejoin(turn.timers, id, until_ms);
    }

    fn find_classic(&self, id: &str, instance: Option<&str>, generation: i32) -> Result<Arc<str>, GroupError> {
        let found = match instance {
            None => self.find_dynamic(id, false)?,
            Some(instance) => self.find_static(instance, id, false, true)?,
        };
        let Found::Known(id) = found else { return Err(GroupError::UnknownMember) };
        let member = &self.state.members[&id];
        if member.about.classic.is_none() {
            return Err(GroupError::UnknownMember);
        }
        if member.current.epoch != generation {
            return Err(GroupError::IllegalGeneration);
        }
        Ok(id)
    }

    /// LeaveGroup, also of an operator who takes members out, whatever they speak.
    pub(in crate::group) fn leave(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, leave: Leave) -> Fate {
        let mut leaving = Vec::new();
        let mut left = Vec::new();
        for member in leave.members {
            let found = self.find_leaving(&member);
            let LeavingMember { member, instance, .. } = member;
            left.push(LeftMember { member, instance, error: found.as_ref().err().cloned() });
            leaving.extend(found);
        }
        let fate = self.fence(turn, &leaving);
        turn.reply(waiting, Reply::Left(Ok(left)));
        fate
    }

    fn find_leaving(&self, leaving: &LeavingMember) -> Result<Arc<str>, GroupError> {
        let Some(instance) = &leaving.instance else {
            let known = self.state.members.get_key_value(&*leaving.member);
            return known.map(|(id, _)| Arc::clone(id)).ok_or(GroupError::UnknownMember);
        };
        let id = self.state.member_of_instance(instance).ok_or(GroupError::UnknownMember)?;
        if !leaving.member.is_empty() && **id != *leaving.member {
            return Err(GroupError::FencedInstanceId);
        }
        Ok(Arc::clone(id))
    }
}

fn update(about: &mut About, join: &Join, topics: Vec<String>, rack: Option<String>) {
    if let Some(instance) = &join.instance {
        about.instance = Some(instance.as_str().into());
    }
    if let Some(rack) = rack.filter(|rack| !rack.is_empty()) {
        about.rack = Some(rack);
    }
    if join.rebalance_timeout_ms != -1 {
        about.rebalance_timeout_ms = join.rebalance_timeout_ms;
    }
    about.topics = topics.into_iter().collect();
    about.regex.clear();
    about.client = Client { id: join.client.id.clone(), host: join.client.host.clone() };
    about.classic = Some(classic_metadata(join.session_timeout_ms, &join.protocols));
}

pub(super) fn classic_metadata(session_timeout_ms: i32, protocols: &[(String, Vec<u8>)]) -> ClassicMemberMetadata {
    let protocol =
        |(name, metadata): &(String, Vec<u8>)| ClassicProtocol { name: name.clone(), metadata: metadata.clone() };
    ClassicMemberMetadata { session_timeout_ms, supported_protocols: protocols.iter().map(protocol).collect() }
}

fn session_of(about: &About) -> u64 {
    about.classic.as_ref().map_or(0, |classic| timeout(classic.session_timeout_ms))
}

fn refused(member: String, error: GroupError) -> Joined {
    Joined { error: Some(error), member, generation: -1, ..Joined::default() }
}
