//! Accepting connections.

use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use io_uring::{opcode, types};

use crate::ids::Nanos;
use crate::ring::{Completion, Kind, OpName, Ring};
use crate::service::Seating;
use crate::sys;

/// How long accepting rests when there are no descriptors or no memory for another connection.
const REST: Duration = Duration::from_millis(100);

pub(crate) struct Listeners {
    ring: Rc<Ring>,
    list: Vec<Listener>,
    stopping: bool,
}

struct Listener {
    socket: TcpListener,
    /// The service's number for it.
    number: usize,
    seating: Seating,
    armed: bool,
    rests_until: Option<Nanos>,
}

impl Listeners {
    pub(crate) fn new(ring: Rc<Ring>) -> Self {
        Self { ring, list: Vec::new(), stopping: false }
    }

    /// Its connections inherit what is set here; set later, pacing would already have begun.
    pub(crate) fn add(&mut self, socket: TcpListener, number: usize, seating: Seating) {
        if socket.local_addr().is_ok_and(|address| address.ip().is_loopback()) {
            // A refused setting only makes it slower.
            let _ = sys::do_not_pace(socket.as_fd());
        }
        self.list.push(Listener { socket, number, seating, armed: false, rests_until: None });
        self.arm(self.list.len() - 1);
    }

    fn arm(&mut self, index: usize) {
        let listener = &mut self.list[index];
        if self.stopping || listener.armed {
            return;
        }
        listener.armed = true;
        listener.rests_until = None;
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let entry = opcode::AcceptMulti::new(types::Fd(listener.socket.as_raw_fd())).flags(flags).build();
        // SAFETY: a multishot accept names no memory.
        unsafe { self.ring.push(OpName::new(Kind::Accept, 0, index as u32), entry) };
    }

    /// Takes a completion; returns a new connection, the number of its listener, and where it may go.
    pub(crate) fn accepted(&mut self, completion: &Completion, now: Nanos) -> Option<(OwnedFd, usize, Seating)> {
        let index = completion.name.index as usize;
        let Listener { number, seating, .. } = self.list[index];
        if !completion.more() {
            self.list[index].armed = false;
            if completion.result < 0 && is_shortage(-completion.result) {
                self.list[index].rests_until = Some(now + REST);
            } else {
                self.arm(index);
            }
        }
        if completion.result < 0 {
            return None;
        }
        // SAFETY: the kernel made this descriptor for this completion and told nobody else.
        Some((unsafe { OwnedFd::from_raw_fd(completion.result) }, number, seating))
    }

    pub(crate) fn rest_ends(&self) -> Option<Nanos> {
        self.list.iter().filter_map(|listener| listener.rests_until).min()
    }

    pub(crate) fn arm_rested(&mut self, now: Nanos) {
        for index in 0..self.list.len() {
            if self.list[index].rests_until.is_some_and(|until| until <= now) {
                self.arm(index);
            }
        }
    }

    /// No more connections; those in the backlog are refused when the sockets close, with the shard.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
        for (index, listener) in self.list.iter_mut().enumerate() {
            listener.rests_until = None;
            if listener.armed {
                self.ring.cancel(OpName::new(Kind::Accept, 0, index as u32));
            }
        }
    }
}

/// Trying again at once would only fail again.
fn is_shortage(errno: i32) -> bool {
    matches!(errno, libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
}
