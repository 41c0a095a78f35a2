//! A connection that sends what it is given and cuts what comes back into answers, for event loops.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::failure::{Doing, Failure};
use crate::replies::Replies;

pub(crate) struct Pipe {
    stream: TcpStream,
    replies: Replies,
    out: Vec<u8>,
    written_bytes: usize,
}

impl Pipe {
    /// `head_max`: as for [`Replies::new`].
    pub(crate) fn connect(
        address: SocketAddr,
        registry: &Registry,
        token: Token,
        head_max: usize,
    ) -> Result<Pipe, Failure> {
        let stream = std::net::TcpStream::connect(address).doing("connect")?;
        stream.set_nodelay(true).doing("set TCP_NODELAY")?;
        stream.set_nonblocking(true).doing("set O_NONBLOCK")?;
        let mut stream = TcpStream::from_std(stream);
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, token, both).doing("register a socket")?;
        Ok(Pipe { stream, replies: Replies::new(head_max), out: Vec::new(), written_bytes: 0 })
    }

    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<(), Failure> {
        self.out.extend_from_slice(frame);
        self.flush()
    }

    /// Writes until everything is written or the socket is full.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        while self.written_bytes < self.out.len() {
            match self.stream.write(&self.out[self.written_bytes..]) {
                Ok(count) => self.written_bytes += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::Io("send requests", error)),
            }
        }
        self.out.clear();
        self.written_bytes = 0;
        Ok(())
    }

    /// Reads until the socket is empty. `on_reply` gets each answer's head, from its correlation id on.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut [u8],
        mut on_reply: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return Err(Failure::Malformed("the broker closed the connection")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::Io("receive answers", error)),
            };
            self.replies.feed(&scratch[..count], |head, _| on_reply(head))?;
        }
    }
}
