//! Comparison: the same work against each broker in turns, A B A B, each on its own core, all of them warm.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::broker::{Broker, Home, Kind, Place};
use crate::client::Client;
use crate::failure::{Doing, Failure};
use crate::scenario::{self, Scenario, Work};
use crate::{environment, lifecycle, load, processes, report};

const READY_MAX: Duration = Duration::from_secs(90);
/// A warm-up ends when this many runs in a row differ by less than the tolerance, or after the most.
const STEADY_RUNS: usize = 3;
const STEADY_TOLERANCE: f64 = 0.05;
const WARM_RUNS_MAX: usize = 16;
/// Apache Kafka begins to remove files of deleted topics 30 s after its start.
const DELETED_MAX: Duration = Duration::from_secs(45);
/// Cores that other processes may use before a measurement is repeated.
const OTHERS_MAX: f64 = 0.15;
/// Part of a measurement's length that one warm-up run takes.
const WARM_PART: f64 = 0.4;
/// A broker that was paused longer than its session would be fenced when it goes on: sessions outlive the comparison.
const PAUSABLE: &str = "broker.session.timeout.ms=3600000\n";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Scenarios to run; all without any
    scenarios: Vec<String>,
    /// NAME=COMMAND, twice or more; ratios are first to second
    #[arg(long = "broker", default_values = ["ringmill=perf/brokers/ringmill.sh", "kafka=perf/brokers/kafka.sh"])]
    brokers: Vec<Kind>,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[arg(long, default_value = "0")]
    broker_core: String,
    #[arg(long, default_value = "1")]
    load_core: String,
    /// Where data directories are made: the file system that is measured
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Where results go; a folder for the day is made in it
    #[arg(long, default_value = "perf/runs")]
    out: PathBuf,
    /// GiB of memory touched before anything is measured; a virtual machine's first touch of a page is slow
    #[arg(long, default_value_t = 8)]
    touch_gib: usize,
    /// How often a measurement that other processes disturbed is repeated
    #[arg(long, default_value_t = 2)]
    repeats: usize,
    /// Seconds to wait before each measurement for other processes to be quiet
    #[arg(long, default_value_t = 30)]
    wait_quiet: u64,
    /// Of fetched answers that the load drops, one in so many is checked; 0 for none (the null broker repeats one batch)
    #[arg(long, default_value_t = 512)]
    check_every: u64,
    /// Niceness of brokers and loads: below 0 (as root) where the machine can't be had alone
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    nice: i32,
    /// Factor on the measured seconds; below 1 for a quick look that is not to be quoted
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
}

impl Args {
    fn place(&self) -> Place {
        Place { cores: self.broker_core.clone(), nice: self.nice }
    }

    fn load_place(&self) -> Place {
        Place { cores: self.load_core.clone(), nice: self.nice }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let _group = Autogroup::nice(args.nice);
    let scenarios = select(&args.scenarios)?;
    touch_memory(args.touch_gib);
    let mut record = Record::create(args)?;
    let (fresh, load): (Vec<&Scenario>, Vec<&Scenario>) =
        scenarios.into_iter().partition(|scenario| scenario.work.needs_fresh_broker());
    if !load.is_empty() {
        compare_under_load(args, &load, &mut record)?;
    }
    for scenario in fresh {
        for round in 0..args.rounds {
            for kind in &args.brokers {
                let result = live_once(args, scenario, kind)?;
                record.line(scenario, &kind.name, round, &result)?;
            }
        }
    }
    record.finish()
}

/// What to run, each once: a row that shows a second figure of another's results is measured by that one.
fn select(names: &[String]) -> Result<Vec<&'static Scenario>, Failure> {
    let all = scenario::ALL.iter().map(|scenario| scenario.name);
    let asked: Vec<&str> = if names.is_empty() { all.collect() } else { names.iter().map(String::as_str).collect() };
    let mut chosen: Vec<&'static Scenario> = Vec::new();
    for name in asked {
        let measured = scenario::named(name).and_then(|asked| scenario::named(asked.measured_by()));
        let Some(scenario) = measured else {
            let known = scenario::ALL.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
            return Err(Failure::Setup(format!("no scenario {name}; there are {known}")));
        };
        if !chosen.iter().any(|known| known.name == scenario.name) {
            chosen.push(scenario);
        }
    }
    Ok(chosen)
}

fn live_once(args: &Args, scenario: &Scenario, kind: &Kind) -> Result<Value, Failure> {
    match scenario.work {
        Work::Start => lifecycle::start_once(kind, &args.place(), &args.dir),
        Work::Restart => lifecycle::restart_once(kind, &args.place(), &args.dir),
        Work::IdleGroups { groups, members, connections, seconds } => {
            let options = format!(
                "--groups {groups} --members {members} --connections {connections} --duration {}",
                seconds * args.scale
            );
            lifecycle::idle_groups_once(kind, &args.place(), &args.load_place(), &args.dir, &options)
        }
        _ => {
            let both = Place { cores: format!("{},{}", args.broker_core, args.load_core), nice: args.nice };
            lifecycle::idle_once(kind, &both, &args.dir)
        }
    }
}

fn compare_under_load(args: &Args, scenarios: &[&Scenario], record: &mut Record) -> Result<(), Failure> {
    let mut brokers = Vec::new();
    for kind in &args.brokers {
        let mut broker = Broker::start(kind, Home::create(&args.dir, &kind.name, PAUSABLE)?, &args.place())?;
        broker.wait_ready(READY_MAX)?;
        broker.pause()?;
        brokers.push(broker);
    }
    for scenario in scenarios {
        let mut turns: Vec<Turn<'_>> =
            brokers.iter_mut().map(|broker| Turn { args, scenario, broker, runs: 0 }).collect();
        for turn in &mut turns {
            turn.awake(Turn::warm)?;
        }
        for round in 0..args.rounds {
            for turn in &mut turns {
                let result = turn.awake(Turn::measure_in_quiet)?;
                record.line(scenario, &turn.broker.name, round, &result)?;
            }
        }
        for turn in &mut turns {
            turn.awake(Turn::forget)?;
        }
    }
    Ok(())
}

/// One broker at one scenario.
struct Turn<'a> {
    args: &'a Args,
    scenario: &'a Scenario,
    broker: &'a mut Broker,
    runs: usize,
}

impl Turn<'_> {
    /// The broker runs only inside; a paused one costs the other nothing.
    fn awake<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        self.broker.resume()?;
        self.broker.wait_ready(READY_MAX)?;
        let result = work(self);
        self.broker.check_alive()?;
        self.broker.pause()?;
        result
    }

    /// Runs shorter measurements until they agree: code is compiled, pages are there.
    fn warm(&mut self) -> Result<(), Failure> {
        if let Work::Fetch { partitions, preload_bytes, .. } = self.scenario.work {
            self.preload(partitions, preload_bytes)?;
        }
        let mut figures: Vec<f64> = Vec::new();
        while figures.len() < WARM_RUNS_MAX {
            let result = self.measure(WARM_PART)?;
            figures.push(result.pointer(self.scenario.figure).and_then(Value::as_f64).unwrap_or_default());
            let last = &figures[figures.len().saturating_sub(STEADY_RUNS)..];
            let most = last.iter().copied().fold(f64::MIN, f64::max);
            let least = last.iter().copied().fold(f64::MAX, f64::min);
            if last.len() == STEADY_RUNS && most - least <= most * STEADY_TOLERANCE {
                break;
            }
        }
        let words: Vec<String> = figures.iter().map(|f| format!("{f:.3}")).collect();
        eprintln!("warm {:12} {:10} {}", self.scenario.name, self.broker.name, words.join(" "));
        Ok(())
    }

    /// A measurement that other work disturbed is repeated; the least disturbed one counts.
    fn measure_in_quiet(&mut self) -> Result<Value, Failure> {
        self.wait_for_quiet();
        let mut best = self.measure(1.0)?;
        for _ in 0..self.args.repeats {
            if others(&best) <= OTHERS_MAX {
                break;
            }
            self.wait_for_quiet();
            let again = self.measure(1.0)?;
            if others(&again) < others(&best) {
                best = again;
            }
        }
        Ok(best)
    }

    /// Until the machine did next to nothing for half a second, or `--wait-quiet` is over.
    fn wait_for_quiet(&self) {
        const LOOK: Duration = Duration::from_millis(500);
        let end = Instant::now() + Duration::from_secs(self.args.wait_quiet);
        while Instant::now() < end {
            let before = processes::cores().busy;
            std::thread::sleep(LOOK);
            if processes::cores().busy - before < OTHERS_MAX * LOOK.as_secs_f64() {
                return;
            }
        }
    }

    /// One run of `part` of the scenario's length. Produced topics are deleted again, and gone before this returns.
    fn measure(&mut self, part: f64) -> Result<Value, Failure> {
        let part = part * self.args.scale;
        let ramp = if part < 1.0 { 0.5 } else { 1.0 };
        match self.scenario.work {
            Work::Produce { connections, in_flight, record_size, batch_size, partitions, seconds, requests_max } => {
                let count = (requests_max as f64 * part) as u64;
                let options = format!(
                    "--partitions {partitions} --connections {connections} --in-flight {in_flight} --record-size {record_size} \
                     --batch-size {batch_size} --ramp {ramp} --duration {} --count {count}",
                    seconds * part
                );
                self.load_new_topic(partitions, "produce", &options)
            }
            Work::Fetch { connections, partitions, max_bytes, receive, seconds, .. } => {
                let duration = seconds * part;
                let options = format!(
                    "--partitions {partitions} --connections {connections} --max-bytes {max_bytes} --ramp {ramp} \
                     --duration {duration} --receive {} --check-every {}",
                    receive.name(),
                    self.args.check_every
                );
                self.load("fetch", self.scenario.name, &options)
            }
            Work::EndToEnd { rate, record_size, seconds } => {
                let duration = seconds * part;
                let options = format!("--rate {rate} --record-size {record_size} --ramp {ramp} --duration {duration}");
                self.load_new_topic(1, "e2e", &options)
            }
            Work::OffsetCommit { connections, in_flight, partitions, seconds } => {
                let duration = seconds * part;
                let options = format!(
                    "--partitions {partitions} --connections {connections} --in-flight {in_flight} --ramp {ramp} --duration {duration}"
                );
                self.load_new_topic(partitions, "offset-commit", &options)
            }
            Work::GroupJoin { members, partitions, protocol } => {
                let options = format!("--partitions {partitions} --members {members} --protocol {}", protocol.name());
                self.load_new_topic(partitions, "group-join", &options)
            }
            _ => Err(Failure::Setup(format!("{} is no load", self.scenario.name))),
        }
    }

    fn load_new_topic(&mut self, partitions: usize, command: &str, options: &str) -> Result<Value, Failure> {
        let topic = self.create_topic(partitions)?;
        let result = self.load(command, &topic, options)?;
        self.delete_topic(&topic)?;
        Ok(result)
    }

    fn preload(&mut self, partitions: usize, bytes: u64) -> Result<(), Failure> {
        self.client()?.create_topic(self.scenario.name, partitions)?;
        let count = bytes / 65536;
        let options =
            format!("--partitions {partitions} --connections {partitions} --ramp 0 --duration 120 --count {count}");
        self.load("produce", self.scenario.name, &options)?;
        sync(&self.broker.home.data())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        match self.scenario.work {
            Work::Fetch { .. } => self.delete_topic(self.scenario.name),
            _ => Ok(()),
        }
    }

    fn create_topic(&mut self, partitions: usize) -> Result<String, Failure> {
        self.runs += 1;
        let topic = format!("perf-{}-{}", self.scenario.name, self.runs);
        self.client()?.create_topic(&topic, partitions)?;
        sync(&self.broker.home.data())?;
        Ok(topic)
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
        Client::connect(&self.broker.home.address, Duration::from_secs(30))
    }

    fn load(&self, command: &str, topic: &str, options: &str) -> Result<Value, Failure> {
        load::run(self.broker, &self.args.load_place(), command, topic, options)
    }
}

/// Cores used by neither broker nor load.
fn others(result: &Value) -> f64 {
    let number = |path: &str| result.pointer(path).and_then(Value::as_f64).unwrap_or_default();
    number("/cpu_s/others") / number("/seconds").max(0.001)
}

/// What is dirty now is written now, not during the measurement.
fn sync(dir: &Path) -> Result<(), Failure> {
    Command::new("sync").arg("-f").arg(dir).status().doing("sync the file system").map(drop)
}

/// Touches memory and gives it back, so that the page cache grows into pages the host has already given.
fn touch_memory(gib: usize) {
    const PAGE: usize = 4096;
    let mut held = Vec::new();
    for _ in 0..gib {
        let mut block = vec![0u8; 1 << 30];
        block.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        held.push(std::hint::black_box(block));
    }
}

/// Where the scheduler groups processes by session, niceness only counts inside of one: the group must be as nice as its members.
struct Autogroup(Option<String>);

impl Autogroup {
    const FILE: &str = "/proc/self/autogroup";

    fn nice(nice: i32) -> Autogroup {
        if nice == 0 {
            return Autogroup(None);
        }
        let before = fs::read_to_string(Self::FILE).ok().and_then(|s| Some(s.trim().rsplit_once(' ')?.1.to_owned()));
        // Not there, or not allowed: then the processes' own niceness has to do.
        let _ = fs::write(Self::FILE, nice.to_string());
        Autogroup(before)
    }
}

impl Drop for Autogroup {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = fs::write(Self::FILE, before);
        }
    }
}

/// The files of one comparison.
struct Record {
    lines: PathBuf,
    file: File,
}

impl Record {
    fn create(args: &Args) -> Result<Record, Failure> {
        let stamp = |format: &str| environment::output("date", &["-u", format]).unwrap_or_else(|| "undated".to_owned());
        let folder = args.out.join(stamp("+%Y-%m-%d"));
        fs::create_dir_all(&folder).doing("create the folder for results")?;
        let time = stamp("+%H%M%S");
        let mut environment = environment::capture(&args.dir);
        environment["brokers"] = json!(args.brokers.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>());
        environment["rounds"] = json!(args.rounds);
        environment["scale"] = json!(args.scale);
        environment["nice"] = json!(args.nice);
        environment["broker_core"] = json!(args.broker_core);
        environment["load_core"] = json!(args.load_core);
        environment["server_properties"] = json!(include_str!("../brokers/server.properties"));
        let pretty = serde_json::to_string_pretty(&environment).unwrap_or_default();
        fs::write(folder.join(format!("{time}-environment.json")), pretty).doing("write the environment")?;
        let lines = folder.join(format!("{time}.jsonl"));
        let file = File::create(&lines).doing("create the result file")?;
        Ok(Record { lines, file })
    }

    fn line(&mut self, scenario: &Scenario, broker: &str, round: usize, result: &Value) -> Result<(), Failure> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let line = json!({ "at": at, "scenario": scenario.name, "broker": broker, "round": round, "result": result });
        writeln!(self.file, "{line}").doing("write a result")?;
        let figure = result.pointer(scenario.figure).and_then(Value::as_f64).unwrap_or(f64::NAN);
        eprintln!("{round:4} {:12} {broker:10} {figure:14.3} {}", scenario.name, scenario.unit);
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        let table = report::table(&fs::read_to_string(&self.lines).doing("read the results")?)?;
        fs::write(self.lines.with_extension("md"), &table).doing("write the table")?;
        print!("{table}");
        eprintln!("raw: {}", self.lines.display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_figure_is_measured_once_by_the_first() {
        let names = |asked: &[&str]| -> Vec<&str> {
            let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
            select(&asked).unwrap().iter().map(|scenario| scenario.name).collect()
        };
        assert_eq!(names(&["idle-groups-rss", "start", "idle-groups"]), ["idle-groups", "start"]);
        assert_eq!(names(&[]).len(), scenario::ALL.len() - 1);
        assert!(select(&["none".to_owned()]).is_err());
    }
}
