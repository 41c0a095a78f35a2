//! The segment that takes the place of several: written beside them as `.cleaned` files, durable before anyone hears of it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use shards::File;
use wire::records::BatchHeader;

use super::source::Source;
use crate::log::error::LogError;
use crate::log::index::{OffsetIndex, TimeIndex};
use crate::log::names::{CLEANED, INDEX, LOG, SEGMENT_FILES, SWAP, TIME_INDEX, TXN_INDEX, offset_file};
use crate::log::replace::remove;

/// Bytes that collect before they are written.
const WRITE_BYTES: usize = 256 * 1024;
/// Positions in an index are 31 bits.
const SIZE_MAX: u64 = i32::MAX as u64;

/// A segment that is ready to take the place of those it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// The first segment's, and its own.
    pub(crate) base: i64,
    pub(crate) replaces: Vec<Source>,
    /// Its `.log` in bytes.
    pub(crate) size: u64,
}

/// `.cleaned` files under way.
#[derive(Debug)]
pub(super) struct Output {
    dir: PathBuf,
    base: i64,
    file: File,
    offsets: OffsetIndex,
    times: TimeIndex,
    /// Bytes, those that are pending included.
    size: u64,
    pending: Vec<u8>,
    max_timestamp: (i64, i64),
    bytes_since_entry: u64,
    index_interval: u64,
}

impl Output {
    pub(super) fn create(dir: &Path, base: i64, index_interval: u64) -> Result<Self, LogError> {
        discard(dir, base)?;
        let path = path(dir, base, LOG, CLEANED);
        let options = OpenOptions::new().read(true).write(true).create_new(true).clone();
        let file = File::open(&path, &options).map_err(LogError::io("create", &path))?;
        let index = |suffix: &str| self::path(dir, base, suffix, CLEANED);
        let offsets = OffsetIndex::open(index(INDEX), base, 0).map_err(LogError::io("create", index(INDEX)))?;
        let times = TimeIndex::open(index(TIME_INDEX), base, 0).map_err(LogError::io("create", index(TIME_INDEX)))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            base,
            file,
            offsets,
            times,
            size: 0,
            pending: Vec::with_capacity(WRITE_BYTES),
            max_timestamp: (-1, base),
            bytes_since_entry: 0,
            index_interval,
        })
    }

    /// Adds a batch behind the others. Index entries come to be as they do when batches are appended (`Segment::note`).
    pub(super) fn push(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<(), LogError> {
        let last_offset = header.last_offset();
        if self.size + bytes.len() as u64 > SIZE_MAX {
            let error = io::Error::other("the cleaned segment would be longer than 2 GiB");
            return Err(LogError::io("write", self.file.path())(error));
        }
        if header.max_timestamp > self.max_timestamp.0 {
            self.max_timestamp = (header.max_timestamp, last_offset);
        }
        if self.bytes_since_entry > self.index_interval {
            self.offsets.push(last_offset, self.size);
            self.times.push(self.max_timestamp.0, self.max_timestamp.1);
            self.offsets.write_some().map_err(LogError::io("write", self.offsets.path()))?;
            self.times.write_some().map_err(LogError::io("write", self.offsets.path()))?;
            self.bytes_since_entry = 0;
        }
        self.size += bytes.len() as u64;
        self.bytes_since_entry += bytes.len() as u64;
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), LogError> {
        let position = self.size - self.pending.len() as u64;
        self.file.write_all_at(&self.pending, position).map_err(LogError::io("write", self.file.path()))?;
        self.pending.clear();
        Ok(())
    }

    /// Brings everything to the disk. The `.log` is dated as the last of its sources: records without timestamps are kept
    /// by that date.
    pub(super) fn finish(mut self, sources: &[Source]) -> Result<Cleaned, LogError> {
        self.write()?;
        self.times.push(self.max_timestamp.0, self.max_timestamp.1);
        let name = self.offsets.path().to_path_buf();
        self.times.finish().map_err(LogError::io("write", &name))?;
        self.offsets.finish().map_err(LogError::io("write", &name))?;
        let mut files = vec![self.file.clone()];
        files.extend(self.offsets.file().ok());
        files.extend(self.times.file().ok());
        files.extend(self.join_transactions(sources)?);
        if let Some(modified) = sources.last().and_then(|source| modified(&self.dir, source)) {
            self.file.std().set_modified(modified).map_err(LogError::io("date", self.file.path()))?;
        }
        for file in files {
            file.sync_all().map_err(LogError::io("sync", file.path()))?;
        }
        Ok(Cleaned { base: self.base, replaces: sources.to_vec(), size: self.size })
    }

    /// What the sources say about aborted transactions, one behind the other, which is the order of the markers. That the
    /// records may be gone does no harm.
    fn join_transactions(&self, sources: &[Source]) -> Result<Option<File>, LogError> {
        let target = path(&self.dir, self.base, TXN_INDEX, CLEANED);
        let mut joined = None;
        for source in sources {
            let path = offset_file(&self.dir, source.base, TXN_INDEX);
            let bytes = match fs::read(&path) {
                Ok(bytes) if !bytes.is_empty() => bytes,
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(LogError::io("read", &path)(error)),
            };
            let (file, end) = match joined.take() {
                Some(joined) => joined,
                None => {
                    let options = OpenOptions::new().read(true).write(true).create_new(true).clone();
                    (File::open(&target, &options).map_err(LogError::io("create", &target))?, 0)
                }
            };
            file.write_all_at(&bytes, end).map_err(LogError::io("write", &target))?;
            joined = Some((file, end + bytes.len() as u64));
        }
        Ok(joined.map(|(file, _)| file))
    }
}

fn modified(dir: &Path, source: &Source) -> Option<SystemTime> {
    fs::metadata(offset_file(dir, source.base, LOG)).and_then(|metadata| metadata.modified()).ok()
}

/// `<base><suffix><stage>`, with `.cleaned` or `.swap` for the stage.
pub(super) fn path(dir: &Path, base: i64, suffix: &str, stage: &str) -> PathBuf {
    offset_file(dir, base, &format!("{suffix}{stage}"))
}

/// Removes what cleaning has made for `base` and did not bring to its end.
pub(super) fn discard(dir: &Path, base: i64) -> Result<(), LogError> {
    for stage in [CLEANED, SWAP] {
        SEGMENT_FILES.iter().try_for_each(|suffix| remove(&path(dir, base, suffix, stage)))?;
    }
    Ok(())
}
