//! Small files are replaced as a whole: write beside, fsync, rename, fsync the directory. After a crash either the old or
//! the new content is there (Kafka's `CheckpointFile`, `Utils.atomicMoveWithFallback`).

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::LogError;

/// Who sees to it that what was written is on the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durable {
    /// It is when the call returns.
    #[default]
    AtOnce,
    /// The caller syncs the whole file system before anything is said that rests on it, by a file that was opened before
    /// anything was written: only that is sure to tell of a write that failed.
    Later,
}

/// Replaces `path` durably.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    replace_as(path, bytes, Durable::AtOnce)
}

pub(crate) fn replace_as(path: &Path, bytes: &[u8], durable: Durable) -> Result<(), LogError> {
    let beside = beside(path);
    let mut file = fs::File::create(&beside).map_err(LogError::io("create", &beside))?;
    file.write_all(bytes).map_err(LogError::io("write", &beside))?;
    if durable == Durable::AtOnce {
        file.sync_all().map_err(LogError::io("sync", &beside))?;
    }
    drop(file);
    fs::rename(&beside, path).map_err(LogError::io("rename to", path))?;
    if durable == Durable::AtOnce { sync_parent(path) } else { Ok(()) }
}

/// `<path>.tmp`, the name Kafka uses.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// Makes creations, renames and removals inside `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), LogError> {
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(LogError::io("sync directory", dir))
}

/// Whether a sync of the file system of its log directory brings a partition to the device: not where it is a link to
/// another one.
pub(crate) fn shares_file_system(dir: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev());
    dir.parent().is_some_and(|parent| matches!((device(dir), device(parent)), (Ok(dir), Ok(parent)) if dir == parent))
}

pub(crate) fn sync_parent(path: &Path) -> Result<(), LogError> {
    path.parent().map_or(Ok(()), sync_dir)
}

/// The content of a small text file; `None` when there is no such file, an error when it is larger than `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<Option<String>, LogError> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::io("read", path)(error)),
    };
    if size > limit {
        return Err(LogError::Text { path: path.to_path_buf(), line: 0, reason: "the file is too large" });
    }
    fs::read_to_string(path).map(Some).map_err(LogError::io("read", path))
}

/// Removes a file that need not be there.
pub(crate) fn remove(path: &Path) -> Result<(), LogError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::TempDir;

    #[test]
    fn a_link_to_another_file_system_is_noticed() {
        let dir = TempDir::new();
        fs::create_dir(dir.path().join("here")).unwrap();
        std::os::unix::fs::symlink("/proc/self", dir.path().join("there")).unwrap();
        assert!(shares_file_system(&dir.path().join("here")));
        assert!(!shares_file_system(&dir.path().join("there")));
        assert!(!shares_file_system(&dir.path().join("nowhere")));
    }
}
