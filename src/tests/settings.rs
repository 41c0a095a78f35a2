//! What settings of server.properties, of topics and of groups do, one story a theme.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::broker::{Broker, is_control};
use crate::raw::{Connection, Outcome, ask, decode};
use wire::codec::Records;
use wire::generated::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use wire::generated::delete_topics_request::DeleteTopicsRequest;
use wire::generated::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use wire::generated::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use wire::generated::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use wire::generated::metadata_request::MetadataRequest;
use wire::generated::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use wire::generated::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use wire::messages::*;
use wire::records::{BatchBuilder, Scratch};
use wire::{ErrorCode, Uuid};

const NONE: i16 = ErrorCode::None as i16;

/// Creates a topic with as many partitions and replicas as the broker likes.
fn create(connection: &mut Connection, name: &str, configs: &[(&str, &str)]) -> i16 {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: Cow::Owned((*name).to_owned()),
        value: Some(Cow::Owned((*value).to_owned())),
    };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: -1,
        replication_factor: -1,
        configs: configs.iter().map(config).collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, ..Default::default() };
    let body = ask(connection, &request, 4);
    decode::<CreateTopicsResponse<'_>>(&body, 4).topics[0].error_code
}

fn delete(connection: &mut Connection, name: &str) -> i16 {
    let request = DeleteTopicsRequest { topic_names: vec![name.into()], timeout_ms: 60_000, ..Default::default() };
    let body = ask(connection, &request, 4);
    decode::<DeleteTopicsResponse<'_>>(&body, 4).responses[0].error_code
}

/// The error code of a record for partition 0.
fn produce(connection: &mut Connection, topic: &str, acks: i16, timestamp_ms: i64, value: &[u8]) -> i16 {
    let mut batch = BatchBuilder::new(0);
    batch.push(timestamp_ms, None, Some(value), &[]).expect("a small record");
    let batch = batch.finish(&mut Scratch::default());
    let partition = PartitionProduceData { index: 0, records: Records::Bytes(&batch) };
    let topic = TopicProduceData { name: topic.into(), partition_data: vec![partition], ..Default::default() };
    let request = ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
    let body = ask(connection, &request, 8);
    decode::<ProduceResponse<'_>>(&body, 8).responses[0].partition_responses[0].error_code
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    since.as_millis() as i64
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: it never is");
        std::thread::yield_now();
    }
}

/// Names in the data directory that begin so.
fn entries(broker: &Broker, start: &str) -> Vec<String> {
    let found = fs::read_dir(broker.dir().join("data")).expect("the data directory").flatten();
    let names = found.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(start)).collect()
}

#[test]
fn new_topics_are_as_the_broker_says() {
    if is_control() {
        return;
    }
    let settings =
        ["broker.rack=here", "num.partitions=3", "max.request.partition.size.limit=2", "delete.topic.enable=false"];
    let broker = Broker::with(&settings);
    let mut connection = broker.connect();
    assert_eq!(create(&mut connection, "t", &[]), NONE);
    let body = ask(&mut connection, &MetadataRequest { topics: None, ..Default::default() }, 9);
    let response: MetadataResponse<'_> = decode(&body, 9);
    assert_eq!(response.brokers[0].rack.as_deref(), Some("here"));
    assert_eq!(response.topics[0].partitions.len(), 3);
    let request = DescribeTopicPartitionsRequest { response_partition_limit: 2000, ..Default::default() };
    let body = ask(&mut connection, &request, 0);
    let response: DescribeTopicPartitionsResponse<'_> = decode(&body, 0);
    assert_eq!(response.topics[0].partitions.len(), 2, "a page");
    assert_eq!(response.next_cursor.map(|cursor| cursor.partition_index), Some(2));
    assert_eq!(delete(&mut connection, "t"), ErrorCode::TopicDeletionDisabled as i16);

    // One broker can't keep two replicas, of its own topic no more than of others.
    let broker = Broker::with(&["default.replication.factor=2", "offsets.topic.replication.factor=2"]);
    let mut connection = broker.connect();
    assert_eq!(create(&mut connection, "t", &[]), ErrorCode::InvalidReplicationFactor as i16);
    let request = FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..Default::default() };
    for _ in 0..3 {
        let body = ask(&mut connection, &request, 4);
        let found: FindCoordinatorResponse<'_> = decode(&body, 4);
        assert_eq!(found.coordinators[0].error_code, ErrorCode::CoordinatorNotAvailable as i16);
    }
    assert_eq!(entries(&broker, "__consumer_offsets"), [""; 0]);
}

#[test]
fn records_are_taken_as_the_settings_say() {
    if is_control() {
        return;
    }
    let broker = Broker::with(&["log.message.timestamp.before.max.ms=3600000"]);
    let mut connection = broker.connect();
    assert_eq!(create(&mut connection, "t", &[]), NONE);
    let (now_ms, old_ms) = (now_ms(), now_ms() - 2 * 3_600_000);
    assert_eq!(produce(&mut connection, "t", 1, now_ms, b"v"), NONE);
    assert_eq!(produce(&mut connection, "t", 1, old_ms, b"v"), ErrorCode::InvalidTimestamp as i16);
    // A topic's own word counts before the broker's.
    let own = [("message.timestamp.before.max.ms", "86400000")];
    assert_eq!(create(&mut connection, "own", &own), NONE);
    assert_eq!(produce(&mut connection, "own", -1, old_ms, b"v"), NONE);
    assert_eq!(produce(&mut connection, "own", -1, now_ms - 2 * 86_400_000, b"v"), ErrorCode::InvalidTimestamp as i16);
}

/// Bytes of the only log segment of a topic after one large record was written.
fn stored(broker: &Broker, topic: &str, configs: &[(&str, &str)]) -> u64 {
    let mut connection = broker.connect();
    assert_eq!(create(&mut connection, topic, configs), NONE);
    let text: String = (0..20_000u32).map(|at| format!("{} {} ", at * at % 977, at % 13)).collect();
    assert_eq!(produce(&mut connection, topic, -1, now_ms(), text.as_bytes()), NONE);
    let segment: &Path = &broker.dir().join(format!("data/{topic}-0/00000000000000000000.log"));
    fs::metadata(segment).expect("a segment").len()
}

#[test]
fn levels_of_compression_count() {
    if is_control() {
        return;
    }
    let weak = Broker::with(&["compression.gzip.level=1", "compression.zstd.level=-50"]);
    let strong = Broker::with(&["compression.gzip.level=9", "compression.zstd.level=19"]);
    for codec in ["gzip", "zstd"] {
        let kind = [("compression.type", codec)];
        let (low, high) = (stored(&weak, codec, &kind), stored(&strong, codec, &kind));
        assert!(high < low, "{codec}: {high} of {low} bytes");
        let level = format!("compression.{codec}.level");
        let best = if codec == "gzip" { "9" } else { "19" };
        let own = stored(&weak, &format!("own-{codec}"), &[kind[0], (&level, best)]);
        assert_eq!(own, high, "{codec}: the topic's own level");
    }
}

/// Bytes of records that a fetch of partition 0 brings.
fn fetched(connection: &mut Connection, topic: &str) -> usize {
    let partition = FetchPartition { partition: 0, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic: topic.into(), partitions: vec![partition], ..Default::default() };
    let request =
        FetchRequest { max_wait_ms: 1000, min_bytes: 1, max_bytes: 1 << 20, topics: vec![topic], ..Default::default() };
    let body = ask(connection, &request, 11);
    let response: FetchResponse<'_> = decode(&body, 11);
    match &response.responses[0].partitions[0].records {
        Records::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

#[test]
fn a_fetch_is_no_larger_than_the_broker_says() {
    if is_control() {
        return;
    }
    let sizes = ["fetch.max.bytes=25000", "fetch.max.bytes=57671680"].map(|setting| {
        let broker = Broker::with(&[setting]);
        let mut connection = broker.connect();
        assert_eq!(create(&mut connection, "t", &[]), NONE);
        for _ in 0..4 {
            assert_eq!(produce(&mut connection, "t", -1, now_ms(), &[7; 10_000]), NONE);
        }
        fetched(&mut connection, "t")
    });
    assert!((20_000..=25_000).contains(&sizes[0]) && sizes[1] > 40_000, "{sizes:?}");
}

#[test]
fn an_idle_connection_is_closed() {
    if is_control() {
        return;
    }
    let broker = Broker::with(&["connections.max.idle.ms=1000"]);
    let mut idle = broker.connect();
    assert!(idle.is_served());
    assert_eq!(idle.receive(), Outcome::Closed);
    broker.assert_goes_on("a connection that was idle");
}

#[test]
fn what_is_deleted_stays_as_long_as_the_settings_say() {
    if is_control() {
        return;
    }
    let quick =
        ["log.retention.check.interval.ms=200", "log.initial.task.delay.ms=0", "log.segment.delete.delay.ms=100"];
    let broker = Broker::with(&quick);
    let mut connection = broker.connect();
    assert_eq!(create(&mut connection, "short", &[]), NONE);
    assert_eq!(create(&mut connection, "long", &[("file.delete.delay.ms", "3600000")]), NONE);
    for topic in ["short", "long"] {
        assert_eq!(delete(&mut connection, topic), NONE);
    }
    wait_until("short is gone", || entries(&broker, "short-0").is_empty());
    let kept = entries(&broker, "long-0");
    assert!(kept.len() == 1 && kept[0].ends_with("-delete"), "{kept:?}");

    // Retention looks again and again.
    let brief = [("retention.ms", "1000"), ("segment.ms", "500")];
    assert_eq!(create(&mut connection, "brief", &brief), NONE);
    assert_eq!(produce(&mut connection, "brief", -1, now_ms() - 10_000, b"old"), NONE);
    let first = broker.dir().join("data/brief-0/00000000000000000000.log");
    wait_until("the old segment is gone", || !first.exists());
}

fn set_group_config(connection: &mut Connection, name: &str, value: i32) -> i16 {
    const GROUP: i8 = 32;
    let config =
        AlterableConfig { name: name.to_owned().into(), config_operation: 0, value: Some(value.to_string().into()) };
    let resource = AlterConfigsResource { resource_type: GROUP, resource_name: "g".into(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let body = ask(connection, &request, 0);
    decode::<IncrementalAlterConfigsResponse<'_>>(&body, 0).responses[0].error_code
}

#[test]
fn configs_of_groups_have_the_brokers_bounds() {
    if is_control() {
        return;
    }
    let broker = Broker::with(&[
        "group.consumer.min.session.timeout.ms=40000",
        "group.consumer.max.session.timeout.ms=50000",
        "group.consumer.min.heartbeat.interval.ms=4000",
        "group.consumer.max.heartbeat.interval.ms=6000",
        "group.consumer.min.assignment.interval.ms=500",
        "group.consumer.max.assignment.interval.ms=2000",
    ]);
    let mut connection = broker.connect();
    for (name, low, high) in [
        ("consumer.session.timeout.ms", 40_000, 50_000),
        ("consumer.heartbeat.interval.ms", 4000, 6000),
        ("consumer.assignment.interval.ms", 500, 2000),
    ] {
        for (value, expected) in [
            (low - 1, ErrorCode::InvalidConfig as i16),
            (high + 1, ErrorCode::InvalidConfig as i16),
            (low, NONE),
            (high, NONE),
        ] {
            assert_eq!(set_group_config(&mut connection, name, value), expected, "{name}={value}");
        }
    }
}

#[test]
fn the_consumer_protocol_is_offered_where_the_operator_wants_it() {
    if is_control() {
        return;
    }
    let code = |settings: &[&str]| {
        let broker = Broker::with(&[&["offsets.topic.num.partitions=1"], settings].concat());
        let mut connection = broker.connect();
        let find = FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..Default::default() };
        wait_until("there is a coordinator", || {
            let body = ask(&mut connection, &find, 4);
            decode::<FindCoordinatorResponse<'_>>(&body, 4).coordinators[0].error_code == NONE
        });
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".into(),
            member_id: Uuid(7).to_string().into(),
            rebalance_timeout_ms: 30_000,
            subscribed_topic_names: Some(vec!["t".into()]),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        };
        loop {
            let body = ask(&mut connection, &request, 1);
            let code = decode::<ConsumerGroupHeartbeatResponse<'_>>(&body, 1).error_code;
            if code != ErrorCode::CoordinatorLoadInProgress as i16 {
                return code;
            }
        }
    };
    assert_eq!(code(&[]), NONE);
    assert_eq!(code(&["group.coordinator.rebalance.protocols=classic"]), ErrorCode::UnsupportedVersion as i16);
}

/// Segments of the offsets topic roll at a size of their own.
#[test]
fn the_offsets_topic_has_segments_of_its_own_size() {
    if is_control() {
        return;
    }
    // The least that a topic may have.
    let broker = Broker::with(&["offsets.topic.num.partitions=1", "offsets.topic.segment.bytes=1048576"]);
    let topic = crate::topics::create(&broker, 1);
    let mut connection = broker.connect();
    crate::groups::find_coordinator(&mut connection, "g");
    let metadata = "m".repeat(4000);
    for committed_offset in 0..300 {
        let partition = OffsetCommitRequestPartition {
            committed_offset,
            committed_metadata: Some(metadata.as_str().into()),
            ..Default::default()
        };
        let topic =
            OffsetCommitRequestTopic { name: topic.as_str().into(), partitions: vec![partition], ..Default::default() };
        let request = OffsetCommitRequest {
            group_id: "g".into(),
            generation_id_or_member_epoch: -1,
            topics: vec![topic],
            ..Default::default()
        };
        let body = ask(&mut connection, &request, 8);
        let response: OffsetCommitResponse<'_> = decode(&body, 8);
        assert_eq!(response.topics[0].partitions[0].error_code, NONE);
    }
    let dir = fs::read_dir(broker.dir().join("data/__consumer_offsets-0")).expect("the offsets topic");
    let names = dir.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    assert!(names.filter(|name| name.ends_with(".log")).count() == 2);
}
