//! The same with Java at hand: many random messages from it, and ours read back by it.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::hostile::{Random, mutate};
use super::{GOLDEN, Line, check_all, hex, lines};
use crate::api::ApiKey;
use crate::codec::Encoder;
use crate::error_code::ErrorCode;
use crate::recode;

/// Kafka's messages, compiled against once for each test, in a directory that goes with it.
struct Oracle {
    classes: PathBuf,
    class_path: OsString,
}

impl Oracle {
    fn new(test: &str) -> Self {
        let libs = libs();
        let classes = env::temp_dir().join(format!("ringmill-oracle-{test}-{}", std::process::id()));
        fs::create_dir_all(&classes).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/MessageOracle.java");
        let jars = libs.join("*").into_os_string();
        let status =
            Command::new("javac").args(["-nowarn", "-d"]).arg(&classes).arg("-cp").arg(&jars).arg(source).status();
        assert!(status.expect("run javac").success());
        let mut class_path = classes.clone().into_os_string();
        class_path.push(":");
        class_path.push(jars);
        Oracle { classes, class_path }
    }

    fn run(&self, args: &[&str], input: String) -> String {
        let mut child = Command::new("java")
            .args(["-XX:+UseSerialGC", "-Xmx512m", "-cp"])
            .arg(&self.class_path)
            .arg("MessageOracle")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("run java");
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success(), "{args:?}: {}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.classes);
    }
}

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

#[test]
#[ignore = "needs Java and Apache Kafka's jars"]
fn random_messages_of_java_are_read_and_written_as_java_does() {
    let oracle = Oracle::new("write");
    for seed in 1..=4 {
        let text = oracle.run(&["write", &seed.to_string(), "6"], String::new());
        let lines = lines(&text);
        let pairs = check_all(&lines);
        println!("seed {seed}: {} messages, {pairs} pairs of class and version", lines.len());
    }
}

#[test]
#[ignore = "needs Java and Apache Kafka's jars"]
fn messages_made_here_are_read_and_written_back_by_java() {
    let oracle = Oracle::new("check");
    let text = oracle.run(&["write", "99", "3"], String::new());
    let mut random = Random(7);
    let (mut input, mut count) = (String::new(), 0);
    for line in lines(&text) {
        // Long messages say no more than short ones here.
        for _ in 0..if line.expected.len() < 2000 { 6 } else { 0 } {
            if let Some(bytes) = mutant(&line, &mut random) {
                writeln!(input, "{} {} {}", line.name, line.to, hex(&bytes)).unwrap();
                count += 1;
            }
        }
    }
    let told = oracle.run(&["check"], input);
    assert_eq!(told, format!("checked {count}\n"), "{told:.2000}");
    assert!(count > 10_000, "only {count} messages");
    println!("{count} messages");
}

/// A message that Java never made: its bytes changed at random until they were another message, written by this crate.
fn mutant(line: &Line<'_>, random: &mut Random) -> Option<Vec<u8>> {
    let mut bytes = line.expected.clone();
    mutate(&mut bytes, random);
    let mut e = Encoder::new();
    (recode::find(line.name)?.recode)(&bytes, line.to, line.to, &mut e).ok()?;
    Some(e.buf)
}

/// With RINGMILL_BLESS in the environment the golden messages are written anew.
#[test]
#[ignore = "needs Java and Apache Kafka's jars"]
fn golden_messages_are_what_java_writes() {
    let text = Oracle::new("golden").run(&["small", "1"], String::new());
    if env::var_os("RINGMILL_BLESS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/golden.txt"), &text).unwrap();
    } else {
        assert!(text == GOLDEN, "oracle/golden.txt is not what `MessageOracle small 1` writes");
    }
}

#[test]
#[ignore = "needs Java and Apache Kafka's jars"]
fn tables_are_those_of_java() {
    let mut ours = String::new();
    for key in ApiKey::all() {
        let (min, max) = key.versions();
        write!(ours, "api {} {} {min} {max}", key as i16, key.name()).unwrap();
        let listeners = (key.on_broker_listener(), key.on_controller_listener());
        write!(ours, " {} {} {}", key.latest_version_unstable(), listeners.0, listeners.1).unwrap();
        for version in min..=max {
            write!(ours, " {}{}", key.request_header_version(version), key.response_header_version(version)).unwrap();
        }
        ours.push('\n');
    }
    for error in (-1..).map_while(ErrorCode::from_code) {
        writeln!(ours, "error {} {} {}", error.code(), error.name(), error.is_retriable()).unwrap();
    }
    let theirs = Oracle::new("tables").run(&["tables"], String::new());
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.lines().count(), theirs.lines().count());
}
