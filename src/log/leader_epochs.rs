//! `leader-epoch-checkpoint`: which leader epoch began at which offset (Kafka's `LeaderEpochCheckpointFile`). What the
//! entries mean is decided in `state::epochs`.

use std::fmt::Write;
use std::path::Path;

use state::epochs::EpochEntry;

use super::checkpoints::Lines;
use super::error::LogError;
use super::replace::{Durable, read_text, replace_as};

pub const FILE_NAME: &str = "leader-epoch-checkpoint";
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The entries of a partition's directory, oldest first; none when there is no file, or an empty one, as a crash while it
/// was made may leave it, too.
///
/// Errors: `Text` names the line that can't be understood.
pub fn read(dir: &Path) -> Result<Vec<EpochEntry>, LogError> {
    let path = dir.join(FILE_NAME);
    let Some(text) = read_text(&path, FILE_BYTES_MAX)? else { return Ok(Vec::new()) };
    let mut lines = Lines::of(&path, &text)?;
    let mut entries = Vec::new();
    while let Some(line) = lines.next()? {
        let fields = line.split_once(' ').and_then(|(epoch, offset)| Some((epoch.parse().ok()?, offset.parse().ok()?)));
        let Some((epoch, start_offset)) = fields else { return Err(lines.error("no epoch and offset")) };
        entries.push(EpochEntry { epoch, start_offset });
    }
    Ok(entries)
}

/// Replaces the file.
pub fn write(dir: &Path, entries: &[EpochEntry], durable: Durable) -> Result<(), LogError> {
    replace_as(&dir.join(FILE_NAME), text(entries).as_bytes(), durable)
}

pub(super) fn text(entries: &[EpochEntry]) -> String {
    let mut text = format!("0\n{}\n", entries.len());
    for entry in entries {
        _ = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::TempDir;

    #[test]
    fn entries_come_back_and_damage_is_named() {
        let dir = TempDir::new();
        assert!(read(dir.path()).unwrap().is_empty());
        let entries = [EpochEntry { epoch: 0, start_offset: 0 }, EpochEntry { epoch: 7, start_offset: 1234 }];
        write(dir.path(), &entries, Durable::AtOnce).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE_NAME)).unwrap(), "0\n2\n0 0\n7 1234\n");
        assert_eq!(read(dir.path()).unwrap(), entries);
        std::fs::write(dir.path().join(FILE_NAME), "").unwrap();
        assert!(read(dir.path()).unwrap().is_empty());
        for (text, line) in [("1\n0\n", 1), ("0\nx\n", 2), ("0\n2\n0 0\n", 4), ("0\n1\n0\n", 3), ("\n", 1)] {
            std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
            let Err(LogError::Text { line: found, .. }) = read(dir.path()) else { panic!("{text:?}") };
            assert_eq!(found, line, "{text:?}");
        }
    }
}
