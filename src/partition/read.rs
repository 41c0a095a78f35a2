//! What a reader may see of a partition: plans for fetches, offsets by time, ends of leader epochs.

use std::io::ErrorKind;
use std::rc::Rc;

use shards::{Cold, Nanos, ShardId, at_once};
use state::partition::EpochError;

use super::{Effect, Partition, Partitions, Watch};
use crate::calls::{
    EpochSpec, FileRange, FoundOffset, OffsetTarget, OffsetsSpec, PartitionId, Read, ReadDone, ReadError, ReadResult,
    ReadSpec, Ticket,
};
use crate::log::ReadError as LogReadError;

/// How often a look-up that met cold bytes is tried again once they were read. Each try gets further; the last one waits.
const TRIES: usize = 8;
/// Bytes read from where it met them: the kernel reads ahead from there.
const WARMED_BYTES: usize = 64 * 1024;

impl Partitions {
    /// Plans a read; with `read.watch` the fetch hears when the partition grows after this. `None`: what it takes to find
    /// the records is not in memory; `Effect::Read` follows.
    pub fn read(self: &Rc<Self>, from: ShardId, read: &Read) -> Option<Result<ReadResult, ReadError>> {
        self.keep_room();
        let looked = self.look(&read.partition, |partition| partition.read(&read.spec));
        if read.watch {
            self.watch_from(from, &read.partition, read.fetch);
        }
        match looked {
            Ok(result) => Some(result),
            Err(cold) => {
                self.read_when_warm(from, *read, cold);
                None
            }
        }
    }

    fn read_when_warm(self: &Rc<Self>, to: ShardId, read: Read, cold: Cold) {
        let partitions = Rc::clone(self);
        self.core.spawn(async move {
            let look = |partition: &Partition| partition.read(&read.spec);
            let result = partitions.look_again(&read.partition, look, cold).await;
            let done = ReadDone { fetch: read.fetch, item: read.item, result };
            partitions.effects.borrow_mut().push(Effect::Read { to, done });
            // Effects are carried out in settle, which may be far off on an idle shard.
            partitions.core.wake_at(Nanos(0));
        });
    }

    /// What `look` finds in a partition; while that takes reading, others are served.
    pub(super) async fn find<T>(
        &self,
        id: &PartitionId,
        look: impl Fn(&Partition) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        match self.look(id, &look) {
            Ok(found) => found,
            Err(cold) => self.look_again(id, look, cold).await,
        }
    }

    /// What `look` finds, if that takes no waiting.
    fn look<T>(
        &self,
        id: &PartitionId,
        look: impl FnOnce(&Partition) -> Result<T, ReadError>,
    ) -> Result<Result<T, ReadError>, Cold> {
        let looked = self.ask(id, |partition| Ok(at_once(|| look(partition))));
        looked.unwrap_or_else(|absent| Ok(Err(absent)))
    }

    /// Has what is cold read by the ring, so that the shard need not wait for it, and looks again.
    async fn look_again<T>(
        &self,
        id: &PartitionId,
        look: impl Fn(&Partition) -> Result<T, ReadError>,
        mut cold: Cold,
    ) -> Result<T, ReadError> {
        for _ in 0..TRIES {
            // If that fails, the look-up will say so.
            let _ = self.files.read(&cold.file, cold.position, WARMED_BYTES).await;
            match self.look(id, &look) {
                Ok(found) => return found,
                Err(still) => cold = still,
            }
        }
        self.ask(id, |partition| look(partition))
    }
}

impl Partition {
    /// Plans one partition of a fetch: which bytes of which file. The bytes themselves are not touched.
    fn read(&self, spec: &ReadSpec) -> Result<ReadResult, ReadError> {
        self.check_epoch(spec.current_leader_epoch)?;
        let mut result = ReadResult {
            high_watermark: self.state.high_watermark(),
            last_stable_offset: self.state.last_stable_offset(),
            log_start_offset: self.log.log_start_offset(),
            data: None,
            diverging: self.diverging(spec),
        };
        let bound = if spec.committed_only { result.last_stable_offset } else { result.high_watermark };
        if spec.offset < result.log_start_offset || spec.offset > self.log.log_end_offset() {
            let (log_start_offset, high_watermark) = (result.log_start_offset, result.high_watermark);
            return Err(ReadError::OutOfRange { log_start_offset, high_watermark });
        }
        let wants_bytes = spec.bytes_max > 0 || spec.at_least_one;
        if result.diverging.is_some() || spec.offset >= bound || !wants_bytes {
            return Ok(result);
        }
        let plan = match self.log.plan_read(spec.offset, bound, spec.bytes_max, spec.at_least_one) {
            Ok(plan) => plan,
            // A log at rest whose directory is being renamed: watchers hear when it is found again.
            Err(LogReadError::Io { error, .. }) if error.kind() == ErrorKind::NotFound && self.is_held() => {
                return Ok(result);
            }
            Err(LogReadError::OutOfRange { .. }) => {
                let (log_start_offset, high_watermark) = (result.log_start_offset, result.high_watermark);
                return Err(ReadError::OutOfRange { log_start_offset, high_watermark });
            }
            Err(error) => return Err(self.read_failed(&error)),
        };
        result.data = (plan.len > 0).then_some(FileRange { file: plan.file, position: plan.position, len: plan.len });
        Ok(result)
    }

    /// Tells `fetch` from now on when this partition grows; replaces what it watched before.
    pub(super) fn watch(&mut self, shard: ShardId, fetch: Ticket) {
        self.unwatch(shard, fetch);
        self.watches.push(Watch { shard, fetch });
    }

    pub(super) fn unwatch(&mut self, shard: ShardId, fetch: Ticket) {
        self.watches.retain(|watch| watch.shard != shard || watch.fetch.index != fetch.index);
    }

    /// ListOffsets (protocol items 59-61).
    pub(super) fn find_offset(&self, spec: &OffsetsSpec) -> Result<FoundOffset, ReadError> {
        self.check_epoch(spec.current_leader_epoch)?;
        let latest = if spec.committed_only { self.state.last_stable_offset() } else { self.state.high_watermark() };
        let (offset, timestamp) = match spec.target {
            OffsetTarget::Latest => (latest, -1),
            OffsetTarget::Earliest => (self.log.log_start_offset(), -1),
            OffsetTarget::Nothing => (-1, -1),
            OffsetTarget::MaxTimestamp => self.visible(self.log.max_timestamp_offset(), latest)?,
            OffsetTarget::AtTimestamp(timestamp) => self.visible(self.log.offset_for_timestamp(timestamp), latest)?,
        };
        let leader_epoch = match (offset, spec.target) {
            (-1, _) => -1,
            (_, OffsetTarget::Latest) => self.state.leader_epoch(),
            _ => self.epochs.epoch_for_offset(offset).unwrap_or(-1),
        };
        Ok(FoundOffset { offset, timestamp, leader_epoch })
    }

    /// What was found, if readers may see it already.
    fn visible(&self, found: Result<Option<(i64, i64)>, LogReadError>, latest: i64) -> Result<(i64, i64), ReadError> {
        let found = found.map_err(|error| self.read_failed(&error))?;
        Ok(found.filter(|(offset, _)| *offset < latest).unwrap_or((-1, -1)))
    }

    /// OffsetForLeaderEpoch (protocol item 62).
    pub(super) fn epoch_end(&self, spec: &EpochSpec) -> Result<(i32, i64), ReadError> {
        self.check_epoch(spec.current_leader_epoch)?;
        Ok(self.epochs.end_offset_for(spec.leader_epoch, self.log.log_end_offset()))
    }

    fn check_epoch(&self, claimed: i32) -> Result<(), ReadError> {
        self.state.check_epoch(claimed).map_err(|error| match error {
            EpochError::Fenced { .. } => ReadError::FencedLeaderEpoch,
            EpochError::Unknown { .. } => ReadError::UnknownLeaderEpoch,
        })
    }

    /// Where a reader that last saw `last_fetched_epoch` has to go back to, if its log differs from ours (KIP-595).
    fn diverging(&self, spec: &ReadSpec) -> Option<(i32, i64)> {
        if spec.last_fetched_epoch < 0 {
            return None;
        }
        let (epoch, end) = self.epochs.end_offset_for(spec.last_fetched_epoch, self.log.log_end_offset());
        (epoch < spec.last_fetched_epoch || end < spec.offset).then_some((epoch, end))
    }

    /// Says why, unless it is only that the look-up may not wait: then it is made again, whatever comes of this one.
    pub(super) fn read_failed(&self, error: &LogReadError) -> ReadError {
        let is_cold = matches!(error, LogReadError::Io { error, .. } if error.kind() == ErrorKind::WouldBlock);
        if !is_cold {
            crate::metrics::log::error(format_args!("read {}-{}: {error}", self.topic, self.id.index));
        }
        ReadError::Storage
    }
}
