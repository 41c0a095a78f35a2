//! `.snapshot` files: the producers of a partition as of before the offset in the name (Kafka's `ProducerStateManager`).
//! One is written at every roll and at a clean close.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use shards::File;
use state::producer::ProducerSnapshotEntry;
use wire::records::crc32c;

use super::error::LogError;
use super::names::{DELETED, SNAPSHOT, offset_file, parse_offset_file};
use super::replace::remove;

const VERSION: i16 = 1;
/// Version, CRC and count.
const HEADER_BYTES: usize = 10;
/// Where the bytes under the CRC begin.
const CRC_START: usize = 6;
const ENTRY_BYTES: usize = 46;
/// About 1.4 million producers.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The producers as of before `offset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub offset: i64,
    pub entries: Vec<ProducerSnapshotEntry>,
}

/// The content of a snapshot file.
pub fn encode(entries: &[ProducerSnapshotEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + entries.len() * ENTRY_BYTES);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend((entries.len() as u32).to_be_bytes());
    for entry in entries {
        bytes.extend(entry.producer_id.to_be_bytes());
        bytes.extend(entry.epoch.to_be_bytes());
        bytes.extend(entry.last_sequence.to_be_bytes());
        bytes.extend(entry.last_offset.to_be_bytes());
        bytes.extend(entry.offset_delta.to_be_bytes());
        bytes.extend(entry.timestamp.to_be_bytes());
        bytes.extend(entry.coordinator_epoch.to_be_bytes());
        bytes.extend(entry.current_txn_first_offset.to_be_bytes());
    }
    let crc = crc32c(&bytes[CRC_START..]);
    bytes[2..CRC_START].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Entries of a snapshot file; `None` when version, CRC or length are not right.
pub fn decode(bytes: &[u8]) -> Option<Vec<ProducerSnapshotEntry>> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [v0, v1, c0, c1, c2, c3, n0, n1, n2, n3] = *header;
    let (version, crc) = (i16::from_be_bytes([v0, v1]), u32::from_be_bytes([c0, c1, c2, c3]));
    let count = u32::from_be_bytes([n0, n1, n2, n3]) as usize;
    if version != VERSION || crc32c(&bytes[CRC_START..]) != crc || count.checked_mul(ENTRY_BYTES) != Some(rest.len()) {
        return None;
    }
    let (entries, _) = rest.as_chunks::<ENTRY_BYTES>();
    Some(entries.iter().map(decode_entry).collect())
}

fn decode_entry(bytes: &[u8; ENTRY_BYTES]) -> ProducerSnapshotEntry {
    let long = |at: usize| i64::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]));
    let int = |at: usize| i32::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]));
    ProducerSnapshotEntry {
        producer_id: long(0),
        epoch: i16::from_be_bytes([bytes[8], bytes[9]]),
        last_sequence: int(10),
        last_offset: long(14),
        offset_delta: int(22),
        timestamp: long(26),
        coordinator_epoch: int(34),
        current_txn_first_offset: long(38),
    }
}

/// Writes a snapshot of what is below `offset`. It is whole after a crash or missing, but not synced yet: the returned
/// file has to be before the recovery point moves past the offset (KAFKA-15046).
pub(crate) fn write(dir: &Path, offset: i64, bytes: &[u8]) -> Result<File, LogError> {
    let path = offset_file(dir, offset, SNAPSHOT);
    let beside = offset_file(dir, offset, ".snapshot.tmp");
    let options = fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).clone();
    let file = File::open(&beside, &options).map_err(LogError::io("create", &beside))?;
    file.write_all_at(bytes, 0).map_err(LogError::io("write", &beside))?;
    fs::rename(&beside, &path).map_err(LogError::io("rename to", &path))?;
    Ok(file)
}

/// The newest snapshot above `log_start` and of at most `offset` that is whole. Newer ones that are damaged are removed.
/// One at or below the log start tells of nothing that is still there (Kafka's `ProducerStateManager.truncateAndReload`).
pub(crate) fn newest_valid(dir: &Path, log_start: i64, offset: i64) -> Result<Option<Snapshot>, LogError> {
    let in_range = |candidate: &i64| *candidate > log_start && *candidate <= offset;
    for candidate in list(dir)?.into_iter().rev().filter(in_range) {
        let path = offset_file(dir, candidate, SNAPSHOT);
        if let Some(entries) = read(&path)? {
            return Ok(Some(Snapshot { offset: candidate, entries }));
        }
        remove(&path)?;
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Option<Vec<ProducerSnapshotEntry>>, LogError> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(LogError::io("open", path))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(LogError::io("read", path))?;
    Ok(decode(&bytes))
}

/// Offsets of the snapshots in `dir`, smallest first.
pub(crate) fn list(dir: &Path) -> Result<Vec<i64>, LogError> {
    let mut offsets = Vec::new();
    for entry in fs::read_dir(dir).map_err(LogError::io("list", dir))? {
        let name = entry.map_err(LogError::io("list", dir))?.file_name();
        if let Some((offset, SNAPSHOT)) = name.to_str().and_then(parse_offset_file) {
            offsets.push(offset);
        }
    }
    offsets.sort_unstable();
    Ok(offsets)
}

/// Removes the snapshots above `offset`: what they describe is not in the log.
pub(crate) fn remove_above(dir: &Path, offset: i64) -> Result<(), LogError> {
    for above in list(dir)?.into_iter().filter(|snapshot| *snapshot > offset) {
        remove(&offset_file(dir, above, SNAPSHOT))?;
    }
    Ok(())
}

/// Removes snapshots nobody will start from: all but those at the base of a segment and the newest one, if it is not
/// older than the active segment (Kafka's `removeStraySnapshots`).
pub(crate) fn remove_strays(dir: &Path, bases: &[i64]) -> Result<(), LogError> {
    let snapshots = list(dir)?;
    for stray in strays(&snapshots, bases) {
        remove(&offset_file(dir, stray, SNAPSHOT))?;
    }
    Ok(())
}

/// Which of `snapshots` are strays; both lists rise.
fn strays(snapshots: &[i64], bases: &[i64]) -> Vec<i64> {
    let mut strays: Vec<i64> =
        snapshots.iter().copied().filter(|offset| bases.binary_search(offset).is_err()).collect();
    if strays.last().is_some_and(|newest| bases.last().is_none_or(|active| newest >= active)) {
        strays.pop();
    }
    strays
}

/// Sets the snapshot of a segment that goes aside, as the segment's own files are.
pub(crate) fn set_aside(dir: &Path, base: i64) -> Result<Option<PathBuf>, LogError> {
    set_aside_file(&offset_file(dir, base, SNAPSHOT))
}

/// Renames a file to `<name>.deleted`, if it is there.
pub(crate) fn set_aside_file(path: &Path) -> Result<Option<PathBuf>, LogError> {
    let mut name = path.as_os_str().to_owned();
    name.push(DELETED);
    let aside = PathBuf::from(name);
    match fs::rename(path, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::io("rename", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::TempDir;

    fn entry(producer_id: i64) -> ProducerSnapshotEntry {
        ProducerSnapshotEntry {
            producer_id,
            epoch: 3,
            last_sequence: 41,
            last_offset: 1000,
            offset_delta: 9,
            timestamp: 1_700_000_000_000,
            coordinator_epoch: -1,
            current_txn_first_offset: -1,
        }
    }

    #[test]
    fn entries_come_back_and_every_flipped_bit_is_noticed() {
        let entries = [entry(1), entry(i64::MAX)];
        let bytes = encode(&entries);
        assert_eq!(bytes.len(), 10 + 2 * 46);
        assert_eq!(decode(&bytes).as_deref(), Some(&entries[..]));
        assert_eq!(decode(&encode(&[])), Some(vec![]));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn a_damaged_snapshot_is_skipped_and_removed() {
        let dir = TempDir::new();
        write(dir.path(), 10, &encode(&[entry(1)])).unwrap();
        write(dir.path(), 20, &encode(&[entry(2)])).unwrap();
        write(dir.path(), 30, b"no snapshot").unwrap();
        let newest = newest_valid(dir.path(), 0, i64::MAX).unwrap();
        assert_eq!(newest, Some(Snapshot { offset: 20, entries: vec![entry(2)] }));
        assert_eq!(list(dir.path()).unwrap(), [10, 20]);
        assert_eq!(newest_valid(dir.path(), 0, 19).unwrap().unwrap().offset, 10);
        assert_eq!(newest_valid(dir.path(), 10, 19).unwrap(), None);
        assert_eq!(newest_valid(dir.path(), 0, 9).unwrap(), None);
        remove_above(dir.path(), 10).unwrap();
        assert_eq!(list(dir.path()).unwrap(), [10]);
    }

    #[test]
    fn only_snapshots_with_a_use_stay() {
        assert!(strays(&[10, 20, 30], &[10, 20, 30]).is_empty());
        assert_eq!(strays(&[5, 10, 15, 25], &[10, 20]), [5, 15]);
        assert_eq!(strays(&[5, 15], &[10, 20]), [5, 15]);
        assert_eq!(strays(&[7, 20], &[20]), [7]);
        assert_eq!(strays(&[7, 9], &[]), [7]);
        assert!(strays(&[], &[1]).is_empty());
    }
}
