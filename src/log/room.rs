//! Room ahead: blocks that are set aside behind the end of a busy segment. ext4 reserves blocks one by one as a file
//! grows, a third of what a large append costs; those that were set aside in one piece only have to be filled. The length
//! of the file stays what was written, and what is left over is given back when the segment ends or rests.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use shards::File;

/// A smaller segment gets none: most partitions have little, and there may be many of them.
const WORTH_BYTES: u64 = 16 << 20;
/// Bytes of a piece at most. It is a quarter of what the segment has, so that no more than that is ever set aside.
const PIECE_BYTES_MAX: u64 = 16 << 20;
const PIECE_PART: u64 = 4;

/// Less than this is the file system's own.
const LEFT_OVER_BYTES: u64 = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Room {
    /// Behind the last byte of it; 0 for none.
    until: u64,
    /// The file system is full, or gains nothing by it.
    refused: bool,
}

impl Room {
    /// Sees to it that a write up to `end` finds room. `most`: bytes that the segment will have at most. That there is
    /// none is no error: a write finds out for itself.
    pub(super) fn extend(&mut self, file: &File, end: u64, most: u64) {
        let Some((position, len)) = self.due(end, most) else { return };
        match file.set_aside(position, len) {
            Ok(()) => self.until = position + len,
            Err(_) => self.refused = true,
        }
    }

    /// The piece that is due, as position and length.
    fn due(&self, end: u64, most: u64) -> Option<(u64, u64)> {
        if self.refused || end < WORTH_BYTES || end <= self.until {
            return None;
        }
        let until = (end + (end / PIECE_PART).min(PIECE_BYTES_MAX)).min(most);
        let position = self.until.max(end);
        (until > position).then(|| (position, until - position))
    }

    /// Gives back what lies behind `size` bytes, all that the file has.
    pub(super) fn give_back(&mut self, file: impl FnOnce() -> io::Result<File>, size: u64) -> io::Result<()> {
        if self.until > size {
            file()?.set_len(size)?;
        }
        *self = Self::default();
        Ok(())
    }
}

/// Gives back what a crash has left. It is only space: a try that fails is not worth an error.
pub(super) fn give_back_left_over(path: &Path, metadata: &Metadata) {
    const UNIT: u64 = 512;
    if metadata.blocks() * UNIT > metadata.len() + LEFT_OVER_BYTES
        && let Ok(file) = File::open(path, OpenOptions::new().write(true))
    {
        _ = file.set_len(metadata.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::topic::TopicConfig;
    use crate::log::testing::{TempDir, append, batch, create, open_clean, open_unclean, read_all};

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_busy_segment_gets_pieces_of_a_quarter_of_it_and_none_behind_its_end() {
        let mut room = Room::default();
        assert_eq!(room.due(15 * MIB, 1024 * MIB), None);
        assert_eq!(room.due(16 * MIB, 1024 * MIB), Some((16 * MIB, 4 * MIB)));
        room.until = 20 * MIB;
        assert_eq!(room.due(20 * MIB, 1024 * MIB), None);
        assert_eq!(room.due(20 * MIB + 8, 1024 * MIB), Some((20 * MIB + 8, 5 * MIB + 2)));
        assert_eq!(room.due(800 * MIB, 1024 * MIB), Some((800 * MIB, 16 * MIB)));
        assert_eq!(room.due(1020 * MIB, 1024 * MIB), Some((1020 * MIB, 4 * MIB)));
        assert_eq!(room.due(1024 * MIB, 1024 * MIB), None);
        assert_eq!(room.due(1025 * MIB, 1024 * MIB), None, "a batch larger than that");
        room.refused = true;
        assert_eq!(room.due(800 * MIB, 1024 * MIB), None);
    }

    /// Bytes on the device that are no bytes of the file, but for its last block and the file system's own.
    fn left_over(path: &Path) -> u64 {
        let metadata = std::fs::metadata(path).unwrap();
        (metadata.blocks() * 512).saturating_sub(metadata.len() + 64 * 1024)
    }

    #[test]
    fn what_is_left_over_is_given_back_at_the_end_and_after_a_crash() {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        let large = batch(&[1], 900 * 1024);
        let config = TopicConfig { segment_bytes: 19 * large.len() as u32, ..TopicConfig::default() };
        let mut log = create(&path, &config);
        let segment = path.join("00000000000000000000.log");
        for _ in 0..19 {
            append(&mut log, large.clone());
            assert_eq!(std::fs::metadata(&segment).unwrap().len(), log.size_bytes(), "the file has what was written");
        }
        append(&mut log, large.clone());
        assert_eq!((log.segment_count(), left_over(&segment)), (2, 0), "after the roll");

        let segment = path.join("00000000000000000019.log");
        let config = TopicConfig::default();
        log.set_config(&config);
        (0..20).for_each(|_| _ = append(&mut log, large.clone()));
        let all = read_all(&log, 0, 8 * MIB);
        drop(log);
        let mut log = open_unclean(&path, &config).unwrap();
        assert!(read_all(&log, 0, 8 * MIB) == all);
        assert_eq!(left_over(&segment), 0, "after a crash");
        append(&mut log, large.clone());
        log.close_clean().unwrap();
        assert_eq!(left_over(&segment), 0, "after the end");
        assert_eq!(open_clean(&path, &config).unwrap().log_end_offset(), 41);
    }
}
