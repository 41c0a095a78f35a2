//! What groups committed. Kept apart from the groups: a group may be known only by its offsets.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use wire::Uuid;
use wire::messages::{LegacyOffsetCommitValue, OffsetCommitValue};

/// One committed offset (Kafka's `OffsetAndMetadata`).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Committed {
    pub(super) offset: i64,
    /// -1: not known.
    pub(super) leader_epoch: i32,
    /// Mostly empty, so that it is one word where a `String` is three.
    pub(super) metadata: Box<str>,
    pub(super) commit_timestamp_ms: i64,
    /// -1: as the broker's retention says.
    pub(super) expire_timestamp_ms: i64,
    /// Zero where the commit named none.
    pub(super) topic_id: Uuid,
}

pub(super) type Partitions = BTreeMap<i32, Committed>;
pub(super) type Topics = BTreeMap<Arc<str>, Partitions>;

/// By group, topic and partition. A topic's name is kept once, however many groups committed for it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Offsets {
    groups: HashMap<Arc<str>, Topics>,
    /// The topics' names, with the number of groups that have offsets of them.
    names: HashMap<Arc<str>, usize>,
}

impl Committed {
    pub(super) fn of_record(value: OffsetCommitValue) -> Self {
        Self {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.into(),
            commit_timestamp_ms: value.commit_timestamp,
            expire_timestamp_ms: value.expire_timestamp,
            topic_id: value.topic_id,
        }
    }

    /// As brokers before 0.8.3 wrote it.
    pub(super) fn of_legacy_record(value: LegacyOffsetCommitValue) -> Self {
        Self {
            offset: value.offset,
            leader_epoch: -1,
            metadata: value.metadata.into(),
            commit_timestamp_ms: value.commit_timestamp,
            expire_timestamp_ms: -1,
            topic_id: Uuid::ZERO,
        }
    }
}

impl Offsets {
    pub(super) fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.groups.get(group)?.get(topic)?.get(&partition)
    }

    pub(super) fn group(&self, group: &str) -> Option<&Topics> {
        self.groups.get(group)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &Topics)> {
        self.groups.iter()
    }

    /// `group` is the id that the group itself has, so that it is kept once.
    pub(super) fn put(&mut self, group: &Arc<str>, topic: &str, partition: i32, committed: Committed) {
        self.partitions(group, topic).insert(partition, committed);
    }

    /// Where the offsets of a topic go: a commit looks them up once for all its partitions.
    pub(super) fn partitions(&mut self, group: &Arc<str>, topic: &str) -> &mut Partitions {
        let topics = self.groups.entry(Arc::clone(group)).or_default();
        if !topics.contains_key(topic) {
            let name = self.names.get_key_value(topic).map_or_else(|| Arc::from(topic), |(name, _)| Arc::clone(name));
            *self.names.entry(Arc::clone(&name)).or_default() += 1;
            topics.insert(name, Partitions::new());
        }
        topics.get_mut(topic).expect("the topic is there")
    }

    /// Whether any group committed for the topic.
    pub(super) fn knows_topic(&self, topic: &str) -> bool {
        self.names.contains_key(topic)
    }

    pub(super) fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        let Some(topics) = self.groups.get_mut(group) else { return };
        let Some(partitions) = topics.get_mut(topic) else { return };
        partitions.remove(&partition);
        if !partitions.is_empty() {
            return;
        }
        topics.remove(topic);
        if topics.is_empty() {
            self.groups.remove(group);
        }
        if let Some(count) = self.names.get_mut(topic) {
            *count -= 1;
            if *count == 0 {
                self.names.remove(topic);
            }
        }
    }
}
