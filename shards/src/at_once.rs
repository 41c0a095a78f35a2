//! Looking something up in files without waiting for a device: a shard that waits serves nobody. Said once for all that a
//! look-up reads, instead of by a parameter through every layer of it.

use std::cell::RefCell;
use std::io;

use crate::file::File;
use crate::sys;

/// Where a look-up met bytes that are not in memory.
#[derive(Debug)]
pub struct Cold {
    pub file: File,
    pub position: u64,
}

enum Asked {
    Not,
    /// A look-up is under way, and may have met what is cold.
    Looking(Option<Cold>),
}

thread_local! {
    static ASKED: RefCell<Asked> = const { RefCell::new(Asked::Not) };
}

/// Runs `look`. Reads of a [`File`] that it makes on this thread don't wait for a device: the first that would have to
/// fails with `WouldBlock`, and its place is returned instead of what `look` made of that. Not to be nested.
pub fn at_once<T>(look: impl FnOnce() -> T) -> Result<T, Cold> {
    ASKED.replace(Asked::Looking(None));
    let found = look();
    match ASKED.replace(Asked::Not) {
        Asked::Looking(Some(cold)) => Err(cold),
        _ => Ok(found),
    }
}

pub(crate) fn is_asked_for() -> bool {
    ASKED.with_borrow(|asked| matches!(asked, Asked::Looking(_)))
}

/// One read of what is in memory. File systems that can't tell are read as ever.
pub(crate) fn read(file: &File, buf: &mut [u8], position: u64) -> io::Result<usize> {
    let result = sys::read_now(file, buf, position);
    if let Err(error) = &result
        && error.kind() == io::ErrorKind::WouldBlock
    {
        ASKED.with_borrow_mut(|asked| {
            if let Asked::Looking(cold) = asked {
                cold.get_or_insert_with(|| Cold { file: file.clone(), position });
            }
        });
    }
    result
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::fd::AsRawFd;

    use super::*;

    /// A file of 1 MiB whose pages were dropped from memory, if the file system does that.
    fn cold_file(name: &str) -> (File, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!("ringmill-at-once-{name}-{}", std::process::id()));
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let file = File::open(&path, OpenOptions::new().read(true).write(true)).unwrap();
        file.sync_all().unwrap();
        // SAFETY: an advice about an open descriptor; no memory is named.
        let advised = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        assert_eq!(advised, 0);
        (file, path)
    }

    #[test]
    fn what_is_cold_is_named_and_what_is_warm_is_read() {
        let (file, path) = cold_file("look");
        let mut buf = [0; 5000];
        let is_cold = !sys::is_byte_cached(&file, 300_000);
        let found = at_once(|| file.read_exact_at(&mut buf, 300_000));
        match found {
            Err(cold) => assert!(is_cold && cold.file.path() == path && cold.position == 300_000),
            Ok(read) => assert!(!is_cold && read.is_ok(), "on a file system without a device"),
        }
        file.read_exact_at(&mut buf, 300_000).unwrap();
        assert_eq!(buf, [7; 5000], "outside of a look-up a read waits");
        let mut again = [0; 5000];
        assert!(at_once(|| file.read_exact_at(&mut again, 300_000)).unwrap().is_ok());
        assert_eq!(again, buf);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_end_of_a_file_is_no_reason_to_wait() {
        let (file, path) = cold_file("end");
        let mut buf = [0; 10];
        file.read_exact_at(&mut buf, (1 << 20) - 10).unwrap();
        let read = at_once(|| file.read_exact_at(&mut buf, (1 << 20) - 5)).unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        std::fs::remove_file(path).unwrap();
    }
}
