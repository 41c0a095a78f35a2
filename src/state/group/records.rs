//! The records of `__consumer_offsets` that a coordinator writes, and in which version (Kafka's
//! `GroupCoordinatorRecordHelpers`).

use wire::coordinator_record::{GroupRecordKey, GroupRecordValue};
use wire::messages::{GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue};

use super::Record;
use super::offsets::Committed;

/// Kafka writes the last version that brokers before flexible versions can read.
const GROUP_METADATA_VERSION: i16 = 3;
const OFFSET_COMMIT_VERSION: i16 = 4;
/// The only version that can say when an offset expires.
const OFFSET_COMMIT_EXPIRING_VERSION: i16 = 1;

impl Record {
    pub fn tombstone(key: GroupRecordKey) -> Self {
        Self { key, value: None }
    }

    /// The version that the value is written in, as Apache Kafka 4.3 does; a tombstone has none.
    pub fn value_version(&self) -> i16 {
        match &self.value {
            Some(GroupRecordValue::GroupMetadata(_)) => GROUP_METADATA_VERSION,
            Some(GroupRecordValue::OffsetCommit(value)) if value.expire_timestamp != -1 => {
                OFFSET_COMMIT_EXPIRING_VERSION
            }
            Some(GroupRecordValue::OffsetCommit(_)) => OFFSET_COMMIT_VERSION,
            _ => 0,
        }
    }
}

pub(super) fn group_metadata(group: &str, value: GroupMetadataValue) -> Record {
    let key = GroupRecordKey::GroupMetadata(GroupMetadataKey { group: group.into() });
    Record { key, value: Some(GroupRecordValue::GroupMetadata(value)) }
}

pub(super) fn group_metadata_tombstone(group: &str) -> Record {
    Record::tombstone(GroupRecordKey::GroupMetadata(GroupMetadataKey { group: group.into() }))
}

pub(super) fn offset_commit(group: &str, topic: &str, partition: i32, committed: &Committed) -> Record {
    let value = OffsetCommitValue {
        offset: committed.offset,
        leader_epoch: committed.leader_epoch,
        metadata: committed.metadata.as_ref().into(),
        commit_timestamp: committed.commit_timestamp_ms,
        expire_timestamp: committed.expire_timestamp_ms,
        topic_id: committed.topic_id,
    };
    Record { key: offset_key(group, topic, partition), value: Some(GroupRecordValue::OffsetCommit(value)) }
}

pub(super) fn offset_commit_tombstone(group: &str, topic: &str, partition: i32) -> Record {
    Record::tombstone(offset_key(group, topic, partition))
}

fn offset_key(group: &str, topic: &str, partition: i32) -> GroupRecordKey {
    GroupRecordKey::OffsetCommit(OffsetCommitKey { group: group.into(), topic: topic.into(), partition })
}
