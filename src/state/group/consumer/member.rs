//! One member of a consumer group: what it says of itself, and how far it is on the way to its target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wire::Uuid;
use wire::generated::consumer_group_member_metadata_value::ClassicMemberMetadata;

use super::super::{Client, ConsumerHeartbeat};

/// The member epoch that joins.
pub(super) const JOIN_EPOCH: i32 = 0;
/// The member epoch that leaves.
pub(super) const LEAVE_EPOCH: i32 = -1;
/// The member epoch with which a static member leaves for a while: its partitions stay its own.
pub(super) const LEAVE_STATIC_EPOCH: i32 = -2;

/// Partitions by topic id, each with the member epoch at which it was assigned. No topic is without partitions.
pub(super) type Owned = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// Kafka's `ConsumerGroupMember`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Member {
    pub(super) about: About,
    pub(super) current: Current,
}

/// What a member says of itself: its ConsumerGroupMemberMetadata record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct About {
    pub(super) instance: Option<Arc<str>>,
    pub(super) rack: Option<String>,
    /// -1 before it said so.
    pub(super) rebalance_timeout_ms: i32,
    pub(super) client: Client,
    pub(super) topics: BTreeSet<String>,
    /// Empty: none.
    pub(super) regex: String,
    pub(super) assignor: Option<String>,
    /// It speaks the classic protocol, and this is what it said there.
    pub(super) classic: Option<ClassicMemberMetadata>,
}

impl Default for About {
    fn default() -> Self {
        Self {
            instance: None,
            rack: None,
            rebalance_timeout_ms: -1,
            client: Client::default(),
            topics: BTreeSet::new(),
            regex: String::new(),
            assignor: None,
            classic: None,
        }
    }
}

impl About {
    /// Takes over what a heartbeat says; what it leaves out stays.
    pub(super) fn update(&mut self, heartbeat: &ConsumerHeartbeat) {
        if let Some(instance) = &heartbeat.instance
            && self.instance.as_deref() != Some(instance)
        {
            self.instance = Some(instance.as_str().into());
        }
        if heartbeat.rack.is_some() {
            self.rack.clone_from(&heartbeat.rack);
        }
        if heartbeat.rebalance_timeout_ms != -1 {
            self.rebalance_timeout_ms = heartbeat.rebalance_timeout_ms;
        }
        if heartbeat.assignor.is_some() {
            self.assignor.clone_from(&heartbeat.assignor);
        }
        if let Some(topics) = &heartbeat.topics {
            self.topics = topics.iter().cloned().collect();
        }
        if let Some(regex) = &heartbeat.regex {
            self.regex.clone_from(regex);
        }
        self.client.clone_from(&heartbeat.client);
        self.classic = None;
    }

    /// Whether [`update`](Self::update) would change anything: mostly not.
    pub(super) fn is_changed_by(&self, heartbeat: &ConsumerHeartbeat) -> bool {
        fn says<T: PartialEq>(said: &Option<T>, is: &Option<T>) -> bool {
            said.is_some() && said != is
        }
        let other_topics = |topics: &Vec<String>| {
            topics.iter().any(|topic| !self.topics.contains(topic))
                || (topics.len() != self.topics.len()
                    && topics.iter().collect::<BTreeSet<_>>().len() != self.topics.len())
        };
        heartbeat.instance.as_deref().is_some_and(|instance| self.instance.as_deref() != Some(instance))
            || says(&heartbeat.rack, &self.rack)
            || says(&heartbeat.assignor, &self.assignor)
            || ![-1, self.rebalance_timeout_ms].contains(&heartbeat.rebalance_timeout_ms)
            || heartbeat.topics.as_ref().is_some_and(other_topics)
            || heartbeat.regex.as_ref().is_some_and(|regex| *regex != self.regex)
            || heartbeat.client != self.client
            || self.classic.is_some()
    }

    /// The first protocol of a member that speaks the classic protocol.
    pub(super) fn classic_protocol(&self) -> Option<(&str, &[u8])> {
        let first = self.classic.as_ref()?.supported_protocols.first()?;
        Some((&first.name, &first.metadata))
    }
}

/// The numbers of Kafka's `MemberState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum MemberState {
    /// It has all of the target of its epoch.
    #[default]
    Stable,
    /// It has to give up partitions before it may move to the next epoch.
    UnrevokedPartitions,
    /// It is in the target's epoch, and waits for partitions that others still have.
    UnreleasedPartitions,
    /// Written by a newer version.
    Unknown,
}

impl MemberState {
    pub(super) fn from_id(id: i8) -> Self {
        match id {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }

    pub(super) fn id(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }
}

/// What a member has: its ConsumerGroupCurrentMemberAssignment record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Current {
    pub(super) epoch: i32,
    /// Accepted too, as long as the answer with the newer one may be lost.
    pub(super) previous_epoch: i32,
    pub(super) state: MemberState,
    pub(super) assigned: Owned,
    /// It was told to give these up and did not say yet that it has.
    pub(super) revoking: Owned,
}

impl Default for Current {
    fn default() -> Self {
        Self {
            epoch: JOIN_EPOCH,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: Owned::new(),
            revoking: Owned::new(),
        }
    }
}

impl Current {
    pub(super) fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }

    /// The epoch at which a partition was assigned that the member may still commit for.
    pub(super) fn assignment_epoch(&self, topic: &Uuid, partition: i32) -> Option<i32> {
        let of = |owned: &Owned| owned.get(topic)?.get(&partition).copied();
        of(&self.assigned).or_else(|| of(&self.revoking))
    }
}

/// The partitions without their epochs, as they go to clients.
pub(super) fn listed(owned: &Owned) -> Vec<(Uuid, Vec<i32>)> {
    owned.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect())).collect()
}
