//! The kernel's random numbers, for ids that a shard gives. What decides takes them as arguments.

use std::fs::File;
use std::io::{self, Read};

use wire::Uuid;

pub(crate) struct Chance(File);

const SOURCE: &str = "/dev/urandom";

impl Chance {
    pub(crate) fn open() -> io::Result<Self> {
        File::open(SOURCE).map(Self)
    }

    /// A random id (version 4).
    pub(crate) fn uuid(&mut self) -> Uuid {
        loop {
            let mut bytes = [0; 16];
            if let Err(error) = self.0.read_exact(&mut bytes) {
                // Without chance no id can be told from another's.
                shards::fatal(format_args!("read {SOURCE}: {error}"));
            }
            if let Some(id) = Uuid::from_random(u128::from_ne_bytes(bytes)) {
                return id;
            }
        }
    }
}
