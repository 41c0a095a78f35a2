//! A few threads for work that blocks: directory operations, long scans.

use std::future::Future;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::topology::{self, CoreSet};

/// Threads at most; they are started when there is first work for them.
const WORKERS: usize = 4;
/// Jobs that may wait. One more runs on the shard itself, which stalls it, but loses nothing.
const WAITING_LIMIT: usize = 4096;

type Job = Box<dyn FnOnce() + Send>;

/// Shared by all shards. The threads end when the pool is dropped and the work is done.
pub(crate) struct Workers {
    jobs: SyncSender<Job>,
    waiting: Arc<Mutex<Receiver<Job>>>,
    started: Mutex<usize>,
    /// Where the workers may run: a thread inherits the pinning of the shard that starts it.
    cores: CoreSet,
}

impl Workers {
    pub(crate) fn new(cores: CoreSet) -> Self {
        let (jobs, waiting) = sync_channel(WAITING_LIMIT);
        Self { jobs, waiting: Arc::new(Mutex::new(waiting)), started: Mutex::new(0), cores }
    }

    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + 'static {
        let slot = Arc::new(Mutex::new(Slot::<T> { result: None, waker: None }));
        let answer = Arc::clone(&slot);
        self.start(Box::new(move || {
            let result = work();
            let mut slot = answer.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            slot.result = Some(result);
            if let Some(waker) = slot.waker.take() {
                drop(slot);
                waker.wake();
            }
        }));
        std::future::poll_fn(move |context| {
            let mut slot = slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match slot.result.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    slot.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    fn start(&self, job: Job) {
        self.start_worker();
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => job(),
        }
    }

    fn start_worker(&self) {
        let mut started = self.started.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if *started == WORKERS {
            return;
        }
        let waiting = Arc::clone(&self.waiting);
        let cores = self.cores.clone();
        let work = move || {
            // A worker that stays pinned only works more slowly.
            let _ = topology::bind(&cores);
            loop {
                let job = waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).recv();
                match job {
                    Ok(job) => job(),
                    Err(_) => return,
                }
            }
        };
        if std::thread::Builder::new().name("worker".into()).spawn(work).is_ok() {
            *started += 1;
        }
    }
}

struct Slot<T> {
    result: Option<T>,
    waker: Option<Waker>,
}
