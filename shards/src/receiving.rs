//! From the ring to the service: which receive operation a socket has in the ring, and what becomes of its bytes.

use std::os::fd::AsRawFd;
use std::rc::Rc;

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};

use crate::chunk::Chunk;
use crate::ids::{Nanos, SocketId};
use crate::ring::{BUFFER_GROUP, Completion, Kind};
use crate::socket::{Armed, Into, Phase, Socket};
use crate::sockets::Sockets;

/// From this many missing bytes on it pays to receive straight into the vector instead of copying out of lent buffers.
const BULK_BYTES: usize = 32 << 10;
/// Small pieces in a row after which a socket does not count as bulk any more.
const BULK_PATIENCE: u8 = 8;
/// Received at once when no buffer can be lent.
const HEAP_BYTES: usize = 4 << 10;

impl Sockets {
    /// Takes the completion of a receive operation; returns the socket it belongs to.
    pub(crate) fn received(&mut self, completion: &Completion, now: Nanos) -> SocketId {
        let pool = Rc::clone(&self.pool);
        let socket = self.of_op(completion.name);
        let id = socket.id;
        let count = usize::try_from(completion.result).unwrap_or(0);
        let lent = completion.buffer().map(|buffer| {
            // SAFETY: the kernel names the buffer in this completion, which is looked at once.
            unsafe { pool.take(buffer, count) }
        });
        let receive = &mut socket.receive;
        let armed = receive.armed;
        let cancelled = receive.cancelling;
        if !completion.more() {
            receive.armed = Armed::Nothing;
            receive.cancelling = false;
        }
        let ahead = receive.into.as_mut().map_or(0, |into| std::mem::take(&mut into.ahead));
        if count > 0 {
            match (armed, lent) {
                (Armed::Multi | Armed::Pooled, Some(buffer)) => receive.held.push_back(Chunk::from_buffer(buffer)),
                (Armed::Into, None) => {
                    let into = receive.into.as_mut().expect("a receive into a vector has the vector");
                    assert!(count <= into.missing() + ahead, "the kernel receives more than was asked for");
                    // SAFETY: the kernel has filled `count` bytes behind the vector's length, inside its capacity: the
                    // operation was given `missing()` bytes there, reserved in receive_into(), and `ahead` of what else is spare.
                    unsafe { into.buf.set_len(into.buf.len() + count) };
                    into.may_take_more = false;
                }
                (Armed::Heap, None) => {
                    // SAFETY: the kernel has filled `count` bytes of the empty vector, whose capacity it was given.
                    unsafe { receive.heap.set_len(count) };
                    let mut bytes = std::mem::take(&mut receive.heap);
                    bytes.shrink_to_fit();
                    receive.held.push_back(Chunk::from(bytes));
                }
                (armed, _) => crate::fatal(format_args!("a receive of kind {armed:?} completes in another way")),
            }
            crate::counters::add(&self.tally.bytes_received, count as u64);
        } else if completion.result == 0 {
            self.ended_input(id, now);
        } else if !is_harmless(-completion.result, cancelled) {
            self.close(id);
        }
        self.ahead_left += ahead;
        if !completion.more() {
            self.op_ended(id);
        }
        self.list(id);
        id
    }

    /// The next piece to deliver.
    pub(crate) fn next_chunk(&mut self, id: SocketId) -> Option<Chunk> {
        let socket = self.get(id)?;
        let receive = &mut socket.receive;
        if socket.phase != Phase::Open {
            receive.held.clear();
            return None;
        }
        if receive.paused {
            return None;
        }
        if receive.into.is_none() {
            let chunk = receive.held.pop_front()?;
            receive.bulk = receive.bulk.saturating_sub(1);
            return Some(chunk);
        }
        if receive.armed == Armed::Into {
            return None;
        }
        let into = receive.into.as_mut()?;
        while into.missing() > 0 {
            let chunk = receive.held.pop_front()?;
            let count = chunk.len().min(into.missing());
            into.buf.extend_from_slice(&chunk[..count]);
            if count < chunk.len() {
                receive.held.push_front(chunk.slice(count..chunk.len()));
            }
        }
        receive.into.take().map(|into| Chunk::from(into.buf))
    }

    pub(crate) fn receive_into(&mut self, id: SocketId, mut buf: Vec<u8>, upto: usize) {
        let ring = Rc::clone(&self.ring);
        let Some(socket) = self.get(id) else { return };
        if socket.phase != Phase::Open {
            return;
        }
        assert!(socket.receive.into.is_none(), "receive_into while another one is under way");
        assert!(buf.len() <= upto, "receive_into with {} bytes already there, up to {upto}", buf.len());
        buf.reserve_exact(upto - buf.len());
        let into = Into { may_take_more: buf.capacity() > upto, buf, upto, ahead: 0 };
        let receive = &mut socket.receive;
        let held: usize = receive.held.iter().map(|chunk| chunk.len()).sum();
        if into.missing() >= held + BULK_BYTES {
            receive.bulk = BULK_PATIENCE;
            if receive.armed == Armed::Multi && !std::mem::replace(&mut receive.cancelling, true) {
                ring.cancel(socket.op(Kind::Receive));
            }
        }
        let receive = &mut socket.receive;
        let deliverable = held > 0 || into.missing() == 0;
        receive.into = Some(into);
        if deliverable {
            self.ready.push(id);
        }
        self.list(id);
    }

    pub(crate) fn pause(&mut self, id: SocketId) {
        let ring = Rc::clone(&self.ring);
        let Some(socket) = self.get(id) else { return };
        let receive = &mut socket.receive;
        if socket.phase != Phase::Open || std::mem::replace(&mut receive.paused, true) {
            return;
        }
        if receive.armed != Armed::Nothing && !std::mem::replace(&mut receive.cancelling, true) {
            ring.cancel(socket.op(Kind::Receive));
        }
    }

    pub(crate) fn resume(&mut self, id: SocketId) {
        let Some(socket) = self.get(id) else { return };
        if std::mem::replace(&mut socket.receive.paused, false) {
            self.ready.push(id);
            self.list(id);
        }
    }

    /// Puts a receive operation into the ring if the socket should have one and has none.
    pub(crate) fn arm(&mut self, id: SocketId) {
        let (ring, can_lend, ahead_left) = (Rc::clone(&self.ring), self.pool.free() > 0, self.ahead_left);
        let Some(socket) = self.get(id) else { return };
        let receive = &socket.receive;
        if receive.armed != Armed::Nothing || receive.paused || receive.eof || socket.phase == Phase::Closing {
            return;
        }
        let (armed, entry) = socket.receive_entry(can_lend, ahead_left);
        socket.receive.armed = armed;
        socket.in_flight += 1;
        let name = socket.op(Kind::Receive);
        let ahead = socket.receive.into.as_ref().map_or(0, |into| into.ahead);
        // SAFETY: with Multi and Pooled the entry names no memory but the lent pool, which the driver keeps until nothing is
        // in flight (or leaks). With Into and Heap it names the spare capacity of a vector in this socket: while `armed`
        // says so nobody touches that vector (next_chunk and receive_into look first), and the socket is not removed
        // before its operations have ended; moving the vector does not move its memory.
        unsafe { ring.push(name, entry) };
        self.ahead_left -= ahead;
    }
}

/// Whether the connection survives a receive that failed with this errno.
fn is_harmless(errno: i32, cancelled: bool) -> bool {
    match errno {
        // The lent buffers were used up, or the operation was interrupted: it is armed again when the turn ends.
        libc::ENOBUFS | libc::EINTR | libc::EAGAIN => true,
        libc::ECANCELED => cancelled,
        _ => false,
    }
}

impl Socket {
    fn receive_entry(&mut self, can_lend: bool, ahead_left: usize) -> (Armed, Entry) {
        let fd = types::Fd(self.fd.as_raw_fd());
        let receive = &mut self.receive;
        match &mut receive.into {
            Some(into) if receive.bulk > 0 && self.phase == Phase::Open && receive.held.is_empty() => {
                let room = into.buf.capacity() - into.buf.len().max(into.upto);
                into.ahead = if into.may_take_more { room.min(ahead_left) } else { 0 };
                // With room for more it takes what is there, without it waits for all.
                let flags = if into.ahead > 0 { 0 } else { libc::MSG_WAITALL };
                let len = (into.missing() + into.ahead).min(1 << 30) as u32;
                let entry = opcode::Recv::new(fd, into.buf.spare_capacity_mut().as_mut_ptr().cast(), len).flags(flags);
                (Armed::Into, entry.build())
            }
            _ if !can_lend => {
                receive.heap = Vec::with_capacity(HEAP_BYTES);
                let entry = opcode::Recv::new(fd, receive.heap.as_mut_ptr(), HEAP_BYTES as u32).build();
                (Armed::Heap, entry)
            }
            _ if receive.bulk > 0 => {
                let entry = opcode::Recv::new(fd, std::ptr::null_mut(), 0).buf_group(BUFFER_GROUP).build();
                (Armed::Pooled, entry.flags(Flags::BUFFER_SELECT))
            }
            _ => (Armed::Multi, opcode::RecvMulti::new(fd, BUFFER_GROUP).build()),
        }
    }
}
