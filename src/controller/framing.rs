//! Metadata records in record batches and back (`MetadataRecordSerde`): uncompressed, no producer, one leader epoch a batch.

use std::path::Path;

use state::metadata::record_version;
use wire::generated::messages::{BeginTransactionRecord, EndTransactionRecord};
use wire::records::{Batch, BatchBuilder, BuildError, ControlRecordType, Scratch, control_record_type};
use wire::{Encoder, Message, MetadataRecord};

use super::error::{ControllerError, Damage};

/// Most records in a batch (`QuorumController.MAX_RECORDS_PER_BATCH`).
const RECORDS_PER_BATCH_MAX: usize = 10_000;
/// Bytes at which a batch is closed; Kafka reads none above 8 MiB (`KafkaRaftClient.MAX_BATCH_SIZE_BYTES`).
const BATCH_SIZE_MAX: usize = 4 << 20;

/// Some whole batches, ready for the log.
#[derive(Debug, Default)]
pub(super) struct Batches {
    pub bytes: Vec<u8>,
    pub next_offset: i64,
}

/// Where batches go: their first offset, leader epoch and timestamp (milliseconds); and the `metadata.version` that
/// decides the versions of their records.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub offset: i64,
    pub epoch: i32,
    pub now_ms: i64,
    pub metadata_version: i16,
}

/// Puts records into batches. More than fit into one are framed as a metadata transaction (KIP-868), so that either all
/// of them count after a crash or none.
pub(super) fn encode(records: &[MetadataRecord], at: At) -> Result<Batches, BuildError> {
    let whole = encode_plain(records, at)?;
    if whole.1 <= 1 {
        return Ok(whole.0);
    }
    let begin = BeginTransactionRecord { name: Some("Large change".into()) };
    let mut framed = Vec::with_capacity(records.len() + 2);
    framed.push(MetadataRecord::BeginTransaction(begin));
    framed.extend_from_slice(records);
    framed.push(MetadataRecord::EndTransaction(EndTransactionRecord {}));
    Ok(encode_plain(&framed, at)?.0)
}

/// The batches, and how many they are.
pub(super) fn encode_plain(records: &[MetadataRecord], at: At) -> Result<(Batches, usize), BuildError> {
    let mut batches = Batches { bytes: Vec::new(), next_offset: at.offset };
    let mut count = 0;
    let mut scratch = Scratch::new();
    let mut value = Encoder::new();
    let mut rest = records.iter().peekable();
    while rest.peek().is_some() {
        let mut builder = BatchBuilder::new(batches.next_offset).leader_epoch(at.epoch);
        for record in rest.by_ref().take(RECORDS_PER_BATCH_MAX) {
            value.buf.clear();
            record.encode(&mut value, record_version(record, at.metadata_version));
            builder.push(at.now_ms, None, Some(&value.buf), &[])?;
            batches.next_offset += 1;
            if builder.size() >= BATCH_SIZE_MAX {
                break;
            }
        }
        batches.bytes.extend_from_slice(&builder.finish(&mut scratch));
        count += 1;
    }
    Ok((batches, count))
}

/// One batch of control records; each value is encoded in its version 0.
pub(super) fn encode_control(values: &[(ControlRecordType, Vec<u8>)], at: At) -> Result<Batches, BuildError> {
    let mut builder = BatchBuilder::new(at.offset).leader_epoch(at.epoch).control();
    for (kind, value) in values {
        builder.push_control(at.now_ms, *kind, value)?;
    }
    let next_offset = at.offset + values.len() as i64;
    Ok(Batches { bytes: builder.finish(&mut Scratch::new()), next_offset })
}

/// A message as the value of a control record.
pub(super) fn control_value<'a>(message: &impl Message<'a>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    message.encode(&mut encoder, 0);
    encoder.buf
}

/// One record of a batch.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // lives from decoding to replaying, one at a time
pub(super) enum Entry<'a> {
    /// The kind, where it is a known one, and the value.
    Control(Option<ControlRecordType>, &'a [u8]),
    Record(MetadataRecord),
}

/// Reads every record of a batch whose CRC was found right. `position` is the batch's place in the file, for the error.
pub(super) fn decode(
    batch: &Batch<'_>,
    scratch: &mut Scratch,
    (path, position): (&Path, usize),
    each: &mut dyn FnMut(i64, Entry<'_>) -> Result<(), Damage>,
) -> Result<(), ControllerError> {
    let damaged = |reason| ControllerError::damaged(path, position, reason);
    let limit = batch.bytes.len().max(BATCH_SIZE_MAX * 2);
    let records = batch.records(scratch, limit).map_err(|error| damaged(Damage::Records(error)))?;
    for record in records {
        let record = record.map_err(|error| damaged(Damage::Records(error)))?;
        let offset = batch.header.base_offset + i64::from(record.offset_delta);
        let entry = if batch.header.is_control() {
            Entry::Control(record.key.and_then(control_record_type), record.value.unwrap_or_default())
        } else {
            let read = MetadataRecord::decode(record.value.unwrap_or_default());
            Entry::Record(read.map_err(|error| damaged(Damage::Record { offset, error }))?.0)
        };
        each(offset, entry).map_err(damaged)?;
    }
    Ok(())
}
