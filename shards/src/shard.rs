//! All that one shard owns, apart from its service.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use io_uring::{opcode, types};

use crate::buffers::Pool;
use crate::clock::Clock;
use crate::counters::Tally;
use crate::files::{FileEvent, Files, WriteMode};
use crate::ids::{Nanos, ShardId};
use crate::listeners::Listeners;
use crate::mesh::Mesh;
use crate::ring::{Completion, Kind, OpName, Ring};
use crate::run::Plan;
use crate::service::Seating;
use crate::shared::{Seat, Shared};
use crate::sockets::Sockets;
use crate::tasks::{Tasks, Timers};
use crate::workers::Workers;

pub(crate) struct Shard<C> {
    pub(crate) id: ShardId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) ring: Rc<Ring>,
    pool: Rc<Pool>,
    pub(crate) files: Files,
    pub(crate) sockets: RefCell<Sockets>,
    pub(crate) listeners: RefCell<Listeners>,
    pub(crate) mesh: RefCell<Mesh<C>>,
    pub(crate) clock: Clock,
    pub(crate) timers: Rc<Timers>,
    pub(crate) tasks: Tasks,
    pub(crate) tally: Rc<Tally>,
    /// When the service wants `settle` at the latest.
    pub(crate) wake_at: Cell<Option<Nanos>>,
    pub(crate) stopped: Cell<bool>,
}

/// What the parts of a shard are made from on its thread.
pub(crate) struct Parts<C> {
    pub(crate) id: ShardId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) mesh: Mesh<C>,
    pub(crate) modes: Vec<(u64, WriteMode)>,
    pub(crate) workers: Arc<Workers>,
}

/// How long an ending shard waits for its operations before it gives their memory up.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

impl<C: Send + 'static> Shard<C> {
    /// To be called on the shard's thread: the ring belongs to it.
    pub(crate) fn new(plan: &Plan, parts: Parts<C>) -> io::Result<Rc<Self>> {
        let ring = Ring::new()?;
        let pool = Pool::new(plan.buffer_count, plan.buffer_bytes)?;
        // SAFETY: the shard keeps the pool, and its Drop either sees the ring drained and the buffers taken back, or leaks.
        unsafe { ring.lend(&pool)? };
        let files = Files::new(Rc::clone(&ring), parts.modes, parts.workers)?;
        let tally = Rc::new(Tally::default());
        let sockets = Sockets::new(Rc::clone(&ring), Rc::clone(&pool), files.clone(), Rc::clone(&tally));
        let shard = Self {
            id: parts.id,
            tasks: Tasks::new(Arc::clone(&parts.shared), usize::from(parts.id.0)),
            shared: parts.shared,
            listeners: RefCell::new(Listeners::new(Rc::clone(&ring))),
            ring,
            pool,
            files,
            sockets: RefCell::new(sockets),
            mesh: RefCell::new(parts.mesh),
            clock: Clock::new(),
            timers: Rc::default(),
            tally,
            wake_at: Cell::new(None),
            stopped: Cell::new(false),
        };
        shard.hear_bell();
        Ok(Rc::new(shard))
    }

    pub(crate) fn seat(&self) -> &Seat {
        &self.shared.seats[usize::from(self.id.0)]
    }

    /// Has every ring of the bell complete in the data ring. The bell's counter is never read: each write is announced.
    pub(crate) fn hear_bell(&self) {
        let entry = opcode::PollAdd::new(types::Fd(self.seat().bell()), libc::POLLIN as u32).multi(true).build();
        // SAFETY: a poll names no memory.
        unsafe { self.ring.push(OpName::new(Kind::Bell, 0, 0), entry) };
    }

    pub(crate) fn listen(&self, socket: TcpListener, number: usize, seating: Seating) {
        self.listeners.borrow_mut().add(socket, number, seating);
    }

    /// The earliest moment at which something is due without any event.
    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        let deadlines = [
            self.wake_at.get(),
            self.timers.earliest(),
            self.listeners.borrow().rest_ends(),
            self.sockets.borrow().earliest_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }
}

impl<C> Shard<C> {
    /// Cancels all operations and waits until none is in flight; false when some would not end.
    pub(crate) fn drain(&self, mut event: impl FnMut(FileEvent)) -> bool {
        self.sockets.borrow_mut().close_all();
        self.listeners.borrow_mut().stop();
        self.ring.cancel_all();
        self.ring.close();
        let until = crate::clock::monotonic() + DRAIN_LIMIT;
        let mut completions = Vec::new();
        while self.ring.in_flight() > 0 {
            if crate::clock::monotonic() > until || self.ring.submit_and_wait(Some(Duration::from_millis(100))).is_err()
            {
                return false;
            }
            self.ring.completions(&mut completions, usize::MAX);
            for completion in completions.drain(..) {
                event(self.drained_event(&completion));
            }
        }
        true
    }

    fn drained_event(&self, completion: &Completion) -> FileEvent {
        match completion.name.kind {
            Kind::Receive => drop(self.sockets.borrow_mut().received(completion, self.clock.now())),
            Kind::Writable => self.sockets.borrow_mut().writable(completion),
            Kind::Accept => drop(self.listeners.borrow_mut().accepted(completion, self.clock.now())),
            Kind::File => return self.files.completed(completion.name, completion.result),
            Kind::Bell | Kind::Cancel => {}
        }
        FileEvent::Nothing
    }

    /// To be called before the shard's last owner goes: makes sure that the kernel holds no memory of ours, or that the
    /// memory it may still hold is never freed.
    pub(crate) fn retire(self: &Rc<Self>) {
        if self.drain(drop) && self.ring.take_back().is_ok() {
            return;
        }
        eprintln!("{}: {} operations would not end, their memory is given up", self.id, self.ring.in_flight());
        std::mem::forget(Rc::clone(self));
        std::mem::forget(Rc::clone(&self.pool));
    }
}
