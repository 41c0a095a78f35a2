//! Walking over the batches of a segment file: by their headers only, or with every byte checked.

use std::io;

use shards::File;
use state::producer::Marker;
use wire::records::{Batch, BatchError, BatchHeader, ControlRecordType, HEADER_SIZE, Scratch, control_record_type};

use super::error::{Damage, ReadError};

/// The most bytes the records of one batch may unfold to when they have to be looked into.
pub(crate) const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Control batches hold one small record.
const CONTROL_BATCH_BYTES_MAX: usize = 64 * 1024;
/// Where the bytes under the CRC begin.
const CRC_START: usize = 21;

/// A batch of a segment and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

impl Located {
    pub(crate) fn size(&self) -> u64 {
        self.header.size() as u64
    }

    pub(crate) fn end(&self) -> u64 {
        self.position + self.size()
    }
}

/// Yields the batch headers of a file from a position on, reading `step` bytes at a time; records are stepped over.
pub(crate) struct HeaderWalk {
    file: File,
    position: u64,
    end: u64,
    step: usize,
    buffer: Vec<u8>,
    /// Position of the buffer's first byte.
    buffer_at: u64,
}

impl HeaderWalk {
    /// From `position`, where a batch begins, to `end`, where one ends.
    pub(crate) fn new(file: File, position: u64, end: u64, step: usize) -> Self {
        Self { file, position, end, step: step.max(HEADER_SIZE), buffer: Vec::new(), buffer_at: position }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The next batch; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Located>, ReadError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let position = self.position;
        let damaged =
            |error| ReadError::Corrupt { path: self.file.path().to_path_buf(), position, damage: Damage::Batch(error) };
        let mut at = (position - self.buffer_at) as usize;
        if self.buffer.len().saturating_sub(at) < HEADER_SIZE {
            let length = (self.end - position).min(self.step as u64) as usize;
            self.buffer.resize(length, 0);
            let read = self.file.read_at_most(&mut self.buffer, position).map_err(read_error(&self.file, position))?;
            self.buffer.truncate(read);
            self.buffer_at = position;
            at = 0;
        }
        let header = BatchHeader::parse(&self.buffer[at..]).map_err(damaged)?;
        let located = Located { position, header };
        if located.end() > self.end {
            let have = (self.end - position) as usize;
            return Err(damaged(BatchError::Torn { need: header.size(), have }));
        }
        self.position = located.end();
        Ok(Some(located))
    }
}

pub(crate) fn read_error(file: &File, position: u64) -> impl FnOnce(io::Error) -> ReadError {
    move |error| ReadError::Io { path: file.path().to_path_buf(), position, error }
}

/// All bytes of a batch whose header was read; its size is thereby known to lie inside of the file.
pub(crate) fn read_batch(file: &File, located: &Located, bytes: &mut Vec<u8>) -> Result<(), ReadError> {
    bytes.resize(located.header.size(), 0);
    file.read_exact_at(bytes, located.position).map_err(read_error(file, located.position))
}

/// What a control batch says about a transaction; `None` for every other batch.
pub(crate) fn marker(header: &BatchHeader, bytes: &[u8]) -> Option<Marker> {
    if !header.is_control() || !header.has_producer_id() {
        return None;
    }
    let mut scratch = Scratch::default();
    let batch = Batch { header: *header, bytes };
    let record = batch.records(&mut scratch, CONTROL_BATCH_BYTES_MAX).ok()?.next()?.ok()?;
    let commit = match control_record_type(record.key?)? {
        ControlRecordType::Commit => true,
        ControlRecordType::Abort => false,
        _ => return None,
    };
    // int16 version, int32 coordinator epoch (`EndTransactionMarker`).
    let epoch = record.value?.get(2..6)?;
    Some(Marker { commit, coordinator_epoch: i32::from_be_bytes(epoch.try_into().ok()?) })
}

/// As [`marker`], of a batch of which only the header was read.
pub(crate) fn read_marker(file: &File, located: &Located) -> Result<Option<Marker>, ReadError> {
    if !located.header.is_control() || located.header.size() > CONTROL_BATCH_BYTES_MAX {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    read_batch(file, located, &mut bytes)?;
    Ok(marker(&located.header, &bytes))
}

/// What [`CheckedWalk`] met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    Batch(Located, Option<Marker>),
    /// The file ends here, behind a whole batch or at its beginning.
    End,
    /// No whole, undamaged batch begins at `position`.
    Bad {
        position: u64,
        damage: Damage,
    },
}

/// Yields the batches of a file with every CRC checked, in big sequential reads. Memory stays at one buffer: a batch
/// larger than that is checked piece by piece.
pub(crate) struct CheckedWalk {
    file: File,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
    filled: usize,
}

impl CheckedWalk {
    const BUFFER_BYTES: usize = 2 * 1024 * 1024;

    /// From `position` to `end`, the length of the file.
    pub(crate) fn new(file: File, position: u64, end: u64) -> Self {
        let buffer = vec![0; (end - position).min(Self::BUFFER_BYTES as u64) as usize];
        Self { file, position, end, buffer, buffer_at: position, filled: 0 }
    }

    pub(crate) fn next(&mut self) -> Result<Met, ReadError> {
        let left = self.end - self.position;
        if left == 0 {
            return Ok(Met::End);
        }
        let head = self.bytes(left.min(HEADER_SIZE as u64) as usize)?;
        let header = match BatchHeader::parse(head) {
            Ok(header) => header,
            Err(error) => return Ok(self.bad(Damage::Batch(error))),
        };
        let located = Located { position: self.position, header };
        if located.size() > left {
            let torn = BatchError::Torn { need: header.size(), have: left as usize };
            return Ok(self.bad(Damage::Batch(torn)));
        }
        let (crc_matches, marker) = if header.size() <= self.buffer.len() {
            let bytes = self.bytes(header.size())?;
            (Batch { header, bytes }.crc_matches(), marker(&header, bytes))
        } else {
            (self.large_crc_matches(&header)?, None)
        };
        if !crc_matches {
            return Ok(self.bad(Damage::Crc));
        }
        self.position = located.end();
        Ok(Met::Batch(located, marker))
    }

    fn bad(&self, damage: Damage) -> Met {
        Met::Bad { position: self.position, damage }
    }

    /// The next `count` bytes, of which there are as many, and which fit into the buffer.
    fn bytes(&mut self, count: usize) -> Result<&[u8], ReadError> {
        let mut at = (self.position - self.buffer_at) as usize;
        if at + count > self.filled {
            let kept = self.filled.saturating_sub(at);
            if kept > 0 {
                self.buffer.copy_within(at..self.filled, 0);
            }
            self.buffer_at = self.position;
            let room = &mut self.buffer[kept..];
            let wanted = room.len().min((self.end - self.position) as usize - kept);
            let from = self.position + kept as u64;
            self.file.read_exact_at(&mut room[..wanted], from).map_err(read_error(&self.file, from))?;
            self.filled = kept + wanted;
            at = 0;
        }
        Ok(&self.buffer[at..at + count])
    }

    fn large_crc_matches(&mut self, header: &BatchHeader) -> Result<bool, ReadError> {
        let size = header.size() as u64;
        let crc = crc_of(&self.file, self.position + CRC_START as u64, size - CRC_START as u64, &mut self.buffer)?;
        // The buffer was used for something else.
        (self.buffer_at, self.filled) = (self.position + size, 0);
        Ok(crc == header.crc)
    }
}

/// CRC-32C of `len` bytes of `file` from `position`, read through `buffer`.
pub(crate) fn crc_of(file: &File, position: u64, len: u64, buffer: &mut [u8]) -> Result<u32, ReadError> {
    let (mut crc, mut done) = (0, 0);
    while done < len {
        let count = (len - done).min(buffer.len() as u64) as usize;
        let piece = &mut buffer[..count];
        file.read_exact_at(piece, position + done).map_err(read_error(file, position + done))?;
        crc = crc32c::crc32c_append(crc, piece);
        done += count as u64;
    }
    Ok(crc)
}

/// Looks for a whole, undamaged batch that begins at `from` or behind and whose offset lies in `offsets`. For telling a torn
/// tail from damage in the middle: bytes in between may be anything, so every position is looked at.
///
/// Each look-alike costs a checksum over what it claims to be; more of that than `CHECKED_TIMES_MAX` times the bytes
/// searched counts as found, so that hostile bytes cost no more than that and are never cut away unseen.
pub(crate) fn find_batch(
    file: &File,
    from: u64,
    end: u64,
    offsets: std::ops::RangeInclusive<i64>,
) -> Result<Option<u64>, ReadError> {
    const CHECKED_TIMES_MAX: u64 = 64;
    const STEP: usize = 1024 * 1024;
    let mut window = vec![0; STEP.min(end.saturating_sub(from) as usize)];
    let mut piece = Vec::new();
    let mut budget = end.saturating_sub(from).saturating_mul(CHECKED_TIMES_MAX).max(1024 * 1024);
    let mut position = from;
    while end.saturating_sub(position) >= HEADER_SIZE as u64 {
        let count = (end - position).min(window.len() as u64) as usize;
        file.read_exact_at(&mut window[..count], position).map_err(read_error(file, position))?;
        let candidates = count - (HEADER_SIZE - 1);
        for at in 0..candidates {
            // Magic, and no attribute bits that nobody writes: most bytes end here.
            if window[at + 16] != 2 || window[at + 21] != 0 {
                continue;
            }
            let Some(header) = plausible(&window[at..], &offsets, end - position - at as u64) else { continue };
            let len = (header.size() - CRC_START) as u64;
            let Some(left) = budget.checked_sub(len) else { return Ok(Some(position + at as u64)) };
            budget = left;
            piece.resize(STEP.min(len as usize).max(1), 0);
            if crc_of(file, position + (at + CRC_START) as u64, len, &mut piece)? == header.crc {
                return Ok(Some(position + at as u64));
            }
        }
        position += candidates as u64;
    }
    Ok(None)
}

/// The header at the start of `bytes` if it could be that of a batch in this place.
fn plausible(bytes: &[u8], offsets: &std::ops::RangeInclusive<i64>, left: u64) -> Option<BatchHeader> {
    let header = BatchHeader::parse(bytes).ok()?;
    let count_fits =
        header.records_count >= 0 && i64::from(header.records_count) <= i64::from(header.last_offset_delta) + 1;
    let fits = header.size() as u64 <= left && header.last_offset_delta >= 0 && header.leader_epoch >= -1;
    (fits && count_fits && header.codec().is_ok() && offsets.contains(&header.base_offset)).then_some(header)
}
