//! A classic group as a record of the log, and as the other kind of group that it may become or come from.

use std::collections::BTreeSet;
use std::sync::Arc;

use wire::generated::group_metadata_value::MemberMetadata;
use wire::messages::{ConsumerProtocolSubscription, GroupMetadataValue};
use wire::{Decoder, Message};

use super::super::groups::Turn;
use super::super::migration::{MigratingMember, Migration};
use super::super::timers::{Deadline, Timers};
use super::super::{Client, GroupError, Record, Settings, records};
use super::member::Member;
use super::{CONSUMER, Group, State};

/// That a group was asked for, before it has a first generation.
pub(crate) fn created_record(group: &str, wall_ms: i64) -> Record {
    let value = GroupMetadataValue {
        protocol: None,
        leader: None,
        current_state_timestamp: wall_ms,
        ..GroupMetadataValue::default()
    };
    records::group_metadata(group, value)
}

impl Group {
    /// The group as it was written: stable if it has members.
    pub(crate) fn of_record(id: Arc<str>, value: GroupMetadataValue) -> Self {
        let mut group = Self::new(id, value.current_state_timestamp);
        let protocol = value.protocol.clone().unwrap_or_default();
        group.generation = value.generation;
        group.protocol = value.protocol;
        group.leader = value.leader.map(Arc::from);
        // Nothing is queued yet.
        let mut timers = Timers::default();
        for member in value.members {
            let id: Arc<str> = member.member_id.as_str().into();
            group.add(&mut timers, &id, &value.protocol_type, of_member_record(&protocol, member));
        }
        group.protocol_type = (!value.protocol_type.is_empty()).then_some(value.protocol_type);
        group.state = if group.members.is_empty() { State::Empty } else { State::Stable };
        group.topics = group.subscribed_topics();
        group
    }

    pub(super) fn record(&self, turn: &mut Turn<'_, '_>) {
        turn.record(records::group_metadata(&self.id, self.value()));
    }

    pub(crate) fn value(&self) -> GroupMetadataValue {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| MemberMetadata {
            member_id: id.as_ref().into(),
            group_instance_id: member.instance.as_deref().map(Into::into),
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: member.metadata(protocol).to_vec(),
            assignment: member.assignment.clone(),
        });
        GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.as_deref().map(Into::into),
            current_state_timestamp: self.since_ms,
            members: members.collect(),
        }
    }

    pub(crate) fn tombstones(&self, tombstones: &mut Vec<Record>) {
        tombstones.push(records::group_metadata_tombstone(&self.id));
    }

    /// Whether the group, which has members, may become a consumer group while they run.
    pub(crate) fn check_upgrade(&self, settings: &Settings) -> Result<(), GroupError> {
        let reason = if !settings.consumer_migration.allows_upgrade() {
            "online upgrade is disabled"
        } else if !self.uses_consumer_protocol() {
            "the group does not use the consumer embedded protocol"
        } else if self.members.len() > settings.consumer_members_max {
            "the group size exceeds the consumer group maximum size"
        } else {
            return Ok(());
        };
        let group = &self.id;
        Err(GroupError::GroupIdNotFound(format!(
            "Cannot upgrade classic group {group} to consumer group because {reason}."
        )))
    }

    pub(crate) fn migration(&self) -> Migration {
        let members = self.members.iter().map(|(id, member)| MigratingMember {
            member: Arc::clone(id),
            instance: member.instance.clone(),
            client: member.client.clone(),
            session_timeout_ms: member.session_timeout_ms,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            protocols: member.protocols.clone(),
            assignment: member.assignment.clone(),
        });
        Migration { group: Arc::clone(&self.id), generation: self.generation, members: members.collect() }
    }

    /// The group that a consumer group becomes when only classic members are left. Its record is written.
    pub(crate) fn downgrade(turn: &mut Turn<'_, '_>, migration: Migration, rebalance: bool) -> Self {
        let mut group = Self::new(migration.group, turn.cx.wall_ms);
        group.generation = migration.generation;
        for member in migration.members {
            group.add(turn.timers, &Arc::clone(&member.member), CONSUMER, of_migrating(member));
        }
        group.state = State::Stable;
        group.protocol = group.select_protocol();
        group.topics = group.subscribed_topics();
        group.record(turn);
        let ids: Vec<Arc<str>> = group.members.keys().cloned().collect();
        for id in &ids {
            group.restart_session(turn, id);
        }
        if rebalance {
            group.prepare_rebalance(turn);
        }
        group
    }

    /// What the members of a group of consumers subscribe to, if all of them say it in a way that is understood.
    pub(super) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscription(member.metadata(protocol))?);
        }
        Some(topics)
    }
}

/// Version 0 is how every version begins.
fn subscription(metadata: &[u8]) -> Option<Vec<String>> {
    let mut decoder = Decoder::new(metadata);
    if decoder.i16().ok()? < 0 {
        return None;
    }
    let subscription: ConsumerProtocolSubscription = Message::decode(&mut decoder, 0).ok()?;
    Some(subscription.topics)
}

fn of_member_record(protocol: &str, member: MemberMetadata) -> Member {
    let rebalance_timeout_ms =
        if member.rebalance_timeout == -1 { member.session_timeout } else { member.rebalance_timeout };
    Member {
        instance: member.group_instance_id.map(Arc::from),
        client: Client { id: member.client_id, host: member.client_host },
        rebalance_timeout_ms,
        session_timeout_ms: member.session_timeout,
        protocols: vec![(protocol.into(), member.subscription)],
        assignment: member.assignment,
        joining: None,
        syncing: None,
        is_new: false,
        session: Deadline::default(),
    }
}

fn of_migrating(member: MigratingMember) -> Member {
    Member {
        instance: member.instance,
        client: member.client,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        session_timeout_ms: member.session_timeout_ms,
        protocols: member.protocols,
        assignment: member.assignment,
        joining: None,
        syncing: None,
        is_new: false,
        session: Deadline::default(),
    }
}
