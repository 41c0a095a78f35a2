//! Cleaning real logs: what stays, what is found, and what a crash leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use state::compaction::LastOfProducers;
use state::producer::ProducerSnapshotEntry;
use wire::records::{BatchBuilder, BatchHeader, Batches, Codec, ControlRecordType, Scratch};

use super::map::SLOT_BYTES;
use super::*;
use crate::config::topic::{CleanupPolicy, TopicConfig};
use crate::log::testing::{TempDir, append, create, open_clean, open_unclean, read_all};
use crate::log::{Log, LogError};

/// What is read of a record: offset, timestamp, key, value.
pub(super) type Seen = (i64, i64, Vec<u8>, Option<Vec<u8>>);

const LIMITS: CleaningLimits = CleaningLimits { map_bytes: 1 << 20, map_load_factor: 0.9, buffer_bytes: 4096 };

pub(super) fn config() -> TopicConfig {
    TopicConfig {
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        segment_bytes: 500,
        index_interval_bytes: 150,
        delete_retention_ms: 1000,
        ..TopicConfig::default()
    }
}

/// Cleans as much as one round does; returns how far it came.
fn clean_with(log: &mut Log, cleaned: Option<i64>, now_ms: i64, last: LastOfProducers, limits: CleaningLimits) -> i64 {
    let dirty = log.dirty(cleaned, log.log_end_offset(), now_ms).unwrap();
    let mut cleaning = log.begin_cleaning(&dirty, last, limits, now_ms);
    loop {
        match cleaning.step(700).0.unwrap() {
            Step::More => {}
            Step::Cleaned(cleaned) => {
                assert!(log.offer_swap(&cleaned).unwrap());
                for doomed in log.swap(&cleaned, now_ms).unwrap().unwrap() {
                    fs::remove_file(doomed.path).unwrap();
                }
            }
            Step::Done(end) => return end,
        }
    }
}

fn clean(log: &mut Log, cleaned: Option<i64>, now_ms: i64) -> i64 {
    clean_with(log, cleaned, now_ms, LastOfProducers::default(), LIMITS)
}

fn headers(bytes: &[u8]) -> Vec<BatchHeader> {
    Batches::new(bytes).map(|batch| batch.unwrap().header).collect()
}

/// The records of batches, those of control batches left out.
pub(super) fn records(bytes: &[u8]) -> Vec<Seen> {
    let (mut seen, mut scratch) = (Vec::new(), Scratch::default());
    for batch in Batches::new(bytes) {
        let batch = batch.unwrap();
        assert!(batch.crc_matches());
        if batch.header.is_control() {
            continue;
        }
        for record in batch.records(&mut scratch, 1 << 20).unwrap() {
            let record = record.unwrap();
            let offset = batch.header.base_offset + i64::from(record.offset_delta);
            let timestamp = batch.header.base_timestamp + record.timestamp_delta;
            let key = record.key.unwrap_or(b"none").to_vec();
            seen.push((offset, timestamp, key, record.value.map(<[u8]>::to_vec)));
        }
    }
    seen
}

fn seen(log: &Log) -> Vec<Seen> {
    records(&read_all(log, log.log_start_offset(), 1 << 20))
}

fn last_values(records: &[Seen]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut last = BTreeMap::new();
    for (_, _, key, value) in records {
        match value {
            Some(value) => _ = last.insert(key.clone(), value.clone()),
            None => _ = last.remove(key),
        }
    }
    last
}

/// One batch as a test wants it: its records, keys and values of a few letters, no value for a tombstone.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) records: Vec<(u8, Option<u16>)>,
    pub(super) codec: u8,
    pub(super) idempotent: bool,
}

pub(super) fn write(log: &mut Log, all: &[Given]) {
    let mut sequence = 0;
    for (at, given) in all.iter().enumerate() {
        let codec = Codec::from_id(given.codec).unwrap();
        let mut builder = BatchBuilder::new(0).codec(codec, codec.default_level());
        if given.idempotent {
            builder = builder.producer(7, 0, sequence);
            sequence += given.records.len() as i32;
        }
        for (index, (key, value)) in given.records.iter().enumerate() {
            let value = value.map(|value| format!("{value:x}").repeat(1 + usize::from(value) % 20));
            let timestamp = 10_000 + at as i64 * 10 - index as i64;
            let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"v")), (b"", None)];
            let headers = if at % 3 == 0 { headers } else { &[] };
            builder.push(timestamp, Some(&[b'a' + key]), value.as_ref().map(String::as_bytes), headers).unwrap();
        }
        append(log, builder.finish(&mut Scratch::default()));
    }
}

pub(super) fn given() -> impl Strategy<Value = Vec<Given>> {
    let record = (0..14_u8, prop::option::weighted(0.8, any::<u16>()));
    let batch = (prop::collection::vec(record, 1..7), 0..5_u8, any::<bool>());
    let batch = batch.prop_map(|(records, codec, idempotent)| Given { records, codec, idempotent });
    prop::collection::vec(batch, 1..40)
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..Default::default() }
}

/// Every offset leads to the first record at or behind it, and every timestamp to its first record.
fn check_lookups(log: &Log, expected: &[Seen]) {
    for offset in log.log_start_offset()..log.log_end_offset() {
        let found: Vec<Seen> =
            records(&read_all(log, offset, 300)).into_iter().filter(|(at, ..)| *at >= offset).collect();
        let rest: Vec<Seen> = expected.iter().filter(|(at, ..)| *at >= offset).cloned().collect();
        assert_eq!(found, rest, "from offset {offset}");
    }
    for timestamp in (9_990..10_700).step_by(3) {
        let first = expected.iter().find(|(_, at, ..)| *at >= timestamp).map(|(offset, at, ..)| (*offset, *at));
        assert_eq!(log.offset_for_timestamp(timestamp).unwrap(), first, "timestamp {timestamp}");
    }
}

/// What has to be left of `all` once everything below `end` was cleaned: of each key the last below, all behind.
fn left(all: &[Seen], end: i64) -> Vec<Seen> {
    let newest = |key: &Vec<u8>| all.iter().rfind(|(at, _, other, _)| other == key && *at < end).map(|found| found.0);
    all.iter().filter(|(at, _, key, _)| *at >= end || newest(key) == Some(*at)).cloned().collect()
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn of_each_key_the_last_record_is_left_where_it_was(all in given(), slots in prop_oneof![1 => 2..8_u64, 3 => 20..40_u64]) {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        let mut log = create(&path, &config());
        write(&mut log, &all);
        let before = seen(&log);
        let active = log.active_base_offset();
        // With a small map it takes several rounds; none of them may go back.
        let limits = CleaningLimits { map_bytes: slots * SLOT_BYTES as u64, ..LIMITS };
        let (mut cleaned, mut rounds) = (None, 0);
        while cleaned.unwrap_or(0) < active {
            let end = clean_with(&mut log, cleaned, 5000, LastOfProducers::default(), limits);
            prop_assert!(end > cleaned.unwrap_or(0) && end <= active);
            prop_assert_eq!(seen(&log), left(&before, end));
            cleaned = Some(end);
            rounds += 1;
        }
        prop_assert!(rounds <= before.len());
        let expected = left(&before, active);
        check_lookups(&log, &expected);
        // Every segment goes on to where the next begins.
        let bytes = read_all(&log, 0, 1 << 20);
        let ends: Vec<i64> = headers(&bytes).iter().map(BatchHeader::next_offset).collect();
        prop_assert!(log.base_offsets().skip(1).all(|base| ends.contains(&base)));
        log.close_clean().unwrap();
        drop(log);
        for open in [open_clean, open_unclean] {
            let log = open(&path, &config()).unwrap();
            prop_assert_eq!(&read_all(&log, 0, 1 << 20), &bytes);
            check_lookups(&log, &expected);
        }
        // And also where the topic is not compacted any more: nothing looks lost.
        prop_assert_eq!(&read_all(&open_unclean(&path, &TopicConfig::default()).unwrap(), 0, 1 << 20), &bytes);
    }

}

proptest! {
    #![proptest_config(cases(4))]

    #[test]
    fn wherever_a_crash_comes_the_log_is_whole(all in given()) {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        let mut log = create(&path, &config());
        write(&mut log, &all);
        let before = seen(&log);
        let end = log.log_end_offset();
        let dirty = log.dirty(None, end, 5000).unwrap();
        let mut cleaning = log.begin_cleaning(&dirty, LastOfProducers::default(), LIMITS, 5000);
        let mut copies = 0;
        let mut check = |path: &Path, what: &str| {
            for open in [open_clean, open_unclean] {
                let copy = dir.path().join(format!("copy-{copies}"));
                copies += 1;
                copy_dir(path, &copy);
                let log = open(&copy, &config()).unwrap_or_else(|error| panic!("{what}: {error}"));
                let found = seen(&log);
                assert_eq!(log.log_end_offset(), end, "{what}");
                assert!(found.iter().all(|record| before.contains(record)), "{what}");
                assert_eq!(last_values(&found), last_values(&before), "{what}");
                assert!(names(&copy).iter().all(|name| !name.ends_with(".swap") && !name.ends_with(".cleaned")), "{what}");
                fs::remove_dir_all(&copy).unwrap();
            }
        };
        let mut segments = 0;
        loop {
            match cleaning.step(2000).0.unwrap() {
                Step::Done(_) => break,
                Step::More => check(&path, "while it is written"),
                Step::Cleaned(cleaned) => {
                    segments += 1;
                    if segments <= 2 {
                        crash_at_every_rename(&path, &cleaned, &mut check);
                    }
                    assert!(log.offer_swap(&cleaned).unwrap());
                    assert!(log.swap(&cleaned, 5000).unwrap().is_some());
                    check(&path, "swapped");
                }
            }
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for name in names(from) {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

/// The renames of the swap, one after the other, on a copy; `check` looks at it after each.
fn crash_at_every_rename(path: &Path, cleaned: &Cleaned, check: &mut dyn FnMut(&Path, &str)) {
    let at = path.with_file_name("crash-0");
    copy_dir(path, &at);
    let file = |base: i64, suffix: &str| at.join(format!("{base:020}{suffix}"));
    let base = cleaned.base;
    let mut renames: Vec<(PathBuf, PathBuf)> = Vec::new();
    for suffix in [".timeindex", ".index", ".log"] {
        renames.push((file(base, &format!("{suffix}.cleaned")), file(base, &format!("{suffix}.swap"))));
    }
    for old in &cleaned.replaces {
        for suffix in [".log", ".index", ".timeindex"] {
            renames.push((file(old.base, suffix), file(old.base, &format!("{suffix}.deleted"))));
        }
    }
    for suffix in [".log", ".index", ".timeindex"] {
        renames.push((file(base, &format!("{suffix}.swap")), file(base, suffix)));
    }
    check(&at, "written");
    for (from, to) in renames {
        fs::rename(&from, &to).unwrap();
        check(&at, &format!("after {} became {}", from.display(), to.display()));
    }
    fs::remove_dir_all(&at).unwrap();
}

/// A segment a batch, so that all but the last can be cleaned.
fn small_segments() -> TopicConfig {
    TopicConfig { segment_bytes: 1, ..config() }
}

fn put(log: &mut Log, builder: BatchBuilder, records: &[(&str, Option<&str>)]) -> i64 {
    let mut builder = builder;
    for (key, value) in records {
        builder.push(20_000, Some(key.as_bytes()), value.map(str::as_bytes), &[]).unwrap();
    }
    append(log, builder.finish(&mut Scratch::default())).base_offset
}

fn put_marker(log: &mut Log, producer_id: i64, kind: ControlRecordType) {
    let mut builder = BatchBuilder::new(0).producer(producer_id, 0, -1).transactional();
    builder.push_control(20_000, kind, &[0; 6]).unwrap();
    append(log, builder.finish(&mut Scratch::default()));
}

fn keys(log: &Log) -> Vec<(i64, String)> {
    seen(log).into_iter().map(|(offset, _, key, _)| (offset, String::from_utf8(key).unwrap())).collect()
}

fn is(found: Vec<(i64, String)>, expected: &[(i64, &str)]) {
    assert_eq!(found, expected.iter().map(|(offset, key)| (*offset, key.to_string())).collect::<Vec<_>>());
}

#[test]
fn tombstones_stay_for_their_time() {
    let dir = TempDir::new();
    let mut log = create(&dir.path().join("t-0"), &small_segments());
    put(&mut log, BatchBuilder::new(0), &[("a", Some("1")), ("b", Some("1"))]);
    put(&mut log, BatchBuilder::new(0), &[("a", None), ("c", Some("1"))]);
    put(&mut log, BatchBuilder::new(0), &[("end", Some("1"))]);
    let end = clean(&mut log, None, 5000);
    is(keys(&log), &[(1, "b"), (2, "a"), (3, "c"), (4, "end")]);
    let fixed = headers(&read_all(&log, 2, 1 << 20))[0];
    assert_eq!((fixed.delete_horizon_ms(), fixed.max_timestamp), (Some(6000), 20_000));
    assert!(seen(&log).iter().all(|(_, timestamp, ..)| *timestamp == 20_000));

    put(&mut log, BatchBuilder::new(0), &[("end", Some("2"))]);
    let end = clean(&mut log, Some(end), 5999);
    is(keys(&log), &[(1, "b"), (2, "a"), (3, "c"), (4, "end"), (5, "end")]);
    put(&mut log, BatchBuilder::new(0), &[("end", Some("3"))]);
    clean(&mut log, Some(end), 6000);
    is(keys(&log), &[(1, "b"), (3, "c"), (5, "end"), (6, "end")]);
}

#[test]
fn aborted_records_go_and_take_no_others_place() {
    let dir = TempDir::new();
    let mut log = create(&dir.path().join("t-0"), &small_segments());
    let transactional = |id| BatchBuilder::new(0).producer(id, 0, 0).transactional();
    put(&mut log, BatchBuilder::new(0), &[("a", Some("1")), ("b", Some("1"))]);
    put(&mut log, transactional(1), &[("a", Some("aborted")), ("x", Some("aborted"))]);
    put(&mut log, transactional(2), &[("b", Some("committed"))]);
    put_marker(&mut log, 1, ControlRecordType::Abort);
    put(&mut log, BatchBuilder::new(0), &[("end", Some("1"))]);
    put(&mut log, transactional(3), &[("a", Some("open"))]);
    put(&mut log, BatchBuilder::new(0), &[("b", Some("behind an open one"))]);
    // The marker lies behind what can be cleaned.
    put_marker(&mut log, 2, ControlRecordType::Commit);
    let end = clean(&mut log, None, 5000);
    assert_eq!(end, 7, "not beyond the open transaction");
    is(keys(&log), &[(0, "a"), (4, "b"), (6, "end"), (7, "a"), (8, "b")]);
    let markers = |log: &Log| headers(&read_all(log, 0, 1 << 20)).iter().filter(|header| header.is_control()).count();
    assert_eq!(markers(&log), 2);

    put_marker(&mut log, 3, ControlRecordType::Abort);
    put(&mut log, BatchBuilder::new(0), &[("end", Some("2"))]);
    let end = clean(&mut log, Some(end), 5001);
    is(keys(&log), &[(0, "a"), (6, "end"), (8, "b"), (11, "end")]);
    // Of a transaction that has no records left, the marker goes too once its time has come.
    assert_eq!(markers(&log), 3);
    put(&mut log, BatchBuilder::new(0), &[("end", Some("3"))]);
    clean(&mut log, Some(end), 9_000);
    put(&mut log, BatchBuilder::new(0), &[("end", Some("4"))]);
    clean(&mut log, Some(12), 20_000);
    assert_eq!(markers(&log), 0);
}

#[test]
fn the_last_batch_of_a_producer_keeps_its_header() {
    let dir = TempDir::new();
    let path = dir.path().join("t-0");
    let mut log = create(&path, &TopicConfig { segment_bytes: 400, ..config() });
    for at in 0..5 {
        put(&mut log, BatchBuilder::new(0).producer(7, 2, at * 2), &[("a", Some("value")), ("b", Some("value"))]);
    }
    for _ in 0..6 {
        put(&mut log, BatchBuilder::new(0), &[("a", Some("end")), ("b", Some("end"))]);
    }
    let entry = ProducerSnapshotEntry {
        producer_id: 7,
        epoch: 2,
        last_sequence: 9,
        last_offset: 9,
        offset_delta: 1,
        timestamp: 20_000,
        coordinator_epoch: -1,
        current_txn_first_offset: -1,
    };
    clean_with(&mut log, None, 5000, LastOfProducers::of(&[entry]), LIMITS);
    let kept: Vec<BatchHeader> =
        headers(&read_all(&log, 0, 1 << 20)).into_iter().filter(|header| header.producer_id == 7).collect();
    let [kept] = kept[..] else { panic!("{kept:?}") };
    assert_eq!((kept.base_offset, kept.last_offset(), kept.records_count), (8, 9, 0));
    assert_eq!((kept.base_sequence, kept.last_sequence(), kept.producer_epoch, kept.max_timestamp), (8, 9, 2, 20_000));
}

#[test]
fn a_damaged_batch_ends_it_and_the_log_stays() {
    let dir = TempDir::new();
    let path = dir.path().join("t-0");
    let mut log = create(&path, &small_segments());
    for _ in 0..4 {
        put(&mut log, BatchBuilder::new(0), &[("a", Some("value"))]);
    }
    let bytes = fs::read(path.join("00000000000000000001.log")).unwrap();
    for at in [8, 16, 21, 40, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        fs::write(path.join("00000000000000000001.log"), damaged).unwrap();
        let dirty = log.dirty(None, 4, 5000).unwrap();
        let mut cleaning = log.begin_cleaning(&dirty, LastOfProducers::default(), LIMITS, 5000);
        let error = loop {
            match cleaning.step(u64::MAX).0 {
                Err(error) => break error,
                Ok(step) => assert!(!matches!(step, Step::Done(_)), "byte {at} went unseen"),
            }
        };
        assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
        cleaning.discard();
        assert!(names(&path).iter().all(|name| !name.ends_with(".cleaned") && !name.ends_with(".swap")));
        assert_eq!(log.segment_count(), 4);
    }
}

#[test]
fn what_retention_took_meanwhile_is_not_put_back() {
    let dir = TempDir::new();
    let path = dir.path().join("t-0");
    let config = TopicConfig { cleanup_policy: CleanupPolicy { delete: true, compact: true }, ..small_segments() };
    let mut log = create(&path, &config);
    for _ in 0..4 {
        put(&mut log, BatchBuilder::new(0), &[("a", Some("value"))]);
    }
    let dirty = log.dirty(None, 4, 5000).unwrap();
    let mut cleaning = log.begin_cleaning(&dirty, LastOfProducers::default(), LIMITS, 5000);
    let cleaned = |cleaning: &mut Cleaning| match cleaning.step(u64::MAX).0.unwrap() {
        Step::Cleaned(cleaned) => cleaned,
        other => panic!("{other:?}"),
    };
    let first = cleaned(&mut cleaning);
    assert!(log.offer_swap(&first).unwrap());
    log.advance_start(1).unwrap();
    assert_eq!(log.retention(5000, 4).unwrap().segments, 1);
    assert_eq!(log.swap(&first, 5000).unwrap(), None);
    let second = cleaned(&mut cleaning);
    log.advance_start(2).unwrap();
    assert_eq!(log.retention(5000, 4).unwrap().segments, 1);
    assert!(!log.offer_swap(&second).unwrap());
    assert!(names(&path).iter().all(|name| !name.ends_with(".cleaned") && !name.ends_with(".swap")));
    assert_eq!(keys(&log).len(), 2);
}

#[test]
fn who_reads_an_old_segment_can_end() {
    let dir = TempDir::new();
    let path = dir.path().join("t-0");
    let mut log = create(&path, &config());
    let batches = vec![Given { records: vec![(1, Some(1))], codec: 0, idempotent: false }; 30];
    write(&mut log, &batches);
    let all = read_all(&log, 0, 1 << 20);
    let plan = log.plan_read(0, i64::MAX, 1 << 20, true).unwrap();
    clean(&mut log, None, 5000);
    let mut bytes = vec![0; plan.len as usize];
    plan.file.read_exact_at(&mut bytes, plan.position).unwrap();
    assert_eq!(bytes, all[..bytes.len()]);
    let active = log.active_base_offset();
    assert_eq!(seen(&log).iter().filter(|(offset, ..)| *offset < active).count(), 1);
}

#[test]
fn young_records_wait_and_old_ones_press() {
    let dir = TempDir::new();
    let lag = TopicConfig { min_compaction_lag_ms: 1000, ..small_segments() };
    let mut log = create(&dir.path().join("t-0"), &lag);
    for _ in 0..3 {
        put(&mut log, BatchBuilder::new(0), &[("a", Some("value"))]);
    }
    assert_eq!(log.dirty(None, 3, 20_999).unwrap().dirty.cleanable_bytes, 0);
    let found = log.dirty(None, 3, 21_000).unwrap();
    assert_eq!((found.dirty.first_uncleanable, found.is_due), (2, true));
    log.set_config(&TopicConfig { min_cleanable_dirty_ratio: 1.0, max_compaction_lag_ms: 1000, ..small_segments() });
    assert!(!log.dirty(None, 3, 21_000).unwrap().is_due);
    assert!(log.dirty(None, 3, 21_001).unwrap().is_due);
}
