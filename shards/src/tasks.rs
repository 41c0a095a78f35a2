//! Tasks beside the service, and their timers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::ThreadId;
use std::time::Duration;

use crate::clock;
use crate::ids::Nanos;
use crate::shared::Shared;

/// Knows whether any task of the shard wants to run, so that the driver lets the executor in only then, and may sleep in
/// its own ring otherwise.
#[derive(Clone)]
pub(crate) struct Tasks {
    home: Arc<Home>,
}

struct Home {
    runnable: AtomicBool,
    thread: ThreadId,
    shared: Arc<Shared>,
    seat: usize,
}

impl Tasks {
    /// To be called on the shard's thread.
    pub(crate) fn new(shared: Arc<Shared>, seat: usize) -> Self {
        let thread = std::thread::current().id();
        Self { home: Arc::new(Home { runnable: AtomicBool::new(false), thread, shared, seat }) }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.home.runnable.store(true, Ordering::Relaxed);
        glommio::spawn_local(Tracked { task: Box::pin(task), bell: None, home: Arc::clone(&self.home) }).detach();
    }

    pub(crate) fn is_runnable(&self) -> bool {
        self.home.runnable.load(Ordering::Relaxed)
    }

    /// Lets every task that was woken so far run once.
    pub(crate) async fn let_run(&self) {
        self.home.runnable.store(false, Ordering::Relaxed);
        let mut yielded = false;
        std::future::poll_fn(move |context| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// A task whose wakers go through ours.
struct Tracked<T> {
    task: Pin<Box<T>>,
    bell: Option<Arc<TaskBell>>,
    home: Arc<Home>,
}

struct TaskBell {
    home: Arc<Home>,
    executor: Mutex<Waker>,
}

impl<T: Future<Output = ()>> Future for Tracked<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let bell = this.bell.get_or_insert_with(|| {
            Arc::new(TaskBell { home: Arc::clone(&this.home), executor: Mutex::new(context.waker().clone()) })
        });
        bell.follow(context.waker());
        let waker = Waker::from(Arc::clone(bell));
        this.task.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

impl TaskBell {
    fn follow(&self, waker: &Waker) {
        let mut executor = self.executor.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !executor.will_wake(waker) {
            executor.clone_from(waker);
        }
    }
}

impl Wake for TaskBell {
    fn wake(self: Arc<Self>) {
        if std::thread::current().id() == self.home.thread {
            self.home.runnable.store(true, Ordering::Relaxed);
            let executor = self.executor.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
            executor.wake();
        } else {
            // The executor's own way of being woken from outside is not watched while the driver sleeps in its ring.
            let home = Arc::clone(&self.home);
            home.shared.seats[home.seat].post(Waker::from(self));
        }
    }
}

/// Sleeping tasks of one shard, by deadline.
#[derive(Default)]
pub(crate) struct Timers {
    waiting: RefCell<BTreeMap<(Nanos, u64), Waker>>,
    next: Cell<u64>,
}

impl Timers {
    pub(crate) fn sleep(self: &Rc<Self>, time: Duration) -> impl Future<Output = ()> + 'static {
        let serial = self.next.get();
        self.next.set(serial + 1);
        Sleep { timers: Rc::clone(self), key: (clock::monotonic() + time, serial) }
    }

    pub(crate) fn earliest(&self) -> Option<Nanos> {
        self.waiting.borrow().first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn wake_due(&self, now: Nanos) {
        while self.earliest().is_some_and(|at| at <= now) {
            let due = self.waiting.borrow_mut().pop_first();
            if let Some((_, waker)) = due {
                waker.wake();
            }
        }
    }
}

struct Sleep {
    timers: Rc<Timers>,
    key: (Nanos, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.key.0 <= clock::monotonic() {
            return Poll::Ready(());
        }
        self.timers.waiting.borrow_mut().insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.timers.waiting.borrow_mut().remove(&self.key);
    }
}
