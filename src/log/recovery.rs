//! After a crash: every batch from the recovery point on is read and its CRC compared, indexes are built anew, a torn tail
//! is cut (Kafka's `LogLoader.recoverLog`, `LogSegment.recover`).
//!
//! Kafka cuts at the first bad batch and deletes every segment behind it. Here that is done only where nothing valid
//! follows, as after a write that was cut short; otherwise a flipped bit would cost acknowledged records, so the log is
//! not opened and the error names file and position.

use std::path::Path;

use wire::records::BatchHeader;

use super::OpenHints;
use super::error::{Damage, LogError, ReadError};
use super::load::{Opened, Replayed, replay_headers};
use super::replace::{Durable, remove, sync_dir};
use super::segment::{Loaded, Segment};
use super::snapshots::Snapshot;
use super::walk::{CheckedWalk, Met, find_batch};
use crate::config::topic::TopicConfig;

const STEP_BYTES: usize = 16 * 1024;

pub(super) struct Recovery<'a> {
    pub(super) dir: &'a Path,
    pub(super) config: &'a TopicConfig,
    /// Batches that end here or behind are replayed.
    pub(super) from: i64,
    pub(super) replay: &'a mut dyn FnMut(Replayed<'_>),
    pub(super) opened: &'a mut Opened,
}

/// Where a segment ceases to be batches.
struct Bad {
    position: u64,
    damage: Damage,
}

/// Brings the loaded segments into a state to go on from, and replays what lies behind the snapshot.
pub(super) fn recover(
    loaded: Vec<Loaded>,
    hints: OpenHints,
    snapshot: Option<Snapshot>,
    recovery: &mut Recovery<'_>,
) -> Result<Vec<Segment>, LogError> {
    let rebuild: Vec<bool> = loaded.iter().map(|loaded| loaded.needs_rebuild).collect();
    let mut segments: Vec<Segment> = loaded.into_iter().map(|loaded| loaded.segment).collect();
    let mut first = first_to_check(&segments, hints);
    if let Some((last, closed)) = segments.split_last_mut()
        && first > closed.len()
        && (rebuild[closed.len()] || !load_tail(last)?)
    {
        first = closed.len();
    }
    for (segment, _) in segments[..first].iter_mut().zip(&rebuild).filter(|(_, rebuild)| **rebuild) {
        recovery.rebuild_indexes(segment)?;
    }
    (recovery.replay)(Replayed::Start(snapshot));
    for segment in &segments[..first] {
        replay_headers(segment, recovery.from, recovery.replay)?;
    }
    recovery.check_from(first, &mut segments)?;
    if first < segments.len() || rebuild.contains(&true) {
        sync(recovery.dir, &segments, hints.durable)?;
    }
    let closed = segments.len().saturating_sub(1);
    segments[..closed].iter_mut().for_each(Segment::rest);
    Ok(segments)
}

/// Index of the first segment whose bytes are not known to be synced.
fn first_to_check(segments: &[Segment], hints: OpenHints) -> usize {
    if hints.clean {
        return segments.len();
    }
    segments.partition_point(|segment| segment.base() <= hints.recovery_point).saturating_sub(1)
}

/// Finds the end of the last segment after a clean stop. False: it is not as a clean stop leaves it.
fn load_tail(segment: &mut Segment) -> Result<bool, LogError> {
    match read_tail(segment) {
        Ok(makes_sense) => Ok(makes_sense),
        Err(ReadError::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn read_tail(segment: &mut Segment) -> Result<bool, ReadError> {
    if let Some(first) = segment.walk(0, STEP_BYTES)?.next()? {
        segment.set_first_timestamp(first.header.max_timestamp);
    }
    let last_entry = segment.indexes().0.last().map_err(segment.index_error())?;
    let (entry_offset, position) = last_entry.unwrap_or((segment.base(), 0));
    let mut walk = segment.walk(position, STEP_BYTES)?;
    let mut is_first = true;
    while let Some(located) = walk.next()? {
        if is_first && position > 0 && located.header.last_offset() != entry_offset {
            return Ok(false);
        }
        is_first = false;
        if misplaced(segment, &located.header).is_some() {
            return Ok(false);
        }
        segment.note_loaded(located.header.max_timestamp, located.header.last_offset());
    }
    Ok(true)
}

/// Why a batch can't stand behind what the segment holds so far.
fn misplaced(segment: &Segment, header: &BatchHeader) -> Option<Damage> {
    let (expected, found) = (segment.next_offset(), header.base_offset);
    let last = header.last_offset();
    let fits = found >= expected && last >= found && last - segment.base() <= i64::from(i32::MAX) && last < i64::MAX;
    (!fits).then_some(Damage::Offset { expected, found })
}

impl Recovery<'_> {
    /// Builds missing or senseless indexes of a segment that is known to be synced.
    fn rebuild_indexes(&mut self, segment: &mut Segment) -> Result<(), LogError> {
        let next_offset = segment.next_offset();
        let from = std::mem::replace(&mut self.from, i64::MAX);
        let bad = self.check(segment)?;
        self.from = from;
        if let Some(Bad { position, damage }) = bad {
            return Err(LogError::Corrupt { path: segment.path(), position, damage });
        }
        self.opened.indexes_rebuilt += 1;
        segment.set_next_offset(next_offset);
        segment.finish().map_err(LogError::io("write index of", segment.path()))
    }

    fn check_from(&mut self, first: usize, segments: &mut Vec<Segment>) -> Result<(), LogError> {
        for at in first..segments.len() {
            let bad = match self.check(&mut segments[at])? {
                None => self.gap_after(at, segments),
                bad => bad,
            };
            let Some(bad) = bad else { continue };
            if !is_torn_tail(segments, at, &bad)? {
                let (path, Bad { position, damage }) = (segments[at].path(), bad);
                return Err(LogError::Corrupt { path, position, damage });
            }
            self.cut(segments, at, bad.position)?;
            break;
        }
        let checked = segments.iter_mut().skip(first);
        for segment in checked {
            segment.finish().map_err(LogError::io("write index of", segment.path()))?;
        }
        Ok(())
    }

    /// Reads the whole segment, builds its indexes and replays its batches up to the first bad one.
    fn check(&mut self, segment: &mut Segment) -> Result<Option<Bad>, LogError> {
        let path = segment.path();
        let file = segment.file().map_err(LogError::io("open segment", &path))?;
        let end = file.len().map_err(LogError::io("open segment", &path))?;
        segment.reset()?;
        let mut walk = CheckedWalk::new(file, 0, end);
        let index_interval = u64::from(self.config.index_interval_bytes);
        let bad = loop {
            let (located, marker) = match walk.next()? {
                Met::Batch(located, marker) => (located, marker),
                Met::End => break None,
                Met::Bad { position, damage } => break Some(Bad { position, damage }),
            };
            let header = &located.header;
            if let Some(damage) = misplaced(segment, header) {
                break Some(Bad { position: located.position, damage });
            }
            segment.note(header.last_offset(), located.size(), header.max_timestamp, index_interval);
            if header.last_offset() >= self.from {
                (self.replay)(Replayed::Batch { header, marker });
            }
        };
        segment.all_written();
        self.opened.segments_checked += 1;
        self.opened.bytes_checked += segment.size();
        Ok(bad)
    }

    /// A segment ends where the next begins, unless compaction took its last batches: else they were lost.
    fn gap_after(&self, at: usize, segments: &mut [Segment]) -> Option<Bad> {
        let next = segments.get(at + 1)?.base();
        let segment = &mut segments[at];
        let end = segment.next_offset();
        if end == next || (end < next && self.config.cleanup_policy.compact) {
            segment.set_next_offset(next);
            return None;
        }
        Some(Bad { position: segment.size(), damage: Damage::Gap { end, next } })
    }

    fn cut(&mut self, segments: &mut Vec<Segment>, at: usize, position: u64) -> Result<(), LogError> {
        for later in segments.drain(at + 1..) {
            later.paths().iter().try_for_each(|path| remove(path))?;
        }
        let segment = &mut segments[at];
        let path = segment.path();
        let file = segment.file().map_err(LogError::io("open segment", &path))?;
        let bytes = file.len().map_err(LogError::io("open segment", &path))?.saturating_sub(position);
        segment.cut(position, segment.next_offset())?;
        self.opened.cut = Some((path, position, bytes));
        Ok(())
    }
}

/// Whether nothing valid follows the bad place, up to the end of the last segment.
fn is_torn_tail(segments: &[Segment], at: usize, bad: &Bad) -> Result<bool, LogError> {
    let segment = &segments[at];
    let expected = segment.next_offset();
    match bad.damage {
        // The batch is whole and undamaged, it only has no place here.
        Damage::Offset { .. } => return Ok(false),
        Damage::Gap { end, next } if end > next => return Ok(false),
        _ => {}
    }
    let later = segments[at + 1..].iter().map(|later| (later, 0, later.base()));
    // Behind the bad batch, which took at least one offset.
    for (segment, position, offset) in [(segment, bad.position + 1, expected + 1)].into_iter().chain(later) {
        let path = segment.path();
        let file = segment.file().map_err(LogError::io("open segment", &path))?;
        let end = file.len().map_err(LogError::io("open segment", &path))?;
        let offsets = offset..=segment.base().saturating_add(i64::from(i32::MAX));
        if find_batch(&file, position, end, offsets)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What was read from the page cache may not be on the disk: it is served only once it is (KAFKA-10101).
fn sync(dir: &Path, segments: &[Segment], durable: Durable) -> Result<(), LogError> {
    if durable == Durable::Later {
        segments.iter().for_each(Segment::mark_synced);
        return Ok(());
    }
    for segment in segments.iter().filter(|segment| segment.is_unsynced()) {
        for file in segment.sync_files(true).map_err(LogError::io("open segment", segment.path()))? {
            file.sync_all().map_err(LogError::io("sync", file.path()))?;
        }
        segment.mark_synced();
    }
    sync_dir(dir)
}
