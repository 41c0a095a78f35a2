//! Opening a log: what a directory holds, and what a crash left of renames (Kafka's `LogLoader`).

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use state::epochs::EpochEntry;
use state::producer::Marker;
use wire::Uuid;
use wire::records::BatchHeader;

use super::appender::Appends;
use super::error::{LogError, ReadError};
use super::names::{CLEANED, DELETED, INDEX, LOG, SWAP, TIME_INDEX, TXN_INDEX, offset_file, parse_offset_file};
use super::reader::Recent;
use super::recovery::{Recovery, recover};
use super::replace::{Durable, remove, sync_dir};
use super::segment::Segment;
use super::snapshots::{self, Snapshot};
use super::sync::Unsynced;
use super::walk::{HeaderWalk, Located, read_marker};
use super::warm::Warm;
use super::{Log, leader_epochs, partition_metadata};
use crate::config::topic::TopicConfig;

/// A snapshot of the metadata log that waits to be removed; its room does that.
const METADATA_SNAPSHOT_DELETED: &str = ".checkpoint.deleted";
/// Bytes read at once while walking long stretches by their headers.
const WALK_BYTES: usize = 64 * 1024;

/// What the checkpoints of the log directory say about this log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenHints {
    /// All below it was synced; 0 when nothing is known.
    pub recovery_point: i64,
    /// First offset that may be read; 0 when nothing is known.
    pub log_start: i64,
    /// The broker was stopped cleanly: nothing has to be checked.
    pub clean: bool,
    /// What is mended is synced by `open` itself, or by the caller before anybody reads.
    pub durable: Durable,
}

/// What the state of the partition's producers and its leader epochs follow from, in the order of offsets.
#[derive(Debug)]
pub enum Replayed<'a> {
    /// Begin with this state (`None`: empty), whatever was replayed before. Comes first, and again where it turned out
    /// that the snapshot describes records that are lost.
    Start(Option<Snapshot>),
    /// A batch behind it. `marker`: how it ends a transaction.
    Batch { header: &'a BatchHeader, marker: Option<Marker> },
}

/// What opening found and mended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    pub segments_checked: usize,
    pub bytes_checked: u64,
    pub indexes_rebuilt: usize,
    /// File, position and bytes of the torn tail that was cut.
    pub cut: Option<(PathBuf, u64, u64)>,
}

impl Log {
    /// Makes the directory of a partition that has none yet, durably, and opens the empty log.
    ///
    /// Errors: `Exists`, and every failure of the file system.
    #[cfg(test)]
    pub fn create(dir: &Path, topic_id: Uuid, config: &TopicConfig) -> Result<Self, LogError> {
        let new = NewPartition { dir: dir.to_path_buf(), topic_id, leader_epoch: 0 };
        create_directories(&[new]).remove(0)?;
        let (log, _) =
            Self::open_reported(dir, config, OpenHints { clean: true, ..OpenHints::default() }, &mut |_| {})?;
        Ok(log)
    }

    /// Opens the log in `dir`. Without a clean stop before, everything from the recovery point on is read and checked:
    /// a torn tail is cut, damage before valid batches refused, indexes are built anew, and all of it is synced before
    /// this returns. `replay` hears of the newest whole producer snapshot, then of every batch behind it.
    ///
    /// Errors: `Corrupt` names file and position; no `.log` file was changed then.
    pub fn open(
        dir: &Path,
        config: &TopicConfig,
        hints: OpenHints,
        replay: &mut dyn FnMut(Replayed<'_>),
    ) -> Result<Self, LogError> {
        Self::open_reported(dir, config, hints, replay).map(|(log, _)| log)
    }

    /// As [`open`](Self::open); also says what there was to mend.
    pub fn open_reported(
        dir: &Path,
        config: &TopicConfig,
        hints: OpenHints,
        replay: &mut dyn FnMut(Replayed<'_>),
    ) -> Result<(Self, Opened), LogError> {
        let dir: Rc<Path> = Rc::from(dir);
        let bases = tidy(&dir)?;
        let mut opened = Opened::default();
        let loaded = load_segments(&dir, &bases)?;
        let log_start = hints.log_start.max(bases.first().copied().unwrap_or(0));
        let snapshot = snapshots::newest_valid(&dir, log_start, i64::MAX)?;
        let from = snapshot.as_ref().map_or(log_start, |snapshot| snapshot.offset);
        let mut recovery = Recovery { dir: &dir, config, from, replay, opened: &mut opened };
        let segments = recover(loaded, hints, snapshot, &mut recovery)?;

        let log = Self::of_segments(dir, config, segments, hints)?;
        snapshots::remove_above(&log.dir, log.log_end_offset())?;
        if from > log.log_end_offset() {
            log.replay_again(replay)?;
        }
        let bases: Vec<i64> = log.base_offsets().collect();
        snapshots::remove_strays(&log.dir, &bases)?;
        log.segments().for_each(Segment::cool);
        Ok((log, opened))
    }

    fn of_segments(
        dir: Rc<Path>,
        config: &TopicConfig,
        mut closed: Vec<Segment>,
        hints: OpenHints,
    ) -> Result<Self, LogError> {
        let mut directory_changed = false;
        // All that is left lies before the first offset that may be read: begin anew there.
        if closed.last().is_some_and(|active| active.next_offset() < hints.log_start) {
            for path in closed.drain(..).flat_map(|segment| segment.paths()) {
                remove(&path)?;
            }
            sync_dir(&dir)?;
        }
        let active = match closed.pop() {
            Some(active) => active,
            None => {
                directory_changed = true;
                Segment::create(&dir, hints.log_start.max(0))?
            }
        };
        let end = active.next_offset();
        let mut unsynced = Unsynced::default();
        if directory_changed {
            unsynced.directory_changed(&dir, end)?;
        }
        let first_base = closed.first().unwrap_or(&active).base();
        Ok(Self {
            dir,
            config: config.clone(),
            closed,
            active,
            appends: Appends::at(end),
            recent: Recent::default(),
            log_start: hints.log_start.max(first_base),
            // Recovered segments were synced, and a clean stop syncs everything.
            recovery_point: end,
            unsynced,
            warm: Warm::default(),
        })
    }

    fn replay_again(&self, replay: &mut dyn FnMut(Replayed<'_>)) -> Result<(), LogError> {
        let snapshot = snapshots::newest_valid(&self.dir, self.log_start, self.log_end_offset())?;
        let from = snapshot.as_ref().map_or(self.log_start, |snapshot| snapshot.offset);
        replay(Replayed::Start(snapshot));
        self.segments().try_for_each(|segment| Ok(replay_headers(segment, from, replay)?))
    }
}

/// What a partition that has no directory yet begins with.
#[derive(Debug, Clone)]
pub struct NewPartition {
    pub dir: PathBuf,
    pub topic_id: Uuid,
    /// The leader epoch that begins at offset 0.
    pub leader_epoch: i32,
}

/// New partitions share one sync of their file system, where no more than so much is dirty for each of them. One by one
/// each waits three times for journal and device; a sync of all waits for what others wrote, too.
const DIRTY_BYTES_PER_PARTITION_MAX: u64 = 1 << 20;

/// Makes the directories of partitions, durably: each with its topic id, its first leader epoch and its first segment.
/// Needs no shard: the slow part of creating a partition.
pub fn create_directories(new: &[NewPartition]) -> Vec<Result<(), LogError>> {
    let one_by_one = shards::dirty_bytes() > new.len() as u64 * DIRTY_BYTES_PER_PARTITION_MAX;
    let durable = if one_by_one { Durable::AtOnce } else { Durable::Later };
    let mut results: Vec<Result<(), LogError>> = new.iter().map(|_| Ok(())).collect();
    let parents: BTreeSet<&Path> = new.iter().filter_map(|new| new.dir.parent()).collect();
    for parent in parents {
        let here = new.iter().zip(&mut results).filter(|(new, _)| new.dir.parent() == Some(parent));
        create_within(parent, here.collect(), durable);
    }
    results
}

/// Makes the directories of partitions within `parent`, and all of it durable.
fn create_within(parent: &Path, mut here: Vec<(&NewPartition, &mut Result<(), LogError>)>, durable: Durable) {
    let fail = |doing: &'static str, error: &io::Error| Err(LogError::io(doing, parent)(same(error)));
    // Opened before anything is written, so that it tells of every write that fails.
    let handle = match fs::File::open(parent) {
        Ok(handle) => handle,
        Err(error) => return here.into_iter().for_each(|(_, result)| *result = fail("open directory", &error)),
    };
    for (new, result) in &mut here {
        **result = create_directory(new, durable);
    }
    let synced = match durable {
        Durable::AtOnce => handle.sync_all(),
        Durable::Later => shards::sync_file_system(&handle),
    };
    if let Err(error) = synced {
        let made = here.into_iter().filter(|(_, result)| result.is_ok());
        made.for_each(|(_, result)| *result = fail("sync", &error));
    }
}

/// An error of the same cause, for each of those that it befell.
fn same(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}

/// Syncs the directories in which `paths` lie, each once.
pub fn sync_parents<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<(), LogError> {
    let parents: BTreeSet<&Path> = paths.filter_map(Path::parent).collect();
    parents.into_iter().try_for_each(sync_dir)
}

fn create_directory(new: &NewPartition, durable: Durable) -> Result<(), LogError> {
    let dir = &new.dir;
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(LogError::Exists { path: dir.to_path_buf() });
        }
        result => result.map_err(LogError::io("create directory", dir))?,
    }
    // A crash that leaves one without the other leaves nothing that a start would not mend: no need to rename into place.
    let first = [EpochEntry { epoch: new.leader_epoch, start_offset: 0 }];
    write_new(&dir.join(leader_epochs::FILE_NAME), &leader_epochs::text(&first), durable)?;
    write_new(&dir.join(partition_metadata::FILE_NAME), &partition_metadata::text(new.topic_id), durable)?;
    for path in [LOG, INDEX, TIME_INDEX].map(|suffix| offset_file(dir, 0, suffix)) {
        fs::File::create_new(&path).map_err(LogError::io("create", &path))?;
    }
    if durable == Durable::AtOnce { sync_dir(dir) } else { Ok(()) }
}

fn write_new(path: &Path, text: &str, durable: Durable) -> Result<(), LogError> {
    let mut file = fs::File::create_new(path).map_err(LogError::io("create", path))?;
    file.write_all(text.as_bytes()).map_err(LogError::io("write", path))?;
    if durable == Durable::AtOnce { file.sync_data().map_err(LogError::io("sync", path)) } else { Ok(()) }
}

fn load_segments(dir: &Rc<Path>, bases: &BTreeSet<i64>) -> Result<Vec<super::segment::Loaded>, LogError> {
    let mut segments = Vec::with_capacity(bases.len());
    for &base in bases {
        let mut loaded = Segment::load(dir, base)?;
        loaded.segment.rest();
        segments.push(loaded);
    }
    let mut next = None;
    for loaded in segments.iter_mut().rev() {
        if let Some(next) = next.replace(loaded.segment.base()) {
            loaded.segment.set_next_offset(next);
        }
    }
    Ok(segments)
}

/// Tells `replay` of the batches of a segment that end at or behind `from`.
pub(super) fn replay_headers(
    segment: &Segment,
    from: i64,
    replay: &mut dyn FnMut(Replayed<'_>),
) -> Result<(), ReadError> {
    if segment.next_offset() <= from || segment.written() == 0 {
        return Ok(());
    }
    let (position, _) = segment.indexes().0.around(from).map_err(segment.index_error())?;
    let mut walk = segment.walk(position, WALK_BYTES)?;
    while let Some(located) = walk.next()? {
        if located.header.last_offset() >= from {
            replay_one(&walk, &located, replay)?;
        }
    }
    Ok(())
}

fn replay_one(walk: &HeaderWalk, located: &Located, replay: &mut dyn FnMut(Replayed<'_>)) -> Result<(), ReadError> {
    let marker = read_marker(walk.file(), located)?;
    replay(Replayed::Batch { header: &located.header, marker });
    Ok(())
}

/// Undoes or finishes what a crash interrupted, removes what belongs to no segment, and returns the bases of the
/// segments that are there.
fn tidy(dir: &Path) -> Result<BTreeSet<i64>, LogError> {
    let mut names = file_names(dir)?;
    let cleaned_from = names.iter().filter(|name| name.ends_with(CLEANED)).filter_map(|name| offset_of(name)).min();
    names.retain(|name| {
        !name.ends_with(".tmp")
            && !name.ends_with(CLEANED)
            && !is_deleted(name)
            && !is_unfinished_swap(name, cleaned_from)
    });
    for name in file_names(dir)? {
        if !names.contains(&name) {
            remove(&dir.join(&name))?;
        }
    }
    if names.iter().any(|name| name.ends_with(SWAP)) {
        finish_swap(dir, &names)?;
        names = file_names(dir)?;
    }
    let logs: BTreeSet<i64> = names
        .iter()
        .filter_map(|name| parse_offset_file(name))
        .filter(|(_, suffix)| *suffix == LOG)
        .map(|(base, _)| base)
        .collect();
    for name in &names {
        if let Some((base, INDEX | TIME_INDEX | TXN_INDEX)) = parse_offset_file(name)
            && !logs.contains(&base)
        {
            remove(&dir.join(name))?;
        }
    }
    Ok(logs)
}

fn is_deleted(name: &str) -> bool {
    name.ends_with(DELETED) && !name.ends_with(METADATA_SNAPSHOT_DELETED)
}

/// A swap file at or behind a `.cleaned` one belongs to a split that did not come to its end (KAFKA-6264).
fn is_unfinished_swap(name: &str, cleaned_from: Option<i64>) -> bool {
    name.ends_with(SWAP) && offset_of(name).zip(cleaned_from).is_some_and(|(base, from)| base >= from)
}

fn offset_of(name: &str) -> Option<i64> {
    parse_offset_file(name).map(|(offset, _)| offset)
}

fn file_names(dir: &Path) -> Result<Vec<String>, LogError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(LogError::io("list", dir))? {
        let entry = entry.map_err(LogError::io("list", dir))?;
        let is_file = entry.file_type().map_err(LogError::io("list", dir))?.is_file();
        if let Some(name) = entry.file_name().to_str().filter(|_| is_file) {
            names.push(name.to_string());
        }
    }
    Ok(names)
}

/// Compaction was replacing segments by `.swap` files: removes what they replace and gives them their names.
fn finish_swap(dir: &Path, names: &[String]) -> Result<(), LogError> {
    let (mut from, mut upto) = (i64::MAX, i64::MIN);
    for name in names {
        let Some((base, suffix)) = parse_offset_file(name) else { continue };
        if suffix.strip_suffix(SWAP) == Some(LOG) {
            from = from.min(base);
            upto = upto.max(end_of_file(&dir.join(name), base)?);
        }
    }
    for name in names.iter().filter(|name| !name.ends_with(SWAP)) {
        if let Some((base, LOG | INDEX | TIME_INDEX | TXN_INDEX)) = parse_offset_file(name)
            && (from..upto).contains(&base)
        {
            remove(&dir.join(name))?;
        }
    }
    for name in names {
        if let Some(target) = name.strip_suffix(SWAP) {
            let path = dir.join(name);
            fs::rename(&path, dir.join(target)).map_err(LogError::io("rename", &path))?;
        }
    }
    sync_dir(dir)
}

/// Offset behind the last batch of a segment file that has no index.
fn end_of_file(path: &Path, base: i64) -> Result<i64, LogError> {
    let file = shards::File::open_read(path).map_err(LogError::io("open", path))?;
    let end = file.len().map_err(LogError::io("open", path))?;
    let mut walk = HeaderWalk::new(file, 0, end, WALK_BYTES);
    let mut next_offset = base;
    while let Some(located) = walk.next()? {
        next_offset = located.header.next_offset();
    }
    Ok(next_offset)
}
