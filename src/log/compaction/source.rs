//! Reading the batches of a segment whole and checked: what is damaged is never copied.

use std::path::Path;

use shards::File;
use wire::records::{Batch, BatchError, BatchHeader, HEADER_SIZE};

use crate::log::error::{Damage, ReadError};
use crate::log::names::{LOG, offset_file};
use crate::log::walk::{crc_of, read_error};

/// Where the bytes under the CRC begin.
const CRC_START: u64 = 21;

/// A segment to be cleaned, as the log knew it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) base: i64,
    /// Where the next segment begins; of the active one, where its written part ends.
    pub(crate) next_offset: i64,
    /// Bytes to read.
    pub(crate) size: u64,
}

impl Source {
    pub(crate) fn open(&self, dir: &Path) -> Result<File, ReadError> {
        let path = offset_file(dir, self.base, LOG);
        File::open_read(&path).map_err(|error| ReadError::Io { path, position: 0, error })
    }
}

/// Reads one source from its beginning. Memory is one buffer, which grows for a batch that is larger once its CRC was
/// found right.
#[derive(Debug)]
pub(crate) struct BatchReader {
    file: File,
    position: u64,
    end: u64,
    /// The next batch begins here or behind, and ends before `next_offset`.
    expected: i64,
    next_offset: i64,
    buffer: Vec<u8>,
    /// Position of the buffer's first byte.
    buffer_at: u64,
    filled: usize,
}

impl BatchReader {
    pub(crate) fn open(dir: &Path, source: &Source, buffer_bytes: usize) -> Result<Self, ReadError> {
        let file = source.open(dir)?;
        let buffer = vec![0; buffer_bytes.max(HEADER_SIZE)];
        let Source { base, next_offset, size } = *source;
        Ok(Self { file, position: 0, end: size, expected: base, next_offset, buffer, buffer_at: 0, filled: 0 })
    }

    /// File and position of the next batch, for errors about it.
    pub(crate) fn place(&self) -> (File, u64) {
        (self.file.clone(), self.position)
    }

    /// Whether the batch with this header, the next one, is the last.
    pub(crate) fn ends_with(&self, header: &BatchHeader) -> bool {
        self.position + header.size() as u64 == self.end
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.position >= self.end
    }

    /// The header of the next batch, which is thereby known to lie inside of the source, in its place.
    pub(crate) fn header(&mut self) -> Result<Option<BatchHeader>, ReadError> {
        if self.is_at_end() {
            return Ok(None);
        }
        let left = self.end - self.position;
        self.fill(HEADER_SIZE.min(left as usize))?;
        let at = (self.position - self.buffer_at) as usize;
        let header =
            BatchHeader::parse(&self.buffer[at..self.filled]).map_err(|error| self.damaged(Damage::Batch(error)))?;
        if header.size() as u64 > left {
            let torn = BatchError::Torn { need: header.size(), have: left as usize };
            return Err(self.damaged(Damage::Batch(torn)));
        }
        let in_place = header.base_offset >= self.expected
            && header.last_offset() >= header.base_offset
            && header.last_offset() < self.next_offset;
        if !in_place {
            return Err(self.damaged(Damage::Offset { expected: self.expected, found: header.base_offset }));
        }
        Ok(Some(header))
    }

    /// Steps over the batch with this header, the next one.
    pub(crate) fn skip(&mut self, header: &BatchHeader) {
        self.position += header.size() as u64;
        self.expected = header.next_offset();
    }

    /// The batch with this header, the next one, its CRC compared; steps behind it.
    pub(crate) fn batch(&mut self, header: &BatchHeader) -> Result<Batch<'_>, ReadError> {
        let size = header.size();
        if size > self.buffer.len() {
            let len = size as u64 - CRC_START;
            let crc = crc_of(&self.file, self.position + CRC_START, len, &mut self.buffer)?;
            (self.buffer_at, self.filled) = (self.position, 0);
            if crc != header.crc {
                return Err(self.damaged(Damage::Crc));
            }
            self.buffer.resize(size, 0);
        }
        self.fill(size)?;
        let at = (self.position - self.buffer_at) as usize;
        if !(Batch { header: *header, bytes: &self.buffer[at..at + size] }).crc_matches() {
            return Err(self.damaged(Damage::Crc));
        }
        self.skip(header);
        Ok(Batch { header: *header, bytes: &self.buffer[at..at + size] })
    }

    /// Has at least `count` bytes from `position` in the buffer, which is long enough.
    fn fill(&mut self, count: usize) -> Result<(), ReadError> {
        let at = self.position - self.buffer_at;
        let have = (self.filled as u64).saturating_sub(at) as usize;
        if have >= count {
            return Ok(());
        }
        let from = at.min(self.filled as u64) as usize;
        self.buffer.copy_within(from..self.filled, 0);
        (self.buffer_at, self.filled) = (self.position, have);
        let wanted = ((self.end - self.position) as usize).min(self.buffer.len());
        let read_at = self.position + have as u64;
        self.file.read_exact_at(&mut self.buffer[have..wanted], read_at).map_err(read_error(&self.file, read_at))?;
        self.filled = wanted;
        Ok(())
    }

    pub(crate) fn damaged(&self, damage: Damage) -> ReadError {
        ReadError::Corrupt { path: self.file.path().to_path_buf(), position: self.position, damage }
    }
}
