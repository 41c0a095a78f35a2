//! Looking after open partitions: retention, syncs of what was rolled, forgotten producers, a clean end.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use shards::Nanos;

use super::future::Move;
use super::{Effect, Partition, Partitions, Place};
use crate::calls::{AppendError, PartitionOffsets};
use crate::config::Broker;
use crate::log::directory::set_aside_partition;
use crate::log::{Doomed, LogError, SyncTargets, snapshots};
use crate::metrics::log as lines;

/// When each kind of work is due next, in wall clock milliseconds.
#[derive(Debug, Default)]
pub(super) struct Due {
    retention_ms: i64,
    producers_ms: i64,
}

impl Partitions {
    /// Slow and periodic work of this shard; call about once a second.
    pub async fn keep_house(self: &Rc<Self>, settings: &Broker) {
        let now_ms = self.core.wall_ms();
        self.part_with_failed();
        self.put_off_first_retention(now_ms, settings);
        if self.is_due(now_ms, settings.log_retention_check_interval_ms, |due| &mut due.retention_ms) {
            self.retire_segments(now_ms);
        }
        if self.is_due(now_ms, settings.producer_id_expiration_check_interval_ms, |due| &mut due.producers_ms) {
            self.each(|partition| _ = partition.producers.expire(now_ms));
        }
        self.sync_rolled().await;
        self.sync_overdue(now_ms);
        self.rest_idle();
        self.remove_doomed(now_ms).await;
    }

    /// The first round comes after `log.initial.task.delay.ms`.
    fn put_off_first_retention(&self, now_ms: i64, settings: &Broker) {
        let mut due = self.due.borrow_mut();
        if due.retention_ms == 0 {
            due.retention_ms = now_ms.saturating_add_unsigned(settings.log_initial_task_delay_ms);
        }
    }

    /// Takes the directories of partitions that failed offline, and closes every partition of a directory that is.
    pub(super) fn part_with_failed(&self) {
        self.each(|partition| {
            if partition.failed {
                let why = format_args!("{}-{} could not be written", partition.topic, partition.id.index);
                self.directories.fail(partition.directory, why);
            }
        });
        if !self.directories.any_offline() {
            return;
        }
        let mut lost = Vec::new();
        self.each(|partition| {
            if self.directories.get(partition.directory).is_offline() {
                lost.push(partition.id);
            }
            let is_vain = |moving: &mut Box<Move>| self.directories.get(moving.directory).is_offline();
            if !partition.is_held() {
                partition.moving.take_if(is_vain);
            }
        });
        for id in lost {
            let mut table = self.table.borrow_mut();
            if let Some(mut partition) = table.remove(&id) {
                partition.release_all(&AppendError::Storage, &mut self.effects.borrow_mut());
                partition.tell_watchers(&mut self.effects.borrow_mut());
                table.set_offline(id);
            }
        }
        // Whoever waited is let go in settle.
        self.core.wake_at(Nanos(0));
    }

    /// Ends all logs cleanly; says where each of them stands, and how many could not be ended so.
    pub fn close(&self) -> (Vec<PartitionOffsets>, usize) {
        self.closing.set(true);
        let (mut offsets, mut unclean) = (Vec::new(), 0);
        for partition in self.table.borrow_mut().places.iter_mut().flatten() {
            let end = partition.log.log_end_offset();
            // What a failed write or sync has lost can't be known: a start has to look at it.
            if partition.failed {
                unclean += 1;
                continue;
            }
            partition.write_producer_snapshot(end);
            match partition.log.close_clean() {
                Ok(_) => offsets.extend(partition.all_offsets()),
                Err(error) => {
                    lines::error(format_args!("close {}-{}: {error}", partition.topic, partition.id.index));
                    unclean += 1;
                }
            }
        }
        (offsets, unclean)
    }

    /// Where each partition stands, for the checkpoint files.
    pub fn offsets(&self) -> Vec<PartitionOffsets> {
        self.table.borrow().places.iter().flatten().flat_map(|partition| partition.all_offsets()).collect()
    }

    /// Renames a partition's directory away; it is removed `delay_ms` later, so that those who still read can end.
    pub(super) fn doom_directory(&self, dir: &Path, delay_ms: i64) -> Result<(), LogError> {
        let path = set_aside_partition(dir, self.chance())?;
        self.doom(vec![Doomed { path, due_ms: self.core.wall_ms().saturating_add(delay_ms) }]);
        Ok(())
    }

    /// Makes the name of a directory that was set aside one of its kind.
    pub(super) fn chance(&self) -> u128 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
    }

    pub(super) fn doom(&self, files: Vec<Doomed>) {
        self.doomed.borrow_mut().extend(files);
    }

    fn is_due(&self, now_ms: i64, interval_ms: u64, of: impl Fn(&mut Due) -> &mut i64) -> bool {
        let mut due = self.due.borrow_mut();
        let due = of(&mut due);
        let is_due = now_ms >= *due;
        if is_due {
            *due = now_ms.saturating_add_unsigned(interval_ms);
        }
        is_due
    }

    pub(super) fn each(&self, mut act: impl FnMut(&mut Partition)) {
        self.table.borrow_mut().places.iter_mut().flatten().for_each(|partition| act(partition));
    }

    fn retire_segments(&self, now_ms: i64) {
        let mut doomed = Vec::new();
        self.each(|partition| match partition.retire_segments(now_ms) {
            Ok(files) => doomed.extend(files),
            Err(error) => {
                lines::error(format_args!("retention of {}-{}: {error}", partition.topic, partition.id.index));
                if error.blames_directory() {
                    self.directories.fail(partition.directory, error);
                }
            }
        });
        self.doom(doomed);
    }

    /// Syncs segments that were rolled, so that a start after a crash has less to check.
    async fn sync_rolled(self: &Rc<Self>) {
        let mut places = Vec::new();
        self.each_place(|place, partition| places.extend(partition.log.rolled_targets().map(|_| place)));
        for place in places {
            let begun = self.table.borrow_mut().get_mut(place).and_then(Partition::begin_sync_rolled);
            let Some((directory, SyncTargets { offset, files })) = begun else { continue };
            let mut result = Ok(());
            for file in &files {
                result = result.and(self.files.sync_data(file).await);
            }
            let mut table = self.table.borrow_mut();
            let Some(partition) = table.get_mut(place) else { continue };
            partition.syncing_rolled = false;
            match result {
                // One that has moved meanwhile was synced for that.
                _ if partition.directory != directory => {}
                Ok(()) => partition.log.synced(offset),
                // A failed sync is never tried again: what it lost can't be known.
                Err(error) => partition.fail(&error, &mut self.effects.borrow_mut()),
            }
        }
    }

    /// `flush.ms`: what was written is synced after that time, even if nothing more comes.
    fn sync_overdue(self: &Rc<Self>, now_ms: i64) {
        let mut overdue = Vec::new();
        self.each_place(|place, partition| {
            if partition.is_sync_overdue(now_ms) {
                overdue.push(place);
            }
        });
        let mut table = self.table.borrow_mut();
        for place in overdue {
            if let Some(partition) = table.get_mut(place) {
                self.start_sync(place, partition);
            }
        }
    }

    fn each_place(&self, mut act: impl FnMut(Place, &mut Partition)) {
        for (index, place) in self.table.borrow_mut().places.iter_mut().enumerate() {
            if let Some(partition) = place {
                act(Place(index), partition);
            }
        }
    }

    async fn remove_doomed(&self, now_ms: i64) {
        let mut due = Vec::new();
        self.doomed.borrow_mut().retain(|doomed| {
            let stays = doomed.due_ms > now_ms;
            if !stays {
                due.push(doomed.path.clone());
            }
            stays
        });
        if !due.is_empty() {
            self.files.blocking(move || due.iter().for_each(|path| remove(path))).await;
        }
    }

    /// Directories and files that a deletion before the last stop left behind.
    pub fn adopt_doomed(&self, paths: Vec<PathBuf>) {
        self.doom(paths.into_iter().map(|path| Doomed { path, due_ms: 0 }).collect());
    }
}

fn remove(path: &Path) {
    let result = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    if let Err(error) = result
        && error.kind() != std::io::ErrorKind::NotFound
    {
        lines::warn(format_args!("remove {}: {error}", path.display()));
    }
}

impl Partition {
    fn retire_segments(&mut self, now_ms: i64) -> Result<Vec<Doomed>, LogError> {
        if self.is_held() {
            return Ok(Vec::new());
        }
        let retired = self.log.retention(now_ms, self.state.high_watermark())?;
        if let Some(offset) = retired.rolled {
            self.write_producer_snapshot(offset);
        }
        if retired.segments > 0 {
            self.log_start_moved();
        }
        Ok(retired.files)
    }

    /// What is to be synced of rolled segments, and the directory that it lies in. A sync under way has them in its targets.
    fn begin_sync_rolled(&mut self) -> Option<(usize, SyncTargets)> {
        if self.syncing || self.failed {
            return None;
        }
        self.finish_rolled();
        let targets = self.log.rolled_targets()?;
        self.syncing_rolled = true;
        Some((self.directory, targets))
    }

    /// Segments that were rolled while their indexes could not be written get them, if nobody syncs without them.
    pub(super) fn finish_rolled(&mut self) {
        if !self.syncing && !self.syncing_rolled && !self.log.rolled_are_whole() {
            self.log.finish_rolled();
        }
    }

    /// DeleteRecords: what lies before `offset` is gone for readers at once.
    pub(super) fn advance_log_start(&mut self, offset: i64) -> Result<(), LogError> {
        self.log.advance_start(offset)?;
        self.log_start_moved();
        Ok(())
    }

    fn log_start_moved(&mut self) {
        let start = self.log.log_start_offset();
        self.state.log_start_advanced(start);
        self.producers.log_start_advanced(start);
        if self.epochs.truncate_from_start(start) {
            self.write_epochs();
        }
    }

    /// Keeps the producers as of before `offset`, so that a start has to read only what comes after.
    pub(super) fn write_producer_snapshot(&mut self, offset: i64) {
        // As Kafka: without new records there is no new state.
        if offset <= self.snapshot_offset {
            return;
        }
        let bytes = snapshots::encode(&self.producers.to_snapshot());
        if let Err(error) = self.log.write_snapshot(offset, &bytes) {
            lines::error(format_args!("producer snapshot of {}-{}: {error}", self.topic, self.id.index));
        } else {
            self.snapshot_offset = offset;
        }
    }

    /// Fetches that wait look again, and hear what became of the partition.
    pub(super) fn tell_watchers(&self, effects: &mut Vec<Effect>) {
        for watch in &self.watches {
            effects.push(Effect::Grew { to: watch.shard, fetch: watch.fetch, bytes: u64::from(u32::MAX) });
        }
    }

    /// Its topic was deleted: whoever waits hears that the partition is gone.
    pub(super) fn abandon(&mut self, effects: &mut Vec<Effect>) {
        self.release_all(&AppendError::UnknownPartition, effects);
    }

    fn is_sync_overdue(&self, now_ms: i64) -> bool {
        let unsynced = self.log.log_end_offset() > self.synced_offset && !self.is_held();
        unsynced && self.config.flush_ms != i64::MAX && now_ms - self.last_sync_ms >= self.config.flush_ms
    }

    /// Those of a future replica stand in the directory that it moves to.
    fn all_offsets(&self) -> impl Iterator<Item = PartitionOffsets> {
        let offsets = self.offsets();
        let future = self.future_recovery_point();
        let future =
            future.map(|(directory, recovery_point)| PartitionOffsets { directory, recovery_point, ..offsets.clone() });
        [offsets].into_iter().chain(future)
    }

    fn offsets(&self) -> PartitionOffsets {
        let log_start = self.log.log_start_offset();
        PartitionOffsets {
            topic: self.topic.clone(),
            partition: self.id,
            directory: self.directory,
            recovery_point: self.log.recovery_point(),
            high_watermark: self.state.high_watermark(),
            log_start: (log_start > self.log.first_base_offset()).then_some(log_start),
            cleaned: self.compaction.cleaned,
        }
    }
}
