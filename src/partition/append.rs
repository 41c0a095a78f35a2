//! A batch on its way into a partition: checked as Apache Kafka's `LogValidator` and `UnifiedLog.append` do, stamped
//! with offset and leader epoch, staged for the next write. Nothing is re-encoded unless the topic asks for its own
//! codec.

use shards::{Chunk, ShardId};
use wire::records::{self, Batch, BatchError, BatchHeader, Codec, RecordError, Scan, Scratch};

use super::{Awaiting, Partition, Who};
use crate::calls::{Acks, AppendDone, AppendError, Ticket};
use crate::config::topic::{CompressionType, TimestampType, TopicConfig};
use crate::log::{LogError, StageMeta};
use state::partition::RequiredAcks;
use state::producer::{ProducerBatch, ProducerError, Verdict};

/// The most bytes a compressed batch may unfold to while it is checked.
const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The part of a produce request that waits for an append.
#[derive(Debug, Clone, Copy)]
pub struct Waiter {
    pub shard: ShardId,
    pub produce: Ticket,
    pub item: u32,
    pub acks: Acks,
}

/// What became of a batch that was not refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// It leaves with the partition's next write; the waiter hears when that is done.
    Staged,
    /// An idempotent producer sent it before; this is where it went then.
    Duplicate(AppendDone),
    /// The waiter hears later: the first one is still on its way to disk, or the partition to another directory.
    StillOnItsWay,
}

impl Partition {
    /// Checks one batch and stages it. `records` is what the client sent for this partition.
    pub fn append(
        &mut self,
        records: Chunk,
        waiter: Waiter,
        now_ms: i64,
        scratch: &mut Scratch,
    ) -> Result<Taken, AppendError> {
        if self.failed {
            return Err(AppendError::Storage);
        }
        if waiter.acks == Acks::All && !self.state.has_min_isr() {
            return Err(AppendError::NotEnoughReplicas);
        }
        if self.is_held() {
            self.hold_append(records, Who::Producer(waiter));
            return Ok(Taken::StillOnItsWay);
        }
        let header = check_batch(&records, &self.config)?;
        let scan = scan_records(&records, &header, &self.config, now_ms, scratch)?;
        if let Some((done, last_offset)) = self.find_duplicate(&header)? {
            return Ok(self.answer_duplicate(done, last_offset, waiter));
        }
        let (records, header) = self.recompress(records, header, scratch)?;
        self.stage(records, header, scan, Who::Producer(waiter), now_ms)?;
        Ok(Taken::Staged)
    }

    /// Finds duplicates and gaps of idempotent producers (KIP-98, KIP-360). A duplicate comes with its last offset.
    fn find_duplicate(&self, header: &BatchHeader) -> Result<Option<(AppendDone, i64)>, AppendError> {
        match self.producers.check(&ProducerBatch::from(header)) {
            Verdict::Append => Ok(None),
            Verdict::Duplicate { base_offset, last_offset, timestamp } => {
                let append_time_ms = self.append_time(timestamp).unwrap_or(-1);
                let log_start_offset = self.log.log_start_offset();
                Ok(Some((AppendDone { base_offset, append_time_ms, log_start_offset }, last_offset)))
            }
            Verdict::Rejected(error) => Err(producer_error(error)),
        }
    }

    /// A duplicate is acknowledged when the batch it repeats is.
    fn answer_duplicate(&mut self, done: AppendDone, last_offset: i64, waiter: Waiter) -> Taken {
        let acks = if waiter.acks == Acks::All { RequiredAcks::AllIsr } else { RequiredAcks::Leader };
        if last_offset < self.state.acknowledged_end(acks) {
            return Taken::Duplicate(done);
        }
        self.awaiting.push(Awaiting { who: Who::Producer(waiter), last_offset, done });
        Taken::StillOnItsWay
    }

    /// Stores the batch with the topic's codec where `compression.type` names one and the producer chose another.
    fn recompress(
        &self,
        records: Chunk,
        header: BatchHeader,
        scratch: &mut Scratch,
    ) -> Result<(Chunk, BatchHeader), AppendError> {
        let CompressionType::Codec(codec) = self.config.compression_type else { return Ok((records, header)) };
        if header.codec() == Ok(codec) {
            return Ok((records, header));
        }
        let level = match codec {
            Codec::Gzip => self.config.compression_gzip_level,
            Codec::Lz4 => self.config.compression_lz4_level,
            Codec::Zstd => self.config.compression_zstd_level,
            Codec::None | Codec::Snappy => 0,
        };
        let batch = Batch { header, bytes: &records };
        let bytes = records::recompress(&batch, codec, level, scratch, DECOMPRESSED_BYTES_MAX).map_err(record_error)?;
        check_size(bytes.len(), &self.config)?;
        let header = Batch::first(&bytes).map_err(batch_error)?.0.header;
        Ok((Chunk::from(bytes), header))
    }

    /// Gives a checked batch its offsets; it leaves with the partition's next write, and `who` hears when it is safe.
    pub(super) fn stage(
        &mut self,
        records: Chunk,
        header: BatchHeader,
        scan: Scan,
        who: Who,
        now_ms: i64,
    ) -> Result<(), AppendError> {
        let append_time = self.append_time(now_ms);
        let bytes = header.size() as u64;
        let meta = StageMeta {
            leader_epoch: self.state.leader_epoch(),
            append_time,
            max_timestamp: append_time.unwrap_or(scan.max_timestamp),
            offset_delta_of_max: if append_time.is_some() {
                header.last_offset_delta
            } else {
                scan.offset_delta_of_max
            },
        };
        let staged = self.log.stage(records, &header, meta, now_ms).map_err(log_error)?;
        if let Some(offset) = staged.rolled {
            self.write_producer_snapshot(offset);
        }
        let batch = ProducerBatch::from(&header);
        self.producers.stage(&batch, staged.base_offset, staged.last_offset, meta.max_timestamp);
        let done = AppendDone {
            base_offset: staged.base_offset,
            append_time_ms: append_time.unwrap_or(-1),
            log_start_offset: self.log.log_start_offset(),
        };
        self.unread_bytes += bytes;
        self.awaiting.push(Awaiting { who, last_offset: staged.last_offset, done });
        Ok(())
    }

    fn append_time(&self, now_ms: i64) -> Option<i64> {
        (self.config.message_timestamp_type == TimestampType::LogAppendTime).then_some(now_ms)
    }
}

/// What can be said without looking at the records: exactly one batch, its size, CRC and header (protocol items 30, 31).
fn check_batch(records: &Chunk, config: &TopicConfig) -> Result<BatchHeader, AppendError> {
    let (batch, rest) = Batch::first(records).map_err(batch_error)?;
    if !rest.is_empty() {
        return invalid("a produce request carries exactly one batch for each partition");
    }
    let header = batch.header;
    check_size(header.size(), config)?;
    if header.size() > config.segment_bytes as usize {
        let text = format!("a batch of {} bytes is larger than segment.bytes={}", header.size(), config.segment_bytes);
        return Err(AppendError::LargerThanSegment(text));
    }
    if !batch.crc_matches() {
        return Err(AppendError::Corrupt("the batch's CRC-32C does not match its bytes".into()));
    }
    check_header(&header)?;
    Ok(header)
}

fn check_size(size: usize, config: &TopicConfig) -> Result<(), AppendError> {
    if size <= config.max_message_bytes as usize {
        return Ok(());
    }
    Err(AppendError::TooLarge(format!(
        "a batch of {size} bytes is larger than max.message.bytes={}",
        config.max_message_bytes
    )))
}

fn check_header(header: &BatchHeader) -> Result<(), AppendError> {
    if header.base_offset != 0 {
        return invalid(format!("the base offset of a produced batch is 0, not {}", header.base_offset));
    }
    if header.records_count <= 0 || header.last_offset_delta != header.records_count - 1 {
        let (count, delta) = (header.records_count, header.last_offset_delta);
        return invalid(format!("record count {count} and last offset delta {delta} do not agree"));
    }
    if header.is_control() {
        return invalid("clients do not write control batches");
    }
    if header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return invalid("an idempotent batch has a producer epoch and a sequence number");
    }
    if header.is_transactional() && header.producer_id < 0 {
        return invalid("a transactional batch has a producer id");
    }
    if header.codec().is_err() {
        return invalid("unknown compression codec");
    }
    if header.timestamp_type() == records::TimestampType::LogAppendTime {
        return Err(AppendError::Timestamp("only the broker marks batches with LogAppendTime".into()));
    }
    Ok(())
}

/// Walks every record, decompressing where needed (protocol items 32-34).
fn scan_records(
    records: &Chunk,
    header: &BatchHeader,
    config: &TopicConfig,
    now_ms: i64,
    scratch: &mut Scratch,
) -> Result<Scan, AppendError> {
    let batch = Batch { header: *header, bytes: records };
    let scan = records::scan(&batch, scratch, DECOMPRESSED_BYTES_MAX).map_err(record_error)?;
    if config.cleanup_policy.compact && scan.null_keys {
        return invalid("a compacted topic takes no record without a key");
    }
    if config.message_timestamp_type == TimestampType::CreateTime {
        check_timestamps(scan.min_timestamp, scan.max_timestamp, config, now_ms)?;
    }
    Ok(scan)
}

fn check_timestamps(min: i64, max: i64, config: &TopicConfig, now_ms: i64) -> Result<(), AppendError> {
    let earliest = now_ms.saturating_sub(config.message_timestamp_before_max_ms);
    let latest = now_ms.saturating_add(config.message_timestamp_after_max_ms);
    // -1 means "no timestamp" and is always allowed.
    for timestamp in [min, max] {
        if timestamp != -1 && !(earliest..=latest).contains(&timestamp) {
            let text = format!("timestamp {timestamp} is outside of {earliest}..={latest}");
            return Err(AppendError::Timestamp(text));
        }
    }
    Ok(())
}

fn invalid<T>(text: impl Into<String>) -> Result<T, AppendError> {
    Err(AppendError::Invalid(text.into()))
}

pub(super) fn batch_error(error: BatchError) -> AppendError {
    AppendError::Invalid(error.to_string())
}

fn record_error(error: RecordError) -> AppendError {
    match error {
        RecordError::TooLarge { .. } => AppendError::TooLarge(error.to_string()),
        error => AppendError::Invalid(error.to_string()),
    }
}

fn producer_error(error: ProducerError) -> AppendError {
    match error {
        ProducerError::InvalidEpoch { .. } => AppendError::ProducerEpoch(error.to_string()),
        error => AppendError::OutOfOrderSequence(error.to_string()),
    }
}

fn log_error(error: LogError) -> AppendError {
    crate::metrics::log::error(format_args!("append: {error}"));
    AppendError::Storage
}
