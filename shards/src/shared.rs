//! What the shards of one process share: bells to wake each other, connection counts, and the state of stopping.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::task::Waker;

use crate::counters::Published;
use crate::service::Seating;

pub(crate) struct Shared {
    pub(crate) seats: Box<[Seat]>,
    stopping: AtomicBool,
    stopped: AtomicUsize,
    /// A shard died: the others end without waiting for anybody.
    abandoned: AtomicBool,
}

/// One shard as the others see it. On cache lines of its own: neighbours do not disturb each other.
#[repr(align(128))]
pub(crate) struct Seat {
    /// The shard sleeps, or is about to, and must be woken through its bell.
    parked: AtomicBool,
    bell: OwnedFd,
    /// Connections it has or will have; touched on accept and close only.
    connections: AtomicUsize,
    /// Tasks woken by threads that are no shards, to be woken again at home.
    mail: Mutex<Vec<Waker>>,
    has_mail: AtomicBool,
    pub(crate) counters: Published,
}

impl Shared {
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        let seats = (0..count).map(|_| Seat::new()).collect::<io::Result<_>>()?;
        Ok(Self {
            seats,
            stopping: AtomicBool::new(false),
            stopped: AtomicUsize::new(0),
            abandoned: AtomicBool::new(false),
        })
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// One shard's service has ended its work; called once per shard.
    pub(crate) fn add_stopped(&self) {
        if self.stopped.fetch_add(1, Ordering::AcqRel) + 1 == self.seats.len() {
            self.wake_all();
        }
    }

    pub(crate) fn all_stopped(&self) -> bool {
        self.abandoned.load(Ordering::Acquire) || self.stopped.load(Ordering::Acquire) >= self.seats.len()
    }

    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.wake_all();
    }

    fn wake_all(&self) {
        for seat in &self.seats {
            seat.wake();
        }
    }

    /// The shard that serves a connection which `own` accepts; of those with the fewest, `own` first. The connection is
    /// counted at once.
    pub(crate) fn seat_connection(&self, own: usize, seating: Seating) -> usize {
        let count = |index: usize| self.seats[index].connections.load(Ordering::Relaxed);
        let mut best = own;
        if seating == Seating::Any {
            for index in 0..self.seats.len() {
                if count(index) < count(best) {
                    best = index;
                }
            }
        }
        self.seats[best].connections.fetch_add(1, Ordering::Relaxed);
        best
    }
}

impl Seat {
    fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was made just now and belongs to nobody else.
        let bell = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            parked: AtomicBool::new(false),
            bell,
            connections: AtomicUsize::new(0),
            mail: Mutex::default(),
            has_mail: AtomicBool::new(false),
            counters: Published::default(),
        })
    }

    pub(crate) fn bell(&self) -> i32 {
        self.bell.as_raw_fd()
    }

    /// Rings the bell if the shard sleeps. What it shall find must have been stored before.
    ///
    /// Either this sees `parked`, or the shard, which sets `parked` before it looks for the last time, sees what was
    /// stored: both sides have a sequentially consistent fence between their store and their load.
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::Relaxed) {
            let one: u64 = 1;
            // SAFETY: eight readable bytes, and a descriptor that is open as long as self. A full counter (never: the shard
            // reads it) would mean that it is being woken anyway, so the result does not matter.
            unsafe { libc::write(self.bell.as_raw_fd(), (&raw const one).cast(), 8) };
        }
    }

    /// The shard will sleep; after this it must look once more for work.
    pub(crate) fn park(&self) {
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn unpark(&self) {
        self.parked.store(false, Ordering::Relaxed);
    }

    pub(crate) fn post(&self, waker: Waker) {
        self.mail.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(waker);
        self.has_mail.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Acquire)
    }

    pub(crate) fn take_mail(&self) -> Vec<Waker> {
        if !self.has_mail.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *self.mail.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn connection_ended(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_to_the_shard_with_the_fewest() {
        let shared = Shared::new(3).unwrap();
        let seats: Vec<usize> = (0..6).map(|_| shared.seat_connection(1, Seating::Any)).collect();
        assert_eq!(seats, [1, 0, 2, 1, 0, 2]);
        shared.seats[2].connection_ended();
        assert_eq!(shared.seat_connection(0, Seating::Any), 2);
        assert_eq!(shared.seat_connection(1, Seating::Here), 1);
        assert_eq!(shared.seat_connection(1, Seating::Here), 1);
        assert_eq!(shared.seat_connection(1, Seating::Any), 0);
    }
}
