//! The two indexes of a segment (Kafka's `OffsetIndex`, `TimeIndex`): sorted entries of fixed size, nothing else.
//!
//! New entries collect in memory and go to the file some at a time, so the file of the active segment may lag behind;
//! it is whole once the segment was rolled or closed. Old entries are read from the file, a page at a time, so that an
//! index costs a few KiB of memory however long it is. An index is a hint that can be rebuilt: readers check the batch
//! they find.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use shards::File;

/// Entries that collect before they are written to the file.
const WRITE_ENTRIES: usize = 64;
/// Entries kept in memory after they were written: the newest are asked for most.
const HOT_ENTRIES: usize = 512;
const PAGE_ENTRIES: usize = 512;

/// Sorted entries of `N` bytes, the newest in memory.
#[derive(Debug)]
struct Entries<const N: usize> {
    path: PathBuf,
    /// Opened when first needed.
    file: RefCell<Option<File>>,
    /// How many entries the file holds.
    in_file: usize,
    /// The entries from `hot_start` on; those from `in_file` on are nowhere else.
    hot: Vec<[u8; N]>,
    hot_start: usize,
    /// The page read last, with its number.
    page: RefCell<Option<(usize, Vec<[u8; N]>)>>,
}

impl<const N: usize> Entries<N> {
    fn new(path: PathBuf, in_file: usize) -> Self {
        Self { path, file: RefCell::default(), in_file, hot: Vec::new(), hot_start: in_file, page: RefCell::default() }
    }

    fn len(&self) -> usize {
        self.hot_start + self.hot.len()
    }

    fn file(&self) -> io::Result<File> {
        let mut file = self.file.borrow_mut();
        if let Some(file) = &*file {
            return Ok(file.clone());
        }
        let opened = File::open(&self.path, OpenOptions::new().read(true).write(true).create(true).truncate(false))?;
        Ok(file.insert(opened).clone())
    }

    fn push(&mut self, entry: [u8; N]) {
        self.hot.push(entry);
    }

    fn get(&self, at: usize) -> io::Result<[u8; N]> {
        if let Some(entry) = at.checked_sub(self.hot_start).and_then(|at| self.hot.get(at)) {
            return Ok(*entry);
        }
        if let Some((page, entries)) = &*self.page.borrow()
            && at / PAGE_ENTRIES == *page
            && let Some(entry) = entries.get(at % PAGE_ENTRIES)
        {
            return Ok(*entry);
        }
        let mut entry = [0; N];
        self.file()?.read_exact_at(&mut entry, (at * N) as u64)?;
        Ok(entry)
    }

    /// How many entries come before the first for which `before` is false.
    fn partition_point(&self, before: impl Fn(&[u8; N]) -> bool) -> io::Result<usize> {
        if self.hot_start == 0 || self.hot.first().is_some_and(&before) {
            return Ok(self.hot_start + self.hot.partition_point(before));
        }
        // Readers go forward: mostly it is the page read last.
        if let Some((page, entries)) = &*self.page.borrow()
            && entries.first().is_some_and(&before)
            && entries.last().is_some_and(|last| !before(last))
        {
            return Ok(page * PAGE_ENTRIES + entries.partition_point(before));
        }
        let (mut low, mut high) = (0, self.hot_start.div_ceil(PAGE_ENTRIES));
        // The first page that does not begin with an entry before the target; the target lies in the one before it.
        while low < high {
            let middle = usize::midpoint(low, high);
            if before(&self.get(middle * PAGE_ENTRIES)?) { low = middle + 1 } else { high = middle }
        }
        let Some(page) = low.checked_sub(1) else { return Ok(0) };
        self.load(page)?;
        let loaded = self.page.borrow();
        let within = loaded.as_ref().map_or(0, |(_, entries)| entries.partition_point(before));
        Ok(page * PAGE_ENTRIES + within)
    }

    fn load(&self, page: usize) -> io::Result<()> {
        let first = page * PAGE_ENTRIES;
        let count = PAGE_ENTRIES.min(self.hot_start - first);
        if self.page.borrow().as_ref().is_some_and(|(loaded, entries)| *loaded == page && entries.len() == count) {
            return Ok(());
        }
        let mut entries = vec![[0; N]; count];
        self.file()?.read_exact_at(entries.as_flattened_mut(), (first * N) as u64)?;
        *self.page.borrow_mut() = Some((page, entries));
        Ok(())
    }

    fn keep(&mut self, count: usize) {
        if count >= self.len() {
            return;
        }
        self.hot.truncate(count.saturating_sub(self.hot_start));
        self.hot_start = self.hot_start.min(count);
        self.in_file = self.in_file.min(count);
        *self.page.borrow_mut() = None;
    }

    /// Writes what the file lacks, if that is worth a call.
    fn write_some(&mut self) -> io::Result<()> {
        if self.len() - self.in_file < WRITE_ENTRIES { Ok(()) } else { self.write_all() }
    }

    fn write_all(&mut self) -> io::Result<()> {
        if self.in_file < self.len() {
            let missing = &self.hot[self.in_file - self.hot_start..];
            self.file()?.write_all_at(missing.as_flattened(), (self.in_file * N) as u64)?;
            self.in_file = self.len();
        }
        if self.hot.len() >= 2 * HOT_ENTRIES {
            let cold = self.hot.len() - HOT_ENTRIES;
            self.hot.drain(..cold);
            self.hot_start += cold;
        }
        Ok(())
    }

    /// Makes the file exactly the entries; also creates it, and cuts what was preallocated.
    fn finish(&mut self) -> io::Result<()> {
        self.write_all()?;
        let (file, size) = (self.file()?, (self.len() * N) as u64);
        if file.len()? == size { Ok(()) } else { file.set_len(size) }
    }

    /// Keeps nothing in memory that the file has.
    fn rest(&mut self) {
        if self.in_file == self.len() {
            self.hot_start = self.in_file;
            self.hot = Vec::new();
        }
        self.cool();
    }

    /// Lets go of the open file and the page; both come back when needed.
    fn cool(&self) {
        *self.file.borrow_mut() = None;
        *self.page.borrow_mut() = None;
    }

    /// The same file lies at another place from now on.
    fn relocate(&mut self, path: PathBuf) {
        self.path = path;
        self.cool();
    }
}

/// Where batches are: entries of 4 bytes offset, relative to the segment's base, and 4 bytes position. The offset is the
/// batch's last one, the position its first byte.
#[derive(Debug)]
pub(crate) struct OffsetIndex {
    base: i64,
    entries: Entries<8>,
    last_offset: i64,
}

impl OffsetIndex {
    pub(crate) const ENTRY_SIZE: usize = 8;

    /// An index whose file has, or is to have, `count` entries.
    pub(crate) fn open(path: PathBuf, base: i64, count: usize) -> io::Result<Self> {
        let mut index = Self { base, entries: Entries::new(path, count), last_offset: base };
        index.last_offset = index.last()?.map_or(base, |(offset, _)| offset);
        Ok(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_full(&self, index_bytes: u32) -> bool {
        self.len() >= index_bytes as usize / Self::ENTRY_SIZE
    }

    /// Adds an entry; one that is not above the last is left out, as it would break the order.
    pub(crate) fn push(&mut self, last_offset: i64, position: u64) {
        let (Ok(relative), Ok(position)) = (i32::try_from(last_offset - self.base), i32::try_from(position)) else {
            return;
        };
        if self.len() > 0 && last_offset <= self.last_offset {
            return;
        }
        let mut entry = [0; 8];
        entry[..4].copy_from_slice(&relative.to_be_bytes());
        entry[4..].copy_from_slice(&position.to_be_bytes());
        self.entries.push(entry);
        self.last_offset = last_offset;
    }

    pub(crate) fn last(&self) -> io::Result<Option<(i64, u64)>> {
        match self.len().checked_sub(1) {
            Some(last) => self.entry(last).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn entry(&self, at: usize) -> io::Result<(i64, u64)> {
        Ok(self.parse(&self.entries.get(at)?))
    }

    /// The last entry whose offset is at most `offset`, as a position to search from, and the position of the entry after
    /// it: (0, ..) before the first entry, (.., none) behind the last.
    pub(crate) fn around(&self, offset: i64) -> io::Result<(u64, Option<u64>)> {
        let above = self.entries.partition_point(|entry| self.parse(entry).0 <= offset)?;
        let from = match above.checked_sub(1) {
            Some(floor) => self.entry(floor)?.1,
            None => 0,
        };
        let next = if above < self.len() { Some(self.entry(above)?.1) } else { None };
        Ok((from, next))
    }

    /// Last offset of the last indexed batch that begins at or before `position`; the base offset before the first.
    pub(crate) fn offset_at(&self, position: u64) -> io::Result<i64> {
        let above = self.entries.partition_point(|entry| self.parse(entry).1 <= position)?;
        above.checked_sub(1).map_or(Ok(self.base), |floor| Ok(self.entry(floor)?.0))
    }

    /// Bytes of entries that the file has; it may be longer.
    pub(crate) fn bytes_in_file(&self) -> u64 {
        (self.entries.in_file * Self::ENTRY_SIZE) as u64
    }

    pub(crate) fn relocate(&mut self, path: PathBuf) {
        self.entries.relocate(path);
    }

    /// Position of the last indexed batch that begins at or before `position`.
    pub(crate) fn boundary_at(&self, position: u64) -> io::Result<Option<u64>> {
        let above = self.entries.partition_point(|entry| self.parse(entry).1 <= position)?;
        above.checked_sub(1).map(|floor| Ok(self.entry(floor)?.1)).transpose()
    }

    /// Forgets the entries of batches that end at or after `offset`.
    pub(crate) fn truncate(&mut self, offset: i64) -> io::Result<()> {
        let keep = self.entries.partition_point(|entry| self.parse(entry).0 < offset)?;
        self.entries.keep(keep);
        self.last_offset = self.last()?.map_or(self.base, |(offset, _)| offset);
        Ok(())
    }

    pub(crate) fn write_some(&mut self) -> io::Result<()> {
        self.entries.write_some()
    }

    pub(crate) fn write_all(&mut self) -> io::Result<()> {
        self.entries.write_all()
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.entries.finish()
    }

    pub(crate) fn rest(&mut self) {
        self.entries.rest();
    }

    pub(crate) fn cool(&self) {
        self.entries.cool();
    }

    pub(crate) fn file(&self) -> io::Result<File> {
        self.entries.file()
    }

    pub(crate) fn has_open_file(&self) -> bool {
        self.entries.file.borrow().is_some()
    }

    pub(crate) fn open_file(&self) -> Option<File> {
        self.entries.file.borrow().clone()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.entries.path
    }

    fn parse(&self, entry: &[u8; 8]) -> (i64, u64) {
        let [a, b, c, d, e, f, g, h] = *entry;
        let position = u32::from_be_bytes([e, f, g, h]);
        (self.base + i64::from(i32::from_be_bytes([a, b, c, d])), u64::from(position))
    }
}

/// Which offset had the largest timestamp so far: entries of 8 bytes timestamp and 4 bytes offset, relative to the
/// segment's base. Timestamps rise strictly; the offset is the last one of the batch that brought the timestamp.
#[derive(Debug)]
pub(crate) struct TimeIndex {
    base: i64,
    entries: Entries<12>,
    /// Timestamp and offset of the last entry; (-1, base) without one.
    last: (i64, i64),
}

impl TimeIndex {
    pub(crate) const ENTRY_SIZE: usize = 12;

    pub(crate) fn open(path: PathBuf, base: i64, count: usize) -> io::Result<Self> {
        let mut index = Self { base, entries: Entries::new(path, count), last: (-1, base) };
        index.load_last()?;
        Ok(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// One place is kept free for the entry that is added when the segment is rolled.
    pub(crate) fn is_full(&self, index_bytes: u32) -> bool {
        self.len() + 1 >= index_bytes as usize / Self::ENTRY_SIZE
    }

    /// Adds an entry if its timestamp is above the last one's.
    pub(crate) fn push(&mut self, timestamp: i64, offset: i64) {
        let Ok(relative) = i32::try_from(offset - self.base) else { return };
        if timestamp <= self.last.0 {
            return;
        }
        let mut entry = [0; 12];
        entry[..8].copy_from_slice(&timestamp.to_be_bytes());
        entry[8..].copy_from_slice(&relative.to_be_bytes());
        self.entries.push(entry);
        self.last = (timestamp, offset);
    }

    /// Timestamp and offset of the last entry; (-1, base offset) without one.
    pub(crate) fn last(&self) -> (i64, i64) {
        self.last
    }

    /// Bytes of entries that the file has; it may be longer.
    pub(crate) fn bytes_in_file(&self) -> u64 {
        (self.entries.in_file * Self::ENTRY_SIZE) as u64
    }

    pub(crate) fn relocate(&mut self, path: PathBuf) {
        self.entries.relocate(path);
    }

    pub(crate) fn first(&self) -> io::Result<Option<(i64, i64)>> {
        if self.len() == 0 { Ok(None) } else { Ok(Some(self.parse(&self.entries.get(0)?))) }
    }

    /// The offset of the last entry whose timestamp is at most `timestamp`; the base offset before the first.
    pub(crate) fn floor(&self, timestamp: i64) -> io::Result<i64> {
        let above = self.entries.partition_point(|entry| self.parse(entry).0 <= timestamp)?;
        match above.checked_sub(1) {
            Some(floor) => Ok(self.parse(&self.entries.get(floor)?).1),
            None => Ok(self.base),
        }
    }

    pub(crate) fn truncate(&mut self, offset: i64) -> io::Result<()> {
        let keep = self.entries.partition_point(|entry| self.parse(entry).1 < offset)?;
        self.entries.keep(keep);
        self.load_last()
    }

    pub(crate) fn write_some(&mut self) -> io::Result<()> {
        self.entries.write_some()
    }

    pub(crate) fn write_all(&mut self) -> io::Result<()> {
        self.entries.write_all()
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.entries.finish()
    }

    pub(crate) fn rest(&mut self) {
        self.entries.rest();
    }

    pub(crate) fn cool(&self) {
        self.entries.cool();
    }

    pub(crate) fn file(&self) -> io::Result<File> {
        self.entries.file()
    }

    pub(crate) fn has_open_file(&self) -> bool {
        self.entries.file.borrow().is_some()
    }

    pub(crate) fn open_file(&self) -> Option<File> {
        self.entries.file.borrow().clone()
    }

    fn load_last(&mut self) -> io::Result<()> {
        self.last = match self.len().checked_sub(1) {
            Some(last) => self.parse(&self.entries.get(last)?),
            None => (-1, self.base),
        };
        Ok(())
    }

    fn parse(&self, entry: &[u8; 12]) -> (i64, i64) {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *entry;
        let timestamp = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
        (timestamp, self.base + i64::from(i32::from_be_bytes([i, j, k, l])))
    }
}
