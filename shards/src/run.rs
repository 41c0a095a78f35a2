//! Starting and stopping all shards.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::core::Core;
use crate::service::Service;

/// What to start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One shard per entry, pinned to that core (see `topology::choose`). More shards than cores are allowed; they share.
    pub cores: Vec<usize>,
    /// Directories whose file systems are probed for non-blocking writes; they must exist and be writable.
    pub directories: Vec<PathBuf>,
    /// Receive buffers per shard (a power of two) and the size of each.
    pub buffer_count: u16,
    pub buffer_bytes: u32,
    /// How long a shard that was busy a moment ago watches its rings before it sleeps; zero turns it off.
    pub spin: Duration,
    /// A turn longer than this is counted and reported.
    pub stall_threshold: Duration,
}

impl Plan {
    pub fn new(cores: Vec<usize>) -> Self {
        Self {
            cores,
            directories: Vec::new(),
            buffer_count: 256,
            buffer_bytes: 16 << 10,
            spin: Duration::ZERO,
            stall_threshold: Duration::from_millis(100),
        }
    }
}

/// Started shards.
pub struct Running {}

impl Running {
    /// Begins a clean stop; may be called from any thread, and more than once.
    pub fn stop(&self) {
        unimplemented!()
    }

    /// Waits until all shards have ended.
    pub fn join(self) -> Result<(), String> {
        unimplemented!()
    }
}

/// Starts one shard per core of the plan. `make` runs on each shard's own thread before its driver starts.
pub fn run<S: Service>(
    _plan: Plan,
    _make: impl Fn(Core<S::Call>) -> Result<Rc<S>, String> + Send + Sync + 'static,
) -> Result<Running, crate::StartError> {
    unimplemented!()
}

/// A fault of this process itself: says why and ends it at once, so that nothing acts on a state that cannot be.
pub fn fatal(reason: impl std::fmt::Display) -> ! {
    eprintln!("fatal: {reason}");
    std::process::abort()
}
