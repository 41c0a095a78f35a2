//! A call to another shard and its answer, over two real shards: one at a time, and many in flight. Wall time only: it is the scheduler,
//! the wake-up and the cache lines between two cores that are measured.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use shards::{Chunk, Core, Lane, Plan, Service, ShardId, SocketId, topology};

struct Hops {
    core: Core<u64>,
    /// Round trips still to begin, on shard 0.
    left: Cell<u64>,
    answers_due: Cell<u64>,
    began: Cell<Option<Instant>>,
    in_flight: u64,
    count: u64,
    done: Sender<Duration>,
}

impl Hops {
    fn begin(&self) {
        self.began.set(Some(Instant::now()));
        self.left.set(self.count - self.in_flight);
        self.answers_due.set(self.count);
        (0..self.in_flight).for_each(|call| self.core.call(ShardId(1), Lane::Request, call));
    }
}

impl Service for Hops {
    type Call = u64;

    fn called(&self, from: ShardId, call: u64) {
        if self.core.id() != ShardId(0) {
            self.core.call(from, Lane::Reply, call);
            return;
        }
        self.answers_due.set(self.answers_due.get() - 1);
        if self.left.get() > 0 {
            self.left.set(self.left.get() - 1);
            self.core.call(from, Lane::Request, call);
        } else if self.answers_due.get() == 0 {
            let took = self.began.get().map(|began| began.elapsed()).unwrap_or_default();
            let _ = self.done.send(took);
        }
    }

    fn settle(&self) {
        if self.core.id() == ShardId(0) && self.began.get().is_none() {
            self.begin();
        }
    }

    fn stopping(&self) {
        self.core.stopped();
    }

    fn accepted(&self, _: SocketId, _: usize, _: SocketAddr, _: SocketAddr) {}
    fn received(&self, _: SocketId, _: Chunk) {}
    fn closed(&self, _: SocketId) {}
    fn sent(&self, _: SocketId) {}
    fn written(&self, _: u64, _: io::Result<()>) {}
}

/// Time of `count` round trips.
fn hops(count: u64, in_flight: u64) -> Duration {
    let (done, finished) = channel();
    let done = Arc::new(Mutex::new(done));
    let cores = topology::choose(Some(2));
    let in_flight = in_flight.min(count);
    let running = shards::run(Plan::new(cores), move |core: Core<u64>| {
        core.wake_at(core.now());
        let done = done.lock().map_err(|_| "poisoned")?.clone();
        let (left, answers_due, began) = (Cell::new(0), Cell::new(0), Cell::new(None));
        Ok(Rc::new(Hops { core, left, answers_due, began, in_flight, count, done }))
    });
    let running = running.expect("shards start");
    let took = finished.recv().expect("every call is answered");
    running.stop();
    running.join().expect("shards stop");
    took
}

pub(crate) fn mesh(c: &mut Criterion) {
    let mut group = c.benchmark_group("mesh");
    // Each sample starts shards of its own, which takes longer than what is measured.
    group.sample_size(10).warm_up_time(Duration::from_millis(100));
    for in_flight in [1, 256] {
        group.bench_function(BenchmarkId::new("round trip, in flight", in_flight), |b| {
            b.iter_custom(|iterations| {
                const LEAST: u64 = 20_000;
                let count = iterations.max(LEAST);
                hops(count, in_flight).mul_f64(iterations as f64 / count as f64)
            });
        });
    }
}
