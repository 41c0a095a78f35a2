//! Several log directories: one that fails, at a start or while records are written, fails alone. And creating many
//! partitions does not hold up those who write.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::broker::{Broker, is_control, new_dir};
use crate::raw::{Connection, ask, decode};
use wire::codec::Records;
use wire::generated::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use wire::generated::describe_log_dirs_request::DescribeLogDirsRequest;
use wire::generated::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use wire::generated::metadata_request::{MetadataRequest, MetadataRequestTopic};
use wire::generated::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use wire::messages::{
    CreateTopicsResponse, DescribeLogDirsResponse, IncrementalAlterConfigsResponse, MetadataResponse, ProduceResponse,
};
use wire::records::{BatchBuilder, Scratch};

const STORAGE_ERROR: i16 = 56;
const PARTITIONS: i32 = 8;

/// Three directories; the first holds the metadata.
fn start(dir: &Path, more: &[&str]) -> Broker {
    let names: Vec<String> = ["a", "b", "c"].iter().map(|name| dir.join(name).display().to_string()).collect();
    let dirs = format!("log.dirs={}", names.join(","));
    let metadata = format!("metadata.log.dir={}", names[0]);
    Broker::with(&[&[dirs.as_str(), &metadata, "ringmill.shards=2"][..], more].concat())
}

/// The partitions of topic `t` in a directory.
fn partitions_in(dir: &Path) -> Vec<i32> {
    let names = fs::read_dir(dir).expect("a log directory").flatten().map(|entry| entry.file_name());
    let number = |name: std::ffi::OsString| name.to_str()?.strip_prefix("t-")?.parse().ok();
    let mut found: Vec<i32> = names.filter_map(number).collect();
    found.sort_unstable();
    found
}

#[test]
fn a_directory_that_is_gone_at_the_start_takes_only_its_partitions_along() {
    if is_control() {
        return;
    }
    let dir = new_dir("gone");
    let broker = start(&dir, &[]);
    let mut connection = broker.connect();
    create(&mut connection, "t", PARTITIONS);
    let lost = partitions_in(&dir.join("b"));
    // The directories share one file system, so that they are filled evenly.
    assert_eq!(lost.len() + partitions_in(&dir.join("a")).len() + partitions_in(&dir.join("c")).len(), 8);
    assert!((2..=3).contains(&lost.len()), "{lost:?}");
    (0..PARTITIONS).for_each(|partition| assert_eq!(produce(&mut connection, partition), 0));
    drop(broker);

    fs::rename(dir.join("b"), dir.join("kept")).unwrap();
    fs::write(dir.join("b"), "not a directory").unwrap();
    let broker = start(&dir, &[]);
    let mut connection = broker.connect();
    for partition in 0..PARTITIONS {
        let expected = if lost.contains(&partition) { STORAGE_ERROR } else { 0 };
        assert_eq!(produce(&mut connection, partition), expected, "partition {partition}");
    }
    assert_eq!(directory_errors(&mut connection), [0, STORAGE_ERROR, 0]);
    assert_eq!(without_leader(&mut connection), lost);
    create(&mut connection, "u", PARTITIONS);
    drop(broker);

    fs::remove_file(dir.join("b")).unwrap();
    fs::rename(dir.join("kept"), dir.join("b")).unwrap();
    let broker = start(&dir, &[]);
    let mut connection = broker.connect();
    (0..PARTITIONS).for_each(|partition| assert_eq!(produce(&mut connection, partition), 0));
    assert_eq!(partitions_in(&dir.join("b")), lost);
    assert_eq!(directory_errors(&mut connection), [0; 3]);
    assert_eq!(without_leader(&mut connection), []);
    drop(broker);
    let _ = fs::remove_dir_all(&dir);
}

#[test]
fn a_directory_that_takes_no_more_writes_goes_offline_alone() {
    if is_control() {
        return;
    }
    let dir = new_dir("full");
    let broker = start(&dir, &[]);
    create(&mut broker.connect(), "t", PARTITIONS);
    let lost = partitions_in(&dir.join("b"));
    drop(broker);

    // A file to which nothing can be written, whoever asks.
    let victim = lost[0];
    let segment = dir.join(format!("b/t-{victim}/00000000000000000000.log"));
    fs::remove_file(&segment).unwrap();
    std::os::unix::fs::symlink("/dev/full", &segment).unwrap();
    // As after a clean stop, so that nothing is checked or synced at the start.
    fs::write(dir.join("b/.kafka_cleanshutdown"), "{\"version\":0,\"brokerEpoch\":-1}").unwrap();
    let broker = start(&dir, &[]);
    let mut connection = broker.connect();
    assert_eq!(directory_errors(&mut connection), [0; 3]);
    assert_eq!(produce(&mut connection, victim), STORAGE_ERROR);
    // The others of the directory follow with the next round of housekeeping.
    let deadline = Instant::now() + Duration::from_secs(20);
    for partition in lost.iter().copied() {
        while produce(&mut connection, partition) != STORAGE_ERROR {
            assert!(Instant::now() < deadline, "partition {partition} goes on");
        }
    }
    assert_eq!(directory_errors(&mut connection), [0, STORAGE_ERROR, 0]);
    while without_leader(&mut connection) != lost {
        assert!(Instant::now() < deadline, "the controller does not hear of the directory");
    }
    for partition in lost.iter().copied() {
        assert_eq!(produce(&mut connection, partition), STORAGE_ERROR, "without a leader as well");
    }
    for partition in (0..PARTITIONS).filter(|partition| !lost.contains(partition)) {
        assert_eq!(produce(&mut connection, partition), 0, "partition {partition}");
    }
    broker.assert_goes_on("the failure of a directory");
    drop(broker);
    let _ = fs::remove_dir_all(&dir);
}

#[test]
fn a_cordoned_directory_takes_no_new_partitions_also_after_a_restart() {
    if is_control() {
        return;
    }
    let dir = new_dir("cordoned");
    let mut broker = start(&dir, &[]);
    let path = dir.join("b").display().to_string();
    assert_ne!(set(&mut broker.connect(), "cordoned.log.dirs", "/nowhere"), 0);
    assert_eq!(set(&mut broker.connect(), "cordoned.log.dirs", &path), 0);
    for topic in ["t", "u"] {
        create(&mut broker.connect(), topic, PARTITIONS);
        let entries = fs::read_dir(dir.join("b")).unwrap().flatten();
        let made = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{topic}-")));
        assert_eq!(made.count(), 0, "{topic}");
        drop(broker);
        broker = start(&dir, &[]);
    }
    drop(broker);
    let _ = fs::remove_dir_all(&dir);
}

/// Prints the longest wait of a producer while a topic of 200 partitions is made; an inline creation takes two or three
/// syncs for each of them.
#[test]
fn a_topic_of_many_partitions_does_not_hold_up_a_producer() {
    if is_control() {
        return;
    }
    let broker = Broker::with(&["ringmill.shards=1"]);
    let mut producer = broker.connect();
    create(&mut producer, "t", 1);
    let mut creator = broker.connect();
    let created = std::thread::spawn(move || {
        let began = Instant::now();
        create(&mut creator, "many", 200);
        began.elapsed()
    });
    let (mut longest, mut count) = (Duration::ZERO, 0);
    while !created.is_finished() {
        let began = Instant::now();
        assert_eq!(produce(&mut producer, 0), 0);
        longest = longest.max(began.elapsed());
        count += 1;
    }
    let took = created.join().expect("the topic is created");
    println!("200 partitions in {took:?}; longest of {count} produces {longest:?}");
    assert!(count > 1, "no produce was answered while the topic was made");
}

fn create(connection: &mut Connection, name: &str, partitions: i32) {
    let configs = [CreatableTopicConfig { name: Cow::Borrowed("retention.ms"), value: Some(Cow::Borrowed("-1")) }];
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.to_vec(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, ..Default::default() };
    let body = ask(connection, &request, 4);
    let response = decode::<CreateTopicsResponse<'_>>(&body, 4);
    assert_eq!(response.topics[0].error_code, 0, "{name}");
}

/// The error code of a record for a partition of `t`.
fn produce(connection: &mut Connection, partition: i32) -> i16 {
    let mut batch = BatchBuilder::new(0);
    batch.push(1_700_000_000_000, None, Some(b"value"), &[]).expect("a small record");
    let batch = batch.finish(&mut Scratch::default());
    let partition = PartitionProduceData { index: partition, records: Records::Bytes(&batch) };
    let topic = TopicProduceData { name: "t".into(), partition_data: vec![partition], ..Default::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
    let body = ask(connection, &request, 8);
    let response = decode::<ProduceResponse<'_>>(&body, 8);
    response.responses[0].partition_responses[0].error_code
}

/// The error code of each log directory, in the order of `log.dirs`.
fn directory_errors(connection: &mut Connection) -> Vec<i16> {
    let body = ask(connection, &DescribeLogDirsRequest::default(), 1);
    let response = decode::<DescribeLogDirsResponse<'_>>(&body, 1);
    response.results.iter().map(|one| one.error_code).collect()
}

/// The partitions of `t` that nobody leads, as Metadata tells; their replica is away.
fn without_leader(connection: &mut Connection) -> Vec<i32> {
    const LEADER_NOT_AVAILABLE: i16 = 5;
    let topics = vec![MetadataRequestTopic { name: Some("t".into()), ..Default::default() }];
    let body = ask(connection, &MetadataRequest { topics: Some(topics), ..Default::default() }, 8);
    let response = decode::<MetadataResponse<'_>>(&body, 8);
    let mut found = Vec::new();
    for partition in &response.topics[0].partitions {
        let away = (partition.error_code, partition.leader_id, &partition.offline_replicas[..]);
        match away {
            (0, 1, []) => {}
            (LEADER_NOT_AVAILABLE, -1, [1]) => found.push(partition.partition_index),
            other => panic!("partition {}: {other:?}", partition.partition_index),
        }
        assert_eq!(partition.replica_nodes, [1]);
    }
    found.sort_unstable();
    found
}

/// Sets a dynamic config of broker 1.
fn set(connection: &mut Connection, name: &str, value: &str) -> i16 {
    let config = AlterableConfig { name: name.into(), config_operation: 0, value: Some(value.into()) };
    let resource = AlterConfigsResource { resource_type: 4, resource_name: "1".into(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let body = ask(connection, &request, 0);
    let response = decode::<IncrementalAlterConfigsResponse<'_>>(&body, 0);
    response.responses[0].error_code
}
