//! Assignments, metadata hashes and regular expressions against Apache Kafka's own classes, on many random inputs.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wire::generated::partition_record::PartitionRecord;
use wire::generated::register_broker_record::RegisterBrokerRecord;
use wire::generated::topic_record::TopicRecord;
use wire::{MetadataRecord, Uuid};

use super::assignor::tests::{Case, Random};
use super::hash::metadata_hash;
use super::regex::compile;
use crate::metadata::{Image, ImageBuilder};

/// RINGMILL_KAFKA_LIBS, or where `cargo x deps` puts Kafka's jars.
fn libs() -> PathBuf {
    let cache = || {
        let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache");
        env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("ringmill/kafka")
    };
    let libs = env::var_os("RINGMILL_KAFKA_LIBS").map_or_else(cache, PathBuf::from);
    assert!(libs.is_dir(), "{} is missing: `cargo x deps` fetches Kafka's jars", libs.display());
    libs
}

/// What Java answers to each line.
fn ask(lines: &[String]) -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("group/oracle/GroupOracle.java");
    let mut child = Command::new("java")
        .args(["-XX:+UseSerialGC", "-Xmx512m", "-cp"])
        .arg(libs().join("*"))
        .arg(source)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("run java");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = lines.join("\n") + "\n";
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("wait for java");
    writer.join().expect("no panic").expect("write to java");
    assert!(output.status.success(), "{}", output.status);
    let answers: Vec<String> = String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), lines.len());
    answers
}

#[test]
#[ignore = "needs Java and Apache Kafka's jars"]
fn assignments_are_those_of_java() {
    let mut random = Random(11);
    let cases: Vec<Case> = (0..3_000).map(|_| Case::random(&mut random)).collect();
    let lines: Vec<String> = cases.iter().map(Case::line).collect();
    for ((case, line), theirs) in cases.iter().zip(&lines).zip(ask(&lines)) {
        assert_eq!(case.answer(), theirs, "{line}");
    }
    let homogeneous = cases.iter().filter(|case| case.homogeneous).count();
    println!("{} assignments, {homogeneous} of homogeneous groups", cases.len());
}

#[test]
#[ignore = "needs Java and Apache Kafka's jars"]
fn metadata_hashes_are_those_of_java() {
    let mut random = Random(12);
    let mut lines = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..500 {
        let mut line = String::from("hash\t");
        let mut builder = ImageBuilder::new(Image::new("cluster"));
        let mut names = BTreeSet::new();
        for broker_id in 0..4 {
            let rack = (broker_id > 0).then(|| format!("rack-{broker_id}"));
            let record = RegisterBrokerRecord { broker_id, rack, ..Default::default() };
            builder.replay(MetadataRecord::RegisterBroker(record)).expect("a broker");
        }
        for topic in 0..random.below(4) {
            let name = format!("topic.{topic}-{}", random.below(1000));
            let topic_id = Uuid(u128::from(random.next() >> 1));
            let record = TopicRecord { name: name.clone(), topic_id };
            builder.replay(MetadataRecord::Topic(record)).expect("a topic");
            let _ = write!(line, "{}{name}={}=", if topic > 0 { " " } else { "" }, topic_id.0);
            for partition_id in 0..1 + random.below(4) as i32 {
                let replicas: Vec<i32> = (0..4).filter(|_| random.below(2) == 0).collect();
                let racks = replicas.iter().filter(|id| **id > 0).map(|id| format!("rack-{id}"));
                let racks: Vec<String> = racks.collect();
                let _ = write!(line, "{}{}", if partition_id > 0 { "/" } else { "" }, racks.join("+"));
                // A partition without replicas does not exist; the first broker has no rack.
                let replicas = if replicas.is_empty() { vec![0] } else { replicas };
                let record = PartitionRecord { partition_id, topic_id, replicas, ..Default::default() };
                builder.replay(MetadataRecord::Partition(record)).expect("a partition");
            }
            names.insert(name);
        }
        ours.push(metadata_hash(names.iter().map(String::as_str), &builder.image()).to_string());
        lines.push(line);
    }
    assert_eq!(ours, ask(&lines));
}

#[test]
#[ignore = "needs Java and Apache Kafka's jars"]
fn regular_expressions_match_as_those_of_java() {
    let patterns = [
        "",
        "foo",
        "foo.*",
        "foo|foobar",
        "(foo|ba[rz])-[0-9]+",
        r"\Qfoo.bar\E",
        r"foo\.bar",
        "^foo$",
        "(?i)FOO",
        "fo{2}",
        "fo{2,}",
        r"\w+\.\w+",
        r"[[:alpha:]]+-\d",
        r"\pL+",
        "foo(",
        "foo)",
        "[",
        "*",
        r"(?P<n>foo)\d*",
        "(?=foo)",
        r"(foo)\1",
        "[^b].*",
        r"foo\-7",
        r"\x66oo",
        r"foo\z",
        "(?:foo)?-7",
        ".{3}",
        r"\",
        "a)|(b",
    ];
    let names = ["foo", "foobar", "foo.bar", "foo-7", "bar-12", "__consumer_offsets", "FOO", "b", ""];
    let mut lines = Vec::new();
    let mut ours = Vec::new();
    for pattern in patterns {
        let compiled = compile(pattern);
        for name in names {
            lines.push(format!("regex\t{pattern}\t{name}"));
            ours.push(match &compiled {
                Ok(regex) => regex.is_match(name).to_string(),
                Err(_) => "invalid".into(),
            });
        }
    }
    let theirs = ask(&lines);
    let each = lines.iter().zip(ours).zip(&theirs);
    let differing: Vec<_> = each.filter(|((_, ours), theirs)| ours != *theirs).collect();
    assert_eq!(differing, []);
}
