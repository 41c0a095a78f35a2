//! The shard's file side: appends, reads and syncs that never stall the shard.

use std::future::Future;
use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::file::File;
use crate::service::Part;

/// How appends reach a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// `pwritev` on the spot: the file system refuses non-blocking buffered writes (ext4), so the ring would hand each one
    /// to a worker thread, which costs ten times the write.
    Inline,
    /// Through the ring: the file system takes non-blocking buffered writes (XFS, btrfs).
    Ring,
}

/// Handle of a shard's file side; clones are cheap and stay on the shard.
#[derive(Clone)]
pub struct Files {
    inner: Rc<Inner>,
}

struct Inner {}

impl Files {
    /// Everything on the spot, without a ring: for tests.
    pub fn inline() -> Files {
        Files { inner: Rc::new(Inner {}) }
    }

    /// How appends to files in `dir` are written; probed at start for the directories of the plan, else `Inline`.
    pub fn mode(&self, _dir: &Path) -> WriteMode {
        let _ = &self.inner;
        WriteMode::Inline
    }

    /// Writes all parts at `position`, in order, one behind the other. `Some`: done on the spot, with this result.
    /// `None`: `Service::written(token, result)` follows. Short writes are completed inside; after an error an unknown
    /// part of the bytes may have been written.
    pub fn append(&self, file: &File, position: u64, parts: Vec<Part>, _token: u64) -> Option<io::Result<()>> {
        Some(crate::sys::write_parts(file, position, &parts))
    }

    /// Up to `len` bytes from `position`; fewer only at the end of the file.
    pub fn read(&self, file: &File, position: u64, len: usize) -> impl Future<Output = io::Result<Vec<u8>>> + 'static {
        let file = file.clone();
        async move {
            let mut buf = vec![0; len];
            let mut filled = 0;
            while filled < len {
                match file.read_at(&mut buf[filled..], position + filled as u64) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            buf.truncate(filled);
            Ok(buf)
        }
    }

    /// `fdatasync`.
    pub fn sync_data(&self, file: &File) -> impl Future<Output = io::Result<()>> + 'static {
        let file = file.clone();
        async move { file.sync_data() }
    }

    /// Runs `work` on a worker thread.
    pub fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + 'static {
        async move { work() }
    }
}
