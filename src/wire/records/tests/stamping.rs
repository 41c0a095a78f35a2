//! What the broker writes over the head of a batch.

use super::*;

fn stamped(bytes: &[u8], with: Stamp) -> (Vec<u8>, usize) {
    let head = stamp(&whole(bytes).header, bytes, with);
    let mut out = head.as_slice().to_vec();
    out.extend_from_slice(&bytes[head.len()..]);
    (out, head.len())
}

fn at(base_offset: i64) -> Stamp {
    Stamp { base_offset, leader_epoch: 9, append_time: None, max_timestamp: None }
}

#[test]
fn offset_and_epoch_alone_leave_the_crc() {
    for codec in CODECS {
        let bytes = batch_of(codec, 10, 100);
        let before = whole(&bytes).header;
        for with in [at(77), Stamp { max_timestamp: Some(before.max_timestamp), ..at(77) }] {
            let (after, replaced) = stamped(&bytes, with);
            assert_eq!(replaced, 16);
            let batch = whole(&after);
            assert!(batch.crc_matches());
            assert_eq!(batch.header, BatchHeader { base_offset: 77, leader_epoch: 9, ..before });
            assert_eq!(after[16..], bytes[16..]);
        }
    }
}

#[test]
fn append_time_takes_a_new_crc() {
    let bytes = batch_of(Codec::Lz4, 10, 100);
    let (after, replaced) = stamped(&bytes, Stamp { append_time: Some(5000), ..at(1) });
    assert_eq!(replaced, HEADER_SIZE);
    let batch = whole(&after);
    assert!(batch.crc_matches());
    assert_eq!(batch.header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!((batch.header.max_timestamp, batch.header.base_offset), (5000, 1));
    assert_eq!(after[HEADER_SIZE..], bytes[HEADER_SIZE..]);
    let found = scan(&batch, &mut Scratch::new(), LIMIT).unwrap();
    assert_eq!((found.max_timestamp, found.offset_delta_of_max, found.min_timestamp), (5000, 0, 5000));
}

#[test]
fn a_wrong_max_timestamp_or_type_is_put_right() {
    let mut bytes = batch_of(Codec::None, 10, 100);
    bytes[35..43].copy_from_slice(&1_i64.to_be_bytes());
    bytes[22] |= 0x88;
    bytes[21] = 0x40;
    reseal(&mut bytes);
    let (after, replaced) = stamped(&bytes, Stamp { max_timestamp: Some(1009), ..at(0) });
    assert_eq!(replaced, HEADER_SIZE);
    let batch = whole(&after);
    assert!(batch.crc_matches());
    assert_eq!(batch.header.attributes, Attributes(0), "bits without a meaning go, as in Kafka");
    assert_eq!(batch.header.max_timestamp, 1009);
}
