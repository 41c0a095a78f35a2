//! What the broker writes into a batch it was sent: base offset, leader epoch, and the timestamp fields when they change.

use super::crc32c;
use super::header::{BatchHeader, CRC_START, HEADER_SIZE, LENGTH_OVERHEAD, TimestampType};

/// What to write over the head of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub base_offset: i64,
    pub leader_epoch: i32,
    /// Set for a topic with LogAppendTime: milliseconds, becomes the timestamp of every record.
    pub append_time: Option<i64>,
    /// Set for a topic with CreateTime: the largest timestamp of the records, milliseconds ([`super::Scan`]).
    pub max_timestamp: Option<i64>,
}

/// Bytes that replace the first ones of a batch; all others stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Only base offset and leader epoch change, which are not under the CRC.
    Short([u8; 16]),
    /// The timestamp fields change too, and with them the CRC.
    Long([u8; HEADER_SIZE]),
}

impl Head {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }

    /// Bytes to replace: 16 or 61.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }
}

/// The new head of the batch `bytes`, whose parsed header is `header`.
///
/// As Kafka's `LogValidator` and `DefaultRecordBatch.setMaxTimestamp` do it: timestamp type and max timestamp are
/// rewritten only where they differ from what stands there, and only then the CRC is computed anew.
pub fn stamp(header: &BatchHeader, bytes: &[u8], stamp: Stamp) -> Head {
    debug_assert_eq!(header.size(), bytes.len());
    let (kind, max_timestamp) = match (stamp.append_time, stamp.max_timestamp) {
        (Some(now), _) => (TimestampType::LogAppendTime, now),
        (None, Some(max)) => (TimestampType::CreateTime, max),
        (None, None) => (header.timestamp_type(), header.max_timestamp),
    };
    if kind == header.timestamp_type() && max_timestamp == header.max_timestamp {
        return Head::Short(short(header, stamp));
    }
    let mut stamped = *header;
    stamped.base_offset = stamp.base_offset;
    stamped.leader_epoch = stamp.leader_epoch;
    stamped.attributes = header.attributes.known().with_timestamp_type(kind);
    stamped.max_timestamp = max_timestamp;
    Head::Long(seal(stamped, &bytes[HEADER_SIZE..]))
}

/// The bytes of `header` with the CRC that fits it and the records behind it.
pub(super) fn seal(mut header: BatchHeader, payload: &[u8]) -> [u8; HEADER_SIZE] {
    header.crc = ::crc32c::crc32c_append(crc32c(&header.to_bytes()[CRC_START..]), payload);
    header.to_bytes()
}

fn short(header: &BatchHeader, stamp: Stamp) -> [u8; 16] {
    let mut head = [0; 16];
    head[0..8].copy_from_slice(&stamp.base_offset.to_be_bytes());
    head[8..LENGTH_OVERHEAD].copy_from_slice(&header.batch_length.to_be_bytes());
    head[12..16].copy_from_slice(&stamp.leader_epoch.to_be_bytes());
    head
}
