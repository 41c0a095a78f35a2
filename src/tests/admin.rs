//! What an operator sets: levels of loggers count at once, quotas survive a SIGKILL.

use crate::broker::{Broker, is_control};
use crate::raw::{Answer, Bytes};

const ALTER: i16 = 44;
const DESCRIBE_QUOTAS: i16 = 48;
const ALTER_QUOTAS: i16 = 49;
const UPDATE_FEATURES: i16 = 57;

const NONE: i16 = 0;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const INVALID_UPDATE_VERSION: i16 = 95;

const BROKER_LOGGER: i8 = 8;
const SET: i8 = 0;

/// Gives a logger a level, and tells the error code.
fn set_level(broker: &Broker, logger: &str, level: &str) -> i16 {
    let config = Bytes::new().string(logger).i8(SET).string(level);
    let request = Bytes::new().i32(1).i8(BROKER_LOGGER).string("1").i32(1).raw(&config.0).i8(0);
    let body = broker.connect().call(ALTER, 0, &request).answer("IncrementalAlterConfigs");
    let mut answer = Answer(&body);
    let (_throttle, resources) = (answer.i32(), answer.i32());
    assert_eq!(resources, 1);
    answer.i16()
}

/// Sends what no broker understands, and waits for the end of the connection.
fn send_nonsense(broker: &Broker) {
    let mut connection = broker.connect();
    assert!(connection.send(&[0, 0, 0, 2, 0xff, 0xff]));
    let _ = connection.receive();
}

#[test]
fn a_loggers_level_counts_at_once() {
    if is_control() {
        return;
    }
    let broker = Broker::start();
    let closings = || broker.log().lines().filter(|line| line.contains("INFO closing the connection")).count();
    send_nonsense(&broker);
    assert_eq!(closings(), 1, "{}", broker.log());
    assert_eq!(set_level(&broker, "ringmill.net", "WARN"), NONE);
    send_nonsense(&broker);
    assert_eq!(closings(), 1, "{}", broker.log());
    assert_eq!(set_level(&broker, "ringmill.net", "INFO"), NONE);
    send_nonsense(&broker);
    assert_eq!(closings(), 2, "{}", broker.log());
    assert_eq!(set_level(&broker, "root", "LOUD"), INVALID_CONFIG);
    assert_eq!(set_level(&broker, "no.such.logger", "INFO"), INVALID_CONFIG);
}

/// The user's quota, as its error code.
fn set_quota(broker: &Broker, key: &str, value: f64) -> i16 {
    let entity = Bytes::new().i32(1).string("user").string("ann");
    let op = Bytes::new().i32(1).string(key).i64(value.to_bits() as i64).i8(0);
    let request = Bytes::new().i32(1).raw(&entity.0).raw(&op.0).i8(0);
    let body = broker.connect().call(ALTER_QUOTAS, 0, &request).answer("AlterClientQuotas");
    let mut answer = Answer(&body);
    let (_throttle, entries) = (answer.i32(), answer.i32());
    assert_eq!(entries, 1);
    answer.i16()
}

fn quota(broker: &Broker) -> Option<(String, f64)> {
    let request = Bytes::new().i32(1).string("user").i8(0).string("ann").i8(1);
    let body = broker.connect().call(DESCRIBE_QUOTAS, 0, &request).answer("DescribeClientQuotas");
    let mut answer = Answer(&body);
    let (_throttle, code, _words, entries) = (answer.i32(), answer.i16(), answer.string(), answer.i32());
    assert_eq!(code, NONE);
    if entries == 0 {
        return None;
    }
    let (parts, kind, name, values) = (answer.i32(), answer.string(), answer.string(), answer.i32());
    assert_eq!((parts, kind.as_deref(), name.as_deref(), values), (1, Some("user"), Some("ann"), 1));
    Some((answer.string().unwrap_or_default(), f64::from_bits(answer.i64() as u64)))
}

#[test]
fn quotas_survive_a_sigkill() {
    if is_control() {
        return;
    }
    let broker = Broker::start();
    assert_eq!(quota(&broker), None);
    assert_eq!(set_quota(&broker, "producer_byte_rate", 1024.0), NONE);
    assert_eq!(set_quota(&broker, "producer_byte_rate", 0.0), INVALID_REQUEST);
    assert_eq!(set_quota(&broker, "no_such_rate", 1.0), INVALID_REQUEST);
    let broker = broker.restarted();
    assert_eq!(quota(&broker), Some(("producer_byte_rate".to_owned(), 1024.0)));
}

#[test]
fn features_go_where_they_may() {
    if is_control() {
        return;
    }
    let broker = Broker::start();
    // Version 1: timeout, name, level, type of the upgrade, whether to validate only; compact strings and arrays.
    let update = |level: i16, upgrade_type: i8| {
        let name = "transaction.version";
        let one = Bytes::new().unsigned(name.len() as u32 + 1).raw(name.as_bytes()).i16(level).i8(upgrade_type).i8(0);
        let request = Bytes::new().i8(0).i32(1000).unsigned(2).raw(&one.0).i8(0).i8(0);
        let body = broker.connect().call(UPDATE_FEATURES, 1, &request).answer("UpdateFeatures");
        let mut answer = Answer(&body[1..]);
        let _throttle = answer.i32();
        answer.i16()
    };
    assert_eq!(update(3, 1), INVALID_UPDATE_VERSION);
    assert_eq!(update(1, 1), INVALID_UPDATE_VERSION);
    assert_eq!(update(1, 2), NONE);
    assert_eq!(update(0, 2), NONE);
    assert_eq!(update(2, 1), NONE);
}
