//! How long a broker takes to be there, and what it costs while nobody asks it anything.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wire::records::Codec;

use crate::broker::{Broker, Home, Kind, Place};
use crate::client::{Client, accepted};
use crate::failure::{Doing, Failure};
use crate::scenario::{Scenario, Work};
use crate::{batch, crowd, load, processes, protocol};

const TOPIC: &str = "perf-lifecycle";
pub(crate) const START_MAX: Duration = Duration::from_secs(90);
/// Between two tries; far below what is measured.
const RETRY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_secs(10);
/// Load before SIGKILL: the same bytes whatever the broker could take.
const KILL_LOAD_RATE: u32 = 1500;
const KILL_LOAD: Duration = Duration::from_secs(4);
/// Thousands of members have to join before anything is measured, in waves that would each wait for 6 s by default.
const JOINABLE: &str = "group.initial.rebalance.delay.ms=300\n";

/// Where what runs.
pub(crate) struct Places {
    pub(crate) broker: Place,
    pub(crate) load: Place,
    pub(crate) both: Place,
}

/// One round of a scenario with a broker of its own.
pub(crate) fn once(
    scenario: &Scenario,
    kind: &Kind,
    places: &Places,
    dir: &Path,
    scale: f64,
) -> Result<Value, Failure> {
    let extension = &scenario.extension;
    let seconds = extension.seconds * scale;
    match scenario.kind {
        Work::Start => start_once(kind, &places.broker, dir),
        Work::Restart => restart_once(kind, &places.broker, dir),
        Work::IdleMemory => idle_once(kind, &places.both, dir),
        Work::IdleCrowd => {
            let shape = crowd::Shape { partitions: scenario.partitions, connections: extension.connections };
            crowd::idle_once(kind, &places.both, dir, &shape, Duration::from_secs_f64(seconds))
        }
        Work::ManyPartitions => crowd::many_partitions_once(kind, &places.broker, dir, scenario.partitions),
        Work::IdleGroups => {
            let (groups, members) = (extension.groups, extension.members);
            let connections = extension.connections;
            let options =
                format!("--groups {groups} --members {members} --connections {connections} --duration {seconds}");
            idle_groups_once(kind, places, dir, &options)
        }
        _ => Err(Failure::Setup(format!("{} needs no broker of its own", scenario.name))),
    }
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// NAME=COMMAND; the command gets a server.properties as its last argument
    #[arg(long)]
    broker: Kind,
    /// Cores of the broker
    #[arg(long, default_value = "0")]
    cores: String,
    /// Where data directories are made
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

impl Args {
    fn place(&self) -> Place {
        Place { cores: self.cores.clone(), nice: 0 }
    }
}

pub(crate) fn start_time(args: &Args) -> Result<Value, Failure> {
    start_once(&args.broker, &args.place(), &args.dir)
}

pub(crate) fn recover_time(args: &Args) -> Result<Value, Failure> {
    restart_once(&args.broker, &args.place(), &args.dir)
}

pub(crate) fn idle_rss(args: &Args) -> Result<Value, Failure> {
    idle_once(&args.broker, &args.place(), &args.dir)
}

/// Milliseconds from the start of the command to: ApiVersions answered; metadata names a broker; a record acknowledged.
fn start_once(kind: &Kind, place: &Place, dir: &Path) -> Result<Value, Failure> {
    let home = Home::create(dir, &kind.name, "")?;
    let begin = Instant::now();
    let mut broker = Broker::start(kind, home, place)?;
    let address = broker.home.address.clone();
    until(&mut broker, || connect(&address)?.api_versions())?;
    let first_answer = begin.elapsed();
    until(&mut broker, || match connect(&address)?.metadata(TOPIC)?.brokers.len() {
        0 => Err(Failure::Malformed("no broker yet")),
        _ => Ok(()),
    })?;
    let serving = begin.elapsed();
    until(&mut broker, || connect(&address)?.create_topic(TOPIC, 1, &[]))?;
    until(&mut broker, || acknowledge(&address))?;
    let first_ack = begin.elapsed();
    Ok(
        json!({ "kind": "start", "first_answer_ms": ms(first_answer), "serving_ms": ms(serving), "first_ack_ms": ms(first_ack) }),
    )
}

/// Milliseconds from the start after a SIGKILL under load to: ApiVersions answered; a record acknowledged.
fn restart_once(kind: &Kind, place: &Place, dir: &Path) -> Result<Value, Failure> {
    let mut broker = Broker::start(kind, Home::create(dir, &kind.name, "")?, place)?;
    broker.wait_ready(START_MAX)?;
    let address = broker.home.address.clone();
    until(&mut broker, || connect(&address)?.create_topic(TOPIC, 1, &[]))?;
    until(&mut broker, || acknowledge(&address))?;
    let mut load = spawn_load(&address)?;
    std::thread::sleep(KILL_LOAD);
    let early = load.try_wait().doing("ask for the load's state")?;
    let home = broker.kill()?;
    load.wait().doing("wait for the load's end")?;
    if let Some(status) = early {
        return Err(Failure::Setup(format!("the load ended before the broker was killed: {status}")));
    }
    let begin = Instant::now();
    let mut broker = Broker::start(kind, home, place)?;
    until(&mut broker, || connect(&address)?.api_versions())?;
    let first_answer = begin.elapsed();
    until(&mut broker, || acknowledge(&address))?;
    Ok(json!({ "kind": "restart", "first_answer_ms": ms(first_answer), "first_ack_ms": ms(begin.elapsed()) }))
}

/// Resident memory and CPU use of ten idle seconds.
fn idle_once(kind: &Kind, place: &Place, dir: &Path) -> Result<Value, Failure> {
    let mut broker = Broker::start(kind, Home::create(dir, &kind.name, "")?, place)?;
    broker.wait_ready(START_MAX)?;
    std::thread::sleep(Duration::from_secs(2));
    let before = processes::cpu_seconds(broker.pid());
    std::thread::sleep(IDLE);
    broker.check_alive()?;
    let used = processes::cpu_seconds(broker.pid()).zip(before).map(|(now, before)| now - before);
    let resident = processes::resident_bytes(broker.pid()).map(|bytes| bytes as f64 / f64::from(1 << 20));
    Ok(json!({ "kind": "idle", "resident_mib": resident, "cpu_percent": used.map(|s| s / IDLE.as_secs_f64() * 100.0) }))
}

/// CPU use and memory of groups that only send heartbeats. `options`: of the load, see `idle_groups.rs`.
fn idle_groups_once(kind: &Kind, places: &Places, dir: &Path, options: &str) -> Result<Value, Failure> {
    let mut broker = Broker::start(kind, Home::create(dir, &kind.name, JOINABLE)?, &places.broker)?;
    broker.wait_ready(START_MAX)?;
    let result = load::run(&broker, &places.load, "idle-groups", "perf-idle", options)?;
    broker.check_alive()?;
    Ok(result)
}

fn spawn_load(address: &str) -> Result<Child, Failure> {
    let this = std::env::current_exe().doing("find this program")?;
    let rate = KILL_LOAD_RATE.to_string();
    Command::new(this)
        .args(["produce", "--bootstrap", address, "--topic", TOPIC, "--rate", &rate, "--ramp", "0", "--duration", "60"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .doing("start the load")
}

fn connect(address: &str) -> Result<Client, Failure> {
    Client::connect(address, Duration::from_secs(5))
}

fn acknowledge(address: &str) -> Result<(), Failure> {
    let mut client = connect(address)?;
    let metadata = client.metadata(TOPIC)?;
    let topic = metadata.topics.first().ok_or(Failure::Malformed("no topic in it"))?;
    accepted("Metadata", topic.error_code)?;
    let (frame, _) = protocol::produce(topic.topic_id, 0, 1, &batch::build(1, 100, 0, Codec::None)?);
    accepted("Produce", protocol::produced(client.exchange(&frame)?)?.1.error_code)
}

/// Tries until it works; fails when the broker ends or the time is over.
pub(crate) fn until(broker: &mut Broker, mut step: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    let end = Instant::now() + START_MAX;
    loop {
        match step() {
            Ok(()) => return Ok(()),
            Err(failure) if Instant::now() > end => return Err(failure),
            Err(_) => broker.check_alive()?,
        }
        std::thread::sleep(RETRY);
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
