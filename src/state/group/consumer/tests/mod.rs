//! Whole conversations with the coordinator of consumer groups, in one thread, on a clock that the test moves.
//!
//! [`Shell`] is what a broker is around [`Groups`]. Answers are compared as text: `2: foo-0,1 bar-0` is member epoch 2 with
//! that assignment, `2: as before` one that leaves the assignment out. After every event the shell replays its log and
//! finds the same state.

mod classic_members;
mod fencing;
mod joining;
mod offsets;
mod reconciling;
mod regexes;
mod static_members;
mod storms;

use std::collections::{BTreeMap, BTreeSet};

use wire::coordinator_record::{GroupRecordKey, GroupRecordValue};
use wire::generated::config_record::ConfigRecord;
use wire::generated::partition_record::PartitionRecord;
use wire::generated::remove_topic_record::RemoveTopicRecord;
use wire::generated::topic_record::TopicRecord;
use wire::{Encoder, MetadataRecord, Uuid};

use super::super::*;
use crate::metadata::{Image, ImageBuilder, Position};

const G: &str = "g";
const SESSION_MS: u64 = 45_000;
const REBALANCE_MS: i32 = 60_000;
/// `group.consumer.assignment.interval.ms`
const ASSIGNMENT_MS: u64 = 1_000;
const WALL_MS: i64 = 1_700_000_000_000;

struct Shell {
    groups: Groups,
    settings: Settings,
    image: Image,
    now_ms: u64,
    last_id: u128,
    asked: u64,
    log: Vec<Record>,
    answers: BTreeMap<Waiting, Reply>,
    /// Replay the whole log after each event.
    replays: bool,
}

impl Shell {
    fn new(topics: &[(&str, i32)]) -> Self {
        let mut shell = Self {
            groups: Groups::default(),
            settings: Settings::default(),
            image: Image::new("cluster"),
            now_ms: 0,
            last_id: 1000,
            asked: 0,
            log: Vec::new(),
            answers: BTreeMap::new(),
            replays: true,
        };
        for (name, partitions) in topics {
            shell.create(name, *partitions);
        }
        shell
    }

    /// Topic ids count up from 1 in the order of creation.
    fn create(&mut self, name: &str, partitions: i32) {
        let topic_id = Uuid((self.image.version() + 2) as u128);
        let mut records = vec![MetadataRecord::Topic(TopicRecord { name: name.into(), topic_id })];
        records.extend((0..partitions).map(|index| partition_record(topic_id, index)));
        self.metadata(records, &[name]);
    }

    fn grow(&mut self, name: &str, partitions: i32) {
        let topic = self.image.topic(name).expect("the topic");
        let (id, old) = (topic.id, topic.partitions.len() as i32);
        self.metadata((old..partitions).map(|index| partition_record(id, index)).collect(), &[name]);
    }

    fn delete(&mut self, name: &str) {
        let topic_id = self.image.topic(name).expect("the topic").id;
        self.metadata(vec![MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id })], &[name]);
    }

    fn configure(&mut self, name: &str, value: &str) {
        let record =
            ConfigRecord { resource_type: 32, resource_name: G.into(), name: name.into(), value: Some(value.into()) };
        self.metadata(vec![MetadataRecord::Config(record)], &[]);
    }

    fn metadata(&mut self, records: Vec<MetadataRecord>, changed: &[&str]) {
        let mut builder = ImageBuilder::new(self.image.clone());
        for record in records {
            builder.replay(record).expect("a record that fits");
        }
        builder.advance(Position { offset: self.image.version() + 1, epoch: 1, timestamp_ms: 0 });
        self.image = builder.image();
        self.event(|groups, cx| groups.metadata_changed(cx, changed));
    }

    fn event(&mut self, event: impl FnOnce(&mut Groups, &mut Cx<'_>) -> Effects) {
        let last_id = &mut self.last_id;
        let mut chance = || {
            *last_id += 1;
            Uuid(*last_id)
        };
        let mut cx = Cx {
            now_ms: self.now_ms,
            wall_ms: WALL_MS + self.now_ms as i64,
            chance: &mut chance,
            image: &self.image,
            settings: &self.settings,
        };
        let effects = event(&mut self.groups, &mut cx);
        let changed = !effects.records.is_empty();
        self.log.extend(effects.records.iter().map(written));
        self.answers.extend(effects.replies);
        if changed && self.replays {
            assert_same_after_replay(&self.groups, &self.log);
        }
    }

    fn ask(&mut self, request: Request) -> Reply {
        self.asked += 1;
        let waiting = Waiting(self.asked);
        self.event(|groups, cx| groups.handle(cx, waiting, request));
        self.answers.remove(&waiting).expect("an answer at once")
    }

    fn heartbeat(&mut self, heartbeat: ConsumerHeartbeat) -> Result<ConsumerHeartbeatDone, GroupError> {
        match self.ask(Request::ConsumerHeartbeat(heartbeat)) {
            Reply::ConsumerHeartbeat(result) => result,
            other => panic!("{other:?}"),
        }
    }

    /// Sends a heartbeat; the answer as text.
    fn beat(&mut self, heartbeat: ConsumerHeartbeat) -> String {
        match self.heartbeat(heartbeat) {
            Ok(done) => format!("{}: {}", done.member_epoch, self.assignment_text(done.assignment.as_deref())),
            Err(error) => kind(&error),
        }
    }

    /// The heartbeat of a member that owns this: `foo-0,1 bar-0`.
    fn own(&mut self, id: &str, epoch: i32, owned: &str) -> String {
        let owned = Some(self.partitions(owned));
        self.beat(ConsumerHeartbeat { owned, ..still(id, epoch) })
    }

    fn partitions(&self, text: &str) -> Vec<(Uuid, Vec<i32>)> {
        let topic = |text: &str| {
            let (name, partitions) = text.rsplit_once('-').expect("topic-partitions");
            let id = self.image.topic(name).map_or(Uuid::ZERO, |topic| topic.id);
            (id, partitions.split(',').map(|index| index.parse().expect("a number")).collect())
        };
        text.split_whitespace().map(topic).collect()
    }

    fn assignment_text(&self, assignment: Option<&[(Uuid, Vec<i32>)]>) -> String {
        let Some(assignment) = assignment else { return "as before".into() };
        let topic = |(id, partitions): &(Uuid, Vec<i32>)| {
            let name = self.image.topic_name(id).map_or("gone", |name| name);
            let partitions: Vec<String> = partitions.iter().map(i32::to_string).collect();
            format!("{name}-{}", partitions.join(","))
        };
        if assignment.is_empty() {
            "nothing".into()
        } else {
            assignment.iter().map(topic).collect::<Vec<_>>().join(" ")
        }
    }

    /// Lets time pass, from deadline to deadline.
    fn pass(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while let Some(at_ms) = self.groups.next_deadline_ms().filter(|at_ms| *at_ms <= end_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            self.event(|groups, cx| groups.expire(cx));
        }
        self.now_ms = end_ms;
    }

    /// The broker goes away, and another one reads the log.
    fn restart(&mut self) {
        self.groups = replayed(&self.log);
        self.event(|groups, cx| groups.loaded(cx));
    }

    fn state(&self) -> &'static str {
        self.groups.list().iter().find(|row| row.group == G).map_or("none", |row| row.state)
    }

    fn kind(&self) -> &'static str {
        self.groups.list().iter().find(|row| row.group == G).map_or("none", |row| row.kind)
    }

    fn describe(&mut self) -> DescribedConsumerGroup {
        match self.ask(Request::DescribeConsumer { group: G.into() }) {
            Reply::ConsumerDescribed(Ok(described)) => described,
            other => panic!("{other:?}"),
        }
    }

    /// The records since the log had `from` of them; tombstones with a minus.
    fn written_since(&self, from: usize) -> Vec<String> {
        self.log[from..].iter().map(|record| self.record_text(record)).collect()
    }

    fn record_text(&self, record: &Record) -> String {
        use GroupRecordKey as Key;
        use GroupRecordValue as Value;
        let key = match &record.key {
            Key::GroupMetadata(_) => "classic group".to_owned(),
            Key::ConsumerGroupMetadata(_) => "group".to_owned(),
            Key::ConsumerGroupPartitionMetadata(_) => "partition metadata".to_owned(),
            Key::ConsumerGroupTargetAssignmentMetadata(_) => "target epoch".to_owned(),
            Key::ConsumerGroupMemberMetadata(key) => format!("member {}", key.member_id),
            Key::ConsumerGroupTargetAssignmentMember(key) => format!("target {}", key.member_id),
            Key::ConsumerGroupCurrentMemberAssignment(key) => format!("current {}", key.member_id),
            Key::ConsumerGroupRegularExpression(key) => format!("regex {}", key.regular_expression),
            other => format!("{other:?}"),
        };
        let value = match &record.value {
            None => return format!("-{key}"),
            Some(Value::GroupMetadata(value)) => format!("generation {} of {}", value.generation, value.members.len()),
            Some(Value::ConsumerGroupMetadata(value)) => value.epoch.to_string(),
            Some(Value::ConsumerGroupTargetAssignmentMetadata(value)) => value.assignment_epoch.to_string(),
            Some(Value::ConsumerGroupMemberMetadata(value)) => value.subscribed_topic_names.join(","),
            Some(Value::ConsumerGroupTargetAssignmentMember(value)) => {
                let listed = value.topic_partitions.iter().map(|topic| (topic.topic_id, topic.partitions.clone()));
                self.assignment_text(Some(&listed.collect::<Vec<_>>()))
            }
            Some(Value::ConsumerGroupCurrentMemberAssignment(value)) => {
                let listed = value.assigned_partitions.iter().map(|topic| (topic.topic_id, topic.partitions.clone()));
                let assigned = self.assignment_text(Some(&listed.collect::<Vec<_>>()));
                format!("{}<{} state {}: {assigned}", value.previous_member_epoch, value.member_epoch, value.state)
            }
            Some(Value::ConsumerGroupRegularExpression(value)) => value.topics.join(","),
            Some(other) => format!("{other:?}"),
        };
        format!("{key}: {value}")
    }
}

fn partition_record(topic_id: Uuid, partition_id: i32) -> MetadataRecord {
    MetadataRecord::Partition(PartitionRecord {
        partition_id,
        topic_id,
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        ..PartitionRecord::default()
    })
}

/// As it comes back from the log: encoded in the version that is written, and decoded.
fn written(record: &Record) -> Record {
    let mut key = Encoder::new();
    record.key.encode(&mut key);
    let value = record.value.as_ref().map(|value| {
        let mut bytes = Encoder::new();
        value.encode(&mut bytes, record.value_version());
        GroupRecordValue::decode(&bytes.buf, record.key.id()).expect("a value").0
    });
    Record { key: GroupRecordKey::decode(&key.buf).expect("a key"), value }
}

fn replayed(log: &[Record]) -> Groups {
    let mut groups = Groups::default();
    for record in log {
        groups.replay(record.key.clone(), record.value.clone());
    }
    groups
}

/// The log as compaction leaves it: of each key the last record, at its place.
fn compacted(log: &[Record]) -> Vec<Record> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<Record> = Vec::new();
    for record in log.iter().rev() {
        let mut key = Encoder::new();
        record.key.encode(&mut key);
        if seen.insert(key.buf) {
            kept.push(record.clone());
        }
    }
    kept.reverse();
    kept
}

fn assert_same_after_replay(groups: &Groups, log: &[Record]) {
    for log in [log.to_vec(), compacted(log)] {
        let replayed = replayed(&log);
        for (id, group) in &groups.groups {
            let groups::Group::Consumer(group) = group else { continue };
            match replayed.groups.get(id) {
                Some(groups::Group::Consumer(replayed)) => assert_eq!(group.state, replayed.state),
                _ => assert!(group.is_unwritten(), "{id} is not in the log"),
            }
        }
    }
}

fn kind(error: &GroupError) -> String {
    let text = format!("{error:?}");
    text.split('(').next().unwrap_or_default().to_owned()
}

/// The heartbeat that joins.
fn join(id: &str, topics: &[&str]) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        rebalance_timeout_ms: REBALANCE_MS,
        topics: Some(topics.iter().map(|topic| String::from(*topic)).collect()),
        owned: Some(Vec::new()),
        ..still(id, 0)
    }
}

/// A heartbeat that says nothing new.
fn still(id: &str, member_epoch: i32) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        group: G.into(),
        member: id.into(),
        member_epoch,
        rebalance_timeout_ms: -1,
        client: Client { id: "client".into(), host: "/127.0.0.1".into() },
        makes_member_id: true,
        ..ConsumerHeartbeat::default()
    }
}
