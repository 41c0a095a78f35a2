//! What can go wrong with a log's files. Every error names the file, and the place in it where there is one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use shards::{DESCRIPTOR_HELP, is_descriptor_shortage};
use wire::records::{BatchError, RecordError};

/// Why a log could not be opened, appended to, or changed.
#[derive(Debug)]
pub enum LogError {
    /// A system call failed while `doing` something ("open segment").
    Io { doing: &'static str, path: PathBuf, error: io::Error },
    /// The file holds something it can't hold, at `position` bytes from its start. Nothing was changed.
    Corrupt { path: PathBuf, position: u64, damage: Damage },
    /// A small text file can't be understood.
    Text { path: PathBuf, line: usize, reason: &'static str },
    /// An earlier write failed; the log takes nothing more until it is opened again.
    Failed { dir: PathBuf },
    /// Appends are staged or under way, so that the end of the log can't be moved.
    Busy { dir: PathBuf },
    /// The offset lies outside of what the log holds.
    OutOfRange { offset: i64, start: i64, end: i64 },
    /// The directory or file is there already.
    Exists { path: PathBuf },
    /// Two directories hold the same partition, and the metadata names neither.
    Duplicate { first: PathBuf, second: PathBuf },
}

/// What is wrong with the bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The header is none, or the batch is cut off.
    Batch(BatchError),
    Crc,
    /// The batch does not begin at or after the offset expected here, or it ends too far from the segment's base.
    Offset {
        expected: i64,
        found: i64,
    },
    /// The segment ends before the offset at which the next one begins.
    Gap {
        end: i64,
        next: i64,
    },
    Records(RecordError),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(error) => error.fmt(f),
            Self::Crc => f.write_str("the CRC-32C of the batch does not match its bytes"),
            Self::Offset { expected, found } => {
                write!(f, "the batch claims offset {found} where {expected} or a later one is due")
            }
            Self::Gap { end, next } => write!(f, "the segment ends at offset {end}, the next one begins at {next}"),
            Self::Records(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, path, error } => write!(f, "{doing} {}: {error}{}", path.display(), help(error)),
            Self::Corrupt { path, position, damage } => {
                write!(f, "{} is damaged at byte {position}: {damage}", path.display())
            }
            Self::Text { path, line, reason } => write!(f, "{} line {line}: {reason}", path.display()),
            Self::Failed { dir } => write!(f, "{}: an earlier write failed, nothing more is taken", dir.display()),
            Self::Busy { dir } => write!(f, "{}: appends are under way", dir.display()),
            Self::OutOfRange { offset, start, end } => {
                write!(f, "offset {offset} is outside of the log, which goes from {start} to {end}")
            }
            Self::Exists { path } => write!(f, "{} is there already", path.display()),
            Self::Duplicate { first, second } => {
                let (first, second) = (first.display(), second.display());
                write!(f, "{first} and {second} hold the same partition: remove the one that is out of date")
            }
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// What an operator can do.
fn help(error: &io::Error) -> String {
    if is_descriptor_shortage(error) { format!(": {DESCRIPTOR_HELP}") } else { String::new() }
}

impl LogError {
    /// The file system did not do what it was asked: its log directory is not to be trusted. Want of descriptors says
    /// nothing about it.
    pub fn blames_directory(&self) -> bool {
        matches!(self, Self::Io { error, .. } if !is_descriptor_shortage(error))
    }

    /// For `map_err`: adds what was being done, and to which file.
    pub(crate) fn io(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { doing, path: path.as_ref().to_path_buf(), error }
    }
}

/// Why a read could not be planned or an offset not be found.
#[derive(Debug)]
pub enum ReadError {
    /// Below the log start offset or above the log end offset.
    OutOfRange {
        offset: i64,
        start: i64,
        end: i64,
    },
    Io {
        path: PathBuf,
        position: u64,
        error: io::Error,
    },
    Corrupt {
        path: PathBuf,
        position: u64,
        damage: Damage,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { offset, start, end } => {
                write!(f, "offset {offset} is outside of the log, which goes from {start} to {end}")
            }
            Self::Io { path, position, error } => {
                write!(f, "read {} at byte {position}: {error}{}", path.display(), help(error))
            }
            Self::Corrupt { path, position, damage } => {
                write!(f, "{} is damaged at byte {position}: {damage}", path.display())
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<ReadError> for LogError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::OutOfRange { offset, start, end } => Self::OutOfRange { offset, start, end },
            ReadError::Io { path, error, .. } => Self::Io { doing: "read", path, error },
            ReadError::Corrupt { path, position, damage } => Self::Corrupt { path, position, damage },
        }
    }
}
