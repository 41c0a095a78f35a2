//! What a shard has done so far.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A shard's counts since it started; each only grows.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        /// The shard's own copy.
        #[derive(Default)]
        pub(crate) struct Tally { $(pub(crate) $name: Cell<u64>,)* }

        /// The copy for other threads.
        #[derive(Default)]
        pub(crate) struct Published { $($name: AtomicU64,)* }

        impl Tally {
            /// Plain stores, made by one thread: a reader sees each number whole, not all of one moment.
            pub(crate) fn publish(&self, to: &Published) {
                $(to.$name.store(self.$name.get(), Ordering::Relaxed);)*
            }
        }

        impl Published {
            pub(crate) fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Rounds of: take completions, deliver, settle, send.
    turns,
    /// Completions of the ring.
    events,
    /// System calls that submitted to the ring or waited for it.
    enters,
    /// Pieces of input delivered to the service.
    receives,
    bytes_received,
    /// System calls that sent.
    sends,
    bytes_sent,
    /// File ranges that were not in the page cache and were read before they were sent.
    cold_reads,
    accepts,
    closes,
    /// Times the shard went to sleep.
    parks,
    /// Times another thread woke the shard through its bell.
    wakes,
    /// Calls that came from shards, itself included.
    calls,
    /// Of these, the ones that came from other shards.
    crossings,
    /// Turns longer than the plan's threshold.
    stalls,
    /// The longest turn, in microseconds.
    longest_turn_us,
}

pub(crate) fn add(counter: &Cell<u64>, count: u64) {
    counter.set(counter.get() + count);
}
