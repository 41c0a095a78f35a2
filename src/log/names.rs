//! Names of the files and directories of logs (Kafka's `LogFileUtils`, `LocalLog`). Nothing that is not exactly such a
//! name is taken for one, so no name from outside leads to another path.

use std::path::{Path, PathBuf};

pub(crate) const LOG: &str = ".log";
pub(crate) const INDEX: &str = ".index";
pub(crate) const TIME_INDEX: &str = ".timeindex";
pub(crate) const TXN_INDEX: &str = ".txnindex";
pub(crate) const SNAPSHOT: &str = ".snapshot";
pub(crate) const DELETED: &str = ".deleted";
pub(crate) const CLEANED: &str = ".cleaned";
pub(crate) const SWAP: &str = ".swap";

/// Every file of a segment but the snapshot, which lives a little longer.
pub(crate) const SEGMENT_FILES: [&str; 4] = [LOG, INDEX, TIME_INDEX, TXN_INDEX];

/// Longest topic name (Kafka's `Topic.MAX_NAME_LENGTH`).
const TOPIC_NAME_MAX: usize = 249;
/// Longest name of a directory entry.
const FILE_NAME_MAX: usize = 255;
const OFFSET_DIGITS: usize = 20;

/// `<dir>/<offset, 20 digits><suffix>`.
pub(crate) fn offset_file(dir: &Path, offset: i64, suffix: &str) -> PathBuf {
    dir.join(format!("{offset:020}{suffix}"))
}

/// Offset and suffix of a file name that begins with exactly 20 digits.
pub(crate) fn parse_offset_file(name: &str) -> Option<(i64, &str)> {
    let (digits, suffix) = name.split_at_checked(OFFSET_DIGITS)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !suffix.starts_with('.') {
        return None;
    }
    Some((digits.parse().ok()?, suffix))
}

/// What the name of a directory inside a log directory says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryName {
    /// `<topic>-<partition>`.
    Partition { topic: String, partition: i32 },
    /// `<topic>-<partition>.<id>-delete`: was deleted, its files wait to be removed.
    Deleted,
    /// `<topic>-<partition>.<id>-future`: a replica on its way to this directory.
    Future { topic: String, partition: i32 },
    /// `<topic>-<partition>.<id>-stray`: set aside, because no topic claims it.
    Stray,
    /// Nothing of ours.
    Other,
}

/// Directory name of a partition.
pub fn partition_dir(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

/// Whether `name` may be a topic's: 1 to 249 of `[a-zA-Z0-9._-]`, but neither `.` nor `..`.
pub fn is_topic_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=TOPIC_NAME_MAX).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal)
}

pub fn parse_directory_name(name: &str) -> DirectoryName {
    if let Some((topic, partition)) = name.strip_suffix("-future").and_then(before_unique_id) {
        return DirectoryName::Future { topic: topic.to_string(), partition };
    }
    for (suffix, kind) in [("-delete", DirectoryName::Deleted), ("-stray", DirectoryName::Stray)] {
        if name.strip_suffix(suffix).and_then(before_unique_id).is_some() {
            return kind;
        }
    }
    match parse_partition(name) {
        Some((topic, partition)) => DirectoryName::Partition { topic: topic.to_string(), partition },
        None => DirectoryName::Other,
    }
}

/// Name under which a replica grows in the directory that it moves to; `unique` makes it one of its kind. `None`: the
/// topic's name is too long for that (Kafka's `logFutureDirName`).
pub fn future_dir(topic: &str, partition: i32, unique: u128) -> Option<String> {
    let name = format!("{topic}-{partition}.{unique:032x}-future");
    (name.len() <= FILE_NAME_MAX).then_some(name)
}

/// Name under which a deleted partition's directory waits; `unique` makes it one of its kind. A long topic name is cut
/// so that the result stays a file name (Kafka's `logDirNameWithSuffixCappedLength`).
pub(crate) fn deleted_dir(topic: &str, partition: i32, unique: u128) -> String {
    set_aside_dir(topic, partition, unique, "delete")
}

/// Name of a directory that nobody claims, which stays (Kafka's `logStrayDirName`).
pub(crate) fn stray_dir(topic: &str, partition: i32, unique: u128) -> String {
    set_aside_dir(topic, partition, unique, "stray")
}

fn set_aside_dir(topic: &str, partition: i32, unique: u128, why: &str) -> String {
    let suffix = format!("-{partition}.{unique:032x}-{why}");
    let kept = topic.len().min(FILE_NAME_MAX - suffix.len());
    format!("{}{suffix}", topic.get(..kept).unwrap_or_default())
}

/// Of `<topic>-<partition>.<32 hex digits>` the partition; the topic may have been cut.
fn before_unique_id(name: &str) -> Option<(&str, i32)> {
    let (partition, id) = name.rsplit_once('.')?;
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    parse_partition(partition)
}

fn parse_partition(name: &str) -> Option<(&str, i32)> {
    let (topic, digits) = name.rsplit_once('-')?;
    let canonical = digits == "0" || !digits.starts_with('0');
    if !is_topic_name(topic) || !canonical || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((topic, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_from_everything_else() {
        let partition = |topic: &str, partition| DirectoryName::Partition { topic: topic.to_string(), partition };
        assert_eq!(parse_directory_name("orders-0"), partition("orders", 0));
        assert_eq!(parse_directory_name("a-b.c_d-17"), partition("a-b.c_d", 17));
        assert_eq!(parse_directory_name("__cluster_metadata-0"), partition("__cluster_metadata", 0));
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(parse_directory_name(&format!("orders-0.{id}-delete")), DirectoryName::Deleted);
        let future = DirectoryName::Future { topic: "orders".to_string(), partition: 0 };
        assert_eq!(parse_directory_name(&format!("orders-0.{id}-future")), future);
        assert_eq!(parse_directory_name(&format!("orders-0.{id}-stray")), DirectoryName::Stray);
        for name in
            ["", "-0", "orders", "orders-", "orders--", "orders-00", "orders-+1", "..-0", "a/b-0", "orders-2147483648"]
        {
            assert_eq!(parse_directory_name(name), DirectoryName::Other, "{name}");
        }
        // A topic may be called like a leftover; only the id makes one.
        assert_eq!(parse_directory_name("orders-0.1-delete"), DirectoryName::Other);
        assert_eq!(parse_directory_name("x-delete-3"), partition("x-delete", 3));
    }

    #[test]
    fn a_deleted_name_fits_and_is_recognised() {
        for topic in ["orders".to_string(), "x".repeat(249)] {
            let name = deleted_dir(&topic, i32::MAX, u128::MAX);
            assert!(name.len() <= 255, "{name}");
            assert_eq!(parse_directory_name(&name), DirectoryName::Deleted);
        }
    }

    #[test]
    fn a_future_name_is_whole_or_none() {
        let name = future_dir("orders", 3, 0xab).unwrap();
        assert_eq!(name, "orders-3.000000000000000000000000000000ab-future");
        let future = DirectoryName::Future { topic: "orders".to_string(), partition: 3 };
        assert_eq!(parse_directory_name(&name), future);
        assert!(future_dir(&"x".repeat(213), 0, 0).is_some() && future_dir(&"x".repeat(214), 0, 0).is_none());
    }

    #[test]
    fn segment_names_have_twenty_digits() {
        let path = offset_file(Path::new("/d"), 42, LOG);
        assert_eq!(path, Path::new("/d/00000000000000000042.log"));
        assert_eq!(parse_offset_file("00000000000000000042.log"), Some((42, ".log")));
        assert_eq!(parse_offset_file("09223372036854775807.index.swap"), Some((i64::MAX, ".index.swap")));
        for name in ["42.log", "000000000000000000042.log", "99999999999999999999.log", "0000000000000000004x.log"] {
            assert_eq!(parse_offset_file(name), None, "{name}");
        }
    }
}
