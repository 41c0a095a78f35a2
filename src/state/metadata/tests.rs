use std::sync::Arc;

use proptest::prelude::*;
use wire::Encoder;
use wire::Uuid;
use wire::generated::messages::*;
use wire::generated::metadata_record::MetadataRecord;

use super::decide::*;
use super::*;

/// Knows `cleanup.policy` as a list with a default, and that `bad` is bad.
pub(super) struct Rules;

impl ConfigRules for Rules {
    fn is_list(&self, _: ResourceType, key: &str) -> bool {
        key == "cleanup.policy"
    }

    fn default_value(&self, _: ResourceType, key: &str) -> Option<String> {
        (key == "cleanup.policy").then(|| "delete".to_owned())
    }

    fn validate(&self, _: &ConfigResource, configs: &Configs, _: &Configs) -> Result<(), ConfigRefusal> {
        if configs.contains_key("bad") { Err(ConfigRefusal::Config("bad is bad".to_owned())) } else { Ok(()) }
    }
}

/// A controller in memory: what is decided is encoded, decoded and replayed.
pub(super) struct Cluster {
    pub(super) builder: ImageBuilder,
    next_id: u128,
    offset: i64,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let mut cluster =
            Self { builder: ImageBuilder::new(Image::new("4L6g3nShT-eMCtK--X86sw")), next_id: 1000, offset: -1 };
        cluster.write(bootstrap_records(&finalised_by_default(Levels::Stable), 1));
        cluster
    }

    pub(super) fn with_brokers(ids: &[i32]) -> Self {
        let mut cluster = Self::new();
        for id in ids {
            cluster.start_broker(*id);
        }
        cluster
    }

    pub(super) fn image(&self) -> &Image {
        self.builder.newest()
    }

    pub(super) fn start_broker(&mut self, id: i32) {
        let decision = register_broker(self.image(), registration(id), self.offset + 1).unwrap();
        self.write(decision.records);
        let records = unfence_broker(self.image(), id);
        self.write(records);
    }

    pub(super) fn write(&mut self, records: Vec<MetadataRecord>) {
        let version = self.builder.newest().metadata_version().max(30);
        for record in records {
            let mut e = Encoder::new();
            record.encode(&mut e, record_version(&record, version));
            let (decoded, _) = MetadataRecord::decode(&e.buf).unwrap();
            assert_eq!(decoded, record);
            self.builder.replay(decoded).unwrap();
            self.offset += 1;
            self.builder.advance(Position { offset: self.offset, epoch: 1, timestamp_ms: 0 });
        }
    }

    pub(super) fn create(&mut self, topics: &[CreateTopic]) -> Vec<String> {
        let defaults = TopicDefaults { num_partitions: 1, replication_factor: 1 };
        let mut next_id = self.next_id;
        let mut ids = || {
            next_id += 1;
            Uuid(next_id)
        };
        let decision = create_topics(self.builder.newest(), topics, defaults, &Rules, &mut ids, 0).unwrap();
        self.next_id = next_id;
        self.write(decision.records);
        let text = |(name, answer): (String, Result<CreatedTopic, CreateTopicError>)| match answer {
            Ok(topic) => format!("{name}: {}x{}", topic.num_partitions, topic.replication_factor),
            Err(error) => format!("{name}: {error:?}"),
        };
        decision.answers.into_iter().map(text).collect()
    }
}

pub(super) fn registration(id: i32) -> Registration {
    Registration {
        broker_id: id,
        incarnation_id: Uuid(5000 + id as u128),
        listeners: vec![Endpoint {
            name: "PLAINTEXT".into(),
            host: "localhost".into(),
            port: 9092,
            security_protocol: 0,
        }],
        features: supported_features(Levels::Stable).map(|(name, min, max)| (name.to_owned(), min, max)).to_vec(),
        rack: (id > 10).then(|| format!("rack{}", id % 3)),
        log_dirs: vec![Uuid(700 + id as u128)],
        cordoned_log_dirs: None,
    }
}

pub(super) fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreateTopic {
    CreateTopic { name: name.to_owned(), num_partitions, replication_factor, assignments: vec![], configs: vec![] }
}

fn snapshot(image: &Image) -> Vec<MetadataRecord> {
    let mut records = Vec::new();
    snapshot_records(image, &mut |record| records.push(record));
    records
}

fn replay_all(records: Vec<MetadataRecord>, position: Position) -> Image {
    let mut builder = ImageBuilder::new(Image::new("4L6g3nShT-eMCtK--X86sw"));
    for record in records {
        builder.replay(record).unwrap();
    }
    builder.advance(position);
    builder.image()
}

fn change(topic_id: Uuid) -> PartitionChangeRecord {
    PartitionChangeRecord { topic_id, partition_id: 0, ..Default::default() }
}

#[test]
fn a_new_cluster_begins_with_its_features() {
    let cluster = Cluster::new();
    let features: Vec<_> = cluster.image().features().collect();
    let expected = [
        ("eligible.leader.replicas.version", 1),
        ("group.version", 1),
        ("metadata.version", 30),
        ("share.version", 1),
        ("streams.version", 1),
        ("transaction.version", 2),
    ];
    assert_eq!(features, expected);
    assert_eq!(finalised_by_default(Levels::Newest)[0], (METADATA_VERSION, 31));
    assert_eq!(cluster.image().config(ResourceType::Broker, "", "min.insync.replicas"), Some("1"));
    assert!(matches!(&snapshot(cluster.image())[0], MetadataRecord::FeatureLevel(it) if it.name == METADATA_VERSION));
}

#[test]
fn changes_of_partitions_count_epochs() {
    let mut cluster = Cluster::with_brokers(&[1, 2]);
    cluster.create(&[topic("a", 1, 2)]);
    let id = cluster.image().topic("a").unwrap().id;
    let epochs = |cluster: &Cluster| {
        let partition = &cluster.image().topic("a").unwrap().partitions[0];
        (partition.leader, partition.leader_epoch, partition.partition_epoch)
    };
    let (leader, ..) = epochs(&cluster);
    cluster.write(vec![PartitionChangeRecord { isr: Some(vec![2]), ..change(id) }.into()]);
    assert_eq!(epochs(&cluster), (leader, 0, 1));
    cluster.write(vec![PartitionChangeRecord { leader: 2, ..change(id) }.into()]);
    assert_eq!(epochs(&cluster), (2, 1, 2));
    cluster.write(vec![PartitionChangeRecord { leader: 2, ..change(id) }.into()]);
    assert_eq!(epochs(&cluster), (2, 2, 3));
    cluster.write(vec![PartitionChangeRecord { leader: NO_LEADER, ..change(id) }.into()]);
    assert_eq!(epochs(&cluster), (-1, 3, 4));
    let elr = PartitionChangeRecord { eligible_leader_replicas: Some(vec![1]), ..change(id) };
    cluster.write(vec![elr.into(), ClearElrRecord { topic_name: String::new() }.into()]);
    assert_eq!(epochs(&cluster), (-1, 3, 6));
    cluster.write(vec![ClearElrRecord { topic_name: "a".into() }.into()]);
    assert_eq!(epochs(&cluster), (-1, 3, 6));
}

#[test]
fn an_open_transaction_is_not_published() {
    let mut cluster = Cluster::with_brokers(&[1]);
    let before = cluster.builder.image();
    let record = TopicRecord { name: "a".into(), topic_id: Uuid(9) };
    cluster.write(vec![BeginTransactionRecord::default().into(), record.clone().into()]);
    assert!(cluster.image().topic("a").is_some() && cluster.builder.image() == before);
    assert_eq!(
        cluster.builder.replay(BeginTransactionRecord::default().into()),
        Err(ReplayError::Transaction("BeginTransactionRecord"))
    );
    cluster.write(vec![AbortTransactionRecord::default().into()]);
    assert!(cluster.image().topic("a").is_none() && !cluster.builder.in_transaction());
    assert_eq!(
        cluster.builder.replay(EndTransactionRecord::default().into()),
        Err(ReplayError::Transaction("EndTransactionRecord"))
    );
    cluster.write(vec![
        BeginTransactionRecord::default().into(),
        record.into(),
        EndTransactionRecord::default().into(),
    ]);
    assert!(cluster.builder.image().topic("a").is_some());
}

#[test]
fn records_that_make_no_sense_are_refused_and_change_nothing() {
    let mut cluster = Cluster::with_brokers(&[1]);
    cluster.create(&[topic("a", 1, 1)]);
    let id = cluster.image().topic("a").unwrap().id;
    let before = cluster.builder.image();
    let partition =
        |partition_id| PartitionRecord { partition_id, topic_id: id, replicas: vec![1], ..Default::default() };
    let records: Vec<(MetadataRecord, ReplayError)> = vec![
        (RemoveTopicRecord { topic_id: Uuid(1) }.into(), ReplayError::UnknownTopic(Uuid(1))),
        (change(Uuid(1)).into(), ReplayError::UnknownTopic(Uuid(1))),
        (PartitionChangeRecord { partition_id: 5, ..change(id) }.into(), ReplayError::UnknownPartition(id, 5)),
        (PartitionChangeRecord { partition_id: -5, ..change(id) }.into(), ReplayError::UnknownPartition(id, -5)),
        (partition(-1).into(), ReplayError::PartitionIndex(id, -1)),
        (partition(i32::MAX).into(), ReplayError::PartitionIndex(id, i32::MAX)),
        (
            PartitionRecord { directories: vec![Uuid(7), Uuid(8)], ..partition(1) }.into(),
            ReplayError::Directories(id, 1),
        ),
        (UnregisterBrokerRecord { broker_id: 7, broker_epoch: 0 }.into(), ReplayError::UnknownBroker(7)),
        (ClearElrRecord { topic_name: "b".into() }.into(), ReplayError::UnknownTopicName("b".into())),
        (
            BrokerRegistrationChangeRecord {
                broker_id: 1,
                broker_epoch: before.broker(1).unwrap().epoch,
                fenced: 5,
                ..Default::default()
            }
            .into(),
            ReplayError::Value { record: "BrokerRegistrationChangeRecord", field: "fenced", value: 5 },
        ),
    ];
    for (record, error) in records {
        assert_eq!(cluster.builder.replay(record), Err(error));
        assert_eq!(cluster.builder.image(), before);
    }
    let stale = FenceBrokerRecord { id: 1, epoch: -77 };
    assert!(matches!(cluster.builder.replay(stale.into()), Err(ReplayError::BrokerEpoch { broker: 1, .. })));
}

#[test]
fn what_changed_is_found_and_the_rest_is_shared() {
    let mut cluster = Cluster::with_brokers(&[1]);
    for batch in 0..10 {
        let topics: Vec<_> = (0..100).map(|i| topic(&format!("topic-{}", batch * 100 + i), 3, 1)).collect();
        cluster.create(&topics);
    }
    let old = cluster.builder.image();
    assert!(old.topic_changes(&old).is_empty());
    cluster.create(&[topic("new", 1, 1)]);
    let (kept, gone) = (Arc::clone(old.topic("topic-7").unwrap()), Arc::clone(old.topic("topic-500").unwrap()));
    cluster.write(vec![
        PartitionChangeRecord { leader: 1, ..change(kept.id) }.into(),
        RemoveTopicRecord { topic_id: gone.id }.into(),
        RemoveTopicRecord { topic_id: old.topic("topic-600").unwrap().id }.into(),
    ]);
    cluster.create(&[topic("topic-600", 2, 1)]);
    let new = cluster.builder.image();
    let text = |change: &TopicChange| match change {
        TopicChange::Deleted(topic) => format!("-{}", topic.name),
        TopicChange::Created(topic) => format!("+{}", topic.name),
        TopicChange::Changed { old, new } => {
            format!("{} {}>{}", new.name, old.partitions[0].leader_epoch, new.partitions[0].leader_epoch)
        }
    };
    let changes: Vec<String> = new.topic_changes(&old).iter().map(text).collect();
    assert_eq!(changes, ["-topic-500", "-topic-600", "+new", "+topic-600", "topic-7 0>1"]);
    let shared = new.topics().filter(|topic| old.topic(&topic.name).is_some_and(|it| Arc::ptr_eq(it, topic))).count();
    assert_eq!(shared, 997);
    assert_eq!(
        new.topics_from("topic-998").map(|topic| topic.name.to_string()).collect::<Vec<_>>(),
        ["topic-998", "topic-999"]
    );
    assert_eq!(new.topic_by_id(&kept.id).unwrap().name, kept.name);
    assert!(new.topic_by_id(&gone.id).is_none());
}

#[test]
fn configs_go_with_their_topic() {
    let mut cluster = Cluster::with_brokers(&[1]);
    cluster.create(&[CreateTopic { configs: vec![("retention.ms".into(), Some("5".into()))], ..topic("a", 1, 1) }]);
    let old = cluster.builder.image();
    assert_eq!(old.config(ResourceType::Topic, "a", "retention.ms"), Some("5"));
    let set = |value: Option<&str>| {
        let record = ConfigRecord {
            resource_type: 2,
            resource_name: "a".into(),
            name: "retention.ms".into(),
            value: value.map(str::to_owned),
        };
        vec![record.into()]
    };
    cluster.write(set(Some("6")));
    assert_eq!(cluster.image().config_changes(&old), [ConfigResource::topic("a")]);
    cluster.write(set(None));
    assert!(cluster.image().topic_configs("a").is_none());
    cluster.write(set(Some("7")));
    cluster.write(vec![RemoveTopicRecord { topic_id: old.topic("a").unwrap().id }.into()]);
    assert!(cluster.image().topic_configs("a").is_none());
    assert!(cluster.image().config_changes(&old).is_empty());
}

/// Records of the kinds that the image only keeps.
fn kept_records() -> Vec<MetadataRecord> {
    let entity = |name: &str| wire::generated::client_quota_record::EntityData {
        entity_type: "user".into(),
        entity_name: Some(name.into()),
    };
    let quota =
        |name, key: &str, remove| ClientQuotaRecord { entity: vec![entity(name)], key: key.into(), value: 5.0, remove };
    let acl = |id| AccessControlEntryRecord { id: Uuid(id), principal: "User:x".into(), ..Default::default() };
    let scram = |name: &str| UserScramCredentialRecord { name: name.into(), mechanism: 1, ..Default::default() };
    let token = |id: &str| DelegationTokenRecord { token_id: id.into(), ..Default::default() };
    vec![
        RegisterControllerRecord { controller_id: 3, ..Default::default() }.into(),
        quota("u", "a", false).into(),
        quota("u", "b", false).into(),
        quota("v", "a", false).into(),
        quota("v", "a", true).into(),
        acl(1).into(),
        acl(2).into(),
        RemoveAccessControlEntryRecord { id: Uuid(1) }.into(),
        scram("x").into(),
        scram("y").into(),
        RemoveUserScramCredentialRecord { name: "x".into(), mechanism: 1 }.into(),
        token("t").into(),
        token("u").into(),
        RemoveDelegationTokenRecord { token_id: "t".into() }.into(),
        NoOpRecord::default().into(),
    ]
}

#[test]
fn what_is_only_kept_survives_a_snapshot() {
    let mut cluster = Cluster::new();
    cluster.write(kept_records());
    let records = snapshot(cluster.image());
    let names: Vec<_> = records.iter().skip(5).map(MetadataRecord::name).collect();
    let expected = [
        "ClientQuotaRecord",
        "ClientQuotaRecord",
        "AccessControlEntryRecord",
        "UserScramCredentialRecord",
        "DelegationTokenRecord",
    ];
    assert!(names.ends_with(&expected), "{names:?}");
    assert_eq!(replay_all(records, cluster.image().position()), *cluster.image());
}

#[derive(Debug, Clone)]
enum Step {
    Create(u8, i32, i16),
    Delete(u8),
    Grow(u8, i32),
    Set(u8, u8, bool),
    Lead(u8, i32, i32),
    Broker(i32),
    Fence(i32, i8),
    Ids,
    Kept(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..12u8, 1..5i32, 1..4i16).prop_map(|(t, p, r)| Step::Create(t, p, r)),
        1 => (0..12u8).prop_map(Step::Delete),
        1 => (0..12u8, 1..8i32).prop_map(|(t, p)| Step::Grow(t, p)),
        2 => (0..12u8, 0..3u8, any::<bool>()).prop_map(|(t, k, set)| Step::Set(t, k, set)),
        2 => (0..12u8, 0..4i32, -2..5i32).prop_map(|(t, p, l)| Step::Lead(t, p, l)),
        1 => (1..5i32).prop_map(Step::Broker),
        1 => (1..5i32, -1..2i8).prop_map(|(b, f)| Step::Fence(b, f)),
        1 => Just(Step::Ids),
        1 => (0..15usize).prop_map(Step::Kept),
    ]
}

fn take(cluster: &mut Cluster, step: &Step) {
    let names = ["a.b", "a_b", "c", "d.", "e", "f-g", "h", "i", "j", "k", "l", "m_n"];
    let name = |t: u8| names[usize::from(t)];
    let id = |cluster: &Cluster, t: u8| cluster.image().topic(name(t)).map(|topic| topic.id);
    match *step {
        Step::Create(t, partitions, factor) => {
            cluster.create(&[topic(name(t), partitions, factor)]);
        }
        Step::Delete(t) => {
            let decision =
                delete_topics(cluster.image(), &[DeleteTopic { name: Some(name(t).into()), id: Uuid::ZERO }]);
            cluster.write(decision.unwrap().records);
        }
        Step::Grow(t, count) => {
            let asked = NewPartitions { topic: name(t).into(), count, assignments: None };
            cluster.write(create_partitions(cluster.image(), &[asked]).unwrap().records);
        }
        Step::Set(t, key, set) => {
            let op = if set { OpType::Set } else { OpType::Delete };
            let ops = vec![AlterOp { name: format!("key{key}"), op, value: set.then(|| "v".into()) }];
            let resource = ConfigResource::topic(name(t));
            let decision = incremental_alter_configs(cluster.image(), &[AlterResource { resource, ops }], &Rules);
            cluster.write(decision.unwrap().records);
        }
        Step::Lead(t, partition_id, leader) => {
            let Some(topic_id) = id(cluster, t) else { return };
            if cluster.image().topic(name(t)).unwrap().partition(partition_id).is_some() {
                cluster.write(vec![PartitionChangeRecord { partition_id, leader, ..change(topic_id) }.into()]);
            }
        }
        Step::Broker(id) => cluster.start_broker(id),
        Step::Fence(id, fenced) => {
            let Some(broker_epoch) = cluster.image().broker(id).map(|broker| broker.epoch) else { return };
            let record = BrokerRegistrationChangeRecord { broker_id: id, broker_epoch, fenced, ..Default::default() };
            cluster.write(vec![record.into()]);
        }
        Step::Ids => {
            let Some(epoch) = cluster.image().broker(1).map(|broker| broker.epoch) else { return };
            cluster.write(allocate_producer_ids(cluster.image(), 1, epoch).unwrap().records);
        }
        Step::Kept(index) => cluster.write(vec![kept_records().swap_remove(index)]),
    }
}

proptest! {
    #![proptest_config(crate::testing::cases(96))]

    /// Whatever was decided: a snapshot gives the same image, and its changes tell the way from any older one.
    #[test]
    fn a_snapshot_is_the_image(steps in prop::collection::vec(step(), 0..80)) {
        let mut cluster = Cluster::with_brokers(&[1, 2]);
        let mut old = cluster.builder.image();
        for (index, step) in steps.iter().enumerate() {
            take(&mut cluster, step);
            if index % 9 == 0 {
                let new = cluster.builder.image();
                check_changes(&old, &new)?;
                old = new;
            }
        }
        let image = cluster.builder.image();
        let again = replay_all(snapshot(&image), image.position());
        prop_assert_eq!(&again.similar_names, &image.similar_names);
        prop_assert_eq!(again, image);
    }

    /// No sequence of records makes the builder panic or take much memory.
    #[test]
    fn any_record_is_survived(bytes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..30)) {
        let mut builder = ImageBuilder::new(Image::new("x"));
        for (index, mut value) in bytes.into_iter().enumerate() {
            value.splice(0..0, [1, index as u8 % 29, 0]);
            if let Ok((record, _)) = MetadataRecord::decode(&value) {
                _ = builder.replay(record);
            }
        }
        snapshot_records(&builder.image(), &mut |_| {});
    }
}

fn check_changes(old: &Image, new: &Image) -> Result<(), TestCaseError> {
    let mut topics: std::collections::BTreeMap<_, _> = old.topics().map(|t| (t.id, Arc::clone(t))).collect();
    for change in new.topic_changes(old) {
        match change {
            TopicChange::Deleted(topic) => prop_assert!(topics.remove(&topic.id).is_some()),
            TopicChange::Created(topic) => prop_assert!(topics.insert(topic.id, topic).is_none()),
            TopicChange::Changed { old, new } => prop_assert_eq!(topics.insert(new.id, new), Some(old)),
        }
    }
    let expected: std::collections::BTreeMap<_, _> = new.topics().map(|t| (t.id, Arc::clone(t))).collect();
    prop_assert_eq!(topics, expected);
    Ok(())
}
