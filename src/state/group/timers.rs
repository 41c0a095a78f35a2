//! When something is due.
//!
//! A deadline lives in what it is about, and is queued here. To put it off, as every heartbeat does, moves only the
//! deadline's own field: when the queued time comes, the deadline is found to be later and is queued anew. A deadline has
//! at most one place in the queue, and gives it up when it is cancelled, so that the queue is never longer than what
//! waits.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What is due, and in which group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timer {
    pub(super) group: Arc<str>,
    pub(super) what: Due,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Due {
    /// A member was not heard of for its session timeout.
    Session(Arc<str>),
    /// A member of a consumer group did not give up its partitions within its rebalance timeout.
    Revocation(Arc<str>),
    /// A classic member of a consumer group did not rejoin within its rebalance timeout.
    Rejoin(Arc<str>),
    /// A classic member of a consumer group joined and did not sync within its rebalance timeout.
    MemberSync(Arc<str>),
    /// The topics that the regexes of a consumer group match are looked up.
    Regexes,
    /// A classic group does not wait any longer for its members to join.
    Join,
    /// A classic group does not wait any longer for its members to sync.
    Sync,
}

/// A place in the queue: the time, and a number that was given out once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u64, u64);

/// A time that can be put off cheaply. Cancel it before it is dropped.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    at_ms: Option<u64>,
    queued: Option<Slot>,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeMap<Slot, Timer>,
    last: u64,
}

impl Deadline {
    pub(super) fn is_set(&self) -> bool {
        self.at_ms.is_some()
    }
}

impl Timers {
    /// The deadline is at `at_ms` and not when it was before.
    pub(super) fn set(&mut self, deadline: &mut Deadline, at_ms: u64, timer: impl FnOnce() -> Timer) {
        deadline.at_ms = Some(at_ms);
        if let Some(slot) = deadline.queued {
            if slot.0 <= at_ms {
                return;
            }
            self.queue.remove(&slot);
        }
        deadline.queued = Some(self.enqueue(at_ms, timer()));
    }

    pub(super) fn cancel(&mut self, deadline: &mut Deadline) {
        if let Some(slot) = deadline.queued.take() {
            self.queue.remove(&slot);
        }
        deadline.at_ms = None;
    }

    /// When [`pop`](Self::pop) has something next. It may turn out to have been put off.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.queue.first_key_value().map(|(slot, _)| slot.0)
    }

    /// Takes out what is due. Its owner has to ask [`fires`](Self::fires).
    pub(super) fn pop(&mut self, now_ms: u64) -> Option<(Slot, Timer)> {
        let entry = self.queue.first_entry()?;
        if entry.key().0 > now_ms { None } else { Some(entry.remove_entry()) }
    }

    /// Whether the deadline, taken out with `slot`, has really come; if it was put off, it is queued again.
    pub(super) fn fires(&mut self, deadline: &mut Deadline, slot: Slot, timer: &Timer, now_ms: u64) -> bool {
        if deadline.queued != Some(slot) {
            return false;
        }
        deadline.queued = None;
        match deadline.at_ms {
            Some(at_ms) if at_ms > now_ms => {
                deadline.queued = Some(self.enqueue(at_ms, timer.clone()));
                false
            }
            at_ms => {
                deadline.at_ms = None;
                at_ms.is_some()
            }
        }
    }

    fn enqueue(&mut self, at_ms: u64, timer: Timer) -> Slot {
        self.last += 1;
        let slot = Slot(at_ms, self.last);
        self.queue.insert(slot, timer);
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer() -> Timer {
        Timer { group: "g".into(), what: Due::Join }
    }

    #[test]
    fn a_deadline_comes_once_and_no_sooner_than_it_was_put_off_to() {
        let (mut timers, mut deadline) = (Timers::default(), Deadline::default());
        timers.set(&mut deadline, 10, timer);
        for at in 11..=20 {
            timers.set(&mut deadline, at, || panic!("it is queued"));
        }
        assert_eq!(timers.next_ms(), Some(10));
        assert!(timers.pop(9).is_none());
        let (slot, popped) = timers.pop(10).expect("what was queued");
        assert!(!timers.fires(&mut deadline, slot, &popped, 10));
        assert_eq!(timers.next_ms(), Some(20));
        let (slot, popped) = timers.pop(20).expect("queued again");
        assert!(timers.fires(&mut deadline, slot, &popped, 20));
        assert!(!timers.fires(&mut deadline, slot, &popped, 20));
        assert_eq!(timers.next_ms(), None);
    }

    #[test]
    fn a_deadline_has_one_place() {
        let (mut timers, mut deadline) = (Timers::default(), Deadline::default());
        timers.set(&mut deadline, 20, timer);
        timers.set(&mut deadline, 5, timer);
        assert_eq!((timers.next_ms(), timers.queue.len()), (Some(5), 1));
        timers.cancel(&mut deadline);
        assert!(timers.queue.is_empty());
    }

    #[test]
    fn a_place_of_an_earlier_deadline_fires_nothing() {
        let (mut timers, mut old, mut new) = (Timers::default(), Deadline::default(), Deadline::default());
        timers.set(&mut old, 5, timer);
        timers.set(&mut new, 5, timer);
        let (slot, popped) = timers.pop(5).expect("the older one");
        assert!(!timers.fires(&mut new, slot, &popped, 5));
        let (slot, popped) = timers.pop(5).expect("the newer one");
        assert!(timers.fires(&mut new, slot, &popped, 5));
    }
}
