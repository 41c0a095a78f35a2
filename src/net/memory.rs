//! Memory for large requests that are on their way: reserved step by step before it is used, so that peers that
//! announce much and send little can't exhaust it, and those that wait get their turn in order.

use std::collections::{HashMap, VecDeque};

use shards::SocketId;

/// A receive that has its memory: the socket, the buffer, and how far it is to be filled.
type Granted = (SocketId, Vec<u8>, usize);

pub(super) struct Memory {
    /// Below zero while a single request larger than the total is on its way.
    left_bytes: i64,
    total_bytes: i64,
    held: HashMap<SocketId, usize>,
    waiting: VecDeque<Granted>,
    starved_since_ns: Option<u64>,
}

impl Memory {
    pub(super) fn new(total_bytes: usize) -> Self {
        let total_bytes = total_bytes as i64;
        Self {
            left_bytes: total_bytes,
            total_bytes,
            held: HashMap::new(),
            waiting: VecDeque::new(),
            starved_since_ns: None,
        }
    }

    /// Raises what `socket` holds to `upto` bytes. Gives the receive back if it may start now; else it waits.
    pub(super) fn reserve(&mut self, socket: SocketId, buf: Vec<u8>, upto: usize, now_ns: u64) -> Option<Granted> {
        if self.grant(socket, upto) {
            return Some((socket, buf, upto));
        }
        self.waiting.push_back((socket, buf, upto));
        self.starved_since_ns.get_or_insert(now_ns);
        None
    }

    /// `socket`'s request is complete or its connection gone. Returns the receives that may start now.
    pub(super) fn release(&mut self, socket: SocketId) -> Vec<Granted> {
        if self.held.is_empty() && self.waiting.is_empty() {
            return Vec::new();
        }
        self.left_bytes += self.held.remove(&socket).unwrap_or(0) as i64;
        self.waiting.retain(|(waiting, ..)| *waiting != socket);
        let mut granted = Vec::new();
        while let Some((next, buf, upto)) = self.waiting.pop_front() {
            if !self.grant(next, upto) {
                self.waiting.push_front((next, buf, upto));
                break;
            }
            granted.push((next, buf, upto));
        }
        if self.waiting.is_empty() {
            self.starved_since_ns = None;
        }
        granted
    }

    /// The connection that holds most, if others have waited longer than `patience_ns`.
    pub(super) fn greediest_if_starved(&self, now_ns: u64, patience_ns: u64) -> Option<SocketId> {
        let since = self.starved_since_ns?;
        if now_ns.saturating_sub(since) < patience_ns {
            return None;
        }
        self.held.iter().max_by_key(|(_, bytes)| **bytes).map(|(socket, _)| *socket)
    }

    /// One request may always grow while nobody else holds anything, however small the total is.
    fn grant(&mut self, socket: SocketId, upto: usize) -> bool {
        let held = self.held.get(&socket).copied().unwrap_or(0);
        let more = upto.saturating_sub(held);
        let alone = self.left_bytes + held as i64 == self.total_bytes;
        if more as i64 > self.left_bytes && !alone {
            return false;
        }
        self.left_bytes -= more as i64;
        self.held.insert(socket, held + more);
        true
    }
}
