//! The embedded controller: the one writer of the cluster's metadata (Kafka's `QuorumController` on a quorum of one).
//!
//! It keeps Kafka's own records in `__cluster_metadata-0/`, and hands out an [`Image`] after every change. What a request
//! changes is decided in `state::metadata::decide`; here it is written, synced and replayed.
//!
//! - [`Directories`]: lock, read or format the data directories
//! - [`start`](Controller::open): load snapshot and log, begin an epoch, register this broker
//! - `requests`: one method a request
//! - `metadata_log`, `framing`, `snapshot`, `quorum_state`: the files
//!
//! It lives on shard 0 and blocks it for one fdatasync a change. No other thread touches it.

mod chance;
mod directories;
mod error;
mod framing;
mod inspect;
mod load;
mod metadata_log;
mod offline;
mod placement;
mod quorum_state;
mod requests;
mod rules;
mod snapshot;
mod start;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use state::metadata::decide::RECORDS_PER_REQUEST_MAX;
use state::metadata::{Image, ImageBuilder, METADATA_VERSION_STABLE, Position, snapshot_records};
use wire::records::ControlRecordType;
use wire::{MetadataRecord, Uuid};

use chance::Chance;
use framing::{At, Batches, encode, encode_control};
use metadata_log::{End, MetadataLog};
use snapshot::SnapshotId;

use crate::config::layers::Map;
use crate::partition::LogDirs;

pub use directories::{Directories, Directory};
pub use error::{ControllerError, Damage};
pub use inspect::{Inspection, inspect};
pub use requests::RequestError;
pub use start::{METADATA_DIR, levels};

/// When a snapshot is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotLimits {
    /// Bytes of new records (`metadata.log.max.record.bytes.between.snapshots`).
    pub new_bytes_max: u64,
    /// Milliseconds since the last one, if anything is new (`metadata.log.max.snapshot.interval.ms`); 0 for never.
    pub interval_ms: u64,
    /// Size at which a segment of the log is closed (`metadata.log.segment.bytes`).
    pub segment_bytes_max: u64,
}

/// The controller of a node alone.
#[derive(Debug)]
pub struct Controller {
    node_id: i32,
    /// `__cluster_metadata-0`.
    dir: PathBuf,
    /// Of the log directory that it lies in.
    metadata_directory_id: Uuid,
    log: MetadataLog,
    /// Raft epoch of this process.
    epoch: i32,
    builder: ImageBuilder,
    image: Arc<Image>,
    broker_epoch: i64,
    /// Batches that are replayed but not written yet; empty between calls.
    staged: Vec<u8>,
    staged_end: End,
    limits: SnapshotLimits,
    snapshots: Snapshots,
    num_partitions: i32,
    default_replication_factor: i16,
    said: Map,
    /// Where new partitions of this node may go.
    directories: Option<Arc<LogDirs>>,
    chance: Chance,
    /// Milliseconds since 1970.
    clock: fn() -> i64,
    /// Control records that write this voter into the log (KIP-853); none where it has no address.
    voters: Vec<(ControlRecordType, Vec<u8>)>,
}

/// What is known of the snapshots on disk.
#[derive(Debug, Default)]
struct Snapshots {
    /// The newest two, newest first. The older one and the log behind it stay as a way back.
    kept: Vec<SnapshotId>,
    last_ms: i64,
    new_bytes: u64,
    /// Goes into every snapshot: the voters, where they stand in the log.
    control: Vec<(ControlRecordType, Vec<u8>)>,
}

impl Controller {
    /// The newest image.
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// Epoch of this broker's registration: the offset of its record.
    pub fn broker_epoch(&self) -> i64 {
        self.broker_epoch
    }

    /// The directory of this voter, where the voters stand in the log; a list of voters by id alone has none.
    pub fn voter_directory_id(&self) -> Uuid {
        if self.image.kraft_version() > 0 { self.metadata_directory_id } else { Uuid::ZERO }
    }

    /// Raft epoch in which this node leads.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The offset behind the last record: the high watermark of a quorum of one.
    pub fn end_offset(&self) -> i64 {
        self.log.end().offset
    }

    /// Writes records, all or nothing, and replays them. They are synced when this returns. An error means that the
    /// metadata on disk is not known: the node has to stop.
    pub fn commit(&mut self, records: &[MetadataRecord]) -> Result<&Arc<Image>, ControllerError> {
        if !records.is_empty() {
            self.stage(records)?;
            self.flush()?;
        }
        Ok(&self.image)
    }

    /// Writes any number of records, as many at a time as one request may make. All or nothing holds for each lot alone.
    fn commit_all(&mut self, mut records: impl Iterator<Item = MetadataRecord>) -> Result<(), ControllerError> {
        loop {
            let lot: Vec<MetadataRecord> = records.by_ref().take(RECORDS_PER_REQUEST_MAX).collect();
            if lot.is_empty() {
                return Ok(());
            }
            self.commit(&lot)?;
        }
    }

    /// Puts the voters behind what waits to be written: from `controller.quorum.voters` they move into the log, and into
    /// every snapshot from now on (`LeaderState.maybeAppendUpgradedKRaftVersion`). `quorum-state` follows at the next start.
    fn stage_voters(&mut self) -> Result<(), ControllerError> {
        let at = self.next();
        self.builder.set_kraft_version(1);
        self.staged(encode_control(&self.voters, at)?, at);
        self.snapshots.control.clone_from(&self.voters);
        Ok(())
    }

    /// Replays records and puts them behind those that wait to be written.
    fn stage(&mut self, records: &[MetadataRecord]) -> Result<(), ControllerError> {
        let at = self.next();
        let batches = encode(records, at)?;
        for (record, offset) in records.iter().zip(at.offset..) {
            self.builder
                .replay(record.clone())
                .map_err(|error| ControllerError::damaged(&self.dir, 0, Damage::Replay { offset, error }))?;
        }
        self.staged(batches, at);
        Ok(())
    }

    fn next(&self) -> At {
        let metadata_version = match self.builder.newest().metadata_version() {
            0 => METADATA_VERSION_STABLE,
            version => version,
        };
        At { offset: self.staged_end.offset, epoch: self.epoch, now_ms: (self.clock)(), metadata_version }
    }

    fn staged(&mut self, mut batches: Batches, at: At) {
        self.snapshots.new_bytes += batches.bytes.len() as u64;
        self.staged.append(&mut batches.bytes);
        self.staged_end = End { offset: batches.next_offset, epoch: at.epoch, timestamp: at.now_ms };
        let offset = batches.next_offset - 1;
        self.builder.advance(Position { offset, epoch: at.epoch, timestamp_ms: at.now_ms });
    }

    /// Writes and syncs what was staged, and makes its image the newest.
    fn flush(&mut self) -> Result<(), ControllerError> {
        if self.staged.is_empty() {
            return Ok(());
        }
        self.log.append(&self.staged, self.staged_end)?;
        self.staged.clear();
        self.image = Arc::new(self.builder.image());
        if self.log.active_size() >= self.limits.segment_bytes_max {
            self.log.roll()?;
        }
        Ok(())
    }

    /// Writes a snapshot if one is due. To be called now and then, a second apart or so. Returns whether it did.
    pub fn maintain(&mut self) -> Result<bool, ControllerError> {
        let age = (self.clock)().saturating_sub(self.snapshots.last_ms).max(0) as u64;
        let old = self.limits.interval_ms > 0 && age >= self.limits.interval_ms && self.snapshots.new_bytes > 0;
        if !old && self.snapshots.new_bytes < self.limits.new_bytes_max {
            return Ok(false);
        }
        self.snapshot()?;
        Ok(true)
    }

    /// A clean stop: a snapshot if much has changed, so that the next start reads little.
    pub fn close(&mut self) -> Result<(), ControllerError> {
        if self.snapshots.new_bytes >= self.limits.new_bytes_max / 4 {
            self.snapshot()?;
        }
        Ok(())
    }

    /// Writes a snapshot of the newest image. The two newest stay, and the log from the older one on.
    fn snapshot(&mut self) -> Result<(), ControllerError> {
        debug_assert!(self.staged.is_empty() && !self.builder.in_transaction());
        let position = self.image.position();
        let id = SnapshotId { offset: position.offset + 1, epoch: position.epoch };
        self.snapshots.last_ms = (self.clock)();
        self.snapshots.new_bytes = 0;
        if self.snapshots.kept.first() == Some(&id) {
            return Ok(());
        }
        let mut records = Vec::new();
        snapshot_records(&self.image, &mut |record| records.push(record));
        let at = At { epoch: id.epoch, ..self.next() };
        snapshot::write(&id.path(&self.dir), at, position.timestamp_ms, &self.snapshots.control, &records)?;
        self.snapshots.kept.insert(0, id);
        self.log.roll()?;
        while self.snapshots.kept.len() > 2 {
            let Some(old) = self.snapshots.kept.pop() else { break };
            let path = old.path(&self.dir);
            std::fs::remove_file(&path).map_err(ControllerError::io("remove", &path))?;
        }
        if let [_, older] = self.snapshots.kept[..] {
            self.log.remove_below(older.offset)?;
        }
        Ok(())
    }
}
