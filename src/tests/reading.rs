//! Fetch and ListOffsets with numbers from the edge.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::batches::Batch;
use crate::broker::Broker;
use crate::raw::{self, Answer, Bytes, Connection};
use crate::topics;

const NONE: i16 = 0;
const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNSUPPORTED_VERSION: i16 = 35;
const SESSION_ID_NOT_FOUND: i16 = 70;

struct Fetch<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    max_wait_ms: i32,
    max_bytes: i32,
    partition_max_bytes: i32,
}

impl Fetch<'_> {
    /// A request of version 4: no session.
    fn body(&self) -> Bytes {
        let head = Bytes::new().i32(-1).i32(self.max_wait_ms).i32(1).i32(self.max_bytes).i8(0);
        head.i32(1).string(self.topic).i32(1).i32(self.partition).i64(self.offset).i32(self.partition_max_bytes)
    }
}

/// Error code and number of record bytes of the one partition.
fn fetched(body: &[u8]) -> (i16, i32) {
    let mut answer = Answer(body);
    let _ = (answer.i32(), answer.i32(), answer.string(), answer.i32(), answer.i32());
    let code = answer.i16();
    let _ = (answer.i64(), answer.i64());
    for _ in 0..answer.i32() {
        let _ = (answer.i64(), answer.i64());
    }
    (code, answer.i32())
}

/// What ListOffsets says of a time: error code, timestamp and offset.
fn offset_at(connection: &mut Connection, topic: &str, partition: i32, timestamp: i64) -> (i16, i64, i64) {
    let body = Bytes::new().i32(-1).i32(1).string(topic).i32(1).i32(partition).i64(timestamp);
    let body = connection.call(raw::LIST_OFFSETS, 1, &body).answer("ListOffsets");
    let mut answer = Answer(&body);
    let _ = (answer.i32(), answer.string(), answer.i32(), answer.i32());
    (answer.i16(), answer.i64(), answer.i64())
}

fn with_records(broker: &Broker) -> String {
    let topic = topics::create(broker, 1);
    let records = Batch::sound().bytes();
    for _ in 0..3 {
        let place = Bytes::new().i16(-1).i16(-1).i32(10_000).i32(1).string(&topic).i32(1).i32(0);
        let body = place.i32(records.len() as i32).raw(&records);
        broker.connect().call(raw::PRODUCE, 8, &body).answer("Produce");
    }
    topic
}

/// Takes the pages of all segments and indexes of a topic out of the page cache.
fn make_cold(broker: &Broker, topic: &str) {
    let is_of_topic = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(topic));
    let directories = fs::read_dir(broker.dir().join("data")).unwrap().map(|entry| entry.unwrap().path());
    let directories: Vec<PathBuf> = directories.filter(is_of_topic).collect();
    assert!(!directories.is_empty());
    for directory in directories {
        for file in fs::read_dir(directory).unwrap() {
            let of = format!("of={}", file.unwrap().path().display());
            let options = ["oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"];
            assert!(Command::new("dd").arg(of).args(options).status().unwrap().success());
        }
    }
}

#[test]
fn what_is_not_in_memory_is_found_and_read() {
    const PARTITIONS: i32 = 4;
    let broker = Broker::with(&["log.index.interval.bytes=100"]);
    let topic = topics::create(&broker, PARTITIONS);
    let written_at = |offset: i64| Batch::sound().base_timestamp + offset;
    let mut connection = broker.connect();
    for (partition, offset) in (0..PARTITIONS).flat_map(|partition| (0..100).map(move |offset| (partition, offset))) {
        let at = written_at(offset);
        let records = Batch::with(|batch| (batch.base_timestamp, batch.max_timestamp) = (at, at));
        let place = Bytes::new().i16(-1).i16(-1).i32(10_000).i32(1).string(&topic).i32(1).i32(partition);
        connection.call(raw::PRODUCE, 8, &place.i32(records.len() as i32).raw(&records)).answer("Produce");
    }
    // The newest batches are remembered until then.
    let broker = broker.restarted();
    let mut connection = broker.connect();
    let one = Batch::sound().bytes().len() as i32;
    for (offset, max_wait_ms) in [(0, 0), (50, 100), (99, 0), (100, 0)] {
        make_cold(&broker, &topic);
        for partition in 0..PARTITIONS {
            let (max_bytes, partition_max_bytes) = (1 << 20, 1 << 20);
            let fetch = Fetch { topic: &topic, partition, offset, max_wait_ms, max_bytes, partition_max_bytes };
            let found = fetched(&connection.call(raw::FETCH, 4, &fetch.body()).answer("Fetch"));
            assert_eq!(found, (NONE, (100 - offset as i32) * one), "offset {offset} of partition {partition}");
        }
        make_cold(&broker, &topic);
        for partition in 0..PARTITIONS {
            let found = offset_at(&mut connection, &topic, partition, written_at(offset));
            let expected = if offset < 100 { (NONE, written_at(offset), offset) } else { (NONE, -1, -1) };
            assert_eq!(found, expected, "the time of offset {offset} of partition {partition}");
        }
    }
    assert!(!broker.log().contains("ERROR"), "{}", broker.log());
}

#[test]
fn offsets_and_sizes_from_the_edge() {
    let broker = Broker::start();
    let topic = with_records(&broker);
    let mut connection = broker.connect();
    let sound = || Fetch {
        topic: &topic,
        partition: 0,
        offset: 0,
        max_wait_ms: 100,
        max_bytes: 1 << 20,
        partition_max_bytes: 1 << 20,
    };
    let mut fetch = |fetch: Fetch<'_>| fetched(&connection.call(raw::FETCH, 4, &fetch.body()).answer("Fetch"));
    let one = Batch::sound().bytes().len() as i32;
    assert_eq!(fetch(sound()), (NONE, 3 * one));
    for offset in [-1, -2, 4, i64::MAX, i64::MIN] {
        assert_eq!(fetch(Fetch { offset, ..sound() }).0, OFFSET_OUT_OF_RANGE, "offset {offset}");
    }
    assert_eq!(fetch(Fetch { offset: 3, ..sound() }), (NONE, 0), "the end");
    for partition in [1, -1, i32::MAX, i32::MIN] {
        assert_eq!(fetch(Fetch { partition, ..sound() }).0, UNKNOWN_TOPIC_OR_PARTITION, "partition {partition}");
    }
    for topic in ["nowhere", "", "../x"] {
        assert_eq!(fetch(Fetch { topic, ..sound() }).0, UNKNOWN_TOPIC_OR_PARTITION, "topic {topic:?}");
    }
    for partition_max_bytes in [0, 1, one - 1, i32::MAX] {
        let (code, bytes) = fetch(Fetch { partition_max_bytes, ..sound() });
        let most = partition_max_bytes.clamp(one, 3 * one);
        assert!(code == NONE && (one..=most).contains(&bytes), "{partition_max_bytes}: {code}, {bytes} bytes");
    }
    for max_bytes in [0, 1, i32::MAX] {
        let (code, bytes) = fetch(Fetch { max_bytes, ..sound() });
        assert!(code == NONE && bytes >= one, "max_bytes {max_bytes}: {code}, {bytes} bytes");
    }
    for wait in [-1, i32::MIN, i32::MAX] {
        assert_eq!(fetch(Fetch { max_wait_ms: wait, ..sound() }), (NONE, 3 * one), "max_wait {wait}");
    }
    broker.assert_goes_on("fetches from the edge");
}

#[test]
fn sessions_that_never_were_are_told() {
    let broker = Broker::start();
    let topic = with_records(&broker);
    let session = |id: i32, epoch: i32| {
        let head = Bytes::new().i32(-1).i32(100).i32(1).i32(1 << 20).i8(0).i32(id).i32(epoch);
        head.i32(1).string(&topic).i32(1).i32(0).i64(0).i64(-1).i32(1 << 20).i32(0)
    };
    // Kafka divides ids among its caches, and stumbles over the very largest.
    for (id, epoch) in [(12345, 1), (-1, 1), (1_000_000_000, i32::MAX)] {
        let body = broker.connect().call(raw::FETCH, 7, &session(id, epoch)).answer("Fetch");
        let mut answer = Answer(&body);
        answer.i32();
        assert_eq!(answer.i16(), SESSION_ID_NOT_FOUND, "session {id} epoch {epoch}");
    }
}

#[test]
fn timestamps_from_the_edge() {
    let broker = Broker::start();
    let topic = with_records(&broker);
    let ask = |partition, timestamp| offset_at(&mut broker.connect(), &topic, partition, timestamp);
    assert_eq!(ask(0, -1), (NONE, -1, 3));
    assert_eq!(ask(0, -2), (NONE, -1, 0));
    assert_eq!(ask(0, 0), (NONE, 1_700_000_000_000, 0));
    assert_eq!(ask(0, i64::MAX), (NONE, -1, -1));
    for timestamp in [-3, -4, -5, -6, -7, -1000, i64::MIN] {
        assert_eq!(ask(0, timestamp).0, UNSUPPORTED_VERSION, "timestamp {timestamp}");
    }
    for partition in [1, -1, i32::MAX] {
        assert_eq!(ask(partition, -1).0, UNKNOWN_TOPIC_OR_PARTITION, "partition {partition}");
    }
}
