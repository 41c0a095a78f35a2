//! `cargo x interop`: real clients and Kafka's own tools against a broker.
//!
//! The broker is ringmill unless `--control` asks for Apache Kafka itself, which has to pass everything too: that is
//! what shows that a check asks for the right thing. `--bootstrap` takes a broker that already runs.

mod acks;
mod compare;
mod crash;
mod direct;
mod dump;
mod groups;
mod java;
mod kcat;
mod lines;
mod matrix;
mod python;
mod server;
mod takeover;
mod telemetry;
mod tools;

use crate::deps;
use crate::process;
use crate::tally::Tally;
use java::Java;
use server::{Kind, Server};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The parts of the suite, in the order in which they run.
pub(crate) const PARTS: [&str; 12] = [
    "tools",
    "kcat",
    "python",
    "matrix",
    "dump",
    "telemetry",
    "takeover",
    "groups",
    "direct",
    "hostile",
    "crash",
    "compare",
];

#[derive(Default)]
pub(crate) struct Options {
    /// Which of [`PARTS`] to run; empty means all.
    pub parts: Vec<String>,
    /// A broker that already runs, as HOST:PORT; `dump`, `telemetry`, `takeover`, `groups` and `crash` are left out then.
    pub bootstrap: Option<String>,
    /// The broker's binary; built when not given.
    pub binary: Option<PathBuf>,
    /// Apache Kafka in place of ringmill.
    pub control: bool,
    /// Fewer records and fewer rounds.
    pub quick: bool,
}

/// What a check needs: the address of the broker and the clients.
pub(crate) struct Env {
    pub bootstrap: String,
    pub java: Java,
    pub python: PathBuf,
    pub franz: PathBuf,
    /// For files of this run.
    pub scratch: PathBuf,
    pub quick: bool,
    /// The broker is our own, and its log cleaner does not wait for long.
    pub has_eager_cleaner: bool,
    /// Makes topic names of this run its own.
    suffix: String,
}

impl Env {
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{name}-{}", self.suffix)
    }

    /// Creates a topic that keeps records of any age, and waits until each partition answers.
    ///
    /// Apache Kafka may refuse the first batch to a partition that it just learned of and then take the second: an
    /// idempotent producer never recovers from that, as any sequence is good for a producer that was not seen before.
    pub(crate) fn create_topic(&self, topic: &str, partitions: u32) -> Result<(), String> {
        create_topic(&self.java, &self.bootstrap, topic, partitions)
    }
}

fn create_topic(java: &Java, bootstrap: &str, topic: &str, partitions: u32) -> Result<(), String> {
    let count = partitions.to_string();
    let server = ["--bootstrap-server", bootstrap, "--topic", topic];
    let create = ["--create", "--partitions", &count, "--replication-factor", "1", "--config", "retention.ms=-1"];
    java.tool_ok("TopicCommand", "", &[&server[..], &create[..]].concat())?;
    let ends = java.tool_ok("GetOffsetShell", "", &server)?;
    if ends.lines().filter(|line| line.ends_with(":0")).count() != partitions as usize {
        return Err(format!("{topic} should have {partitions} empty partitions\n{ends}"));
    }
    Ok(())
}

pub(crate) fn run(options: &Options, tally: &mut Tally) {
    let unknown: Vec<&String> = options.parts.iter().filter(|part| !PARTS.contains(&part.as_str())).collect();
    if !unknown.is_empty() {
        tally.check("interop", || Err(format!("no such part: {unknown:?}; there are {PARTS:?}")));
        return;
    }
    let scratch = Scratch::new("interop");
    let mut prepared = None;
    tally.check("interop: what the clients need is installed", || {
        prepared = Some(prepare(options, &scratch.0)?);
        Ok(String::new())
    });
    if let Some((env, server)) = prepared {
        run_parts(options, env, server, tally);
    }
}

fn run_parts(options: &Options, mut env: Env, mut server: Option<Server>, tally: &mut Tally) {
    let wanted = |part: &str| options.parts.is_empty() || options.parts.iter().any(|one| one == part);
    if wanted("tools") {
        tools::run(&env, tally);
    }
    if wanted("kcat") {
        kcat::run(&env, tally);
    }
    if wanted("python") {
        python::run(&env, tally);
    }
    if wanted("matrix") {
        matrix::run(&env, tally);
    }
    if let Some(server) = &mut server {
        if tally.check("interop: the broker is still there", || server.alive().map(|()| String::new()))
            && wanted("dump")
        {
            dump::run(&env, server, tally);
        }
        server.kill();
    }
    if wanted("telemetry") && options.bootstrap.is_none() {
        let Ok(kind) = kind(options, env.java.libs()) else { return };
        telemetry::run(&env, &kind, tally);
    }
    if wanted("takeover") && options.bootstrap.is_none() && !options.control {
        let Ok(kind) = kind(options, env.java.libs()) else { return };
        takeover::run(&env, &kind, tally);
    }
    if wanted("groups") && options.bootstrap.is_none() {
        let Ok(kind) = kind(options, env.java.libs()) else { return };
        groups::run(&env, &kind, tally);
    }
    if wanted("direct") && options.bootstrap.is_none() && !options.control {
        let Ok(kind) = kind(options, env.java.libs()) else { return };
        direct::run(&mut env, &kind, tally);
    }
    if wanted("hostile") && options.control {
        hostile(options, &env, tally);
    }
    if wanted("crash") && options.bootstrap.is_none() {
        let Ok(kind) = kind(options, env.java.libs()) else { return };
        crash::run(&env, &kind, tally);
    }
    if wanted("compare") && options.bootstrap.is_none() && !options.control {
        let Ok(kind) = kind(options, env.java.libs()) else { return };
        compare::run(&env.java, &kind, &env.scratch, tally);
    }
}

/// The broker tests of src/tests against Apache Kafka: what they expect is what it says. For ringmill cargo runs them.
fn hostile(options: &Options, env: &Env, tally: &mut Tally) {
    let server =
        kind(options, env.java.libs()).and_then(|kind| Server::create(&kind, &env.scratch.join("hostile"), &[]));
    match server {
        Err(reason) => drop(tally.check("hostile", || Err(reason))),
        Ok(server) => {
            let (bootstrap, pid) = (server.bootstrap(), server.pid().to_string());
            let names = [("RINGMILL_TEST_BOOTSTRAP", bootstrap.as_ref()), ("RINGMILL_TEST_PID", pid.as_ref())];
            crate::ci::tests_with(tally, "hostile", &["test", "--package", "ringmill", "--test", "broker"], &names);
        }
    }
}

fn prepare(options: &Options, scratch: &Path) -> Result<(Env, Option<Server>), String> {
    deps::require(&["java", "javac", "mvn", "kcat", "python3", "go"])?;
    let libs = deps::kafka_libs()?;
    let java = Java::start(&libs, &deps::java_classes(&libs)?)?;
    let (python, franz) = (deps::python()?, deps::franz()?);
    // The other parts have brokers of their own.
    let shared = ["tools", "kcat", "python", "matrix", "dump"];
    let shared = options.parts.is_empty() || options.parts.iter().any(|part| shared.contains(&part.as_str()));
    let server = if options.bootstrap.is_none() && shared {
        // Small segments, so that a run rolls some, and a cleaner that comes soon.
        let overrides = [("log.segment.bytes", "16777216"), ("log.cleaner.backoff.ms", "500")];
        Some(Server::create(&kind(options, &libs)?, &scratch.join("broker"), &overrides)?)
    } else {
        None
    };
    let bootstrap = options.bootstrap.clone().or(server.as_ref().map(Server::bootstrap)).unwrap_or_default();
    let suffix = std::process::id().to_string();
    let (scratch, quick, has_eager_cleaner) = (scratch.to_owned(), options.quick, server.is_some());
    let env = Env { bootstrap, java, python, franz, scratch, quick, has_eager_cleaner, suffix };
    Ok((env, server))
}

fn kind(options: &Options, libs: &Path) -> Result<Kind, String> {
    if options.control {
        return Ok(Kind::Kafka { libs: libs.to_owned() });
    }
    Ok(Kind::Ringmill { binary: options.binary.clone().map_or_else(crate::ci::build_broker, Ok)? })
}

/// The directory of a partition that Apache Kafka wrote and closed: some segments with their indexes.
pub(crate) fn log_of_kafka(libs: &Path, scratch: &Path) -> Result<PathBuf, String> {
    let kind = Kind::Kafka { libs: libs.to_owned() };
    let mut server = Server::create(&kind, &scratch.join("kafka"), &[("log.segment.bytes", "1048576")])?;
    let mut producer = server::java(libs, "-Xmx256m");
    producer.args(["org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server", &server.bootstrap()]);
    producer.args(["--topic", "written", "--num-records", "20000", "--record-size", "200", "--throughput", "-1"]);
    process::output(&mut producer, b"", Duration::from_secs(120))?;
    server.stop()?;
    Ok(server.data().join("written-0"))
}

/// Two directories of a compacted partition: as Apache Kafka wrote it with its cleaner off, and after its cleaner was done.
pub(crate) fn compacted_logs_of_kafka(libs: &Path, scratch: &Path) -> Result<(PathBuf, PathBuf), String> {
    const COMPACTED: [(&str, &str); 4] = [
        ("log.segment.bytes", "1048576"),
        ("log.cleanup.policy", "compact"),
        ("log.cleaner.backoff.ms", "200"),
        ("log.cleaner.min.cleanable.ratio", "0.01"),
    ];
    let kind = Kind::Kafka { libs: libs.to_owned() };
    let off = [&COMPACTED[..], &[("log.cleaner.enable", "false")]].concat();
    let mut server = Server::create(&kind, &scratch.join("compacted"), &off)?;
    let mut lines = String::new();
    for record in 0..60_000 {
        // Of every key some values, and after some of them nothing.
        let value = if record % 97 == 0 { String::new() } else { format!("value {record} of this key") };
        lines.push_str(&format!("key-{}:{value}\n", record * 31 % 1_440));
    }
    let mut kcat = std::process::Command::new("kcat");
    kcat.args(["-P", "-b", &server.bootstrap(), "-t", "compacted", "-p", "0", "-K:", "-Z"]);
    process::output(&mut kcat, lines.as_bytes(), Duration::from_secs(120))?;
    server.stop()?;
    let dirty = scratch.join("dirty-0");
    copy_files(&server.data().join("compacted-0"), &dirty)?;
    server.configure(&COMPACTED)?;
    server.start()?;
    wait_until_cleaned(&server.data().join("cleaner-offset-checkpoint"))?;
    server.stop()?;
    Ok((dirty, server.data().join("compacted-0")))
}

/// Waits for the cleaner's checkpoint, which Apache Kafka writes after a partition was cleaned.
fn wait_until_cleaned(checkpoint: &Path) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(90);
    while Instant::now() < deadline {
        let text = std::fs::read_to_string(checkpoint).unwrap_or_default();
        if text.lines().any(|line| line.starts_with("compacted 0 ") && !line.ends_with(" 0")) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(format!("Apache Kafka's cleaner wrote nothing into {} for 90 s", checkpoint.display()))
}

fn copy_files(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("copy {} to {}: {error}", from.display(), to.display());
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        std::fs::copy(entry.path(), to.join(entry.file_name())).map_err(failed)?;
    }
    Ok(())
}

/// A directory that goes away with the run; `KEEP=1` keeps it for a look at the broker's log and data.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(what: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("ringmill-{what}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary directory takes a new directory");
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::env::var_os("KEEP").is_some_and(|keep| !keep.is_empty()) {
            println!("      kept {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
