//! Partitions and connections in numbers: what they cost while nobody uses them, and how long they take to make and to find again.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::broker::{Broker, Home, Kind, Place};
use crate::client::Client;
use crate::failure::{Doing, Failure};
use crate::lifecycle::{START_MAX, until};
use crate::processes;

/// Of one topic; Apache Kafka's controller takes 10,000 in one request at most.
const PARTITIONS_MAX: usize = 1000;
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// Between the last connection and the measurement.
const SETTLE: Duration = Duration::from_secs(5);

pub(crate) struct Shape {
    pub(crate) partitions: usize,
    pub(crate) connections: usize,
}

/// CPU use and resident memory with so many partitions and connections that do nothing.
pub(crate) fn idle_once(
    kind: &Kind,
    place: &Place,
    dir: &Path,
    shape: &Shape,
    time: Duration,
) -> Result<Value, Failure> {
    let mut broker = start(kind, place, dir)?;
    let address = broker.home.address.clone();
    create(&mut broker, &address, shape.partitions)?;
    let mut held = Vec::with_capacity(shape.connections);
    for _ in 0..shape.connections {
        let mut client = Client::connect(&address, ANSWER_MAX)?;
        client.api_versions()?;
        held.push(client);
    }
    std::thread::sleep(SETTLE);
    let before = processes::cpu_seconds(broker.pid());
    std::thread::sleep(time);
    broker.check_alive()?;
    let used = processes::cpu_seconds(broker.pid()).zip(before).map(|(now, before)| now - before);
    let resident = processes::resident_bytes(broker.pid()).map(|bytes| bytes as f64 / f64::from(1 << 20));
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).doing("list descriptors")?.count();
    for client in &mut held {
        client.api_versions()?; // none of them was closed meanwhile
    }
    Ok(json!({
        "kind": "idle-crowd", "partitions": shape.partitions, "connections": shape.connections, "seconds": time.as_secs_f64(),
        "cpu_percent": used.map(|s| s / time.as_secs_f64() * 100.0), "resident_mib": resident, "descriptors": descriptors,
    }))
}

/// Seconds until all partitions of new topics have a leader; and, after a clean stop, from the start until they have again.
pub(crate) fn many_partitions_once(
    kind: &Kind,
    place: &Place,
    dir: &Path,
    partitions: usize,
) -> Result<Value, Failure> {
    let mut broker = start(kind, place, dir)?;
    let address = broker.home.address.clone();
    let begin = Instant::now();
    create(&mut broker, &address, partitions)?;
    let created = begin.elapsed();
    let resident = processes::resident_bytes(broker.pid()).map(|bytes| bytes as f64 / f64::from(1 << 20));
    let stopping = Instant::now();
    let home = broker.stop()?;
    let stopped = stopping.elapsed();
    let begin = Instant::now();
    let mut broker = Broker::start(kind, home, place)?;
    for (topic, count) in topics(partitions) {
        until(&mut broker, || led(&address, &topic, count))?;
    }
    Ok(json!({
        "kind": "many-partitions", "partitions": partitions, "created_s": created.as_secs_f64(), "stop_s": stopped.as_secs_f64(),
        "restart_s": begin.elapsed().as_secs_f64(), "resident_mib": resident,
    }))
}

/// A broker whose directory will have very many files.
fn start(kind: &Kind, place: &Place, dir: &Path) -> Result<Broker, Failure> {
    let mut home = Home::create(dir, &kind.name, "")?;
    home.is_crowded = true;
    let mut broker = Broker::start(kind, home, place)?;
    broker.wait_ready(START_MAX)?;
    Ok(broker)
}

fn create(broker: &mut Broker, address: &str, partitions: usize) -> Result<(), Failure> {
    let mut client = Client::connect(address, ANSWER_MAX)?;
    for (topic, count) in topics(partitions) {
        client.create_topic(&topic, count, &[])?;
    }
    for (topic, count) in topics(partitions) {
        until(broker, || led(address, &topic, count))?;
    }
    Ok(())
}

/// Every partition says where its log ends, which only its leader does.
fn led(address: &str, topic: &str, partitions: usize) -> Result<(), Failure> {
    Client::connect(address, ANSWER_MAX)?.log_end_offsets(topic, 0..partitions).map(drop)
}

fn topics(partitions: usize) -> impl Iterator<Item = (String, usize)> {
    let count = partitions.div_ceil(PARTITIONS_MAX);
    (0..count).map(move |n| (format!("perf-crowd-{n}"), PARTITIONS_MAX.min(partitions - n * PARTITIONS_MAX)))
}
