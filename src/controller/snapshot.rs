//! Snapshots `<end offset>-<epoch>.checkpoint` beside the metadata log: the whole image as records, between a header and
//! a footer (`RecordsSnapshotWriter`). A snapshot counts only if every byte of it is right.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use wire::generated::messages::{SnapshotFooterRecord, SnapshotHeaderRecord};
use wire::records::{Batch, ControlRecordType, Scratch};
use wire::{Decoder, Message, MetadataRecord};

use super::error::{ControllerError, Damage};
use super::framing::{At, Entry, control_value, decode, encode_control, encode_plain};

/// What a snapshot covers: every record before `offset`, the last of which was of `epoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SnapshotId {
    pub offset: i64,
    pub epoch: i32,
}

const SUFFIX: &str = ".checkpoint";
/// Records in a batch, as Kafka writes them.
const RECORDS_PER_BATCH: usize = 1024;

impl SnapshotId {
    pub(super) fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("{:020}-{:010}{SUFFIX}", self.offset, self.epoch))
    }

    fn parse(name: &str) -> Option<Self> {
        let (offset, epoch) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(offset, 20) || !digits(epoch, 10) {
            return None;
        }
        Some(Self { offset: offset.parse().ok()?, epoch: epoch.parse().ok()? })
    }
}

/// All snapshots, newest first, without `0-0`, which only carries the voters of a new quorum.
pub(super) fn list(dir: &Path) -> Result<Vec<SnapshotId>, ControllerError> {
    let mut found = names(dir)?.iter().filter_map(|name| SnapshotId::parse(name)).collect::<Vec<_>>();
    found.retain(|id| id.offset > 0);
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Removes snapshots that a crash left unfinished.
pub(super) fn remove_unfinished(dir: &Path) -> Result<(), ControllerError> {
    for name in names(dir)?.iter().filter(|name| name.ends_with(".checkpoint.part")) {
        let path = dir.join(name);
        fs::remove_file(&path).map_err(ControllerError::io("remove", &path))?;
    }
    Ok(())
}

fn names(dir: &Path) -> Result<Vec<String>, ControllerError> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(ControllerError::io("list", dir))?;
    Ok(entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Writes a snapshot durably: beside, sync, rename, sync the directory. `last_ms` is the timestamp of the last record it
/// covers; `control` follows the header in the same batch (the voters, where the quorum keeps them in the log).
pub(super) fn write(
    path: &Path,
    at: At,
    last_ms: i64,
    control: &[(ControlRecordType, Vec<u8>)],
    records: &[MetadataRecord],
) -> Result<(), ControllerError> {
    let header = SnapshotHeaderRecord { last_contained_log_timestamp: last_ms, ..Default::default() };
    let mut first = vec![(ControlRecordType::SnapshotHeader, control_value(&header))];
    first.extend_from_slice(control);
    let part = path.with_extension("checkpoint.part");
    let mut file = File::create(&part).map_err(ControllerError::io("create", &part))?;
    let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(ControllerError::io("write", &part));
    let mut at = At { offset: 0, ..at };
    let batches = encode_control(&first, at)?;
    put(&batches.bytes)?;
    at.offset = batches.next_offset;
    for chunk in records.chunks(RECORDS_PER_BATCH) {
        let (batches, _) = encode_plain(chunk, at)?;
        put(&batches.bytes)?;
        at.offset = batches.next_offset;
    }
    let footer = control_value(&SnapshotFooterRecord::default());
    put(&encode_control(&[(ControlRecordType::SnapshotFooter, footer)], at)?.bytes)?;
    file.sync_all().map_err(ControllerError::io("sync", &part))?;
    fs::rename(&part, path).map_err(ControllerError::io("rename to", path))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(ControllerError::io("sync", dir))
}

/// What a snapshot holds.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub records: Vec<MetadataRecord>,
    /// Timestamp of the last record of the log that it covers.
    pub last_ms: i64,
    pub has_voters: bool,
}

/// Reads and checks a whole snapshot.
pub(super) fn read(path: &Path) -> Result<Snapshot, ControllerError> {
    let bytes = fs::read(path).map_err(ControllerError::io("read", path))?;
    let mut scratch = Scratch::new();
    let mut snapshot = Snapshot { records: Vec::new(), last_ms: -1, has_voters: false };
    let (mut position, mut due, mut finished) = (0, 0, false);
    while position < bytes.len() {
        let damaged = |reason| ControllerError::damaged(path, position, reason);
        let (batch, _) = Batch::first(&bytes[position..]).map_err(|error| damaged(Damage::Batch(error)))?;
        if !batch.crc_matches() {
            return Err(damaged(Damage::Crc));
        }
        if batch.header.base_offset != due {
            return Err(damaged(Damage::Offset { due, found: batch.header.base_offset }));
        }
        let mut framed = !finished;
        decode(&batch, &mut scratch, (path, position), &mut |offset, entry| {
            match entry {
                Entry::Control(kind, value) => {
                    let is_header = kind == Some(ControlRecordType::SnapshotHeader);
                    framed &= (offset == 0) == is_header;
                    if is_header {
                        let header = SnapshotHeaderRecord::decode(&mut Decoder::new(value), 0);
                        snapshot.last_ms =
                            header.map_err(|error| Damage::Record { offset, error })?.last_contained_log_timestamp;
                    }
                    snapshot.has_voters |= kind == Some(ControlRecordType::KraftVoters);
                    finished |= kind == Some(ControlRecordType::SnapshotFooter);
                }
                Entry::Record(record) => {
                    framed &= offset > 0;
                    snapshot.records.push(record);
                }
            }
            Ok(())
        })?;
        if !framed {
            return Err(damaged(Damage::Frame));
        }
        due = batch.header.next_offset();
        position += batch.header.size();
    }
    if !finished {
        return Err(ControllerError::damaged(path, bytes.len(), Damage::Frame));
    }
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use wire::generated::messages::FeatureLevelRecord;

    use super::super::testing::TempDir;
    use super::*;

    const AT: At = At { offset: 0, epoch: 3, now_ms: 6, metadata_version: 30 };

    fn features(count: usize) -> Vec<MetadataRecord> {
        let feature = |at| FeatureLevelRecord { name: format!("f{at}"), feature_level: 1 };
        (0..count).map(|at| MetadataRecord::FeatureLevel(feature(at))).collect()
    }

    #[test]
    fn a_snapshot_is_read_as_written() {
        let dir = TempDir::new();
        for count in [0, 1, 1024, 2500] {
            let path = SnapshotId { offset: 7, epoch: 3 }.path(dir.path());
            write(&path, AT, 5, &[], &features(count)).unwrap();
            let found = read(&path).unwrap();
            assert_eq!((found.records, found.last_ms), (features(count), 5));
        }
        fs::write(dir.path().join("00000000000000000009-0000000003.checkpoint.part"), "x").unwrap();
        fs::write(dir.path().join("00000000000000000000-0000000000.checkpoint"), "x").unwrap();
        remove_unfinished(dir.path()).unwrap();
        assert_eq!(list(dir.path()).unwrap(), [SnapshotId { offset: 7, epoch: 3 }]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_snapshot_with_any_wrong_byte_does_not_count() {
        let dir = TempDir::new();
        let path = SnapshotId { offset: 7, epoch: 3 }.path(dir.path());
        write(&path, AT, 5, &[], &features(3)).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&path).is_err(), "{length}");
        }
        // The leader epoch of a batch (bytes 12 to 15) is not under its CRC.
        for at in (0..whole.len()).filter(|at| *at < 12 || *at > 15) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let same = read(&path).is_ok_and(|snapshot| snapshot.records == features(3));
            assert!(read(&path).is_err() || same, "{at}");
        }
    }
}
