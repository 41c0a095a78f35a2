//! Memory that is promised before it is taken.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// A bound on bytes in use on one shard. Clones share the bound.
#[derive(Clone, Debug)]
pub struct Budget {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    total: u64,
    used: Cell<u64>,
}

impl Budget {
    pub fn new(total_bytes: u64) -> Self {
        Self { inner: Rc::new(Inner { total: total_bytes, used: Cell::new(0) }) }
    }

    /// Sets `bytes` aside; None when they are not left. What is larger than the whole budget is granted when nothing else is
    /// in use, so that it does not wait for ever.
    pub fn reserve(&self, bytes: u64) -> Option<Reservation> {
        let used = self.inner.used.get();
        if used > 0 && bytes > self.left() {
            return None;
        }
        self.inner.used.set(used.saturating_add(bytes));
        Some(Reservation { budget: self.clone(), bytes })
    }

    pub fn total(&self) -> u64 {
        self.inner.total
    }

    pub fn used(&self) -> u64 {
        self.inner.used.get()
    }

    pub fn left(&self) -> u64 {
        self.inner.total.saturating_sub(self.inner.used.get())
    }
}

/// Bytes set aside; given back when dropped.
pub struct Reservation {
    budget: Budget,
    bytes: u64,
}

impl Reservation {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back all above `bytes`; does nothing when it is already less.
    pub fn shrink(&mut self, bytes: u64) {
        let back = self.bytes.saturating_sub(bytes);
        self.bytes -= back;
        self.budget.inner.used.set(self.budget.used() - back);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reservation({} bytes)", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_comes_back() {
        let budget = Budget::new(100);
        let mut one = budget.reserve(60).unwrap();
        assert!(budget.reserve(41).is_none());
        let two = budget.reserve(40).unwrap();
        assert_eq!(budget.left(), 0);
        one.shrink(10);
        assert_eq!((budget.used(), one.bytes()), (50, 10));
        drop((one, two));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn one_too_large_for_all_goes_alone() {
        let budget = Budget::new(100);
        let small = budget.reserve(1).unwrap();
        assert!(budget.reserve(1000).is_none());
        drop(small);
        let large = budget.reserve(1000).unwrap();
        assert!(budget.reserve(1).is_none());
        drop(large);
        assert_eq!(budget.left(), 100);
    }
}
