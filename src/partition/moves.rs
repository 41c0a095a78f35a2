//! Moving replicas of this shard's to other log directories (KIP-113; Kafka's `ReplicaManager.alterReplicaLogDirs`,
//! `ReplicaAlterLogDirsThread`). What comes next is decided in `state::future_replica`, the files are `log::future`'s;
//! here steps are taken, one move at a time, each on a worker thread. What the controller is to do is an [`Ask`], which
//! the API's task takes to it.
//!
//! While a partition is held its appends wait (`future`), before they get offsets, and its files are left alone: the
//! log is the same in both directories when they are renamed.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shards::{Nanos, ShardId};
use state::future_replica::{Failure, FutureReplica, Next};
use state::metadata::{Image, shard_of};
use wire::Uuid;

use super::future::Wanted;
use super::{Partition, Partitions};
use crate::calls::{AlterDirError, PartitionId};
use crate::log::future::{Dirs, MoveError};
use crate::log::{Doomed, LogError, NewPartition, create_directories, future_dir, partition_metadata, sync_parents};
use crate::metrics::log as lines;

/// Bytes copied at a time, and the most that is copied while appends are held. Each piece is synced, so no more than
/// this waits for the device because of a move.
const PIECE_BYTES: u64 = 8 * 1024 * 1024;
const PIECE_BYTES_MIN: u64 = 4096;
/// How soon a changed throttle counts.
const THROTTLED_SLEEP: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_millis(1);
/// How soon a step is tried again for which too many files were open.
const SHORTAGE_SLEEP: Duration = Duration::from_millis(100);
/// A file that the log still names and that is not there so often in a row is lost.
const GONE_MAX: u32 = 10;

/// What a move needs of the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Write the checkpoint files of all directories; then [`Partitions::checkpointed`].
    Checkpoint(PartitionId),
    /// Have the metadata name this directory; then [`Partitions::assigned`].
    Assign(PartitionId, Uuid),
}

/// The next step of one move.
struct Step {
    id: PartitionId,
    /// Places in `log.dirs`.
    from: usize,
    to: usize,
    dirs: Dirs,
    next: Next,
}

impl Partitions {
    /// Has the replica lie in `directory` sooner or later: begins a move, turns one that runs to there, or cancels it
    /// where the replica lies there already. When this returns a crash does not make it forgotten.
    pub async fn alter_log_dir(self: &Rc<Self>, id: PartitionId, directory: usize) -> Result<(), AlterDirError> {
        let parent = self.directories.get(directory).path.clone();
        let asked = self.with(&id, |partition| {
            let name = future_dir(&partition.topic, id.index, self.chance()).ok_or(AlterDirError::NameTooLong)?;
            match partition.failed || self.directories.get(directory).is_offline() {
                true => Err(AlterDirError::Storage),
                false => Ok(partition.wants_to_move(directory, parent.join(name), self.directories.any_offline())),
            }
        });
        let (cancelled, wanted) = match asked {
            Some(result) => result?,
            None if self.table.borrow().is_offline(&id) => return Err(AlterDirError::Storage),
            None => return Err(AlterDirError::UnknownPartition),
        };
        self.set_aside(cancelled.into_iter().map(|dir| (dir, 0)).collect()).await;
        match wanted {
            Wanted::Nothing => Ok(()),
            Wanted::Refused => Err(AlterDirError::Storage),
            Wanted::Begin(new) => self.make_future(id, directory, new).await,
        }
    }

    async fn make_future(&self, id: PartitionId, directory: usize, new: NewPartition) -> Result<(), AlterDirError> {
        let dir = new.dir.clone();
        let made = self.files.blocking(move || create_directories(&[new]).remove(0)).await;
        let failed = made.is_err();
        let still_wanted = self.with(&id, |partition| {
            partition.move_to(&dir)?.future = Some(FutureReplica::new());
            partition.moving.take_if(|_| failed);
            Some(())
        });
        match made {
            Ok(()) if still_wanted.flatten().is_none() => self.set_aside(vec![(dir, 0)]).await,
            Ok(()) => lines::info(format_args!("{} begins", dir.display())),
            Err(error) => {
                self.blame(directory, &error);
                return Err(AlterDirError::Storage);
            }
        }
        Ok(())
    }

    /// A directory did not do what a move asked of it.
    pub(super) fn blame(&self, directory: usize, error: &LogError) {
        if error.blames_directory() {
            self.directories.fail(directory, error);
        } else {
            lines::error(format_args!("move to or from {}: {error}", self.directories.get(directory).path.display()));
        }
    }

    /// True if there is a move to go on with and nobody is at it: the caller is now, until [`move_on`](Self::move_on)
    /// says `None`.
    pub fn begin_moving(&self) -> bool {
        let mut any = false;
        self.each(|partition| any |= partition.moving.is_some());
        let begins = any && !self.is_moving.replace(true);
        if begins {
            self.directories.movers.fetch_add(1, Ordering::Relaxed);
        }
        begins
    }

    /// Takes steps until the controller is needed. `None`: no move is left.
    pub async fn move_on(self: &Rc<Self>) -> Option<Ask> {
        while !self.closing.get() {
            let Some(step) = self.next_step() else { break };
            let id = step.id;
            match step.next {
                next if next != Next::Revert && self.directories.get(step.to).is_offline() => self.target_failed(id),
                Next::Checkpoint => return Some(Ask::Checkpoint(id)),
                Next::Assign | Next::Revert => {
                    let directory = if step.next == Next::Assign { step.to } else { step.from };
                    return Some(Ask::Assign(id, self.directories.get(directory).id));
                }
                Next::Promote => self.promote(step).await,
                _ => self.take(step).await,
            }
            self.go_where_else(id).await;
        }
        self.is_moving.set(false);
        self.directories.movers.fetch_sub(1, Ordering::Relaxed);
        None
    }

    pub fn checkpointed(&self, id: &PartitionId) {
        self.with(id, |partition| partition.future().map(FutureReplica::checkpointed));
    }

    /// Whether the metadata names the directory that was asked for.
    pub async fn assigned(self: &Rc<Self>, id: PartitionId, is_done: bool) {
        let next = self.with(&id, |partition| partition.next_of_move(self.held_bytes_max())).flatten();
        match (next, is_done) {
            (Some(Next::Assign), true) => {
                _ = self.with(&id, |partition| partition.future().map(FutureReplica::assigned))
            }
            (Some(Next::Assign), false) => self.give_up(id, "the metadata was not changed"),
            (Some(Next::Revert), true) => self.give_up(id, "the new directory failed"),
            // Until the metadata is right nothing may be appended.
            (Some(Next::Revert), false) => self.core.sleep(THROTTLED_SLEEP).await,
            _ => {}
        }
        self.go_where_else(id).await;
    }

    /// The move that was begun first of those that can go on.
    fn next_step(&self) -> Option<Step> {
        let held_bytes_max = self.held_bytes_max();
        let mut table = self.table.borrow_mut();
        table.places.iter_mut().flatten().find_map(|partition| {
            let moving = partition.moving.as_ref()?;
            let dirs = Dirs { current: partition.log.dir().to_path_buf(), future: moving.dir.clone() };
            let (from, to) = (partition.directory, moving.directory);
            let next = partition.next_of_move(held_bytes_max)?;
            Some(Step { id: partition.id, from, to, dirs, next })
        })
    }

    /// Takes a step that changes nothing but the future replica.
    async fn take(self: &Rc<Self>, Step { id, dirs, next, .. }: Step) {
        match next {
            Next::Hold => self.note(&id, &dirs, FutureReplica::held),
            Next::Wait => {
                self.core.sleep(WAIT).await;
                self.with(&id, Partition::finish_rolled);
            }
            Next::Survey => {
                let closed = self.with(&id, |partition| partition.closed_sizes()).unwrap_or_default();
                let job = dirs.clone();
                if let Some(whole) = self.work(&id, &dirs, move || job.survey(&closed)).await {
                    self.note(&id, &dirs, |future| future.surveyed(whole));
                }
            }
            Next::Drop { base } => {
                let job = dirs.clone();
                if self.work(&id, &dirs, move || job.remove(base)).await.is_some() {
                    self.note(&id, &dirs, |future| future.dropped(base));
                }
            }
            Next::Copy { base, from, upto } => {
                let upto = upto.min(from + self.held_bytes_max());
                let job = dirs.clone();
                if self.work(&id, &dirs, move || job.copy(base, from, upto)).await.is_some() {
                    self.note(&id, &dirs, |future| future.copied(base, upto));
                    self.rest(&id, upto - from).await;
                }
            }
            Next::Finish { base } => {
                let job = dirs.clone();
                if let Some(bytes) = self.work(&id, &dirs, move || job.finish(base)).await {
                    self.note(&id, &dirs, |future| future.finished(base));
                    self.rest(&id, bytes).await;
                }
            }
            Next::Seal => {
                let Some(seal) = self.with(&id, |partition| partition.seal()) else { return };
                let job = dirs.clone();
                if self.work(&id, &dirs, move || job.seal(&seal)).await.is_some() {
                    self.note(&id, &dirs, FutureReplica::sealed);
                }
            }
            Next::Checkpoint | Next::Assign | Next::Promote | Next::Revert => {}
        }
    }

    /// Runs a step on a worker thread. `None`: the move is over, or has to look again.
    async fn work<T: Send + 'static>(
        self: &Rc<Self>,
        id: &PartitionId,
        dirs: &Dirs,
        job: impl FnOnce() -> Result<T, MoveError> + Send + 'static,
    ) -> Option<T> {
        self.at_work.set(Some(*id));
        let result = self.files.blocking(job).await;
        self.at_work.set(None);
        match result {
            Ok(done) => {
                self.with(id, |partition| partition.moving.as_mut().map(|moving| moving.gone = 0));
                Some(done)
            }
            Err(error) => {
                if error.is_descriptor_shortage() {
                    self.core.sleep(SHORTAGE_SLEEP).await;
                }
                self.stumble(*id, dirs, error);
                None
            }
        }
    }

    /// A step failed.
    fn stumble(self: &Rc<Self>, id: PartitionId, dirs: &Dirs, error: MoveError) {
        // A move that was cancelled meanwhile has lost its directory, which is nobody's fault.
        let sides = self.with(&id, |partition| {
            let from = partition.directory;
            let moving = partition.move_to(&dirs.future)?;
            moving.gone += u32::from(matches!(error, MoveError::Gone));
            Some((moving.gone, from, moving.directory))
        });
        let Some((gone, from, to)) = sides.flatten() else { return };
        match error {
            MoveError::Gone if gone < GONE_MAX => {}
            MoveError::Gone => self.give_up(id, "a file of the log is not there"),
            // What is open otherwise will be closed sooner or later.
            ref short if short.is_descriptor_shortage() => {}
            // Kafka takes the directory offline. Its own partitions have done nothing to deserve that.
            MoveError::Future(ref full) if error.is_full() => self.give_up(id, &full.to_string()),
            MoveError::Differs(error) => self.give_up(id, &error.to_string()),
            MoveError::Future(error) => {
                self.directories.fail(to, error);
                self.target_failed(id);
            }
            MoveError::Current(error) => {
                self.directories.fail(from, error);
                self.part_with_failed();
            }
        }
    }

    /// The directory that the replica moves to can't be used any more.
    fn target_failed(self: &Rc<Self>, id: PartitionId) {
        let failure = self.with(&id, |partition| partition.future().map(FutureReplica::failed));
        if failure.flatten() == Some(Failure::Over) {
            self.give_up(id, "the new directory failed");
        }
    }

    /// Tells the future replica what was done, if the move is still the one for which it was done.
    fn note(&self, id: &PartitionId, dirs: &Dirs, what: impl FnOnce(&mut FutureReplica)) {
        self.with(id, |partition| {
            partition.move_to(&dirs.future).and_then(|moving| moving.future.as_mut()).map(what);
        });
    }

    /// Renames both directories and goes on in the new one.
    async fn promote(self: &Rc<Self>, Step { id, from, to, dirs, .. }: Step) {
        let (job, chance) = (dirs.clone(), self.chance());
        let Some(aside) = self.work(&id, &dirs, move || job.promote(chance)).await else { return };
        let promoted = dirs.promoted();
        let delay_ms = self.with(&id, |partition| {
            partition.moved(&dirs);
            partition.config.file_delete_delay_ms
        });
        self.release(&id);
        for (renamed, directory) in [(aside.clone(), from), (promoted.clone(), to)] {
            let synced = self.files.blocking(move || sync_parents([&*renamed].into_iter())).await;
            if let Err(error) = synced {
                self.blame(directory, &error);
            }
        }
        lines::info(format_args!("{} took the place of {}", promoted.display(), dirs.current.display()));
        self.doom(vec![Doomed { path: aside, due_ms: self.core.wall_ms().saturating_add(delay_ms.unwrap_or(0)) }]);
    }

    /// The move is over and the replica stays where it is.
    fn give_up(self: &Rc<Self>, id: PartitionId, why: &str) {
        let given_up = self.with(&id, |partition| {
            lines::error(format_args!("move of {}-{}: {why}; the replica stays", partition.topic, id.index));
            partition.moving.as_ref().map(|moving| (moving.dir.clone(), moving.directory))
        });
        self.release(&id);
        let Some((dir, directory)) = given_up.flatten() else { return };
        if !self.directories.get(directory).is_offline() {
            let partitions = Rc::clone(self);
            self.core.spawn(async move { partitions.set_aside(vec![(dir, 0)]).await });
        }
    }

    /// Appends that were held get their turn, in the order in which they came.
    fn release(&self, id: &PartitionId) {
        let mut table = self.table.borrow_mut();
        let Some(place) = table.by_id.get(id).copied() else { return };
        let Some(partition) = table.get_mut(place) else { return };
        let now_ms = self.core.wall_ms();
        for late in partition.end_move() {
            partition.append_late(late, now_ms, &mut self.scratch.borrow_mut(), &mut self.effects.borrow_mut());
        }
        // Reads that came between two names of the directory look again.
        partition.tell_watchers(&mut self.effects.borrow_mut());
        if partition.log.has_staged() && !table.dirty.contains(&place) {
            table.dirty.push(place);
        }
        self.core.wake_at(Nanos(0));
    }

    /// A request came too late for a move that is over now: another one follows.
    async fn go_where_else(self: &Rc<Self>, id: PartitionId) {
        let next = self.with(&id, Partition::take_next_move);
        if let Some(directory) = next.flatten()
            && let Err(error) = self.alter_log_dir(id, directory).await
        {
            lines::error(format_args!("move of partition {} of {}: {error:?}", id.index, id.topic));
        }
    }

    /// `replica.alter.log.dirs.io.max.bytes.per.second`, shared by the shards that move anything now.
    fn bytes_per_second_max(&self) -> f64 {
        let all = self.dynamic.borrow().as_ref().map_or(u64::MAX, |dynamic| dynamic.move_bytes_per_second_max);
        all as f64 / self.directories.movers.load(Ordering::Relaxed).max(1) as f64
    }

    /// A throttled move copies a tenth of a second's share at a time, so that it neither bursts nor sleeps long.
    fn held_bytes_max(&self) -> u64 {
        ((self.bytes_per_second_max() / 10.0) as u64).clamp(PIECE_BYTES_MIN, PIECE_BYTES)
    }

    /// Sleeps for as long as the throttle wants after so many bytes, unless appends are held.
    async fn rest(&self, id: &PartitionId, bytes: u64) {
        let mut owed = bytes as f64;
        let goes_on = |partition: &mut Partition| partition.moving.as_ref().is_some_and(|moving| !moving.holds());
        while owed >= 1.0 && !self.closing.get() && self.with(id, goes_on).unwrap_or(false) {
            let rate = self.bytes_per_second_max().max(1.0);
            let sleep = Duration::from_secs_f64((owed / rate).min(THROTTLED_SLEEP.as_secs_f64()));
            if sleep < WAIT {
                return;
            }
            self.core.sleep(sleep).await;
            owed -= rate * sleep.as_secs_f64();
        }
    }

    /// Waits until no worker thread is at a move of a partition of these.
    pub(super) async fn moves_rest(&self, of: impl Fn(&PartitionId) -> bool) {
        while self.at_work.get().is_some_and(|id| of(&id)) {
            self.core.sleep(WAIT).await;
        }
    }

    /// Moves that the last stop interrupted go on. What belongs to no partition of the image, or to one that has
    /// arrived, is removed.
    pub(super) fn adopt_futures(&self, image: &Image) {
        for (index, directory) in self.directories.online() {
            for found in directory.futures.iter().filter(|found| found.path.exists()) {
                let topic = image.topic(&found.topic).filter(|topic| topic.partition(found.partition).is_some());
                let claimed =
                    topic.filter(|topic| partition_metadata::read(&found.path).is_ok_and(|id| id == Some(topic.id)));
                let id = claimed.map(|topic| PartitionId { topic: topic.id, index: found.partition });
                let owner = id.map_or(0, |id| shard_of(id.topic, id.index, self.core.count()));
                if ShardId(owner) != self.core.id() || id.is_some_and(|id| self.table.borrow().is_offline(&id)) {
                    continue;
                }
                let goes_on = id.and_then(|id| self.with(&id, |partition| partition.adopt(index, &found.path)));
                if goes_on != Some(true) {
                    lines::warn(format_args!("{} is of no use: it is removed", found.path.display()));
                    if let Err(error) = self.doom_directory(&found.path, 0) {
                        self.blame(index, &error);
                    }
                }
            }
        }
    }

    /// Partitions that lie in another directory than the metadata says, moved by hand perhaps, and the directory's id.
    pub fn misplaced(&self, node_id: i32) -> Vec<(PartitionId, Uuid)> {
        let mut misplaced = Vec::new();
        let Some(image) = self.applied.borrow().as_ref().map(Arc::clone) else { return misplaced };
        if self.directories.iter().count() < 2 {
            return misplaced;
        }
        self.each(|partition| {
            let topic = image.topic_by_id(&partition.id.topic);
            let assigned = topic.and_then(|topic| topic.partition(partition.id.index)?.directory_of(node_id));
            let lies_in = self.directories.get(partition.directory).id;
            if assigned.is_some_and(|assigned| assigned != lies_in) {
                misplaced.push((partition.id, lies_in));
            }
        });
        misplaced
    }
}
