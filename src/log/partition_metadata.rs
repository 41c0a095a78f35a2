//! `partition.metadata`: the topic id that a partition's directory belongs to (KIP-516, Kafka's `PartitionMetadataFile`).

use std::path::Path;

use wire::Uuid;

use super::error::LogError;
use super::replace::{read_text, replace};

pub const FILE_NAME: &str = "partition.metadata";
const FILE_BYTES_MAX: u64 = 4096;

/// The topic id; `None` when there is no file, or an empty one, as a crash while it was made may leave it.
pub fn read(dir: &Path) -> Result<Option<Uuid>, LogError> {
    let path = dir.join(FILE_NAME);
    let Some(text) = read_text(&path, FILE_BYTES_MAX)? else { return Ok(None) };
    if text.is_empty() {
        return Ok(None);
    }
    let damaged = |line, reason| LogError::Text { path: path.clone(), line, reason };
    let mut lines = text.lines();
    if lines.next() != Some("version: 0") {
        return Err(damaged(1, "the version is not 0"));
    }
    let id = lines.next().and_then(|line| line.strip_prefix("topic_id: ")).and_then(|id| id.parse::<Uuid>().ok());
    match id {
        Some(id) if id != Uuid::ZERO => Ok(Some(id)),
        _ => Err(damaged(2, "no topic id")),
    }
}

/// Replaces the file durably. Comes before the first append, so that no record is ever without its topic.
pub fn write(dir: &Path, topic_id: Uuid) -> Result<(), LogError> {
    replace(&dir.join(FILE_NAME), text(topic_id).as_bytes())
}

pub(super) fn text(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::TempDir;

    #[test]
    fn the_id_comes_back() {
        let dir = TempDir::new();
        assert_eq!(read(dir.path()).unwrap(), None);
        let id = Uuid(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
        write(dir.path(), id).unwrap();
        let text = std::fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
        assert_eq!(text, format!("version: 0\ntopic_id: {id}"));
        assert_eq!(read(dir.path()).unwrap(), Some(id));
        std::fs::write(dir.path().join(FILE_NAME), "").unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        for text in ["version: 1\ntopic_id: x", "version: 0", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA"] {
            std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
            assert!(matches!(read(dir.path()), Err(LogError::Text { .. })), "{text:?}");
        }
    }
}
