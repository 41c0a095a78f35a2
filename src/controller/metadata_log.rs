//! The files `<base offset>.log` of `__cluster_metadata-0`: append with fdatasync, read back, cut a torn tail, roll.
//!
//! A record counts once [`MetadataLog::append`] has returned: it was synced. So the only damage a crash can leave is an
//! unfinished batch at the very end, which is cut; anything else is reported and nothing is touched. Kafka's index files
//! are left out: Kafka makes them anew when it opens such a log, and nobody here looks up by them.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use wire::records::{Batch, HEADER_SIZE};

use super::error::{ControllerError, Damage};

#[derive(Debug)]
pub(super) struct MetadataLog {
    dir: PathBuf,
    /// Base offsets of the segments, ascending; the last is the active one.
    segments: Vec<i64>,
    active: File,
    size: u64,
    end: End,
    failed: bool,
}

/// Where the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// The next record's offset.
    pub offset: i64,
    /// Leader epoch of the last batch; 0 if there is none.
    pub epoch: i32,
    /// Largest timestamp of the last batch; -1 if there is none.
    pub timestamp: i64,
}

/// What a reader does with each batch, given its file and position there.
pub(super) type OnBatch<'a> = dyn FnMut(&Batch<'_>, &Path, usize) -> Result<(), ControllerError> + 'a;

impl MetadataLog {
    /// Opens the log and hands over every batch at or after `start`, which is where a snapshot ended (0 for none). A log
    /// that begins after `start`, or has a gap, is an error. Where there is none, one is begun at `start`.
    pub(super) fn open(dir: &Path, start: End, each: &mut OnBatch<'_>) -> Result<Self, ControllerError> {
        let Scan { mut segments, mut end, mut size, torn } = scan(dir, start, each)?;
        if let Some(last) = segments.last().filter(|_| torn > 0) {
            cut(&path_of(dir, *last), size)?;
        }
        if segments.is_empty() || end.offset < start.offset {
            // What follows a snapshot that reaches beyond the log belongs into a segment of its own.
            create(dir, start.offset)?;
            segments.push(start.offset);
            (end, size) = (start, 0);
        }
        let active = open_active(dir, segments[segments.len() - 1])?;
        end.epoch = end.epoch.max(start.epoch);
        Ok(Self { dir: dir.into(), segments, active, size, end, failed: false })
    }

    pub(super) fn end(&self) -> End {
        self.end
    }

    /// Bytes of the active segment.
    pub(super) fn active_size(&self) -> u64 {
        self.size
    }

    /// Appends whole batches and syncs them. After an error nothing can be appended any more: what the kernel dropped
    /// can't be known, so a later success would say nothing.
    pub(super) fn append(&mut self, batches: &[u8], end: End) -> Result<(), ControllerError> {
        if self.failed {
            return Err(ControllerError::Failed);
        }
        debug_assert!(end.offset > self.end.offset && end.epoch >= self.end.epoch);
        self.failed = true;
        let path = path_of(&self.dir, self.segments[self.segments.len() - 1]);
        self.active.write_all_at(batches, self.size).map_err(ControllerError::io("append to", &path))?;
        self.active.sync_data().map_err(ControllerError::io("sync", &path))?;
        self.failed = false;
        self.size += batches.len() as u64;
        self.end = end;
        Ok(())
    }

    /// Begins a new segment at the log's end.
    pub(super) fn roll(&mut self) -> Result<(), ControllerError> {
        if self.size == 0 {
            return Ok(());
        }
        self.active = create(&self.dir, self.end.offset)?;
        self.segments.push(self.end.offset);
        self.size = 0;
        Ok(())
    }

    /// Removes segments whose records all lie below `offset`; never the active one.
    pub(super) fn remove_below(&mut self, offset: i64) -> Result<(), ControllerError> {
        while self.segments.len() > 1 && self.segments[1] <= offset {
            let path = path_of(&self.dir, self.segments[0]);
            fs::remove_file(&path).map_err(ControllerError::io("remove", &path))?;
            for suffix in ["index", "timeindex"] {
                // Kafka's, where it has run on this directory; it takes one that is left over for an orphan anyway.
                let _ = fs::remove_file(path.with_extension(suffix));
            }
            self.segments.remove(0);
        }
        Ok(())
    }
}

/// What lies in the directory.
#[derive(Debug)]
pub(super) struct Scan {
    pub segments: Vec<i64>,
    pub end: End,
    /// Bytes of whole batches in the last segment.
    pub size: u64,
    /// Bytes behind them, of an append that a crash cut off.
    pub torn: u64,
}

/// Reads every batch at or after `start` and changes nothing. See [`MetadataLog::open`].
pub(super) fn scan(dir: &Path, start: End, each: &mut OnBatch<'_>) -> Result<Scan, ControllerError> {
    let segments = segments(dir)?;
    let first = segments.first().copied().unwrap_or(start.offset);
    if first > start.offset {
        let reason = format!("the log begins at offset {first}, but records from {} on are missing", start.offset);
        return Err(ControllerError::Incomplete { dir: dir.into(), reason });
    }
    let end = End { offset: first, epoch: 0, timestamp: -1 };
    let mut scan = Scan { segments, end, size: 0, torn: 0 };
    for (at, base) in scan.segments.iter().enumerate() {
        let path = path_of(dir, *base);
        let bytes = fs::read(&path).map_err(ControllerError::io("read", &path))?;
        if scan.end.offset != *base {
            let reason = Damage::Offset { due: scan.end.offset, found: *base };
            return Err(ControllerError::damaged(&path, 0, reason));
        }
        let whole = read(&path, &bytes, start.offset, &mut scan.end, each)?;
        if whole < bytes.len() {
            let is_last = at + 1 == scan.segments.len();
            check_torn(&path, &bytes, whole, scan.end.offset, is_last)?;
        }
        (scan.size, scan.torn) = (whole as u64, (bytes.len() - whole) as u64);
    }
    Ok(scan)
}

/// Walks the batches of one segment from `end` on. Returns the bytes that were whole; `end` has moved to their end.
fn read(
    path: &Path,
    bytes: &[u8],
    start: i64,
    end: &mut End,
    each: &mut OnBatch<'_>,
) -> Result<usize, ControllerError> {
    let mut position = 0;
    while let Ok((batch, _)) = Batch::first(&bytes[position..]) {
        if !batch.crc_matches() {
            break;
        }
        let header = &batch.header;
        let damaged = |reason| Err(ControllerError::damaged(path, position, reason));
        if header.base_offset != end.offset {
            return damaged(Damage::Offset { due: end.offset, found: header.base_offset });
        }
        if header.leader_epoch < end.epoch {
            return damaged(Damage::Epoch { last: end.epoch, found: header.leader_epoch });
        }
        // A snapshot ends where a batch does, so a batch lies wholly before it or wholly behind.
        if header.base_offset >= start {
            each(&batch, path, position)?;
        }
        *end = End { offset: header.next_offset(), epoch: header.leader_epoch, timestamp: header.max_timestamp };
        position += header.size();
    }
    Ok(position)
}

/// Damage that has whole batches behind it is no torn tail, and is an error.
fn check_torn(path: &Path, bytes: &[u8], whole: usize, due: i64, is_last: bool) -> Result<(), ControllerError> {
    let reason = match Batch::first(&bytes[whole..]) {
        Ok(_) => Damage::Crc,
        Err(error) => Damage::Batch(error),
    };
    if !is_last || has_batch_behind(&bytes[whole..], due) {
        return Err(ControllerError::damaged(path, whole, reason));
    }
    Ok(())
}

/// Cuts what a crash left of the last append.
fn cut(path: &Path, size: u64) -> Result<(), ControllerError> {
    let file = OpenOptions::new().write(true).open(path).map_err(ControllerError::io("open", path))?;
    file.set_len(size).map_err(ControllerError::io("cut", path))?;
    file.sync_all().map_err(ControllerError::io("sync", path))
}

/// Whether a whole batch that could follow offset `due` stands anywhere behind the first byte.
fn has_batch_behind(bytes: &[u8], due: i64) -> bool {
    (1..bytes.len().saturating_sub(HEADER_SIZE)).any(|at| {
        let Ok((batch, _)) = Batch::first(&bytes[at..]) else { return false };
        batch.header.base_offset > due && batch.header.base_offset - due <= i64::from(u32::MAX) && batch.crc_matches()
    })
}

fn segments(dir: &Path) -> Result<Vec<i64>, ControllerError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(ControllerError::io("list", dir))? {
        let name = entry.map_err(ControllerError::io("list", dir))?.file_name();
        let base = name.to_str().and_then(|name| name.strip_suffix(".log")).filter(|digits| digits.len() == 20);
        found.extend(base.and_then(|digits| digits.parse::<i64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

fn path_of(dir: &Path, base: i64) -> PathBuf {
    dir.join(format!("{base:020}.log"))
}

fn create(dir: &Path, base: i64) -> Result<File, ControllerError> {
    let path = path_of(dir, base);
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
    let file = file.map_err(ControllerError::io("create", &path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(ControllerError::io("sync", dir))?;
    Ok(file)
}

fn open_active(dir: &Path, base: i64) -> Result<File, ControllerError> {
    let path = path_of(dir, base);
    OpenOptions::new().write(true).open(&path).map_err(ControllerError::io("open", &path))
}

#[cfg(test)]
mod tests {
    use wire::MetadataRecord;
    use wire::generated::messages::NoOpRecord;

    use super::super::framing::{At, encode};
    use super::super::testing::TempDir;
    use super::*;

    const NEW: End = End { offset: 0, epoch: 0, timestamp: -1 };

    fn append(log: &mut MetadataLog, epoch: i32, records: usize) {
        let at = At { offset: log.end().offset, epoch, now_ms: 5, metadata_version: 30 };
        let batches = encode(&vec![MetadataRecord::NoOp(NoOpRecord {}); records], at).unwrap();
        log.append(&batches.bytes, End { offset: batches.next_offset, epoch, timestamp: 5 }).unwrap();
    }

    fn open(dir: &Path, start: i64) -> Result<(MetadataLog, Vec<i64>), ControllerError> {
        let mut seen = Vec::new();
        let log = MetadataLog::open(dir, End { offset: start, ..NEW }, &mut |batch, _, _| {
            seen.push(batch.header.base_offset);
            Ok(())
        })?;
        Ok((log, seen))
    }

    /// Three batches at 0, 2 and 3, the last of a later epoch, a segment of its own.
    fn filled() -> TempDir {
        let dir = TempDir::new();
        let (mut log, _) = open(dir.path(), 0).unwrap();
        append(&mut log, 1, 2);
        append(&mut log, 1, 1);
        log.roll().unwrap();
        append(&mut log, 2, 3);
        dir
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let dir = filled();
        let (log, seen) = open(dir.path(), 0).unwrap();
        assert_eq!(seen, [0, 2, 3]);
        assert_eq!(log.end(), End { offset: 6, epoch: 2, timestamp: 5 });
        assert_eq!(open(dir.path(), 3).unwrap().1, [3]);
    }

    #[test]
    fn a_torn_tail_is_cut_at_every_length() {
        let dir = filled();
        let path = path_of(dir.path(), 3);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let (log, seen) = open(dir.path(), 0).unwrap();
            assert_eq!((log.end().offset, seen.len()), (3, 2), "{length}");
            assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        }
        let mut zeros = whole.clone();
        zeros[70..].fill(0);
        fs::write(&path, &zeros).unwrap();
        assert_eq!(open(dir.path(), 0).unwrap().0.end().offset, 3);
    }

    #[test]
    fn damage_in_the_middle_is_refused_and_left_alone() {
        let dir = filled();
        let path = path_of(dir.path(), 0);
        let whole = fs::read(&path).unwrap();
        for at in [3, 9, 17, 25, 65] {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(open(dir.path(), 0), Err(ControllerError::Damaged { .. })), "{at}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(open(dir.path(), 0), Err(ControllerError::Damaged { .. })));
    }

    #[test]
    fn a_log_without_its_beginning_needs_a_snapshot() {
        let dir = filled();
        let (mut log, _) = open(dir.path(), 0).unwrap();
        log.remove_below(2).unwrap();
        assert!(path_of(dir.path(), 0).exists());
        log.remove_below(3).unwrap();
        assert!(!path_of(dir.path(), 0).exists());
        assert!(matches!(open(dir.path(), 0), Err(ControllerError::Incomplete { .. })));
        assert_eq!(open(dir.path(), 3).unwrap().1, [3]);
        let (log, seen) = open(dir.path(), 100).unwrap();
        assert_eq!((log.end().offset, seen.len()), (100, 0));
    }
}
