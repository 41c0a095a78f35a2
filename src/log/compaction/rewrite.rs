//! One batch without the records that go (Kafka's `MemoryRecords.filterTo`).
//!
//! Base offset, last offset, producer and base sequence stay what they were, so no offset and no sequence ever changes. The
//! codec stays the same, at its default level.

use state::compaction::{Keep, Retention};
use wire::records::{Batch, BatchBuilder, BuildError, Record, RecordError, RecordIter, Scratch, TimestampType};

use crate::log::walk::DECOMPRESSED_BYTES_MAX;

/// What is left of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rewritten {
    /// All of it: its bytes go on as they are.
    Same,
    Nothing,
    Batch(Vec<u8>),
}

/// Keeps the records that `stays` says. `horizon_ms` is written into the batch where it has tombstones, or is a marker
/// without a transaction, and none yet (KIP-534).
pub(super) fn rewrite(
    batch: &Batch<'_>,
    retention: Retention,
    horizon_ms: i64,
    scratch: &mut Scratch,
    mut stays: impl FnMut(&Record<'_>) -> bool,
) -> Result<Rewritten, RecordError> {
    if retention.discard {
        return empty(batch, retention.keep, scratch);
    }
    let records = batch.records(scratch, DECOMPRESSED_BYTES_MAX)?;
    let (mut kept, mut count, mut tombstones) = (Vec::new(), 0, false);
    for record in records.clone() {
        let record = record?;
        let keep = stays(&record);
        kept.push(keep);
        count += usize::from(keep);
        tombstones |= keep && record.value.is_none();
    }
    if count == 0 {
        return empty(batch, retention.keep, scratch);
    }
    let fixed = batch.header.delete_horizon_ms();
    let starts = (tombstones || retention.starts_horizon) && fixed.is_none();
    if count == kept.len() && !starts {
        return Ok(Rewritten::Same);
    }
    let builder = collect(batch, records, &kept, if starts { Some(horizon_ms) } else { fixed })?;
    Ok(Rewritten::Batch(builder.finish(scratch)))
}

fn collect(
    batch: &Batch<'_>,
    records: RecordIter<'_>,
    kept: &[bool],
    horizon_ms: Option<i64>,
) -> Result<BatchBuilder, RecordError> {
    let header = &batch.header;
    let codec = header.codec().map_err(|_| RecordError::UnknownCodec(header.attributes.codec_id()))?;
    let mut builder = like(batch).codec(codec, codec.default_level());
    if let Some(horizon_ms) = horizon_ms {
        builder = builder.delete_horizon(horizon_ms);
    }
    let mut headers = Vec::new();
    for (record, _) in records.zip(kept).filter(|(_, keep)| **keep) {
        let record = record?;
        headers.clear();
        headers.extend(record.headers.map(|header| (header.key, header.value)));
        let offset = header.base_offset.wrapping_add(i64::from(record.offset_delta));
        let timestamp = match header.timestamp_type() {
            TimestampType::CreateTime => header.base_timestamp.wrapping_add(record.timestamp_delta),
            TimestampType::LogAppendTime => header.max_timestamp,
        };
        let pushed = builder.push_at(offset, timestamp, record.key, record.value, &headers);
        pushed.map_err(|error| refused(error, record.offset_delta))?;
    }
    cover(&mut builder, batch)?;
    Ok(builder)
}

fn empty(batch: &Batch<'_>, keep: Keep, scratch: &mut Scratch) -> Result<Rewritten, RecordError> {
    let header = &batch.header;
    let is_plain = !header.has_producer_id() && !header.is_control();
    let mut builder = match keep {
        Keep::Nothing => return Ok(Rewritten::Nothing),
        Keep::Header if header.records_count == 0 => return Ok(Rewritten::Same),
        Keep::Offsets if header.records_count == 0 && is_plain => return Ok(Rewritten::Same),
        Keep::Header => like(batch),
        // Without a timestamp, too: the time index would lead to a record that is not there.
        Keep::Offsets => BatchBuilder::new(header.base_offset).leader_epoch(header.leader_epoch),
    };
    cover(&mut builder, batch)?;
    if keep == Keep::Header {
        builder.cover_timestamp(header.max_timestamp);
    }
    Ok(Rewritten::Batch(builder.finish(scratch)))
}

/// A batch without records that is otherwise as `batch`.
fn like(batch: &Batch<'_>) -> BatchBuilder {
    let header = &batch.header;
    let mut builder = BatchBuilder::new(header.base_offset).leader_epoch(header.leader_epoch).producer(
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
    );
    if header.is_transactional() {
        builder = builder.transactional();
    }
    if header.is_control() {
        builder = builder.control();
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        builder = builder.append_time(header.max_timestamp);
    }
    builder
}

/// The last record may be gone; the batch reaches to where it was all the same.
fn cover(builder: &mut BatchBuilder, batch: &Batch<'_>) -> Result<(), RecordError> {
    if builder.last_offset_delta() == batch.header.last_offset_delta {
        return Ok(());
    }
    builder.cover(batch.header.last_offset()).map_err(|error| refused(error, builder.last_offset_delta()))
}

/// Records whose offsets do not rise, or that say to lie behind their batch, are none that a broker wrote.
fn refused(error: BuildError, found: i32) -> RecordError {
    match error {
        BuildError::TooLarge => RecordError::TooLarge { limit: i32::MAX as usize },
        BuildError::Offset(_) => RecordError::OffsetDelta { expected: found.wrapping_add(1), found },
    }
}
