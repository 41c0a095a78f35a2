use wire::Uuid;
use wire::generated::metadata_record::MetadataRecord;
use wire::generated::partition_change_record::PartitionChangeRecord;

use super::*;
use crate::metadata::tests::{Cluster, Rules, registration, topic};
use crate::metadata::{ConfigResource, Image, Partition, PlacementError, ResourceType, Topic, TopicNameError};

fn names(records: &[MetadataRecord]) -> Vec<&'static str> {
    records.iter().map(MetadataRecord::name).collect()
}

#[test]
fn topics_are_created_by_kafkas_rules() {
    let mut c = Cluster::with_brokers(&[1, 2, 3]);
    let by_hand = |name: &str, assignments: &[(i32, &[i32])]| CreateTopic {
        assignments: assignments.iter().map(|(index, ids)| (*index, ids.to_vec())).collect(),
        ..topic(name, -1, -1)
    };
    let config = |name: &str, key: &str, value: Option<&str>| CreateTopic {
        configs: vec![(key.to_owned(), value.map(str::to_owned))],
        ..topic(name, 1, 1)
    };
    let answers = c.create(&[
        topic("a.b", 4, 3),
        topic("defaults", -1, -1),
        topic("twice", 1, 1),
        topic("../x", 1, 1),
        topic("twice", 1, 1),
        topic("__cluster_metadata", 1, 1),
        topic("none", 0, 1),
        topic("none2", 1, 0),
        topic("many", 1, 4),
        config("null", "k", None),
        config("bad", "bad", Some("")),
        config("good", "k", Some("v")),
        by_hand("hand", &[(1, &[3, 1]), (0, &[2, 3])]),
        by_hand("gap", &[(0, &[1]), (2, &[1])]),
        by_hand("again", &[(0, &[1]), (0, &[1])]),
        by_hand("stranger", &[(0, &[1, 9])]),
        by_hand("double", &[(0, &[1, 1])]),
        by_hand("uneven", &[(0, &[1, 2]), (1, &[1])]),
        by_hand("empty", &[(0, &[])]),
        CreateTopic { num_partitions: 1, ..by_hand("both", &[(0, &[1])]) },
    ]);
    let expected = [
        "a.b: 4x3",
        "defaults: 1x1",
        "../x: Name(Character('/'))",
        "__cluster_metadata: Reserved",
        "none: NumPartitions(0)",
        "none2: ReplicationFactor(0)",
        "many: Placement(TooFewBrokers { replication_factor: 4, brokers: 3 })",
        "null: NullConfigs([\"k\"])",
        "bad: Config(\"bad is bad\")",
        "good: 1x1",
        "hand: 2x2",
        "gap: Assignment(NotConsecutive(2))",
        "again: Assignment(DuplicatePartition(0))",
        "stranger: Assignment(UnknownBroker(9))",
        "double: Assignment(DuplicateBroker(1))",
        "uneven: Assignment(ReplicationFactor { partition: 1, replicas: 1, expected: 2 })",
        "empty: Assignment(Empty(0))",
        "both: CountsWithAssignments",
        "twice: Duplicate",
    ];
    assert_eq!(answers, expected);
    assert_eq!(c.create(&[topic("a_b", 1, 1), topic("a.b", 1, 1)]), ["a_b: Similar(\"a.b\")", "a.b: Exists"]);

    let created = c.image().topic("a.b").unwrap();
    let mut leaders: Vec<i32> = created.partitions.iter().map(|partition| partition.leader).collect();
    leaders.sort_unstable();
    assert_eq!(leaders, [1, 1, 2, 3]);
    for partition in &created.partitions {
        assert_eq!((partition.leader, &partition.isr), (partition.replicas[0], &partition.replicas));
        assert_eq!(partition.directory_of(2), Some(Uuid(702)));
    }
    let hand = c.image().topic("hand").unwrap();
    assert_eq!((&hand.partitions[0].replicas[..], &hand.partitions[1].replicas[..]), (&[2, 3][..], &[3, 1][..]));
    assert_eq!(c.image().config(ResourceType::Topic, "good", "k"), Some("v"));
}

#[test]
fn records_of_a_topic_stand_in_kafkas_order() {
    let c = Cluster::with_brokers(&[1]);
    let asked = CreateTopic { configs: vec![("k".into(), Some("v".into()))], ..topic("t", 2, 1) };
    let defaults = TopicDefaults { num_partitions: 1, replication_factor: 1 };
    let decision = create_topics(c.image(), &[asked], defaults, &Rules, &mut || Uuid(77), 0).unwrap();
    assert_eq!(names(&decision.records), ["TopicRecord", "ConfigRecord", "PartitionRecord", "PartitionRecord"]);
}

#[test]
fn too_much_is_refused_before_it_is_made() {
    let mut c = Cluster::with_brokers(&[1]);
    let defaults = TopicDefaults { num_partitions: 2, replication_factor: 1 };
    let create = |c: &Cluster, topics: &[CreateTopic]| {
        create_topics(c.image(), topics, defaults, &Rules, &mut || Uuid(9), 0).map(|decision| decision.records.len())
    };
    assert_eq!(create(&c, &[topic("t", i32::MAX, 1)]), Err(RequestTooLarge));
    assert_eq!(create(&c, &[topic("t", 9999, 1), topic("u", -1, 1)]), Err(RequestTooLarge));
    assert_eq!(create(&c, &[topic("t", 9999, 1)]), Ok(10_000));
    // 10,000 partitions and the topic itself.
    assert_eq!(create(&c, &[topic("t", 10_000, 1)]), Err(RequestTooLarge));
    c.create(&[topic("t", 1, 1)]);
    let grow = |topic: &str, count| NewPartitions { topic: topic.to_owned(), count, assignments: None };
    assert_eq!(create_partitions(c.image(), &[grow("t", i32::MAX)]), Err(RequestTooLarge));
    assert!(create_partitions(c.image(), &[grow("unknown", i32::MAX)]).is_ok());
}

#[test]
fn fenced_brokers_lead_nothing() {
    let mut c = Cluster::new();
    assert_eq!(c.create(&[topic("t", 1, 1)]), [format!("t: Placement({:?})", PlacementError::NoActiveBroker)]);
    let decision = register_broker(c.image(), registration(1), 9).unwrap();
    c.write(decision.records);
    assert_eq!(c.create(&[topic("t", 1, 1)]), [format!("t: Placement({:?})", PlacementError::NoActiveBroker)]);
    c.start_broker(2);
    assert_eq!(c.create(&[topic("t", 2, 2)]), ["t: 2x2"]);
    for partition in &c.image().topic("t").unwrap().partitions {
        assert_eq!((partition.leader, &partition.isr[..], partition.replicas.len()), (2, &[2][..], 2));
    }
    let by_hand = CreateTopic { assignments: vec![(0, vec![1])], ..topic("u", -1, -1) };
    assert_eq!(c.create(&[by_hand]), ["u: Assignment(NoActiveBroker(0))"]);
}

#[test]
fn racks_are_mixed() {
    let mut c = Cluster::with_brokers(&[11, 12, 13, 14, 15, 16]);
    c.create(&[topic("t", 12, 3)]);
    let topic = c.image().topic("t").unwrap();
    let mut led = std::collections::BTreeMap::new();
    for partition in &topic.partitions {
        *led.entry(partition.leader).or_insert(0) += 1;
        let mut ids = partition.replicas.clone();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 3);
    }
    assert!(led.len() == 6 && led.values().all(|count| *count == 2), "{led:?}");
}

#[test]
fn topics_are_deleted_by_name_or_id() {
    let mut c = Cluster::with_brokers(&[1]);
    c.create(&[topic("a", 1, 1), topic("b", 1, 1), topic("c", 1, 1), topic("d", 1, 1)]);
    let id = |name: &str| c.image().topic(name).unwrap().id;
    let by_name = |name: &str| DeleteTopic { name: Some(name.to_owned()), id: Uuid::ZERO };
    let by_id = |id: Uuid| DeleteTopic { name: None, id };
    let decision = delete_topics(
        c.image(),
        &[
            by_name("a"),
            by_id(id("b")),
            by_name("c"),
            by_name("c"),
            by_name("d"),
            by_id(id("d")),
            by_name("x"),
            by_id(Uuid(5)),
            by_id(Uuid::ZERO),
            DeleteTopic { name: Some("a".into()), id: id("a") },
        ],
    )
    .unwrap();
    let mut answers: Vec<String> = decision
        .answers
        .iter()
        .map(|answer| format!("{} {:?}", answer.name.as_deref().unwrap_or("-"), answer.result))
        .collect();
    answers.sort();
    let expected = [
        "- Err(NeitherNameNorId)",
        "- Err(UnknownId)",
        "a Err(NameAndId)",
        "a Ok(())",
        "b Ok(())",
        "c Err(DuplicateName)",
        "d Err(NameOfId)",
        "x Err(UnknownName)",
    ];
    assert_eq!(answers, expected);
    c.write(decision.records);
    assert_eq!(c.image().topics().map(|topic| topic.name.to_string()).collect::<Vec<_>>(), ["c", "d"]);
    // The name is free again, and so are those like it.
    assert_eq!(c.create(&[topic("a", 1, 1)]), ["a: 1x1"]);
}

#[test]
fn partitions_are_added() {
    let mut c = Cluster::with_brokers(&[1, 2]);
    c.create(&[topic("a", 2, 1), topic("b", 2, 2), topic("c", 1, 1)]);
    let more = |topic: &str, count, assignments: Option<&[&[i32]]>| NewPartitions {
        topic: topic.to_owned(),
        count,
        assignments: assignments.map(|it| it.iter().map(|ids| ids.to_vec()).collect()),
    };
    let decision = create_partitions(
        c.image(),
        &[
            more("a", 5, None),
            more("b", 3, Some(&[&[2, 1]])),
            more("c", 1, None),
            more("x", 1, None),
            more("y", 1, None),
            more("y", 1, None),
        ],
    )
    .unwrap();
    let text: Vec<String> = decision.answers.iter().map(|(name, answer)| format!("{name} {answer:?}")).collect();
    let expected =
        ["a Ok(())", "b Ok(())", "c Err(NotMore { count: 1, current: 1 })", "x Err(UnknownTopic)", "y Err(Duplicate)"];
    assert_eq!(text, expected);
    c.write(decision.records);
    assert_eq!(c.image().topic("a").unwrap().partitions.len(), 5);
    assert_eq!(c.image().topic("b").unwrap().partitions[2].replicas, [2, 1]);
    for (assignments, expected) in [
        (&[&[1, 2][..], &[1, 2]][..], AssignmentError::Count { assignments: 2, partitions: 1 }),
        (&[&[1][..]], AssignmentError::ReplicationFactor { partition: 3, replicas: 1, expected: 2 }),
        (&[&[1, 7][..]], AssignmentError::UnknownBroker(7)),
    ] {
        let decision = create_partitions(c.image(), &[more("b", 4, Some(assignments))]).unwrap();
        assert_eq!(decision.answers[0].1, Err(CreatePartitionsError::Assignment(expected)));
        assert!(decision.records.is_empty());
    }
    let decision = create_partitions(c.image(), &[more("b", -1, None)]).unwrap();
    assert_eq!(decision.answers[0].1, Err(CreatePartitionsError::NotMore { count: -1, current: 3 }));
}

fn alter(kind: ResourceType, name: &str, ops: &[(&str, OpType, Option<&str>)]) -> AlterResource {
    let op = |(name, op, value): &(&str, OpType, Option<&str>)| AlterOp {
        name: (*name).to_owned(),
        op: *op,
        value: value.map(str::to_owned),
    };
    AlterResource { resource: ConfigResource::new(kind, name), ops: ops.iter().map(op).collect() }
}

#[test]
fn configs_are_changed_one_by_one() {
    use OpType::{Append, Delete, Set, Subtract};
    use ResourceType::{Broker, BrokerLogger, Topic};
    let mut c = Cluster::with_brokers(&[1]);
    c.create(&[topic("t", 1, 1), topic("u", 1, 1)]);
    let mut step = |resources: &[AlterResource]| {
        let decision = incremental_alter_configs(c.image(), resources, &Rules).unwrap();
        let records = decision.records.len();
        c.write(decision.records);
        let policy = c.image().config(Topic, "t", "cleanup.policy").unwrap_or("-").to_owned();
        let answers: Vec<String> = decision.answers.iter().map(|answer| format!("{answer:?}")).collect();
        (answers.join(" "), records, policy)
    };
    let ok = |records, policy: &str| ("Ok(())".to_owned(), records, policy.to_owned());
    let list = |op, value| alter(Topic, "t", &[("cleanup.policy", op, Some(value))]);
    assert_eq!(step(&[list(Append, "compact,delete")]), ok(1, "delete,compact"));
    assert_eq!(step(&[list(Append, "compact")]), ok(0, "delete,compact"));
    assert_eq!(step(&[list(Subtract, "delete,x")]), ok(1, "compact"));
    assert_eq!(step(&[list(Set, "delete")]), ok(1, "delete"));
    assert_eq!(step(&[alter(Topic, "t", &[("cleanup.policy", Delete, None)])]), ok(1, "-"));
    assert_eq!(step(&[alter(Topic, "t", &[("cleanup.policy", Delete, None)])]), ok(0, "-"));
    // Brokers get the same value again.
    assert_eq!(step(&[alter(Broker, "1", &[("k", Set, Some("v"))])]), ok(1, "-"));
    assert_eq!(step(&[alter(Broker, "1", &[("k", Set, Some("v"))])]), ok(1, "-"));

    let long = "x".repeat(32_768);
    for (resource, error) in [
        (alter(Topic, "t", &[("k", Append, Some("v"))]), AlterConfigError::NotAList("k".into())),
        (alter(Topic, "t", &[("k", Set, None)]), AlterConfigError::NullValues(vec!["k".into()])),
        (alter(Topic, "t", &[("k", Set, Some("1")), ("k", Delete, None)]), AlterConfigError::DuplicateKey("k".into())),
        (
            alter(Topic, "t", &[("bad", Set, Some("1"))]),
            AlterConfigError::Refused(ConfigRefusal::Config("bad is bad".into())),
        ),
        (alter(Topic, "x", &[]), AlterConfigError::UnknownTopic("x".into())),
        (alter(Broker, "x", &[]), AlterConfigError::BrokerName("x".into())),
        (alter(Broker, "7", &[]), AlterConfigError::UnknownBroker(7)),
        (alter(BrokerLogger, "1", &[]), AlterConfigError::UnsupportedType(BrokerLogger)),
        (alter(Broker, "1", &[("min.insync.replicas", Set, Some("2"))]), AlterConfigError::MinInsyncReplicas),
        (alter(Broker, "", &[("min.insync.replicas", Delete, None)]), AlterConfigError::MinInsyncReplicas),
    ] {
        assert_eq!(step(&[resource]), (format!("{:?}", Err::<(), _>(error)), 0, "-".into()));
    }
    assert!(step(&[alter(Topic, "t", &[("k", Set, Some(&long))])]).0.starts_with("Err(Refused(Config"));
    let twice = [alter(Topic, "t", &[]), alter(Topic, "t", &[]), alter(Topic, "u", &[("k", Set, Some("v"))])];
    assert_eq!(step(&twice).0, "Err(DuplicateResource) Err(DuplicateResource) Ok(())");
    let decision =
        incremental_alter_configs(c.image(), &[alter(Topic, "t", &[("min.insync.replicas", Set, Some("2"))])], &Rules);
    assert_eq!(names(&decision.unwrap().records), ["ConfigRecord", "ClearElrRecord"]);
}

#[test]
fn configs_are_replaced_as_a_whole() {
    let mut c = Cluster::with_brokers(&[1]);
    c.create(&[topic("t", 1, 1)]);
    let replace = |configs: &[(&str, Option<&str>)]| AlterConfigs {
        resource: ConfigResource::topic("t"),
        configs: configs.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect(),
    };
    c.write(alter_configs(c.image(), &[replace(&[("a", Some("1")), ("b", Some("2"))])], &Rules).unwrap().records);
    let decision = alter_configs(c.image(), &[replace(&[("b", Some("2")), ("c", Some("3"))])], &Rules).unwrap();
    assert_eq!(decision.records.len(), 2);
    c.write(decision.records);
    let configs = c.image().topic_configs("t").unwrap();
    assert_eq!(configs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["b=2", "c=3"]);
    let null = alter_configs(c.image(), &[replace(&[("b", None)])], &Rules).unwrap();
    assert_eq!(null.answers, [Err(AlterConfigError::NullValues(vec!["b".into()]))]);
}

#[test]
fn producer_ids_are_given_out_once() {
    let mut c = Cluster::with_brokers(&[1]);
    let epoch = c.image().broker(1).unwrap().epoch;
    for first in [0, 1000, 2000] {
        let decision = allocate_producer_ids(c.image(), 1, epoch).unwrap();
        assert_eq!(decision.answers, ProducerIdBlock { first, count: 1000 });
        c.write(decision.records);
    }
    assert_eq!(allocate_producer_ids(c.image(), 1, epoch + 1), Err(ProducerIdError::StaleBrokerEpoch));
    assert_eq!(allocate_producer_ids(c.image(), 2, epoch), Err(ProducerIdError::StaleBrokerEpoch));
    let last = wire::generated::producer_ids_record::ProducerIdsRecord {
        broker_id: 1,
        broker_epoch: epoch,
        next_producer_id: i64::MAX - 5,
    };
    c.write(vec![last.into()]);
    assert_eq!(allocate_producer_ids(c.image(), 1, epoch), Err(ProducerIdError::Exhausted));
}

#[test]
fn a_broker_registers_comes_up_and_leads_again() {
    let mut c = Cluster::with_brokers(&[1]);
    c.create(&[topic("t", 2, 1)]);
    let epoch = c.image().broker(1).unwrap().epoch;
    // The same process changes what it said: same epoch, still up.
    let decision = register_broker(c.image(), registration(1), 500).unwrap();
    assert_eq!(decision.answers, epoch);
    c.write(decision.records);
    assert!(!c.image().broker(1).unwrap().fenced);
    // Another process.
    let again = Registration { incarnation_id: Uuid(99), ..registration(1) };
    let decision = register_broker(c.image(), again, 500).unwrap();
    assert_eq!(decision.answers, 500);
    c.write(decision.records);
    assert!(c.image().broker(1).unwrap().fenced);
    c.write(unfence_broker(c.image(), 1));
    assert!(unfence_broker(c.image(), 1).is_empty());
    let elected: Vec<_> = elect_after_restart(c.image(), 1, &nothing_is_lost).collect();
    assert_eq!(names(&elected), ["PartitionChangeRecord", "PartitionChangeRecord"]);
    c.write(elected);
    for partition in &c.image().topic("t").unwrap().partitions {
        assert_eq!((partition.leader, partition.leader_epoch, &partition.isr[..]), (1, 1, &[1][..]));
    }
    assert_eq!(elect_after_restart(c.image(), 2, &nothing_is_lost).count(), 0);
}

fn nothing_is_lost(_: &Topic, _: i32) -> bool {
    false
}

/// The only broker has two directories, and each has a partition.
#[test]
fn nobody_leads_what_lies_in_a_failed_directory() {
    let mut c = Cluster::new();
    let (kept, failed) = (Uuid(701), Uuid(702));
    let two = Registration { log_dirs: vec![kept, failed], ..registration(1) };
    c.write(register_broker(c.image(), two.clone(), 40).unwrap().records);
    c.write(unfence_broker(c.image(), 1));
    c.create(&[topic("t", 2, 1)]);
    let topic_id = c.image().topic("t").unwrap().id;
    let moved = |partition_id, dir| PartitionChangeRecord {
        partition_id,
        topic_id,
        directories: Some(vec![dir]),
        ..Default::default()
    };
    c.write(vec![moved(0, kept).into(), moved(1, failed).into()]);

    assert_eq!(directories_failed(c.image(), 1, &[Uuid(703)]), None);
    assert_eq!(directories_failed(c.image(), 1, &[kept, failed]), None, "with the last the broker ends");
    c.write(directories_failed(c.image(), 1, &[failed]).into_iter().collect());
    let broker = c.image().broker(1).unwrap();
    assert_eq!((&broker.log_dirs[..], broker.fenced), (&[kept][..], false));
    let is_lost = |image: &Image| {
        let image = image.clone();
        move |topic: &Topic, index: i32| {
            let dir = topic.partitions[index as usize].directory_of(1).unwrap();
            !image.broker(1).unwrap().has_online_dir(dir)
        }
    };
    let before = c.image().clone();
    c.write(resign(&before, 1, &is_lost(&before)).collect());
    let text = |c: &Cluster| -> Vec<String> {
        let partitions = c.image().topic("t").unwrap().partitions.iter();
        let one = |it: &Partition| {
            let (elr, last) = (&it.eligible_leader_replicas, &it.last_known_elr);
            let offline = c.image().offline_replicas(it);
            format!("{} {} {:?} {elr:?} {last:?} {offline:?}", it.leader, it.leader_epoch, it.isr)
        };
        partitions.map(one).collect()
    };
    assert_eq!(text(&c), ["1 0 [1] [] [] []", "-1 1 [] [1] [1] [1]"]);
    let before = c.image().clone();
    assert_eq!(resign(&before, 1, &is_lost(&before)).count(), 0, "once");

    // A restart without the directory changes nothing for what lies there; one with it does.
    for (log_dirs, expected) in [
        (vec![kept], ["1 1 [1] [] [] []", "-1 1 [] [1] [1] [1]"]),
        (vec![kept, failed], ["1 2 [1] [] [] []", "1 2 [1] [] [] []"]),
        // And one that loses it while the broker is down.
        (vec![kept], ["1 3 [1] [] [] []", "-1 3 [] [1] [1] [1]"]),
    ] {
        let again = Registration { incarnation_id: Uuid(99), log_dirs, ..two.clone() };
        c.write(register_broker(c.image(), again, 500).unwrap().records);
        c.write(unfence_broker(c.image(), 1));
        let before = c.image().clone();
        c.write(elect_after_restart(&before, 1, &is_lost(&before)).collect());
        assert_eq!(text(&c), expected);
    }
}

#[test]
fn a_leader_left_out_of_the_isr_is_found_again() {
    let mut c = Cluster::with_brokers(&[1, 2]);
    c.create(&[topic("t", 2, 2)]);
    let topic_id = c.image().topic("t").unwrap().id;
    let lost = |partition_id, elr: &[i32], last: &[i32]| PartitionChangeRecord {
        partition_id,
        topic_id,
        isr: Some(vec![]),
        leader: -1,
        eligible_leader_replicas: Some(elr.to_vec()),
        last_known_elr: Some(last.to_vec()),
        ..Default::default()
    };
    c.write(vec![lost(0, &[1, 2], &[]).into(), lost(1, &[], &[1]).into()]);
    c.write(elect_after_restart(c.image(), 1, &nothing_is_lost).collect());
    let partitions = &c.image().topic("t").unwrap().partitions;
    let text: Vec<String> = partitions
        .iter()
        .map(|it| format!("{} {:?} {:?} {}", it.leader, it.isr, it.eligible_leader_replicas, it.leader_recovery_state))
        .collect();
    assert_eq!(text, ["1 [1] [2] 0", "1 [1] [] 1"]);
}

#[test]
fn names_are_checked_first() {
    let mut c = Cluster::with_brokers(&[1]);
    assert_eq!(c.create(&[topic("", 1, 1)]), [format!(": Name({:?})", TopicNameError::Empty)]);
}
