//! The offset checkpoints of a log directory (Kafka's `OffsetCheckpointFile`): one line of `<topic> <partition> <offset>`
//! for each partition, after a version and a count.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::error::LogError;
use super::names::is_topic_name;
use super::replace::{read_text, replace};

/// All below is synced.
pub const RECOVERY_POINT: &str = "recovery-point-offset-checkpoint";
/// High watermarks.
pub const REPLICATION: &str = "replication-offset-checkpoint";
/// Log start offsets of partitions whose start lies behind the base of their first segment.
pub const LOG_START: &str = "log-start-offset-checkpoint";
/// First offset that compaction has not seen, of partitions where it has worked.
pub const CLEANER: &str = "cleaner-offset-checkpoint";

const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// One line of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checkpoint {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

/// The lines of `<dir>/<name>`; none when there is no file.
///
/// Errors: `Text` names the first line that can't be understood; what a checkpoint says can then not be relied on, and
/// the caller decides what stands in for it (recovery from offset 0, high watermark at the log start).
pub fn read(dir: &Path, name: &str) -> Result<Vec<Checkpoint>, LogError> {
    let path = dir.join(name);
    let Some(text) = read_text(&path, FILE_BYTES_MAX)? else { return Ok(Vec::new()) };
    let mut lines = Lines::of(&path, &text)?;
    let mut checkpoints = Vec::new();
    while let Some(line) = lines.next()? {
        let Some(checkpoint) = parse(line) else { return Err(lines.error("no topic, partition and offset")) };
        checkpoints.push(checkpoint);
    }
    Ok(checkpoints)
}

/// Replaces `<dir>/<name>` durably.
pub fn write(dir: &Path, name: &str, checkpoints: &[Checkpoint]) -> Result<(), LogError> {
    let mut text = format!("0\n{}\n", checkpoints.len());
    for Checkpoint { topic, partition, offset } in checkpoints {
        _ = writeln!(text, "{topic} {partition} {offset}");
    }
    replace(&dir.join(name), text.as_bytes())
}

fn parse(line: &str) -> Option<Checkpoint> {
    let mut fields = line.split(' ');
    let (topic, partition, offset) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    if fields.next().is_some() || !is_topic_name(topic) || partition < 0 || offset < 0 {
        return None;
    }
    Some(Checkpoint { topic: topic.to_string(), partition, offset })
}

/// The lines of a checkpoint behind version and count; exactly as many as the count says. An empty file has none: Apache
/// Kafka makes its files so, before it has anything to write.
pub(super) struct Lines<'t> {
    path: PathBuf,
    lines: std::str::Lines<'t>,
    line: usize,
    left: usize,
}

impl<'t> Lines<'t> {
    pub(super) fn of(path: &Path, text: &'t str) -> Result<Self, LogError> {
        let left = if text.is_empty() { 0 } else { 2 };
        let mut lines = Self { path: path.to_path_buf(), lines: text.lines(), line: 0, left };
        if left == 0 {
            return Ok(lines);
        }
        if lines.next()? != Some("0") {
            return Err(lines.error("the version is not 0"));
        }
        let count = lines.next()?.and_then(|count| count.parse().ok());
        let Some(count) = count else { return Err(lines.error("no count of lines")) };
        lines.left = count;
        Ok(lines)
    }

    pub(super) fn next(&mut self) -> Result<Option<&'t str>, LogError> {
        self.line += 1;
        match (self.lines.next(), self.left) {
            (None | Some(""), 0) => Ok(None),
            (Some(line), left) if left > 0 => {
                self.left -= 1;
                Ok(Some(line))
            }
            (None, _) => Err(self.error("lines are missing")),
            (Some(_), _) => Err(self.error("more lines than were counted")),
        }
    }

    pub(super) fn error(&self, reason: &'static str) -> LogError {
        LogError::Text { path: self.path.clone(), line: self.line, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::TempDir;

    #[test]
    fn lines_come_back_and_damage_is_named() {
        let dir = TempDir::new();
        assert!(read(dir.path(), RECOVERY_POINT).unwrap().is_empty());
        let checkpoints = [
            Checkpoint { topic: "orders".into(), partition: 0, offset: 17 },
            Checkpoint { topic: "a.b-c_d".into(), partition: 3, offset: i64::MAX },
        ];
        write(dir.path(), RECOVERY_POINT, &checkpoints).unwrap();
        let path = dir.path().join(RECOVERY_POINT);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "0\n2\norders 0 17\na.b-c_d 3 9223372036854775807\n");
        assert_eq!(read(dir.path(), RECOVERY_POINT).unwrap(), checkpoints);
        std::fs::write(&path, "").unwrap();
        assert_eq!(read(dir.path(), RECOVERY_POINT).unwrap(), [], "Kafka's, before it wrote anything");
        for (text, line) in [
            ("\n", 1),
            ("7\n", 1),
            ("0\n-1\n", 2),
            ("0\n1\n", 3),
            ("0\n0\nx 0 0\n", 3),
            ("0\n1\norders 0\n", 3),
            ("0\n1\n../x 0 1\n", 3),
            ("0\n1\norders 0 -5\n", 3),
            ("0\n1\norders 0 5 5\n", 3),
        ] {
            std::fs::write(&path, text).unwrap();
            let Err(LogError::Text { line: found, .. }) = read(dir.path(), RECOVERY_POINT) else { panic!("{text:?}") };
            assert_eq!(found, line, "{text:?}");
        }
    }
}
