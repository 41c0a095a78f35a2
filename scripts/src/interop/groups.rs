//! Consumer groups of real clients, and what must be true of each: every record is read at least once, no partition has
//! two owners, committed offsets never go back, and a group settles in time, whatever its members do.
//!
//! All groups read one topic that is written to all the while. The broker is one of its own, with short session timeouts.
//! `ONLY=kcat` in the environment runs only the groups that have this in their name.

mod broker;
mod judge;
mod member;
mod scenario;
mod watch;

use crate::deps;
use crate::interop::Env;
use crate::interop::server::{Kind, Server};
use crate::process;
use crate::tally::Tally;
use member::Programs;
use scenario::{Scenario, World};
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use watch::{Load, Watch};

const PARTITIONS: u32 = 6;
const RECORDS_PER_S: u32 = 400;
/// Groups at a time, on two cores: most of a scenario is waiting.
const WORKERS: usize = 4;
const CLASSIC_SESSION: Duration = Duration::from_secs(6);
/// For members of the consumer protocol it is the broker's; a JVM has to come back within it.
const CONSUMER_SESSION: Duration = Duration::from_secs(15);
pub(crate) const SETTINGS: [(&str, &str); 5] = [
    ("group.consumer.min.session.timeout.ms", "6000"),
    ("group.consumer.session.timeout.ms", "15000"),
    ("group.consumer.min.heartbeat.interval.ms", "500"),
    ("group.consumer.heartbeat.interval.ms", "500"),
    ("offsets.topic.num.partitions", "8"),
];

pub(crate) fn run(env: &Env, kind: &Kind, tally: &mut Tally) {
    let mut prepared = None;
    tally.check("groups: the clients are installed, a broker runs", || {
        prepared = Some((programs(env)?, Server::create(kind, &env.scratch.join("groups"), &SETTINGS)?));
        Ok(String::new())
    });
    let Some((programs, mut server)) = prepared else { return };
    if let Err(reason) = scenarios(env, &programs, &server, |scenario| asked_for(&scenario.name), tally) {
        tally.check("groups: they run", || Err(reason));
    }
    if asked_for("TestGroupETL") {
        tally.check("groups: franz-go's own TestGroupETL", || etl(env, &programs, &server.bootstrap()));
    }
    tally.check("groups: the broker is still there", || server.alive().map(|()| String::new()));
    drop(server);
    if asked_for("SIGKILL") {
        broker::run(env, kind, &programs, tally);
    }
}

/// Only the groups of these names, on a broker that runs with [`SETTINGS`].
pub(crate) fn some(env: &Env, server: &Server, names: &[&str], tally: &mut Tally) {
    let wanted = |scenario: &Scenario| names.contains(&scenario.name.as_str());
    let ran = programs(env).and_then(|programs| scenarios(env, &programs, server, wanted, tally));
    if let Err(reason) = ran {
        tally.check("groups: they run", || Err(reason));
    }
}

fn only() -> Option<String> {
    std::env::var("ONLY").ok().filter(|only| !only.is_empty())
}

fn asked_for(name: &str) -> bool {
    only().is_none_or(|only| name.contains(&only))
}

fn programs(env: &Env) -> Result<Programs, String> {
    deps::require(&["node", "npm"])?;
    let libs = env.java.libs();
    let (old_libs, old_classes) = deps::old_java_client()?;
    Ok(Programs {
        python: env.python.clone(),
        franz: env.franz.clone(),
        sarama: env.franz.with_file_name("sarama"),
        franz_tests: env.franz.with_file_name("kgo.test"),
        node_modules: deps::node_modules()?,
        java: vec![deps::java_classes(libs)?, libs.join("*")],
        old_java: vec![old_classes, old_libs.join("*")],
    })
}

/// Some scenarios at a time, each in a thread; this one asks for their committed offsets and counts the results.
fn scenarios(
    env: &Env,
    programs: &Programs,
    server: &Server,
    wanted: impl Fn(&Scenario) -> bool,
    tally: &mut Tally,
) -> Result<(), String> {
    let (bootstrap, topic) = (server.bootstrap(), env.topic("groups"));
    super::create_topic(&env.java, &bootstrap, &topic, PARTITIONS)?;
    let mut load = Load::start(&env.python, &bootstrap, &topic, PARTITIONS, RECORDS_PER_S)?;
    load.progress(Duration::from_secs(30))?;
    let scratch = directory(env, "groups-members")?;
    let (ends, watch) = (load.ends.clone(), Watch::default());
    let world = World { programs, java: &env.java, bootstrap, topic, scratch, partitions: PARTITIONS, ends, watch };
    let mut scenarios = scenario::all(env.quick && only().is_none());
    scenarios.retain(wanted);
    let waiting = Mutex::new(scenarios.into_iter());
    let (send, results) = channel();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            let (send, world, waiting) = (send.clone(), &world, &waiting);
            scope.spawn(move || {
                let next = || waiting.lock().expect("no thread panics while it holds this").next();
                while let Some(scenario) = next() {
                    let started = Instant::now();
                    let verdict = scenario.run(world);
                    let _ = send.send((scenario.name, started.elapsed(), verdict));
                }
            });
        }
        drop(send);
        let mut unanswered = String::new();
        loop {
            match results.recv_timeout(Duration::from_millis(500)) {
                Ok((name, time, verdict)) => {
                    let verdict = verdict.map_err(|reason| format!("{reason}\n{unanswered}"));
                    tally.done(&format!("groups: {name}"), time, verdict);
                }
                Err(RecvTimeoutError::Timeout) => {
                    let answer = world.watch.ask(&env.java, &world.bootstrap, &world.topic);
                    unanswered = answer.err().unwrap_or(unanswered);
                }
                Err(RecvTimeoutError::Disconnected) => return load.progress(Duration::from_secs(10)),
            }
        }
    })
}

/// Three stages of groups that read from one topic and write to the next, with every balancer and with both protocols.
fn etl(env: &Env, programs: &Programs, bootstrap: &str) -> Result<String, String> {
    let records = if env.quick { "5000" } else { "20000" };
    let mut test = Command::new(&programs.franz_tests);
    test.args(["-test.run", "^TestGroupETL$", "-test.v", "-test.timeout", "170s"]).current_dir(&env.scratch);
    test.env("KGO_SEEDS", bootstrap).env("KGO_TEST_RF", "1").env("KGO_TEST_RECORDS", records);
    let text = process::text(&mut test, b"", Duration::from_secs(180))?;
    let count = |word: &str| text.lines().filter(|line| line.trim_start().starts_with(word)).count();
    match (count("--- PASS: TestGroupETL/"), count("--- SKIP")) {
        (passed, 0) if passed > 0 => Ok(format!("{passed} chains of {records} records")),
        _ => Err(format!("something was skipped\n{text}")),
    }
}

fn directory(env: &Env, name: &str) -> Result<std::path::PathBuf, String> {
    let dir = env.scratch.join(name);
    std::fs::create_dir_all(&dir).map_err(|e| format!("create {}: {e}", dir.display()))?;
    Ok(dir)
}
