//! Sockets on one side, whole requests and ordered replies on the other.
//!
//! Owns the connections of one shard. Knows frames, not what is in them: a [`Handler`] decides that.

mod connection;
mod frames;
mod memory;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

use foldhash::HashMap;
use shards::{Chunk, Core, Nanos, SocketId};

use crate::calls::Call;
use crate::metrics::log as lines;
use connection::{Connection, Running};
use frames::Cut;
use memory::Memory;

pub use connection::Reply;
pub(crate) use connection::Sequence;

/// Queued output above which a connection's requests are not read any more.
const OUTPUT_HIGH_BYTES: usize = 16 * 1024 * 1024;

/// Unhandled input above which a connection is not read any more.
const BACKLOG_HIGH_BYTES: usize = 64 * 1024;

/// Refused connections that come one behind the other are told of once.
const REFUSED_NS_MIN: u64 = 1_000_000_000;

/// Connections may be starved of request memory for so long before the one that holds most of it is closed.
const STARVED_NS_MAX: u64 = 10_000_000_000;

/// One request as it came from a socket. `sequence` is its place among the replies of its connection.
pub struct Request {
    pub socket: SocketId,
    pub sequence: Sequence,
    pub listener: usize,
    pub peer: SocketAddr,
    pub frame: Chunk,
}

/// What a handler made of a request.
pub enum Outcome {
    Reply(Reply),
    /// Nothing is ever sent for it (Produce with acks=0).
    Silent,
    /// The reply comes later; until then only requests that may overlap are read.
    Overlapping,
    /// The reply comes later; nothing is read until then.
    Later,
    /// The request can't be answered; the text says why.
    Close(String),
}

/// Makes replies of requests. Must not call back into [`Net`].
pub trait Handler {
    /// True for requests that may start while others of the same kind wait for their replies (Produce).
    fn may_overlap(&self, frame: &[u8]) -> bool;
    fn handle(&self, request: Request) -> Outcome;
}

#[derive(Debug, Clone, Copy)]
pub struct NetLimits {
    /// `socket.request.max.bytes`
    pub frame_bytes_max: usize,
    /// `connections.max.idle.ms`, in nanoseconds; 0 means for ever.
    pub idle_ns_max: u64,
    /// Bytes of incomplete large requests that all connections of this shard may hold together.
    pub request_memory_bytes: usize,
    /// Connections of all shards together; a further one is closed at once.
    pub connections_max: usize,
}

pub struct Net {
    core: Core<Call>,
    limits: NetLimits,
    connections: RefCell<HashMap<SocketId, Connection>>,
    memory: RefCell<Memory>,
    /// Connections that had their share of a wake and have more to do.
    put_off: RefCell<Vec<SocketId>>,
    /// When a connection was last refused.
    refused_at_ns: Cell<u64>,
}

impl Net {
    pub fn new(core: Core<Call>, limits: NetLimits) -> Self {
        let memory = RefCell::new(Memory::new(limits.request_memory_bytes));
        Self {
            core,
            limits,
            connections: RefCell::default(),
            memory,
            put_off: RefCell::default(),
            refused_at_ns: Cell::default(),
        }
    }

    pub fn connection_count(&self) -> usize {
        self.connections.borrow().len()
    }

    pub fn accepted(&self, socket: SocketId, listener: usize, peer: SocketAddr) {
        let mut connections = self.connections.borrow_mut();
        if self.core.connections_of_all() > self.limits.connections_max {
            self.refuse(peer);
            self.core.close(socket);
        }
        let now = self.core.now().0;
        connections.insert(socket, Connection::new(peer, listener, self.limits.frame_bytes_max, now));
    }

    pub fn closed(&self, socket: SocketId) {
        self.connections.borrow_mut().remove(&socket);
        self.release_memory(socket);
    }

    pub fn received(&self, socket: SocketId, chunk: Chunk, handler: &dyn Handler) {
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get_mut(&socket) else { return };
        connection.active_at_ns = self.core.now().0;
        connection.feed(chunk);
        self.advance(socket, connection, handler);
    }

    /// A new wake: connections that had their share of the last one go on.
    pub fn go_on(&self, handler: &dyn Handler) {
        if self.put_off.borrow().is_empty() {
            return;
        }
        let mut connections = self.connections.borrow_mut();
        for socket in self.put_off.take() {
            if let Some(connection) = connections.get_mut(&socket) {
                connection.put_off = false;
                self.advance(socket, connection, handler);
            }
        }
    }

    /// The socket's queued output has left: reading may go on.
    pub fn sent(&self, socket: SocketId, handler: &dyn Handler) {
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get_mut(&socket) else { return };
        if connection.reading_paused {
            self.advance(socket, connection, handler);
        }
    }

    /// A reply that came later, or `None` if the connection has to be closed instead.
    pub fn reply(&self, socket: SocketId, sequence: Sequence, reply: Option<Reply>, handler: &dyn Handler) {
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get_mut(&socket) else { return };
        let Some(reply) = reply else { return self.close(socket, connection) };
        connection.active_at_ns = self.core.now().0;
        connection.settle(sequence, reply, &mut |out| self.core.send(socket, out));
        if connection.has_backlog() {
            self.advance(socket, connection, handler);
        }
    }

    /// Closes connections that said nothing for too long, and the greediest when others starve. Call about once a second.
    pub fn sweep(&self) {
        let now = self.core.now().0;
        let mut connections = self.connections.borrow_mut();
        if self.limits.idle_ns_max > 0 {
            for (socket, connection) in connections.iter_mut() {
                let idle = now.saturating_sub(connection.active_at_ns) > self.limits.idle_ns_max;
                if idle && !connection.has_outstanding() {
                    self.close(*socket, connection);
                }
            }
        }
        let greediest = self.memory.borrow().greediest_if_starved(now, STARVED_NS_MAX);
        if let Some(connection) = greediest.and_then(|socket| connections.get_mut(&socket)) {
            let socket = greediest.expect("a connection was found for it");
            log_closed(
                connection.peer,
                "it holds request memory that others wait for, and its request does not complete",
            );
            self.close(socket, connection);
        }
    }

    /// Handles every frame that is complete and may start, as many as one connection may ask of a wake.
    fn advance(&self, socket: SocketId, connection: &mut Connection, handler: &dyn Handler) {
        let now = self.core.now().0;
        while !connection.closing {
            if connection.has_backlog() && connection.had_its_share(now) {
                self.put_off(socket, connection);
                break;
            }
            if self.core.queued_bytes(socket) > OUTPUT_HIGH_BYTES {
                return self.pause(socket, connection);
            }
            match connection.next() {
                Ok(Cut::Frame(frame)) => self.handle(socket, connection, frame, handler),
                Ok(Cut::Receive { buf, upto }) => return self.receive_large(socket, buf, upto),
                Ok(Cut::Hungry) => break,
                Err(error) => {
                    log_closed(connection.peer, &format!("bad frame: {error:?}"));
                    return self.close(socket, connection);
                }
            }
        }
        if connection.backlog_bytes() > BACKLOG_HIGH_BYTES {
            self.pause(socket, connection);
        } else if connection.reading_paused && !connection.closing {
            connection.reading_paused = false;
            self.core.resume(socket);
        }
    }

    fn handle(&self, socket: SocketId, connection: &mut Connection, frame: Chunk, handler: &dyn Handler) {
        self.release_memory(socket);
        if connection.has_outstanding() && !handler.may_overlap(&frame) {
            return connection.hold_back(&frame);
        }
        let sequence = connection.next_sequence();
        let request = Request { socket, sequence, listener: connection.listener, peer: connection.peer, frame };
        match handler.handle(request) {
            Outcome::Reply(reply) => {
                connection.reserve(Running::Overlapping);
                connection.settle(sequence, reply, &mut |out| self.core.send(socket, out));
            }
            Outcome::Silent => {}
            Outcome::Overlapping => _ = connection.reserve(Running::Overlapping),
            Outcome::Later => _ = connection.reserve(Running::Alone),
            Outcome::Close(why) => {
                log_closed(connection.peer, &why);
                self.close(socket, connection);
            }
        }
    }

    fn receive_large(&self, socket: SocketId, buf: Vec<u8>, upto: usize) {
        let now = self.core.now().0;
        let mut memory = self.memory.borrow_mut();
        if let Some((socket, buf, upto)) = memory.reserve(socket, buf, upto, now) {
            self.core.receive_into(socket, buf, upto);
        } else {
            self.core.pause(socket);
        }
    }

    /// Gives back what a connection held for a large request, and lets those that wait for memory go on.
    fn release_memory(&self, socket: SocketId) {
        for (socket, buf, upto) in self.memory.borrow_mut().release(socket) {
            self.core.resume(socket);
            self.core.receive_into(socket, buf, upto);
        }
    }

    /// There is a next wake at once, after what came in meanwhile.
    fn put_off(&self, socket: SocketId, connection: &mut Connection) {
        if !std::mem::replace(&mut connection.put_off, true) {
            self.put_off.borrow_mut().push(socket);
        }
        self.core.wake_at(Nanos(0));
    }

    fn refuse(&self, peer: SocketAddr) {
        let now = self.core.now().0;
        if now.saturating_sub(self.refused_at_ns.replace(now)) > REFUSED_NS_MIN {
            let most = self.limits.connections_max;
            lines::warn(format_args!("{peer} is refused: {most} connections are open; {}", shards::DESCRIPTOR_HELP));
        }
    }

    fn pause(&self, socket: SocketId, connection: &mut Connection) {
        if !connection.reading_paused {
            connection.reading_paused = true;
            self.core.pause(socket);
        }
    }

    fn close(&self, socket: SocketId, connection: &mut Connection) {
        connection.closing = true;
        self.core.finish(socket);
    }
}

fn log_closed(peer: SocketAddr, why: &str) {
    crate::metrics::log::info(format_args!("closing the connection of {peer}: {why}"));
}
