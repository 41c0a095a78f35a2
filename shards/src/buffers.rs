//! Receive buffers lent to the kernel: a provided-buffer ring and the memory behind it.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use crate::memory::Mapping;

/// The buffers of one shard. The kernel takes a buffer for each receive and names it in the completion; dropping the
/// [`Buffer`] made from that completion gives it back. Memory is mapped at start and touched only when first used.
pub(crate) struct Pool {
    /// `count` entries the kernel reads; the tail it watches lies inside the first entry.
    entries: Mapping,
    bytes: Mapping,
    count: u16,
    size: u32,
    tail: Cell<u16>,
    free: Cell<u16>,
}

impl Pool {
    /// `count` is a power of two, at most 32768; `size` is in bytes.
    pub(crate) fn new(count: u16, size: u32) -> io::Result<Rc<Self>> {
        assert!(count.is_power_of_two() && count <= 1 << 15 && size > 0);
        let pool = Self {
            entries: Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?,
            bytes: Mapping::new(usize::from(count) * size as usize)?,
            count,
            size,
            tail: Cell::new(0),
            free: Cell::new(0),
        };
        for id in 0..count {
            pool.give(id);
        }
        Ok(Rc::new(pool))
    }

    /// Where the entries lie, for registering them with a ring.
    pub(crate) fn entries_address(&self) -> u64 {
        self.entries.as_ptr() as u64
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// Buffers the kernel still has.
    pub(crate) fn free(&self) -> u16 {
        self.free.get()
    }

    /// Takes over buffer `id`, which the kernel has just filled with `len` bytes.
    ///
    /// # Safety
    /// The kernel named `id` in a completion of this pool's ring since the buffer was last given, and it is taken only once.
    pub(crate) unsafe fn take(self: &Rc<Self>, id: u16, len: usize) -> Buffer {
        assert!(id < self.count && len <= self.size as usize, "the kernel names buffer {id} with {len} bytes");
        self.free.set(self.free.get() - 1);
        Buffer { pool: Rc::clone(self), id, len }
    }

    fn give(&self, id: u16) {
        let tail = self.tail.get();
        let slot = usize::from(tail & (self.count - 1));
        // SAFETY: `slot < count` entries were mapped, the memory is zeroed (a valid entry) and lives as long as self. The
        // kernel reads an entry only below the published tail; this one lies at the tail, so nobody reads it now. Only this
        // thread writes (the pool is neither Send nor Sync).
        let entry = unsafe { &mut *self.entries.as_ptr().cast::<BufRingEntry>().add(slot) };
        let offset = usize::from(id) * self.size as usize;
        entry.set_addr(self.bytes.as_ptr() as u64 + offset as u64);
        entry.set_len(self.size);
        entry.set_bid(id);
        self.tail.set(tail.wrapping_add(1));
        self.free.set(self.free.get() + 1);
        // SAFETY: the tail is the 16-bit field the kernel's ABI puts inside the first entry; aligned, mapped, and only
        // written here. Release: the kernel must see the entry before the tail that covers it.
        unsafe {
            let tail_at = BufRingEntry::tail(self.entries.as_ptr().cast::<BufRingEntry>());
            (*tail_at.cast::<AtomicU16>()).store(self.tail.get(), Ordering::Release);
        }
    }
}

/// One filled receive buffer; goes back to the kernel when dropped.
pub(crate) struct Buffer {
    pool: Rc<Pool>,
    id: u16,
    len: usize,
}

impl Buffer {
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        let offset = usize::from(self.id) * self.pool.size as usize;
        // SAFETY: `id < count` and `len <= size`, checked in take, so the range lies inside the mapping, which lives as long
        // as the pool this buffer keeps. The kernel does not write to it until give() lends it again, which needs drop.
        unsafe { std::slice::from_raw_parts(self.pool.bytes.as_ptr().add(offset), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_lent_again() {
        let pool = Pool::new(4, 64).unwrap();
        assert_eq!(pool.free(), 4);
        // SAFETY: no ring knows this pool, so no kernel writes; each id is taken once.
        let (one, two) = unsafe { (pool.take(0, 10), pool.take(3, 64)) };
        assert_eq!((pool.free(), one.as_slice().len(), two.as_slice().len()), (2, 10, 64));
        drop(one);
        drop(two);
        assert_eq!((pool.free(), pool.tail.get()), (4, 6));
    }
}
