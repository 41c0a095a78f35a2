//! The files of a future replica: how a log gets into another log directory (Kafka's
//! `LogManager.replaceCurrentWithFutureLog`, `recoverAbandonedFutureLogs`). What comes next is decided in
//! `state::future_replica`; the functions here are its steps. They block, so a worker thread runs them, and keep
//! nothing between one another.
//!
//! A segment is copied as it is and dated as it is. One of the same size and date on both sides is the same, so a move
//! that was interrupted goes on behind its whole segments.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use shards::File;
use state::epochs::EpochEntry;
use state::future_replica::Segment as Copied;

use super::directory::{rename_aside, rename_to};
use super::error::LogError;
use super::names::{
    INDEX, LOG, SEGMENT_FILES, SNAPSHOT, TIME_INDEX, TXN_INDEX, offset_file, parse_offset_file, partition_dir,
};
use super::replace::{Durable, remove, sync_dir, sync_parent};
use super::segment::Segment;
use super::sync::Unsynced;
use super::{Log, leader_epochs, snapshots};

/// Bytes read and written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Which side of a move gave way.
#[derive(Debug)]
pub enum MoveError {
    /// The current replica has let go of a file meanwhile.
    Gone,
    /// The directory that the replica lies in.
    Current(LogError),
    /// The directory that it moves to.
    Future(LogError),
    /// What was read back is not what was copied.
    Differs(LogError),
}

/// The two directories of a partition that moves.
#[derive(Debug, Clone)]
pub struct Dirs {
    pub current: PathBuf,
    pub future: PathBuf,
}

/// What is to be found in the future replica when it is sealed.
#[derive(Debug, Clone)]
pub struct Seal {
    pub segments: Vec<Copied>,
    /// Of the active segment: bytes of its offset and its time index that the files have.
    pub active_index_bytes: (u64, u64),
    pub epochs: Vec<EpochEntry>,
}

impl MoveError {
    /// Too many files were open: nothing is wrong with either directory.
    pub fn is_descriptor_shortage(&self) -> bool {
        let (Self::Current(error) | Self::Future(error)) = self else { return false };
        matches!(error, LogError::Io { .. }) && !error.blames_directory()
    }

    /// The new directory has no room for the replica; nothing else is wrong with it.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let Self::Future(LogError::Io { error, .. }) = self else { return false };
        [StorageFull, QuotaExceeded, FileTooLarge].contains(&error.kind())
    }
}

impl Dirs {
    /// Which of `closed` (base and size) an earlier move has brought over whole. Everything else of segments is
    /// removed.
    pub fn survey(&self, closed: &[(i64, u64)]) -> Result<Vec<(i64, u64)>, MoveError> {
        let mut whole = Vec::new();
        for base in bases(&self.future).map_err(MoveError::Future)? {
            let known = closed.iter().find(|(known, _)| *known == base);
            match known.filter(|known| self.is_same(base, LOG) && self.size(base) == Some(known.1)) {
                Some(known) => whole.push(*known),
                None => self.remove(base)?,
            }
        }
        Ok(whole)
    }

    /// Copies bytes `from..upto` of a `.log` file, to the disk. What is behind `from` is cut first.
    pub fn copy(&self, base: i64, from: u64, upto: u64) -> Result<(), MoveError> {
        let source = self.open_source(base, LOG)?.ok_or(MoveError::Gone)?;
        let target = self.open_target(base, LOG)?;
        if target.len().map_err(future("open", target.path()))? > from {
            target.set_len(from).map_err(future("truncate", target.path()))?;
        }
        copy_bytes(&source, &target, from, upto)?;
        target.sync_data().map_err(future("sync", target.path()))
    }

    /// Brings the indexes and the snapshot of a segment over whose `.log` is there, and all of it to the disk. The date
    /// of the `.log`, by which records without timestamps are kept, comes last: it says that the segment is whole.
    /// Returns the bytes.
    pub fn finish(&self, base: i64) -> Result<u64, MoveError> {
        let mut bytes = 0;
        for suffix in [INDEX, TIME_INDEX, TXN_INDEX, SNAPSHOT] {
            bytes += self.copy_whole(base, suffix, None)?;
        }
        let log = self.date(base)?;
        log.sync_all().map_err(future("sync", log.path()))?;
        Ok(bytes)
    }

    /// Removes a segment of the future replica.
    pub fn remove(&self, base: i64) -> Result<(), MoveError> {
        let suffixes = SEGMENT_FILES.iter().chain([&SNAPSHOT]);
        let mut paths = suffixes.map(|suffix| offset_file(&self.future, base, suffix));
        paths.try_for_each(|path| remove(&path)).map_err(MoveError::Future)
    }

    /// Brings over what is left once the current replica rests: indexes of the active segment, snapshots, leader
    /// epochs. All of it is on the disk then, and what is not there as it should be is an error. Producers wait for
    /// this, so nothing is synced that was synced before, and no date of a segment that will be dated by its next
    /// append.
    pub fn seal(&self, seal: &Seal) -> Result<(), MoveError> {
        let Some(active) = seal.segments.last() else { return Err(MoveError::Gone) };
        let (offsets, times) = seal.active_index_bytes;
        self.copy_whole(active.base, INDEX, Some(offsets))?;
        self.copy_whole(active.base, TIME_INDEX, Some(times))?;
        self.copy_whole(active.base, TXN_INDEX, None)?;
        self.date(active.base)?;
        self.align_snapshots()?;
        if leader_epochs::read(&self.future).ok().is_none_or(|there| there != seal.epochs) {
            leader_epochs::write(&self.future, &seal.epochs, Durable::AtOnce).map_err(MoveError::Future)?;
        }
        self.check(&seal.segments)?;
        sync_dir(&self.future).map_err(MoveError::Future)
    }

    /// Renames both: the current replica's directory away, the future's into its place. Between the two there is
    /// neither, and a start goes by what the metadata says ([`recover`]). Returns where the old directory went.
    ///
    /// Errors: after one of `Future` all is as it was; after one of `Current` the old directory can't be used any more.
    pub fn promote(&self, unique: u128) -> Result<PathBuf, MoveError> {
        let aside = rename_aside(&self.current, unique).map_err(MoveError::Current)?;
        if let Err(error) = take_place(&self.future) {
            fs::rename(&aside, &self.current).map_err(LogError::io("rename", &aside)).map_err(MoveError::Current)?;
            return Err(MoveError::Future(error));
        }
        Ok(aside)
    }

    /// Where the partition lies in the new log directory when it was promoted.
    pub fn promoted(&self) -> PathBuf {
        let name = self.current.file_name().unwrap_or_default();
        self.future.with_file_name(name)
    }

    /// Whether both hold the same segments.
    pub fn are_same(&self) -> Result<bool, LogError> {
        let (current, future) = (bases(&self.current)?, bases(&self.future)?);
        let size = |dir: &Path, base: i64| fs::metadata(offset_file(dir, base, LOG)).map(|found| found.len()).ok();
        let is_same = |base: &i64| size(&self.current, *base) == size(&self.future, *base);
        Ok(current == future && !current.is_empty() && current.iter().all(is_same))
    }

    fn size(&self, base: i64) -> Option<u64> {
        fs::metadata(offset_file(&self.future, base, LOG)).map(|found| found.len()).ok()
    }

    /// Whether a file has the same size and date on both sides.
    fn is_same(&self, base: i64, suffix: &str) -> bool {
        let found = |dir: &Path| -> io::Result<(u64, SystemTime)> {
            let found = fs::metadata(offset_file(dir, base, suffix))?;
            Ok((found.len(), found.modified()?))
        };
        matches!((found(&self.current), found(&self.future)), (Ok(current), Ok(future)) if current == future)
    }

    /// Copies a whole file if it is there, or its first `bytes`, to the disk and with its date. Returns how many bytes
    /// it has.
    fn copy_whole(&self, base: i64, suffix: &str, bytes: Option<u64>) -> Result<u64, MoveError> {
        let Some(source) = self.open_source(base, suffix)? else { return Ok(0) };
        let found = source.len().map_err(current("read", source.path()))?;
        let bytes = bytes.unwrap_or(found);
        let target = self.open_target(base, suffix)?;
        target.set_len(0).map_err(future("truncate", target.path()))?;
        copy_bytes(&source, &target, 0, bytes)?;
        date(&source, &target)?;
        target.sync_all().map_err(future("sync", target.path()))?;
        Ok(bytes)
    }

    /// Dates the `.log` of the future replica as that of the current one.
    fn date(&self, base: i64) -> Result<File, MoveError> {
        let source = self.open_source(base, LOG)?.ok_or(MoveError::Gone)?;
        let target = self.open_target(base, LOG)?;
        date(&source, &target)?;
        Ok(target)
    }

    /// Has the future replica hold the snapshots of the current one, and no others.
    fn align_snapshots(&self) -> Result<(), MoveError> {
        let wanted = snapshots::list(&self.current).map_err(MoveError::Current)?;
        for offset in snapshots::list(&self.future).map_err(MoveError::Future)? {
            if !wanted.contains(&offset) {
                remove(&offset_file(&self.future, offset, SNAPSHOT)).map_err(MoveError::Future)?;
            }
        }
        for offset in wanted.into_iter().filter(|offset| !self.is_same(*offset, SNAPSHOT)) {
            self.copy_whole(offset, SNAPSHOT, None)?;
        }
        Ok(())
    }

    /// What was copied is read back: nothing may be promoted that is not the whole log.
    fn check(&self, segments: &[Copied]) -> Result<(), MoveError> {
        let found = bases(&self.future).map_err(MoveError::Future)?;
        let is_whole = |segment: &Copied| self.size(segment.base) == Some(segment.size);
        if found.iter().copied().eq(segments.iter().map(|segment| segment.base)) && segments.iter().all(is_whole) {
            return Ok(());
        }
        let error = io::Error::other("the copy is not what was copied");
        Err(MoveError::Differs(LogError::io("check", &self.future)(error)))
    }

    /// `None`: there is no such file.
    fn open_source(&self, base: i64, suffix: &str) -> Result<Option<File>, MoveError> {
        let path = offset_file(&self.current, base, suffix);
        match File::open_read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            result => result.map(Some).map_err(current("open", &path)),
        }
    }

    fn open_target(&self, base: i64, suffix: &str) -> Result<File, MoveError> {
        let path = offset_file(&self.future, base, suffix);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        File::open(&path, &options).map_err(future("open", &path))
    }
}

/// Gives the directory of a future replica the name of its partition.
fn take_place(future: &Path) -> Result<PathBuf, LogError> {
    rename_to(future, partition_dir)
}

/// A future replica of which the metadata says that it is the partition: a crash came between renames, or before them.
/// Brings the renames to their end, durably.
pub fn recover(future: &Path) -> Result<(), LogError> {
    sync_parent(&take_place(future)?)
}

/// Base offsets of the segments in a directory, smallest first.
pub(super) fn bases(dir: &Path) -> Result<Vec<i64>, LogError> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(dir).map_err(LogError::io("list", dir))? {
        let name = entry.map_err(LogError::io("list", dir))?.file_name();
        if let Some((base, LOG)) = name.to_str().and_then(parse_offset_file) {
            bases.push(base);
        }
    }
    bases.sort_unstable();
    Ok(bases)
}

fn copy_bytes(source: &File, target: &File, from: u64, upto: u64) -> Result<(), MoveError> {
    let mut buffer = vec![0; BUFFER_BYTES.min(upto.saturating_sub(from) as usize)];
    let mut position = from;
    while position < upto {
        let piece = &mut buffer[..BUFFER_BYTES.min((upto - position) as usize)];
        source.read_exact_at(piece, position).map_err(current("read", source.path()))?;
        target.write_all_at(piece, position).map_err(future("write", target.path()))?;
        position += piece.len() as u64;
    }
    Ok(())
}

fn date(source: &File, target: &File) -> Result<(), MoveError> {
    let modified =
        source.std().metadata().and_then(|found| found.modified()).map_err(current("stat", source.path()))?;
    target.std().set_modified(modified).map_err(future("date", target.path()))
}

fn current(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MoveError {
    let path = path.to_path_buf();
    move |error| MoveError::Current(LogError::io(doing, path)(error))
}

fn future(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MoveError {
    let path = path.to_path_buf();
    move |error| MoveError::Future(LogError::io(doing, path)(error))
}

impl Log {
    /// Its segments as a copy sees them, oldest first.
    pub fn extents(&self) -> Vec<Copied> {
        let last = self.closed.len();
        let extent = |(at, segment): (usize, &Segment)| Copied {
            base: segment.base(),
            size: segment.written(),
            is_closed: at < last && segment.written() == segment.size() && !segment.is_unfinished(),
        };
        self.segments().enumerate().map(extent).collect()
    }

    /// Bytes of the active segment's offset and time index that their files have.
    pub fn active_index_bytes(&self) -> (u64, u64) {
        let (offsets, times) = self.active.indexes();
        (offsets.bytes_in_file(), times.bytes_in_file())
    }

    /// Nothing is staged or on its way to the files.
    pub fn is_quiet(&self) -> bool {
        self.appends.is_idle()
    }

    /// The files of rolled segments are as they will stay; else see [`finish_rolled`](Self::finish_rolled).
    pub fn rolled_are_whole(&self) -> bool {
        !self.closed.iter().any(Segment::is_unfinished)
    }

    /// About where a copy ends that has `size` bytes of the segment at `base`; never behind its true end by more than
    /// an index entry.
    pub fn offset_at(&self, base: i64, size: u64) -> i64 {
        let segment = self.segments().find(|segment| segment.base() == base);
        match segment {
            None => base,
            Some(segment) if size >= segment.written() && segment.base() == self.active.base() => self.log_end_offset(),
            Some(segment) if size >= segment.written() => segment.next_offset(),
            Some(segment) => segment.indexes().0.offset_at(size).unwrap_or(base),
        }
    }

    /// The same files, every one of them synced, lie in `dir` from now on. Nothing may be staged or under way.
    pub fn relocate(&mut self, dir: &Path) {
        debug_assert!(self.is_quiet());
        self.dir = Rc::from(dir);
        for segment in self.closed.iter_mut().chain([&mut self.active]) {
            segment.relocate(&self.dir);
        }
        self.unsynced = Unsynced::default();
        self.recovery_point = self.log_end_offset();
    }
}
