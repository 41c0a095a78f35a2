//! The shard's clocks, read once a turn.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ids::Nanos;

pub(crate) struct Clock {
    now: Cell<Nanos>,
    wall_ms: Cell<i64>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let clock = Self { now: Cell::default(), wall_ms: Cell::new(0) };
        clock.read();
        clock
    }

    pub(crate) fn read(&self) {
        self.now.set(monotonic());
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
        self.wall_ms.set(i64::try_from(wall).unwrap_or(i64::MAX));
    }

    pub(crate) fn now(&self) -> Nanos {
        self.now.get()
    }

    pub(crate) fn wall_ms(&self) -> i64 {
        self.wall_ms.get()
    }
}

/// `CLOCK_MONOTONIC` at this moment.
pub(crate) fn monotonic() -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result. The call cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
