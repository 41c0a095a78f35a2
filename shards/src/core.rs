//! What a service may ask of its shard.

use std::future::Future;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use crate::counters::Counters;
use crate::files::Files;
use crate::ids::{Nanos, ShardId, SocketId};
use crate::service::{Lane, Out, Seating};
use crate::shard::Shard;

/// A service's side of its shard. Clones are cheap and stay on the shard. No method calls back into the service, so any may
/// be called while the service's own state is borrowed. Ids of connections that are gone are ignored.
pub struct Core<C> {
    pub(crate) shard: Rc<Shard<C>>,
}

impl<C> Clone for Core<C> {
    fn clone(&self) -> Self {
        Self { shard: Rc::clone(&self.shard) }
    }
}

impl<C: Send + 'static> Core<C> {
    pub fn id(&self) -> ShardId {
        self.shard.id
    }

    /// Shards in all; ids run from 0 to `count() - 1`.
    pub fn count(&self) -> u16 {
        self.shard.shared.seats.len() as u16
    }

    pub fn files(&self) -> &Files {
        &self.shard.files
    }

    /// The monotonic clock, read once a turn.
    pub fn now(&self) -> Nanos {
        self.shard.clock.now()
    }

    /// Wall clock in milliseconds since 1970, read once a turn.
    pub fn wall_ms(&self) -> i64 {
        self.shard.clock.wall_ms()
    }

    /// Accepts from `socket` on this shard; each connection goes where `seating` says. `listener` comes back in
    /// `Service::accepted`. When descriptors or memory run out, accepting rests for 100 ms and goes on.
    pub fn listen(&self, socket: TcpListener, listener: usize, seating: Seating) {
        self.shard.listen(socket, listener, seating);
    }

    /// Queues output. What one turn queues for a socket leaves together when the turn ends. Not bounded here: look at
    /// `queued_bytes`, wait for `Service::sent`.
    pub fn send(&self, socket: SocketId, out: Out) {
        let mut sockets = self.shard.sockets.borrow_mut();
        if let Some(open) = sockets.get(socket)
            && open.phase == crate::socket::Phase::Open
        {
            open.output.push(out);
            sockets.list(socket);
        }
    }

    /// Bytes queued and not yet taken by the kernel, files included.
    pub fn queued_bytes(&self, socket: SocketId) -> usize {
        self.shard.sockets.borrow_mut().queued_bytes(socket) as usize
    }

    /// The next bytes are received behind what `buf` holds until it holds `upto` bytes, then delivered as one chunk that owns
    /// the vector; afterwards normal receiving goes on. Takes memory for `upto` bytes at once. Where the vector has capacity
    /// for more, what is there of the bytes that follow may come in the same chunk. At most one per socket at a time; `buf`
    /// must not be longer than `upto`.
    pub fn receive_into(&self, socket: SocketId, buf: Vec<u8>, upto: usize) {
        self.shard.sockets.borrow_mut().receive_into(socket, buf, upto);
    }

    /// Stops delivering now and reading soon, until `resume`. While paused the end of a connection may go unnoticed.
    pub fn pause(&self, socket: SocketId) {
        self.shard.sockets.borrow_mut().pause(socket);
    }

    pub fn resume(&self, socket: SocketId) {
        self.shard.sockets.borrow_mut().resume(socket);
    }

    /// Ends the connection now and drops queued output. `Service::closed` follows.
    pub fn close(&self, socket: SocketId) {
        self.shard.sockets.borrow_mut().close(socket);
    }

    /// Ends the connection once its queued output has left; nothing more is delivered or queued. `Service::closed` follows
    /// when the peer closes too, at the latest one second after the last byte left; a peer that does not read has 30 s.
    pub fn finish(&self, socket: SocketId) {
        self.shard.sockets.borrow_mut().finish(socket, self.shard.clock.now());
    }

    /// Sends `call` to a shard (also to this one); never waits. Calls leave when the turn ends. More than 2^20 calls waiting
    /// for one shard end the process: admission must keep them fewer.
    pub fn call(&self, to: ShardId, lane: Lane, call: C) {
        self.shard.mesh.borrow_mut().send(to, lane, call);
    }

    /// `Service::settle` will be called no later than about `at`. The earliest wish wins; a settle at or after it clears it.
    pub fn wake_at(&self, at: Nanos) {
        let earliest = self.shard.wake_at.get().map_or(at, |before| before.min(at));
        self.shard.wake_at.set(Some(earliest));
    }

    /// Runs a task on this shard beside the service. Tasks end with the shard, wherever they are.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.shard.tasks.spawn(task);
    }

    /// For use in tasks.
    pub fn sleep(&self, time: Duration) -> impl Future<Output = ()> + 'static {
        self.shard.timers.sleep(time)
    }

    /// The service has ended its work after `Service::stopping`. When all shards' services have, connections are closed.
    pub fn stopped(&self) {
        if !self.shard.stopped.replace(true) {
            self.shard.shared.add_stopped();
        }
    }

    /// This shard's counts up to the last turn.
    pub fn counters(&self) -> Counters {
        self.shard.seat().counters.snapshot()
    }

    /// Connections of all shards.
    pub fn connections_of_all(&self) -> usize {
        self.shard.shared.seats.iter().map(crate::shared::Seat::connections).sum()
    }

    /// Connections this shard has.
    pub fn connections(&self) -> usize {
        self.shard.seat().connections()
    }
}
