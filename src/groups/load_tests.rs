//! What the loader makes of logs: whole, with transactions, and damaged.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use state::group::{Cx, Fetch, FetchTopic, Record, Reply, Request, Settings, Waiting};
use state::metadata::Image;
use wire::Uuid;
use wire::coordinator_record::{GroupRecordKey, GroupRecordValue};
use wire::messages::{GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue};
use wire::records::{BatchBuilder, Codec, ControlRecordType, Scratch};

use super::load::{LoadError, Loader};
use super::writer::{Form, Writer};

fn commit(partition: i32, offset: i64) -> Record {
    let value = OffsetCommitValue { offset, ..Default::default() };
    Record { key: key(partition), value: Some(GroupRecordValue::OffsetCommit(value)) }
}

fn forget(partition: i32) -> Record {
    Record { key: key(partition), value: None }
}

fn key(partition: i32) -> GroupRecordKey {
    GroupRecordKey::OffsetCommit(OffsetCommitKey { group: "g".into(), topic: "t".into(), partition })
}

fn metadata() -> Record {
    let key = GroupRecordKey::GroupMetadata(GroupMetadataKey { group: "members".into() });
    let value = GroupMetadataValue { protocol_type: "consumer".into(), ..Default::default() };
    Record { key, value: Some(GroupRecordValue::GroupMetadata(value)) }
}

/// A log that grows batch by batch.
#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    next_offset: i64,
    scratch: Scratch,
}

impl Log {
    fn plain(&mut self, records: &[Record]) {
        self.batch(records, |builder| builder);
    }

    fn transactional(&mut self, producer: i64, records: &[Record]) {
        self.batch(records, |builder| builder.producer(producer, 0, 0).transactional());
    }

    fn batch(&mut self, records: &[Record], form: impl FnOnce(BatchBuilder) -> BatchBuilder) {
        let mut builder = form(BatchBuilder::new(self.next_offset));
        for record in records {
            let (key, value) = bytes_of(record);
            builder.push(1, Some(&key), value.as_deref(), &[]).unwrap();
        }
        self.next_offset += records.len() as i64;
        self.bytes.extend(builder.finish(&mut self.scratch));
    }

    fn marker(&mut self, producer: i64, kind: ControlRecordType) {
        let mut builder = BatchBuilder::new(self.next_offset).producer(producer, 0, -1).transactional().control();
        builder.push_control(1, kind, &[0; 6]).unwrap();
        self.next_offset += 1;
        self.bytes.extend(builder.finish(&mut self.scratch));
    }

    /// Loads all of it, in steps of one batch.
    fn load(&self) -> Result<Loader, LoadError> {
        let (mut loader, mut at) = (Loader::default(), 0);
        loop {
            match loader.feed(&self.bytes[at..], 1)? {
                0 => return Ok(loader),
                taken => at += taken,
            }
        }
    }
}

fn bytes_of(record: &Record) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut e = wire::codec::Encoder::new();
    record.key.encode(&mut e);
    let key = std::mem::take(&mut e.buf);
    let value = record.value.as_ref().map(|value| {
        value.encode(&mut e, record.value_version());
        e.buf.clone()
    });
    (key, value)
}

/// What group `g` has committed for partitions 0 to 3 of `t`; -1 for nothing.
fn offsets(loader: &mut Loader) -> [i64; 4] {
    let topics = Some(vec![FetchTopic { name: "t".into(), id: Uuid::ZERO, partitions: vec![0, 1, 2, 3] }]);
    let fetch = Fetch { group: "g".into(), member_epoch: -1, topics, ..Fetch::default() };
    let mut cx =
        Cx { now_ms: 0, wall_ms: 0, chance: &mut || Uuid(1), image: &Image::new("c"), settings: &Settings::default() };
    let effects = loader.groups.handle(&mut cx, Waiting(0), Request::Fetch(fetch));
    let Some((_, Reply::Fetched(Ok(topics)))) = effects.replies.into_iter().next() else { panic!("not fetched") };
    let found: Vec<i64> = topics[0].partitions.iter().map(|one| one.offset).collect();
    found.try_into().unwrap()
}

fn check(log: &Log, expected: [i64; 4]) {
    let mut loader = log.load().unwrap();
    assert_eq!(offsets(&mut loader), expected);
    assert_eq!((loader.next_offset(), loader.counts.damaged), (log.next_offset, 0));
    assert_eq!(loader.counts.bytes, log.bytes.len() as u64);
}

#[test]
fn the_last_commit_counts() {
    let mut log = Log::default();
    check(&log, [-1; 4]);
    log.plain(&[commit(0, 5), commit(1, 6), metadata()]);
    log.plain(&[commit(0, 7), forget(1)]);
    check(&log, [7, -1, -1, -1]);
    assert_eq!(log.load().unwrap().groups.list().len(), 2);
}

#[test]
fn what_the_writer_makes_is_read_with_any_codec() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let (mut writer, mut scratch, mut log) = (Writer::default(), Scratch::default(), Log::default());
        let records = [commit(0, 5), commit(1, 6), forget(0), commit(2, 7)];
        writer.push(&records, 1, Form { batch_bytes_max: 1 << 20, codec }, &mut scratch).unwrap();
        log.bytes = writer.take(&mut scratch).remove(0).1;
        log.next_offset = 4;
        check(&log, [-1, 6, 7, -1]);
    }
}

#[test]
fn offsets_of_transactions_count_from_their_marker_on() {
    let mut log = Log::default();
    log.plain(&[commit(0, 1), commit(1, 1), commit(2, 1)]);
    log.transactional(9, &[commit(0, 2)]);
    log.transactional(8, &[commit(1, 2)]);
    check(&log, [1, 1, 1, -1]);
    log.marker(9, ControlRecordType::Commit);
    log.marker(8, ControlRecordType::Abort);
    check(&log, [2, 1, 1, -1]);
    log.transactional(7, &[commit(2, 2), commit(3, 2)]);
    check(&log, [2, 1, 1, -1]);
}

/// As in Kafka's `OffsetMetadataManager.replayEndTransactionMarker`: the record that was written last counts.
#[test]
fn a_commit_after_a_transactional_one_is_not_undone_by_the_marker() {
    let mut log = Log::default();
    log.transactional(9, &[commit(0, 2), commit(1, 2), commit(2, 2)]);
    log.plain(&[commit(0, 3), forget(1)]);
    log.marker(9, ControlRecordType::Commit);
    check(&log, [3, -1, 2, -1]);
}

#[test]
fn records_below_the_log_start_are_not_read() {
    let mut log = Log::default();
    log.plain(&[commit(0, 5), commit(1, 6), commit(2, 7)]);
    let mut loader = Loader::default();
    loader.start_at(2);
    loader.feed(&log.bytes, 1).unwrap();
    assert_eq!(offsets(&mut loader), [-1, -1, 7, -1]);
}

#[test]
fn unknown_and_damaged_records_are_skipped() {
    let mut log = Log::default();
    log.plain(&[commit(0, 5)]);
    let mut builder = BatchBuilder::new(1);
    let (key, value) = bytes_of(&commit(1, 5));
    let value = value.unwrap();
    builder.push(1, Some(&[0x7f, 0, 1, 2]), Some(&value), &[]).unwrap();
    builder.push(1, Some(&key[..key.len() - 1]), Some(&value), &[]).unwrap();
    builder.push(1, Some(&key), Some(&value[..value.len() - 1]), &[]).unwrap();
    builder.push(1, Some(&key), Some(&[0x7f, 0]), &[]).unwrap();
    builder.push(1, Some(&[]), None, &[]).unwrap();
    builder.push(1, None, Some(&value), &[]).unwrap();
    log.next_offset = 7;
    log.bytes.extend(builder.finish(&mut log.scratch));
    log.plain(&[commit(2, 5)]);
    let mut loader = log.load().unwrap();
    assert_eq!((loader.counts.unknown, loader.counts.damaged), (1, 5));
    assert_eq!(offsets(&mut loader), [5, -1, 5, -1]);
}

#[test]
fn a_batch_whose_bytes_changed_ends_the_loading() {
    let mut log = Log::default();
    log.plain(&[commit(0, 5)]);
    let last = log.bytes.len() - 1;
    log.bytes[last] ^= 1;
    assert!(matches!(log.load(), Err(LoadError::Checksum { offset: 0 })));
    log.bytes.truncate(last);
    assert_eq!(log.load().unwrap().counts.records, 0, "a torn batch is not there");
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, rng_seed: RngSeed::Fixed(20), ..Default::default() }
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever keys and values a log holds, whatever bytes stand in it: it is read or refused.
    #[test]
    fn no_log_panics(
        records in prop::collection::vec((any::<Option<Vec<u8>>>(), any::<Option<Vec<u8>>>(), 0..24_i16), 1..20),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut builder = BatchBuilder::new(0);
        for (key, value, kind) in &records {
            // Half of the keys begin as keys do.
            let key = key.as_ref().map(|key| [&kind.to_be_bytes()[..], key].concat());
            builder.push(1, key.as_deref(), value.as_deref(), &[]).unwrap();
        }
        let mut bytes = builder.finish(&mut Scratch::default());
        _ = Loader::default().feed(&bytes, usize::MAX);
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        bytes.extend(noise);
        _ = Loader::default().feed(&bytes, usize::MAX);
    }

    /// A record with one wrong byte, under a right checksum.
    #[test]
    fn no_record_panics(flip in 1_u8.., at in any::<prop::sample::Index>(), which in 0..3_usize) {
        let record = [commit(0, 5), metadata(), forget(1)][which].clone();
        let (mut key, mut value) = bytes_of(&record);
        let spot = at.index(key.len() + value.as_ref().map_or(0, Vec::len));
        match spot.checked_sub(key.len()) {
            None => key[spot] ^= flip,
            Some(spot) => value.as_mut().unwrap()[spot] ^= flip,
        }
        let mut builder = BatchBuilder::new(0);
        builder.push(1, Some(&key), value.as_deref(), &[]).unwrap();
        let mut loader = Loader::default();
        loader.feed(&builder.finish(&mut Scratch::default()), 1).unwrap();
        _ = loader.groups.list();
    }
}
