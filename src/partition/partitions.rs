//! All partitions of one shard: finding them, writing what a wake brought to each in one go, collecting what their
//! waiters are to hear.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use shards::{Chunk, Core, Files, Nanos, ShardId};
use state::metadata::Image;
use wire::records::Scratch;

use super::append::{Taken, Waiter};
use super::keep::Due;
use super::rest::Resting;
use super::settle::Next;
use super::{Effect, LogDirs, Partition};
use crate::calls::{AppendError, Call, PartitionId, ReadError, Ticket};
use crate::config::{Cordoned, Dynamic};
use crate::log::Doomed;

/// Where a partition of this shard's stands in its table; valid while the partition is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(pub(super) usize);

pub struct Partitions {
    pub(super) core: Core<Call>,
    pub(super) files: Files,
    pub(crate) directories: Arc<LogDirs>,
    pub(super) table: RefCell<Table>,
    pub(super) effects: RefCell<Vec<Effect>>,
    /// The image that the table follows.
    pub(super) applied: RefCell<Option<Arc<Image>>>,
    /// Settings that may change; `None` until partitions are opened.
    pub(super) dynamic: RefCell<Option<Dynamic>>,
    pub(super) doomed: RefCell<Vec<Doomed>>,
    pub(super) due: RefCell<Due>,
    /// Files of logs that may be open in this process.
    pub(super) files_max: usize,
    pub(super) resting: RefCell<Resting>,
    /// The shard stops: logs are closed and stay as they are.
    pub(super) closing: Cell<bool>,
    /// Somebody goes on with the moves of this shard's replicas.
    pub(super) is_moving: Cell<bool>,
    /// A worker thread takes a step of this partition's move.
    pub(super) at_work: Cell<Option<PartitionId>>,
    pub(super) scratch: RefCell<Scratch>,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) places: Vec<Option<Box<Partition>>>,
    pub(super) by_id: HashMap<PartitionId, Place>,
    /// Partitions of this shard's whose log directory has failed.
    offline: HashSet<PartitionId>,
    /// Places with staged batches.
    pub(super) dirty: Vec<Place>,
    /// What the fetches of other shards watch, by shard and ticket.
    watched: HashMap<(ShardId, u32), Vec<Place>>,
}

impl Partitions {
    /// No partitions yet. `directories` are the log directories as they were found; `files_max` files of logs may be open
    /// in this process.
    pub fn new(core: Core<Call>, directories: Arc<LogDirs>, files_max: usize) -> Rc<Self> {
        let files = core.files().clone();
        Rc::new(Self {
            core,
            files,
            table: RefCell::default(),
            effects: RefCell::default(),
            applied: RefCell::default(),
            dynamic: RefCell::default(),
            doomed: RefCell::default(),
            due: RefCell::default(),
            files_max,
            resting: RefCell::default(),
            closing: Cell::default(),
            is_moving: Cell::default(),
            at_work: Cell::default(),
            directories,
            scratch: RefCell::new(Scratch::default()),
        })
    }

    /// Directories that take no new partitions.
    pub fn cordoned(&self) -> Cordoned {
        self.dynamic.borrow().as_ref().map_or(Cordoned::These(Vec::new()), |dynamic| dynamic.cordoned.clone())
    }

    pub fn place(&self, id: &PartitionId) -> Option<Place> {
        self.table.borrow().by_id.get(id).copied()
    }

    /// Checks and stages one batch; it is written at the next [`flush`](Self::flush).
    pub fn append(&self, id: &PartitionId, records: Chunk, waiter: Waiter) -> Result<Taken, AppendError> {
        self.make_room();
        let mut table = self.table.borrow_mut();
        let Some(place) = table.by_id.get(id).copied() else {
            return Err(if table.is_offline(id) { AppendError::Storage } else { AppendError::UnknownPartition });
        };
        let partition = table.get_mut(place).ok_or(AppendError::UnknownPartition)?;
        partition.used_at = self.core.now();
        let was_clean = !partition.log.has_staged();
        let taken = partition.append(records, waiter, self.core.wall_ms(), &mut self.scratch.borrow_mut())?;
        if was_clean && taken == Taken::Staged {
            table.dirty.push(place);
        }
        Ok(taken)
    }

    /// Tells `fetch` of `shard` when the partition grows.
    pub fn watch(&self, shard: ShardId, id: &PartitionId, fetch: Ticket) {
        self.with(id, |partition| partition.watch(shard, fetch));
    }

    /// As [`watch`](Self::watch), until [`unwatch_all`](Self::unwatch_all).
    pub(super) fn watch_from(&self, shard: ShardId, id: &PartitionId, fetch: Ticket) {
        self.watch(shard, id, fetch);
        let mut table = self.table.borrow_mut();
        let Some(place) = table.by_id.get(id).copied() else { return };
        let watched = table.watched.entry((shard, fetch.index)).or_default();
        if !watched.contains(&place) {
            watched.push(place);
        }
    }

    pub fn unwatch(&self, shard: ShardId, id: &PartitionId, fetch: Ticket) {
        self.with(id, |partition| partition.unwatch(shard, fetch));
    }

    /// Another shard's fetch is over.
    pub fn unwatch_all(&self, shard: ShardId, fetch: Ticket) {
        let mut table = self.table.borrow_mut();
        for place in table.watched.remove(&(shard, fetch.index)).unwrap_or_default() {
            if let Some(partition) = table.get_mut(place) {
                partition.unwatch(shard, fetch);
            }
        }
    }

    /// Writes everything that was staged: one write a partition.
    pub fn flush(self: &Rc<Self>) {
        let mut table = self.table.borrow_mut();
        if table.dirty.is_empty() {
            return;
        }
        let now_ms = self.core.wall_ms();
        let mut effects = self.effects.borrow_mut();
        let mut dirty = std::mem::take(&mut table.dirty);
        for place in dirty.drain(..) {
            let Some(partition) = table.get_mut(place) else { continue };
            if partition.flush(&self.files, place.0 as u64, now_ms, &mut effects) == Next::Sync {
                self.start_sync(place, partition);
            }
        }
        table.dirty = dirty;
        drop((table, effects));
        self.keep_room();
    }

    /// Completion of a write that went through the ring.
    pub fn written(self: &Rc<Self>, token: u64, result: io::Result<()>) {
        let place = Place(token as usize);
        let mut table = self.table.borrow_mut();
        let Some(partition) = table.get_mut(place) else { return };
        let now_ms = self.core.wall_ms();
        let next = partition.written(result, &self.files, token, now_ms, &mut self.effects.borrow_mut());
        if next == Next::Sync {
            self.start_sync(place, partition);
        }
    }

    /// Runs `each` on what waiters are to hear since the last call.
    pub fn drain_effects(&self, mut each: impl FnMut(Effect)) {
        // Taken out first: handling an effect may cause the next.
        let mut effects = std::mem::take(&mut *self.effects.borrow_mut());
        effects.drain(..).for_each(&mut each);
        let mut kept = self.effects.borrow_mut();
        if kept.is_empty() {
            *kept = effects;
        }
    }

    pub(super) fn with<T>(&self, id: &PartitionId, act: impl FnOnce(&mut Partition) -> T) -> Option<T> {
        self.make_room();
        let mut table = self.table.borrow_mut();
        let place = table.by_id.get(id).copied()?;
        let partition = table.get_mut(place)?;
        partition.used_at = self.core.now();
        Some(act(partition))
    }

    /// One `fdatasync` for everything written so far; what is written meanwhile waits for the next.
    pub(super) fn start_sync(self: &Rc<Self>, place: Place, partition: &mut Partition) {
        let Some(offset) = partition.begin_sync() else { return };
        let targets = partition.log.sync_targets();
        let (partitions, id) = (Rc::clone(self), partition.id);
        self.core.spawn(async move {
            let mut result = Ok(());
            for file in targets {
                result = result.and(partitions.files.sync_data(&file).await);
            }
            partitions.synced(place, id, offset, result);
        });
    }

    pub(super) fn synced(self: &Rc<Self>, place: Place, id: PartitionId, offset: i64, result: io::Result<()>) {
        let mut table = self.table.borrow_mut();
        let Some(partition) = table.get_mut(place).filter(|partition| partition.id == id) else { return };
        let next = partition.synced(offset, result, self.core.wall_ms(), &mut self.effects.borrow_mut());
        if next == Next::Sync {
            self.start_sync(place, partition);
        }
        // Waiters are let go in settle, which may be far off on an idle shard.
        self.core.wake_at(Nanos(0));
    }
}

impl Table {
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Partition> {
        self.places.get_mut(place.0)?.as_deref_mut()
    }

    pub(super) fn set_offline(&mut self, id: PartitionId) {
        self.offline.insert(id);
    }

    pub(super) fn is_offline(&self, id: &PartitionId) -> bool {
        self.offline.contains(id)
    }

    /// What a reader hears of a partition that is not open.
    pub(super) fn absent(&self, id: &PartitionId) -> ReadError {
        if self.is_offline(id) { ReadError::Storage } else { ReadError::UnknownPartition }
    }

    pub(super) fn insert(&mut self, partition: Partition) {
        self.offline.remove(&partition.id);
        self.by_id.insert(partition.id, Place(self.places.len()));
        self.places.push(Some(Box::new(partition)));
    }

    /// Places are not used again: the completion of a late write must not find another partition.
    pub(super) fn remove(&mut self, id: &PartitionId) -> Option<Box<Partition>> {
        self.offline.remove(id);
        let place = self.by_id.remove(id)?;
        self.places.get_mut(place.0)?.take()
    }
}
