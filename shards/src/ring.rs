//! The shard's data ring: submissions, completions, and the count of what the kernel still holds.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode};

use crate::buffers::Pool;

const SUBMISSIONS: u32 = 512;
const COMPLETIONS: u32 = 4096;
/// Threads of the kernel for what a ring can't do without waiting, syncs above all: those that wait at the same time share
/// the device's flushes. Left alone a thread has as many as the first ring it made has entries, here an executor's two.
const WORKERS_MAX: u32 = 16;

/// The one group of provided buffers.
pub(crate) const BUFFER_GROUP: u16 = 0;

/// What an operation belongs to; the top byte of its user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Bell = 1,
    Accept = 2,
    Receive = 3,
    Writable = 4,
    File = 5,
    Cancel = 6,
}

/// The name of an operation: its kind, a tag of 24 bits against mistaken identity, and an index into the kind's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpName {
    pub(crate) kind: Kind,
    pub(crate) tag: u32,
    pub(crate) index: u32,
}

const TAG_MASK: u32 = (1 << 24) - 1;

impl OpName {
    pub(crate) fn new(kind: Kind, tag: u32, index: u32) -> Self {
        Self { kind, tag: tag & TAG_MASK, index }
    }

    pub(crate) fn has_tag(self, tag: u32) -> bool {
        self.tag == tag & TAG_MASK
    }

    fn to_user_data(self) -> u64 {
        (self.kind as u64) << 56 | u64::from(self.tag) << 32 | u64::from(self.index)
    }

    fn from_user_data(data: u64) -> Self {
        let kind = match (data >> 56) as u8 {
            1 => Kind::Bell,
            2 => Kind::Accept,
            3 => Kind::Receive,
            4 => Kind::Writable,
            5 => Kind::File,
            6 => Kind::Cancel,
            other => crate::fatal(format_args!("the ring completes an operation of unknown kind {other}")),
        };
        Self { kind, tag: (data >> 32) as u32 & TAG_MASK, index: data as u32 }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub(crate) name: OpName,
    /// A count, or an errno below zero.
    pub(crate) result: i32,
    flags: u32,
}

impl Completion {
    /// More completions of the same operation follow.
    pub(crate) fn more(&self) -> bool {
        cqueue::more(self.flags)
    }

    pub(crate) fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

/// One io_uring, made, driven and dropped by one thread.
///
/// Contract: whoever pushes an operation keeps the memory it names alive and untouched until its last completion came out
/// of `completions`. Every operation pushed has exactly one completion without `more`; `in_flight` counts those missing.
pub(crate) struct Ring {
    uring: RefCell<IoUring>,
    /// Waiting for room in the submission queue, in order.
    backlog: RefCell<VecDeque<Entry>>,
    in_flight: Cell<usize>,
    wait_flags: EnterFlags,
    closed: Cell<bool>,
    enters: Cell<u64>,
}

impl Ring {
    pub(crate) fn new() -> io::Result<Rc<Self>> {
        let uring = build(SUBMISSIONS, COMPLETIONS)?;
        // Where it is refused, syncs are slower.
        let _ = uring.submitter().register_iowq_max_workers(&mut [WORKERS_MAX, 0]);
        let mut wait_flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        if uring.params().is_feature_no_iowait() {
            wait_flags |= EnterFlags::NO_IOWAIT;
        }
        Ok(Rc::new(Self {
            uring: RefCell::new(uring),
            backlog: RefCell::default(),
            in_flight: Cell::new(0),
            wait_flags,
            closed: Cell::new(false),
            enters: Cell::new(0),
        }))
    }

    /// Lends a pool's buffers to the kernel.
    ///
    /// # Safety
    /// The pool lives until this ring is dropped, or until no operation is in flight and the buffers were taken back.
    pub(crate) unsafe fn lend(&self, pool: &Pool) -> io::Result<()> {
        let uring = self.uring.borrow();
        // SAFETY: the entries are page-aligned, zeroed, `count` of them, and by the caller's promise outlive their use.
        unsafe { uring.submitter().register_buf_ring_with_flags(pool.entries_address(), pool.count(), BUFFER_GROUP, 0) }
    }

    pub(crate) fn take_back(&self) -> io::Result<()> {
        self.uring.borrow().submitter().unregister_buf_ring(BUFFER_GROUP)
    }

    /// Queues an operation; it starts with the next `submit`. After `close` it is dropped and never completes.
    ///
    /// # Safety
    /// All memory that `entry` names stays alive and is not touched until the operation's last completion was seen.
    pub(crate) unsafe fn push(&self, name: OpName, entry: Entry) {
        if self.closed.get() {
            return;
        }
        let entry = entry.user_data(name.to_user_data());
        self.in_flight.set(self.in_flight.get() + 1);
        let mut backlog = self.backlog.borrow_mut();
        // SAFETY: passed on from the caller.
        if !backlog.is_empty() || unsafe { self.uring.borrow_mut().submission().push(&entry) }.is_err() {
            backlog.push_back(entry);
        }
    }

    /// Asks the kernel to end the operation `name`; that one still completes, mostly with `ECANCELED`.
    pub(crate) fn cancel(&self, name: OpName) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::user_data(name.to_user_data())).build();
        // SAFETY: a cancellation names no memory.
        unsafe { self.push(OpName::new(Kind::Cancel, 0, 0), entry) };
    }

    pub(crate) fn cancel_all(&self) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        // SAFETY: a cancellation names no memory.
        unsafe { self.push(OpName::new(Kind::Cancel, 0, 0), entry) };
    }

    /// Operations that will still complete.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// System calls made to submit or wait.
    pub(crate) fn enters(&self) -> u64 {
        self.enters.get()
    }

    /// Whether `submit` has something to tell the kernel or the kernel something to do for us.
    pub(crate) fn wants_enter(&self) -> bool {
        let mut uring = self.uring.borrow_mut();
        let queue = uring.submission();
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow() || !self.backlog.borrow().is_empty()
    }

    /// Whether completions can be had: in the queue already, or waiting for a system call to put them there.
    pub(crate) fn has_completions(&self) -> bool {
        let mut uring = self.uring.borrow_mut();
        if !uring.completion().is_empty() {
            return true;
        }
        uring.submission().taskrun()
    }

    /// Starts all that was pushed, without waiting.
    pub(crate) fn submit(&self) -> io::Result<()> {
        self.enter(0, None)
    }

    /// Starts all that was pushed and waits for a completion, at most for `limit`.
    pub(crate) fn submit_and_wait(&self, limit: Option<Duration>) -> io::Result<()> {
        self.enter(1, limit)
    }

    fn enter(&self, want: u32, limit: Option<Duration>) -> io::Result<()> {
        let timespec = limit.map(Timespec::from);
        loop {
            let count = self.fill();
            let want = if self.backlog.borrow().is_empty() { want } else { 0 };
            let uring = self.uring.borrow();
            let mut args = SubmitArgs::new();
            if let Some(timespec) = &timespec {
                args = args.timespec(timespec);
            }
            self.enters.set(self.enters.get() + 1);
            // SAFETY: the flags announce an extended argument, which `args` is and which lives through the call; `count`
            // entries were put into the submission queue, each by push under its contract.
            let entered = unsafe { uring.submitter().enter(count, want, self.wait_flags.bits(), Some(&args)) };
            match entered {
                Ok(_) if !self.backlog.borrow().is_empty() => {}
                Ok(_) => return Ok(()),
                Err(error) => return tolerate(error),
            }
        }
    }

    /// Moves the backlog into the submission queue as far as there is room; returns the queue's length.
    fn fill(&self) -> u32 {
        let mut uring = self.uring.borrow_mut();
        let mut queue = uring.submission();
        let mut backlog = self.backlog.borrow_mut();
        while let Some(entry) = backlog.front() {
            // SAFETY: the entry came through push, whose caller vouched for its memory.
            if unsafe { queue.push(entry) }.is_err() {
                break;
            }
            backlog.pop_front();
        }
        queue.len() as u32
    }

    /// Takes up to `limit` completions, appending them to `into`.
    pub(crate) fn completions(&self, into: &mut Vec<Completion>, limit: usize) {
        let mut uring = self.uring.borrow_mut();
        let mut last = 0;
        for entry in uring.completion().take(limit) {
            let flags = entry.flags();
            if !cqueue::more(flags) {
                last += 1;
            }
            let name = OpName::from_user_data(entry.user_data());
            into.push(Completion { name, result: entry.result(), flags });
        }
        self.in_flight.set(self.in_flight.get() - last);
    }

    /// No operation is started from now on.
    pub(crate) fn close(&self) {
        self.closed.set(true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }
}

/// Interruptions, time-outs and a full completion queue are no faults: the caller looks at the queue and comes again.
fn tolerate(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN) => Ok(()),
        _ => Err(error),
    }
}

/// Asks for the cheapest way of running completions that the kernel knows: deferred to our own waiting (6.1), cooperative
/// (6.0), plain.
fn build(submissions: u32, completions: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_clamp().setup_cqsize(completions).setup_submit_all();
    let mut deferred = builder.clone();
    deferred.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
    let mut cooperative = builder.clone();
    cooperative.setup_single_issuer().setup_coop_taskrun().setup_taskrun_flag();
    for choice in [deferred, cooperative] {
        match choice.build(submissions) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            result => return result,
        }
    }
    builder.build(submissions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_named_by_its_user_data() {
        for name in [OpName::new(Kind::Receive, 0xabcdef12, u32::MAX), OpName::new(Kind::Cancel, 0, 0)] {
            assert_eq!(OpName::from_user_data(name.to_user_data()), name);
        }
        assert!(OpName::new(Kind::File, 0x01_00_00_05, 0).has_tag(5));
    }

    #[test]
    fn syncs_have_workers_enough() {
        // As an executor's ring does, which is there first.
        let _small = IoUring::new(2).unwrap();
        let ring = Ring::new().unwrap();
        let mut most = [0, 0];
        ring.uring.borrow().submitter().register_iowq_max_workers(&mut most).unwrap();
        assert_eq!(most[0], WORKERS_MAX);
    }

    #[test]
    fn a_full_submission_queue_spills_into_the_backlog() {
        let ring = Ring::new().unwrap();
        let count = SUBMISSIONS as usize * 3 + 7;
        for index in 0..count {
            // SAFETY: a no-op names no memory.
            unsafe { ring.push(OpName::new(Kind::Cancel, 0, index as u32), opcode::Nop::new().build()) };
        }
        assert_eq!(ring.in_flight(), count);
        let mut seen = Vec::new();
        while seen.len() < count {
            ring.submit_and_wait(Some(Duration::from_secs(1))).unwrap();
            ring.completions(&mut seen, usize::MAX);
        }
        assert_eq!(ring.in_flight(), 0);
        assert!(seen.iter().enumerate().all(|(index, done)| done.name.index == index as u32));
    }
}
