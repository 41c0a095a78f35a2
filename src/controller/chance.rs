//! The kernel's random numbers, for ids. Everything that decides takes them as arguments.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use wire::Uuid;

use super::error::ControllerError;

#[derive(Debug)]
pub(super) struct Chance(File);

const SOURCE: &str = "/dev/urandom";

impl Chance {
    pub(super) fn open() -> Result<Self, ControllerError> {
        File::open(SOURCE).map(Self).map_err(ControllerError::io("open", Path::new(SOURCE)))
    }

    pub(super) fn bits(&mut self) -> Result<u128, ControllerError> {
        let mut bytes = [0; 16];
        self.0.read_exact(&mut bytes).map_err(ControllerError::io("read", Path::new(SOURCE)))?;
        Ok(u128::from_ne_bytes(bytes))
    }

    /// A random id (version 4) that does not begin with a dash.
    pub(super) fn uuid(&mut self) -> Result<Uuid, ControllerError> {
        loop {
            if let Some(id) = Uuid::from_random(self.bits()?) {
                return Ok(id);
            }
        }
    }
}
