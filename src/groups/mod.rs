//! The shell around the groups: their coordinators on this shard, one for each partition of `__consumer_offsets` that it
//! owns (Kafka's `GroupCoordinatorService` and `CoordinatorRuntime`).
//!
//! What is decided is decided in `state::group`. Here its records become batches of the partition's log, and its answers
//! wait until all records made up to then are written and below the high watermark. What a wake brings for a partition
//! leaves in one batch and one write.
//!
//! - `coordinator`: one partition's state and the answers held back; `writer`: records into batches
//! - `load`: from the log back to the state; `loading`: doing that beside everything else
//! - `settings`: what the groups are given besides time, chance and image

mod coordinator;
mod load;
#[cfg(test)]
mod load_tests;
mod loading;
mod settings;
mod writer;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use shards::{Core, Nanos, ShardId};
use state::group::{Cx, Effects, GroupError, Groups, Reply, Request, Settings, Waiting};
use state::metadata::{Image, Topic, TopicChange, shard_of};
use wire::Uuid;
use wire::records::Scratch;

use crate::calls::{AppendError, Call, ListedGroups, PartitionId, Ticket};
use crate::chance::Chance;
use crate::config::Broker;
use crate::metrics::log as lines;
use crate::partition::Partitions;
use crate::tickets::Tickets;
use coordinator::{Coordinator, Phase, Told};
use writer::Form;

/// Where groups are kept.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Who asked: a question of a request that is under way on a shard.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    pub shard: ShardId,
    pub ask: Ticket,
    pub item: u32,
}

/// The coordinators of one shard.
pub struct Coordinators {
    core: Core<Call>,
    partitions: Rc<Partitions>,
    broker: Arc<Broker>,
    table: RefCell<Table>,
    /// Answers that may leave; `drain` hands them out.
    told: RefCell<Vec<Told>>,
    /// The next time that is due for any of the groups, on the monotonic clock.
    deadline_ms: Cell<Option<u64>>,
    /// When outdated offsets are looked for next.
    offsets_due_ms: Cell<u64>,
    to_load: RefCell<VecDeque<PartitionId>>,
    is_loading: Cell<bool>,
}

/// What the coordinators of a shard have in common, and they.
struct Table {
    by_partition: BTreeMap<i32, Coordinator>,
    waiting: Tickets<Asker>,
    /// Partitions whose coordinators have records that are not staged.
    dirty: Vec<i32>,
    chance: Chance,
    settings: Settings,
    image: Arc<Image>,
    scratch: Scratch,
    stopped: bool,
}

/// The moment of an event.
#[derive(Debug, Clone, Copy)]
struct Now {
    ms: u64,
    wall_ms: i64,
}

impl Coordinators {
    /// Errors: the system's source of random numbers can't be opened.
    pub fn new(
        core: Core<Call>,
        partitions: Rc<Partitions>,
        broker: Arc<Broker>,
        image: &Arc<Image>,
    ) -> io::Result<Rc<Self>> {
        let table = Table {
            by_partition: BTreeMap::new(),
            waiting: Tickets::default(),
            dirty: Vec::new(),
            chance: Chance::open()?,
            settings: settings::settings(&broker, image),
            image: Arc::clone(image),
            scratch: Scratch::default(),
            stopped: false,
        };
        let offsets_due_ms = core.now().0 / 1_000_000 + broker.groups.offsets_retention_check_interval_ms;
        let coordinators = Rc::new(Self {
            core,
            partitions,
            broker,
            table: RefCell::new(table),
            told: RefCell::default(),
            deadline_ms: Cell::default(),
            offsets_due_ms: Cell::new(offsets_due_ms),
            to_load: RefCell::default(),
            is_loading: Cell::default(),
        });
        coordinators.follow(&mut coordinators.table.borrow_mut(), image, &mut Vec::new());
        coordinators.load();
        Ok(coordinators)
    }

    /// Takes one question about a group that `partition` keeps. Its answer is handed out by [`drain`](Self::drain), at
    /// once or later.
    pub fn handle(&self, asker: Asker, partition: i32, request: Request) {
        let (mut table, mut told) = (self.table.borrow_mut(), self.told.borrow_mut());
        let table = &mut *table;
        let refusal = match table.by_partition.get(&partition) {
            Some(coordinator) => coordinator.unavailable(),
            None => Some(GroupError::NotCoordinator),
        };
        if let Some(error) = refusal {
            return told.push((asker, Reply::Unavailable(error)));
        }
        let waiting = waiting_of(table.waiting.insert(asker));
        self.run(table, partition, &mut told, |groups, cx| groups.handle(cx, waiting, request));
    }

    /// Answers a question about a group that nobody keeps.
    pub fn refuse(&self, asker: Asker, error: GroupError) {
        self.told.borrow_mut().push((asker, Reply::Unavailable(error)));
    }

    /// Whether consumer groups of KIP-848 are served: `group.version` is finalised, and the operator offers them
    /// (`group.coordinator.rebalance.protocols`).
    pub fn serves_consumer_groups(&self) -> bool {
        self.table.borrow().settings.consumer_enabled
    }

    /// All groups of this shard's.
    pub fn list(&self) -> ListedGroups {
        let table = self.table.borrow();
        let mut all = Vec::new();
        for coordinator in table.by_partition.values() {
            match &coordinator.phase {
                Phase::Loading { .. } => return Err(GroupError::Loading),
                Phase::Active(groups) => all.extend(groups.list()),
                Phase::Gone => {}
            }
        }
        Ok(all)
    }

    /// Stages what was decided since the last call, and runs what is due. Call before the partitions are flushed.
    pub fn settle(&self) {
        self.expire();
        let mut table = self.table.borrow_mut();
        if table.dirty.is_empty() {
            return;
        }
        let mut told = self.told.borrow_mut();
        let mut dirty = std::mem::take(&mut table.dirty);
        for partition in dirty.drain(..) {
            let table = &mut *table;
            let Some(coordinator) = table.by_partition.get_mut(&partition) else { continue };
            let id = coordinator.id;
            let mut batches = coordinator.writer.take(&mut table.scratch).into_iter();
            let staged = batches.try_for_each(|(number, bytes)| self.partitions.append_own(&id, bytes, number));
            if let Err(error) = staged {
                give_up(table, partition, &format!("append: {error:?}"), &mut told);
            }
        }
        if table.dirty.is_empty() {
            table.dirty = dirty;
        }
    }

    /// A batch of the coordinator on this partition is safe, or never will be.
    pub fn kept(&self, id: PartitionId, batch: u64, result: Result<(), AppendError>) {
        let (mut table, mut told) = (self.table.borrow_mut(), self.told.borrow_mut());
        let coordinator = table.by_partition.get_mut(&id.index).filter(|coordinator| coordinator.id == id);
        let Some(coordinator) = coordinator else { return };
        match result {
            Ok(()) => coordinator.kept(batch, &mut told),
            Err(error) => give_up(&mut table, id.index, &format!("write: {error:?}"), &mut told),
        }
    }

    /// Runs `each` on the answers that may leave.
    pub fn drain(&self, mut each: impl FnMut(Asker, Reply)) {
        let mut told = std::mem::take(&mut *self.told.borrow_mut());
        told.drain(..).for_each(|(asker, reply)| each(asker, reply));
        let mut kept = self.told.borrow_mut();
        if kept.is_empty() {
            *kept = told;
        }
    }

    /// Follows a newer image, after the partitions did: coordinators come and go with them, and the groups hear which
    /// topics changed.
    pub fn apply(self: &Rc<Self>, image: &Arc<Image>) {
        let mut table = self.table.borrow_mut();
        if table.stopped {
            return;
        }
        let old = std::mem::replace(&mut table.image, Arc::clone(image));
        table.settings = settings::settings(&self.broker, image);
        let mut told = self.told.borrow_mut();
        let changes = image.topic_changes(&old);
        let mut changed: Vec<&str> = changes.iter().map(name_of).collect();
        changed.dedup();
        if !changed.is_empty() {
            self.topics_changed(&mut table, &changed, &mut told);
        }
        self.follow(&mut table, image, &mut told);
        drop((table, told));
        self.load();
    }

    /// Looks for outdated offsets when it is time (`offsets.retention.check.interval.ms`); call about once a second.
    pub fn keep_house(&self) {
        let now_ms = self.now().ms;
        if now_ms < self.offsets_due_ms.get() {
            return;
        }
        self.offsets_due_ms.set(now_ms + self.broker.groups.offsets_retention_check_interval_ms);
        let (mut table, mut told) = (self.table.borrow_mut(), self.told.borrow_mut());
        let partitions: Vec<i32> = table.by_partition.keys().copied().collect();
        for partition in partitions {
            self.run(&mut table, partition, &mut told, Groups::expire_offsets);
        }
        // What was decided is staged in settle, which may be far off on an idle shard.
        self.core.wake_at(Nanos(0));
    }

    /// No more questions, no more records: the logs are about to be closed.
    pub fn close(&self) {
        let mut table = self.table.borrow_mut();
        table.stopped = true;
        table.by_partition.clear();
        self.to_load.borrow_mut().clear();
    }

    /// One coordinator for each partition of the offsets topic that is open here.
    fn follow(&self, table: &mut Table, image: &Image, told: &mut Vec<Told>) {
        let topic = image.topic(OFFSETS_TOPIC);
        let is_led = |id: &PartitionId| {
            let topic = topic.filter(|topic| topic.id == id.topic);
            topic.and_then(|topic| topic.partition(id.index)).is_some_and(|it| it.leader == self.broker.node_id)
        };
        let outdated: Vec<i32> =
            table.by_partition.values().map(|one| one.id).filter(|id| !is_led(id)).map(|id| id.index).collect();
        for partition in outdated {
            give_up(table, partition, "the partition was deleted, or lies in a log directory that failed", told);
            table.by_partition.remove(&partition);
        }
        let Some(topic) = topic else { return };
        for id in self.owned(topic) {
            if is_led(&id) && !table.by_partition.contains_key(&id.index) && self.partitions.place(&id).is_some() {
                table.by_partition.insert(id.index, Coordinator::new(id));
                self.to_load.borrow_mut().push_back(id);
            }
        }
    }

    fn owned(&self, topic: &Topic) -> impl Iterator<Item = PartitionId> {
        let (here, count, topic, partitions) = (self.core.id(), self.core.count(), topic.id, topic.partitions.len());
        let indexes = (0..partitions as i32).filter(move |index| ShardId(shard_of(topic, *index, count)) == here);
        indexes.map(move |index| PartitionId { topic, index })
    }

    fn topics_changed(&self, table: &mut Table, changed: &[&str], told: &mut Vec<Told>) {
        let partitions: Vec<i32> = table.by_partition.keys().copied().collect();
        for partition in partitions {
            if let Some(Phase::Loading { changed: kept }) =
                table.by_partition.get_mut(&partition).map(|one| &mut one.phase)
            {
                kept.extend(changed.iter().map(|name| (*name).to_owned()));
                continue;
            }
            self.run(table, partition, told, |groups, cx| groups.metadata_changed(cx, changed));
        }
    }

    /// Runs what is due, and asks to be woken for what is due next.
    fn expire(&self) {
        let Some(deadline_ms) = self.deadline_ms.get() else { return };
        let now_ms = self.now().ms;
        if now_ms >= deadline_ms {
            let (mut table, mut told) = (self.table.borrow_mut(), self.told.borrow_mut());
            let is_due = |one: &&Coordinator| one.deadline_ms().is_some_and(|at| at <= now_ms);
            let due: Vec<i32> = table.by_partition.values().filter(is_due).map(|one| one.id.index).collect();
            self.deadline_ms
                .set(table.by_partition.values().filter_map(Coordinator::deadline_ms).filter(|at| *at > now_ms).min());
            for partition in due {
                self.run(&mut table, partition, &mut told, Groups::expire);
            }
        }
        if let Some(next_ms) = self.deadline_ms.get() {
            self.core.wake_at(Nanos(next_ms.saturating_mul(1_000_000)));
        }
    }

    /// Lets something happen to the groups of a partition, and sees to what follows.
    fn run(
        &self,
        table: &mut Table,
        partition: i32,
        told: &mut Vec<Told>,
        event: impl FnOnce(&mut Groups, &mut Cx<'_>) -> Effects,
    ) {
        let now = self.now();
        let Some(coordinator) = table.by_partition.get_mut(&partition) else { return };
        let Phase::Active(groups) = &mut coordinator.phase else { return };
        let chance = &mut table.chance;
        let mut cx = Cx {
            now_ms: now.ms,
            wall_ms: now.wall_ms,
            chance: &mut || -> Uuid { chance.uuid() },
            image: &table.image,
            settings: &table.settings,
        };
        let Effects { records, replies } = event(groups, &mut cx);
        if let Some(at_ms) = groups.next_deadline_ms() {
            self.wake_for(at_ms);
        }
        if !records.is_empty() {
            if !coordinator.writer.has_records() {
                table.dirty.push(partition);
            }
            let form = self.form(&coordinator.id);
            if let Err(error) = coordinator.writer.push(&records, now.wall_ms, form, &mut table.scratch) {
                tell(table, partition, replies, told);
                return give_up(table, partition, &format!("encode records: {error}"), told);
            }
        }
        tell(table, partition, replies, told);
    }

    fn form(&self, id: &PartitionId) -> Form {
        Form {
            // A partition that is gone refuses the batch anyhow.
            batch_bytes_max: self.partitions.batch_bytes_max(id).unwrap_or(usize::MAX),
            codec: self.broker.groups.offsets_topic.codec,
        }
    }

    fn wake_for(&self, at_ms: u64) {
        if self.deadline_ms.get().is_none_or(|before| at_ms < before) {
            self.deadline_ms.set(Some(at_ms));
            self.core.wake_at(Nanos(at_ms.saturating_mul(1_000_000)));
        }
    }

    fn now(&self) -> Now {
        Now { ms: self.core.now().0 / 1_000_000, wall_ms: self.core.wall_ms() }
    }
}

/// Gives or holds back answers; each question has one.
fn tell(table: &mut Table, partition: i32, replies: Vec<(Waiting, Reply)>, told: &mut Vec<Told>) {
    let Some(coordinator) = table.by_partition.get_mut(&partition) else { return };
    for (waiting, reply) in replies {
        if let Some(asker) = table.waiting.remove(ticket_of(waiting)) {
            coordinator.tell(asker, reply, told);
        }
    }
}

/// The coordinator of a partition gives up its state: whoever waits has to look for another.
fn give_up(table: &mut Table, partition: i32, why: &str, told: &mut Vec<Told>) {
    let Some(coordinator) = table.by_partition.get_mut(&partition) else { return };
    if !matches!(coordinator.phase, Phase::Gone) {
        lines::error(format_args!("{OFFSETS_TOPIC}-{partition}: its groups are not served any more: {why}"));
    }
    for (waiting, reply) in coordinator.give_up(told).replies {
        if let Some(asker) = table.waiting.remove(ticket_of(waiting)) {
            told.push((asker, reply));
        }
    }
}

fn waiting_of(ticket: Ticket) -> Waiting {
    Waiting(u64::from(ticket.generation) << 32 | u64::from(ticket.index))
}

fn ticket_of(waiting: Waiting) -> Ticket {
    Ticket { index: waiting.0 as u32, generation: (waiting.0 >> 32) as u32 }
}

fn name_of(change: &TopicChange) -> &str {
    match change {
        TopicChange::Deleted(topic) | TopicChange::Created(topic) | TopicChange::Changed { new: topic, .. } => {
            &topic.name
        }
    }
}
