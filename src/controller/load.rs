//! From files to an image: the newest snapshot that is whole, then the log behind it. Nothing is changed on disk.

use std::path::Path;

use state::metadata::{Image, ImageBuilder, Position};
use wire::records::{Batch, ControlRecordType, Scratch};

use super::error::{ControllerError, Damage};
use super::framing::{Entry, decode};
use super::metadata_log::End;
use super::snapshot::{self, SnapshotId};

/// An image on its way.
pub(super) struct Loading {
    pub builder: ImageBuilder,
    /// Snapshots that may be relied upon, newest first: the one that was read, and older ones.
    pub snapshots: Vec<SnapshotId>,
    /// Why a newer snapshot was passed over.
    pub damage: Option<ControllerError>,
    /// Where the log has to go on.
    pub start: End,
    /// The voters stand in snapshot or log.
    pub has_voters: bool,
    pub replayed_bytes: u64,
    scratch: Scratch,
}

impl Loading {
    /// Reads the newest snapshot in `dir` that is whole; without one, begins with nothing.
    pub(super) fn from_snapshot(dir: &Path, cluster_id: &str) -> Result<Self, ControllerError> {
        let mut loading = Self {
            builder: ImageBuilder::new(Image::new(cluster_id)),
            snapshots: snapshot::list(dir)?,
            damage: None,
            start: End { offset: 0, epoch: 0, timestamp: -1 },
            has_voters: false,
            replayed_bytes: 0,
            scratch: Scratch::new(),
        };
        while let Some(id) = loading.snapshots.first().copied() {
            match snapshot::read(&id.path(dir)) {
                Ok(found) => {
                    loading.take_snapshot(&id.path(dir), id, found)?;
                    break;
                }
                Err(error) => {
                    loading.damage.get_or_insert(error);
                    loading.snapshots.remove(0);
                }
            }
        }
        Ok(loading)
    }

    fn take_snapshot(&mut self, path: &Path, id: SnapshotId, found: snapshot::Snapshot) -> Result<(), ControllerError> {
        for record in found.records {
            let failed = |error| ControllerError::damaged(path, 0, Damage::Replay { offset: id.offset, error });
            self.builder.replay(record).map_err(failed)?;
        }
        self.builder.advance(Position { offset: id.offset - 1, epoch: id.epoch, timestamp_ms: found.last_ms });
        self.start = End { offset: id.offset, epoch: id.epoch, timestamp: found.last_ms };
        self.has_voters = found.has_voters;
        Ok(())
    }

    /// Takes in one batch of the log.
    pub(super) fn take(&mut self, batch: &Batch<'_>, path: &Path, position: usize) -> Result<(), ControllerError> {
        let Self { builder, has_voters, scratch, .. } = self;
        let (epoch, timestamp_ms) = (batch.header.leader_epoch, batch.header.max_timestamp);
        decode(batch, scratch, (path, position), &mut |offset, entry| {
            match entry {
                Entry::Control(kind, _) => *has_voters |= kind == Some(ControlRecordType::KraftVoters),
                Entry::Record(record) => {
                    builder.replay(record).map_err(|error| Damage::Replay { offset, error })?;
                }
            }
            builder.advance(Position { offset, epoch, timestamp_ms });
            Ok(())
        })?;
        self.replayed_bytes += batch.header.size() as u64;
        Ok(())
    }
}
