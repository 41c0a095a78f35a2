//! The loop of one shard: take completions, deliver them, settle, send, sleep.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::monotonic;
use crate::counters::add;
use crate::files::FileEvent;
use crate::ids::{Nanos, ShardId, SocketId};
use crate::mesh::Handover;
use crate::patience::Patience;
use crate::ring::{Completion, Kind};
use crate::run::Plan;
use crate::service::{Seating, Service};
use crate::shard::Shard;
use crate::sys;

/// Completions of one turn, so that settling and sending come round even when more keep arriving.
const COMPLETIONS_PER_TURN: usize = 256;
/// Bytes sent in one turn, about; sockets behind them wait for the next turn, after what came in meanwhile.
const SENT_PER_TURN: u64 = 8 << 20;
/// How soon a shard whose peer's ring is full tries again.
const SPILL_RETRY: Duration = Duration::from_micros(50);

pub(crate) struct Driver<S: Service> {
    shard: Rc<Shard<S::Call>>,
    service: Rc<S>,
    plan: Plan,
    stop_told: bool,
    patience: Patience,
    last_report: Option<Nanos>,
    // Kept between turns for their memory.
    completions: Vec<Completion>,
    calls: VecDeque<(ShardId, S::Call)>,
    handovers: Vec<Handover>,
    ids: Vec<SocketId>,
}

impl<S: Service> Driver<S> {
    pub(crate) fn new(shard: Rc<Shard<S::Call>>, service: Rc<S>, plan: Plan) -> Self {
        let patience = Patience::new(plan.spin);
        Self {
            shard,
            service,
            plan,
            stop_told: false,
            patience,
            last_report: None,
            completions: Vec::with_capacity(COMPLETIONS_PER_TURN),
            calls: VecDeque::new(),
            handovers: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// Runs until all shards have stopped.
    pub(crate) async fn drive(mut self) -> Result<(), String> {
        let outcome = self.turns().await;
        self.end();
        outcome.map_err(|error| format!("drive the data ring: {error}"))
    }

    async fn turns(&mut self) -> io::Result<()> {
        let shard = Rc::clone(&self.shard);
        while !shard.shared.all_stopped() {
            self.turn();
            if shard.tasks.is_runnable() {
                shard.tasks.let_run().await;
                shard.ring.submit()?;
            } else if self.has_work() {
                self.start_pushed()?;
            } else {
                self.rest()?;
            }
        }
        Ok(())
    }

    fn turn(&mut self) {
        let shard = Rc::clone(&self.shard);
        shard.clock.read();
        let now = shard.clock.now();
        shard.ring.completions(&mut self.completions, COMPLETIONS_PER_TURN);
        let mut completions = std::mem::take(&mut self.completions);
        add(&shard.tally.events, completions.len() as u64);
        for completion in completions.drain(..) {
            self.dispatch(&completion, now);
        }
        self.completions = completions;
        self.deliver_ready();
        self.deliver_calls();
        self.wake_due(now);
        self.deliver_closed();
        if shard.shared.is_stopping() && !std::mem::replace(&mut self.stop_told, true) {
            shard.listeners.borrow_mut().stop();
            self.service.stopping();
        }
        self.settle(now);
        self.flush(now);
        if self.deliver_sent() | self.deliver_closed() {
            self.settle(now);
            self.flush(now);
        }
        shard.mesh.borrow_mut().flush(&shard.shared);
        self.account(now);
    }

    fn dispatch(&mut self, completion: &Completion, now: Nanos) {
        let shard = &self.shard;
        match completion.name.kind {
            Kind::Receive => {
                let id = shard.sockets.borrow_mut().received(completion, now);
                self.deliver_chunks(id);
            }
            Kind::Writable => shard.sockets.borrow_mut().writable(completion),
            Kind::File => self.file_event(shard.files.completed(completion.name, completion.result)),
            Kind::Accept => {
                let accepted = shard.listeners.borrow_mut().accepted(completion, now);
                if let Some((fd, listener, seating)) = accepted {
                    self.seat(fd, listener, seating);
                }
            }
            Kind::Bell => {
                add(&shard.tally.wakes, 1);
                if !completion.more() {
                    shard.hear_bell();
                }
            }
            Kind::Cancel => {}
        }
    }

    fn deliver_chunks(&self, id: SocketId) {
        loop {
            let chunk = self.shard.sockets.borrow_mut().next_chunk(id);
            let Some(chunk) = chunk else { return };
            add(&self.shard.tally.receives, 1);
            self.service.received(id, chunk);
        }
    }

    fn file_event(&self, event: FileEvent) {
        match event {
            FileEvent::Nothing => {}
            FileEvent::Written { token, result } => self.service.written(token, result),
            FileEvent::Warmed { socket } => self.shard.sockets.borrow_mut().warmed(socket),
        }
    }

    /// Gives a new connection to the shard that is to serve it.
    fn seat(&self, fd: std::os::fd::OwnedFd, listener: usize, seating: Seating) {
        use std::os::fd::AsFd;
        let shard = &self.shard;
        add(&shard.tally.accepts, 1);
        // A connection that is gone already has no peer; a setting it refuses only makes it slower.
        let (Ok(peer), Ok(local)) = (sys::peer_address(fd.as_fd()), sys::local_address(fd.as_fd())) else { return };
        let _ = sys::set_no_delay(fd.as_fd());
        let own = usize::from(shard.id.0);
        let seat = shard.shared.seat_connection(own, seating);
        let handover = Handover { fd, listener, peer, local };
        if seat == own {
            self.receive_handover(handover);
        } else {
            shard.mesh.borrow_mut().hand_over(seat, handover);
        }
    }

    fn receive_handover(&self, handover: Handover) {
        let id = self.shard.sockets.borrow_mut().insert(handover.fd);
        self.service.accepted(id, handover.listener, handover.peer, handover.local);
    }

    fn deliver_ready(&mut self) {
        let mut ids = std::mem::take(&mut self.ids);
        ids.append(&mut self.shard.sockets.borrow_mut().ready);
        for id in ids.drain(..) {
            self.deliver_chunks(id);
        }
        self.ids = ids;
    }

    fn deliver_calls(&mut self) {
        let shard = Rc::clone(&self.shard);
        shard.mesh.borrow_mut().take(&mut self.calls, &mut self.handovers);
        if self.calls.is_empty() && self.handovers.is_empty() {
            return;
        }
        add(&shard.tally.calls, self.calls.len() as u64);
        while let Some((from, call)) = self.calls.pop_front() {
            add(&shard.tally.crossings, u64::from(from != shard.id));
            self.service.called(from, call);
        }
        let mut handovers = std::mem::take(&mut self.handovers);
        for handover in handovers.drain(..) {
            self.receive_handover(handover);
        }
        self.handovers = handovers;
    }

    fn wake_due(&self, now: Nanos) {
        let shard = &self.shard;
        for waker in shard.seat().take_mail() {
            waker.wake();
        }
        shard.timers.wake_due(now);
        shard.listeners.borrow_mut().arm_rested(now);
        shard.sockets.borrow_mut().close_due(now);
    }

    fn settle(&self, now: Nanos) {
        if self.shard.wake_at.get().is_some_and(|at| at <= now) {
            self.shard.wake_at.set(None);
        }
        self.service.settle();
    }

    /// Sends output and arms receives of all sockets that changed.
    fn flush(&mut self, now: Nanos) {
        let mut sockets = self.shard.sockets.borrow_mut();
        std::mem::swap(&mut self.ids, &mut sockets.changed);
        let limit = self.shard.tally.bytes_sent.get() + SENT_PER_TURN;
        for id in self.ids.drain(..) {
            if self.shard.tally.bytes_sent.get() > limit {
                sockets.changed.push(id);
                continue;
            }
            if let Some(socket) = sockets.get(id) {
                socket.listed = false;
                sockets.flush(id, now);
                sockets.arm(id);
            }
        }
    }

    fn deliver_sent(&mut self) -> bool {
        let mut ids = std::mem::take(&mut self.ids);
        ids.append(&mut self.shard.sockets.borrow_mut().sent);
        let any = !ids.is_empty();
        for id in ids.drain(..) {
            // The connection may have ended meanwhile, or have something to send again.
            let is_sent = self.shard.sockets.borrow_mut().get(id).is_some_and(|socket| socket.output.bytes == 0);
            if is_sent {
                self.service.sent(id);
            }
        }
        self.ids = ids;
        any
    }

    fn deliver_closed(&mut self) -> bool {
        let mut any = false;
        loop {
            let ended = self.shard.sockets.borrow_mut().ended.pop();
            let Some(id) = ended else { return any };
            any = true;
            self.shard.sockets.borrow_mut().remove(id);
            self.shard.seat().connection_ended();
            add(&self.shard.tally.closes, 1);
            self.service.closed(id);
        }
    }

    fn account(&mut self, now: Nanos) {
        let tally = &self.shard.tally;
        add(&tally.turns, 1);
        tally.enters.set(self.shard.ring.enters());
        let took = monotonic().since(now);
        tally.longest_turn_us.set(tally.longest_turn_us.get().max(took.as_micros() as u64));
        if took > self.plan.stall_threshold {
            add(&tally.stalls, 1);
            if self.last_report.is_none_or(|last| now.since(last) >= Duration::from_secs(1)) {
                self.last_report = Some(now);
                (self.plan.on_stall)(self.shard.id, took);
            }
        }
        tally.publish(&self.shard.seat().counters);
    }

    /// Whether another turn is due at once.
    fn has_work(&self) -> bool {
        self.shard.sockets.borrow().has_work() || self.has_news()
    }

    /// Whether another thread has left something for this shard.
    fn has_news(&self) -> bool {
        let shared = &self.shard.shared;
        self.shard.mesh.borrow().has_calls()
            || self.shard.seat().has_mail()
            || (shared.is_stopping() && !self.stop_told)
            || shared.all_stopped()
    }

    /// Starts what was pushed into the ring and waits for something to do.
    fn rest(&mut self) -> io::Result<()> {
        let began = monotonic();
        if !self.watch(began)? {
            self.sleep()?;
        }
        self.patience.learn(monotonic().since(began));
        Ok(())
    }

    fn sleep(&self) -> io::Result<()> {
        let shard = &self.shard;
        let now = monotonic();
        let mut limit = shard.next_deadline().map(|at| at.since(now));
        if shard.mesh.borrow().has_spill() {
            limit = Some(limit.map_or(SPILL_RETRY, |limit| limit.min(SPILL_RETRY)));
        }
        if limit == Some(Duration::ZERO) {
            return shard.ring.submit();
        }
        shard.seat().park();
        let result = if self.has_news() {
            shard.ring.submit()
        } else {
            add(&shard.tally.parks, 1);
            shard.ring.submit_and_wait(limit)
        };
        shard.seat().unpark();
        result
    }

    /// Watches for events as long as patience has it; true when there is something to do.
    fn watch(&self, began: Nanos) -> io::Result<bool> {
        let window = self.patience.window();
        if window.is_zero() {
            return Ok(false);
        }
        self.start_pushed()?;
        let shard = &self.shard;
        let until = began + window;
        while !shard.ring.has_completions() && !self.has_news() {
            let now = monotonic();
            if now > until || shard.next_deadline().is_some_and(|at| at <= now) {
                return Ok(false);
            }
            std::hint::spin_loop();
        }
        self.start_pushed()?;
        Ok(true)
    }

    /// Enters the ring if either side has something for the other.
    fn start_pushed(&self) -> io::Result<()> {
        if self.shard.ring.wants_enter() { self.shard.ring.submit() } else { Ok(()) }
    }

    /// Closes all connections, tells the service, and leaves nothing in the ring.
    fn end(&mut self) {
        let shard = Rc::clone(&self.shard);
        for handover in std::mem::take(&mut self.handovers) {
            drop(handover);
        }
        shard.drain(|event| {
            if let FileEvent::Written { token, result } = event {
                self.service.written(token, result);
            }
        });
        self.deliver_closed();
    }
}

impl<S: Service> Drop for Driver<S> {
    fn drop(&mut self) {
        // Also when a service panicked, where panics unwind.
        self.shard.retire();
    }
}
