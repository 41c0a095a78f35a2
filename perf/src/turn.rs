//! One broker at one scenario: awake only while it is measured, warmed up first.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::client::Client;
use crate::failure::{Doing, Failure};
use crate::goal::NULL;
use crate::machine::{self, OTHERS_MAX, others, sync};
use crate::run::{Args, READY_MAX};
use crate::scenario::{Scenario, Work};
use crate::{foreign, load, options};

/// A warm-up ends when this many runs in a row differ by less than the tolerance, or after the most.
const STEADY_RUNS: usize = 3;
const STEADY_TOLERANCE: f64 = 0.05;
const WARM_RUNS_MAX: usize = 16;
/// Part of a measurement's length that one warm-up run takes.
const WARM_PART: f64 = 0.4;
const MANY_PARTITIONS: usize = 200;
/// Apache Kafka begins to remove files of deleted topics 30 s after its start.
const DELETED_MAX: Duration = Duration::from_secs(45);

pub(crate) struct Turn<'a> {
    pub(crate) args: &'a Args,
    pub(crate) scenario: &'a Scenario,
    pub(crate) broker: &'a mut Broker,
    /// Factor on the measured seconds.
    pub(crate) scale: f64,
    /// Records per second; 0: as fast as answers come.
    pub(crate) rate: f64,
    pub(crate) runs: usize,
}

impl Turn<'_> {
    /// The broker runs only inside; a paused one costs the other nothing.
    pub(crate) fn awake<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        self.broker.resume()?;
        self.broker.wait_ready(READY_MAX)?;
        let result = work(self);
        self.broker.check_alive()?;
        self.broker.pause()?;
        result
    }

    /// Runs shorter measurements until they agree or the time is over: code is compiled, pages are there. Gives their main figures.
    pub(crate) fn warm(&mut self, at_most: Duration) -> Result<Vec<f64>, Failure> {
        self.prepare()?;
        let end = Instant::now() + at_most;
        let mut figures: Vec<f64> = Vec::new();
        while figures.len() < WARM_RUNS_MAX && (figures.is_empty() || Instant::now() < end) {
            let result = self.measure(WARM_PART)?;
            figures.push(self.main(&result));
            let last = &figures[figures.len().saturating_sub(STEADY_RUNS)..];
            let most = last.iter().copied().fold(f64::MIN, f64::max);
            let least = last.iter().copied().fold(f64::MAX, f64::min);
            if last.len() == STEADY_RUNS && most - least <= most * STEADY_TOLERANCE {
                break;
            }
        }
        Ok(figures)
    }

    /// Makes the topic that all runs share, where they do.
    fn prepare(&mut self) -> Result<(), Failure> {
        if self.is_preloaded() {
            self.preload()
        } else if self.keeps_topic() {
            self.new_topic(&self.scenario.name)
        } else {
            Ok(())
        }
    }

    /// Runs for so long, whatever comes of it.
    pub(crate) fn exercise(&mut self, time: Duration) -> Result<(), Failure> {
        self.prepare()?;
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.measure(WARM_PART)?;
        }
        Ok(())
    }

    fn main(&self, result: &Value) -> f64 {
        result.pointer(&self.scenario.main_figure().path).and_then(Value::as_f64).unwrap_or_default()
    }

    /// Records per second that this broker takes at most. The last of a few runs counts.
    pub(crate) fn saturation(&mut self) -> Result<f64, Failure> {
        let rate = std::mem::replace(&mut self.rate, 0.0);
        let mut most = 0.0;
        for _ in 0..STEADY_RUNS {
            let result = self.measure(WARM_PART)?;
            most = result["records_per_s"].as_f64().unwrap_or_default();
        }
        self.rate = rate;
        Ok(most)
    }

    /// System calls of the broker for each request, in a run of its own because counting costs; None where the kernel doesn't tell.
    pub(crate) fn count_syscalls(&mut self) -> Result<Value, Failure> {
        // Of the others a request is not one thing, or the count would hold more than what is measured.
        if !matches!(self.scenario.kind, Work::Produce | Work::Fetch | Work::Stream | Work::OffsetCommit) {
            return Ok(Value::Null);
        }
        let Some(mut counter) = Counter::start(self.broker.pid()) else { return Ok(Value::Null) };
        let result = self.measure(WARM_PART)?;
        let count = counter.finish();
        if result.get("again_after").is_some() {
            // Two runs were counted, and one is known.
            return Ok(Value::Null);
        }
        // The ramp is counted as well: scale to the time of both.
        let (seconds, ramp) = (result["seconds"].as_f64().unwrap_or_default(), self.ramp(WARM_PART));
        let per_second = ["requests_per_s", "records_per_s"].iter().find_map(|name| result[*name].as_f64());
        let requests = per_second.map(|rate| rate * (seconds + ramp)).filter(|requests| *requests > 0.0);
        Ok(
            json!({ "syscalls": count, "syscalls_per_request": count.zip(requests).map(|(count, requests)| count / requests) }),
        )
    }

    /// A measurement that other work disturbed is repeated; the least disturbed one counts.
    pub(crate) fn measure_in_quiet(&mut self) -> Result<Value, Failure> {
        let quiet = Duration::from_secs(self.args.wait_quiet);
        machine::wait_for_quiet(quiet);
        let mut best = self.measure(1.0)?;
        for _ in 0..self.args.repeats {
            if others(&best) <= OTHERS_MAX {
                break;
            }
            machine::wait_for_quiet(quiet);
            let again = self.measure(1.0)?;
            if others(&again) < others(&best) {
                best = again;
            }
        }
        Ok(best)
    }

    /// One run of `part` of the scenario's length. One that fails is done again, once, and the result tells why.
    fn measure(&mut self, part: f64) -> Result<Value, Failure> {
        self.attempt(part).or_else(|why| {
            self.broker.check_alive()?;
            eprintln!("perf: {why}; once more");
            let mut result = self.attempt(part)?;
            result["again_after"] = json!(why.to_string());
            Ok(result)
        })
    }

    /// Produced topics are deleted again, and gone before this returns.
    fn attempt(&mut self, part: f64) -> Result<Value, Failure> {
        let part = part * self.scale;
        if self.is_preloaded() || self.keeps_topic() {
            if self.scenario.extension.cold {
                machine::evict(&self.broker.home.data(), &self.scenario.name)?;
            }
            let topic = self.scenario.name.clone();
            return self.run(&topic, part);
        }
        let topic = self.create_topic()?;
        let result = self.run(&topic, part);
        self.delete_topic(&topic)?;
        result
    }

    fn run(&self, topic: &str, part: f64) -> Result<Value, Failure> {
        let (scenario, place) = (self.scenario, self.args.load_place());
        match scenario.kind {
            Work::Sweep => self.sweep(topic, part),
            Work::JavaProducer | Work::JavaConsumer | Work::KcatProducer | Work::KcatConsumer => {
                foreign::run(scenario, self.broker, &place, topic, part)
            }
            _ => {
                let check_every = if self.broker.name == NULL { 0 } else { self.args.check_every };
                let options = options::of(scenario, self.rate, part, self.ramp(part), check_every)?;
                load::run(self.broker, &place, options.command, topic, &options.words)
            }
        }
    }

    /// Every rate for an equal part of the time; rates after one that the broker could not take are left out.
    fn sweep(&self, topic: &str, part: f64) -> Result<Value, Failure> {
        const P99_MAX_US: f64 = 10_000.0;
        let rates = &self.scenario.extension.rates;
        let part = part / rates.len() as f64;
        let (mut points, mut best) = (Vec::new(), 0.0);
        for rate in rates {
            let options = options::of(self.scenario, *rate, part, self.ramp(part).min(0.3), 0)?;
            let mut point = load::run(self.broker, &self.args.load_place(), options.command, topic, &options.words)?;
            point["timeline"] = Value::Null;
            let reached = point["records_per_s"].as_f64().unwrap_or_default();
            let p99 = point["response_us"]["p99"].as_f64().unwrap_or(f64::MAX);
            points.push(point);
            if reached < rate * 0.9 {
                break;
            }
            if p99 < P99_MAX_US {
                best = *rate;
            }
        }
        Ok(json!({ "kind": "sweep", "points": points, "best_rate": best }))
    }

    fn ramp(&self, part: f64) -> f64 {
        if part < 1.0 { 0.5 } else { 1.0 }
    }

    /// Whether all runs read what was written once.
    fn is_preloaded(&self) -> bool {
        self.scenario.kind.is_preloaded() || self.scenario.backlog_bytes > 0
    }

    /// A topic whose partitions take longer to make than to measure serves all rounds.
    fn keeps_topic(&self) -> bool {
        self.scenario.partitions >= MANY_PARTITIONS
    }

    fn preload(&mut self) -> Result<(), Failure> {
        let scenario = self.scenario;
        self.new_topic(&scenario.name)?;
        let words = options::preload(scenario);
        load::run(self.broker, &self.args.load_place(), "produce", &scenario.name, &words)?;
        sync(&self.broker.home.data())
    }

    pub(crate) fn forget(&mut self) -> Result<(), Failure> {
        if self.is_preloaded() || self.keeps_topic() { self.delete_topic(&self.scenario.name) } else { Ok(()) }
    }

    fn create_topic(&mut self) -> Result<String, Failure> {
        self.runs += 1;
        let topic = format!("perf-{}-{}", self.scenario.name, self.runs);
        self.new_topic(&topic)?;
        sync(&self.broker.home.data())?;
        Ok(topic)
    }

    fn new_topic(&self, name: &str) -> Result<(), Failure> {
        let scenario = self.scenario;
        self.client()?.create_topic(name, scenario.partitions, &scenario.extension.topic_config)
    }

    fn delete_topic(&self, topic: &str) -> Result<(), Failure> {
        self.client()?.delete_topic(topic)?;
        let end = Instant::now() + DELETED_MAX;
        while Instant::now() < end {
            let entries = fs::read_dir(self.broker.home.data()).doing("list the data directory")?;
            if !entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(topic)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("perf: {} still has files of the deleted topic {topic}", self.broker.name);
        Ok(())
    }

    fn client(&self) -> Result<Client, Failure> {
        Client::connect(&self.broker.home.address, Duration::from_secs(60))
    }
}

/// `perf stat` on a tracepoint of the kernel: needs neither hardware counters nor a stop of the process.
struct Counter(Child);

impl Counter {
    fn start(pid: u32) -> Option<Counter> {
        let child = Command::new("perf")
            .args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        child.ok().map(Counter)
    }

    fn finish(&mut self) -> Option<f64> {
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let mut said = String::new();
        let mut pipe = self.0.stderr.take()?;
        std::io::Read::read_to_string(&mut pipe, &mut said).ok()?;
        let _ = self.0.wait();
        said.lines().find_map(|line| line.split_once(',')?.0.parse().ok())
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
