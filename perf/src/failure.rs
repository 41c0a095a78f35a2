//! What can end a measurement early. A run that met any of these gives no number.

use std::{fmt, io};

use wire::DecodeError;
use wire::records::BatchError;

#[derive(Debug)]
pub(crate) enum Failure {
    /// What was being done, in the present tense, and what the system said.
    Io(&'static str, io::Error),
    /// An answer that carries a Kafka error code other than 0.
    Refused { api: &'static str, code: i16 },
    /// An answer that can't be read.
    Undecodable(DecodeError),
    /// Fetched bytes that are no batch.
    NoBatch(BatchError),
    /// Bytes that are no answer to what was asked.
    Malformed(&'static str),
    /// The command line or the surroundings don't allow the measurement.
    Setup(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(doing, error) => write!(f, "{doing}: {error}"),
            Failure::Refused { api, code } => write!(f, "{api} is answered with error code {code}"),
            Failure::Undecodable(error) => write!(f, "undecodable answer: {error}"),
            Failure::NoBatch(error) => write!(f, "fetched records: {error}"),
            Failure::Malformed(what) => write!(f, "malformed answer: {what}"),
            Failure::Setup(why) => f.write_str(why),
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Failure {
        Failure::Undecodable(error)
    }
}

impl From<BatchError> for Failure {
    fn from(error: BatchError) -> Failure {
        Failure::NoBatch(error)
    }
}

/// Puts the words for what was being done to an I/O error.
pub(crate) trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, Failure>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure::Io(what, error))
    }
}
