//! Batches that the broker writes and reads itself: those of a coordinator, on a partition of its own topic.

use shards::Chunk;
use wire::records::{Batch, Scan};

use super::append::batch_error;
use super::{Partition, Partitions, Who};
use crate::calls::{AppendError, FileRange, PartitionId, ReadError};

/// A stretch of a log for a coordinator that reads it from start to end.
#[derive(Debug)]
pub struct Stretch {
    /// Nothing is readable below it.
    pub log_start: i64,
    /// Behind the last written record.
    pub log_end: i64,
    /// Whole batches, the last one perhaps cut off; `None` at the end of the log.
    pub data: Option<FileRange>,
}

impl Partitions {
    /// Stages a batch of the coordinator's that lives on the partition, as a produce with acks=all would be: it joins the
    /// partition's next write. `Effect::Kept` follows with `number`, in the order of the calls. The batch was made here
    /// and is not checked again.
    pub fn append_own(&self, id: &PartitionId, batch: Vec<u8>, number: u64) -> Result<(), AppendError> {
        self.make_room();
        let mut table = self.table.borrow_mut();
        let place = table.by_id.get(id).copied().ok_or(AppendError::UnknownPartition)?;
        let partition = table.get_mut(place).ok_or(AppendError::UnknownPartition)?;
        partition.used_at = self.core.now();
        let was_clean = !partition.log.has_staged();
        partition.append_own(Chunk::from(batch), number, self.core.wall_ms())?;
        if was_clean && partition.log.has_staged() {
            table.dirty.push(place);
        }
        Ok(())
    }

    /// The largest batch that the partition's topic allows (`max.message.bytes`); `None` if it is not open here.
    pub fn batch_bytes_max(&self, id: &PartitionId) -> Option<usize> {
        self.with(id, |partition| partition.config.max_message_bytes as usize)
    }

    /// Whether the log has no records; `None` if the partition is not open here.
    pub fn is_empty(&self, id: &PartitionId) -> Option<bool> {
        self.with(id, |partition| partition.log.log_start_offset() >= partition.log.log_end_offset())
    }

    /// The next stretch from `offset` on, of about `bytes_max` but at least a batch; an `offset` before the log start means
    /// the log start.
    pub async fn stretch(&self, id: &PartitionId, offset: i64, bytes_max: u64) -> Result<Stretch, ReadError> {
        self.find(id, |partition| partition.stretch(offset, bytes_max)).await
    }
}

impl Partition {
    pub(super) fn append_own(&mut self, batch: Chunk, number: u64, now_ms: i64) -> Result<(), AppendError> {
        if self.failed {
            return Err(AppendError::Storage);
        }
        if !self.state.has_min_isr() {
            return Err(AppendError::NotEnoughReplicas);
        }
        if self.is_held() {
            self.hold_append(batch, Who::Coordinator(number));
            return Ok(());
        }
        let header = Batch::first(&batch).map_err(batch_error)?.0.header;
        let scan = Scan {
            max_timestamp: header.max_timestamp,
            // The records of one batch are of one moment.
            offset_delta_of_max: 0,
            min_timestamp: header.base_timestamp,
            null_keys: false,
            records_bytes: header.size(),
        };
        self.stage(batch, header, scan, Who::Coordinator(number), now_ms)
    }

    fn stretch(&self, offset: i64, bytes_max: u64) -> Result<Stretch, ReadError> {
        let (log_start, log_end) = (self.log.log_start_offset(), self.log.log_end_offset());
        let mut stretch = Stretch { log_start, log_end, data: None };
        let offset = offset.max(log_start);
        if offset < log_end {
            let plan =
                self.log.plan_read(offset, log_end, bytes_max, true).map_err(|error| self.read_failed(&error))?;
            stretch.data =
                (plan.len > 0).then_some(FileRange { file: plan.file, position: plan.position, len: plan.len });
        }
        Ok(stretch)
    }
}
