use std::fmt;

/// Why the shards did not start.
#[derive(Debug)]
pub enum StartError {
    /// A service's own reason, from `make`.
    Service(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Service(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for StartError {}
