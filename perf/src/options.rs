//! A scenario as the words of a command line: which of this program's loads, with which options.

use crate::failure::Failure;
use crate::scenario::{Scenario, Work};

pub(crate) struct Options {
    pub(crate) command: &'static str,
    /// Separated by spaces.
    pub(crate) words: String,
}

/// `rate`: records per second, 0 for as fast as answers come. `part`: of the scenario's seconds. `ramp`: seconds.
pub(crate) fn of(scenario: &Scenario, rate: f64, part: f64, ramp: f64, check_every: u64) -> Result<Options, Failure> {
    let (partitions, producers, extension) = (scenario.partitions, scenario.producers, &scenario.extension);
    let seconds = extension.seconds * part;
    let time = format!("--partitions {partitions} --ramp {ramp} --duration {seconds}");
    let requests_per_s = rate / scenario.records_per_batch() as f64;
    let open_loop = if rate > 0.0 { format!("--rate {requests_per_s}") } else { String::new() };
    let in_flight = extension.in_flight;
    let (command, words) = match scenario.kind {
        Work::Produce | Work::Sweep => {
            let count = ((extension.bytes_max / extension.batch_size as u64) as f64 * part).max(1.0) as u64;
            ("produce", format!("{time} {open_loop} --count {count} --in-flight {in_flight} {}", producing(scenario)))
        }
        Work::Fetch => (
            "fetch",
            format!(
                "{time} --connections {} --max-bytes {} --receive {} --check-every {check_every}",
                scenario.consumers,
                extension.max_bytes,
                extension.receive.name()
            ),
        ),
        Work::Stream => (
            "stream",
            format!(
                "{time} --rate {rate} --producers {producers} --subscriptions {} --consumers {} --record-size {} --acks {} \
                 --linger-ms {} --in-flight {in_flight} {}",
                scenario.subscriptions,
                scenario.consumers,
                scenario.record_size,
                extension.acks,
                extension.linger_ms,
                if scenario.keyed { "--keyed" } else { "" }
            ),
        ),
        Work::Drain => (
            "drain",
            format!(
                "{time} {open_loop} --producers {producers} --record-size {} --batch-size {} --max-bytes {} --in-flight {in_flight}",
                scenario.record_size, extension.batch_size, extension.max_bytes
            ),
        ),
        Work::OffsetCommit => {
            ("offset-commit", format!("{time} --connections {} --in-flight {in_flight}", extension.connections))
        }
        Work::GroupJoin => (
            "group-join",
            format!(
                "--partitions {partitions} --members {} --protocol {}",
                extension.members,
                extension.protocol.name()
            ),
        ),
        _ => return Err(Failure::Setup(format!("{} is no load of this program", scenario.name))),
    };
    Ok(Options { command, words })
}

/// What writes the topic that a scenario reads.
pub(crate) fn preload(scenario: &Scenario) -> String {
    let bytes = if scenario.backlog_bytes > 0 { scenario.backlog_bytes } else { scenario.extension.bytes_max };
    let batch_size = scenario.extension.batch_size.max(scenario.record_size);
    let count = bytes / batch_size as u64;
    let partitions = scenario.partitions;
    let mut whole = scenario.clone();
    whole.producers = partitions;
    format!("--partitions {partitions} --ramp 0 --duration 120 --count {count} {}", producing(&whole))
}

fn producing(scenario: &Scenario) -> String {
    let extension = &scenario.extension;
    let batch_size = extension.batch_size.max(scenario.record_size);
    format!(
        "--connections {} --record-size {} --batch-size {batch_size} --codec {} --acks {} {}",
        scenario.producers,
        scenario.record_size,
        extension.codec,
        extension.acks,
        if extension.idempotent { "--idempotent" } else { "" }
    )
}
