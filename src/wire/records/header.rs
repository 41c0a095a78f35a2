//! The 61 bytes before the records.

use std::fmt;

use super::codec::Codec;

/// Bytes of a batch before its first record.
pub const HEADER_SIZE: usize = 61;
/// Bytes that `batch_length` does not count: base offset and the length itself.
pub const LENGTH_OVERHEAD: usize = 12;
/// Where the bytes under the CRC begin (attributes).
pub(super) const CRC_START: usize = 21;
/// The only format served; v0 and v1 went with Apache Kafka 4.0 (KIP-724).
pub(super) const MAGIC: i8 = 2;

const CODEC_MASK: u16 = 0b111;
const APPEND_TIME: u16 = 1 << 3;
const TRANSACTIONAL: u16 = 1 << 4;
const CONTROL: u16 = 1 << 5;
const DELETE_HORIZON: u16 = 1 << 6;
/// Bits with a meaning. Kafka drops the others whenever it rewrites the field.
const KNOWN: u16 = 0x7f;

/// Why bytes are no record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// The batch goes on beyond the bytes at hand: `need` in total, `have` are there. At the end of a log: a torn tail.
    Torn { need: usize, have: usize },
    /// The length field says less than a header, or more than i32 can hold with its overhead.
    Length(i32),
    /// Not format v2.
    Magic(i8),
    /// A codec number that does not exist.
    Codec(u8),
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn { need, have } => write!(f, "the batch needs {need} bytes and only {have} are there"),
            Self::Length(length) => write!(f, "the batch length {length} is not possible"),
            Self::Magic(magic) => write!(f, "the batch has magic {magic}, only 2 is known"),
            Self::Codec(id) => write!(f, "no compression codec has the number {id}"),
        }
    }
}

impl std::error::Error for BatchError {}

/// What the timestamps of a batch mean (KIP-32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub u16);

impl Attributes {
    /// Number of the codec, 0 to 7, of which 0 to 4 exist.
    pub fn codec_id(self) -> u8 {
        (self.0 & CODEC_MASK) as u8
    }

    pub fn codec(self) -> Result<Codec, BatchError> {
        Codec::from_id(self.codec_id()).ok_or(BatchError::Codec(self.codec_id()))
    }

    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & APPEND_TIME == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    pub fn is_transactional(self) -> bool {
        self.0 & TRANSACTIONAL != 0
    }

    pub fn is_control(self) -> bool {
        self.0 & CONTROL != 0
    }

    /// The base timestamp holds the delete horizon (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & DELETE_HORIZON != 0
    }

    #[must_use]
    pub fn with_codec(self, codec: Codec) -> Self {
        Self(self.0 & !CODEC_MASK | codec as u16)
    }

    #[must_use]
    pub fn with_timestamp_type(self, kind: TimestampType) -> Self {
        self.with(APPEND_TIME, kind == TimestampType::LogAppendTime)
    }

    #[must_use]
    pub fn with_transactional(self, on: bool) -> Self {
        self.with(TRANSACTIONAL, on)
    }

    #[must_use]
    pub fn with_control(self, on: bool) -> Self {
        self.with(CONTROL, on)
    }

    #[must_use]
    pub fn with_delete_horizon(self, on: bool) -> Self {
        self.with(DELETE_HORIZON, on)
    }

    /// Without the bits that have no meaning, as Kafka's `DefaultRecordBatch.computeAttributes` writes them.
    pub(super) fn known(self) -> Self {
        Self(self.0 & KNOWN)
    }

    fn with(self, bit: u16, on: bool) -> Self {
        if on { Self(self.0 | bit) } else { Self(self.0 & !bit) }
    }
}

/// The header of a record batch, as it stands in its first 61 bytes. Only magic and length are checked: every other
/// field is what the sender wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Bytes after this field: the whole batch without its first 12.
    pub batch_length: i32,
    pub leader_epoch: i32,
    pub magic: i8,
    pub crc: u32,
    pub attributes: Attributes,
    pub last_offset_delta: i32,
    /// Milliseconds; the delete horizon where the attributes say so.
    pub base_timestamp: i64,
    /// Milliseconds.
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which need not hold the records.
    ///
    /// Errors: `Torn` below 61 bytes, `Magic` unless 2, `Length` when the batch would be shorter than its header.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() > 16 && bytes[16] as i8 != MAGIC {
            return Err(BatchError::Magic(bytes[16] as i8));
        }
        let Some(b) = bytes.first_chunk::<HEADER_SIZE>() else {
            return Err(BatchError::Torn { need: HEADER_SIZE, have: bytes.len() });
        };
        let header = Self {
            base_offset: i64::from_be_bytes(field(b, 0)),
            batch_length: i32::from_be_bytes(field(b, 8)),
            leader_epoch: i32::from_be_bytes(field(b, 12)),
            magic: b[16] as i8,
            crc: u32::from_be_bytes(field(b, 17)),
            attributes: Attributes(u16::from_be_bytes(field(b, 21))),
            last_offset_delta: i32::from_be_bytes(field(b, 23)),
            base_timestamp: i64::from_be_bytes(field(b, 27)),
            max_timestamp: i64::from_be_bytes(field(b, 35)),
            producer_id: i64::from_be_bytes(field(b, 43)),
            producer_epoch: i16::from_be_bytes(field(b, 51)),
            base_sequence: i32::from_be_bytes(field(b, 53)),
            records_count: i32::from_be_bytes(field(b, 57)),
        };
        let shortest = (HEADER_SIZE - LENGTH_OVERHEAD) as i32;
        if header.batch_length < shortest || header.batch_length > i32::MAX - LENGTH_OVERHEAD as i32 {
            return Err(BatchError::Length(header.batch_length));
        }
        Ok(header)
    }

    /// The header as bytes, with whatever CRC the field holds.
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut b = [0; HEADER_SIZE];
        b[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        b[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        b[12..16].copy_from_slice(&self.leader_epoch.to_be_bytes());
        b[16] = self.magic as u8;
        b[17..21].copy_from_slice(&self.crc.to_be_bytes());
        b[21..23].copy_from_slice(&self.attributes.0.to_be_bytes());
        b[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        b[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        b[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        b[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        b[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        b[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        b[57..61].copy_from_slice(&self.records_count.to_be_bytes());
        b
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        self.batch_length as usize + LENGTH_OVERHEAD
    }

    /// Offset of the last record, or of the last one before compaction took it. Wraps on senseless input.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// Sequence of the last record; sequences go from i32::MAX to 0. `NO_SEQUENCE` when the batch has none.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return super::NO_SEQUENCE;
        }
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }

    pub fn codec(&self) -> Result<Codec, BatchError> {
        self.attributes.codec()
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes.is_transactional()
    }

    pub fn is_control(&self) -> bool {
        self.attributes.is_control()
    }

    pub fn timestamp_type(&self) -> TimestampType {
        self.attributes.timestamp_type()
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id > super::NO_PRODUCER_ID
    }

    /// When tombstones and markers of this batch may go, if compaction has fixed it (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER_SIZE], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
