//! Receives an answer and throws it away: its head is read, the rest the kernel drops without copying it (`MSG_TRUNC`).
//!
//! On one machine the receiver copies what the broker's `sendfile` only refers to, so that a load which reads what it fetches is busier
//! than the broker it measures. Bytes that are dropped are still received, acknowledged and counted.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;

use mio::net::TcpStream;
use nix::sys::socket::{MsgFlags, recv};
use wire::records::Batches;

use crate::failure::Failure;
use crate::protocol;
use crate::replies::frame_size;

const SIZE_BYTES: usize = 4;

/// The answer that is under way on one connection, which has no other request out.
pub(crate) struct Answer {
    /// Size prefix and head; all of the answer if it is to be checked.
    kept: Vec<u8>,
    /// Bytes that are to be kept of this answer, from the prefix on; grows when its size is known.
    keep: usize,
    /// Bytes still to be dropped.
    left: usize,
    whole: bool,
}

impl Answer {
    pub(crate) fn new() -> Answer {
        Answer { kept: Vec::new(), keep: SIZE_BYTES + protocol::HEAD_MAX, left: 0, whole: false }
    }

    /// The next answer begins. `whole`: it is kept from end to end.
    pub(crate) fn begin(&mut self, whole: bool) {
        *self = Answer { kept: std::mem::take(&mut self.kept), whole, ..Answer::new() };
        self.kept.clear();
    }

    /// Receives what is there; true when the answer has ended, false when there is no more for now.
    pub(crate) fn receive(&mut self, stream: &mut TcpStream, scratch: &mut [u8]) -> Result<bool, Failure> {
        loop {
            let received = if self.kept.len() < self.keep {
                let want = (self.keep - self.kept.len()).min(scratch.len());
                stream.read(&mut scratch[..want])
            } else {
                let want = self.left.min(scratch.len());
                recv(stream.as_raw_fd(), &mut scratch[..want], MsgFlags::MSG_TRUNC).map_err(io::Error::from)
            };
            match received {
                Ok(0) => return Err(Failure::Malformed("the broker closed the connection")),
                Ok(count) if self.take(&scratch[..count])? => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Failure::Io("receive answers", error)),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        if self.kept.len() == self.keep {
            self.left -= bytes.len();
            return Ok(self.left == 0);
        }
        let knew = self.kept.len() >= SIZE_BYTES;
        self.kept.extend_from_slice(bytes);
        if !knew && self.kept.len() >= SIZE_BYTES {
            let size = SIZE_BYTES + frame_size(&self.kept)?;
            self.keep = if self.whole { size } else { self.keep.min(size) };
            if self.kept.len() > self.keep {
                return Err(Failure::Malformed("more than one answer"));
            }
            self.left = size - self.keep;
        }
        Ok(self.kept.len() == self.keep && self.left == 0)
    }

    /// From the correlation id on: the head, or all of it.
    pub(crate) fn head(&self) -> &[u8] {
        &self.kept[SIZE_BYTES..]
    }

    pub(crate) fn frame_size(&self) -> Result<usize, Failure> {
        frame_size(&self.kept)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }
}

/// Whether these are batches as they were written, from `offset` on; the last may be cut.
pub(crate) fn check(records: &[u8], mut offset: i64) -> Result<(), Failure> {
    for batch in Batches::new(records) {
        let batch = batch?;
        if batch.header.base_offset != offset || !batch.crc_matches() {
            return Err(Failure::Malformed("a batch that was not written so"));
        }
        offset = batch.header.next_offset();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn answers_end_where_they_end_whether_kept_or_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut broker = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(stream);
        let mut scratch = vec![0; 4096];
        let mut answer = Answer::new();
        for (size, whole) in [(5, false), (128, false), (129, true), (50_000, false), (50_000, true), (127, false)] {
            answer.begin(whole);
            let body: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            broker.write_all(&(size as i32).to_be_bytes()).unwrap();
            broker.write_all(&body).unwrap();
            while !answer.receive(&mut stream, &mut scratch).unwrap() {}
            assert_eq!(answer.frame_size().unwrap(), size);
            let seen = if whole { size } else { size.min(protocol::HEAD_MAX) };
            assert_eq!(answer.head(), &body[..seen]);
        }
    }

    #[test]
    fn a_damaged_batch_is_noticed() {
        let batch = crate::batch::build(4, 100, 0, wire::records::Codec::None).unwrap();
        assert!(check(&batch, 0).is_ok());
        assert!(check(&batch[..batch.len() - 1], 0).is_ok(), "a cut batch is legal");
        assert!(check(&batch, 4).is_err());
        let mut damaged = batch;
        damaged[80] ^= 1;
        assert!(check(&damaged, 0).is_err());
    }
}
