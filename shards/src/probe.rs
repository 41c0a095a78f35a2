//! Finding out at start how a directory's file system wants its appends.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::files::WriteMode;
use crate::sys;

/// The device of `dir` and the mode its file system is best written in. Writes a small file without a name there, or one
/// that is removed at once.
pub(crate) fn write_mode(dir: &Path) -> io::Result<(u64, WriteMode)> {
    let device = std::fs::metadata(dir)?.dev();
    let unnamed = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(dir);
    let file = match unnamed {
        Ok(file) => file,
        Err(_) => {
            let path = dir.join(format!(".write-probe-{}", std::process::id()));
            let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            file
        }
    };
    let mode = if sys::takes_nowait_writes(&file) { WriteMode::Ring } else { WriteMode::Inline };
    Ok((device, mode))
}
