//! A coordinator whose partition of `__consumer_offsets` takes no more writes: its members are sent elsewhere, nothing is
//! acknowledged that is not there, and the other coordinators go on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::broker::{Broker, is_control, new_dir};
use crate::groups::{call, commit, fetch, find_coordinator, join_request, list, wait_until_loaded};
use crate::raw::{Connection, decode};
use crate::topics;
use state::group::partition_of;
use wire::generated::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use wire::messages::*;
use wire::records::Batches;
use wire::{ApiKey, ErrorCode};

const NONE: i16 = ErrorCode::None as i16;
const NOT_COORDINATOR: i16 = ErrorCode::NotCoordinator as i16;
const PARTITIONS: i32 = 8;
/// A commit of somebody who is no member.
const NOBODY: (&str, i32) = ("", -1);

/// Two directories; the first holds the metadata.
fn start(dir: &Path, more: &[&str]) -> Broker {
    let names: Vec<String> = ["a", "b"].iter().map(|name| dir.join(name).display().to_string()).collect();
    let dirs = format!("log.dirs={}", names.join(","));
    let metadata = format!("metadata.log.dir={}", names[0]);
    let partitions = format!("offsets.topic.num.partitions={PARTITIONS}");
    let settings = [&*dirs, &metadata, &partitions, "ringmill.shards=2", "group.initial.rebalance.delay.ms=0"];
    Broker::with(&[&settings[..], more].concat())
}

fn log_dir(dir: &Path, partition: i32) -> PathBuf {
    dir.join(format!("b/__consumer_offsets-{partition}"))
}

/// A group whose coordinator's log lies in the second directory, and one whose log does not.
fn groups(dir: &Path) -> (String, String) {
    let find = |in_second: bool| {
        let mut names = (0..1000).map(|number| format!("group-{number}"));
        let fits = |name: &String| log_dir(dir, partition_of(name, PARTITIONS)).exists() == in_second;
        names.find(fits).expect("both directories have partitions")
    };
    (find(true), find(false))
}

/// Puts what takes no writes where the next segment of the log will be, and gives its path.
fn spoil(dir: &Path, group: &str) -> PathBuf {
    let log = log_dir(dir, partition_of(group, PARTITIONS));
    let bytes = fs::read(log.join("00000000000000000000.log")).expect("the log of the coordinator");
    let end = Batches::new(&bytes).map(|batch| batch.expect("a whole batch").header.next_offset()).max();
    let segment = log.join(format!("{:020}.log", end.expect("the log has records")));
    std::os::unix::fs::symlink("/dev/full", &segment).expect("a link");
    // As after a clean stop, so that nothing is checked or synced at the start.
    fs::write(dir.join("b/.kafka_cleanshutdown"), "{\"version\":0,\"brokerEpoch\":-1}").expect("a file");
    segment
}

fn coordinator_code(connection: &mut Connection, group: &str) -> i16 {
    let request = FindCoordinatorRequest { coordinator_keys: vec![group.into()], ..Default::default() };
    let body = call(connection, ApiKey::FindCoordinator, 4, &request);
    decode::<FindCoordinatorResponse<'_>>(&body, 4).coordinators[0].error_code
}

fn fetch_code(connection: &mut Connection, group: &str) -> i16 {
    let group = wire::generated::offset_fetch_request::OffsetFetchRequestGroup {
        group_id: group.into(),
        member_epoch: -1,
        ..Default::default()
    };
    let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
    let body = call(connection, ApiKey::OffsetFetch, 8, &request);
    decode::<OffsetFetchResponse<'_>>(&body, 8).groups[0].error_code
}

fn join_code(connection: &mut Connection, group: &str) -> i16 {
    let mut request = join_request(group, "");
    loop {
        let body = call(connection, ApiKey::JoinGroup, 9, &request);
        let joined: JoinGroupResponse<'_> = decode(&body, 9);
        if joined.error_code != ErrorCode::MemberIdRequired as i16 {
            return joined.error_code;
        }
        request.member_id = joined.member_id.to_string().into();
    }
}

#[test]
fn nothing_is_acknowledged_by_a_coordinator_that_cannot_write() {
    if is_control() {
        return;
    }
    let dir = new_dir("coordinators");
    let broker = start(&dir, &[]);
    let topic = topics::create(&broker, 1);
    let mut connection = broker.connect();
    find_coordinator(&mut connection, "g");
    let (lost, kept) = groups(&dir);
    for group in [&lost, &kept] {
        assert_eq!(commit(&mut connection, group, NOBODY, &topic, 10)[0], (0, NONE));
    }
    drop(broker);

    let segment = spoil(&dir, &lost);
    // The first record that is written begins a new segment.
    let broker = start(&dir, &["log.roll.ms=1"]);
    let mut connection = broker.connect();
    wait_until_loaded(&mut connection);
    assert_eq!(fetch(&mut connection, &[&lost, &kept], &topic), [10, 10]);
    // The first to write hears of it, and so does a member that joins with it.
    assert_eq!(commit(&mut connection, &lost, NOBODY, &topic, 20)[0], (0, NOT_COORDINATOR));
    assert_eq!(join_code(&mut connection, &lost), NOT_COORDINATOR);
    assert_eq!(fetch_code(&mut connection, &lost), NOT_COORDINATOR, "what it knew may never have been written");
    // When the controller has heard of the directory, the partition has no leader.
    let deadline = Instant::now() + Duration::from_secs(20);
    while coordinator_code(&mut connection, &lost) != ErrorCode::CoordinatorNotAvailable as i16 {
        assert!(Instant::now() < deadline, "the coordinator is still told of");
    }
    assert_eq!(commit(&mut connection, &lost, NOBODY, &topic, 30)[0], (0, NOT_COORDINATOR));
    assert_eq!(coordinator_code(&mut connection, &kept), NONE);
    assert_eq!(commit(&mut connection, &kept, NOBODY, &topic, 20)[0], (0, NONE));
    assert!(!list(&mut connection, "empty").contains(&lost));
    broker.assert_goes_on("the end of a coordinator");
    drop(broker);

    fs::remove_file(&segment).expect("the link is there");
    let broker = start(&dir, &[]);
    let mut connection = broker.connect();
    wait_until_loaded(&mut connection);
    assert_eq!(fetch(&mut connection, &[&lost, &kept], &topic), [10, 20], "what was acknowledged, and no more");
    assert_eq!(coordinator_code(&mut connection, &lost), NONE);
    assert_eq!(commit(&mut connection, &lost, NOBODY, &topic, 40)[0], (0, NONE));
    drop(broker);
    let _ = fs::remove_dir_all(&dir);
}

/// Commits an offset that may be forgotten so many milliseconds later, as clients did before version 5.
fn commit_for(connection: &mut Connection, group: &str, topic: &str, retention_time_ms: i64) -> i16 {
    let partition = OffsetCommitRequestPartition { committed_offset: 5, ..Default::default() };
    let topic = OffsetCommitRequestTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        retention_time_ms,
        topics: vec![topic],
        ..Default::default()
    };
    let body = call(connection, ApiKey::OffsetCommit, 2, &request);
    decode::<OffsetCommitResponse<'_>>(&body, 2).topics[0].partitions[0].error_code
}

#[test]
fn outdated_offsets_go_when_they_are_looked_for() {
    if is_control() {
        return;
    }
    // By default that is every ten minutes.
    let broker = Broker::with(&["offsets.retention.check.interval.ms=1000", "offsets.topic.num.partitions=2"]);
    let topic = topics::create(&broker, 1);
    let mut connection = broker.connect();
    find_coordinator(&mut connection, "short");
    wait_until_loaded(&mut connection);
    assert_eq!(commit_for(&mut connection, "short", &topic, 1), NONE);
    assert_eq!(commit_for(&mut connection, "long", &topic, 3_600_000), NONE);
    let deadline = Instant::now() + Duration::from_secs(20);
    while fetch(&mut connection, &["short"], &topic) != [-1] {
        assert!(Instant::now() < deadline, "the offset is still there\n{}", broker.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(fetch(&mut connection, &["long"], &topic), [5]);
}

#[test]
fn a_load_buffer_smaller_than_a_batch_loads_everything() {
    if is_control() {
        return;
    }
    let dir = new_dir("load-buffer");
    let broker = start(&dir, &[]);
    let topic = topics::create(&broker, 1);
    let mut connection = broker.connect();
    find_coordinator(&mut connection, "g");
    wait_until_loaded(&mut connection);
    let names: Vec<String> = (0..20).map(|number| format!("group-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for offset in 0..5 {
        for name in &names {
            assert_eq!(commit(&mut connection, name, NOBODY, &topic, offset)[0], (0, NONE));
        }
    }
    drop(broker);
    let broker = start(&dir, &["offsets.load.buffer.size=1"]);
    let mut connection = broker.connect();
    wait_until_loaded(&mut connection);
    assert_eq!(fetch(&mut connection, &names, &topic), [4; 20]);
    drop(broker);
    let _ = fs::remove_dir_all(&dir);
}
