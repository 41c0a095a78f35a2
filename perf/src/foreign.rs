//! Second opinions: the generators of Apache Kafka (Java) and kcat (librdkafka), on the load's core.
//!
//! Their own cost per record is above a broker's, so they show what such a client sees, not what a broker can do.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::broker::{Broker, Place};
use crate::client::Client;
use crate::failure::{Doing, Failure};
use crate::processes::Usage;
use crate::scenario::{Scenario, Work};

/// Records a second that a producer of this kind sends at most, about: so many are sent as fill the scenario's seconds.
const RECORDS_PER_S: f64 = 100_000.0;
const MIB: f64 = (1 << 20) as f64;

pub(crate) fn run(
    scenario: &Scenario,
    broker: &Broker,
    place: &Place,
    topic: &str,
    part: f64,
) -> Result<Value, Failure> {
    let records = (RECORDS_PER_S * scenario.extension.seconds * part) as u64;
    let usage = Usage::start(Some(broker.pid()));
    let began = Instant::now();
    let mut result = match scenario.kind {
        Work::JavaProducer => java_producer(scenario, broker, place, topic, records)?,
        Work::JavaConsumer => java_consumer(scenario, broker, place, topic, part)?,
        Work::KcatProducer => kcat_producer(scenario, broker, place, topic, records)?,
        _ => kcat_consumer(scenario, broker, place, topic, part)?,
    };
    let used = usage.finish();
    let mib = result["mib"].as_f64().unwrap_or_default();
    // The load is a child of this process, so its CPU time is among that of others: no figure of it here.
    result["cpu_s"] = json!({ "broker": used["broker"], "stolen": used["stolen"] });
    result["seconds"] = json!(began.elapsed().as_secs_f64());
    result["broker_cpu_s_per_gib"] = json!(used["broker"].as_f64().map(|s| s / (mib / 1024.0)));
    Ok(result)
}

fn java_producer(
    scenario: &Scenario,
    broker: &Broker,
    place: &Place,
    topic: &str,
    records: u64,
) -> Result<Value, Failure> {
    let (records, size) = (records.to_string(), scenario.record_size.to_string());
    let args = ["--topic", topic, "--num-records", &records, "--record-size", &size, "--throughput", "-1"];
    let server = format!("bootstrap.servers={}", broker.home.address);
    let mut command = java(place, "org.apache.kafka.tools.ProducerPerformance");
    let said = text(command.args(args).args(["--producer-props", &server, "linger.ms=5"]))?;
    parse_producer(&said, scenario.record_size)
        .ok_or_else(|| Failure::Setup(format!("ProducerPerformance said: {said}")))
}

/// `500000 records sent, 81234.5 records/sec (79.33 MB/sec), 12.34 ms avg latency, ..., 5 ms 50th, 40 ms 95th, 60 ms 99th, 70 ms 99.9th.`
fn parse_producer(said: &str, record_size: usize) -> Option<Value> {
    let line = said.lines().rfind(|line| line.contains("99.9th"))?;
    let before = |word: &str| {
        line.split_once(word)?.0.rsplit([' ', ',', '(']).find(|part| !part.is_empty())?.parse::<f64>().ok()
    };
    let records = before(" records sent")?;
    let us = |word: &str| before(word).map(|ms| ms * 1e3);
    let latency =
        json!({ "p50": us(" ms 50th"), "p99": us(" ms 99th"), "p99.9": us(" ms 99.9th"), "max": us(" ms max") });
    Some(json!({
        "kind": "java-producer", "records": records, "records_per_s": before(" records/sec")?,
        "mib_per_s": before(" MB/sec")?, "mib": records * record_size as f64 / MIB, "service_us": latency,
    }))
}

fn java_consumer(
    scenario: &Scenario,
    broker: &Broker,
    place: &Place,
    topic: &str,
    part: f64,
) -> Result<Value, Failure> {
    let records = held(scenario, part).to_string();
    let args = ["--topic", topic, "--num-records", &records, "--bootstrap-server", &broker.home.address];
    let said = text(java(place, "org.apache.kafka.tools.ConsumerPerformance").args(args))?;
    parse_consumer(&said).ok_or_else(|| Failure::Setup(format!("ConsumerPerformance said: {said}")))
}

/// A line of names, then one of values; the rate without the time that a group takes to form is `fetch.MB.sec`.
fn parse_consumer(said: &str) -> Option<Value> {
    let mut lines = said.lines().skip_while(|line| !line.contains("fetch.MB.sec"));
    let names: Vec<&str> = lines.next()?.split(", ").collect();
    let values: Vec<&str> = lines.next()?.split(", ").collect();
    let value = |name: &str| {
        let at = names.iter().position(|known| known.trim() == name)?;
        values.get(at)?.trim().parse::<f64>().ok()
    };
    Some(json!({
        "kind": "java-consumer", "mib": value("data.consumed.in.MB")?, "records": value("data.consumed.in.nMsg")?,
        "mib_per_s": value("fetch.MB.sec")?, "records_per_s": value("fetch.nMsg.sec")?,
    }))
}

fn kcat_producer(
    scenario: &Scenario,
    broker: &Broker,
    place: &Place,
    topic: &str,
    records: u64,
) -> Result<Value, Failure> {
    let lines = Lines::write(broker, scenario.record_size, records)?;
    let mut command = kcat(place, broker);
    command
        .args(["-P", "-t", topic, "-X", "linger.ms=5", "-X", "queue.buffering.max.messages=1000000", "-l"])
        .arg(&lines.0);
    let began = Instant::now();
    text(&mut command)?;
    let seconds = began.elapsed().as_secs_f64();
    let mut client = Client::connect(&broker.home.address, std::time::Duration::from_secs(30))?;
    let end = client.log_end_offsets(topic, 0..scenario.partitions)? as u64;
    if end != records {
        return Err(Failure::Setup(format!("kcat sent {records} records, the logs have {end}")));
    }
    Ok(rates("kcat-producer", records as f64, scenario.record_size, seconds))
}

fn kcat_consumer(
    scenario: &Scenario,
    broker: &Broker,
    place: &Place,
    topic: &str,
    part: f64,
) -> Result<Value, Failure> {
    let records = held(scenario, part);
    let mut command = kcat(place, broker);
    command.args(["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-c", &records.to_string(), "-f", ""]);
    let began = Instant::now();
    text(&mut command)?;
    Ok(rates("kcat-consumer", records as f64, scenario.record_size, began.elapsed().as_secs_f64()))
}

fn rates(kind: &str, records: f64, record_size: usize, seconds: f64) -> Value {
    let mib = records * record_size as f64 / MIB;
    json!({ "kind": kind, "records": records, "mib": mib, "records_per_s": records / seconds, "mib_per_s": mib / seconds })
}

/// Records of the preloaded topic that are read.
fn held(scenario: &Scenario, part: f64) -> u64 {
    let records = scenario.extension.bytes_max / scenario.record_size as u64;
    (records as f64 * part.min(0.99)) as u64
}

fn java(place: &Place, class: &str) -> Command {
    let mut command = pinned(place, "perf/brokers/kafka-tool.sh");
    command.arg(class);
    command
}

fn kcat(place: &Place, broker: &Broker) -> Command {
    let mut command = pinned(place, "kcat");
    command.args(["-b", &broker.home.address]);
    command
}

fn pinned(place: &Place, program: &str) -> Command {
    let mut command = Command::new("nice");
    command.args([&format!("-n{}", place.nice), "taskset", "-c", &place.cores, program]);
    command
}

fn text(command: &mut Command) -> Result<String, Failure> {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().doing("run another's load")?;
    let said = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(said);
    }
    Err(Failure::Setup(format!("{:?} ended ({status}): {}", command.get_args(), String::from_utf8_lossy(&stderr))))
}

/// A file of records, one a line, as kcat reads them; removed when dropped.
struct Lines(PathBuf);

impl Lines {
    fn write(broker: &Broker, record_size: usize, records: u64) -> Result<Lines, Failure> {
        let lines = Lines(broker.home.data().with_file_name("records"));
        let mut line = vec![b'r'; record_size];
        line.push(b'\n');
        let block = line.repeat(1000);
        let mut file = File::create(&lines.0).doing("create the file of records")?;
        for _ in 0..records / 1000 {
            file.write_all(&block).doing("write the file of records")?;
        }
        file.write_all(&line.repeat((records % 1000) as usize)).doing("write the file of records")?;
        Ok(lines)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_java_tools_print_is_understood() {
        let said = "warm\n500000 records sent, 81234.5 records/sec (79.33 MB/sec), 12.34 ms avg latency, 310.00 ms max latency, 5 ms 50th, 40 ms 95th, 60 ms 99th, 70 ms 99.9th.\n";
        let result = parse_producer(said, 1024).unwrap();
        assert_eq!((result["mib_per_s"].as_f64(), result["service_us"]["p99"].as_f64()), (Some(79.33), Some(60_000.0)));
        assert_eq!(result["records"].as_f64(), Some(500_000.0));
        let said = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n2026-11-27 22:00:00:000, 2026-11-27 22:00:02:000, 1000.0, 500.0, 1024000, 512000.0, 500, 1500, 666.6, 682666.6\n";
        let result = parse_consumer(said).unwrap();
        assert_eq!((result["mib_per_s"].as_f64(), result["records"].as_f64()), (Some(666.6), Some(1_024_000.0)));
        assert!(parse_consumer("nothing").is_none() && parse_producer("nothing", 1).is_none());
    }
}
