//! What Java wrote, read here; and written again, byte for byte where no compressor has a say.

use super::text::dump;
use super::*;

#[test]
fn java_batches_read_as_java_put_them_in() {
    assert_eq!(dump(JAVA), JAVA_TEXT);
}

#[test]
fn the_scan_agrees_with_the_headers_java_wrote() {
    let mut scratch = Scratch::new();
    for batch in Batches::new(JAVA) {
        let batch = batch.unwrap();
        let found = scan(&batch, &mut scratch, LIMIT);
        if batch.header.last_offset_delta + 1 != batch.header.records_count {
            let empty = batch.header.records_count == 0;
            assert!(empty || matches!(found, Err(RecordError::OffsetDelta { expected: 0, found: 1 })), "{found:?}");
            continue;
        }
        let found = found.unwrap();
        assert_eq!(found.max_timestamp, batch.header.max_timestamp);
        let records: Vec<_> = batch.records(&mut scratch, LIMIT).unwrap().map(|record| record.unwrap()).collect();
        assert_eq!(found.null_keys, records.iter().any(|record| record.key.is_none()));
        let append_time = batch.header.timestamp_type() == TimestampType::LogAppendTime;
        let time = |record: &Record<'_>| batch.header.base_timestamp + record.timestamp_delta;
        let first = records.iter().find(|record| append_time || time(record) == found.max_timestamp).unwrap();
        assert_eq!(found.offset_delta_of_max, first.offset_delta);
        if !append_time {
            assert_eq!(Some(found.min_timestamp), records.iter().map(time).filter(|&time| time != -1).min());
        }
    }
}

#[test]
fn uncompressed_batches_are_rebuilt_byte_for_byte() {
    let mut scratch = Scratch::new();
    let mut rebuilt = 0;
    for batch in Batches::new(JAVA) {
        let batch = batch.unwrap();
        if batch.header.codec() == Ok(Codec::None) {
            assert_eq!(rebuild(&batch, &mut scratch), batch.bytes);
            rebuilt += 1;
        }
    }
    assert_eq!(rebuilt, 13);
}

/// Builds the batch anew from its header and records.
fn rebuild(batch: &Batch<'_>, scratch: &mut Scratch) -> Vec<u8> {
    let h = batch.header;
    let mut builder = BatchBuilder::new(h.base_offset).leader_epoch(h.leader_epoch);
    builder = builder.producer(h.producer_id, h.producer_epoch, h.base_sequence);
    if h.is_transactional() {
        builder = builder.transactional();
    }
    if let Some(horizon) = h.delete_horizon_ms() {
        builder = builder.delete_horizon(horizon);
    }
    if h.timestamp_type() == TimestampType::LogAppendTime {
        builder = builder.append_time(h.max_timestamp);
    }
    for record in batch.records(scratch, LIMIT).unwrap() {
        let record = record.unwrap();
        let time = h.base_timestamp + record.timestamp_delta;
        if let (true, Some(key)) = (h.is_control(), record.key) {
            builder.push_control(time, control_record_type(key).unwrap(), record.value.unwrap()).unwrap();
            continue;
        }
        let headers: Vec<_> = record.headers.map(|header| (header.key, header.value)).collect();
        let offset = h.base_offset + i64::from(record.offset_delta);
        builder.push_at(offset, time, record.key, record.value, &headers).unwrap();
    }
    if builder.is_empty() {
        builder.cover(h.last_offset()).unwrap();
        builder.cover_timestamp(h.max_timestamp);
    }
    builder.finish(scratch)
}

#[test]
fn recompressing_changes_nothing_but_the_codec() {
    let mut scratch = Scratch::new();
    for batch in Batches::new(JAVA) {
        let batch = batch.unwrap();
        if batch.header.is_control() || batch.header.records_count == 0 {
            continue;
        }
        let before = dump(batch.bytes);
        let from = batch.header.codec().unwrap();
        for codec in CODECS {
            let again = recompress(&batch, codec, codec.default_level(), &mut scratch, LIMIT).unwrap();
            let renamed = before.replace(&format!("codec={from}"), &format!("codec={codec}"));
            assert_eq!(dump(&again), renamed);
            assert_eq!(scan(&whole(&again), &mut scratch, LIMIT), scan(&batch, &mut scratch, LIMIT));
        }
    }
}

#[test]
fn the_first_record_at_or_after_a_time_is_found_as_a_walk_finds_it() {
    let mut scratch = Scratch::new();
    for batch in Batches::new(JAVA) {
        let batch = batch.unwrap();
        let append_time = batch.header.timestamp_type() == TimestampType::LogAppendTime;
        let times: Vec<(i64, i64)> = batch
            .records(&mut scratch, LIMIT)
            .unwrap()
            .map(|record| record.unwrap())
            .map(|record| {
                let created = batch.header.base_timestamp + record.timestamp_delta;
                let time = if append_time { batch.header.max_timestamp } else { created };
                (batch.header.base_offset + i64::from(record.offset_delta), time)
            })
            .collect();
        for step in [-2, -1, 0, 1, i64::MIN / 2, i64::MAX / 4] {
            for target in times.iter().map(|(_, time)| time + step) {
                let expected = times.iter().find(|(_, time)| *time >= target).copied();
                assert_eq!(find_timestamp(&batch, target, &mut scratch, LIMIT), Ok(expected));
            }
        }
    }
}
