//! Topics that must not be, and the files that must not appear.

use crate::broker::{Broker, is_control};
use crate::raw::{self, Answer, Bytes};
use std::sync::atomic::{AtomicU32, Ordering};

const NONE: i16 = 0;
const INVALID_TOPIC: i16 = 17;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_REPLICATION_FACTOR: i16 = 38;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const INVALID_CONFIG: i16 = 40;
const POLICY_VIOLATION: i16 = 44;

/// Creates a topic with a name of its own, and waits until its partitions have a leader.
pub(crate) fn create(broker: &Broker, partitions: i32) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("hostile-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    create_named(broker, &name, partitions);
    name
}

/// As [`create`], by this name.
pub(crate) fn create_named(broker: &Broker, name: &str, partitions: i32) {
    assert_eq!(code(broker, &topic(name, partitions, 1)), NONE, "create {name}");
    let mut connection = broker.connect();
    for partition in 0..partitions {
        let ask = Bytes::new().i32(-1).i32(1).string(name).i32(1).i32(partition).i64(-1);
        loop {
            let body = connection.call(raw::LIST_OFFSETS, 1, &ask).answer("ListOffsets");
            let mut answer = Answer(&body);
            let _ = (answer.i32(), answer.string(), answer.i32(), answer.i32());
            if answer.i16() == NONE {
                break;
            }
        }
    }
}

/// One topic of a CreateTopics request, with neither assignments nor settings.
fn topic(name: &str, partitions: i32, replicas: i16) -> Bytes {
    Bytes::new().string(name).i32(partitions).i16(replicas).i32(0).i32(0)
}

/// The error code for one topic.
fn code(broker: &Broker, topic: &Bytes) -> i16 {
    let request = Bytes::new().i32(1).raw(&topic.0).i32(10_000).i8(0);
    let body = broker.connect().call(raw::CREATE_TOPICS, 2, &request).answer("CreateTopics");
    let mut answer = Answer(&body);
    let (_throttle, topics, _name) = (answer.i32(), answer.i32(), answer.string());
    assert_eq!(topics, 1);
    answer.i16()
}

fn bad_names() -> Vec<String> {
    let fixed =
        ["", ".", "..", "../x", "../../x", "a/b", "/etc/x", "nul\0nul", "a b", "ä", "%2e%2e", "a\\b", "a:b", "-\n"];
    let mut names: Vec<String> = fixed.iter().map(|name| (*name).to_owned()).collect();
    names.push("x".repeat(250));
    names.push("../".repeat(100));
    names
}

#[test]
fn names_that_are_paths_are_refused() {
    let broker = Broker::start();
    for name in bad_names() {
        assert_eq!(code(&broker, &topic(&name, 1, 1)), INVALID_TOPIC, "create {name:?}");
    }
    // Asking for a topic may create it; these not.
    for name in bad_names() {
        let ask = Bytes::new().i32(1).string(&name).i8(1);
        let body = broker.connect().call(raw::METADATA, 4, &ask).answer("Metadata");
        assert_eq!(metadata_code(&body), INVALID_TOPIC, "metadata of {name:?}");
    }
    assert_nothing_outside(&broker);
    let longest = format!("{:x<249}", std::process::id());
    assert_eq!(code(&broker, &topic(&longest, 1, 1)), NONE, "a name of 249 characters");
}

/// The error code of the one topic in a Metadata answer of version 4.
fn metadata_code(body: &[u8]) -> i16 {
    let mut answer = Answer(body);
    answer.i32();
    for _ in 0..answer.i32() {
        let _ = (answer.i32(), answer.string(), answer.i32(), answer.string());
    }
    let _ = (answer.string(), answer.i32());
    assert_eq!(answer.i32(), 1, "topics");
    answer.i16()
}

/// Beside the data directory and the log nothing was made.
fn assert_nothing_outside(broker: &Broker) {
    if is_control() {
        return;
    }
    let entries = std::fs::read_dir(broker.dir()).expect("the test's directory");
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, ["broker.log", "data"]);
    let parent = broker.dir().parent().expect("the temporary directory");
    assert!(!parent.join("x").exists() && !parent.join("x-0").exists());
}

#[test]
fn numbers_beyond_reason_are_refused() {
    let broker = Broker::start();
    let before = broker.resident();
    for partitions in [0, -2, i32::MIN] {
        assert_eq!(code(&broker, &topic("numbers", partitions, 1)), INVALID_PARTITIONS, "{partitions} partitions");
    }
    for partitions in [i32::MAX, 1_000_000] {
        let found = code(&broker, &topic("numbers", partitions, 1));
        assert!([INVALID_PARTITIONS, POLICY_VIOLATION].contains(&found), "{partitions} partitions: {found}");
    }
    for replicas in [0, -2, 2, i16::MAX] {
        assert_eq!(code(&broker, &topic("numbers", 1, replicas)), INVALID_REPLICATION_FACTOR, "{replicas} replicas");
    }
    assert!(is_control() || broker.resident() < before + (64 << 20), "refusals cost memory");
    broker.assert_goes_on("numbers beyond reason");
}

#[test]
fn assignments_and_settings_are_checked() {
    let broker = Broker::start();
    let assigned = |partition: i32, replicas: &[i32]| {
        let head = Bytes::new().string("assigned").i32(-1).i16(-1).i32(1).i32(partition).i32(replicas.len() as i32);
        replicas.iter().fold(head, |bytes, replica| bytes.i32(*replica)).i32(0)
    };
    for (partition, replicas) in [(0, &[99][..]), (0, &[-1]), (0, &[]), (5, &[1]), (-1, &[1]), (0, &[1, 1])] {
        let found = code(&broker, &assigned(partition, replicas));
        let known = [INVALID_REPLICA_ASSIGNMENT, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR];
        assert!(known.contains(&found), "partition {partition} on {replicas:?}: {found}");
    }
    let set =
        |key: &str, value: &str| Bytes::new().string("settings").i32(1).i16(1).i32(0).i32(1).string(key).string(value);
    let settings = [
        ("no.such.key", "1"),
        ("retention.ms", "soon"),
        ("segment.bytes", "-1"),
        ("max.message.bytes", "9999999999"),
        ("cleanup.policy", "burn"),
        ("compression.type", "rar"),
    ];
    for (key, value) in settings {
        assert_eq!(code(&broker, &set(key, value)), INVALID_CONFIG, "{key}={value}");
    }
    broker.assert_goes_on("wrong settings");
}

#[test]
fn deleting_what_is_not_there_is_told() {
    let broker = Broker::start();
    for name in bad_names() {
        let ask = Bytes::new().i32(1).string(&name).i32(10_000);
        let body = broker.connect().call(raw::DELETE_TOPICS, 1, &ask).answer("DeleteTopics");
        let mut answer = Answer(&body);
        let _ = (answer.i32(), answer.i32(), answer.string());
        let found = answer.i16();
        assert!([3, INVALID_TOPIC].contains(&found), "delete {name:?}: {found}");
    }
    assert_nothing_outside(&broker);
}
