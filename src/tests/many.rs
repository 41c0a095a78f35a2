//! More logs than files may be open: each is written and read all the same, moved and deleted, and none is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::batches::{Batch, record};
use crate::broker::{Broker, is_control, new_dir};
use crate::raw::{self, Answer, Bytes, Connection};
use crate::site;
use crate::topics;

const PARTITIONS: i32 = 180;
const OPEN_FILES: u64 = 256;
const STORAGE_ERROR: i16 = 56;
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker of two shards with two log directories that outlive it, and a topic.
struct Site {
    dir: PathBuf,
    topic: String,
    broker: Broker,
}

impl Site {
    fn new(name: &str, partitions: i32, more: &[&str]) -> Self {
        let dir = new_dir(&format!("many-{name}"));
        let broker = start(&dir, more);
        let topic = topics::create(&broker, partitions);
        Self { dir, topic, broker }
    }

    /// Kills the broker and starts another on the same directories.
    fn restarted(self, more: &[&str]) -> Self {
        let Self { dir, topic, broker } = self;
        drop(broker);
        let broker = start(&dir, more);
        Self { dir, topic, broker }
    }

    fn end(self) {
        drop(self.broker);
        let _ = fs::remove_dir_all(&self.dir);
    }

    /// How many partitions of the topic lie in a directory, whatever their names are.
    fn lie_in(&self, name: &str) -> usize {
        let entries = fs::read_dir(self.dir.join(name)).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&self.topic)).count()
    }

    fn is_named(&self, name: &str, partition: i32) -> bool {
        self.dir.join(name).join(format!("{}-{partition}", self.topic)).exists()
    }

    /// One record to each partition, which gets this offset.
    fn write(&self, connection: &mut Connection, partitions: i32, offset: i64) {
        for partition in 0..partitions {
            let written = produce(connection, &self.topic, partition);
            assert_eq!(written, (0, offset), "partition {partition}\n{}", self.broker.log());
        }
    }

    /// Each partition holds so many records.
    fn check(&self, partitions: i32, records: usize) {
        let mut connection = self.broker.connect();
        for partition in (0..partitions).rev() {
            let found = fetch(&mut connection, &self.topic, partition, 0);
            let expected = (0, (records * batch().len()) as i32);
            assert_eq!(found, expected, "partition {partition}\n{}", self.broker.log());
        }
    }
}

fn start(dir: &Path, more: &[&str]) -> Broker {
    let names: Vec<String> = ["a", "b"].iter().map(|name| dir.join(name).display().to_string()).collect();
    let dirs = format!("log.dirs={}", names.join(","));
    // The records of these tests are old.
    let settings = [dirs.as_str(), "ringmill.shards=2", "log.retention.ms=-1", "offsets.topic.num.partitions=1"];
    Broker::with_open_files(OPEN_FILES, &[&settings[..], more].concat())
}

fn open_files(broker: &Broker) -> usize {
    fs::read_dir(format!("/proc/{}/fd", broker.pid())).expect("the broker runs").count()
}

fn batch() -> Vec<u8> {
    Batch::of(1, record(0, None, Some(&[7; 100]))).bytes()
}

/// Error code and base offset of a record for a partition.
fn produce(connection: &mut Connection, topic: &str, partition: i32) -> (i16, i64) {
    let records = batch();
    let place = Bytes::new().i16(-1).i16(-1).i32(10_000).i32(1).string(topic).i32(1).i32(partition);
    let body = place.i32(records.len() as i32).raw(&records);
    let body = connection.call(raw::PRODUCE, 8, &body).answer("Produce");
    let mut answer = Answer(&body);
    let (_topics, _name, _partitions, _index) = (answer.i32(), answer.string(), answer.i32(), answer.i32());
    (answer.i16(), answer.i64())
}

/// Error code and size of what lies at an offset.
fn fetch(connection: &mut Connection, topic: &str, partition: i32, offset: i64) -> (i16, i32) {
    let fetch = Bytes::new().i32(-1).i32(0).i32(0).i32(1 << 20).i8(0);
    let fetch = fetch.i32(1).string(topic).i32(1).i32(partition).i64(offset).i32(1 << 20);
    let body = connection.call(raw::FETCH, 4, &fetch).answer("Fetch");
    let mut answer = Answer(&body);
    let (_throttle, _topics, _name, _partitions) = (answer.i32(), answer.i32(), answer.string(), answer.i32());
    let (_index, code, _high_watermark, _stable, _aborted) =
        (answer.i32(), answer.i16(), answer.i64(), answer.i64(), answer.i32());
    (code, answer.i32())
}

fn delete(connection: &mut Connection, topic: &str) -> i16 {
    let body = connection.call(raw::DELETE_TOPICS, 1, &Bytes::new().i32(1).string(topic).i32(10_000));
    let body = body.answer("DeleteTopics");
    let mut answer = Answer(&body);
    let (_throttle, _topics, _name) = (answer.i32(), answer.i32(), answer.string());
    answer.i16()
}

fn wait(broker: &Broker, what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}\n{}", broker.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn more_partitions_are_served_than_files_may_be_open() {
    if is_control() {
        return;
    }
    let site = Site::new("served", PARTITIONS, &[]);
    let (broker, topic) = (&site.broker, &site.topic);
    let mut connection = broker.connect();
    for round in 0..3 {
        site.write(&mut connection, PARTITIONS, round);
        assert!(open_files(broker) < OPEN_FILES as usize);
    }
    site.check(PARTITIONS, 3);
    assert!(open_files(broker) < OPEN_FILES as usize);
    // A further connection is refused rather than that a log can't be opened.
    let crowd: Vec<Connection> = (0..OPEN_FILES).filter_map(|_| Connection::try_open(broker.address())).collect();
    for partition in 0..PARTITIONS {
        assert_eq!(produce(&mut connection, topic, partition), (0, 3), "{}", broker.log());
    }
    drop(crowd);
    assert!(!broker.log().contains("Too many open files"), "{}", broker.log());
    let site = site.restarted(&[]);
    site.check(PARTITIONS, 4);
    site.end();
}

/// What was acknowledged as synced was, though its log was put to rest; and no recovery point is above what was written.
#[test]
fn logs_at_rest_outlive_a_kill() {
    if is_control() {
        return;
    }
    let often = "log.flush.offset.checkpoint.interval.ms=200";
    for (name, flush) in [("synced", "log.flush.interval.messages=1"), ("left", "log.flush.interval.messages=1000")] {
        let site = Site::new(name, PARTITIONS, &[flush, often]);
        let mut connection = site.broker.connect();
        site.write(&mut connection, PARTITIONS, 0);
        site.write(&mut connection, PARTITIONS, 1);
        wait(&site.broker, "recovery points are written", || recovery_points(&site).contains(&2));
        let points = recovery_points(&site);
        assert!(points.iter().all(|offset| *offset <= 2), "{points:?}");
        let site = site.restarted(&[flush]);
        site.check(PARTITIONS, 2);
        site.write(&mut site.broker.connect(), PARTITIONS, 2);
        site.end();
    }
}

fn recovery_points(site: &Site) -> Vec<i64> {
    let read = |name| fs::read_to_string(site.dir.join(name).join("recovery-point-offset-checkpoint"));
    let text = ["a", "b"].map(|name| read(name).unwrap_or_default()).concat();
    let lines = text.lines().filter(|line| line.starts_with(&site.topic));
    lines.map(|line| line.rsplit(' ').next().and_then(|offset| offset.parse().ok()).expect("an offset")).collect()
}

#[test]
fn replicas_move_while_logs_are_put_to_rest() {
    if is_control() {
        return;
    }
    let (partitions, moved) = (150, 12);
    let site = Site::new("moved", partitions, &[]);
    let mut connection = site.broker.connect();
    site.write(&mut connection, partitions, 0);
    let mut rounds = 1;
    for target in ["b", "a", "b"] {
        let path = site.dir.join(target);
        for partition in 0..moved {
            assert_eq!(site::alter(&mut site.broker.connect(), &site.topic, partition, &path), 0);
        }
        let deadline = Instant::now() + PATIENCE;
        while !(0..moved).all(|partition| site.is_named(target, partition)) {
            assert!(Instant::now() < deadline, "{}", site.broker.log());
            site.write(&mut connection, partitions, rounds);
            rounds += 1;
            assert!(open_files(&site.broker) < OPEN_FILES as usize);
        }
        site.check(partitions, rounds as usize);
    }
    assert!(!site.broker.log().contains("Too many open files"), "{}", site.broker.log());
    let site = site.restarted(&[]);
    site.check(partitions, rounds as usize);
    site.write(&mut site.broker.connect(), partitions, rounds);
    site.end();
}

#[test]
fn a_topic_at_rest_is_deleted_and_made_anew() {
    if is_control() {
        return;
    }
    let site = Site::new("deleted", PARTITIONS, &["log.segment.delete.delay.ms=0"]);
    let (broker, topic) = (&site.broker, &site.topic);
    let mut connection = broker.connect();
    for _ in 0..2 {
        site.write(&mut connection, PARTITIONS, 0);
        assert_eq!(delete(&mut connection, topic), 0);
        wait(broker, "the directories are removed", || site.lie_in("a") + site.lie_in("b") == 0);
        topics::create_named(broker, topic, PARTITIONS);
    }
    site.write(&mut connection, PARTITIONS, 0);
    site.check(PARTITIONS, 1);
    assert!(!broker.log().contains("offline"), "{}", broker.log());
    site.end();
}

/// The process may open nothing more for a while, as where something else in it holds all: what has to be opened for a
/// request fails, no directory does, and all goes on when there are descriptors again.
#[test]
fn want_of_descriptors_takes_no_directory_offline() {
    if is_control() || Command::new("prlimit").arg("--version").output().is_err() {
        return;
    }
    let site = Site::new("short", 8, &[]);
    site.write(&mut site.broker.connect(), 8, 0);
    // All logs are at rest after a start.
    let site = site.restarted(&["log.flush.offset.checkpoint.interval.ms=100"]);
    let (broker, topic) = (&site.broker, &site.topic);
    let mut connection = broker.connect();
    assert!(connection.is_served());
    limit(broker, lowest_free(broker));
    wait(broker, "checkpoints can't be written", || broker.log().contains("checkpoints: "));
    for partition in 0..4 {
        assert_eq!(produce(&mut connection, topic, partition).0, STORAGE_ERROR);
        assert_eq!(fetch(&mut connection, topic, partition, 0), (STORAGE_ERROR, 0));
    }
    assert!(broker.log().contains("raise the limit"), "{}", broker.log());
    limit(broker, OPEN_FILES);
    for partition in 0..8 {
        assert_eq!(produce(&mut connection, topic, partition), (0, 1), "{}", broker.log());
    }
    site.check(8, 2);
    assert!(!broker.log().contains("taken offline"), "{}", broker.log());
    site.end();
}

/// From this number on nothing can be opened.
fn limit(broker: &Broker, open_files: u64) {
    let pid = broker.pid().to_string();
    let status = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={open_files}:")]).status();
    assert!(status.is_ok_and(|status| status.success()));
}

fn lowest_free(broker: &Broker) -> u64 {
    let entries = fs::read_dir(format!("/proc/{}/fd", broker.pid())).expect("the broker runs").flatten();
    let taken: Vec<u64> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    (0..).find(|number| !taken.contains(number)).expect("a free number")
}
