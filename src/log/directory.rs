//! One of `log.dirs`: who holds it, what it is called, how it was left, and which partitions lie in it (Kafka's
//! `LogManager`, `MetaProperties`, `CleanShutdownFileHandler`).

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use wire::Uuid;

use super::error::LogError;
use super::names::{DirectoryName, deleted_dir, parse_directory_name, stray_dir};
use super::replace::{read_text, remove, replace, sync_dir, sync_parent};

pub const LOCK: &str = ".lock";
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
pub const META_PROPERTIES: &str = "meta.properties";
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a log directory can't be used.
#[derive(Debug)]
pub enum DirectoryError {
    /// Another process holds the lock on `path`.
    Locked {
        path: PathBuf,
    },
    Log(LogError),
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path } => {
                write!(f, "another process holds {}: is a broker running on this directory?", path.display())
            }
            Self::Log(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DirectoryError {}

impl From<LogError> for DirectoryError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// A log directory that this process holds, until the value is dropped.
#[derive(Debug)]
pub struct LogDirectory {
    path: PathBuf,
    lock: fs::File,
}

/// `meta.properties`: what cluster and node a directory belongs to (KIP-631, KIP-858).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetaProperties {
    pub cluster_id: String,
    pub node_id: i32,
    /// Version 1 files written by older brokers have none.
    pub directory_id: Option<Uuid>,
    /// Keys not known here; kept when the file is written.
    pub others: BTreeMap<String, String>,
}

/// What `.kafka_cleanshutdown` said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanShutdown {
    /// Epoch the broker had; -1 when the file does not tell.
    pub broker_epoch: i64,
}

/// A partition's directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionDirectory {
    pub topic: String,
    pub partition: i32,
    pub path: PathBuf,
}

/// The directories inside a log directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    pub partitions: Vec<PartitionDirectory>,
    /// Of deleted partitions; to be removed.
    pub deleted: Vec<PathBuf>,
    /// Of replicas on their way to this directory.
    pub futures: Vec<PartitionDirectory>,
    /// `-stray` ones. Nothing is done with them.
    pub set_aside: Vec<PathBuf>,
    /// Directories that are nothing of a broker's.
    pub unknown: Vec<PathBuf>,
}

impl LogDirectory {
    /// Takes the directory, which is made if it is missing. Non-blocking: a second broker on it is refused.
    pub fn lock(path: &Path) -> Result<Self, DirectoryError> {
        fs::create_dir_all(path).map_err(LogError::io("create directory", path))?;
        let lock_path = path.join(LOCK);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let lock = options.open(&lock_path).map_err(LogError::io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_path_buf(), lock }),
            Err(TryLockError::WouldBlock) => Err(DirectoryError::Locked { path: lock_path }),
            Err(TryLockError::Error(error)) => Err(LogError::io("lock", &lock_path)(error).into()),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the last stop was clean, and forgets it, durably: comes before any log is opened, so that a crash while
    /// loading is one (KAFKA-10471).
    pub fn take_clean_shutdown(&self) -> Result<Option<CleanShutdown>, LogError> {
        let path = self.path.join(CLEAN_SHUTDOWN);
        let Some(text) = read_text(&path, FILE_BYTES_MAX)? else { return Ok(None) };
        remove(&path)?;
        sync_dir(&self.path)?;
        Ok(Some(CleanShutdown { broker_epoch: broker_epoch(&text) }))
    }

    /// Says that everything in the directory is synced and whole. Comes last, and only if every log was closed cleanly.
    pub fn write_clean_shutdown(&self, broker_epoch: i64) -> Result<(), LogError> {
        let text = format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}");
        replace(&self.path.join(CLEAN_SHUTDOWN), text.as_bytes())
    }

    /// Makes everything durable that was written to its file system.
    ///
    /// Errors: also writes that failed since this directory was taken, in whatever file.
    pub fn sync_file_system(&self) -> Result<(), LogError> {
        shards::sync_file_system(&self.lock).map_err(LogError::io("sync file system of", &self.path))
    }

    pub fn read_meta_properties(&self) -> Result<Option<MetaProperties>, LogError> {
        read_meta_properties(&self.path)
    }

    pub fn write_meta_properties(&self, properties: &MetaProperties) -> Result<(), LogError> {
        replace(&self.path.join(META_PROPERTIES), properties.to_text().as_bytes())
    }

    /// Sorts the directories by what their names say.
    pub fn list(&self) -> Result<Listing, LogError> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.path).map_err(LogError::io("list", &self.path))? {
            let entry = entry.map_err(LogError::io("list", &self.path))?;
            if !entry.file_type().map_err(LogError::io("list", &self.path))?.is_dir() {
                continue;
            }
            let path = entry.path();
            match entry.file_name().to_str().map_or(DirectoryName::Other, parse_directory_name) {
                DirectoryName::Partition { topic, partition } => {
                    listing.partitions.push(PartitionDirectory { topic, partition, path });
                }
                DirectoryName::Deleted => listing.deleted.push(path),
                DirectoryName::Future { topic, partition } => {
                    listing.futures.push(PartitionDirectory { topic, partition, path });
                }
                DirectoryName::Stray => listing.set_aside.push(path),
                DirectoryName::Other => listing.unknown.push(path),
            }
        }
        listing.partitions.sort();
        listing.futures.sort();
        Ok(listing)
    }
}

/// `meta.properties` of a directory that need not be locked.
pub fn read_meta_properties(dir: &Path) -> Result<Option<MetaProperties>, LogError> {
    let path = dir.join(META_PROPERTIES);
    let Some(text) = read_text(&path, FILE_BYTES_MAX)? else { return Ok(None) };
    MetaProperties::parse(&text).map(Some).map_err(|(line, reason)| LogError::Text { path, line, reason })
}

/// Takes a partition out of service: its directory gets a name that no partition has, durably, and can be removed when
/// nobody reads from it any more. `unique` is the caller's randomness.
pub fn set_aside_partition(dir: &Path, unique: u128) -> Result<PathBuf, LogError> {
    let aside = rename_aside(dir, unique)?;
    sync_parent(&aside)?;
    Ok(aside)
}

/// As [`set_aside_partition`], but not durably: the log directory has yet to be synced.
pub fn rename_aside(dir: &Path, unique: u128) -> Result<PathBuf, LogError> {
    rename_to(dir, |topic, partition| deleted_dir(topic, partition, unique))
}

/// Takes a directory out of service that may hold what nobody wants to lose: it stays, under a name that no partition has.
pub fn rename_stray(dir: &Path, unique: u128) -> Result<PathBuf, LogError> {
    let aside = rename_to(dir, |topic, partition| stray_dir(topic, partition, unique))?;
    sync_parent(&aside)?;
    Ok(aside)
}

/// Gives the directory of a partition or of a future replica the name that `name` makes of its topic and partition.
pub(super) fn rename_to(dir: &Path, name: impl FnOnce(&str, i32) -> String) -> Result<PathBuf, LogError> {
    let parsed = dir.file_name().and_then(|name| name.to_str()).map(parse_directory_name);
    let (
        Some(DirectoryName::Partition { topic, partition } | DirectoryName::Future { topic, partition }),
        Some(parent),
    ) = (parsed, dir.parent())
    else {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "not the directory of a partition");
        return Err(LogError::io("rename", dir)(error));
    };
    let renamed = parent.join(name(&topic, partition));
    fs::rename(dir, &renamed).map_err(LogError::io("rename", dir))?;
    Ok(renamed)
}

/// Removes a directory that was set aside. May take long; one that is gone is no error.
pub fn remove_partition(aside: &Path) -> Result<(), LogError> {
    match fs::remove_dir_all(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::io("remove", aside)(error)),
        _ => Ok(()),
    }
}

impl MetaProperties {
    /// The file as Java's `Properties` reads it: sorted lines, `:` and `=` in values need no escape.
    fn to_text(&self) -> String {
        let mut lines = self.others.clone();
        lines.insert("version".into(), "1".into());
        lines.insert("cluster.id".into(), self.cluster_id.clone());
        lines.insert("node.id".into(), self.node_id.to_string());
        if let Some(id) = self.directory_id {
            lines.insert("directory.id".into(), id.to_string());
        }
        let lines: String = lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        format!("#\n{lines}")
    }

    fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut lines = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (key, value) = line.split_once('=').ok_or((at + 1, "no key and value"))?;
            // Java escapes some characters that have no meaning here.
            lines.insert(key.trim().replace('\\', ""), (at + 1, value.trim().replace('\\', "")));
        }
        let mut take = |key: &str| lines.remove(key);
        let version = take("version").ok_or((1, "no version"))?;
        // Version 0 came from ZooKeeper times and calls the node a broker.
        let node_key = match version.1.as_str() {
            "0" => "broker.id",
            "1" => "node.id",
            _ => return Err((version.0, "the version is neither 0 nor 1")),
        };
        let (line, node_id) = take(node_key).ok_or((1, "no node id"))?;
        let node_id = node_id.parse().ok().filter(|id| *id >= 0).ok_or((line, "the node id is no number"))?;
        let cluster_id = take("cluster.id").ok_or((1, "no cluster id"))?.1;
        let directory_id = match take("directory.id") {
            Some((line, id)) => Some(id.parse().map_err(|_| (line, "the directory id is none"))?),
            None => None,
        };
        let others = lines.into_iter().map(|(key, (_, value))| (key, value)).collect();
        Ok(Self { cluster_id, node_id, directory_id, others })
    }
}

/// The number behind `"brokerEpoch":`; -1 if there is none. The file's presence is what counts.
fn broker_epoch(text: &str) -> i64 {
    let rest = text.split_once("\"brokerEpoch\"").and_then(|(_, rest)| rest.trim_start().strip_prefix(':'));
    let rest = rest.unwrap_or_default().trim_start();
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::TempDir;

    #[test]
    fn a_directory_has_one_holder() {
        let dir = TempDir::new();
        let path = dir.path().join("data");
        let held = LogDirectory::lock(&path).unwrap();
        let Err(DirectoryError::Locked { path: lock }) = LogDirectory::lock(&path) else { panic!("locked twice") };
        assert_eq!(lock, path.join(LOCK));
        drop(held);
        LogDirectory::lock(&path).unwrap();
    }

    #[test]
    fn a_clean_stop_is_told_once() {
        let dir = TempDir::new();
        let directory = LogDirectory::lock(dir.path()).unwrap();
        assert_eq!(directory.take_clean_shutdown().unwrap(), None);
        directory.write_clean_shutdown(17).unwrap();
        let text = fs::read_to_string(dir.path().join(CLEAN_SHUTDOWN)).unwrap();
        assert_eq!(text, "{\"version\":0,\"brokerEpoch\":17}");
        assert_eq!(directory.take_clean_shutdown().unwrap(), Some(CleanShutdown { broker_epoch: 17 }));
        assert_eq!(directory.take_clean_shutdown().unwrap(), None);
        for (text, epoch) in [("", -1), ("{ \"brokerEpoch\" : -1 , \"version\":0}", -1), ("{\"brokerEpoch\": 5}", 5)] {
            assert_eq!(broker_epoch(text), epoch, "{text:?}");
        }
    }

    #[test]
    fn meta_properties_come_back() {
        let dir = TempDir::new();
        let directory = LogDirectory::lock(dir.path()).unwrap();
        assert_eq!(directory.read_meta_properties().unwrap(), None);
        let properties = MetaProperties {
            cluster_id: "WbjIpBzRRpmpIbDrVba8wA".into(),
            node_id: 1,
            directory_id: Some(Uuid(0x1234_5678_9abc_def0_1234_5678_9abc_def0)),
            others: BTreeMap::from([("later.key".into(), "x".into())]),
        };
        directory.write_meta_properties(&properties).unwrap();
        assert_eq!(directory.read_meta_properties().unwrap(), Some(properties));
        for (text, line) in [
            ("version=2\nnode.id=1\ncluster.id=x\n", 1),
            ("#\nversion=1\nnode.id=x\ncluster.id=x\n", 3),
            ("version=1\nnode.id=1\ncluster.id=x\ndirectory.id=short\n", 4),
            ("version=1\nnode.id=1\n", 1),
            ("version=1\nnonsense\n", 2),
        ] {
            let (found, reason) = MetaProperties::parse(text).unwrap_err();
            assert_eq!(found, line, "{text:?}: {reason}");
        }
        let old = MetaProperties::parse("version=0\nbroker.id=3\ncluster.id=a\\=b").unwrap();
        assert_eq!((old.node_id, old.cluster_id.as_str(), old.directory_id), (3, "a=b", None));
    }

    #[test]
    fn directories_are_sorted_by_their_names() {
        let dir = TempDir::new();
        let directory = LogDirectory::lock(dir.path()).unwrap();
        for name in ["b-1", "a-0", "lost+found"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("file-0"), "").unwrap();
        let aside = set_aside_partition(&dir.path().join("b-1"), 7).unwrap();
        let listing = directory.list().unwrap();
        let path = dir.path().join("a-0");
        assert_eq!(listing.partitions, [PartitionDirectory { topic: "a".into(), partition: 0, path }]);
        assert_eq!(listing.deleted, std::slice::from_ref(&aside));
        assert_eq!(listing.unknown, [dir.path().join("lost+found")]);
        assert!(set_aside_partition(&dir.path().join("lost+found"), 7).is_err());
        remove_partition(&aside).unwrap();
        remove_partition(&aside).unwrap();
        assert_eq!(directory.list().unwrap().deleted, Vec::<PathBuf>::new());
    }
}
