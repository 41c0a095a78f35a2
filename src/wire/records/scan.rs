//! The check of all records of a batch that a producer sent, in one pass and without keeping them.

use super::batch::Batch;
use super::codec::{Codec, Stream};
use super::header::TimestampType;
use super::record::{RecordError, admit, take_body, take_header_count};
use super::scratch::Scratch;
use super::varint::{take_varint, take_varlong, zigzag32};
use super::{NO_TIMESTAMP, header};

/// What one pass over the records of a batch found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Largest timestamp of a record, milliseconds; -1 when none has one.
    pub max_timestamp: i64,
    /// The first record that has it; 0 when none has a timestamp.
    pub offset_delta_of_max: i32,
    /// Smallest timestamp of the records that have one (for `message.timestamp.before.max.ms`); -1 when none has.
    pub min_timestamp: i64,
    /// A record has no key, which a compacted topic refuses.
    pub null_keys: bool,
    /// Bytes of the records, decompressed.
    pub records_bytes: usize,
}

/// Walks every record of `batch` once and checks it: lengths against bytes, varints, offset deltas 0, 1, 2 and so on,
/// header counts, the record count, nothing left behind. Keys, values and headers are skipped over.
///
/// Compressed data are streamed through a buffer in `scratch`; `limit_bytes` bounds what they may decompress to
/// (`TooLarge`). An uncompressed batch needs neither. Stricter than Kafka's `LogValidator`, which renumbers the
/// records of a compressed batch with wrong deltas and stores those of an uncompressed one.
pub fn scan(batch: &Batch<'_>, scratch: &mut Scratch, limit_bytes: usize) -> Result<Scan, RecordError> {
    let mut found = Found { expected: 0, null_keys: false, max: NO_TIMESTAMP, delta_of_max: 0, min: i64::MAX };
    let append_time = append_time(&batch.header);
    let base = batch.header.base_timestamp;
    let records_bytes = walk(batch, scratch, limit_bytes, |fields| {
        let timestamp = append_time.unwrap_or(base.wrapping_add(fields.timestamp_delta));
        found.add(&fields, timestamp).map(|()| true)
    })?;
    Ok(Scan {
        max_timestamp: found.max,
        offset_delta_of_max: found.delta_of_max,
        min_timestamp: if found.min == i64::MAX { NO_TIMESTAMP } else { found.min },
        null_keys: found.null_keys,
        records_bytes,
    })
}

/// Offset and timestamp of the first record whose timestamp is at least `target` (milliseconds), if the batch has one.
/// Gaps in the offsets, as compaction leaves them, are no error.
pub fn find_timestamp(
    batch: &Batch<'_>,
    target: i64,
    scratch: &mut Scratch,
    limit_bytes: usize,
) -> Result<Option<(i64, i64)>, RecordError> {
    let append_time = append_time(&batch.header);
    let mut found = None;
    walk(batch, scratch, limit_bytes, |fields| {
        let timestamp = append_time.unwrap_or(batch.header.base_timestamp.wrapping_add(fields.timestamp_delta));
        if timestamp >= target {
            found = Some((batch.header.base_offset.wrapping_add(i64::from(fields.offset_delta)), timestamp));
        }
        Ok(found.is_none())
    })?;
    Ok(found)
}

/// The timestamp of every record of a batch with LogAppendTime.
fn append_time(header: &header::BatchHeader) -> Option<i64> {
    (header.timestamp_type() == TimestampType::LogAppendTime).then_some(header.max_timestamp)
}

struct Found {
    expected: i32,
    null_keys: bool,
    max: i64,
    delta_of_max: i32,
    min: i64,
}

impl Found {
    #[inline]
    fn add(&mut self, fields: &Fields, timestamp: i64) -> Result<(), RecordError> {
        if fields.offset_delta != self.expected {
            return Err(RecordError::OffsetDelta { expected: self.expected, found: fields.offset_delta });
        }
        if timestamp > self.max {
            (self.max, self.delta_of_max) = (timestamp, self.expected);
        }
        if timestamp != NO_TIMESTAMP && timestamp < self.min {
            self.min = timestamp;
        }
        self.null_keys |= fields.null_key;
        self.expected += 1;
        Ok(())
    }
}

/// What is wanted of a record that is not kept.
struct Fields {
    timestamp_delta: i64,
    offset_delta: i32,
    null_key: bool,
}

/// Calls `each` for every record until it says false. Returns the bytes of the records, decompressed, read so far.
#[inline]
fn walk(
    batch: &Batch<'_>,
    scratch: &mut Scratch,
    limit: usize,
    each: impl FnMut(Fields) -> Result<bool, RecordError>,
) -> Result<usize, RecordError> {
    let codec = admit(batch, limit)?;
    let count = batch.header.records_count;
    if codec == Codec::None || batch.payload().is_empty() && count == 0 {
        return walk_plain(batch.payload(), count, each);
    }
    let total = walk_stream(Stream::new(codec, batch.payload(), limit, scratch), count, each);
    scratch.trim();
    total
}

#[inline]
fn walk_stream(
    mut stream: Stream<'_, '_>,
    count: i32,
    mut each: impl FnMut(Fields) -> Result<bool, RecordError>,
) -> Result<usize, RecordError> {
    for _ in 0..count {
        if !each(stream_record(&mut stream)?)? {
            return Ok(stream.total());
        }
    }
    if !stream.available().is_empty() || stream.refill()? {
        return Err(RecordError::Trailing);
    }
    Ok(stream.total())
}

#[inline]
fn walk_plain(
    payload: &[u8],
    count: i32,
    mut each: impl FnMut(Fields) -> Result<bool, RecordError>,
) -> Result<usize, RecordError> {
    let mut rest = payload;
    for _ in 0..count {
        let fields = match plain_record(rest) {
            Some((fields, used)) => {
                rest = &rest[used..];
                fields
            }
            None => plain_fields(take_body(&mut rest)?)?,
        };
        if !each(fields)? {
            return Ok(payload.len() - rest.len());
        }
    }
    if rest.is_empty() { Ok(payload.len()) } else { Err(RecordError::Trailing) }
}

/// The record most batches are made of: no headers, no number of more than three bytes, not the last few bytes there are.
/// Returns how long it is too. `None` is no verdict: [`plain_fields`] has that. This is the hot loop of produce, and
/// stays in registers where the general way does not.
#[inline(always)]
fn plain_record(bytes: &[u8]) -> Option<(Fields, usize)> {
    let head = bytes.first_chunk::<16>()?;
    let (length, at) = short(head, 0)?;
    let end = at + (length >> 1) as usize;
    let (timestamp, at) = short(head, at + 1)?;
    let (offset, at) = short(head, at)?;
    let (key, at) = short(head, at)?;
    let at = at + size_of_field(key)?;
    let (value, used) = short(bytes.get(at..)?.first_chunk::<4>()?, 0)?;
    let at = at + used + size_of_field(value)?;
    if length & 1 != 0 || at + 1 != end || *bytes.get(at)? != 0 {
        return None;
    }
    let fields =
        Fields { timestamp_delta: i64::from(zigzag32(timestamp)), offset_delta: zigzag32(offset), null_key: key == 1 };
    Some((fields, end))
}

/// A varint of up to three bytes, zigzag not undone, and where it ends. Four of them and the attributes fit into 16
/// bytes, so `at` never wraps; the mask tells the compiler.
#[inline(always)]
fn short<const N: usize>(bytes: &[u8; N], at: usize) -> Option<(u32, usize)> {
    const { assert!(N.is_power_of_two()) };
    debug_assert!(at + 2 < N);
    let byte = |index: usize| u32::from(bytes[(at + index) & (N - 1)]);
    let (a, b) = (byte(0), byte(1));
    if a < 0x80 {
        return Some((a, at + 1));
    }
    if b < 0x80 {
        return Some((a & 0x7f | b << 7, at + 2));
    }
    let c = byte(2);
    (c < 0x80).then_some((a & 0x7f | (b & 0x7f) << 7 | c << 14, at + 3))
}

/// Bytes behind the zigzag length `raw`. `None` when it is negative and not -1.
#[inline(always)]
fn size_of_field(raw: u32) -> Option<usize> {
    match raw {
        1 => Some(0),
        raw if raw & 1 == 0 => Some((raw >> 1) as usize),
        _ => None,
    }
}

/// Checks one record whose body lies whole in memory.
#[inline]
fn plain_fields(body: &[u8]) -> Result<Fields, RecordError> {
    let (_attributes, mut body) = body.split_first().ok_or(RecordError::Length)?;
    let timestamp_delta = take_varlong(&mut body).ok_or(RecordError::Varint)?;
    let offset_delta = take_varint(&mut body).ok_or(RecordError::Varint)?;
    let null_key = skip_field(&mut body)?;
    skip_field(&mut body)?;
    if body != [0] {
        skip_headers(&mut body)?;
    }
    Ok(Fields { timestamp_delta, offset_delta, null_key })
}

/// Steps over a length and as many bytes. Returns whether it is null.
#[inline]
fn skip_field(body: &mut &[u8]) -> Result<bool, RecordError> {
    Ok(super::record::take_field(body)?.is_none())
}

/// Steps over the header count and the headers, behind which the body must end.
fn skip_headers(body: &mut &[u8]) -> Result<(), RecordError> {
    for _ in 0..take_header_count(body)? {
        if skip_field(body)? {
            return Err(RecordError::FieldLength);
        }
        skip_field(body)?;
    }
    if body.is_empty() { Ok(()) } else { Err(RecordError::Length) }
}

fn stream_record(stream: &mut Stream<'_, '_>) -> Result<Fields, RecordError> {
    if let Some((fields, used)) = plain_record(stream.available()) {
        stream.consume(used);
        return Ok(fields);
    }
    let (length, used) = peek(stream, 5, take_varint).map_err(|error| match error {
        RecordError::Varint => RecordError::Truncated,
        other => other,
    })?;
    stream.consume(used);
    let length = usize::try_from(length).map_err(|_| RecordError::Length)?;
    if let Some(body) = stream.available().get(..length) {
        let fields = plain_fields(body)?;
        stream.consume(length);
        return Ok(fields);
    }
    Body { stream, left: length }.fields()
}

/// A record that does not lie whole in the buffer; `left` bytes of it are still to come.
struct Body<'b, 'p, 's> {
    stream: &'b mut Stream<'p, 's>,
    left: usize,
}

impl Body<'_, '_, '_> {
    fn fields(mut self) -> Result<Fields, RecordError> {
        if self.left == 0 {
            return Err(RecordError::Length);
        }
        self.skip(1)?;
        let timestamp_delta = self.number(10, take_varlong)?;
        let offset_delta = self.number(5, take_varint)?;
        let null_key = self.skip_field()?;
        self.skip_field()?;
        let headers = self.number(5, take_varint)?;
        if headers < 0 || headers as usize > self.left / 2 {
            return Err(RecordError::HeaderCount);
        }
        for _ in 0..headers {
            if self.skip_field()? {
                return Err(RecordError::FieldLength);
            }
            self.skip_field()?;
        }
        if self.left == 0 { Ok(Fields { timestamp_delta, offset_delta, null_key }) } else { Err(RecordError::Length) }
    }

    fn number<T>(&mut self, most: usize, take: fn(&mut &[u8]) -> Option<T>) -> Result<T, RecordError> {
        let (number, used) = peek(self.stream, most.min(self.left), take)?;
        self.stream.consume(used);
        self.left -= used;
        Ok(number)
    }

    fn skip_field(&mut self) -> Result<bool, RecordError> {
        match self.number(5, take_varint)? {
            -1 => Ok(true),
            length => {
                self.skip(usize::try_from(length).map_err(|_| RecordError::FieldLength)?)?;
                Ok(false)
            }
        }
    }

    fn skip(&mut self, mut bytes: usize) -> Result<(), RecordError> {
        self.left = self.left.checked_sub(bytes).ok_or(RecordError::Length)?;
        loop {
            let now = bytes.min(self.stream.available().len());
            self.stream.consume(now);
            bytes -= now;
            if bytes == 0 {
                return Ok(());
            }
            if !self.stream.refill()? {
                return Err(RecordError::Truncated);
            }
        }
    }
}

/// Reads a number of at most `most` bytes without taking it. Returns it and how long it is.
fn peek<T>(
    stream: &mut Stream<'_, '_>,
    most: usize,
    take: fn(&mut &[u8]) -> Option<T>,
) -> Result<(T, usize), RecordError> {
    while stream.available().len() < most && stream.refill()? {}
    let bytes = stream.available();
    let bytes = &bytes[..bytes.len().min(most)];
    let mut rest = bytes;
    match take(&mut rest) {
        Some(number) => Ok((number, bytes.len() - rest.len())),
        None => Err(RecordError::Varint),
    }
}
