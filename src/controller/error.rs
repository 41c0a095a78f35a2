//! What can go wrong with the metadata of a node. None of it is mended by trying again.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use state::metadata::ReplayError;
use state::metadata::decide::RegistrationError;
use wire::DecodeError;
use wire::records::{BatchError, BuildError, RecordError};

use crate::log::LogError;
use crate::log::directory::DirectoryError;

/// Why the controller can't open, read or write its metadata.
#[derive(Debug)]
pub enum ControllerError {
    /// A file operation failed. After a failed write or sync the controller takes no more records.
    Io { action: &'static str, path: PathBuf, error: io::Error },
    /// Bytes in the middle of the log or a snapshot are not what was written.
    Damaged { path: PathBuf, position: u64, reason: Damage },
    /// No snapshot and log together tell the whole story.
    Incomplete { dir: PathBuf, reason: String },
    /// The directory belongs to another cluster or node.
    NotOurs { path: PathBuf, reason: String },
    /// A data directory can't be used.
    Directory(DirectoryError),
    /// The records are too many or too large for a batch.
    TooLarge(BuildError),
    /// The node can't register with the cluster it finds in its own metadata.
    Registration(RegistrationError),
    /// An earlier write failed: what is on disk is not known.
    Failed,
}

/// What is wrong with bytes on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    Batch(BatchError),
    Crc,
    Records(RecordError),
    Record {
        offset: i64,
        error: DecodeError,
    },
    /// A batch begins at another offset than the one due.
    Offset {
        due: i64,
        found: i64,
    },
    /// A batch is of an earlier leader epoch than the one before.
    Epoch {
        last: i32,
        found: i32,
    },
    /// A record makes no sense after those before it.
    Replay {
        offset: i64,
        error: ReplayError,
    },
    /// A snapshot does not begin with its header or end with its footer.
    Frame,
}

impl ControllerError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| Self::Io { action, path, error }
    }

    pub(super) fn damaged(path: &Path, position: usize, reason: Damage) -> Self {
        Self::Damaged { path: path.to_path_buf(), position: position as u64, reason }
    }
}

impl fmt::Display for ControllerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, error } => write!(f, "{action} {}: {error}", path.display()),
            Self::Damaged { path, position, reason } => {
                write!(f, "{} is damaged at byte {position}: {reason}", path.display())
            }
            Self::Incomplete { dir, reason } => write!(f, "{}: {reason}", dir.display()),
            Self::NotOurs { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Directory(error) => write!(f, "{error}"),
            Self::TooLarge(error) => write!(f, "metadata records: {error}"),
            Self::Registration(error) => write!(f, "register this broker: {error}"),
            Self::Failed => f.write_str("an earlier write to the metadata log failed"),
        }
    }
}

impl std::error::Error for ControllerError {}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(error) => write!(f, "{error}"),
            Self::Crc => f.write_str("the checksum of a batch does not match"),
            Self::Records(error) => write!(f, "{error}"),
            Self::Record { offset, error } => write!(f, "the record at offset {offset} can't be read: {error}"),
            Self::Offset { due, found } => write!(f, "a batch begins at offset {found} where {due} is due"),
            Self::Epoch { last, found } => write!(f, "a batch of epoch {found} follows one of epoch {last}"),
            Self::Replay { offset, error } => write!(f, "the record at offset {offset} can't follow: {error}"),
            Self::Frame => f.write_str("the header or footer of the snapshot is missing"),
        }
    }
}

impl From<BuildError> for ControllerError {
    fn from(error: BuildError) -> Self {
        Self::TooLarge(error)
    }
}

impl From<LogError> for ControllerError {
    fn from(error: LogError) -> Self {
        Self::Directory(error.into())
    }
}
