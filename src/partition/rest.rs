//! Partitions at rest. A log that is written or read holds open files and pieces of its indexes, and its active segment's
//! file stays open until it is synced, since only an open file is sure to tell of a write that failed. Those used longest ago
//! let go where more files are open than there may be, and all that nobody used for some minutes. The next use opens
//! again what it needs.
//!
//! Nothing else syncs a partition that is on its way to rest, since a failed write is told once for each open file: of two
//! who sync it at once one would take the records for safe. And one whose appends are held for a move is left alone: the
//! copy goes by what its files are.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use shards::{File, Nanos};

use super::partitions::Table;
use super::{Effect, Partition, Partitions, Place};
use crate::calls::PartitionId;
use crate::log::SideFiles;
use crate::metrics::log as lines;

/// Syncs under way at once, so that room is made while records come in.
const WORKERS: usize = 8;
/// Nobody used a partition for so long; it is noticed within as much again.
const IDLE: Duration = Duration::from_secs(600);
/// Of the files that may be open, as many are let go at once as this part of them.
const LET_GO_PART: usize = 4;
/// What is let go on the spot when making room did not keep up.
const LET_GO_ON_THE_SPOT: usize = 16;
/// When making room brought too little, how long it is not tried again: the files are in the hands of readers.
const IN_VAIN: Duration = Duration::from_millis(100);
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What waits to rest, and who sees to it.
#[derive(Debug, Default)]
pub(super) struct Resting {
    waiting: VecDeque<Place>,
    workers: usize,
    /// Where the look for idle partitions goes on.
    next: usize,
    warned: Option<Nanos>,
    /// Until then nothing is let go on the spot, or in turn.
    in_vain_until: Nanos,
    in_turn_in_vain_until: Nanos,
}

/// What has to be synced before a log can rest.
struct Begun {
    id: PartitionId,
    offset: i64,
    files: Vec<File>,
    beside: SideFiles,
}

impl Partitions {
    /// Has the logs used longest ago let go of their files, if too many are open. Cheap where they are not.
    pub(super) fn keep_room(self: &Rc<Self>) {
        if File::open_count() <= self.files_max {
            return;
        }
        let resting = self.resting.borrow();
        if resting.workers == 0 && self.core.now() >= resting.in_turn_in_vain_until {
            drop(resting);
            let places = used_longest_ago(&self.table.borrow());
            self.rest_in_turn(places, self.files_max - self.files_max / LET_GO_PART);
        }
    }

    /// Room for what is about to be opened, also when syncing does not keep up with it: then some logs are synced and
    /// let go here and now, while everybody waits.
    pub(super) fn make_room(&self) {
        let is_tight = || File::open_count() > self.files_max + self.files_max / LET_GO_PART;
        if !is_tight() || self.core.now() < self.resting.borrow().in_vain_until {
            return;
        }
        let now = self.core.now();
        let mut table = self.table.borrow_mut();
        let mut left = LET_GO_ON_THE_SPOT;
        for place in used_longest_ago(&table) {
            if left > 0
                && let Some(partition) = table.get_mut(place)
            {
                left -= usize::from(partition.rest_now(self.core.wall_ms(), &mut self.effects.borrow_mut()));
            }
        }
        // Who waited is let go in settle, and not every caller is on the way there.
        self.core.wake_at(Nanos(0));
        let mut resting = self.resting.borrow_mut();
        if is_tight() {
            resting.in_vain_until = now + IN_VAIN;
        }
        if resting.warned.is_none_or(|last| now.since(last) >= WARN_EVERY) {
            resting.warned = Some(now);
            let (open, most) = (File::open_count(), self.files_max);
            lines::warn(format_args!("{open} files of logs are open, {most} should be: {}", shards::DESCRIPTOR_HELP));
        }
    }

    /// Looks at some partitions, so that each is looked at once in [`IDLE`]. Call once a second.
    pub(super) fn rest_idle(self: &Rc<Self>) {
        let now = self.core.now();
        let mut idle = VecDeque::new();
        let mut resting = self.resting.borrow_mut();
        let table = self.table.borrow();
        let count = table.places.len();
        for _ in 0..count.div_ceil(IDLE.as_secs() as usize) {
            resting.next = (resting.next + 1) % count;
            let partition = table.places[resting.next].as_deref();
            if partition.is_some_and(|one| now.since(one.used_at) >= IDLE && !one.log.is_at_rest()) {
                idle.push_back(Place(resting.next));
            }
        }
        drop((resting, table));
        self.rest_in_turn(idle, 0);
    }

    /// Brings `places` to rest until no more than `enough` files are open.
    fn rest_in_turn(self: &Rc<Self>, places: VecDeque<Place>, enough: usize) {
        let mut resting = self.resting.borrow_mut();
        resting.waiting.extend(places);
        let workers = resting.waiting.len().min(WORKERS).saturating_sub(resting.workers);
        resting.workers += workers;
        drop(resting);
        for _ in 0..workers {
            let partitions = Rc::clone(self);
            self.core.spawn(async move {
                loop {
                    let next = partitions.resting.borrow_mut().waiting.pop_front();
                    let Some(place) = next.filter(|_| File::open_count() > enough) else { break };
                    partitions.put_to_rest(place).await;
                }
                let mut resting = partitions.resting.borrow_mut();
                resting.waiting.clear();
                resting.workers -= 1;
                if File::open_count() > partitions.files_max {
                    resting.in_turn_in_vain_until = partitions.core.now() + IN_VAIN;
                }
            });
        }
    }

    /// What is not synced is synced first, and stays open if records come meanwhile.
    async fn put_to_rest(self: &Rc<Self>, place: Place) {
        let begun = self.table.borrow_mut().get_mut(place).and_then(Partition::begin_rest);
        let Some(Begun { id, offset, files, beside }) = begun else { return };
        let mut result = Ok(());
        for file in files {
            result = result.and(self.files.sync_data(&file).await);
        }
        let is_synced = result.is_ok();
        self.synced(place, id, offset, result);
        if let Some(partition) = self.table.borrow_mut().get_mut(place).filter(|_| is_synced) {
            partition.end_rest(beside);
        }
    }
}

/// Partitions whose logs have open files, the one used longest ago first.
fn used_longest_ago(table: &Table) -> VecDeque<Place> {
    let with_files = table.places.iter().enumerate().filter_map(|(index, place)| {
        let partition = place.as_deref().filter(|partition| partition.log.open_files() > 0)?;
        Some((partition.used_at, index))
    });
    let mut found: Vec<(Nanos, usize)> = with_files.collect();
    found.sort_unstable();
    found.into_iter().map(|(_, index)| Place(index)).collect()
}

impl Partition {
    /// Lets go of what it can. What has to be synced before the rest can go too counts as a sync under way, which
    /// [`synced`](Self::synced) ends.
    fn begin_rest(&mut self) -> Option<Begun> {
        if self.failed || self.syncing || self.syncing_rolled || self.is_held() {
            return None;
        }
        self.log.rest();
        if self.log.is_at_rest() || !self.log.is_quiet() {
            return None;
        }
        let offset = self.begin_sync()?;
        Some(Begun { id: self.id, offset, files: self.log.sync_targets(), beside: self.log.side_files() })
    }

    /// After the sync that [`begin_rest`](Self::begin_rest) asked for.
    fn end_rest(&mut self, beside: SideFiles) {
        self.log.side_files_synced(beside);
        if !self.is_held() {
            self.log.rest();
        }
    }

    /// True if all its files were let go.
    fn rest_now(&mut self, now_ms: i64, effects: &mut Vec<Effect>) -> bool {
        if let Some(Begun { offset, files, beside, .. }) = self.begin_rest() {
            let result: io::Result<()> = files.iter().try_for_each(File::sync_data);
            let is_synced = result.is_ok();
            // Nothing came meanwhile, so there is nothing more to sync.
            _ = self.synced(offset, result, now_ms, effects);
            if is_synced {
                self.end_rest(beside);
            }
        }
        self.log.is_at_rest()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use shards::{Chunk, Files};
    use state::epochs::LeaderEpochs;
    use state::future_replica::FutureReplica;
    use state::partition::{Assignment, PartitionState};
    use state::producer::{ProducerLimits, ProducerTable};
    use wire::Uuid;
    use wire::records::{BatchBuilder, Scratch};

    use super::*;
    use crate::config::topic::TopicConfig;
    use crate::log::Log;
    use crate::partition::Queues;
    use crate::partition::compact::Compaction;

    /// A partition with so many records, each with an entry of the index, none of them synced.
    fn partition(name: &str, records: i64) -> (PathBuf, Partition) {
        let dir = std::env::temp_dir().join(format!("ringmill-rest-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let config = TopicConfig { index_interval_bytes: 1, ..TopicConfig::default() };
        let log = Log::create(&dir.join("t-0"), Uuid(77), &config).unwrap();
        let assigned = Assignment { leader: 1, leader_epoch: 0, partition_epoch: 0, replicas: vec![1], isr: vec![1] };
        let mut state = PartitionState::new(1, assigned, 1, 0, 0, 0);
        _ = state.became_leader();
        let mut partition = Partition {
            id: PartitionId { topic: Uuid(77), index: 0 },
            topic: "t".into(),
            directory: 0,
            config: Rc::new(config),
            log,
            state,
            epochs: LeaderEpochs::from_entries(Vec::new()),
            producers: ProducerTable::new(ProducerLimits::default()),
            awaiting: Queues::default(),
            watches: Vec::new(),
            unread_bytes: 0,
            synced_offset: 0,
            syncing: false,
            syncing_rolled: false,
            compaction: Compaction::after(None),
            used_at: Nanos(0),
            snapshot_offset: 0,
            last_sync_ms: 0,
            moving: None,
            failed: false,
        };
        for number in 0..records {
            let mut batch = BatchBuilder::new(0);
            batch.push(number, Some(b"key"), Some(b"value"), &[]).unwrap();
            let batch = Chunk::from(batch.finish(&mut Scratch::default()));
            partition.append_own(batch, number as u64, 0).unwrap();
            _ = partition.flush(&Files::inline(), 0, 0, &mut Vec::new());
        }
        (dir, partition)
    }

    #[test]
    fn what_is_not_synced_is_synced_before_it_rests() {
        let (dir, mut partition) = partition("synced", 3);
        assert_eq!(partition.log.recovery_point(), 0);
        assert!(partition.rest_now(0, &mut Vec::new()));
        assert_eq!((partition.log.recovery_point(), partition.synced_offset, partition.log.open_files()), (3, 3, 0));
        _ = std::fs::remove_dir_all(dir);
    }

    #[test]
    fn a_failed_sync_is_not_tried_again() {
        let (dir, mut partition) = partition("failed", 3);
        let begun = partition.begin_rest().unwrap();
        assert!(partition.begin_rest().is_none(), "one at a time");
        _ = partition.synced(begun.offset, Err(io::Error::other("a test")), 0, &mut Vec::new());
        assert!(partition.failed && !partition.rest_now(0, &mut Vec::new()));
        assert!(partition.log.open_files() > 0);
        assert_eq!(partition.log.recovery_point(), 0);
        _ = std::fs::remove_dir_all(dir);
    }

    #[test]
    fn records_that_come_meanwhile_stay_open() {
        let (dir, mut partition) = partition("meanwhile", 3);
        let begun = partition.begin_rest().unwrap();
        let mut batch = BatchBuilder::new(0);
        batch.push(4, Some(b"key"), Some(b"value"), &[]).unwrap();
        partition.append_own(Chunk::from(batch.finish(&mut Scratch::default())), 4, 0).unwrap();
        _ = partition.flush(&Files::inline(), 0, 0, &mut Vec::new());
        _ = partition.synced(begun.offset, Ok(()), 0, &mut Vec::new());
        partition.end_rest(begun.beside);
        assert_eq!((partition.log.recovery_point(), partition.log.log_end_offset()), (3, 4));
        assert_eq!(partition.log.sync_targets().len(), 1);
        _ = std::fs::remove_dir_all(dir);
    }

    #[test]
    fn while_appends_are_held_for_a_move_the_files_stay_as_they_are() {
        let (dir, mut partition) = partition("held", 3);
        assert!(partition.adopt(1, &dir.join("future")));
        let before = partition.log.active_index_bytes();
        partition.future().unwrap().surveyed([]);
        partition.future().map(FutureReplica::held).unwrap();
        assert!(!partition.rest_now(0, &mut Vec::new()));
        assert_eq!(partition.log.active_index_bytes(), before);
        partition.end_move();
        assert!(partition.rest_now(0, &mut Vec::new()));
        assert_ne!(partition.log.active_index_bytes(), before);
        _ = std::fs::remove_dir_all(dir);
    }
}
