//! An open file that may be handed to another shard.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::at_once;

/// An open file and its path. Clones share one descriptor (it closes with the last clone) and may go to other shards:
/// the one thing that shards share. All methods here are plain system calls made on the spot.
#[derive(Clone)]
pub struct File {
    inner: Arc<Inner>,
}

/// Files that are open, of all shards.
static OPEN: AtomicUsize = AtomicUsize::new(0);

struct Inner {
    file: std::fs::File,
    path: PathBuf,
    /// Which file system it lies on (`st_dev`); decides how appends are written.
    device: u64,
}

impl File {
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> io::Result<File> {
        let path = path.as_ref().to_path_buf();
        let file = options.open(&path)?;
        let device = file.metadata()?.dev();
        OPEN.fetch_add(1, Ordering::Relaxed);
        Ok(File { inner: Arc::new(Inner { file, path, device }) })
    }

    /// How many are open in this process, sockets not counted.
    pub fn open_count() -> usize {
        OPEN.load(Ordering::Relaxed)
    }

    /// Opens an existing file for reading.
    pub fn open_read(path: impl AsRef<Path>) -> io::Result<File> {
        File::open(path, OpenOptions::new().read(true))
    }

    /// The path it was opened by; a later rename does not change it.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// One read; 0 at the end of the file.
    pub fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        if at_once::is_asked_for() {
            at_once::read(self, buf, position)
        } else {
            self.inner.file.read_at(buf, position)
        }
    }

    /// Fills `buf`; less only at the end of the file.
    pub fn read_at_most(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read_at(&mut buf[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Errors: `UnexpectedEof` where the file ends before.
    pub fn read_exact_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        let filled = self.read_at_most(buf, position)?;
        if filled < buf.len() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    pub fn write_all_at(&self, buf: &[u8], position: u64) -> io::Result<()> {
        self.inner.file.write_all_at(buf, position)
    }

    pub fn len(&self) -> io::Result<u64> {
        Ok(self.inner.file.metadata()?.len())
    }

    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    pub fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.file.set_len(len)
    }

    /// `fdatasync`, on the spot: stalls the caller. Inside a shard use `Files::sync_data`.
    pub fn sync_data(&self) -> io::Result<()> {
        self.inner.file.sync_data()
    }

    /// `fsync`, on the spot.
    pub fn sync_all(&self) -> io::Result<()> {
        self.inner.file.sync_all()
    }

    /// The open file itself, for what is not offered here (metadata, mapping an index).
    pub fn std(&self) -> &std::fs::File {
        &self.inner.file
    }

    pub(crate) fn device(&self) -> u64 {
        self.inner.device
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.file.as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({})", self.inner.path.display())
    }
}
