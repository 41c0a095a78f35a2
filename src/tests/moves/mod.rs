//! Replicas that move between log directories: while they are written and read, slowly enough to be seen, and through
//! every place where the broker may be killed.

mod crashes;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::broker::is_control;
use crate::groups;
use crate::raw::{ask, decode};
use crate::site::{FAST, LARGE, NONE, SLOW, SMALL, Site, TOPIC, alter, fetch, produce};
use wire::generated::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use wire::generated::delete_topics_request::DeleteTopicsRequest;
use wire::generated::init_producer_id_request::InitProducerIdRequest;
use wire::messages::{DeleteRecordsResponse, InitProducerIdResponse};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const INVALID_TOPIC: i16 = 17;
const OUT_OF_ORDER_SEQUENCE: i16 = 45;
const KAFKA_STORAGE_ERROR: i16 = 56;
const LOG_DIR_NOT_FOUND: i16 = 57;

#[test]
fn records_are_written_and_read_while_the_replica_moves() {
    write_and_read_while_it_moves("busy", &[]);
}

#[test]
fn what_wants_a_sync_is_written_while_the_replica_moves() {
    write_and_read_while_it_moves("synced", &[("flush.messages", "1")]);
}

/// Prints the longest wait of the producer.
fn write_and_read_while_it_moves(name: &str, configs: &[(&str, &str)]) {
    if is_control() {
        return;
    }
    let mut site = Site::new(name);
    site.create(configs);
    site.write(0..200);
    let is_over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut connection, mut number, mut longest) = (site.connect(), 200, Duration::ZERO);
            while !is_over.load(Ordering::Relaxed) {
                let began = Instant::now();
                assert_eq!(produce(&mut connection, number, SMALL, None), (NONE, number as i64));
                longest = longest.max(began.elapsed());
                number += 1;
                // A producer that outruns the disk is never caught up with.
                std::thread::sleep(Duration::from_micros(500));
            }
            println!("longest of {} produces {longest:?}", number - 200);
            number
        });
        let reader = scope.spawn(|| {
            let (mut connection, mut next) = (site.connect(), 0);
            while !is_over.load(Ordering::Relaxed) {
                for number in fetch(&mut connection, next as i64, 1000).0 {
                    assert_eq!(number, next);
                    next += 1;
                }
            }
            next
        });
        for name in ["b", "c", "a", "b"] {
            assert_eq!(site.alter(name), NONE);
            site.wait_until_in(name);
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(reader.join().expect("the reader ends") > 200);
        writer.join().expect("the writer ends")
    });
    assert_eq!(site.read(0), (0..written).collect::<Vec<_>>());
    site.restart();
    site.wait_until_in("b");
    assert_eq!(site.read(0), (0..written).collect::<Vec<_>>());
    site.write(written..written + 1);
}

#[test]
fn refusals_are_kafkas() {
    if is_control() {
        return;
    }
    let site = Site::new("refusals");
    site.create(&[]);
    site.write(0..3);
    let mut connection = site.connect();
    let mut ask = |topic: &str, partition: i32, path: &Path| alter(&mut connection, topic, partition, path);
    assert_eq!(ask(TOPIC, 0, Path::new("/nowhere")), LOG_DIR_NOT_FOUND);
    assert_eq!(ask("nothing", 0, Path::new("/nowhere")), LOG_DIR_NOT_FOUND);
    assert_eq!(ask(TOPIC, 0, &site.path("m")), LOG_DIR_NOT_FOUND);
    for (topic, partition) in [("nothing", 0), (TOPIC, 1), (TOPIC, -1), (TOPIC, i32::MAX), ("", 0), ("../x", 0)] {
        assert_eq!(ask(topic, partition, &site.path("b")), UNKNOWN_TOPIC_OR_PARTITION, "{topic}-{partition}");
    }
    assert_eq!(ask(&"x".repeat(214), 0, &site.path("b")), INVALID_TOPIC);
    assert_eq!(ask(TOPIC, 0, &site.path("a")), NONE, "it is there");
    assert_eq!(site.places(), ("a".into(), None));
    site.set(("cordoned.log.dirs", &site.path("b").display().to_string()));
    assert_eq!(site.alter("b"), INVALID_REPLICA_ASSIGNMENT);
}

#[test]
fn a_slow_move_is_seen_turned_and_cancelled() {
    if is_control() {
        return;
    }
    let site = Site::new("slow");
    site.create(&[]);
    site.write(0..200);
    site.set(SLOW);
    assert_eq!((site.alter("b"), site.alter("b")), (NONE, NONE));
    site.wait(|site| site.found().iter().any(|it| it.is_future && it.bytes > 0), || "nothing is copied".into());
    let found = site.found();
    let current = found.iter().find(|it| !it.is_future).expect("the replica");
    let future = found.iter().find(|it| it.is_future).expect("the future replica");
    assert_eq!((&*current.name, current.lag, &*future.name), ("a", 0, "b"));
    assert!(future.bytes < current.bytes && (1..=200).contains(&future.lag), "{found:?}");

    assert_eq!(site.alter("c"), NONE);
    assert_eq!(site.places(), ("a".into(), Some("c".into())));
    site.wait(|site| site.names("b").is_empty(), || "the first future replica stays".into());
    assert_eq!(site.alter("a"), NONE);
    site.wait_until_in("a");

    assert_eq!(site.alter("b"), NONE);
    site.set(FAST);
    site.wait_until_in("b");
    assert_eq!(site.read(0), (0..200).collect::<Vec<_>>());
}

#[test]
fn a_topic_that_is_deleted_takes_its_future_replica_along() {
    if is_control() {
        return;
    }
    let site = Site::new("deleted");
    site.create(&[]);
    site.write(0..200);
    site.set(SLOW);
    assert_eq!(site.alter("b"), NONE);
    site.wait(|site| site.found().iter().any(|it| it.is_future && it.bytes > 0), || "nothing is copied".into());
    ask(
        &mut site.connect(),
        &DeleteTopicsRequest { topic_names: vec![TOPIC.into()], timeout_ms: 60_000, ..Default::default() },
        3,
    );
    let is_gone = |site: &Site| ["a", "b"].iter().all(|name| site.names(name).is_empty());
    site.wait(is_gone, || format!("{:?} {:?}", site.names("a"), site.names("b")));
    site.set(FAST);
    // A new one of the same name has nothing of it.
    site.create(&[]);
    site.write(0..3);
    assert_eq!(site.alter("b"), NONE);
    site.wait_until_in("b");
    assert_eq!(site.read(0), [0, 1, 2]);
}

#[test]
fn deleted_records_stay_deleted_and_producers_are_remembered() {
    if is_control() {
        return;
    }
    let mut site = Site::new("state");
    site.create(&[]);
    let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
    let body = ask(&mut site.connect(), &request, 1);
    let producer = decode::<InitProducerIdResponse>(&body, 1).producer_id;
    let mut connection = site.connect();
    for number in 0..200 {
        assert_eq!(produce(&mut connection, number, LARGE, Some((producer, number as i32))).0, NONE);
    }
    site.set(SLOW);
    assert_eq!(site.alter("b"), NONE);
    site.wait(|site| site.found().iter().any(|it| it.is_future && it.bytes > 0), || "nothing is copied".into());
    delete_records(&site, 120);
    site.set(FAST);
    site.wait_until_in("b");
    for restarted in [false, true] {
        if restarted {
            site.restart();
        }
        assert_eq!(site.read(120), (120..200).collect::<Vec<_>>(), "{restarted}");
        assert_eq!(earliest(&site), 120, "{restarted}");
        let mut connection = site.connect();
        // The last five are known: sent again they get the offsets that they had.
        assert_eq!(produce(&mut connection, 199, LARGE, Some((producer, 199))), (NONE, 199), "{restarted}");
        assert_eq!(produce(&mut connection, 500, LARGE, Some((producer, 500))).0, OUT_OF_ORDER_SEQUENCE);
    }
    assert_eq!(produce(&mut site.connect(), 200, LARGE, Some((producer, 200))), (NONE, 200));
}

#[test]
fn a_compacted_partition_moves_and_is_cleaned_afterwards() {
    if is_control() {
        return;
    }
    let site = Site::new("compacted");
    site.create(&[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")]);
    site.write(0..200);
    site.set(("log.cleaner.backoff.ms", "10"));
    for name in ["b", "c"] {
        assert_eq!(site.alter(name), NONE);
        site.wait_until_in(name);
    }
    // Of each of seven keys the last record stays, and what the active segment holds.
    let bytes = |site: &Site| site.found()[0].bytes;
    site.wait(|site| bytes(site) < 2_500_000, || format!("{} bytes", bytes(&site)));
    let last = site.read(0);
    assert!(last.len() < 100 && (193..200).all(|number| last.contains(&number)), "{last:?}");
}

#[test]
fn a_directory_that_fails_ends_the_move_and_the_replica_stays() {
    if is_control() {
        return;
    }
    let mut site = Site::new("failing");
    site.create(&[]);
    site.write(0..200);
    site.set(SLOW);
    assert_eq!(site.alter("b"), NONE);
    site.wait(|site| site.found().iter().any(|it| it.is_future && it.bytes > 0), || "nothing is copied".into());
    // A segment that can't be opened.
    let segments = crate::site::segments(&site.path("a").join("t-0"));
    let spoilt = site.future("b").join(&segments[2]);
    fs::create_dir(&spoilt).unwrap();
    site.set(FAST);
    site.wait(|site| site.alter("b") == KAFKA_STORAGE_ERROR, || "the directory works".into());
    assert_eq!(site.places(), ("a".into(), None));
    site.write(200..210);
    assert_eq!(site.alter("a"), NONE);
    assert_eq!(site.alter("c"), KAFKA_STORAGE_ERROR, "while a directory is offline no move begins");
    assert_eq!(site.read(0), (0..210).collect::<Vec<_>>());
    // With the directory the move comes back.
    site.kill();
    fs::remove_dir(&spoilt).unwrap();
    site.start();
    site.wait_until_in("b");
    assert_eq!(site.read(0), (0..210).collect::<Vec<_>>());
}

#[test]
fn a_directory_without_room_keeps_its_own_partitions() {
    if is_control() {
        return;
    }
    let site = Site::new("full");
    site.create(&[]);
    site.write(0..200);
    site.set(SLOW);
    assert_eq!(site.alter("b"), NONE);
    site.wait(|site| site.found().iter().any(|it| it.is_future && it.bytes > 0), || "nothing is copied".into());
    let segments = crate::site::segments(&site.path("a").join("t-0"));
    std::os::unix::fs::symlink("/dev/full", site.future("b").join(&segments[2])).unwrap();
    site.set(FAST);
    site.wait(|site| site.places() == ("a".into(), None) && site.names("b").is_empty(), || "it goes on".into());
    site.write(200..210);
    // The directory works; with room there it is as any other.
    assert_eq!(site.alter("b"), NONE);
    site.wait_until_in("b");
    assert_eq!(site.read(0), (0..210).collect::<Vec<_>>());
}

/// A group's offsets are the coordinator's appends, which wait as any other's.
#[test]
fn offsets_are_committed_while_their_partition_moves() {
    if is_control() {
        return;
    }
    let mut site = Site::new("offsets");
    site.create(&[]);
    let is_over = AtomicBool::new(false);
    groups::find_coordinator(&mut site.connect(), "g");
    let last = std::thread::scope(|scope| {
        let committer = scope.spawn(|| {
            let (mut connection, mut offset) = (site.connect(), 0);
            while !is_over.load(Ordering::Relaxed) {
                let committed = groups::commit(&mut connection, "g", ("", -1), TOPIC, offset);
                assert_eq!(committed[0], (0, NONE), "offset {offset}");
                offset += 1;
            }
            offset - 1
        });
        let mut connection = site.connect();
        for name in ["b", "c", "a"] {
            let offsets = |dir: &Path| dir.join("__consumer_offsets-0").exists();
            assert_eq!(alter(&mut connection, "__consumer_offsets", 0, &site.path(name)), NONE);
            site.wait(|site| offsets(&site.path(name)), || format!("it does not come to {name}"));
        }
        is_over.store(true, Ordering::Relaxed);
        committer.join().expect("the committer ends")
    });
    site.restart();
    let mut connection = site.connect();
    groups::find_coordinator(&mut connection, "g");
    groups::wait_until_loaded(&mut connection);
    assert!(last > 0);
    assert_eq!(groups::fetch(&mut connection, &["g"], TOPIC), [last]);
}

#[test]
fn a_directory_that_fails_takes_the_replica_along_that_was_leaving_it() {
    if is_control() {
        return;
    }
    let mut site = Site::new("leaving");
    site.create(&[]);
    site.write(0..200);
    site.set(SLOW);
    assert_eq!(site.alter("b"), NONE);
    // A segment that was closed can't be read.
    let spoilt = site.path("a/t-0").join(&crate::site::segments(&site.path("a/t-0"))[2]);
    let kept = site.path("kept");
    fs::rename(&spoilt, &kept).unwrap();
    fs::create_dir(&spoilt).unwrap();
    site.set(FAST);
    site.wait(|site| site.alter("b") == KAFKA_STORAGE_ERROR, || "the directory works".into());
    assert_eq!(produce(&mut site.connect(), 200, SMALL, None).0, KAFKA_STORAGE_ERROR);
    site.kill();
    fs::remove_dir(&spoilt).unwrap();
    fs::rename(&kept, &spoilt).unwrap();
    site.start();
    site.wait_until_in("b");
    assert_eq!(site.read(0), (0..200).collect::<Vec<_>>());
}

fn delete_records(site: &Site, offset: i64) {
    let partition = DeleteRecordsPartition { partition_index: 0, offset };
    let topic = DeleteRecordsTopic { name: TOPIC.into(), partitions: vec![partition] };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000 };
    let body = ask(&mut site.connect(), &request, 1);
    let response = decode::<DeleteRecordsResponse<'_>>(&body, 1);
    assert_eq!(response.topics[0].partitions[0].low_watermark, offset);
}

fn earliest(site: &Site) -> i64 {
    use crate::raw::{Answer, Bytes, LIST_OFFSETS};
    let body = Bytes::new().i32(-1).i32(1).string(TOPIC).i32(1).i32(0).i64(-2);
    let answer = site.connect().call(LIST_OFFSETS, 1, &body).answer("ListOffsets");
    let mut answer = Answer(&answer);
    let _ = (answer.i32(), answer.string(), answer.i32(), answer.i32(), answer.i16(), answer.i64());
    answer.i64()
}
