//! Reading the logs of this shard's coordinators, one after the other and in slices, while the shard serves.

use std::rc::Rc;

use shards::Nanos;

use super::coordinator::Phase;
use super::load::{Counts, Loader};
use super::{Coordinators, OFFSETS_TOPIC, give_up};
use crate::calls::{FileRange, PartitionId};
use crate::metrics::log as lines;

/// So much is read from a slice before others get their turn.
const TURN_BYTES: usize = 256 * 1024;

/// Loading that takes longer tells how far it is, each time after so long.
const PROGRESS_NS: u64 = 5_000_000_000;

/// What a run of the loader has read of all its partitions.
#[derive(Default)]
struct Sum {
    partitions: usize,
    counts: Counts,
}

impl Coordinators {
    /// Begins to read the logs that wait for it, unless that is under way. Empty logs need no reading.
    pub(super) fn load(self: &Rc<Self>) {
        self.load_empty();
        if self.to_load.borrow().is_empty() || self.is_loading.replace(true) {
            return;
        }
        let coordinators = Rc::clone(self);
        self.core.spawn(async move {
            coordinators.load_all().await;
            coordinators.is_loading.set(false);
        });
    }

    fn load_empty(self: &Rc<Self>) {
        let mut waiting = std::mem::take(&mut *self.to_load.borrow_mut());
        waiting.retain(|id| {
            let is_empty = self.partitions.is_empty(id) == Some(true);
            if is_empty {
                self.loaded(*id, Loader::default());
            }
            !is_empty
        });
        self.to_load.borrow_mut().extend(waiting);
    }

    async fn load_all(self: &Rc<Self>) {
        let (began, mut sum) = (self.core.now(), Sum::default());
        loop {
            let next = self.to_load.borrow_mut().pop_front();
            let Some(id) = next else { break };
            match self.read_log(id, began).await {
                Ok(loader) => {
                    sum.add(&loader.counts);
                    self.loaded(id, loader);
                }
                Err(why) => {
                    let why = format!("load: {why}");
                    give_up(&mut self.table.borrow_mut(), id.index, &why, &mut self.told.borrow_mut());
                }
            }
            // Whoever was told something is served in settle, which may be far off on an idle shard.
            self.core.wake_at(Nanos(0));
        }
        if sum.partitions > 0 {
            sum.tell(self.core.now().0.saturating_sub(began.0));
        }
    }

    /// Reads one log from its start to its end. What is written meanwhile is read too.
    async fn read_log(self: &Rc<Self>, id: PartitionId, began: Nanos) -> Result<Loader, String> {
        let (mut loader, mut told_at) = (Loader::default(), began);
        loop {
            let slice = self.broker.offsets_load_buffer_bytes;
            let stretch = self.partitions.stretch(&id, loader.next_offset(), slice).await;
            let stretch = stretch.map_err(|error| format!("{error:?}"))?;
            loader.start_at(stretch.log_start);
            let Some(FileRange { file, position, len }) = stretch.data else { return Ok(loader) };
            let bytes =
                self.core.files().read(&file, position, len as usize).await.map_err(|error| error.to_string())?;
            let mut at = 0;
            loop {
                let taken = loader.feed(&bytes[at..], TURN_BYTES).map_err(|error| error.to_string())?;
                at += taken;
                if taken == 0 {
                    break;
                }
                give_way().await;
            }
            if at == 0 {
                return Err(format!("there is no whole batch at offset {}", loader.next_offset()));
            }
            if self.core.now().0.saturating_sub(told_at.0) > PROGRESS_NS {
                told_at = self.core.now();
                let (next, end) = (loader.next_offset(), stretch.log_end);
                lines::info(format_args!("loading {OFFSETS_TOPIC}-{}: at offset {next} of {end}", id.index));
            }
        }
    }

    /// The groups of a partition are known: questions are taken from now on.
    fn loaded(self: &Rc<Self>, id: PartitionId, loader: Loader) {
        let (mut table, mut told) = (self.table.borrow_mut(), self.told.borrow_mut());
        let coordinator = table.by_partition.get_mut(&id.index).filter(|coordinator| coordinator.id == id);
        let Some(coordinator) = coordinator else { return };
        let Phase::Loading { changed } = &mut coordinator.phase else { return };
        let changed = std::mem::take(changed);
        coordinator.phase = Phase::Active(Box::new(loader.groups));
        self.run(&mut table, id.index, &mut told, |groups, cx| groups.loaded(cx));
        if !changed.is_empty() {
            let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
            self.run(&mut table, id.index, &mut told, |groups, cx| groups.metadata_changed(cx, &changed));
        }
    }
}

impl Sum {
    fn add(&mut self, counts: &Counts) {
        self.partitions += 1;
        self.counts.bytes += counts.bytes;
        self.counts.records += counts.records;
        self.counts.unknown += counts.unknown;
        self.counts.damaged += counts.damaged;
    }

    fn tell(&self, took_ns: u64) {
        let Counts { bytes, records, unknown, damaged } = self.counts;
        lines::info(format_args!(
            "loaded {records} records ({bytes} bytes) of {} partitions of {OFFSETS_TOPIC} in {} ms",
            self.partitions,
            took_ns / 1_000_000
        ));
        if unknown > 0 || damaged > 0 {
            lines::warn(format_args!(
                "{OFFSETS_TOPIC}: {damaged} damaged records and {unknown} of unknown types were skipped"
            ));
        }
    }
}

/// Lets everything else that wants to run have a turn.
async fn give_way() {
    let mut gave = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut gave, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
