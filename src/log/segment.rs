//! One segment: a `.log` file and its two indexes (Kafka's `LogSegment`).

use std::cell::{Cell, RefCell};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use shards::File;

use super::error::{LogError, ReadError};
use super::index::{OffsetIndex, TimeIndex};
use super::names::{self, INDEX, LOG, TIME_INDEX, offset_file};
use super::walk::{HeaderWalk, Located, read_error};

/// Bytes read at once while looking for a batch.
const STEP_BYTES: usize = 4096;
const STEP_BYTES_MAX: u64 = 16 * 1024;

/// A run of batches that begins at `base`. The last segment of a log is the active one, the others don't change.
///
/// Batches are noted when they are staged, before they are written: `size` and the indexes run ahead of `written`. An
/// idle segment holds no open file.
#[derive(Debug)]
pub(crate) struct Segment {
    dir: Rc<Path>,
    base: i64,
    file: RefCell<Option<File>>,
    offsets: OffsetIndex,
    times: TimeIndex,
    /// Bytes, staged ones included.
    size: u64,
    /// Bytes that are in the file.
    written: u64,
    next_offset: i64,
    /// Largest timestamp of its batches and the last offset of the first batch that has it; (-1, base) for none.
    max_timestamp: (i64, i64),
    /// Max timestamp of the first batch: what rolling by time counts from.
    first_timestamp: Option<i64>,
    /// Wall clock of the first append, for batches without timestamps.
    created_ms: Option<i64>,
    bytes_since_entry: u64,
    /// Holds bytes, or an index entry that matters, that no fsync has covered.
    unsynced: Cell<bool>,
    /// Its index files are not in their final state.
    unfinished: bool,
}

/// What the files of a segment say without its batches being read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) segment: Segment,
    /// An index is missing, or can't be one.
    pub(crate) needs_rebuild: bool,
}

impl Segment {
    /// A new, empty segment; empty files are made at once, so that the directory says what there is.
    pub(crate) fn create(dir: &Rc<Path>, base: i64) -> Result<Self, LogError> {
        let path = offset_file(dir, base, LOG);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).clone();
        let file = File::open(&path, &options).map_err(LogError::io("create segment", &path))?;
        for suffix in [INDEX, TIME_INDEX] {
            let path = offset_file(dir, base, suffix);
            File::open(&path, &options).map_err(LogError::io("create index", &path))?;
        }
        let segment = Self::with_indexes(dir, base, 0, 0, 0)?;
        *segment.file.borrow_mut() = Some(file);
        Ok(segment)
    }

    /// A segment found in the directory. Indexes are believed if their form is right, as Kafka does.
    pub(crate) fn load(dir: &Rc<Path>, base: i64) -> Result<Loaded, LogError> {
        let path = offset_file(dir, base, LOG);
        let size = fs::metadata(&path).map_err(LogError::io("open segment", &path))?.len();
        let offsets = index_entries(&offset_file(dir, base, INDEX), OffsetIndex::ENTRY_SIZE)?;
        let times = index_entries(&offset_file(dir, base, TIME_INDEX), TimeIndex::ENTRY_SIZE)?;
        let (Some(offsets), Some(times)) = (offsets, times) else {
            let segment = Self::with_indexes(dir, base, size, 0, 0)?;
            return Ok(Loaded { segment, needs_rebuild: true });
        };
        let segment = Self::with_indexes(dir, base, size, offsets, times)?;
        let needs_rebuild = !segment.indexes_make_sense().map_err(LogError::io("read index of", &path))?;
        Ok(Loaded { segment, needs_rebuild })
    }

    fn with_indexes(dir: &Rc<Path>, base: i64, size: u64, offsets: usize, times: usize) -> Result<Self, LogError> {
        let (offset_path, time_path) = (offset_file(dir, base, INDEX), offset_file(dir, base, TIME_INDEX));
        let offsets =
            OffsetIndex::open(offset_path.clone(), base, offsets).map_err(LogError::io("open index", &offset_path))?;
        let times = TimeIndex::open(time_path.clone(), base, times).map_err(LogError::io("open index", &time_path))?;
        let max_timestamp = times.last();
        Ok(Self {
            dir: Rc::clone(dir),
            base,
            file: RefCell::default(),
            offsets,
            times,
            size,
            written: size,
            next_offset: base,
            max_timestamp,
            first_timestamp: None,
            created_ms: None,
            bytes_since_entry: 0,
            unsynced: Cell::new(false),
            unfinished: false,
        })
    }

    fn indexes_make_sense(&self) -> io::Result<bool> {
        let offsets = match self.offsets.last()? {
            Some((offset, position)) => offset >= self.base && position < self.size,
            None => true,
        };
        let times = match self.times.first()? {
            Some(first) => {
                let last = self.times.last();
                first.1 >= self.base && last.1 >= first.1 && (last.0 > first.0 || self.times.len() == 1)
            }
            None => true,
        };
        Ok(offsets && times)
    }

    pub(crate) fn base(&self) -> i64 {
        self.base
    }

    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// For a segment that is not read to its end: the next one's base is known.
    pub(crate) fn set_next_offset(&mut self, next_offset: i64) {
        self.next_offset = next_offset;
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn max_timestamp(&self) -> (i64, i64) {
        self.max_timestamp
    }

    pub(crate) fn first_timestamp(&self) -> Option<i64> {
        self.first_timestamp
    }

    pub(crate) fn created_ms(&self) -> Option<i64> {
        self.created_ms
    }

    pub(crate) fn indexes(&self) -> (&OffsetIndex, &TimeIndex) {
        (&self.offsets, &self.times)
    }

    pub(crate) fn is_unsynced(&self) -> bool {
        self.unsynced.get()
    }

    pub(crate) fn mark_synced(&self) {
        self.unsynced.set(false);
    }

    pub(crate) fn path(&self) -> PathBuf {
        offset_file(&self.dir, self.base, LOG)
    }

    /// The open `.log` file.
    pub(crate) fn file(&self) -> io::Result<File> {
        let mut file = self.file.borrow_mut();
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        let opened = File::open(self.path(), OpenOptions::new().read(true).write(true))?;
        Ok(file.insert(opened).clone())
    }

    /// Largest timestamp of its records; where none has one, when it was last written (milliseconds).
    pub(crate) fn largest_timestamp(&self) -> Result<i64, LogError> {
        if self.max_timestamp.0 >= 0 {
            return Ok(self.max_timestamp.0);
        }
        let path = self.path();
        let modified =
            fs::metadata(&path).and_then(|metadata| metadata.modified()).map_err(LogError::io("stat", &path))?;
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// A batch goes to the end: keeps size and indexes. An index entry is made before a batch when more than
    /// `index_interval` bytes went by since the last one.
    pub(crate) fn note(&mut self, last_offset: i64, bytes: u64, max_timestamp: i64, index_interval: u64) {
        if max_timestamp > self.max_timestamp.0 {
            self.max_timestamp = (max_timestamp, last_offset);
        }
        if self.bytes_since_entry > index_interval {
            self.offsets.push(last_offset, self.size);
            self.times.push(self.max_timestamp.0, self.max_timestamp.1);
            self.bytes_since_entry = 0;
        }
        self.first_timestamp.get_or_insert(max_timestamp);
        self.size += bytes;
        self.bytes_since_entry += bytes;
        self.next_offset = last_offset + 1;
        self.unsynced.set(true);
        self.unfinished = true;
    }

    /// First append by the wall clock.
    pub(crate) fn note_created(&mut self, now_ms: i64) {
        self.created_ms.get_or_insert(now_ms);
    }

    /// The bytes up to `position` are in the file. Index entries follow, some at a time.
    pub(crate) fn landed(&mut self, position: u64) -> io::Result<()> {
        self.written = position;
        self.offsets.write_some()?;
        self.times.write_some()
    }

    /// Brings the index files to their final state; the time index ends with the largest timestamp. They have to be synced
    /// then, also where all batches were before.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.times.push(self.max_timestamp.0, self.max_timestamp.1);
        self.times.finish()?;
        self.offsets.finish()?;
        if std::mem::replace(&mut self.unfinished, false) {
            self.unsynced.set(true);
        }
        Ok(())
    }

    pub(crate) fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// For a finished segment that takes no more and is synced: lets go of index memory and open index files.
    pub(crate) fn rest(&mut self) {
        self.offsets.rest();
        self.times.rest();
    }

    /// For the active segment: as [`rest`](Self::rest), once the index files have what memory has. They need no sync: after
    /// a crash they are built anew.
    pub(crate) fn rest_active(&mut self) -> io::Result<()> {
        self.offsets.write_all()?;
        self.times.write_all()?;
        self.rest();
        Ok(())
    }

    /// Lets go of open files and index pages, which come back when needed. Not of what a sync still has to find open.
    pub(crate) fn cool(&self) {
        if !self.unsynced.get() {
            *self.file.borrow_mut() = None;
            self.offsets.cool();
            self.times.cool();
        }
    }

    /// The same files lie in `dir` from now on, synced.
    pub(crate) fn relocate(&mut self, dir: &Rc<Path>) {
        self.dir = Rc::clone(dir);
        *self.file.get_mut() = None;
        self.offsets.relocate(offset_file(dir, self.base, INDEX));
        self.times.relocate(offset_file(dir, self.base, TIME_INDEX));
        self.unsynced.set(false);
    }

    pub(crate) fn open_count(&self) -> usize {
        let log = usize::from(self.file.borrow().is_some());
        log + usize::from(self.offsets.has_open_file()) + usize::from(self.times.has_open_file())
    }

    pub(crate) fn open_log(&self) -> Option<File> {
        self.file.borrow().clone()
    }

    /// Its files that are open, as those are that were written to.
    pub(crate) fn open_files(&self) -> Vec<File> {
        self.open_log().into_iter().chain(self.offsets.open_file()).chain(self.times.open_file()).collect()
    }

    /// What has to be synced so that all of its bytes, and with `closed` its indexes, are durable.
    pub(crate) fn sync_files(&self, closed: bool) -> io::Result<Vec<File>> {
        let mut files = vec![self.file()?];
        if closed {
            files.extend([self.offsets.file()?, self.times.file()?]);
        }
        Ok(files)
    }

    /// The first batch that ends at or after `offset`; `None` when there is none among the written ones.
    pub(crate) fn find(&self, offset: i64) -> Result<Option<Located>, ReadError> {
        if offset >= self.next_offset || self.written == 0 {
            return Ok(None);
        }
        let (from, next) = self.offsets.around(offset).map_err(self.index_error())?;
        match self.find_from(offset, from, next.filter(|next| *next < self.written)) {
            // The index points to nothing that makes sense here: it is only a hint.
            Ok(Some(found)) if from > 0 && found.header.base_offset > offset => self.find_from(offset, 0, None),
            Err(ReadError::Corrupt { .. }) if from > 0 => self.find_from(offset, 0, None),
            found => found,
        }
    }

    fn find_from(&self, offset: i64, from: u64, next: Option<u64>) -> Result<Option<Located>, ReadError> {
        let file = self.file().map_err(self.open_error())?;
        if from >= self.written {
            return Ok(None);
        }
        let gap = next.map_or(STEP_BYTES_MAX, |next| next.saturating_sub(from));
        if let Some(next) = next
            && gap > STEP_BYTES_MAX
        {
            // The batch of the next entry ends at or behind the target: with large batches it mostly is the one.
            let mut walk = HeaderWalk::new(file.clone(), next, self.written, STEP_BYTES);
            if let Some(located) = walk.next()?
                && located.header.base_offset <= offset
            {
                return Ok(Some(located));
            }
        }
        let step = STEP_BYTES.max(if gap < STEP_BYTES_MAX { gap as usize + STEP_BYTES } else { 0 });
        let mut walk = HeaderWalk::new(file, from, self.written, step);
        while let Some(located) = walk.next()? {
            if located.header.last_offset() >= offset {
                return Ok(Some(located));
            }
        }
        Ok(None)
    }

    /// Walks the written batches from `position`.
    pub(crate) fn walk(&self, position: u64, step: usize) -> Result<HeaderWalk, ReadError> {
        let file = self.file().map_err(self.open_error())?;
        Ok(HeaderWalk::new(file, position, self.written, step))
    }

    /// Takes in what a walk over the batches found: for a segment whose indexes were loaded.
    pub(crate) fn note_loaded(&mut self, header_max_timestamp: i64, last_offset: i64) {
        if header_max_timestamp > self.max_timestamp.0 {
            self.max_timestamp = (header_max_timestamp, last_offset);
        }
        self.next_offset = last_offset + 1;
    }

    pub(crate) fn set_first_timestamp(&mut self, timestamp: i64) {
        self.first_timestamp = Some(timestamp);
    }

    /// Forgets everything that is known of its batches, to note them anew.
    pub(crate) fn reset(&mut self) -> Result<(), LogError> {
        let (dir, base) = (Rc::clone(&self.dir), self.base);
        for suffix in [INDEX, TIME_INDEX] {
            super::replace::remove(&offset_file(&dir, base, suffix))?;
        }
        let file = self.file.take();
        *self = Self::with_indexes(&dir, base, 0, 0, 0)?;
        *self.file.borrow_mut() = file;
        Ok(())
    }

    /// After batches were noted from the file itself: they are all written.
    pub(crate) fn all_written(&mut self) {
        self.written = self.size;
        self.unsynced.set(true);
    }

    /// Cuts everything from `position`, where the batch with `offset` begins or would begin.
    pub(crate) fn cut(&mut self, position: u64, offset: i64) -> Result<(), LogError> {
        let path = self.path();
        let file = self.file().map_err(LogError::io("open segment", &path))?;
        file.set_len(position).map_err(LogError::io("truncate", &path))?;
        (self.size, self.written, self.next_offset) = (position, position, offset);
        self.bytes_since_entry = 0;
        if position == 0 {
            (self.first_timestamp, self.created_ms) = (None, None);
        }
        self.unsynced.set(true);
        let index = self.offsets.path().to_path_buf();
        self.offsets.truncate(offset).map_err(LogError::io("truncate", &index))?;
        self.times.truncate(offset).map_err(LogError::io("truncate", &index))?;
        self.offsets.finish().map_err(LogError::io("truncate", &index))?;
        self.times.finish().map_err(LogError::io("truncate", &index))?;
        self.reload_max_timestamp()
    }

    /// The last time index entry, or a larger timestamp among the batches behind it.
    fn reload_max_timestamp(&mut self) -> Result<(), LogError> {
        self.max_timestamp = self.times.last();
        let (from, _) = self.offsets.around(self.max_timestamp.1).map_err(self.index_error())?;
        let mut walk = self.walk(from, STEP_BYTES_MAX as usize)?;
        while let Some(located) = walk.next()? {
            if located.header.max_timestamp > self.max_timestamp.0 {
                self.max_timestamp = (located.header.max_timestamp, located.header.last_offset());
            }
        }
        Ok(())
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        paths(&self.dir, self.base)
    }

    fn open_error(&self) -> impl FnOnce(io::Error) -> ReadError {
        |error| ReadError::Io { path: self.path(), position: 0, error }
    }

    pub(crate) fn index_error(&self) -> impl FnOnce(io::Error) -> ReadError {
        |error| ReadError::Io { path: self.offsets.path().to_path_buf(), position: 0, error }
    }

    /// Reads the whole batch at `located`.
    pub(crate) fn read(&self, located: &Located, bytes: &mut Vec<u8>) -> Result<(), ReadError> {
        let file = self.file().map_err(self.open_error())?;
        bytes.resize(located.header.size(), 0);
        file.read_exact_at(bytes, located.position).map_err(read_error(&file, located.position))
    }
}

/// Paths of the files of a segment, those that need not exist included.
pub(crate) fn paths(dir: &Path, base: i64) -> Vec<PathBuf> {
    names::SEGMENT_FILES.iter().map(|suffix| offset_file(dir, base, suffix)).collect()
}

/// Entries of an index file; `None` when it is missing or not a whole number of entries.
fn index_entries(path: &Path, entry_size: usize) -> Result<Option<usize>, LogError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() % entry_size as u64 == 0 => {
            Ok(usize::try_from(metadata.len()).ok().map(|len| len / entry_size))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::io("open index", path)(error)),
    }
}
