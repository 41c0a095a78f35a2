//! All connections of a shard: the table, and how a connection begins and ends. Receiving and sending have files of their
//! own. Nothing here calls the service; what it shall hear is put on lists that the driver empties.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use crate::buffers::Pool;
use crate::counters::Tally;
use crate::files::Files;
use crate::ids::{Nanos, SocketId};
use crate::ring::{Kind, OpName, Ring};
use crate::socket::{Armed, Phase, Socket};
use crate::sys;

/// How long a finished connection waits for its peer to close.
const LINGER: Duration = Duration::from_secs(1);
/// How long an ending connection may take to send what is queued, to a peer that does not read.
const DRAIN: Duration = Duration::from_secs(30);

/// Bytes that the receives of a shard may take ahead of what was asked for, together. Those that get no more of it receive
/// only what was asked for.
const AHEAD_BYTES_MAX: usize = 16 << 20;

pub(crate) struct Sockets {
    pub(crate) ring: Rc<Ring>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) files: Files,
    pub(crate) tally: Rc<Tally>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// To be looked at when the turn ends: output to send, receiving to arm, an end to conclude.
    pub(crate) changed: Vec<SocketId>,
    /// With input that can be delivered again (after a pause).
    pub(crate) ready: Vec<SocketId>,
    /// Whose output queue ran empty.
    pub(crate) sent: Vec<SocketId>,
    /// Closed, without operations; to be told and freed.
    pub(crate) ended: Vec<SocketId>,
    /// What all receives together may still take ahead of what was asked for, in bytes.
    pub(crate) ahead_left: usize,
    /// Until when connections that are ending may take.
    deadlines: BinaryHeap<Reverse<(Nanos, SocketId)>>,
}

struct Slot {
    generation: u32,
    socket: Option<Box<Socket>>,
}

impl Sockets {
    pub(crate) fn new(ring: Rc<Ring>, pool: Rc<Pool>, files: Files, tally: Rc<Tally>) -> Self {
        Self {
            ring,
            pool,
            files,
            tally,
            slots: Vec::new(),
            free: Vec::new(),
            changed: Vec::new(),
            ready: Vec::new(),
            sent: Vec::new(),
            ended: Vec::new(),
            ahead_left: AHEAD_BYTES_MAX,
            deadlines: BinaryHeap::new(),
        }
    }

    pub(crate) fn insert(&mut self, fd: OwnedFd) -> SocketId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, socket: None });
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        let id = SocketId { slot, generation: place.generation };
        place.socket = Some(Box::new(Socket::new(id, fd)));
        self.list(id);
        id
    }

    pub(crate) fn get(&mut self, id: SocketId) -> Option<&mut Socket> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation == id.generation { slot.socket.as_deref_mut() } else { None }
    }

    /// The socket an operation belongs to. Slots are not used again while operations are in flight, so it exists.
    pub(crate) fn of_op(&mut self, name: OpName) -> &mut Socket {
        let slot = &mut self.slots[name.index as usize];
        assert!(name.has_tag(slot.generation), "an operation outlives its socket");
        slot.socket.as_deref_mut().expect("an operation in flight has its socket")
    }

    /// Has the socket looked at when the turn ends.
    pub(crate) fn list(&mut self, id: SocketId) {
        if let Some(socket) = self.get(id)
            && !std::mem::replace(&mut socket.listed, true)
        {
            self.changed.push(id);
        }
    }

    pub(crate) fn queued_bytes(&mut self, id: SocketId) -> u64 {
        self.get(id).map_or(0, |socket| socket.output.bytes)
    }

    /// Ends a connection: drops its output, cancels its operations; `ended` names it when the last is gone.
    pub(crate) fn close(&mut self, id: SocketId) {
        let ring = Rc::clone(&self.ring);
        let Some(socket) = self.get(id) else { return };
        if socket.phase == Phase::Closing {
            return;
        }
        socket.phase = Phase::Closing;
        socket.output.clear();
        socket.receive.held.clear();
        if socket.receive.armed != Armed::Nothing && !std::mem::replace(&mut socket.receive.cancelling, true) {
            ring.cancel(socket.op(Kind::Receive));
        }
        if socket.output.waiting {
            ring.cancel(socket.op(Kind::Writable));
        }
        if socket.in_flight == 0 {
            self.ended.push(id);
        }
    }

    /// One operation of the socket has ended for good.
    pub(crate) fn op_ended(&mut self, id: SocketId) {
        let Some(socket) = self.get(id) else { return };
        socket.in_flight -= 1;
        if socket.phase == Phase::Closing && socket.in_flight == 0 {
            self.ended.push(id);
        }
    }

    /// Closes once the queued output has left.
    pub(crate) fn finish(&mut self, id: SocketId, now: Nanos) {
        let Some(socket) = self.get(id) else { return };
        if socket.phase == Phase::Open {
            socket.phase = Phase::Finishing;
            socket.receive.paused = false;
            socket.receive.held.clear();
            self.deadlines.push(Reverse((now + DRAIN, id)));
            self.list(id);
        }
    }

    /// The output queue is empty: what does that mean for a connection that is ending?
    pub(crate) fn drained(&mut self, id: SocketId, now: Nanos) {
        let Some(socket) = self.get(id) else { return };
        let waits = !socket.receive.held.is_empty();
        match socket.phase {
            Phase::Open if socket.receive.eof && !waits => self.close(id),
            Phase::Finishing | Phase::Lingering if socket.receive.eof => self.close(id),
            Phase::Finishing => {
                socket.phase = Phase::Lingering;
                sys::shut_down_sending(std::os::fd::AsFd::as_fd(&socket.fd));
                self.deadlines.push(Reverse((now + LINGER, id)));
            }
            Phase::Open | Phase::Lingering | Phase::Closing => {}
        }
    }

    /// The peer has shut its sending side: what is queued may still leave, but not take for ever.
    pub(crate) fn ended_input(&mut self, id: SocketId, now: Nanos) {
        if let Some(socket) = self.get(id) {
            socket.receive.eof = true;
            self.deadlines.push(Reverse((now + DRAIN, id)));
        }
    }

    /// Closes ending connections that took too long.
    pub(crate) fn close_due(&mut self, now: Nanos) {
        while let Some(Reverse((until, id))) = self.deadlines.peek().copied()
            && until <= now
        {
            self.deadlines.pop();
            self.close(id);
        }
    }

    /// When `close_due` has something to do. Connections that ended in time are left in the list, so that it may be early.
    pub(crate) fn earliest_deadline(&self) -> Option<Nanos> {
        self.deadlines.peek().map(|Reverse((until, _))| *until)
    }

    /// Frees a socket named by `ended`; its descriptor closes and its id is dead.
    pub(crate) fn remove(&mut self, id: SocketId) {
        let slot = &mut self.slots[id.slot as usize];
        let socket = slot.socket.take().expect("a socket ends once");
        assert!(slot.generation == id.generation && socket.in_flight == 0, "a socket ends with its last operation");
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
    }

    pub(crate) fn close_all(&mut self) {
        for slot in 0..self.slots.len() {
            if let Some(socket) = &self.slots[slot].socket {
                let id = socket.id;
                self.close(id);
            }
        }
    }

    /// Whether the driver has work here without any completion.
    pub(crate) fn has_work(&self) -> bool {
        !(self.changed.is_empty() && self.ready.is_empty() && self.sent.is_empty() && self.ended.is_empty())
    }
}
