//! From the service to the peer: what one turn queued leaves in one system call per kind of data.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use io_uring::{opcode, types};

use crate::counters::{Tally, add};
use crate::files::WARM_BYTES;
use crate::ids::{Nanos, SocketId};
use crate::ring::{Completion, Kind};
use crate::socket::{FileRange, Item, Output, Phase, Socket};
use crate::sockets::Sockets;
use crate::sys;

/// Slices handed to one `sendmsg`.
const SLICES_PER_SEND: usize = 32;
/// Bytes of a file sent by one system call; they are looked up in the page cache first. Every call ends a packet and costs
/// its own way through TCP, so it is as much as a socket sends in its turn.
const FILE_WINDOW: u64 = FAIR_SHARE as u64;
/// A range up to this long is read and leaves in one packet with what stands around it: looking it up, three packets and
/// as many wakes of the peer cost more than the copy.
const COPIED_BYTES: u64 = 16 << 10;
/// Bytes sent for one socket before the others get their turn.
const FAIR_SHARE: usize = 1 << 20;

enum Progress {
    Empty,
    /// The socket had its share; it goes on in the next turn.
    Share,
    /// The socket takes no more for now.
    Full,
    /// The next range is not in the page cache.
    Cold,
    Failed,
}

impl Sockets {
    /// Sends as much of the socket's output as goes without waiting, and sees to it that the rest follows.
    pub(crate) fn flush(&mut self, id: SocketId, now: Nanos) {
        let tally = Rc::clone(&self.tally);
        let Some(socket) = self.get(id) else { return };
        if socket.output.waiting || socket.output.warming || socket.phase == Phase::Closing {
            return;
        }
        match socket.send_some(&tally) {
            Progress::Empty => {
                if std::mem::take(&mut socket.output.fresh) {
                    self.sent.push(id);
                }
                self.drained(id, now);
            }
            Progress::Share => self.list(id),
            Progress::Full => self.wait_until_writable(id),
            Progress::Cold => self.warm(id),
            Progress::Failed => self.close(id),
        }
    }

    fn wait_until_writable(&mut self, id: SocketId) {
        let ring = Rc::clone(&self.ring);
        let Some(socket) = self.get(id) else { return };
        socket.output.waiting = true;
        socket.in_flight += 1;
        let entry = opcode::PollAdd::new(types::Fd(socket.fd.as_raw_fd()), libc::POLLOUT as u32).build();
        // SAFETY: a poll names no memory.
        unsafe { ring.push(socket.op(Kind::Writable), entry) };
    }

    /// Takes the completion of `wait_until_writable`. Whatever it says, the next send tells how things are.
    pub(crate) fn writable(&mut self, completion: &Completion) {
        let socket = self.of_op(completion.name);
        let id = socket.id;
        socket.output.waiting = false;
        self.op_ended(id);
        self.list(id);
    }

    fn warm(&mut self, id: SocketId) {
        let files = self.files.clone();
        add(&self.tally.cold_reads, 1);
        let Some(socket) = self.get(id) else { return };
        let Some(Item::File(range)) = socket.output.queue.front_mut() else { return };
        let len = range.len.min(WARM_BYTES as u64);
        range.warm_until = range.position + len;
        files.warm(&range.file, range.position, len, id);
        socket.output.warming = true;
    }

    /// The range was read, or could not be: sending will tell.
    pub(crate) fn warmed(&mut self, id: SocketId) {
        if let Some(socket) = self.get(id) {
            socket.output.warming = false;
            self.list(id);
        }
    }
}

impl Socket {
    fn send_some(&mut self, tally: &Tally) -> Progress {
        self.output.read_small_ranges();
        // What stands round a file range leaves in packets with it: sendfile would end one, and the few bytes of an answer's
        // tail would be another. A refused setting only makes it slower.
        let corked = self.output.is_mixed() && sys::set_cork(self.fd.as_fd(), true).is_ok();
        let progress = self.send_share(tally);
        if corked {
            let _ = sys::set_cork(self.fd.as_fd(), false);
        }
        progress
    }

    fn send_share(&mut self, tally: &Tally) -> Progress {
        let mut share = FAIR_SHARE;
        loop {
            let sent = match self.output.queue.front() {
                None => return Progress::Empty,
                Some(_) if share == 0 => return Progress::Share,
                Some(Item::Bytes { .. }) => self.send_bytes(),
                Some(Item::File(range)) => {
                    let Some(len) = range.sendable() else { return Progress::Cold };
                    self.send_file(len)
                }
            };
            add(&tally.sends, 1);
            match sent {
                Ok(count) => {
                    add(&tally.bytes_sent, count as u64);
                    share = share.saturating_sub(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Full,
                Err(_) => return Progress::Failed,
            }
        }
    }

    fn send_bytes(&mut self) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_PER_SEND];
        let mut count = 0;
        let mut more = false;
        for item in &self.output.queue {
            match item {
                Item::Bytes { bytes, at } if count < SLICES_PER_SEND => {
                    slices[count] = IoSlice::new(&bytes[*at..]);
                    count += 1;
                }
                _ => {
                    more = true;
                    break;
                }
            }
        }
        let sent = sys::send(self.fd.as_fd(), &slices[..count], more)?;
        self.output.sent_bytes(sent);
        Ok(sent)
    }

    fn send_file(&mut self, len: u64) -> io::Result<usize> {
        let Output { queue, .. } = &self.output;
        let Some(Item::File(range)) = queue.front() else { return Ok(0) };
        let sent = sys::send_file(self.fd.as_fd(), &range.file, range.position, len as usize)?;
        if sent == 0 {
            // The peer was promised these bytes and takes whatever comes next for them.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.output.sent_file(sent as u64);
        Ok(sent)
    }
}

impl Output {
    /// Whether file ranges and bytes follow each other.
    fn is_mixed(&self) -> bool {
        self.queue.len() > 1 && self.queue.iter().take(SLICES_PER_SEND).any(|item| matches!(item, Item::File(_)))
    }

    /// What cannot be read without waiting stays a range.
    fn read_small_ranges(&mut self) {
        for item in self.queue.iter_mut().take(SLICES_PER_SEND) {
            if let Item::File(FileRange { file, position, len, .. }) = item
                && *len <= COPIED_BYTES
                && let Some(bytes) = sys::read_at_once(file, *position, *len as usize)
            {
                *item = Item::Bytes { bytes, at: 0 };
            }
        }
    }
}

impl FileRange {
    /// How much can be sent at once without waiting for the disk.
    fn sendable(&self) -> Option<u64> {
        if self.position < self.warm_until {
            return Some(self.len.min(self.warm_until - self.position));
        }
        // A cold reader's window is smaller: what of it is there need not wait for what is not.
        let windows = [FILE_WINDOW, WARM_BYTES as u64].map(|window| self.len.min(window));
        windows.into_iter().find(|len| self.is_there(*len))
    }

    /// Read-ahead puts pages into the cache before their bytes are there, so the last is asked for its bytes too.
    fn is_there(&self, len: u64) -> bool {
        sys::is_cached(&self.file, self.position, len) && sys::is_byte_cached(&self.file, self.position + len - 1)
    }
}
