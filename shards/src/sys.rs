//! System calls that std does not offer, each wrapped once.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::file::File;
use crate::service::Part;

/// Pieces handed to one `pwritev`; the kernel's bound (`IOV_MAX`) is 1024, more than 64 gain nothing.
pub(crate) const PIECES_PER_WRITE: usize = 64;

/// Lists what is left of `parts`, of whose first `done` bytes are written, as pieces for one write.
pub(crate) fn gather(parts: &[Part], done: usize, pieces: &mut Vec<libc::iovec>) {
    pieces.clear();
    for (index, part) in parts.iter().take(PIECES_PER_WRITE).enumerate() {
        let bytes = if index == 0 { &part.as_slice()[done..] } else { part.as_slice() };
        pieces.push(libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
    }
}

/// Moves the mark (`first` part not fully written, `done` bytes of it) on by `count` bytes.
pub(crate) fn advance(parts: &[Part], first: &mut usize, done: &mut usize, mut count: usize) {
    while *first < parts.len() {
        let left = parts[*first].len() - *done;
        if count < left {
            *done += count;
            return;
        }
        count -= left;
        *first += 1;
        *done = 0;
    }
}

/// Writes all parts one behind the other from `position`, completing short writes.
pub(crate) fn write_parts(file: &File, position: u64, parts: &[Part]) -> io::Result<()> {
    let (mut position, mut first, mut done) = (position, 0, 0);
    let mut pieces = Vec::with_capacity(parts.len().min(PIECES_PER_WRITE));
    while first < parts.len() {
        gather(&parts[first..], done, &mut pieces);
        let written = write_pieces(file, &pieces, position)?;
        position += written as u64;
        advance(parts, &mut first, &mut done, written);
    }
    Ok(())
}

fn write_pieces(file: &File, pieces: &[libc::iovec], position: u64) -> io::Result<usize> {
    if pieces.iter().all(|piece| piece.iov_len == 0) {
        return Ok(0);
    }
    // SAFETY: each piece points into a part that the caller borrows for the whole call; the kernel only reads it.
    let written = retry(|| unsafe {
        libc::pwritev(file.as_raw_fd(), pieces.as_ptr(), pieces.len() as c_int, position as libc::off_t)
    })?;
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

/// Up to `len` bytes from `position`; fewer only at the end of the file.
pub(crate) fn read_up_to(file: &File, position: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let filled = file.read_at_most(&mut buf, position)?;
    buf.truncate(filled);
    Ok(buf)
}

/// One `preadv2(RWF_NOWAIT)`: `WouldBlock` where the bytes are not in memory, EOPNOTSUPP where the file system can't tell.
///
/// # Safety
/// The piece names memory that may be written through the call.
unsafe fn read_nowait(file: &File, piece: libc::iovec, position: u64) -> io::Result<usize> {
    let offset = position as libc::off_t;
    // SAFETY: one piece, which the caller vouches for.
    retry(|| unsafe { libc::preadv2(file.as_raw_fd(), &piece, 1, offset, libc::RWF_NOWAIT) })
}

/// One read of bytes that are in memory; `WouldBlock` where they are not. A file system that can't tell is read as ever.
pub(crate) fn read_now(file: &File, buf: &mut [u8], position: u64) -> io::Result<usize> {
    let piece = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: the piece is a buffer that is borrowed through the call.
    match unsafe { read_nowait(file, piece, position) } {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => file.std().read_at(buf, position),
        read => read,
    }
}

/// Exactly `len` bytes from `position`, if they can be had without waiting.
pub(crate) fn read_at_once(file: &File, position: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::with_capacity(len);
    let piece = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: len };
    // SAFETY: the piece is the vector's spare capacity of at least `len` bytes, which lives through the call.
    let read = unsafe { read_nowait(file, piece, position) };
    if read.ok() != Some(len) {
        return None;
    }
    // SAFETY: the kernel has filled the first `len` bytes of the capacity.
    unsafe { bytes.set_len(len) };
    Some(bytes)
}

/// Sends the slices, in order, as far as the socket takes them now. `more`: what follows comes at once, do not send a short
/// packet for the sake of these.
pub(crate) fn send(socket: BorrowedFd<'_>, slices: &[io::IoSlice<'_>], more: bool) -> io::Result<usize> {
    let mut flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    if more {
        flags |= libc::MSG_MORE;
    }
    if let [slice] = slices {
        // SAFETY: the slice is borrowed through the call, the kernel reads its bytes.
        return retry(|| unsafe { libc::send(socket.as_raw_fd(), slice.as_ptr().cast(), slice.len(), flags) });
    }
    // SAFETY: msghdr is plain data for which zero is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // IoSlice is promised to have the layout of iovec.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len();
    // SAFETY: the message names only the slices, borrowed through the call; the kernel only reads them.
    retry(|| unsafe { libc::sendmsg(socket.as_raw_fd(), &message, flags) })
}

/// Sends a range of a file as far as the (non-blocking) socket takes it now; 0 when the file ends before `position`.
pub(crate) fn send_file(socket: BorrowedFd<'_>, file: &File, position: u64, len: usize) -> io::Result<usize> {
    retry(|| {
        let mut offset = position as libc::off_t;
        // SAFETY: both descriptors are borrowed through the call; `offset` is a valid place.
        unsafe { libc::sendfile(socket.as_raw_fd(), file.as_raw_fd(), &mut offset, len) }
    })
}

fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

const CACHESTAT: libc::c_long = 451;
static CACHESTAT_MISSING: AtomicBool = AtomicBool::new(false);

#[repr(C)]
struct CacheRange {
    offset: u64,
    len: u64,
}

#[repr(C)]
#[derive(Default)]
struct CacheStat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Whether a range of a file lies in the page cache, so that sending it does not wait for the disk. True when that cannot
/// be found out.
pub(crate) fn is_cached(file: &File, position: u64, len: u64) -> bool {
    if len == 0 {
        return true;
    }
    if !CACHESTAT_MISSING.load(Ordering::Relaxed) {
        let range = CacheRange { offset: position, len };
        let mut stat = CacheStat::default();
        // SAFETY: both structures are laid out as the kernel's ABI has them and live through the call.
        let result = unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut stat, 0) };
        if result == 0 {
            let pages = (position + len - 1) / PAGE - position / PAGE + 1;
            return stat.cached >= pages;
        }
        match io::Error::last_os_error().raw_os_error() {
            // Before kernel 6.5, or forbidden.
            Some(libc::ENOSYS | libc::EPERM) => CACHESTAT_MISSING.store(true, Ordering::Relaxed),
            _ => return true,
        }
    }
    is_probed_cached(file, position, len)
}

const PAGE: u64 = 4096;
/// Distance between the bytes probed; read-ahead brings in about this much at once.
const PROBE_STRIDE: u64 = 128 << 10;

/// Reads single bytes of the range without waiting.
pub(crate) fn is_probed_cached(file: &File, position: u64, len: u64) -> bool {
    let end = position + len;
    let mut at = position;
    while at < end {
        if !is_byte_cached(file, at) {
            return false;
        }
        at += PROBE_STRIDE;
    }
    is_byte_cached(file, end - 1)
}

/// Whether the page under `position` can be read without waiting; true when that cannot be found out.
pub(crate) fn is_byte_cached(file: &File, position: u64) -> bool {
    let mut byte = 0u8;
    let piece = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: the piece is one byte, alive through the call.
    let read = unsafe { read_nowait(file, piece, position) };
    !read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Has the allocator keep freed memory instead of giving it back to the kernel at once: a buffer for a frame of 64 KiB would
/// otherwise be taken from the kernel page by page for every request, which costs more than receiving it.
pub(crate) fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    {
        const MIB: c_int = 1 << 20;
        // SAFETY: sets two thresholds of the C library's allocator, which takes a lock of its own.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, 16 * MIB);
            libc::mallopt(libc::M_TRIM_THRESHOLD, 64 * MIB);
        }
    }
}

/// Sends small packets at once.
pub(crate) fn set_no_delay(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_tcp_option(socket, libc::TCP_NODELAY, &1i32.to_ne_bytes())
}

/// While corked a socket sends full packets only; uncorking sends what is left.
pub(crate) fn set_cork(socket: BorrowedFd<'_>, corked: bool) -> io::Result<()> {
    set_tcp_option(socket, libc::TCP_CORK, &i32::from(corked).to_ne_bytes())
}

/// Has a listener's connections sent without pacing (`reno`, which every kernel has and everyone may choose). Where BBR is
/// the default it spaces packets by timers after an estimate of the path's bandwidth; inside one machine there is no path
/// to be estimated, and setting a timer costs more than sending.
pub(crate) fn do_not_pace(listener: BorrowedFd<'_>) -> io::Result<()> {
    set_tcp_option(listener, libc::TCP_CONGESTION, b"reno")
}

fn set_tcp_option(socket: BorrowedFd<'_>, option: c_int, value: &[u8]) -> io::Result<()> {
    // SAFETY: the value is borrowed through the call, the kernel reads its `len` bytes.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Tells the peer that nothing more will be sent.
pub(crate) fn shut_down_sending(socket: BorrowedFd<'_>) {
    // SAFETY: takes no pointers. An error means that the connection is gone, which receiving will tell.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) };
}

pub(crate) fn peer_address(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    address(socket, libc::getpeername)
}

pub(crate) fn local_address(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    address(socket, libc::getsockname)
}

type AddressCall = unsafe extern "C" fn(c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> c_int;

fn address(socket: BorrowedFd<'_>, call: AddressCall) -> io::Result<SocketAddr> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the storage has `len` bytes and is suitably aligned for every address family.
    if unsafe { call(socket.as_raw_fd(), storage.as_mut_ptr().cast(), &mut len) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zeroes is a valid value of this plain structure, and the kernel wrote a valid address over it.
    let storage = unsafe { storage.assume_init() };
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage holds this smaller plain structure at its start.
            let v4 = unsafe { (&raw const storage).cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Ok(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { (&raw const storage).cast::<libc::sockaddr_in6>().read() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let (port, scope) = (u16::from_be(v6.sin6_port), v6.sin6_scope_id);
            Ok(SocketAddr::V6(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, scope)))
        }
        family => Err(io::Error::other(format!("address family {family}"))),
    }
}

/// Whether the file system of the empty `file` takes buffered writes without waiting (`RWF_NOWAIT`).
pub(crate) fn takes_nowait_writes(file: &std::fs::File) -> bool {
    let page = [0u8; PAGE as usize];
    // With a page there already, nothing has to be allocated and so nothing to be waited for. Still a single write may meet
    // a lock; a file system that cannot do it says so every time.
    let _ = FileExt::write_at(file, &page, 0);
    let piece = libc::iovec { iov_base: page.as_ptr().cast_mut().cast(), iov_len: page.len() };
    (0..10).any(|_| {
        // SAFETY: one piece, alive through the call, which only reads it.
        unsafe { libc::pwritev2(file.as_raw_fd(), &piece, 1, 0, libc::RWF_NOWAIT) > 0 }
    })
}
