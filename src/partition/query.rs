//! Answers questions about this shard's partitions that need no speed.

use std::rc::Rc;

use super::{Partition, Partitions};
use crate::calls::{Answer, DeleteRecordsError, LogSize, OffsetsSpec, PartitionId, ProducerInfo, Query, ReadError};

impl Partitions {
    /// Tells the answer at once, unless it takes reading what is not in memory.
    pub fn answer(self: &Rc<Self>, query: Query, tell: impl FnOnce(Answer) + 'static) {
        let answer = match query {
            Query::Offsets(items) => return self.find_offsets(items, tell),
            Query::EpochEnds(items) => Answer::EpochEnds(
                items.into_iter().map(|(item, id, spec)| (item, self.ask(&id, |p| p.epoch_end(&spec)))).collect(),
            ),
            Query::DeleteRecords(items) => Answer::DeleteRecords(
                items.into_iter().map(|(item, id, offset)| (item, self.delete_records(&id, offset))).collect(),
            ),
            Query::Producers(items) => Answer::Producers(
                items.into_iter().map(|(item, id)| (item, self.ask(&id, |p| Ok(p.producer_infos())))).collect(),
            ),
            Query::LogSizes => Answer::LogSizes(self.log_sizes()),
            Query::PartitionOffsets => Answer::PartitionOffsets(self.offsets()),
        };
        tell(answer);
    }

    fn find_offsets(self: &Rc<Self>, items: Vec<(u32, PartitionId, OffsetsSpec)>, tell: impl FnOnce(Answer) + 'static) {
        let partitions = Rc::clone(self);
        self.core.spawn(async move {
            let mut found = Vec::with_capacity(items.len());
            for (item, id, spec) in items {
                found.push((item, partitions.find(&id, |partition| partition.find_offset(&spec)).await));
            }
            tell(Answer::Offsets(found));
        });
    }

    /// What `act` makes of the partition, or why there is none.
    pub(super) fn ask<T>(
        &self,
        id: &PartitionId,
        act: impl FnOnce(&mut Partition) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        self.with(id, act).unwrap_or_else(|| Err(self.table.borrow().absent(id)))
    }

    fn delete_records(&self, id: &PartitionId, offset: i64) -> Result<i64, DeleteRecordsError> {
        let deleted = self.with(id, |partition| partition.delete_records(offset));
        deleted.unwrap_or_else(|| match self.table.borrow().is_offline(id) {
            true => Err(DeleteRecordsError::Storage),
            false => Err(DeleteRecordsError::UnknownPartition),
        })
    }

    fn log_sizes(&self) -> Vec<LogSize> {
        self.table.borrow().places.iter().flatten().flat_map(|partition| partition.log_sizes()).collect()
    }
}

impl Partition {
    /// Its own, and that of the future replica.
    fn log_sizes(&self) -> impl Iterator<Item = LogSize> {
        let current = LogSize {
            partition: self.id,
            topic: self.topic.clone(),
            size_bytes: self.log.size_bytes(),
            directory: self.directory,
            future_lag: None,
        };
        let future = self.future_size().map(|(directory, size_bytes, lag)| LogSize {
            directory,
            size_bytes,
            future_lag: Some(lag),
            ..current.clone()
        });
        [current].into_iter().chain(future)
    }

    /// Moves the log start up to `offset` (-1: the high watermark); returns where it is then (protocol item 63).
    fn delete_records(&mut self, offset: i64) -> Result<i64, DeleteRecordsError> {
        if !self.config.cleanup_policy.delete {
            return Err(DeleteRecordsError::CompactedTopic);
        }
        let high_watermark = self.state.high_watermark();
        let offset = if offset == -1 { high_watermark } else { offset };
        if !(0..=high_watermark).contains(&offset) {
            return Err(DeleteRecordsError::OutOfRange);
        }
        self.advance_log_start(offset).map_err(|error| {
            crate::metrics::log::error(format_args!("delete records of {}-{}: {error}", self.topic, self.id.index));
            DeleteRecordsError::Storage
        })?;
        Ok(self.log.log_start_offset())
    }

    /// What idempotent producers left behind here (KIP-664).
    fn producer_infos(&self) -> Vec<ProducerInfo> {
        let entries = self.producers.to_snapshot();
        let infos = entries.into_iter().map(|entry| ProducerInfo {
            producer_id: entry.producer_id,
            producer_epoch: entry.epoch,
            last_sequence: entry.last_sequence,
            last_timestamp: entry.timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            current_txn_start_offset: entry.current_txn_first_offset,
        });
        infos.collect()
    }
}
