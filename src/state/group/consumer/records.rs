//! The records of consumer groups, as Apache Kafka 4.3 writes them (`GroupCoordinatorRecordHelpers`).

use wire::Uuid;
use wire::coordinator_record::{GroupRecordKey as Key, GroupRecordValue as Value};
use wire::generated::consumer_group_current_member_assignment_value as current;
use wire::generated::consumer_group_target_assignment_member_value as target;
use wire::messages::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupPartitionMetadataKey, ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue,
};

use super::super::Record;
use super::assignor::Partitions;
use super::member::{About, Current, MemberState, Owned};
use super::subscriptions::Resolved;

/// Makes the records of one group.
#[derive(Clone, Copy)]
pub(super) struct Records<'a>(pub(super) &'a str);

impl Records<'_> {
    pub(super) fn group(self, epoch: i32, metadata_hash: i64) -> Record {
        let value = ConsumerGroupMetadataValue { epoch, metadata_hash };
        Record { key: self.group_key(), value: Some(Value::ConsumerGroupMetadata(value)) }
    }

    pub(super) fn no_group(self) -> Record {
        Record { key: self.group_key(), value: None }
    }

    /// Kafka before 4.0 wrote what it knew of the topics; now only the tombstone is left.
    pub(super) fn no_partition_metadata(self) -> Record {
        let key = ConsumerGroupPartitionMetadataKey { group_id: self.0.into() };
        Record { key: Key::ConsumerGroupPartitionMetadata(key), value: None }
    }

    pub(super) fn member(self, member: &str, about: &About) -> Record {
        let value = ConsumerGroupMemberMetadataValue {
            instance_id: about.instance.as_deref().map(str::to_owned),
            rack_id: about.rack.clone(),
            client_id: about.client.id.clone(),
            client_host: about.client.host.clone(),
            subscribed_topic_names: about.topics.iter().cloned().collect(),
            subscribed_topic_regex: Some(about.regex.clone()),
            rebalance_timeout_ms: about.rebalance_timeout_ms,
            server_assignor: about.assignor.clone(),
            classic_member_metadata: about.classic.clone(),
        };
        Record { key: self.member_key(member), value: Some(Value::ConsumerGroupMemberMetadata(value)) }
    }

    pub(super) fn no_member(self, member: &str) -> Record {
        Record { key: self.member_key(member), value: None }
    }

    pub(super) fn target_epoch(self, assignment_epoch: i32, assignment_timestamp: i64) -> Record {
        let value = ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch, assignment_timestamp };
        Record { key: self.target_epoch_key(), value: Some(Value::ConsumerGroupTargetAssignmentMetadata(value)) }
    }

    pub(super) fn no_target_epoch(self) -> Record {
        Record { key: self.target_epoch_key(), value: None }
    }

    pub(super) fn target(self, member: &str, partitions: &Partitions) -> Record {
        let of_topic = |(topic, partitions): (&Uuid, &std::collections::BTreeSet<i32>)| target::TopicPartition {
            topic_id: *topic,
            partitions: partitions.iter().copied().collect(),
        };
        let value =
            ConsumerGroupTargetAssignmentMemberValue { topic_partitions: partitions.iter().map(of_topic).collect() };
        Record { key: self.target_key(member), value: Some(Value::ConsumerGroupTargetAssignmentMember(value)) }
    }

    pub(super) fn no_target(self, member: &str) -> Record {
        Record { key: self.target_key(member), value: None }
    }

    pub(super) fn current(self, member: &str, has: &Current) -> Record {
        let value = ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: has.epoch,
            previous_member_epoch: has.previous_epoch,
            state: has.state.id(),
            assigned_partitions: with_epochs(&has.assigned),
            partitions_pending_revocation: with_epochs(&has.revoking),
        };
        Record { key: self.current_key(member), value: Some(Value::ConsumerGroupCurrentMemberAssignment(value)) }
    }

    pub(super) fn no_current(self, member: &str) -> Record {
        Record { key: self.current_key(member), value: None }
    }

    pub(super) fn regex(self, regex: &str, resolved: &Resolved) -> Record {
        let value = ConsumerGroupRegularExpressionValue {
            topics: resolved.topics.iter().cloned().collect(),
            version: resolved.version,
            timestamp: resolved.timestamp_ms,
        };
        Record { key: self.regex_key(regex), value: Some(Value::ConsumerGroupRegularExpression(value)) }
    }

    pub(super) fn no_regex(self, regex: &str) -> Record {
        Record { key: self.regex_key(regex), value: None }
    }

    fn group_key(self) -> Key {
        Key::ConsumerGroupMetadata(ConsumerGroupMetadataKey { group_id: self.0.into() })
    }

    fn member_key(self, member: &str) -> Key {
        let key = ConsumerGroupMemberMetadataKey { group_id: self.0.into(), member_id: member.into() };
        Key::ConsumerGroupMemberMetadata(key)
    }

    fn target_epoch_key(self) -> Key {
        let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: self.0.into() };
        Key::ConsumerGroupTargetAssignmentMetadata(key)
    }

    fn target_key(self, member: &str) -> Key {
        let key = ConsumerGroupTargetAssignmentMemberKey { group_id: self.0.into(), member_id: member.into() };
        Key::ConsumerGroupTargetAssignmentMember(key)
    }

    fn current_key(self, member: &str) -> Key {
        let key = ConsumerGroupCurrentMemberAssignmentKey { group_id: self.0.into(), member_id: member.into() };
        Key::ConsumerGroupCurrentMemberAssignment(key)
    }

    fn regex_key(self, regex: &str) -> Key {
        let key = ConsumerGroupRegularExpressionKey { group_id: self.0.into(), regular_expression: regex.into() };
        Key::ConsumerGroupRegularExpression(key)
    }
}

fn with_epochs(owned: &Owned) -> Vec<current::TopicPartitions> {
    let of_topic = |(topic, partitions): (&Uuid, &std::collections::BTreeMap<i32, i32>)| current::TopicPartitions {
        topic_id: *topic,
        partitions: partitions.keys().copied().collect(),
        assignment_epochs: Some(partitions.values().copied().collect()),
    };
    owned.iter().map(of_topic).collect()
}

/// What a ConsumerGroupMemberMetadata record says.
pub(super) fn about_of(value: ConsumerGroupMemberMetadataValue) -> About {
    About {
        instance: value.instance_id.map(Into::into),
        rack: value.rack_id,
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        client: super::super::Client { id: value.client_id, host: value.client_host },
        topics: value.subscribed_topic_names.into_iter().collect(),
        regex: value.subscribed_topic_regex.unwrap_or_default(),
        assignor: value.server_assignor,
        classic: value.classic_member_metadata,
    }
}

/// What a ConsumerGroupCurrentMemberAssignment record says.
pub(super) fn current_of(value: ConsumerGroupCurrentMemberAssignmentValue) -> Current {
    Current {
        epoch: value.member_epoch,
        previous_epoch: value.previous_member_epoch,
        state: MemberState::from_id(value.state),
        assigned: owned_of(value.assigned_partitions, value.member_epoch),
        revoking: owned_of(value.partitions_pending_revocation, value.member_epoch),
    }
}

/// Older versions wrote no epochs; the member's own is the newest they can be.
fn owned_of(topics: Vec<current::TopicPartitions>, member_epoch: i32) -> Owned {
    let mut owned = Owned::new();
    for topic in topics.into_iter().filter(|topic| !topic.partitions.is_empty()) {
        let epochs = topic.assignment_epochs.filter(|epochs| epochs.len() == topic.partitions.len());
        let epochs = epochs.unwrap_or_else(|| vec![member_epoch.max(0); topic.partitions.len()]);
        owned.insert(topic.topic_id, topic.partitions.into_iter().zip(epochs).collect());
    }
    owned
}

/// What a ConsumerGroupTargetAssignmentMember record says.
pub(super) fn target_of(value: ConsumerGroupTargetAssignmentMemberValue) -> Partitions {
    let topics = value.topic_partitions.into_iter().filter(|topic| !topic.partitions.is_empty());
    topics.map(|topic| (topic.topic_id, topic.partitions.into_iter().collect())).collect()
}
