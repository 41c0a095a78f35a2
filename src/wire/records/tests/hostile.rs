//! Batches that no client should send: refused or bounded, and scan and walk of one mind about them.

use super::*;

/// Scans and walks; both must come to the same end. Returns what the scan found.
fn agree(bytes: &[u8], limit: usize) -> Result<Scan, RecordError> {
    let mut scratch = Scratch::new();
    let (batch, _) = Batch::first(bytes).unwrap();
    let found = scan(&batch, &mut scratch, limit);
    let walked = walk(&batch, limit);
    match (&found, &walked) {
        (Err(RecordError::OffsetDelta { .. }), _) => {}
        (Ok(_), Ok(deltas)) => assert!(deltas.iter().copied().eq(0..batch.header.records_count), "{deltas:?}"),
        // The scan stops at the first bad record, the walk decompresses first.
        (Err(_), Err(_)) => {}
        _ => panic!("scan {found:?}, walk {walked:?}"),
    }
    let _ = find_timestamp(&batch, i64::MAX, &mut scratch, limit);
    let _ = recompress(&batch, Codec::Lz4, 9, &mut scratch, limit);
    found
}

/// The offset deltas of all records.
fn walk(batch: &Batch<'_>, limit: usize) -> Result<Vec<i32>, RecordError> {
    let mut scratch = Scratch::new();
    batch
        .records(&mut scratch, limit)?
        .map(|record| {
            let record = record?;
            assert_eq!(record.headers.len(), record.headers.count());
            Ok(record.offset_delta)
        })
        .collect()
}

/// A batch that declares `count` records and holds `records`, compressed by `codec`.
fn forged(codec: Codec, count: i32, records: &[u8]) -> Vec<u8> {
    let mut bytes = batch_of(Codec::None, 1, 0)[..HEADER_SIZE].to_vec();
    bytes[22] = codec as u8;
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    compress(codec, codec.default_level(), records, &mut Scratch::new(), &mut bytes);
    reseal(&mut bytes);
    bytes
}

/// A record that is too long for its batch may be found out at either end of it.
fn refused(records: &[u8], error: RecordError) {
    for codec in CODECS {
        let found = agree(&forged(codec, 1, records), 1 << 20).unwrap_err();
        let cut = error == RecordError::Truncated && found == RecordError::Length;
        assert!(found == error || cut, "{codec} {records:?}: {found:?}, not {error:?}");
    }
}

#[test]
fn a_record_is_what_its_lengths_say() {
    // Length, attributes, timestamp delta, offset delta, key, value, header count.
    for codec in CODECS {
        let found = agree(&forged(codec, 1, &[12, 0, 0, 0, 1, 1, 0]), 1 << 20).unwrap();
        assert_eq!((found.null_keys, found.records_bytes), (true, 7));
    }
    refused(&[12, 0, 0, 0, 1, 1, 0, 9], RecordError::Trailing);
    refused(&[10, 0, 0, 0, 1, 1, 0], RecordError::Varint);
    refused(&[14, 0, 0, 0, 1, 1, 0], RecordError::Truncated);
    refused(&[14, 0, 0, 0, 1, 1, 0, 0], RecordError::Length);
    refused(&[12, 0, 0, 0, 1, 1, 2], RecordError::HeaderCount);
    refused(&[12, 0, 0, 0, 1, 1, 1], RecordError::HeaderCount);
    refused(&[12, 0, 0, 0, 3, 1, 0], RecordError::FieldLength);
    refused(&[12, 0, 0, 0, 1, 3, 0], RecordError::FieldLength);
    refused(&[12, 0, 0, 0, 8, 1, 0], RecordError::Length);
    refused(&[12, 0, 0, 2, 1, 1, 0], RecordError::OffsetDelta { expected: 0, found: 1 });
    refused(&[12, 0, 0, 1, 1, 1, 0], RecordError::OffsetDelta { expected: 0, found: -1 });
    refused(&[0, 0, 0, 0, 0, 0, 0], RecordError::Length);
    refused(&[1, 0, 0, 0, 0, 0, 0], RecordError::Length);
    refused(&[0x80; 7], RecordError::Truncated);
    refused(&[16, 0, 0, 0, 1, 1, 2, 1, 1], RecordError::FieldLength);
    refused(&[18, 0, 0, 0, 1, 1, 2, 0, 4, 1], RecordError::Length);
    refused(&[20, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0][..11], RecordError::Varint);
}

#[test]
fn the_count_is_what_the_records_are() {
    for codec in CODECS {
        let mut bytes = batch_of(codec, 10, 20);
        for count in [i32::MIN, -1, 0, 9, 11, 1000, i32::MAX] {
            bytes[57..61].copy_from_slice(&count.to_be_bytes());
            assert!(agree(&bytes, 1 << 20).is_err(), "{codec} {count}");
        }
        for count in [-1, 1 << 20, i32::MAX] {
            bytes[57..61].copy_from_slice(&count.to_be_bytes());
            assert_eq!(agree(&bytes, 1 << 20), Err(RecordError::Count { declared: count }));
        }
    }
}

#[test]
fn codecs_that_do_not_exist_are_named() {
    for id in 5..8 {
        let mut bytes = batch_of(Codec::None, 1, 1);
        bytes[22] = id;
        assert_eq!(whole(&bytes).header.codec(), Err(BatchError::Codec(id)));
        assert_eq!(agree(&bytes, 100), Err(RecordError::UnknownCodec(id)));
    }
}

#[test]
fn hundreds_of_thousands_of_empty_records_are_walked_in_bounded_memory() {
    let count = 300_000;
    let mut builder = BatchBuilder::new(0);
    for _ in 0..count {
        builder.push(0, None, None, &[]).unwrap();
    }
    let plain = builder.finish(&mut Scratch::new());
    let mut scratch = Scratch::new();
    assert!(scan(&whole(&plain), &mut scratch, LIMIT).is_ok());
    for codec in COMPRESSING {
        let bytes = recompress(&whole(&plain), codec, codec.default_level(), &mut scratch, LIMIT).unwrap();
        let found = scan(&whole(&bytes), &mut scratch, LIMIT).unwrap();
        assert_eq!(found.records_bytes, plain.len() - HEADER_SIZE);
        assert!(scratch.window.peak() <= 256 << 10, "{codec}");
        let refused = scan(&whole(&bytes), &mut scratch, 7 * count - 1);
        assert_eq!(refused, Err(RecordError::Count { declared: count as i32 }));
    }
}

#[test]
fn bombs_stop_at_the_limit_in_bounded_memory() {
    let (size, limit) = (16 << 20, 1 << 20);
    // One record whose value is all zeros, and noughts that are no records.
    let mut builder = BatchBuilder::new(0);
    builder.push(0, None, Some(&vec![0; size]), &[]).unwrap();
    let plain = builder.finish(&mut Scratch::new());
    for codec in COMPRESSING {
        let mut scratch = Scratch::new();
        let bytes = recompress(&whole(&plain), codec, codec.default_level(), &mut scratch, usize::MAX).unwrap();
        let batch = whole(&bytes);
        assert_eq!(scan(&batch, &mut scratch, limit), Err(RecordError::TooLarge { limit }), "{codec}");
        assert!(scratch.window.peak() <= 256 << 10, "{codec}");
        let records = batch.records(&mut scratch, limit).map(|_| ());
        assert_eq!(records, Err(RecordError::TooLarge { limit }), "{codec}");
        assert!(scratch.whole.capacity() <= 4 * limit, "{codec}");
        assert_eq!(recompress(&batch, Codec::Zstd, 3, &mut scratch, limit), Err(RecordError::TooLarge { limit }));
        assert!(scan(&batch, &mut scratch, size + 100).is_ok());
        assert!(scratch.window.peak() <= 256 << 10, "{codec}");
    }
}

#[test]
fn large_buffers_are_given_back() {
    let bytes = batch_of(Codec::Zstd, 100, 100_000);
    let mut scratch = Scratch::new();
    assert_eq!(whole(&bytes).records(&mut scratch, LIMIT).unwrap().count(), 100);
    assert!(scratch.whole.capacity() > 10_000_000);
    let small = batch_of(Codec::Zstd, 1, 10);
    scan(&whole(&small), &mut scratch, LIMIT).unwrap();
    assert!(scratch.whole.capacity() <= 1 << 20);
}

#[test]
fn cut_batches_with_a_right_crc_are_refused() {
    for codec in CODECS {
        let bytes = batch_of(codec, 7, 50);
        for end in HEADER_SIZE..bytes.len() {
            let mut cut = bytes[..end].to_vec();
            reseal(&mut cut);
            assert!(whole(&cut).crc_matches());
            // Java stops at the end mark of lz4 and ignores junk behind gzip; nothing of that is cut off here.
            assert!(agree(&cut, 1 << 20).is_err(), "{codec} {end}");
        }
    }
}

#[test]
fn damaged_batches_with_a_right_crc_never_part_scan_and_walk() {
    let mut dice = Dice::new(20);
    let rounds = 120;
    for batch in Batches::new(JAVA).map(|batch| batch.unwrap()) {
        for _ in 0..rounds {
            let mut bytes = batch.bytes.to_vec();
            for _ in 0..=dice.below(3) {
                // Mostly near the front, where lengths and counts are.
                let reach = if dice.below(4) == 0 { bytes.len() } else { bytes.len().min(140) };
                let at = 21 + dice.below(reach - 21);
                bytes[at] = if dice.below(2) == 0 { dice.next() as u8 } else { bytes[at] ^ 1 << dice.below(8) };
            }
            reseal(&mut bytes);
            let _ = agree(&bytes, 200_000);
        }
    }
}

#[test]
fn damaged_records_under_every_codec_never_part_scan_and_walk() {
    let mut dice = Dice::new(21);
    for round in 0..600 {
        let records = batch_of(Codec::None, 1 + round % 5, [3, 70, 40_000][round % 3]);
        let mut records = records[HEADER_SIZE..].to_vec();
        for _ in 0..dice.below(3) {
            let at = dice.below(records.len());
            records[at] = [0, 1, 0x7f, 0x80, 0xff, dice.next() as u8][dice.below(6)];
        }
        records.truncate(records.len() - dice.below(2) * dice.below(records.len()));
        let found = CODECS.map(|codec| agree(&forged(codec, 1 + (round % 5) as i32, &records), LIMIT));
        // A record too short for its field ends differently where it does not lie in memory as a whole.
        assert!(found.iter().all(|one| one.is_ok() == found[0].is_ok()), "{found:?}");
        assert!(found.iter().all(|one| one.is_err() || *one == found[0]), "{found:?}");
    }
}

#[test]
fn noise_behind_a_header_is_refused() {
    let mut dice = Dice::new(22);
    for _ in 0..20_000 {
        let codec = CODECS[dice.below(5)];
        let mut bytes = batch_of(Codec::None, 1, 0)[..HEADER_SIZE].to_vec();
        let size = dice.below(200);
        bytes.extend(dice.bytes(size));
        bytes[22] = codec as u8;
        bytes[57..61].copy_from_slice(&(dice.below(30) as i32).to_be_bytes());
        reseal(&mut bytes);
        let _ = agree(&bytes, 10_000);
    }
}

#[test]
fn noise_is_no_batch_or_a_bounded_one() {
    let mut dice = Dice::new(23);
    for _ in 0..20_000 {
        let size = dice.below(200);
        let mut bytes = dice.bytes(size);
        if bytes.len() > 16 {
            bytes[8..12].copy_from_slice(&(dice.below(200) as i32).to_be_bytes());
            bytes[16] = 2;
        }
        for batch in Batches::new(&bytes) {
            let Ok(batch) = batch else { break };
            let _ = (batch.crc_matches(), agree(batch.bytes, 10_000), batch.header.last_offset());
        }
    }
}
