//! One broker's directory under the other: groups and offsets that Apache Kafka wrote into `__consumer_offsets` are what
//! ringmill finds there, and the other way round, as `kafka-consumer-groups` tells them before and after.

use crate::interop::Env;
use crate::interop::create_topic;
use crate::interop::java::{CONSUMER_GROUPS, Java};
use crate::interop::server::{Kind, Server};
use crate::process;
use crate::tally::Tally;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
/// A member whose process is killed is one for so long, and a broker takes over within it.
const SESSION: &str = "session.timeout.ms=300000";
const SETTINGS: [(&str, &str); 2] =
    [("offsets.topic.num.partitions", "4"), ("group.max.session.timeout.ms", "1800000")];
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(env: &Env, ringmill: &Kind, tally: &mut Tally) {
    let kafka = Kind::Kafka { libs: env.java.libs().to_owned() };
    let kafka = &kafka;
    let ways = [
        ("takeover: ringmill finds the groups that Apache Kafka wrote", "from-kafka", kafka, ringmill),
        ("takeover: Apache Kafka finds the groups that ringmill wrote", "from-ringmill", ringmill, kafka),
    ];
    // Both at a time: most of it is waiting.
    let verdicts = std::thread::scope(|scope| {
        let run = |(name, dir, from, to)| {
            let started = Instant::now();
            let verdict = env.java.another().and_then(|java| take_over(&java, &env.scratch.join(dir), from, to));
            (name, started.elapsed(), verdict)
        };
        let threads = ways.map(|way| scope.spawn(move || run(way)));
        threads.map(|thread| thread.join().expect("a check gives its verdict"))
    });
    for (name, time, verdict) in verdicts {
        tally.done(name, time, verdict);
    }
}

fn take_over(java: &Java, dir: &Path, from: &Kind, to: &Kind) -> Result<String, String> {
    let mut server = Server::create(from, dir, &SETTINGS)?;
    let mut member = fill(java, &server)?;
    let before = told(java, &server);
    let _ = member.kill();
    let _ = member.wait();
    let before = before?;
    if !before.contains("classic-left") || !before.contains("consumer-left") || before.contains("deleted") {
        return Err(format!("the groups are not what they should be\n{before}"));
    }
    server.stop()?;
    server.become_kind(to)?;
    let deadline = Instant::now() + PATIENCE;
    // A coordinator that still loads says so, or tells less.
    loop {
        match told(java, &server) {
            Ok(after) if after == before => break,
            _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(200)),
            Ok(after) => return Err(format!("before\n{before}\nafter\n{after}")),
            Err(reason) => return Err(reason),
        }
    }
    goes_on(java, &server)?;
    server.stop()?;
    Ok(format!("{} lines of groups, members and offsets", before.lines().count()))
}

/// Groups of both protocols with and without members, offsets, and tombstones of offsets and of groups.
fn fill(java: &Java, server: &Server) -> Result<Child, String> {
    let bootstrap = server.bootstrap();
    create_topic(java, &bootstrap, "t", 3)?;
    create_topic(java, &bootstrap, "u", 1)?;
    let mut lines = String::new();
    (0..90).for_each(|number| lines.push_str(&format!("key {number}:value {number}\n")));
    for topic in ["t", "u"] {
        let mut kcat = Command::new("kcat");
        kcat.args(["-P", "-b", &bootstrap, "-t", topic, "-K:"]);
        process::output(&mut kcat, lines.as_bytes(), PATIENCE)?;
    }
    let connect = ["--bootstrap-server", &bootstrap];
    for (group, protocol) in [
        ("classic-left", "classic"),
        ("consumer-left", "consumer"),
        ("deleted", "classic"),
        ("deleted-too", "consumer"),
    ] {
        let read = ["--include", "t|u", "--group", group, "--from-beginning", "--max-messages", "60"];
        let protocol = format!("group.protocol={protocol}");
        let more = ["--timeout-ms", "30000", "--consumer-property", &protocol];
        java.tool_ok(CONSUMER, "", &[&connect[..], &read, &more].concat())?;
    }
    let groups = |args: &[&str]| java.tool_ok(CONSUMER_GROUPS, "", &[&connect[..], args].concat());
    groups(&["--delete", "--group", "deleted", "--group", "deleted-too"])?;
    groups(&["--delete-offsets", "--group", "classic-left", "--topic", "u"])?;
    groups(&["--reset-offsets", "--group", "reset", "--topic", "t", "--to-offset", "7", "--execute"])?;
    let mut member = Command::new("kcat");
    member.env("KCAT_CONFIG", "/dev/null").args(["-b", &bootstrap, "-X", SESSION, "-G", "alive", "t"]);
    let member = member.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut member = member.map_err(|e| format!("start kcat: {e}"))?;
    let deadline = Instant::now() + PATIENCE;
    while !groups(&["--describe", "--group", "alive", "--state"]).is_ok_and(|text| text.contains("Stable")) {
        if Instant::now() > deadline {
            let _ = member.kill();
            let _ = member.wait();
            return Err("kcat's group is never stable".to_owned());
        }
    }
    Ok(member)
}

/// Everything that the tools tell of groups, without the order.
fn told(java: &Java, server: &Server) -> Result<String, String> {
    let bootstrap = server.bootstrap();
    let connect = ["--bootstrap-server", &bootstrap];
    let mut all = Vec::new();
    for args in [
        &["--list", "--state"][..],
        &["--describe", "--all-groups"],
        &["--describe", "--all-groups", "--state"],
        &["--describe", "--all-groups", "--members", "--verbose"],
    ] {
        let text = java.tool_ok(CONSUMER_GROUPS, "", &[&connect[..], args].concat())?;
        all.extend(text.lines().map(words).filter(|line| !line.is_empty()));
    }
    let types = java.tool_ok("GroupsCommand", "", &[&connect[..], &["--list"]].concat())?;
    all.extend(types.lines().map(words));
    all.sort_unstable();
    Ok(all.join("\n"))
}

/// A line without the width of its columns.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Groups that were left are joined again where they were left, and what was deleted begins anew.
fn goes_on(java: &Java, server: &Server) -> Result<(), String> {
    let bootstrap = server.bootstrap();
    for (group, protocol, topic, records) in
        [("consumer-left", "consumer", "t|u", 120), ("deleted", "classic", "t", 90), ("reset", "classic", "t", 69)]
    {
        let protocol = format!("group.protocol={protocol}");
        let count = (records + 1).to_string();
        let read = ["--bootstrap-server", &bootstrap, "--include", topic, "--group", group, "--from-beginning"];
        let more = ["--max-messages", &count, "--timeout-ms", "8000", "--consumer-property", &protocol];
        // It waits for one record too many, and says how many there were.
        let said = java.tool(CONSUMER, "", &[&read[..], &more].concat())?;
        let all = format!("{}\n{}", said.out, said.err);
        if !all.contains(&format!("Processed a total of {records} messages")) {
            return Err(format!("{group} does not read {records} records\n{all}"));
        }
    }
    Ok(())
}
