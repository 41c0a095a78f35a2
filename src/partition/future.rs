//! What a partition knows of its way to another log directory: the future replica, appends that wait, and what it is
//! asked meanwhile.

use std::path::{Path, PathBuf};

use shards::Chunk;
use state::future_replica::{FutureReplica, Next};
use wire::records::Scratch;

use super::append::Taken;
use super::{Effect, Partition, Who};
use crate::calls::AppendError;
use crate::log::future::{Dirs, Seal};
use crate::log::{NewPartition, leader_epochs};

/// A move of one partition.
pub(super) struct Move {
    /// Which of `log.dirs` it goes to.
    pub(super) directory: usize,
    /// `<topic>-<partition>.<id>-future` there: its own for each move.
    pub(super) dir: PathBuf,
    /// `None` while the directory is being made.
    pub(super) future: Option<FutureReplica>,
    /// Appends that came while the partition was held, in their order.
    pub(super) late: Vec<Late>,
    /// Where a request that came too late for this move wants the replica.
    pub(super) then: Option<usize>,
    /// Times in a row that a file to copy was not there.
    pub(super) gone: u32,
}

pub(super) struct Late {
    records: Chunk,
    who: Who,
}

/// What a request to move comes to.
pub(super) enum Wanted {
    Nothing,
    /// While a directory is offline no move begins: the replica may be on its way to that one.
    Refused,
    /// A directory has to be made.
    Begin(NewPartition),
}

impl Move {
    fn new(directory: usize, dir: PathBuf, future: Option<FutureReplica>) -> Self {
        Self { directory, dir, future, late: Vec::new(), then: None, gone: 0 }
    }

    /// Where its files may lie: a move that is over has given them the name of `current`.
    pub(super) fn directories(&self, current: &Path) -> [PathBuf; 2] {
        let dirs = Dirs { current: current.to_path_buf(), future: self.dir.clone() };
        [dirs.promoted(), dirs.future]
    }

    pub(super) fn holds(&self) -> bool {
        self.future.as_ref().is_some_and(FutureReplica::holds)
    }
}

impl Partition {
    /// Its appends wait, and its files stay as they are.
    pub(super) fn is_held(&self) -> bool {
        self.moving.as_ref().is_some_and(|moving| moving.holds())
    }

    /// Keeps an append for later, while the partition is held; the waiter hears then.
    pub(super) fn hold_append(&mut self, records: Chunk, who: Who) {
        if let Some(moving) = &mut self.moving {
            moving.late.push(Late { records, who });
        }
    }

    /// The waiters of appends that are held: they will not be appended.
    pub(super) fn drop_late(&mut self, why: &AppendError, effects: &mut Vec<Effect>) {
        let late = self.moving.as_mut().map(|moving| std::mem::take(&mut moving.late));
        effects.extend(late.into_iter().flatten().map(|late| late.who.told(self.id, Err(why.clone()))));
    }

    /// Returns the directory of a move that is cancelled, and what is to be done.
    pub(super) fn wants_to_move(
        &mut self,
        directory: usize,
        dir: PathBuf,
        any_offline: bool,
    ) -> (Option<PathBuf>, Wanted) {
        if let Some(moving) = &mut self.moving {
            if moving.holds() || moving.then.is_some() {
                moving.then = Some(directory);
                return (None, Wanted::Nothing);
            }
            if moving.directory == directory {
                return (None, Wanted::Nothing);
            }
        }
        // One that is still being made is removed by whoever makes it.
        let cancelled = self.moving.take().filter(|moving| moving.future.is_some()).map(|moving| moving.dir);
        if self.directory == directory {
            return (cancelled, Wanted::Nothing);
        }
        if any_offline {
            return (cancelled, Wanted::Refused);
        }
        self.moving = Some(Box::new(Move::new(directory, dir.clone(), None)));
        let new = NewPartition { dir, topic_id: self.id.topic, leader_epoch: self.state.leader_epoch() };
        (cancelled, Wanted::Begin(new))
    }

    /// False if the replica has no use for what an earlier move left in `directory`.
    pub(super) fn adopt(&mut self, directory: usize, dir: &Path) -> bool {
        if self.directory == directory || self.moving.is_some() {
            return false;
        }
        self.moving = Some(Box::new(Move::new(directory, dir.to_path_buf(), Some(FutureReplica::new()))));
        true
    }

    /// Its move, if that is still the one to this directory.
    pub(super) fn move_to(&mut self, dir: &Path) -> Option<&mut Move> {
        self.moving.as_deref_mut().filter(|moving| moving.dir == dir)
    }

    /// The move is over, one way or the other: the appends that waited for that. A move that is wanted next stays
    /// known.
    pub(super) fn end_move(&mut self) -> Vec<Late> {
        let Some(moving) = &mut self.moving else { return Vec::new() };
        moving.future = None;
        let late = std::mem::take(&mut moving.late);
        self.moving.take_if(|moving| moving.then.is_none());
        late
    }

    /// Where a request that came too late for the last move wants the replica.
    pub(super) fn take_next_move(&mut self) -> Option<usize> {
        self.moving.take_if(|moving| moving.future.is_none() && moving.then.is_some())?.then
    }

    pub(super) fn future(&mut self) -> Option<&mut FutureReplica> {
        self.moving.as_mut()?.future.as_mut()
    }

    pub(super) fn next_of_move(&self, held_bytes_max: u64) -> Option<Next> {
        let future = self.moving.as_ref()?.future.as_ref()?;
        // A cleaning hears that the partition is moved, and ends; a partition that has failed is closed soon.
        if self.compaction.is_running() || self.failed {
            return Some(Next::Wait);
        }
        let are_whole = self.log.rolled_are_whole();
        let is_quiet = self.log.is_quiet() && !self.syncing && are_whole;
        let next = future.next(&self.log.extents(), is_quiet, held_bytes_max);
        // Nobody waits for an index that can't be written now.
        Some(if next == Next::Hold && !are_whole { Next::Wait } else { next })
    }

    pub(super) fn closed_sizes(&self) -> Vec<(i64, u64)> {
        let closed = self.log.extents().into_iter().filter(|segment| segment.is_closed);
        closed.map(|segment| (segment.base, segment.size)).collect()
    }

    pub(super) fn seal(&self) -> Seal {
        Seal {
            segments: self.log.extents(),
            active_index_bytes: self.log.active_index_bytes(),
            epochs: self.epochs.entries().to_vec(),
        }
    }

    /// The files lie in the new directory now.
    pub(super) fn moved(&mut self, dirs: &Dirs) {
        let Some(moving) = &self.moving else { return };
        self.directory = moving.directory;
        self.log.relocate(&dirs.promoted());
        self.synced_offset = self.log.log_end_offset();
        // Changed perhaps since they were copied (DeleteRecords, a new leader epoch).
        if leader_epochs::read(self.log.dir()).is_ok_and(|there| there != self.epochs.entries()) {
            self.write_epochs();
        }
    }

    pub(super) fn append_late(&mut self, late: Late, now_ms: i64, scratch: &mut Scratch, effects: &mut Vec<Effect>) {
        let Late { records, who } = late;
        let result = match who {
            Who::Producer(waiter) => self.append(records, waiter, now_ms, scratch),
            Who::Coordinator(number) => self.append_own(records, number, now_ms).map(|()| Taken::Staged),
        };
        match result {
            Ok(Taken::Staged | Taken::StillOnItsWay) => {}
            Ok(Taken::Duplicate(done)) => effects.push(who.told(self.id, Ok(done))),
            Err(error) => effects.push(who.told(self.id, Err(error))),
        }
    }

    /// Bytes of the future replica, where it is, and how many offsets it lacks.
    pub(super) fn future_size(&self) -> Option<(usize, u64, i64)> {
        let moving = self.moving.as_ref().filter(|moving| moving.future.is_some() || moving.then.is_none())?;
        let future = moving.future.as_ref();
        let end = future
            .and_then(FutureReplica::end)
            .map_or_else(|| self.log.first_base_offset(), |(base, size)| self.log.offset_at(base, size));
        Some((moving.directory, future.map_or(0, FutureReplica::size), self.log.log_end_offset() - end))
    }

    /// Up to where the future replica is on the disk.
    pub(super) fn future_recovery_point(&self) -> Option<(usize, i64)> {
        let moving = self.moving.as_ref()?;
        let future = moving.future.as_ref()?;
        let end = future.end().map_or(0, |(base, size)| self.log.offset_at(base, size));
        Some((moving.directory, future.first_unsynced().unwrap_or(end)))
    }
}
