//! One record, its headers, and the walk over the records of a batch.

use std::fmt;

use super::batch::Batch;
use super::codec::{self, Codec, CodecError};
use super::header::{BatchError, HEADER_SIZE};
use super::scratch::Scratch;
use super::varint::{take_varint, take_varlong};

/// Bytes of the shortest record: its length, attributes, two deltas, two null lengths and a header count.
pub(super) const RECORD_SIZE_MIN: usize = 7;
/// Bytes of the shortest record header: an empty key and a null value.
const HEADER_SIZE_MIN: usize = 2;

/// What is wrong with the records of a batch whose CRC is right: INVALID_RECORD, and MESSAGE_TOO_LARGE for `TooLarge`. None
/// of it goes away when the same bytes are sent again, so nothing a client would retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// A codec number that does not exist.
    UnknownCodec(u8),
    /// The compressed data are damaged.
    Corrupt(Codec),
    /// Decompressed, the records have more than `limit` bytes.
    TooLarge { limit: usize },
    /// The header declares a count that is negative or more than the bytes can hold.
    Count { declared: i32 },
    /// Bytes are left behind the last record the header declares.
    Trailing,
    /// The bytes end inside a record.
    Truncated,
    /// A varint is too long, or its record ends inside it.
    Varint,
    /// A record's length is not that of its fields.
    Length,
    /// A key, value or header length is below -1, or a header has no key.
    FieldLength,
    /// A header count is negative or more than the bytes can hold.
    HeaderCount,
    /// Offset deltas do not count up from 0.
    OffsetDelta { expected: i32, found: i32 },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCodec(id) => write!(f, "no compression codec has the number {id}"),
            Self::Corrupt(codec) => write!(f, "the {codec} data are damaged"),
            Self::TooLarge { limit } => write!(f, "the records have more than {limit} bytes when decompressed"),
            Self::Count { declared } => write!(f, "the batch cannot hold the {declared} records it declares"),
            Self::Trailing => f.write_str("bytes are left behind the last record"),
            Self::Truncated => f.write_str("the batch ends inside a record"),
            Self::Varint => f.write_str("a number in a record is cut off or too long"),
            Self::Length => f.write_str("a record's length is not that of its fields"),
            Self::FieldLength => f.write_str("a field of a record has an impossible length"),
            Self::HeaderCount => f.write_str("a record declares an impossible number of headers"),
            Self::OffsetDelta { expected, found } => {
                write!(f, "a record has the offset delta {found} where {expected} is due")
            }
        }
    }
}

impl std::error::Error for RecordError {}

impl From<CodecError> for RecordError {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Corrupt(codec) => Self::Corrupt(codec),
            CodecError::TooLarge { limit } => Self::TooLarge { limit },
        }
    }
}

/// The codec of `batch`, once its record count has been found possible: nobody walks, allocates or decompresses for a
/// count that the bytes (or the limit, for compressed ones) can't hold.
pub(super) fn admit(batch: &Batch<'_>, limit: usize) -> Result<Codec, RecordError> {
    let codec = match batch.header.codec() {
        Ok(codec) => codec,
        Err(BatchError::Codec(id)) => return Err(RecordError::UnknownCodec(id)),
        Err(_) => return Err(RecordError::Corrupt(Codec::None)),
    };
    let declared = batch.header.records_count;
    let space = if codec == Codec::None { batch.bytes.len() - HEADER_SIZE } else { limit };
    match usize::try_from(declared) {
        Ok(count) if count <= space / RECORD_SIZE_MIN => Ok(codec),
        _ => Err(RecordError::Count { declared }),
    }
}

/// One record; keys and values borrow from the batch or from the scratch it was decompressed into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// To the base offset of the batch.
    pub offset_delta: i32,
    /// To the base timestamp of the batch, milliseconds. Without meaning in a batch with LogAppendTime.
    pub timestamp_delta: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// A header of a record. The key should be UTF-8; nobody checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// The headers of a record, in order. They were checked when the record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        let key = take_field(&mut self.bytes).ok()??;
        let value = take_field(&mut self.bytes).ok()?;
        Some(Header { key, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

impl<'a> Record<'a> {
    /// Takes one record off the front of `bytes`.
    pub(super) fn take(bytes: &mut &'a [u8]) -> Result<Self, RecordError> {
        let mut body = take_body(bytes)?;
        let (_attributes, rest) = body.split_first().ok_or(RecordError::Length)?;
        body = rest;
        let timestamp_delta = take_varlong(&mut body).ok_or(RecordError::Varint)?;
        let offset_delta = take_varint(&mut body).ok_or(RecordError::Varint)?;
        let key = take_field(&mut body)?;
        let value = take_field(&mut body)?;
        let left = take_header_count(&mut body)?;
        let headers = Headers { bytes: body, left };
        for _ in 0..left {
            take_field(&mut body)?.ok_or(RecordError::FieldLength)?;
            take_field(&mut body)?;
        }
        if !body.is_empty() {
            return Err(RecordError::Length);
        }
        Ok(Self { offset_delta, timestamp_delta, key, value, headers })
    }
}

/// Takes the length of a record and as many bytes.
#[inline]
pub(super) fn take_body<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], RecordError> {
    let length = take_varint(bytes).ok_or(RecordError::Truncated)?;
    let length = usize::try_from(length).map_err(|_| RecordError::Length)?;
    let (body, rest) = bytes.split_at_checked(length).ok_or(RecordError::Truncated)?;
    *bytes = rest;
    Ok(body)
}

/// Takes a length and as many bytes; -1 stands for null. Kafka takes every negative length for null, but writes -1.
#[inline]
pub(super) fn take_field<'a>(body: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordError> {
    let length = take_varint(body).ok_or(RecordError::Varint)?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| RecordError::FieldLength)?;
    let (field, rest) = body.split_at_checked(length).ok_or(RecordError::Length)?;
    *body = rest;
    Ok(Some(field))
}

#[inline]
pub(super) fn take_header_count(body: &mut &[u8]) -> Result<usize, RecordError> {
    let count = take_varint(body).ok_or(RecordError::Varint)?;
    match usize::try_from(count) {
        Ok(count) if count <= body.len() / HEADER_SIZE_MIN => Ok(count),
        _ => Err(RecordError::HeaderCount),
    }
}

/// The records of one batch, in order. After an error it yields nothing more.
#[derive(Clone, Debug)]
pub struct RecordIter<'s> {
    rest: &'s [u8],
    left: usize,
}

impl<'s> RecordIter<'s> {
    pub(super) fn new(batch: &'s Batch<'_>, scratch: &'s mut Scratch, limit: usize) -> Result<Self, RecordError> {
        let codec = admit(batch, limit)?;
        let rest = match codec {
            Codec::None => batch.payload(),
            // Compaction may leave nothing of a batch but its header.
            _ if batch.payload().is_empty() && batch.header.records_count == 0 => &[],
            codec => codec::decompress_whole(codec, batch.payload(), limit, scratch)?,
        };
        Ok(Self { rest, left: batch.header.records_count as usize })
    }
}

impl<'s> Iterator for RecordIter<'s> {
    type Item = Result<Record<'s>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let rest = std::mem::take(&mut self.rest);
            return if rest.is_empty() { None } else { Some(Err(RecordError::Trailing)) };
        }
        self.left -= 1;
        let record = Record::take(&mut self.rest);
        if record.is_err() {
            (self.left, self.rest) = (0, &[]);
        }
        Some(record)
    }
}
