//! System calls that std does not offer, each wrapped once.

use std::io;
use std::os::fd::AsRawFd;

use crate::file::File;
use crate::service::Part;

/// Pieces handed to one `pwritev`; the kernel's bound (`IOV_MAX`) is 1024, more than 64 gain nothing.
const PIECES_PER_WRITE: usize = 64;

/// Writes all parts one behind the other from `position`, completing short writes.
pub(crate) fn write_parts(file: &File, position: u64, parts: &[Part]) -> io::Result<()> {
    let mut position = position;
    // The first part not yet fully written, and how much of it is.
    let (mut first, mut done) = (0, 0);
    while first < parts.len() {
        let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; PIECES_PER_WRITE];
        let mut count = 0;
        for (index, part) in parts[first..].iter().take(PIECES_PER_WRITE).enumerate() {
            let bytes = if index == 0 { &part.as_slice()[done..] } else { part.as_slice() };
            pieces[count] = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            count += 1;
        }
        let mut written = pwritev(file, &pieces[..count], position)?;
        position += written as u64;
        while first < parts.len() {
            let left = parts[first].len() - done;
            if written < left {
                done += written;
                break;
            }
            written -= left;
            first += 1;
            done = 0;
        }
    }
    Ok(())
}

fn pwritev(file: &File, pieces: &[libc::iovec], position: u64) -> io::Result<usize> {
    let wanted: usize = pieces.iter().map(|piece| piece.iov_len).sum();
    if wanted == 0 {
        return Ok(0);
    }
    loop {
        // SAFETY: each piece points into a slice that the caller borrows for the whole call; the kernel only reads it.
        let written = unsafe {
            libc::pwritev(file.as_raw_fd(), pieces.as_ptr(), pieces.len() as libc::c_int, position as libc::off_t)
        };
        if written > 0 {
            return Ok(written as usize);
        }
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
