//! Queues between shards: for each ordered pair and lane one bounded ring.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::ids::ShardId;
use crate::service::Lane;
use crate::shared::Shared;

/// Calls that may wait on the sending side when a peer's ring is full. More is a fault of admission and ends the process.
const SPILL_LIMIT: usize = 1 << 20;

/// Calls taken from one peer's lane in one turn.
const TAKEN_PER_TURN: usize = 1024;

/// A connection that another shard accepted for this one; already counted for it.
pub(crate) struct Handover {
    pub(crate) fd: OwnedFd,
    pub(crate) listener: usize,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// One shard's ends of all its queues.
pub(crate) struct Mesh<C> {
    own: usize,
    outward: Vec<Option<Outward<C>>>,
    inward: Vec<Option<Inward<C>>>,
    /// Calls to itself.
    local: VecDeque<C>,
}

struct Outward<C> {
    lanes: [Sender<C>; 2],
    handovers: Sender<Handover>,
    /// Something was sent since the peer was last woken.
    fresh: bool,
}

struct Inward<C> {
    lanes: [Consumer<C>; 2],
    handovers: Consumer<Handover>,
}

struct Sender<T> {
    ring: Producer<T>,
    spill: VecDeque<T>,
}

impl<T> Sender<T> {
    fn send(&mut self, value: T) {
        if self.spill.is_empty() {
            match self.ring.push(value) {
                Ok(()) => return,
                Err(PushError::Full(value)) => self.spill.push_back(value),
            }
        } else {
            self.spill.push_back(value);
        }
        if self.spill.len() > SPILL_LIMIT {
            crate::fatal(format_args!("more than {SPILL_LIMIT} calls wait for one shard"));
        }
    }

    /// Returns whether anything moved.
    fn flush(&mut self) -> bool {
        let before = self.spill.len();
        while let Some(value) = self.spill.pop_front() {
            if let Err(PushError::Full(value)) = self.ring.push(value) {
                self.spill.push_front(value);
                break;
            }
        }
        self.spill.len() < before
    }
}

impl<C: Send> Mesh<C> {
    /// The meshes of `count` shards, in order.
    pub(crate) fn all(count: usize) -> Vec<Mesh<C>> {
        // Bounded per pair; with many shards the pairs are many and each gets less.
        let capacity = (8192 / count).clamp(64, 1024);
        let empty = |own| Mesh {
            own,
            outward: (0..count).map(|_| None).collect(),
            inward: (0..count).map(|_| None).collect(),
            local: VecDeque::new(),
        };
        let mut meshes: Vec<Mesh<C>> = (0..count).map(empty).collect();
        for from in 0..count {
            for to in (0..count).filter(|&to| to != from) {
                let (request, request_end) = pair(capacity);
                let (reply, reply_end) = pair(capacity);
                let (handovers, handovers_end) = pair(64);
                meshes[from].outward[to] = Some(Outward { lanes: [request, reply], handovers, fresh: false });
                meshes[to].inward[from] = Some(Inward { lanes: [request_end, reply_end], handovers: handovers_end });
            }
        }
        meshes
    }

    pub(crate) fn send(&mut self, to: ShardId, lane: Lane, call: C) {
        match self.outward.get_mut(usize::from(to.0)) {
            Some(Some(peer)) => {
                peer.lanes[lane as usize].send(call);
                peer.fresh = true;
            }
            Some(None) => self.local.push_back(call),
            None => crate::fatal(format_args!("{to} does not exist")),
        }
        if self.local.len() > SPILL_LIMIT {
            crate::fatal(format_args!("more than {SPILL_LIMIT} calls of a shard to itself wait"));
        }
    }

    pub(crate) fn hand_over(&mut self, to: usize, handover: Handover) {
        let peer = self.outward[to].as_mut().expect("a handover goes to another shard");
        peer.handovers.send(handover);
        peer.fresh = true;
    }

    /// Moves what spilled, and wakes each peer that has something new, once.
    pub(crate) fn flush(&mut self, shared: &Shared) {
        for (index, peer) in self.outward.iter_mut().enumerate() {
            let Some(peer) = peer else { continue };
            let mut moved = peer.handovers.flush();
            for lane in &mut peer.lanes {
                moved |= lane.flush();
            }
            if std::mem::take(&mut peer.fresh) || moved {
                shared.seats[index].wake();
            }
        }
    }

    /// Whether a peer's full ring keeps calls here; they must be tried again soon.
    pub(crate) fn has_spill(&self) -> bool {
        self.outward
            .iter()
            .flatten()
            .any(|peer| !peer.handovers.spill.is_empty() || peer.lanes.iter().any(|lane| !lane.spill.is_empty()))
    }

    /// Whether anything waits for this shard.
    pub(crate) fn has_calls(&self) -> bool {
        !self.local.is_empty()
            || self
                .inward
                .iter()
                .flatten()
                .any(|peer| !peer.handovers.is_empty() || peer.lanes.iter().any(|lane| !lane.is_empty()))
    }

    /// Takes a turn's share of the calls, in order per peer and lane.
    pub(crate) fn take(&mut self, calls: &mut VecDeque<(ShardId, C)>, handovers: &mut Vec<Handover>) {
        let own = ShardId(self.own as u16);
        calls.extend(self.local.drain(..).map(|call| (own, call)));
        for (index, peer) in self.inward.iter_mut().enumerate() {
            let Some(peer) = peer else { continue };
            let from = ShardId(index as u16);
            // Replies first: they end work, requests begin it.
            for lane in peer.lanes.iter_mut().rev() {
                let count = lane.slots().min(TAKEN_PER_TURN);
                if count > 0
                    && let Ok(chunk) = lane.read_chunk(count)
                {
                    calls.extend(chunk.into_iter().map(|call| (from, call)));
                }
            }
            while let Ok(handover) = peer.handovers.pop() {
                handovers.push(handover);
            }
        }
    }
}

fn pair<T>(capacity: usize) -> (Sender<T>, Consumer<T>) {
    let (producer, consumer) = RingBuffer::new(capacity);
    (Sender { ring: producer, spill: VecDeque::new() }, consumer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_spills_and_keeps_the_order() {
        let shared = Shared::new(2).unwrap();
        let mut meshes = Mesh::<u32>::all(2);
        let mut second = meshes.pop().unwrap();
        let mut first = meshes.pop().unwrap();
        for number in 0..5000 {
            first.send(ShardId(1), Lane::Request, number);
        }
        let (mut calls, mut handovers) = (VecDeque::new(), Vec::new());
        while first.has_spill() || second.has_calls() {
            second.take(&mut calls, &mut handovers);
            first.flush(&shared);
        }
        assert!(calls.iter().enumerate().all(|(at, call)| *call == (ShardId(0), at as u32)));
        assert_eq!(calls.len(), 5000);
    }

    #[test]
    fn calls_to_itself_arrive() {
        let mut mesh = Mesh::<u32>::all(1).pop().unwrap();
        mesh.send(ShardId(0), Lane::Reply, 7);
        let mut calls = VecDeque::new();
        mesh.take(&mut calls, &mut Vec::new());
        assert_eq!(calls, [(ShardId(0), 7)]);
    }
}
