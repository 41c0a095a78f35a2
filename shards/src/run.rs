//! Starting and stopping all shards.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement, PoolPlacement};

use crate::core::Core;
use crate::counters::Counters;
use crate::driver::Driver;
use crate::ids::ShardId;
use crate::mesh::Mesh;
use crate::probe;
use crate::ring::Ring;
use crate::service::Service;
use crate::shard::{Parts, Shard};
use crate::shared::Shared;
use crate::start_error::StartError;
use crate::sys;
use crate::topology::{self, CoreSet};
use crate::workers::Workers;

/// What to start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One shard per entry, pinned to that core (see `topology::choose`). More shards than cores are allowed; they share.
    pub cores: Vec<usize>,
    /// Directories whose file systems are probed for non-blocking writes; they must exist and be writable.
    pub directories: Vec<PathBuf>,
    /// Receive buffers per shard (a power of two, at most 32768) and the size of each in bytes.
    pub buffer_count: u16,
    pub buffer_bytes: u32,
    /// How long a shard watches its rings before it sleeps, at most; it does so only while events come that soon, one behind
    /// the other. Zero turns it off.
    pub spin: Duration,
    /// A turn longer than this is counted, and reported to `on_stall` at most once a second.
    pub stall_threshold: Duration,
    pub on_stall: fn(ShardId, Duration),
}

impl Plan {
    pub fn new(cores: Vec<usize>) -> Self {
        Self {
            cores,
            directories: Vec::new(),
            buffer_count: 256,
            buffer_bytes: 16 << 10,
            spin: Duration::from_micros(50),
            stall_threshold: Duration::from_millis(100),
            on_stall: |shard, took| eprintln!("{shard} served nobody for {} ms", took.as_millis()),
        }
    }
}

/// Started shards. Dropping it without `join` leaves them running.
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

/// Stops shards from wherever it was taken; clones are cheap.
#[derive(Clone)]
pub struct Stopper {
    shared: Arc<Shared>,
}

impl Stopper {
    pub fn stop(&self) {
        self.shared.stop();
    }
}

impl Running {
    /// Begins a clean stop; may be called from any thread, and more than once.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// For a thread that waits for signals while another one joins.
    pub fn stopper(&self) -> Stopper {
        Stopper { shared: Arc::clone(&self.shared) }
    }

    pub fn count(&self) -> usize {
        self.shared.seats.len()
    }

    /// A shard's counts up to its last turn; None when there is no such shard.
    pub fn counters(&self, shard: ShardId) -> Option<Counters> {
        self.shared.seats.get(usize::from(shard.0)).map(|seat| seat.counters.snapshot())
    }

    /// Waits until all shards have ended; the first fault of any of them.
    pub fn join(self) -> Result<(), String> {
        let mut outcome = Ok(());
        for (index, thread) in self.threads.into_iter().enumerate() {
            let ended = thread.join().unwrap_or_else(|_| Err("panicked".into()));
            if let (Ok(()), Err(reason)) = (&outcome, ended) {
                outcome = Err(format!("shard {index}: {reason}"));
            }
        }
        outcome
    }
}

/// Starts one shard per core of the plan. `make` runs on each shard's own thread before its driver starts; events begin when
/// it has succeeded on every shard.
pub fn run<S: Service>(
    plan: Plan,
    make: impl Fn(Core<S::Call>) -> Result<Rc<S>, String> + Send + Sync + 'static,
) -> Result<Running, StartError> {
    let count = plan.cores.len();
    if count == 0 || count > usize::from(u16::MAX) {
        return Err(StartError::ShardCount(count));
    }
    sys::keep_freed_memory();
    // Fails here, where it can be told well, if rings are forbidden.
    drop(Ring::new().map_err(|error| StartError::ring(&error))?);
    let modes = plan
        .directories
        .iter()
        .map(|dir| probe::write_mode(dir).map_err(|error| StartError::Directory(dir.clone(), error)))
        .collect::<Result<Vec<_>, _>>()?;
    let shared = Arc::new(Shared::new(count).map_err(|error| StartError::ring(&error))?);
    let workers = Arc::new(Workers::new(topology::available().cores));
    let make = Arc::new(make);
    let (report, reports) = channel();
    let mut running = Running { shared: Arc::clone(&shared), threads: Vec::new() };
    let mut gates = Vec::new();
    for (index, mesh) in Mesh::all(count).into_iter().enumerate() {
        let (gate, go) = channel();
        gates.push(gate);
        let id = ShardId(index as u16);
        let parts =
            Parts { id, shared: Arc::clone(&shared), mesh, modes: modes.clone(), workers: Arc::clone(&workers) };
        let start = Start { plan: plan.clone(), parts, make: Arc::clone(&make), report: report.clone(), go };
        let thread = std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || start.run());
        running.threads.push(thread.map_err(|error| StartError::Thread(error.to_string()))?);
    }
    drop(report);
    open_gates(running, &reports, &gates, count)
}

/// Lets the shards begin once all are ready.
fn open_gates(
    running: Running,
    reports: &Receiver<Result<(), StartError>>,
    gates: &[Sender<()>],
    count: usize,
) -> Result<Running, StartError> {
    for _ in 0..count {
        let report = reports.recv().unwrap_or_else(|_| Err(StartError::Thread("it panicked".into())));
        if let Err(error) = report {
            running.shared.abandon();
            for gate in gates {
                let _ = gate.send(());
            }
            let _ = running.join();
            return Err(error);
        }
    }
    for gate in gates {
        let _ = gate.send(());
    }
    Ok(running)
}

/// One shard's beginning.
struct Start<C, F> {
    plan: Plan,
    parts: Parts<C>,
    make: Arc<F>,
    report: Sender<Result<(), StartError>>,
    go: Receiver<()>,
}

/// Longest time that a shard stands still after it was kept from its core, see [`keep_executor_awake`].
const OVERSLEPT_MAX: Duration = Duration::from_millis(50);

impl<C: Send + 'static, F> Start<C, F> {
    fn run<S>(self) -> Result<(), String>
    where
        S: Service<Call = C>,
        F: Fn(Core<C>) -> Result<Rc<S>, String>,
    {
        let shared = Arc::clone(&self.parts.shared);
        let _guard = Guard { shared };
        let core = self.plan.cores[usize::from(self.parts.id.0)];
        // Forbidden in some containers, and a core may be gone: then the kernel places the shard.
        let _ = topology::bind(&CoreSet::one(core));
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .name("shard")
            .io_memory(0)
            .ring_depth(64)
            .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
            .make();
        let executor = match executor {
            Ok(executor) => executor,
            Err(error) => {
                let _ = self.report.send(Err(StartError::executor(&error.to_string())));
                return Ok(());
            }
        };
        executor.run(self.serve())
    }

    async fn serve<S>(self) -> Result<(), String>
    where
        S: Service<Call = C>,
        F: Fn(Core<C>) -> Result<Rc<S>, String>,
    {
        let shard = match Shard::new(&self.plan, self.parts) {
            Ok(shard) => shard,
            Err(error) => {
                let _ = self.report.send(Err(StartError::ring(&error)));
                return Ok(());
            }
        };
        let service = match (self.make)(Core { shard: Rc::clone(&shard) }) {
            Ok(service) => service,
            Err(reason) => {
                shard.retire();
                let _ = self.report.send(Err(StartError::Service(reason)));
                return Ok(());
            }
        };
        let shared = Arc::clone(&shard.shared);
        let driver = Driver::new(shard, service, self.plan);
        glommio::spawn_local(keep_executor_awake()).detach();
        let _ = self.report.send(Ok(()));
        drop(self.report);
        if self.go.recv().is_err() {
            // Another shard could not be started.
            shared.abandon();
        }
        driver.drive().await
    }
}

/// Bounds how long the executor sleeps with tasks that want to run. glommio 0.9 does so where its preemption timer (1 s)
/// has run out before it looks at the first task, as happens to a thread that the kernel does not let run for so long: it
/// takes that for having nothing to do, and nothing would ever wake it. A timer of its own does. While the driver sleeps in
/// its ring nobody looks at this timer, so an idle shard pays nothing.
async fn keep_executor_awake() {
    loop {
        glommio::timer::sleep(OVERSLEPT_MAX).await;
    }
}

/// Ends the other shards when this one dies by a panic.
struct Guard {
    shared: Arc<Shared>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.abandon();
        }
    }
}

/// A fault of this process itself: says why and ends it at once, so that nothing acts on a state that cannot be.
pub fn fatal(reason: impl std::fmt::Display) -> ! {
    eprintln!("fatal: {reason}");
    std::process::abort()
}
