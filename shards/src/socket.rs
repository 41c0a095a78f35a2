//! One connection's state.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use crate::chunk::Chunk;
use crate::file::File;
use crate::ids::SocketId;
use crate::ring::{Kind, OpName};
use crate::service::Out;

pub(crate) struct Socket {
    pub(crate) id: SocketId,
    pub(crate) fd: OwnedFd,
    pub(crate) phase: Phase,
    /// Operations in the ring that name this socket; its slot and descriptor stay until there are none.
    pub(crate) in_flight: u8,
    pub(crate) receive: Receive,
    pub(crate) output: Output,
    /// On the list of sockets to look at when the turn ends.
    pub(crate) listed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// Closes once the queued output has left. Input is thrown away.
    Finishing,
    /// All is sent and the sending side shut. Waits for the peer to close, so that unread input does not turn into a reset
    /// that would destroy what the peer has not read yet.
    Lingering,
    /// Waits for its operations to end.
    Closing,
}

/// Which receive operation is in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Armed {
    Nothing,
    /// Multishot, into lent buffers.
    Multi,
    /// One receive into a lent buffer.
    Pooled,
    /// One receive straight behind the bytes of `Receive::into`.
    Into,
    /// One receive into `Receive::heap`: the lent buffers are used up.
    Heap,
}

pub(crate) struct Receive {
    pub(crate) armed: Armed,
    /// The armed operation is being cancelled.
    pub(crate) cancelling: bool,
    pub(crate) paused: bool,
    pub(crate) eof: bool,
    /// Above zero for a socket that carries large frames: it is received from one operation at a time. Counts down with
    /// every small piece.
    pub(crate) bulk: u8,
    pub(crate) into: Option<Into>,
    pub(crate) heap: Vec<u8>,
    /// Received and not yet delivered; non-empty between turns only while paused.
    pub(crate) held: VecDeque<Chunk>,
}

pub(crate) struct Into {
    pub(crate) buf: Vec<u8>,
    /// Bytes that are waited for.
    pub(crate) upto: usize,
    /// The next operation may take what follows too, as far as the vector has room.
    pub(crate) may_take_more: bool,
    /// Bytes beyond `upto` that the operation in the ring may take.
    pub(crate) ahead: usize,
}

impl Into {
    pub(crate) fn missing(&self) -> usize {
        self.upto.saturating_sub(self.buf.len())
    }
}

/// Answers up to this size leave as one piece with others: a copy costs less than a slice of a `sendmsg`, and gives back at once
/// what the answer was written in.
const SMALL_BYTES: usize = 256;
/// Room for as many as a client usually has in flight; each connection keeps so much.
const GATHERED_BYTES: usize = 512;

#[derive(Default)]
pub(crate) struct Output {
    pub(crate) queue: VecDeque<Item>,
    /// Memory for the next small answers, without bytes.
    spare: Vec<u8>,
    /// Bytes in the queue, files included.
    pub(crate) bytes: u64,
    /// The socket takes no more; an operation in the ring waits until it does.
    pub(crate) waiting: bool,
    /// A file range is being read into the page cache.
    pub(crate) warming: bool,
    /// Something was queued since `sent` was last told.
    pub(crate) fresh: bool,
}

pub(crate) enum Item {
    Bytes { bytes: Vec<u8>, at: usize },
    File(FileRange),
}

pub(crate) struct FileRange {
    pub(crate) file: File,
    pub(crate) position: u64,
    pub(crate) len: u64,
    /// Up to here the range was read into the page cache for this sending.
    pub(crate) warm_until: u64,
}

impl Output {
    pub(crate) fn push(&mut self, out: Out) {
        self.bytes += out.len();
        self.fresh = true;
        match out {
            Out::Bytes(bytes) if bytes.is_empty() => {}
            Out::Bytes(bytes) if bytes.len() <= SMALL_BYTES => self.gather(&bytes),
            Out::File { len: 0, .. } => {}
            Out::Bytes(bytes) => self.queue.push_back(Item::Bytes { bytes, at: 0 }),
            Out::File { file, position, len } => {
                self.queue.push_back(Item::File(FileRange { file, position, len, warm_until: position }));
            }
        }
    }

    fn gather(&mut self, bytes: &[u8]) {
        match self.queue.back_mut() {
            Some(Item::Bytes { bytes: last, .. }) if last.capacity() - last.len() >= bytes.len() => {
                last.extend_from_slice(bytes);
            }
            _ => {
                let mut first = std::mem::take(&mut self.spare);
                first.reserve(GATHERED_BYTES);
                first.extend_from_slice(bytes);
                self.queue.push_back(Item::Bytes { bytes: first, at: 0 });
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.bytes = 0;
    }

    /// Removes `count` bytes that were sent from the vectors at the front.
    pub(crate) fn sent_bytes(&mut self, mut count: usize) {
        self.bytes -= count as u64;
        while count > 0 {
            let Some(Item::Bytes { bytes, at }) = self.queue.front_mut() else {
                crate::fatal("more bytes were sent than were queued");
            };
            let left = bytes.len() - *at;
            if count < left {
                *at += count;
                return;
            }
            count -= left;
            let Some(Item::Bytes { mut bytes, .. }) = self.queue.pop_front() else { return };
            if bytes.capacity() == GATHERED_BYTES {
                bytes.clear();
                self.spare = bytes;
            }
        }
    }

    /// Removes `count` bytes that were sent from the file range at the front.
    pub(crate) fn sent_file(&mut self, count: u64) {
        self.bytes -= count;
        let Some(Item::File(range)) = self.queue.front_mut() else {
            crate::fatal("a file range was sent that was not queued");
        };
        range.position += count;
        range.len -= count;
        if range.len == 0 {
            self.queue.pop_front();
        }
    }
}

impl Socket {
    pub(crate) fn new(id: SocketId, fd: OwnedFd) -> Self {
        let receive = Receive {
            armed: Armed::Nothing,
            cancelling: false,
            paused: false,
            eof: false,
            bulk: 0,
            into: None,
            heap: Vec::new(),
            held: VecDeque::new(),
        };
        Self { id, fd, phase: Phase::Open, in_flight: 0, receive, output: Output::default(), listed: false }
    }

    pub(crate) fn op(&self, kind: Kind) -> OpName {
        OpName::new(kind, self.id.generation, self.id.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(output: &Output) -> Vec<usize> {
        let sizes = output.queue.iter().map(|item| match item {
            Item::Bytes { bytes, at } => bytes.len() - at,
            Item::File(range) => range.len as usize,
        });
        sizes.collect()
    }

    #[test]
    fn small_answers_leave_together_and_their_memory_stays() {
        let mut output = Output::default();
        for _ in 0..6 {
            output.push(Out::Bytes(vec![1; 100]));
        }
        assert_eq!((pieces(&output), output.bytes), (vec![500, 100], 600));
        output.sent_bytes(250);
        assert_eq!(pieces(&output), [250, 100]);
        output.push(Out::Bytes(vec![2; 100]));
        output.push(Out::Bytes(vec![3; 1000]));
        output.push(Out::Bytes(vec![4; 100]));
        assert_eq!(pieces(&output), [250, 200, 1000, 100]);
        output.sent_bytes(1550);
        assert_eq!((pieces(&output), output.bytes, output.spare.capacity()), (vec![], 0, GATHERED_BYTES));
        let kept = output.spare.as_ptr();
        output.push(Out::Bytes(vec![5; 100]));
        let Some(Item::Bytes { bytes, .. }) = output.queue.front() else { panic!("bytes were queued") };
        assert!(bytes.as_ptr() == kept && *bytes == [5; 100]);
    }
}
