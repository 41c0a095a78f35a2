//! What groups cost that do nothing: their members joined, and send heartbeats over few connections.
//!
//! Members join over connections of their own, in waves, because a coordinator holds a JoinGroup until the others have come.
//! A member is not bound to its connection: afterwards heartbeats share a few. They are due evenly, to the millisecond.

use std::net::SocketAddr;
use std::time::Duration;

use mio::{Events, Poll, Token};
use serde_json::{Value, json};
use wire::Uuid;

use crate::client::{accepted, resolve};
use crate::coordinator;
use crate::failure::{Doing, Failure};
use crate::gathering::{Gathering, Shape};
use crate::lanes::poll_once;
use crate::measure::{Clock, seconds};
use crate::member::{self, Group, GroupProtocol, HEARTBEAT_INTERVAL, Member};
use crate::pipe::Pipe;
use crate::processes::{self, Usage};
use crate::protocol::HEAD_MAX;

const READY_MAX: Duration = Duration::from_secs(30);
/// All groups of a wave have settled, or the run is given up.
const WAVE_MAX: Duration = Duration::from_secs(60);
/// Members that join at once, each over its own connection.
const WAVE_MEMBERS: usize = 500;

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// What members say they subscribe to; groups are named after it. Nothing is read from it
    #[arg(long)]
    topic: String,
    #[arg(long, default_value_t = 1000)]
    groups: usize,
    /// Of each group
    #[arg(long, default_value_t = 5)]
    members: usize,
    /// That all heartbeats share
    #[arg(long, default_value_t = 20)]
    connections: usize,
    /// Seconds of heartbeats that are not measured
    #[arg(long, default_value_t = 10.0)]
    ramp: f64,
    /// Measured seconds
    #[arg(long, default_value_t = 20.0)]
    duration: f64,
    /// Process id of the broker, to report its CPU time and memory
    #[arg(long)]
    watch_pid: Option<u32>,
}

impl Args {
    fn check(&self) -> Result<(), Failure> {
        let groups = (1..=100_000).contains(&self.groups) && (1..=WAVE_MEMBERS).contains(&self.members);
        if groups && (1..=4096).contains(&self.connections) {
            return Ok(());
        }
        let bounds = "--groups is 1 to 100000, --members 1 to 500, --connections 1 to 4096";
        Err(Failure::Setup(bounds.to_owned()))
    }

    fn group_names(&self) -> Vec<String> {
        (0..self.groups).map(|n| format!("{}-{n}", self.topic)).collect()
    }

    fn resident_mib(&self) -> Option<f64> {
        let bytes = self.watch_pid.and_then(processes::resident_bytes)?;
        Some(bytes as f64 / f64::from(1 << 20))
    }
}

pub(crate) fn run(args: &Args) -> Result<Value, Failure> {
    args.check()?;
    let names = args.group_names();
    let address = resolve(&coordinator::find(&args.bootstrap, &names, READY_MAX)?)?;
    // `__consumer_offsets` is there by now: what grows from here on are the groups.
    let resident_before = args.resident_mib();
    let joining = Clock::start();
    let mut hearts = Hearts::connect(address, args.connections)?;
    for wave in names.chunks(WAVE_MEMBERS / args.members) {
        hearts.frames.extend(join(args, address, wave)?);
        // Sessions of earlier waves must not end while later ones join.
        hearts.beat_once()?;
    }
    let joined_ns = joining.ns();
    hearts.beat_for(args.ramp)?;
    let resident_joined = args.resident_mib();
    let usage = Usage::start(args.watch_pid);
    let (beats, elapsed_ns) = hearts.beat_for(args.duration)?;
    let used = usage.finish();
    let resident = args.resident_mib();
    let elapsed = seconds(elapsed_ns);
    Ok(json!({
        "kind": "idle-groups", "groups": args.groups, "members": args.members, "connections": args.connections,
        "joined_ms": joined_ns as f64 / 1e6, "seconds": elapsed, "heartbeats": beats, "heartbeats_per_s": beats as f64 / elapsed,
        "cpu_percent": used["broker"].as_f64().map(|s| s / elapsed * 100.0), "cpu_s": used,
        "broker_cpu_us_per_request": used["broker"].as_f64().map(|s| s * 1e6 / beats as f64),
        "resident_before_mib": resident_before, "resident_joined_mib": resident_joined, "resident_end_mib": resident,
        "resident_growth_mib": resident.zip(resident_before).map(|(now, before)| now - before),
    }))
}

/// Lets the members of these groups join and gives back the heartbeat of each.
fn join(args: &Args, address: SocketAddr, names: &[String]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut members = Vec::with_capacity(names.len() * args.members);
    for name in names {
        let partitions = args.members as i32;
        let group = Group { name: name.clone(), topic: args.topic.clone(), topic_id: Uuid::ZERO, partitions };
        members.extend((0..args.members).map(|n| Member::new(GroupProtocol::Classic, group.clone(), n)));
    }
    let shape = Shape { members: args.members, partitions: args.members };
    let mut gathering = Gathering::connect(address, shape, members)?;
    gathering.settle(WAVE_MAX)?;
    Ok(gathering.members().map(Member::request).collect())
}

/// The heartbeats of all members, over their few connections.
struct Hearts {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    pipes: Vec<Pipe>,
    frames: Vec<Vec<u8>>,
    answered: u64,
}

impl Hearts {
    fn connect(address: SocketAddr, connections: usize) -> Result<Hearts, Failure> {
        let poll = Poll::new().doing("create a poll")?;
        let connect = |n| Pipe::connect(address, poll.registry(), Token(n), HEAD_MAX);
        let pipes = (0..connections).map(connect).collect::<Result<_, _>>()?;
        let events = Events::with_capacity(connections);
        Ok(Hearts { poll, events, scratch: vec![0; 64 << 10], pipes, frames: Vec::new(), answered: 0 })
    }

    /// One heartbeat of everybody, as fast as they are answered.
    fn beat_once(&mut self) -> Result<(), Failure> {
        let goal = self.answered + self.frames.len() as u64;
        for n in 0..self.frames.len() {
            self.beat(n)?;
        }
        self.await_answers(goal)
    }

    /// Everybody's heartbeat once in each interval. Gives how many were answered, and in how many nanoseconds.
    fn beat_for(&mut self, seconds: f64) -> Result<(u64, u64), Failure> {
        let before = self.answered;
        let spacing_ns = HEARTBEAT_INTERVAL.as_nanos() as f64 / self.frames.len() as f64;
        let end_ns = (seconds * 1e9) as u64;
        let clock = Clock::start();
        let mut sent = 0u64;
        while clock.ns() < end_ns {
            let mut due_ns = (sent as f64 * spacing_ns) as u64;
            while due_ns <= clock.ns() {
                self.beat((sent % self.frames.len() as u64) as usize)?;
                sent += 1;
                due_ns = (sent as f64 * spacing_ns) as u64;
            }
            self.receive(Duration::from_nanos(due_ns.min(end_ns).saturating_sub(clock.ns())))?;
        }
        self.await_answers(before + sent)?;
        Ok((sent, clock.ns()))
    }

    fn beat(&mut self, member: usize) -> Result<(), Failure> {
        let lane = member % self.pipes.len();
        self.pipes[lane].send(&self.frames[member])
    }

    fn await_answers(&mut self, goal: u64) -> Result<(), Failure> {
        let clock = Clock::start();
        while self.answered < goal {
            self.receive(Duration::from_millis(10))?;
            if clock.ns() > READY_MAX.as_nanos() as u64 {
                return Err(Failure::Setup(format!("{} heartbeats are not answered", goal - self.answered)));
            }
        }
        Ok(())
    }

    fn receive(&mut self, wait: Duration) -> Result<(), Failure> {
        poll_once(&mut self.poll, &mut self.events, wait)?;
        for event in &self.events {
            let pipe = &mut self.pipes[event.token().0];
            pipe.flush()?;
            pipe.receive(&mut self.scratch, |answer| {
                self.answered += 1;
                accepted("Heartbeat", member::heartbeat_code(answer)?)
            })?;
        }
        Ok(())
    }
}
