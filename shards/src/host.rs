//! What a process asks of its host besides rings: signals to stop, space on a file system.

use std::io;
use std::path::Path;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::statvfs::statvfs;

/// SIGTERM and SIGINT, held back from every thread so that one can wait for them.
#[derive(Debug)]
pub struct StopSignals(SigSet);

impl StopSignals {
    /// Call before any other thread is started: threads inherit what is held back.
    pub fn hold() -> io::Result<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        signals.add(Signal::SIGINT);
        signals.thread_block()?;
        Ok(Self(signals))
    }

    /// Sleeps until one comes; returns its name.
    pub fn wait(&self) -> io::Result<&'static str> {
        loop {
            match self.0.wait() {
                Ok(signal) => return Ok(signal.as_str()),
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// All and free bytes of the file system that `path` lies on.
pub fn disk_space(path: &Path) -> io::Result<(u64, u64)> {
    let found = statvfs(path)?;
    let unit = found.fragment_size();
    Ok((found.blocks() * unit, found.blocks_available() * unit))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_file_system_has_no_more_free_than_all() {
        let (all, free) = super::disk_space(std::path::Path::new("/")).unwrap();
        assert!(all > 0 && free <= all);
    }
}
