//! Headers, whole batches, several in a row.

use super::*;

#[test]
fn a_header_comes_back_from_its_bytes() {
    for batch in Batches::new(JAVA) {
        let batch = batch.unwrap();
        assert_eq!(batch.header.to_bytes(), batch.bytes[..HEADER_SIZE]);
        assert_eq!(batch.header.size(), batch.bytes.len());
    }
}

#[test]
fn a_batch_needs_all_its_bytes() {
    let bytes = batch_of(Codec::None, 3, 10);
    for have in 0..bytes.len() {
        let need = if have < HEADER_SIZE { HEADER_SIZE } else { bytes.len() };
        assert_eq!(Batch::first(&bytes[..have]).unwrap_err(), BatchError::Torn { need, have });
    }
    let twice = [bytes.clone(), bytes.clone()].concat();
    let (batch, rest) = Batch::first(&twice).unwrap();
    assert_eq!((batch.bytes, rest), (&bytes[..], &bytes[..]));
}

#[test]
fn other_formats_and_impossible_lengths_are_refused() {
    for magic in [-1, 0, 1, 3_i8] {
        let mut bytes = batch_of(Codec::None, 1, 10);
        bytes[16] = magic as u8;
        assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::Magic(magic)));
    }
    for length in [i32::MIN, -1, 0, 48, i32::MAX, i32::MAX - 11] {
        let mut bytes = batch_of(Codec::None, 1, 10);
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::Length(length)));
    }
    assert_eq!(BatchHeader::parse(&[0; 100]), Err(BatchError::Magic(0)), "the zeros of a file cut short");
}

#[test]
fn a_row_of_batches_ends_at_a_torn_tail() {
    let (first, second) = (batch_of(Codec::None, 3, 10), batch_of(Codec::Lz4, 9, 100));
    let bytes = [first.clone(), second.clone()].concat();
    for end in 0..=bytes.len() {
        let mut batches = Batches::new(&bytes[..end]);
        let found = batches.by_ref().map(|batch| batch.unwrap().bytes.len()).collect::<Vec<_>>();
        let expected = match end {
            _ if end == bytes.len() => vec![first.len(), second.len()],
            _ if end >= first.len() => vec![first.len()],
            _ => vec![],
        };
        assert_eq!(found, expected);
        assert_eq!(batches.rest(), &bytes[expected.iter().sum::<usize>()..end]);
    }
}

#[test]
fn a_row_of_batches_stops_at_the_first_error() {
    let mut bytes = [batch_of(Codec::None, 3, 10), batch_of(Codec::None, 3, 10)].concat();
    let half = bytes.len() / 2;
    bytes[half + 16] = 1;
    let mut batches = Batches::new(&bytes);
    assert!(batches.next().unwrap().is_ok());
    assert_eq!(batches.next().unwrap().unwrap_err(), BatchError::Magic(1));
    assert!(batches.next().is_none());
    assert_eq!(batches.rest().len(), half);
}

#[test]
fn the_crc_covers_everything_but_the_first_21_bytes() {
    let bytes = batch_of(Codec::None, 3, 10);
    assert!(whole(&bytes).crc_matches());
    for index in (0..8).chain(12..16).chain(17..bytes.len()) {
        let mut damaged = bytes.clone();
        damaged[index] ^= 0x10;
        assert_eq!(whole(&damaged).crc_matches(), index < 16, "byte {index}");
    }
}

#[test]
fn sequences_wrap_at_the_largest_int() {
    let mut header = whole(&batch_of(Codec::None, 5, 1)).header;
    assert_eq!(header.last_sequence(), NO_SEQUENCE);
    for (base, last) in [(0, 4), (i32::MAX - 4, i32::MAX), (i32::MAX - 3, 0), (i32::MAX, 3)] {
        header.base_sequence = base;
        assert_eq!(header.last_sequence(), last);
    }
}

#[test]
fn offsets_a_builder_cannot_place_are_refused() {
    let mut builder = BatchBuilder::new(100);
    builder.push_at(105, 0, None, None, &[]).unwrap();
    for offset in [i64::MIN, 99, 100, 105, 101 + i64::from(i32::MAX), i64::MAX] {
        assert_eq!(builder.push_at(offset, 0, None, None, &[]), Err(BuildError::Offset(offset)));
    }
    builder.push(0, None, None, &[]).unwrap();
    assert_eq!(whole(&builder.finish(&mut Scratch::new())).header.last_offset(), 106);
}

#[test]
fn control_records_are_known_by_their_keys() {
    assert_eq!(ControlRecordType::Commit.key(), [0, 0, 0, 1]);
    assert_eq!(control_record_type(&[0, 0, 0, 2]), Some(ControlRecordType::LeaderChange));
    assert_eq!(control_record_type(&[0, 1, 0, 6, 9, 9]), Some(ControlRecordType::KraftVoters), "later versions add");
    for unknown in [&[0, 0, 0, 7][..], &[0, 0, 0xff, 0xff], &[0xff, 0xff, 0, 1], &[0, 0, 0], &[]] {
        assert_eq!(control_record_type(unknown), None);
    }
}
