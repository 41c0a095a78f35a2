//! One partition's log: segments, indexes, checkpoints. Knows record batches and offsets, no requests.
//!
//! A [`Log`] belongs to the shard that owns its partition. Batches are staged (given their offsets), then all that was
//! staged leaves in one write per segment; only what is written can be read. The files are Apache Kafka's, byte for byte:
//! either broker can be started on the other's directory.
//!
//! - [`Log::open`] loads (`load`) and after a crash checks and mends (`recovery`)
//! - `appender`: stage, flush, written; `roll`: when a segment is full; `segment`, `index`: what a segment is made of
//! - `write_back`: having the kernel write early; `truncate`: taking the end back
//! - `reader`: offset -> file, position, length; `lookup`: timestamp -> offset; `walk`: over the batches of a file
//! - [`compaction`]: of each key the last record stays: `.cleaned` files beside closed segments, then `.swap`, then their
//!   names; `load` finishes or undoes what a crash left of that
//! - `retention`: what has to go; `sync`: what has to be fsynced before the recovery point moves
//! - [`future`]: how a log gets into another log directory
//! - [`leader_epochs`], [`partition_metadata`], [`snapshots`]: the small files of a partition
//! - [`directory`], [`checkpoints`]: the small files of a log directory

mod appender;
pub mod checkpoints;
pub mod compaction;
pub mod directory;
mod error;
pub mod future;
#[cfg(test)]
mod future_tests;
mod index;
#[cfg(test)]
mod kafka_tests;
pub mod leader_epochs;
mod load;
mod lookup;
mod names;
pub mod partition_metadata;
mod reader;
mod recovery;
#[cfg(test)]
mod recovery_tests;
pub(crate) mod replace;
mod retention;
mod roll;
mod segment;
pub mod snapshots;
mod sync;
#[cfg(test)]
mod testing;
mod truncate;
mod walk;
mod warm;
mod write_back;

use std::path::Path;
use std::rc::Rc;

use crate::config::topic::TopicConfig;
use appender::Appends;
use reader::Recent;
use segment::Segment;
use sync::Unsynced;
use warm::Warm;

pub use appender::{Flush, StageMeta, Staged};
pub use error::{Damage, LogError, ReadError};
pub use load::{NewPartition, OpenHints, Opened, Replayed, create_directories, sync_parents};
pub use names::{DirectoryName, future_dir, is_topic_name, parse_directory_name, partition_dir};
pub use reader::ReadPlan;
pub(crate) use replace::Durable;
pub use retention::{Doomed, Retired};
pub use sync::{SideFiles, SyncTargets};

/// The log of one partition. Not shared: it lives on its partition's shard.
///
/// Offsets, from low to high: log start (first readable), recovery point (all below is synced), log end (all below is
/// written), next (all below is staged).
#[derive(Debug)]
pub struct Log {
    dir: Rc<Path>,
    config: TopicConfig,
    /// Segments that take no more, oldest first. Each ends where the next begins.
    closed: Vec<Segment>,
    active: Segment,
    appends: Appends,
    recent: Recent,
    log_start: i64,
    recovery_point: i64,
    unsynced: Unsynced,
    warm: Warm,
}

impl Log {
    /// The partition's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// First offset that may be read.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start
    }

    /// Behind the last written record.
    pub fn log_end_offset(&self) -> i64 {
        self.appends.log_end
    }

    /// Behind the last staged record: what the next batch gets.
    pub fn next_offset(&self) -> i64 {
        self.appends.next_offset
    }

    /// Everything below it was synced.
    pub fn recovery_point(&self) -> i64 {
        self.recovery_point
    }

    /// Bytes of all `.log` files, staged ones included.
    pub fn size_bytes(&self) -> u64 {
        self.segments().map(Segment::size).sum()
    }

    pub fn segment_count(&self) -> usize {
        self.closed.len() + 1
    }

    /// Where the active segment begins.
    pub fn active_base_offset(&self) -> i64 {
        self.active.base()
    }

    /// Where the first segment begins: at most the log start offset. Kafka keeps a checkpoint of the log start only where
    /// it is above this.
    pub fn first_base_offset(&self) -> i64 {
        self.closed.first().unwrap_or(&self.active).base()
    }

    /// Base offset of every segment, oldest first.
    pub fn base_offsets(&self) -> impl Iterator<Item = i64> {
        self.segments().map(Segment::base)
    }

    /// From now on the log is kept by `config`.
    pub fn set_config(&mut self, config: &TopicConfig) {
        self.config = config.clone();
    }

    fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.closed.iter().chain([&self.active])
    }

    /// Index among all segments of the one that `offset` falls into; the first one's for offsets before it.
    fn segment_index(&self, offset: i64) -> usize {
        if offset >= self.active.base() {
            return self.closed.len();
        }
        self.closed.partition_point(|segment| segment.base() <= offset).saturating_sub(1)
    }

    fn segment_at(&self, index: usize) -> Option<&Segment> {
        if index == self.closed.len() { Some(&self.active) } else { self.closed.get(index) }
    }

    /// Advances the log start offset (KIP-107); the segments below go with the next [`retention`](Self::retention). A
    /// smaller offset changes nothing.
    ///
    /// Errors: `OutOfRange` above the log end. That it is not above the high watermark is the caller's to know.
    pub fn advance_start(&mut self, offset: i64) -> Result<(), LogError> {
        if offset > self.log_end_offset() {
            return Err(LogError::OutOfRange { offset, start: self.log_start, end: self.log_end_offset() });
        }
        self.log_start = self.log_start.max(offset);
        Ok(())
    }
}
