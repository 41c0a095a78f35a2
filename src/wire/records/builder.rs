//! Batches made here: of a load tool, of the coordinators, of the metadata log, and of a topic whose `compression.type`
//! is not the producer's.

use std::fmt;

use super::batch::Batch;
use super::codec::{self, Codec};
use super::header::{Attributes, BatchHeader, HEADER_SIZE, LENGTH_OVERHEAD, MAGIC, TimestampType};
use super::record::{RecordError, admit};
use super::scratch::Scratch;
use super::stamp::seal;
use super::varint::{put_varint, put_varlong, varint_size, varlong_size};
use super::{NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP};

/// The most bytes of a batch that its length field can tell.
const BATCH_SIZE_MAX: usize = i32::MAX as usize - LENGTH_OVERHEAD;

/// Why a record does not fit into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// Batch, record or field would exceed what 32 bits can tell.
    TooLarge,
    /// The offset is below the one before or too far from the base offset.
    Offset(i64),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the batch would be longer than its length field can tell"),
            Self::Offset(offset) => write!(f, "the offset {offset} does not fit into the batch"),
        }
    }
}

impl std::error::Error for BuildError {}

/// The kinds of control records (`ControlRecordType`); their keys are version 0 and this number, both int16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum ControlRecordType {
    Abort = 0,
    Commit = 1,
    LeaderChange = 2,
    SnapshotHeader = 3,
    SnapshotFooter = 4,
    KraftVersion = 5,
    KraftVoters = 6,
}

const CONTROL_TYPES: [ControlRecordType; 7] = {
    use ControlRecordType as T;
    [T::Abort, T::Commit, T::LeaderChange, T::SnapshotHeader, T::SnapshotFooter, T::KraftVersion, T::KraftVoters]
};

impl ControlRecordType {
    /// The key of such a record.
    pub fn key(self) -> [u8; 4] {
        let [high, low] = (self as i16).to_be_bytes();
        [0, 0, high, low]
    }
}

/// The kind of the control record that has `key`. `None` for kinds not known, which readers step over.
pub fn control_record_type(key: &[u8]) -> Option<ControlRecordType> {
    let (version, rest) = key.split_first_chunk::<2>()?;
    let (kind, _) = rest.split_first_chunk::<2>()?;
    let kind = i16::from_be_bytes(*kind);
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    CONTROL_TYPES.get(usize::try_from(kind).ok()?).copied()
}

/// Collects records and makes one batch of them. Neither producer nor leader epoch, CreateTime and no compression
/// unless told otherwise.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    header: BatchHeader,
    codec: Codec,
    level: i32,
    /// Room for the header, then the records, uncompressed.
    bytes: Vec<u8>,
}

impl BatchBuilder {
    pub fn new(base_offset: i64) -> Self {
        Self::with_buffer(base_offset, Vec::new())
    }

    /// Builds into `buffer`, of which only the capacity is used.
    pub fn with_buffer(base_offset: i64, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(HEADER_SIZE, 0);
        let header = BatchHeader {
            base_offset,
            batch_length: 0,
            leader_epoch: -1,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes::default(),
            last_offset_delta: -1,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: -1,
            base_sequence: NO_SEQUENCE,
            records_count: 0,
        };
        Self { header, codec: Codec::None, level: 0, bytes: buffer }
    }

    #[must_use]
    pub fn leader_epoch(mut self, leader_epoch: i32) -> Self {
        self.header.leader_epoch = leader_epoch;
        self
    }

    #[must_use]
    pub fn producer(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Self {
        self.header.producer_id = producer_id;
        self.header.producer_epoch = producer_epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.header.attributes = self.header.attributes.with_transactional(true);
        self
    }

    /// Marks the batch as one of control records. They are never compressed.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.header.attributes = self.header.attributes.with_control(true);
        self
    }

    /// `level` as in [`codec::compress`]; [`Codec::default_level`] is Kafka's default.
    #[must_use]
    pub fn codec(mut self, codec: Codec, level: i32) -> Self {
        (self.codec, self.level) = (codec, level);
        self
    }

    /// Fixes when compaction may drop tombstones and markers (KIP-534). Before the first record.
    #[must_use]
    pub fn delete_horizon(mut self, horizon_ms: i64) -> Self {
        debug_assert!(self.is_empty());
        self.header.attributes = self.header.attributes.with_delete_horizon(true);
        self.header.base_timestamp = horizon_ms;
        self
    }

    /// LogAppendTime: `now_ms` is the timestamp of every record.
    #[must_use]
    pub fn append_time(mut self, now_ms: i64) -> Self {
        self.header.attributes = self.header.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        self.header.max_timestamp = now_ms;
        self
    }

    /// Adds a record at the next offset. `timestamp` is milliseconds; headers are keys and values.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), BuildError> {
        self.push_at(self.header.next_offset(), timestamp, key, value, headers)
    }

    /// Adds a record at `offset`, which may leave a gap behind the last one, as compaction does.
    pub fn push_at(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), BuildError> {
        let delta = self.delta_of(offset)?;
        if self.is_empty() && !self.header.attributes.has_delete_horizon() {
            self.header.base_timestamp = timestamp;
        }
        let timestamp_delta = timestamp.wrapping_sub(self.header.base_timestamp);
        let body = body_size(delta, timestamp_delta, key, value, headers);
        if body > BATCH_SIZE_MAX || self.bytes.len() + body + 5 > BATCH_SIZE_MAX {
            return Err(BuildError::TooLarge);
        }
        put_record(&mut self.bytes, body as i32, delta, timestamp_delta, key, value, headers);
        self.header.last_offset_delta = delta;
        self.header.records_count += 1;
        if self.header.timestamp_type() == TimestampType::CreateTime {
            self.header.max_timestamp = self.header.max_timestamp.max(timestamp);
        }
        Ok(())
    }

    /// The distance of `offset` to the base offset, if it lies behind what the batch covers.
    fn delta_of(&self, offset: i64) -> Result<i32, BuildError> {
        let delta = offset.checked_sub(self.header.base_offset).and_then(|delta| i32::try_from(delta).ok());
        delta.filter(|&delta| delta > self.header.last_offset_delta).ok_or(BuildError::Offset(offset))
    }

    /// Adds a control record; the caller encodes the value.
    pub fn push_control(&mut self, timestamp: i64, kind: ControlRecordType, value: &[u8]) -> Result<(), BuildError> {
        self.header.attributes = self.header.attributes.with_control(true);
        self.push(timestamp, Some(&kind.key()), Some(value), &[])
    }

    /// Makes the batch reach to `offset` though its last record does not, or it has none: what compaction leaves.
    pub fn cover(&mut self, offset: i64) -> Result<(), BuildError> {
        self.header.last_offset_delta = self.delta_of(offset)?;
        Ok(())
    }

    /// Sets the largest timestamp (milliseconds) of a batch whose records have lower ones or are gone.
    pub fn cover_timestamp(&mut self, max_timestamp: i64) {
        self.header.max_timestamp = max_timestamp;
    }

    pub fn is_empty(&self) -> bool {
        self.header.records_count == 0
    }

    pub fn records_count(&self) -> i32 {
        self.header.records_count
    }

    /// How far the batch reaches; -1 while it has neither a record nor anything to cover.
    pub fn last_offset_delta(&self) -> i32 {
        self.header.last_offset_delta
    }

    /// Bytes of the batch if it were finished now without compression.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The batch.
    pub fn finish(self, scratch: &mut Scratch) -> Vec<u8> {
        let codec = if self.header.is_control() || self.is_empty() { Codec::None } else { self.codec };
        if codec == Codec::None {
            return close(self.header, self.bytes);
        }
        compressed(self.header, codec, self.level, &self.bytes[HEADER_SIZE..], scratch)
    }
}

/// The batch with its records compressed by another codec (topic `compression.type`), everything else as it is.
///
/// The records are not looked at: [`super::scan`] did. `limit` bounds what they decompress to.
pub fn recompress(
    batch: &Batch<'_>,
    codec: Codec,
    level: i32,
    scratch: &mut Scratch,
    limit: usize,
) -> Result<Vec<u8>, RecordError> {
    let from = admit(batch, limit)?;
    let mut plain = std::mem::take(&mut scratch.whole);
    plain.clear();
    let result = match from {
        Codec::None => Ok(compressed(batch.header, codec, level, batch.payload(), scratch)),
        _ => codec::decompress(from, batch.payload(), limit, scratch, &mut plain)
            .map(|()| compressed(batch.header, codec, level, &plain, scratch)),
    };
    scratch.whole = plain;
    scratch.trim();
    Ok(result?)
}

fn compressed(mut header: BatchHeader, codec: Codec, level: i32, records: &[u8], scratch: &mut Scratch) -> Vec<u8> {
    header.attributes = header.attributes.with_codec(codec);
    let mut bytes = vec![0; HEADER_SIZE];
    codec::compress(codec, level, records, scratch, &mut bytes);
    close(header, bytes)
}

/// Writes the header, length and CRC included, into the room before the records.
fn close(mut header: BatchHeader, mut bytes: Vec<u8>) -> Vec<u8> {
    header.batch_length = (bytes.len() - LENGTH_OVERHEAD) as i32;
    let sealed = seal(header, &bytes[HEADER_SIZE..]);
    bytes[..HEADER_SIZE].copy_from_slice(&sealed);
    bytes
}

fn body_size(
    offset_delta: i32,
    timestamp_delta: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&[u8], Option<&[u8]>)],
) -> usize {
    let fields = 1 + varint_size(offset_delta) + varlong_size(timestamp_delta) + field_size(key) + field_size(value);
    let headers_size: usize = headers.iter().map(|(key, value)| field_size(Some(key)) + field_size(*value)).sum();
    fields + varint_size(headers.len() as i32) + headers_size
}

fn field_size(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varint_size(bytes.len() as i32) + bytes.len())
}

fn put_record(
    out: &mut Vec<u8>,
    body: i32,
    offset_delta: i32,
    timestamp_delta: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&[u8], Option<&[u8]>)],
) {
    put_varint(out, body);
    out.push(0);
    put_varlong(out, timestamp_delta);
    put_varint(out, offset_delta);
    put_field(out, key);
    put_field(out, value);
    put_varint(out, headers.len() as i32);
    for (key, value) in headers {
        put_field(out, Some(key));
        put_field(out, *value);
    }
}

fn put_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
    }
}
