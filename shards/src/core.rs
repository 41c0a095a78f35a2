//! What a service may ask of its shard.

use std::future::Future;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use crate::files::Files;
use crate::ids::{Nanos, ShardId, SocketId};
use crate::service::{Lane, Out};

/// A service's side of its shard. Clones are cheap and stay on the shard. No method calls back into the service.
pub struct Core<C> {
    inner: Rc<Inner<C>>,
}

struct Inner<C> {
    files: Files,
    calls: std::marker::PhantomData<C>,
}

impl<C> Clone for Core<C> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

#[allow(unused_variables, reason = "signatures first")]
impl<C: Send + 'static> Core<C> {
    pub fn id(&self) -> ShardId {
        unimplemented!()
    }

    /// Shards in all; ids run from 0 to `count() - 1`.
    pub fn count(&self) -> u16 {
        unimplemented!()
    }

    pub fn files(&self) -> &Files {
        &self.inner.files
    }

    /// The monotonic clock, read once a turn.
    pub fn now(&self) -> Nanos {
        unimplemented!()
    }

    /// Wall clock in milliseconds since 1970, read once a turn.
    pub fn wall_ms(&self) -> i64 {
        unimplemented!()
    }

    /// Accepts from `socket` on this shard; each connection goes to the shard with the fewest. `listener` comes back in
    /// `Service::accepted`.
    pub fn listen(&self, socket: TcpListener, listener: usize) {
        unimplemented!()
    }

    /// Queues output. What one turn queues for a socket leaves together. Dead ids are ignored.
    pub fn send(&self, socket: SocketId, out: Out) {
        unimplemented!()
    }

    /// Bytes queued and not yet taken by the kernel, files included.
    pub fn queued_bytes(&self, socket: SocketId) -> usize {
        unimplemented!()
    }

    /// The next bytes are received behind `buf[..len]` until `upto` bytes are there, then delivered as one chunk that owns
    /// the vector; afterwards normal receiving goes on. Reserves `upto` bytes.
    pub fn receive_into(&self, socket: SocketId, buf: Vec<u8>, upto: usize) {
        unimplemented!()
    }

    /// Stops delivering (and soon reading) until `resume`.
    pub fn pause(&self, socket: SocketId) {
        unimplemented!()
    }

    pub fn resume(&self, socket: SocketId) {
        unimplemented!()
    }

    /// Ends the connection now and drops queued output. `Service::closed` follows.
    pub fn close(&self, socket: SocketId) {
        unimplemented!()
    }

    /// Ends the connection once its queued output has left; nothing more is received. `Service::closed` follows.
    pub fn finish(&self, socket: SocketId) {
        unimplemented!()
    }

    /// Sends `call` to a shard (also to this one); never waits.
    pub fn call(&self, to: ShardId, lane: Lane, call: C) {
        unimplemented!()
    }

    /// `Service::settle` will be called no later than about `at`; the earliest wins, and a call of settle at or after it clears it.
    pub fn wake_at(&self, at: Nanos) {
        unimplemented!()
    }

    /// Runs a task on this shard beside the service.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        unimplemented!()
    }

    pub fn sleep(&self, time: Duration) -> impl Future<Output = ()> + 'static {
        async { unimplemented!() }
    }

    /// The service has ended its work after `Service::stopping`.
    pub fn stopped(&self) {
        unimplemented!()
    }
}
