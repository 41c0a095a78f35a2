//! Record batches with one thing wrong.

use crate::raw::Bytes;

/// Every field of a batch of version 2, to be set to anything.
#[derive(Clone)]
pub(crate) struct Batch {
    pub(crate) base_offset: i64,
    /// Instead of the length that fits.
    pub(crate) length: Option<i32>,
    pub(crate) magic: i8,
    /// Over the checksum that fits.
    pub(crate) crc_flip: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) count: i32,
    pub(crate) records: Vec<u8>,
}

impl Batch {
    /// One sound record.
    pub(crate) fn sound() -> Batch {
        Batch::of(1, record(0, Some(b"key"), Some(b"value")))
    }

    pub(crate) fn of(count: i32, records: Vec<u8>) -> Batch {
        Batch {
            base_offset: 0,
            length: None,
            magic: 2,
            crc_flip: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 1_700_000_000_000,
            max_timestamp: 1_700_000_000_000,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            count,
            records,
        }
    }

    pub(crate) fn with(change: impl FnOnce(&mut Batch)) -> Vec<u8> {
        let mut batch = Batch::sound();
        change(&mut batch);
        batch.bytes()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let summed = Bytes::new().i16(self.attributes).i32(self.last_offset_delta);
        let summed = summed.i64(self.base_timestamp).i64(self.max_timestamp);
        let summed = summed.i64(self.producer_id).i16(self.producer_epoch).i32(self.base_sequence);
        let summed = summed.i32(self.count).raw(&self.records).0;
        let length = self.length.unwrap_or(9 + summed.len() as i32);
        let head = Bytes::new().i64(self.base_offset).i32(length).i32(-1).i8(self.magic);
        head.i32((crc32c(&summed) ^ self.crc_flip) as i32).raw(&summed).0
    }
}

/// One record with no headers, its length in front.
pub(crate) fn record(offset_delta: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
    let body = Bytes::new().i8(0).varint(0).varint(offset_delta);
    let part = |bytes: Bytes, part: Option<&[u8]>| match part {
        None => bytes.varint(-1),
        Some(part) => bytes.varint(part.len() as i64).raw(part),
    };
    framed(part(part(body, key), value).varint(0))
}

/// A record's length and then its bytes, whatever they are.
pub(crate) fn framed(body: Bytes) -> Vec<u8> {
    Bytes::new().varint(body.0.len() as i64).raw(&body.0).0
}

/// Bit by bit and not the crate that the broker uses, so that a mistake there would show.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[test]
fn the_checksum_is_castagnoli() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
