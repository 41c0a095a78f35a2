//! What a process asks of its host besides rings: signals to stop, space on a file system, open files.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::statvfs::statvfs;
use nix::unistd::syncfs;

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

/// Writes all of the file system that `within` lies on to its device: as many files as changed cost one wait. Also tells
/// of writes that failed since `within` was opened.
pub fn sync_file_system(within: &File) -> io::Result<()> {
    Ok(syncfs(within)?)
}

/// Bytes of files that wait in memory to be written to some device; 0 where nobody can tell.
pub fn dirty_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |line: &str| line.strip_prefix("Dirty:")?.trim_end_matches("kB").trim().parse::<u64>().ok();
    text.lines().find_map(kib).unwrap_or(0) * 1024
}

/// Raises how many files this process may have open to all that it may ask for, and returns that.
pub fn raise_open_files() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// Whether something failed for want of file descriptors, of the process or of the machine: nothing is wrong with the
/// file then.
pub fn is_descriptor_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// What helps against it.
pub const DESCRIPTOR_HELP: &str =
    "raise the limit of open files (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of a container)";

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_dirty_is_known() {
        // Whole pages, and less than there is memory anywhere.
        assert!(super::dirty_bytes().is_multiple_of(4096) && super::dirty_bytes() < 1 << 50);
    }

    #[test]
    fn the_limit_of_open_files_is_raised_once() {
        let most = super::raise_open_files().unwrap();
        assert!(most >= 64);
        assert_eq!(super::raise_open_files().unwrap(), most);
        let (soft, hard) = super::getrlimit(super::Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((soft, hard), (most, most));
    }

    #[test]
    fn a_file_system_has_no_more_free_than_all() {
        let (all, free) = super::disk_space(std::path::Path::new("/")).unwrap();
        assert!(all > 0 && free <= all);
    }
}
