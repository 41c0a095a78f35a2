//! Frames, headers and counts that are wrong.

use crate::broker::{Broker, is_control};
use crate::raw::{self, Bytes, Connection, Outcome};

fn assert_closed(broker: &Broker, what: &str, bytes: &[u8], then_end: bool) {
    let mut connection = broker.connect();
    connection.send(bytes);
    if then_end {
        connection.finish_sending();
    }
    assert_eq!(connection.receive(), Outcome::Closed, "{what}");
}

#[test]
fn frames_of_impossible_size_end_the_connection() {
    let broker = Broker::start();
    for size in [-1, i32::MIN, i32::MAX, 104_857_601] {
        assert_closed(&broker, &format!("size {size}"), &Bytes::new().i32(size).i32(0).0, false);
    }
    for size in 0..8 {
        let frame = Bytes::new().i32(size).raw(&[0; 8][..size as usize]).0;
        assert_closed(&broker, &format!("a frame of {size} bytes has no whole header"), &frame, false);
    }
    assert_closed(&broker, "HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", false);
    assert_closed(&broker, "TLS", &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], false);
    assert_closed(&broker, "a frame that never comes whole", &Bytes::new().i32(100).raw(&[0; 50]).0, true);
    assert_closed(&broker, "half a size", &[0, 0], true);
    broker.assert_goes_on("impossible sizes");
}

#[test]
fn unknown_keys_and_versions_end_the_connection() {
    let broker = Broker::start();
    // No such key, keys that were removed, and those that only controllers serve.
    for key in [-1, 9999, i16::MAX, i16::MIN, 4, 5, 6, 7, 52, 53, 54, 62, 63] {
        let frame = raw::request(key, 0, 1, &[0; 16]);
        assert_closed(&broker, &format!("key {key}"), &frame, false);
    }
    for (key, version) in
        [(raw::PRODUCE, 99), (raw::PRODUCE, 2), (raw::PRODUCE, -1), (raw::FETCH, 3), (raw::METADATA, 14)]
    {
        let frame = raw::request(key, version, 1, &[0; 16]);
        assert_closed(&broker, &format!("key {key} version {version}"), &frame, false);
    }
    broker.assert_goes_on("unknown keys");
}

#[test]
fn api_versions_of_the_future_is_told_what_there_is() {
    let broker = Broker::start();
    for version in [5, 99, i16::MAX] {
        let answer =
            broker.connect().call(raw::API_VERSIONS, version, &Bytes::new().raw(&[0; 4])).answer("ApiVersions");
        assert_eq!(raw::Answer(&answer).i16(), 35, "version {version}");
        let keys = raw::Answer(&answer[2..]).i32();
        assert!(keys > 0, "version {version}: {keys} keys");
    }
}

/// One topic that is called "t" and a count of what follows.
fn one_topic(count: i32) -> Bytes {
    Bytes::new().i32(1).string("t").i32(count)
}

/// Counts and lengths at every place of several requests: too many, too few, negative.
#[test]
fn wrong_counts_are_answered_or_end_the_connection() {
    let broker = Broker::start();
    let before = broker.resident();
    type Shape = (&'static str, i16, i16, fn(i32) -> Bytes);
    let shapes: [Shape; 9] = [
        ("Metadata topics", raw::METADATA, 1, |n| Bytes::new().i32(n)),
        ("Metadata topics, more bytes", raw::METADATA, 4, |n| Bytes::new().i32(n).string("t").i8(0)),
        ("Produce topics", raw::PRODUCE, 8, |n| Bytes::new().i16(-1).i16(1).i32(1000).i32(n)),
        ("Produce partitions", raw::PRODUCE, 8, |n| Bytes::new().i16(-1).i16(1).i32(1000).raw(&one_topic(n).0)),
        ("Produce record bytes", raw::PRODUCE, 8, |n| {
            Bytes::new().i16(-1).i16(1).i32(1000).raw(&one_topic(1).0).i32(0).i32(n).raw(&[0; 5])
        }),
        ("Fetch topics", raw::FETCH, 4, |n| Bytes::new().i32(-1).i32(0).i32(1).i32(1000).i8(0).i32(n)),
        ("ListOffsets topics", raw::LIST_OFFSETS, 1, |n| Bytes::new().i32(-1).i32(n)),
        ("CreateTopics topics", raw::CREATE_TOPICS, 2, |n| Bytes::new().i32(n)),
        ("DeleteTopics names", raw::DELETE_TOPICS, 1, |n| Bytes::new().i32(n).string("t").i32(1000)),
    ];
    for (name, key, version, shape) in shapes {
        for count in [i32::MIN, -2, -1, 0, 1, 2, 3, 1000, 1 << 24, i32::MAX] {
            let outcome = broker.connect().call(key, version, &shape(count));
            // A null record set is never answered by Kafka.
            assert!(outcome != Outcome::Silence || is_control(), "{name} {count}: silence");
        }
    }
    for count in [0, 2, 1 << 20, u32::MAX - 1, u32::MAX] {
        let body = Bytes::new().raw(&[0]).unsigned(count);
        let outcome = broker.connect().call(raw::METADATA, 9, &body);
        assert_ne!(outcome, Outcome::Silence, "compact array of {count}");
    }
    broker.assert_goes_on("wrong counts");
    assert!(is_control() || broker.resident() < before + (64 << 20), "wrong counts cost memory");
}

/// The same bytes in every run: all keys and versions get bodies of noise.
#[test]
fn noise_is_answered_or_ends_the_connection() {
    let broker = Broker::start();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for key in 0..93_i16 {
        // Requests that park on purpose, and those of groups, may wait.
        if [raw::FETCH, 8, 9, 11, 12, 13, 14, 68, 76, 78, 79, 88].contains(&key) {
            continue;
        }
        for version in 0..14_i16 {
            let length = noise() % 120;
            let body: Vec<u8> = (0..length).map(|_| if noise() % 3 == 0 { noise() as u8 } else { 0 }).collect();
            let mut connection = broker.connect();
            connection.send(&raw::request(key, version, 1, &body));
            connection.finish_sending();
            assert!(
                connection.receive() != Outcome::Silence || is_control(),
                "key {key} version {version}: {body:02x?}"
            );
        }
    }
    broker.assert_goes_on("noise");
}

#[test]
fn a_frame_that_comes_byte_by_byte_is_answered() {
    let broker = Broker::start();
    let mut connection = broker.connect();
    for byte in raw::request(raw::API_VERSIONS, 0, 7, &[]) {
        assert!(connection.send(&[byte]));
    }
    connection.receive().answer("byte by byte");
}

#[test]
fn requests_in_one_go_are_answered_in_their_order() {
    let broker = Broker::start();
    let mut connection = broker.connect();
    const COUNT: usize = 500;
    let all: Vec<u8> = (0..COUNT).flat_map(|_| raw::request(raw::METADATA, 1, 7, &0_i32.to_be_bytes())).collect();
    let mut sender = connection;
    sender.send(&all);
    connection = sender;
    let first = connection.receive().answer("the first of many");
    for i in 1..COUNT {
        assert_eq!(connection.receive(), Outcome::Answer(first.clone()), "answer {i}");
    }
    serves_all_in_order(&mut connection);
}

/// Different requests, so that answers in another order would not fit.
fn serves_all_in_order(connection: &mut Connection) {
    let mut frames = Vec::new();
    for i in 0..100 {
        let (key, body) =
            if i % 2 == 0 { (raw::API_VERSIONS, vec![]) } else { (raw::METADATA, 0_i32.to_be_bytes().to_vec()) };
        frames.extend(raw::request(key, if i % 2 == 0 { 0 } else { 1 }, i, &body));
    }
    connection.send(&frames);
    let sizes: Vec<usize> = (0..100).map(|i| connection.receive().answer(&format!("request {i}")).len()).collect();
    assert!(sizes.iter().step_by(2).all(|size| *size == sizes[0]), "{sizes:?}");
    assert!(sizes.iter().skip(1).step_by(2).all(|size| *size == sizes[1]), "{sizes:?}");
}
