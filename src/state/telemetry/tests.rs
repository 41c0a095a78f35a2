//! A client's life with its broker, at given times.

use super::*;

const CLIENT: Client<'static> =
    Client { id: Some("c"), software_name: "s", software_version: "1", address: "127.0.0.1", port: 1 };
const ID: Uuid = Uuid(42);
const INTERVAL_MS: u32 = 1000;

fn telemetry(instances: usize) -> Telemetry {
    let mut telemetry = Telemetry::new(TelemetryLimits { instances, push_bytes: 100 });
    telemetry.subscribe(vec![all(INTERVAL_MS)]);
    telemetry
}

fn all(interval_ms: u32) -> Subscription {
    Subscription::new(vec!["*".into()], interval_ms, []).0
}

/// The subscription id, or the error.
fn ask(telemetry: &mut Telemetry, now_ms: u64, id: Uuid) -> Result<i32, TelemetryError> {
    let asked = telemetry.ask(now_ms, id, &CLIENT, &mut || panic!("the client has an id"));
    asked.map(|(given, asked)| {
        assert_eq!(given, id);
        asked.subscription_id
    })
}

fn push(subscription_id: i32) -> Push {
    Push { instance: ID, subscription_id, terminating: false, compression_type: 4, bytes: 100 }
}

#[test]
fn a_client_asks_then_pushes_once_an_interval() {
    let mut t = telemetry(10);
    let id = ask(&mut t, 0, ID).unwrap();
    assert_eq!(ask(&mut t, 999, ID), Err(TelemetryError::Throttled));
    // The first push may come at any time, the next when the interval is over.
    assert_eq!(t.push(10, &push(id), &CLIENT), Ok(()));
    assert_eq!(t.push(1009, &push(id), &CLIENT), Err(TelemetryError::Throttled));
    assert_eq!(t.push(1010, &push(id), &CLIENT), Ok(()));
    // A push that was refused for its time changes no time, one that came in time and was refused does.
    assert_eq!(t.push(2010, &push(id + 1), &CLIENT), Err(TelemetryError::UnknownSubscription));
    assert_eq!(t.push(2020, &push(id), &CLIENT), Err(TelemetryError::Throttled));
    assert_eq!(t.push(3010, &push(id), &CLIENT), Ok(()));
    assert_eq!(t.len(), 1);
}

#[test]
fn a_refused_push_lets_a_client_ask_at_once() {
    let mut t = telemetry(10);
    let id = ask(&mut t, 0, ID).unwrap();
    for (number, bad) in [push(id + 1), Push { compression_type: 5, ..push(id) }].into_iter().enumerate() {
        let now_ms = 5000 * (number as u64 + 1);
        assert!(t.push(now_ms, &bad, &CLIENT).is_err());
        assert_eq!(ask(&mut t, now_ms + 1, ID), Ok(id));
        assert_eq!(ask(&mut t, now_ms + 2, ID), Err(TelemetryError::Throttled), "once");
    }
    assert_eq!(t.push(20_000, &Push { bytes: 101, ..push(id) }, &CLIENT), Err(TelemetryError::TooLarge));
    assert_eq!(ask(&mut t, 20_001, ID), Err(TelemetryError::Throttled));
}

#[test]
fn the_last_push_is_the_last() {
    let mut t = telemetry(10);
    let id = ask(&mut t, 0, ID).unwrap();
    assert_eq!(t.push(10, &push(id), &CLIENT), Ok(()));
    let last = Push { terminating: true, ..push(id) };
    assert_eq!(t.push(11, &last, &CLIENT), Ok(()), "it does not wait for the interval");
    assert_eq!(t.push(5000, &last, &CLIENT), Err(TelemetryError::InvalidRequest));
    // As in Kafka, the refused one was not the last.
    assert_eq!(t.push(5000, &push(id), &CLIENT), Err(TelemetryError::InvalidRequest));
    assert_eq!(t.push(5000, &push(id), &CLIENT), Ok(()));
}

#[test]
fn a_client_without_an_id_is_given_one() {
    let mut t = telemetry(10);
    ask(&mut t, 0, ID).unwrap();
    let mut ids = [Uuid::ZERO, ID, Uuid(43)].into_iter();
    let (given, _) = t.ask(0, Uuid::ZERO, &CLIENT, &mut || ids.next().unwrap()).unwrap();
    assert_eq!(given, Uuid(43), "neither none nor somebody else's");
    for reserved in [Uuid::ZERO, Uuid::METADATA_TOPIC_ID] {
        assert_eq!(t.push(0, &Push { instance: reserved, ..push(0) }, &CLIENT), Err(TelemetryError::InvalidRequest));
    }
    assert_eq!(t.len(), 2);
}

#[test]
fn other_subscriptions_are_heard_of_at_once() {
    let mut t = telemetry(10);
    let old = ask(&mut t, 0, ID).unwrap();
    t.subscribe(vec![all(INTERVAL_MS * 2)]);
    assert_eq!(t.push(1, &push(old), &CLIENT), Err(TelemetryError::UnknownSubscription));
    let new = ask(&mut t, 2, ID).unwrap();
    assert_ne!(old, new);
    // The push that came too late for the old ones counts for the interval.
    assert_eq!(t.push(3, &push(new), &CLIENT), Err(TelemetryError::Throttled));
    assert_eq!(t.push(2001, &push(new), &CLIENT), Ok(()));
    t.subscribe(Vec::new());
    let (_, asked) = t.ask(2002, ID, &CLIENT, &mut || ID).unwrap();
    assert_eq!((asked.metrics.len(), asked.push_interval_ms), (0, INTERVAL_MS_STANDARD));
}

#[test]
fn a_client_that_comes_to_another_shard_goes_on_there() {
    let (mut one, mut other) = (telemetry(10), telemetry(10));
    let id = ask(&mut one, 0, ID).unwrap();
    assert_eq!(other.push(1, &push(id), &CLIENT), Ok(()));
    assert_eq!(other.push(2, &push(id), &CLIENT), Err(TelemetryError::Throttled));
}

#[test]
fn who_is_not_heard_of_is_forgotten() {
    let mut t = telemetry(10);
    ask(&mut t, 0, ID).unwrap();
    ask(&mut t, 1, Uuid(43)).unwrap();
    t.expire(59_999);
    assert_eq!(t.len(), 2);
    t.expire(60_000);
    assert_eq!((t.len(), t.turns.len()), (1, 1));
    // One that is outdated and still there counts as new.
    assert!(ask(&mut t, 70_000, Uuid(43)).is_ok());
    t.forget(Uuid(43));
    assert_eq!((t.len(), t.turns.len()), (0, 0));
    t.subscribe(vec![all(60_000)]);
    ask(&mut t, 0, ID).unwrap();
    t.expire(179_999);
    assert_eq!(t.len(), 1, "three intervals");
}

#[test]
fn the_one_unheard_of_for_longest_makes_place() {
    let mut t = telemetry(3);
    for (now_ms, id) in [1, 2, 3, 1, 4, 5].into_iter().enumerate() {
        let _ = ask(&mut t, now_ms as u64, Uuid(id));
    }
    let mut kept: Vec<u128> = t.instances.keys().map(|id| id.0).collect();
    kept.sort_unstable();
    assert_eq!(kept, [1, 4, 5]);
    assert_eq!(t.turns.len(), 3);
}
