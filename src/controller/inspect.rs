//! A look at the metadata of a directory that need not be in use, and of one that is: nothing is locked or changed.

use std::path::Path;

use state::metadata::Image;

use super::error::ControllerError;
use super::load::Loading;
use super::metadata_log::scan;
use super::{METADATA_DIR, quorum_state};

/// What the metadata log of a directory holds.
#[derive(Debug)]
pub struct Inspection {
    pub image: Image,
    /// Raft epoch of the last start.
    pub epoch: i32,
    /// The offset behind the last record.
    pub end_offset: i64,
    /// Snapshots, newest first: the offset behind the last record of each.
    pub snapshots: Vec<i64>,
    pub segment_count: usize,
    /// Bytes at the end that a crash left; the next start cuts them.
    pub torn_bytes: u64,
    /// A snapshot that is damaged, while an older one and the log suffice.
    pub damage: Option<ControllerError>,
}

/// Reads the metadata in `dir`, one of `log.dirs`; `None` if it holds none.
pub fn inspect(dir: &Path, cluster_id: &str) -> Result<Option<Inspection>, ControllerError> {
    let dir = dir.join(METADATA_DIR);
    if !dir.is_dir() {
        return Ok(None);
    }
    let state = quorum_state::read(&dir)?;
    let mut loading = Loading::from_snapshot(&dir, cluster_id)?;
    let start = loading.start;
    let scanned = scan(&dir, start, &mut |batch, path, position| loading.take(batch, path, position));
    let scanned = scanned.map_err(|error| loading.damage.take().unwrap_or(error))?;
    Ok(Some(Inspection {
        image: loading.builder.image(),
        epoch: state.map_or(0, |state| state.leader_epoch),
        end_offset: scanned.end.offset.max(start.offset),
        snapshots: loading.snapshots.iter().map(|id| id.offset).collect(),
        segment_count: scanned.segments.len(),
        torn_bytes: scanned.torn,
        damage: loading.damage,
    }))
}
