//! kcat (librdkafka, C), Debian's package.

use crate::interop::{Env, tools};
use crate::process;
use crate::tally::Tally;
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) fn run(env: &Env, tally: &mut Tally) {
    let topic = env.topic("kcat");
    tally.check("kcat: produce with keys and headers, consume by offset", || by_offset(env, &topic));
    tally.check("kcat: consume by timestamp, query offsets", || by_time(env, &topic));
    tally.check("kcat: a topic with append times", || append_time(env));
    if env.has_eager_cleaner {
        tally.check("kcat: of a compacted topic the last record of each key stays", || compacted(env));
    }
    tally.check("kcat: metadata", || metadata(env, &topic));
    tally.check("kcat: a topic created by asking for it", || auto_created(env));
}

pub(crate) fn kcat(env: &Env, args: &[&str], stdin: &[u8]) -> Result<Vec<u8>, String> {
    let mut command = Command::new("kcat");
    command.env("KCAT_CONFIG", "/dev/null").args(["-b", &env.bootstrap, "-m", "20"]).args(args);
    process::output(&mut command, stdin, Duration::from_secs(60))
}

fn text(env: &Env, args: &[&str]) -> Result<String, String> {
    kcat(env, args, b"").map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn by_offset(env: &Env, topic: &str) -> Result<String, String> {
    env.create_topic(topic, 1)?;
    let lines: String = (0..200).map(|i| format!("k{}:message {i}\n", i % 5)).collect();
    kcat(env, &["-P", "-t", topic, "-p", "0", "-K", ":", "-H", "source=kcat", "-H", "n=1"], lines.as_bytes())?;
    let consume = ["-C", "-q", "-e", "-t", topic, "-p", "0", "-X", "fetch.wait.max.ms=50"];
    let format = ["-f", "%o %k %s %h\n"];
    let expected = |range: std::ops::Range<u32>| -> String {
        range.map(|i| format!("{i} k{} message {i} source=kcat,n=1\n", i % 5)).collect()
    };
    for (from, range) in [("beginning", 0..200), ("0", 0..200), ("150", 150..200), ("-7", 193..200), ("200", 0..0)] {
        let read = text(env, &[&consume[..], &["-o", from], &format[..]].concat())?;
        if read != expected(range.clone()) {
            return Err(format!("from {from}: expected {range:?}, read\n{read}"));
        }
    }
    let limited = text(env, &[&consume[..], &["-o", "10", "-c", "3"], &format[..]].concat())?;
    if limited != expected(10..13) {
        return Err(format!("three from 10: read\n{limited}"));
    }
    Ok(String::new())
}

fn by_time(env: &Env, topic: &str) -> Result<String, String> {
    let consume = ["-C", "-q", "-e", "-t", topic, "-p", "0", "-X", "fetch.wait.max.ms=50", "-f", "%o %T\n"];
    let all = text(env, &[&consume[..], &["-o", "beginning"]].concat())?;
    let times: Vec<(i64, i64)> = all.lines().filter_map(|line| line.split_once(' ')).map(numbers).collect();
    let middle = times.get(100).ok_or("fewer than 101 records")?.1;
    // Records of one run may share a millisecond: the first of them is where reading begins.
    let first = times.iter().find(|(_, time)| *time >= middle).ok_or("no such time")?.0;
    let read = text(env, &[&consume[..], &["-o", &format!("s@{middle}")]].concat())?;
    let start = read.lines().next().and_then(|line| line.split_once(' ')).map(numbers);
    if start.map(|(offset, _)| offset) != Some(first) || read.lines().count() as i64 != 200 - first {
        return Err(format!("from time {middle}: expected offset {first}, read\n{read}"));
    }
    let asked = text(env, &["-Q", "-t", &format!("{topic}:0:{middle}")])?;
    if !asked.contains(&format!("{topic} [0] offset {first}")) {
        return Err(format!("asked for time {middle}: expected offset {first}\n{asked}"));
    }
    for (special, offset) in [("-1", 200), ("-2", 0)] {
        let asked = text(env, &["-Q", "-t", &format!("{topic}:0:{special}")])?;
        if !asked.contains(&format!("{topic} [0] offset {offset}")) {
            return Err(format!("asked for {special}: expected offset {offset}\n{asked}"));
        }
    }
    Ok(String::new())
}

fn numbers((offset, time): (&str, &str)) -> (i64, i64) {
    (offset.parse().unwrap_or(-1), time.parse().unwrap_or(-1))
}

fn metadata(env: &Env, topic: &str) -> Result<String, String> {
    let all = text(env, &["-L"])?;
    let one = text(env, &["-L", "-t", topic])?;
    for part in ["1 brokers:", &format!("at {}", env.bootstrap), &format!("topic \"{topic}\" with 1 partitions:")] {
        if !all.contains(part) || !one.contains(part) {
            return Err(format!("{part:?} is not in\n{one}"));
        }
    }
    Ok(String::new())
}

/// The broker's clock instead of the producer's, in every codec: only the batch header changes.
fn append_time(env: &Env) -> Result<String, String> {
    let topic = env.topic("kcat-append-time");
    let args = ["--bootstrap-server", &env.bootstrap, "--create", "--topic", &topic, "--partitions", "1"];
    let config = ["--config", "message.timestamp.type=LogAppendTime"];
    env.java.tool_ok("TopicCommand", "", &[&args[..], &config[..]].concat())?;
    for codec in tools::CODECS {
        kcat(env, &["-P", "-t", &topic, "-z", codec], b"one\ntwo\nthree\n")?;
    }
    let consume = ["-C", "-q", "-e", "-J", "-t", &topic, "-o", "beginning", "-X", "fetch.wait.max.ms=50"];
    let read = text(env, &consume)?;
    let stamped = read.lines().filter(|line| line.contains("\"tstype\":\"logappend\"")).count();
    if stamped == 15 && read.lines().count() == 15 {
        Ok(String::new())
    } else {
        Err(format!("15 expected, read\n{read}"))
    }
}

/// Five keys through four segments: once the cleaner was there, the closed ones hold one record of each key at most.
fn compacted(env: &Env) -> Result<String, String> {
    let topic = env.topic("kcat-compacted");
    let args = ["--bootstrap-server", &env.bootstrap, "--create", "--topic", &topic, "--partitions", "1"];
    let configs = ["cleanup.policy=compact", "segment.bytes=1048576", "min.cleanable.dirty.ratio=0.01"];
    let configs: Vec<&str> = configs.iter().flat_map(|config| ["--config", config]).collect();
    env.java.tool_ok("TopicCommand", "", &[&args[..], &configs].concat())?;
    let lines: String = (0..400).map(|i| format!("k{}:{i} {}\n", i % 5, "x".repeat(10_000))).collect();
    kcat(env, &["-P", "-t", &topic, "-K", ":", "-X", "batch.num.messages=7"], lines.as_bytes())?;
    let consume = ["-C", "-q", "-e", "-t", &topic, "-o", "beginning", "-X", "fetch.wait.max.ms=50", "-f", "%o %k %s\n"];
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let read = text(env, &consume)?;
        let offsets: Vec<u32> = read.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
        let right = |line: &str| {
            let mut words = line.split(' ');
            let (offset, key, value) = (words.next()?, words.next()?, words.next()?);
            (offset == value && key == format!("k{}", offset.parse::<u32>().ok()? % 5)).then_some(())
        };
        if read.lines().any(|line| right(line).is_none()) || !(395..400).all(|last| offsets.contains(&last)) {
            return Err(format!("a record is not what was written, or the last of a key is gone: {offsets:?}"));
        }
        // The active segment is not touched: about a hundred records.
        if offsets.len() < 150 {
            return Ok(format!("{} of 400 records are left", offsets.len()));
        }
        if Instant::now() > deadline {
            return Err(format!("{} of 400 records are left", offsets.len()));
        }
    }
}

fn auto_created(env: &Env) -> Result<String, String> {
    let topic = env.topic("kcat-created");
    kcat(env, &["-P", "-t", &topic], b"one\ntwo\n")?;
    let consume = ["-C", "-q", "-e", "-t", &topic, "-o", "beginning", "-X", "fetch.wait.max.ms=50"];
    let read = text(env, &consume)?;
    if read == "one\ntwo\n" { Ok(String::new()) } else { Err(format!("read {read:?}")) }
}
