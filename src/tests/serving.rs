//! The main job, with one shard and with two, so that every request also takes the way over the mesh: records in, a
//! reader that waits, syncs before acknowledgement, a restart.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::broker::{Broker, is_control};
use crate::raw::{Connection, Outcome, decode, frame};
use wire::codec::Records;
use wire::generated::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use wire::generated::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use wire::generated::fetch_response::{FetchResponse, PartitionData};
use wire::generated::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use wire::records::{BatchBuilder, Batches, Codec, Scratch};

const PARTITIONS: i32 = 4;

/// Versions without tagged fields: names instead of ids, and simple headers.
const PRODUCE: i16 = 8;
const FETCH: i16 = 11;
const CREATE: i16 = 4;

#[test]
fn records_come_back_from_every_partition_and_after_a_restart() {
    for shards in [1, 2] {
        if is_control() {
            return;
        }
        let mut broker = Broker::with(&[&format!("ringmill.shards={shards}")]);
        let mut connection = broker.connect();
        create(&mut connection, "orders", &[]);
        for round in 0..3 {
            for partition in 0..PARTITIONS {
                assert_eq!(produce(&mut connection, "orders", partition, &value(partition, round)), (0, round));
            }
        }
        for restarted in [false, true] {
            if restarted {
                broker = broker.restarted();
                connection = broker.connect();
            }
            for partition in 0..PARTITIONS {
                let expected: Vec<String> = (0..3).map(|round| value(partition, round)).collect();
                assert_eq!(values(&mut connection, "orders", partition, 0), expected, "{shards} shards, {restarted}");
                assert_eq!(values(&mut connection, "orders", partition, 2), expected[2..]);
            }
        }
    }
}

#[test]
fn a_fetch_that_waits_is_woken_by_a_produce() {
    for shards in [1, 2] {
        if is_control() {
            return;
        }
        let broker = Broker::with(&[&format!("ringmill.shards={shards}")]);
        let (mut reader, mut writer) = (broker.connect(), broker.connect());
        create(&mut writer, "tail", &[]);
        for partition in 0..PARTITIONS {
            let began = Instant::now();
            // All partitions are asked for; any of them has to wake the fetch.
            let all: Vec<(i32, i64)> = (0..PARTITIONS).map(|p| (p, i64::from(p < partition))).collect();
            assert!(reader.send(&frame(&fetch_request("tail", &all, 60_000), FETCH)));
            assert_eq!(produce(&mut writer, "tail", partition, "wake"), (0, 0));
            let response = reader.receive().answer("Fetch");
            let got = records(&response).into_iter().find(|(index, _)| *index == partition);
            assert_eq!(got.map(|(_, values)| values), Some(vec!["wake".to_owned()]), "{shards} shards");
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "the fetch came back by itself, not because of the data"
            );
        }
    }
}

#[test]
fn a_fetch_without_data_ends_when_its_time_is_over() {
    if is_control() {
        return;
    }
    let broker = Broker::with(&["ringmill.shards=2"]);
    let mut connection = broker.connect();
    create(&mut connection, "idle", &[]);
    let began = Instant::now();
    let all: Vec<(i32, i64)> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    assert!(connection.send(&frame(&fetch_request("idle", &all, 200), FETCH)));
    let response = connection.receive().answer("Fetch");
    assert!(records(&response).iter().all(|(_, values)| values.is_empty()));
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_topic_that_wants_syncs_is_acknowledged_after_them() {
    for shards in [1, 2] {
        if is_control() {
            return;
        }
        let broker = Broker::with(&[&format!("ringmill.shards={shards}")]);
        let mut connection = broker.connect();
        create(&mut connection, "safe", &[("flush.messages", "1")]);
        for offset in 0..5 {
            assert_eq!(produce(&mut connection, "safe", 1, "synced"), (0, offset));
        }
        assert_eq!(values(&mut connection, "safe", 1, 0).len(), 5);
    }
}

#[test]
fn a_topic_with_a_codec_of_its_own_stores_with_it() {
    if is_control() {
        return;
    }
    let broker = Broker::start();
    let mut connection = broker.connect();
    create(&mut connection, "packed", &[("compression.type", "zstd")]);
    assert_eq!(produce(&mut connection, "packed", 0, "plain"), (0, 0));
    let response = fetch(&mut connection, "packed", 0, 0);
    with_batches(&response, |_, batches| {
        let codecs: Vec<Codec> = batches.map(|batch| batch.header.codec().expect("a codec")).collect();
        assert!(codecs.is_empty() || codecs == [Codec::Zstd], "{codecs:?}");
    });
    assert_eq!(values(&mut connection, "packed", 0, 0), ["plain"]);
}

fn value(partition: i32, round: i64) -> String {
    format!("partition {partition}, round {round}")
}

fn create(connection: &mut Connection, name: &str, configs: &[(&str, &str)]) {
    let configs = configs
        .iter()
        .map(|(name, value)| CreatableTopicConfig { name: Cow::Borrowed(*name), value: Some(Cow::Borrowed(*value)) });
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: PARTITIONS,
        replication_factor: 1,
        configs: configs.collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    assert!(connection.send(&frame(&request, CREATE)));
    assert!(matches!(connection.receive(), Outcome::Answer(_)));
}

/// Error code and base offset.
fn produce(connection: &mut Connection, topic: &str, partition: i32, value: &str) -> (i16, i64) {
    let mut batch = BatchBuilder::new(0);
    batch.push(1_700_000_000_000, None, Some(value.as_bytes()), &[]).expect("a small record");
    let batch = batch.finish(&mut Scratch::default());
    let partition = PartitionProduceData { index: partition, records: Records::Bytes(&batch) };
    let topic = TopicProduceData { name: topic.into(), partition_data: vec![partition], ..Default::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
    assert!(connection.send(&frame(&request, PRODUCE)));
    let body = connection.receive().answer("Produce");
    let response = decode::<wire::messages::ProduceResponse<'_>>(&body, PRODUCE);
    let answer = &response.responses[0].partition_responses[0];
    (answer.error_code, answer.base_offset)
}

fn values(connection: &mut Connection, topic: &str, partition: i32, offset: i64) -> Vec<String> {
    let response = fetch(connection, topic, partition, offset);
    records(&response).into_iter().flat_map(|(_, values)| values).collect()
}

fn fetch(connection: &mut Connection, topic: &str, partition: i32, offset: i64) -> Vec<u8> {
    assert!(connection.send(&frame(&fetch_request(topic, &[(partition, offset)], 1000), FETCH)));
    connection.receive().answer("Fetch")
}

pub(crate) fn fetch_request<'a>(topic: &'a str, partitions: &[(i32, i64)], max_wait_ms: i32) -> FetchRequest<'a> {
    let partitions = partitions.iter().map(|(partition, fetch_offset)| FetchPartition {
        partition: *partition,
        fetch_offset: *fetch_offset,
        partition_max_bytes: 1 << 20,
        current_leader_epoch: -1,
        ..Default::default()
    });
    let topic = FetchTopic { topic: topic.into(), partitions: partitions.collect(), ..Default::default() };
    FetchRequest {
        replica_id: -1,
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    }
}

/// The values of each partition of a Fetch response.
fn records(response: &[u8]) -> Vec<(i32, Vec<String>)> {
    let mut all = Vec::new();
    with_batches(response, |partition, batches| {
        let mut values = Vec::new();
        let mut scratch = Scratch::default();
        for batch in batches {
            let records = batch.records(&mut scratch, 1 << 20).expect("records");
            values.extend(records.map(|record| {
                let record = record.expect("a record");
                String::from_utf8(record.value.expect("a value").to_vec()).expect("text")
            }));
        }
        all.push((partition.partition_index, values));
    });
    all
}

fn with_batches(
    response: &[u8],
    mut act: impl FnMut(&PartitionData<'_>, &mut dyn Iterator<Item = wire::records::Batch<'_>>),
) {
    let response = decode::<FetchResponse<'_>>(response, FETCH);
    assert_eq!(response.error_code, 0);
    for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
        assert_eq!(partition.error_code, 0, "partition {}", partition.partition_index);
        let bytes = partition.records.bytes().unwrap_or_default();
        act(partition, &mut Batches::new(bytes).map(|batch| batch.expect("a whole batch")));
    }
}
