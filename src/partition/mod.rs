//! One partition that this shard leads: its log, what was decided about it, and who waits for it.
//!
//! `append` takes batches of clients in, `own` those of the broker itself, `settle` writes them and lets waiters go, `read`
//! plans what a fetch gets, `home`, `open`, `keep`, `rest`, `compact` and `moves` (with `future`) look after the files. The
//! decisions themselves are in the crate `state`, the files in the room `log`.

mod append;
mod checkpoint;
mod compact;
mod directories;
mod future;
mod home;
mod keep;
mod moves;
mod open;
mod own;
mod partitions;
mod query;
mod read;
mod rest;
mod settle;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use shards::{Nanos, ShardId};
use state::epochs::LeaderEpochs;
use state::partition::PartitionState;
use state::producer::ProducerTable;

use crate::calls::{Acks, AppendDone, AppendError, Appended, PartitionId, ReadDone, Ticket};
use crate::config::topic::TopicConfig;
use crate::log::Log;
use compact::Compaction;
use future::Move;

pub use append::{Taken, Waiter};
pub use checkpoint::{CheckpointsDue, Wanted, write_checkpoints};
pub use directories::{Directory, LogDirs, Offsets, absolute};
pub use moves::Ask;
pub use own::Stretch;
pub use partitions::{Partitions, Place};

pub struct Partition {
    pub(crate) id: PartitionId,
    pub(crate) topic: Arc<str>,
    /// Which of `log.dirs` it lies in.
    pub(crate) directory: usize,
    pub(crate) config: Rc<TopicConfig>,
    pub(crate) log: Log,
    pub(crate) state: PartitionState,
    epochs: LeaderEpochs,
    producers: ProducerTable,
    awaiting: Queues,
    watches: Vec<Watch>,
    /// Bytes staged since the high watermark last moved: what watching fetches are told.
    unread_bytes: u64,
    /// Everything below it was synced to disk.
    synced_offset: i64,
    syncing: bool,
    /// Segments that take no more are being synced, beside all else.
    syncing_rolled: bool,
    compaction: Compaction,
    /// When somebody last asked for it.
    used_at: Nanos,
    /// The newest snapshot of the producers on disk is as of before it; 0 for none.
    snapshot_offset: i64,
    last_sync_ms: i64,
    /// On its way to another log directory.
    moving: Option<Box<Move>>,
    /// A write or sync failed: nothing is accepted or acknowledged any more.
    failed: bool,
}

/// What the partition wants told to somebody; handed out by `settle`.
pub enum Effect {
    Appended {
        to: ShardId,
        appended: Appended,
    },
    Grew {
        to: ShardId,
        fetch: Ticket,
        bytes: u64,
    },
    /// A read that had to wait for the disk.
    Read {
        to: ShardId,
        done: ReadDone,
    },
    /// A batch that the coordinator on this partition had appended is safe, or never will be.
    Kept {
        partition: PartitionId,
        batch: u64,
        result: Result<(), AppendError>,
    },
}

/// Who is told when a staged batch is safe.
#[derive(Debug, Clone, Copy)]
enum Who {
    Producer(Waiter),
    /// The coordinator on this partition, which counts its batches.
    Coordinator(u64),
}

/// A staged batch that somebody waits for.
struct Awaiting {
    who: Who,
    last_offset: i64,
    done: AppendDone,
}

impl Who {
    fn told(self, partition: PartitionId, result: Result<AppendDone, AppendError>) -> Effect {
        match self {
            Self::Producer(Waiter { shard, produce, item, .. }) => {
                Effect::Appended { to: shard, appended: Appended { produce, item, result } }
            }
            Self::Coordinator(batch) => Effect::Kept { partition, batch, result: result.map(|_| ()) },
        }
    }
}

impl Awaiting {
    fn told(self, partition: PartitionId, why_not: Option<&AppendError>) -> Effect {
        self.who.told(partition, why_not.map_or(Ok(self.done), |why| Err(why.clone())))
    }
}

/// Those who wait, in the order of their offsets, by what they wait for.
#[derive(Default)]
struct Queues {
    /// acks 0 and 1: the leader's log end.
    leader: VecDeque<Awaiting>,
    /// acks -1: the high watermark.
    all: VecDeque<Awaiting>,
}

impl Queues {
    fn push(&mut self, awaiting: Awaiting) {
        match awaiting.who {
            Who::Producer(Waiter { acks: Acks::Leader | Acks::None, .. }) => self.leader.push_back(awaiting),
            Who::Producer(_) | Who::Coordinator(_) => self.all.push_back(awaiting),
        }
    }
}

/// A fetch that wants to hear of new data. One per fetch; set anew each time the fetch reads.
struct Watch {
    shard: ShardId,
    fetch: Ticket,
}
