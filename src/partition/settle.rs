//! From staged to acknowledged: one write for all that is staged, a sync where the topic asks for one, then the
//! waiters whose records are safe enough are let go.

use std::collections::VecDeque;
use std::io;

use shards::Files;
use state::partition::RequiredAcks;

use super::{Awaiting, Effect, Partition};
use crate::calls::{AppendError, PartitionId};
use crate::log::Flush;

/// What has to happen next for a partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// A write is under way; `written` follows.
    Write,
    /// `flush.messages` or `flush.ms` asks for a sync before waiters are let go.
    Sync,
}

impl Partition {
    /// Writes what is staged. `token` comes back with the completion of a write that is not done at once.
    pub(super) fn flush(&mut self, files: &Files, token: u64, now_ms: i64, effects: &mut Vec<Effect>) -> Next {
        let flush = self.log.flush(files, token);
        self.after_flush(flush, now_ms, effects)
    }

    /// A write that was under way is done.
    pub(super) fn written(
        &mut self,
        result: io::Result<()>,
        files: &Files,
        token: u64,
        now_ms: i64,
        effects: &mut Vec<Effect>,
    ) -> Next {
        match self.log.written(result) {
            // What was staged meanwhile has waited for this write: it leaves in the next one.
            Flush::Done | Flush::Nothing => {
                let next = self.after_flush(Flush::Done, now_ms, effects);
                match self.log.flush(files, token) {
                    Flush::Nothing => next,
                    flush => self.after_flush(flush, now_ms, effects),
                }
            }
            flush => self.after_flush(flush, now_ms, effects),
        }
    }

    fn after_flush(&mut self, flush: Flush, now_ms: i64, effects: &mut Vec<Effect>) -> Next {
        match flush {
            Flush::Nothing => Next::Nothing,
            Flush::InFlight => Next::Write,
            Flush::Failed(error) => {
                self.fail(&error, effects);
                Next::Nothing
            }
            Flush::Done if self.wants_sync(now_ms) => Next::Sync,
            Flush::Done => {
                self.settle(effects);
                Next::Nothing
            }
        }
    }

    /// True if a sync has to come before acknowledgements (`flush.messages`, `flush.ms`).
    fn wants_sync(&self, now_ms: i64) -> bool {
        let unsynced = self.log.log_end_offset() - self.synced_offset;
        let by_count = self.config.flush_messages != i64::MAX && unsynced >= self.config.flush_messages;
        let by_time = self.config.flush_ms != i64::MAX && now_ms - self.last_sync_ms >= self.config.flush_ms;
        self.syncing || (unsynced > 0 && (by_count || by_time))
    }

    /// Marks a sync as started, unless one is under way: what comes meanwhile waits for the next one.
    pub(super) fn begin_sync(&mut self) -> Option<i64> {
        if std::mem::replace(&mut self.syncing, true) { None } else { Some(self.log.log_end_offset()) }
    }

    /// A sync of everything below `offset` ended. A failed one is never tried again and never trusted.
    pub(super) fn synced(
        &mut self,
        offset: i64,
        result: io::Result<()>,
        now_ms: i64,
        effects: &mut Vec<Effect>,
    ) -> Next {
        self.syncing = false;
        if let Err(error) = result {
            self.fail(&error, effects);
            return Next::Nothing;
        }
        self.synced_offset = offset;
        self.last_sync_ms = now_ms;
        self.log.synced(offset);
        if self.wants_sync(now_ms) {
            self.settle_below(offset, effects);
            return Next::Sync;
        }
        self.settle(effects);
        Next::Nothing
    }

    fn settle(&mut self, effects: &mut Vec<Effect>) {
        self.settle_below(self.log.log_end_offset(), effects);
    }

    /// Moves the log end that others see to `log_end`, and lets waiters and watchers go.
    fn settle_below(&mut self, log_end: i64, effects: &mut Vec<Effect>) {
        let moved = self.state.appended(log_end);
        if let Some(high_watermark) = moved.high_watermark {
            self.producers.high_watermark_advanced(high_watermark);
            self.state.unstable_from(self.producers.first_unstable_offset());
        }
        release(self.id, &mut self.awaiting.leader, self.state.acknowledged_end(RequiredAcks::Leader), effects);
        release(self.id, &mut self.awaiting.all, self.state.acknowledged_end(RequiredAcks::AllIsr), effects);
        if moved.high_watermark.is_some() {
            let bytes = std::mem::take(&mut self.unread_bytes);
            for watch in &self.watches {
                effects.push(Effect::Grew { to: watch.shard, fetch: watch.fetch, bytes });
            }
        }
    }

    /// Storage gave way: every waiter hears so, and nothing is accepted from now on.
    pub(super) fn fail(&mut self, error: &io::Error, effects: &mut Vec<Effect>) {
        crate::metrics::log::error(format_args!(
            "{}-{}: {error}; the partition accepts nothing more until the broker is restarted",
            self.topic, self.id.index
        ));
        self.failed = true;
        self.release_all(&AppendError::Storage, effects);
    }

    pub(super) fn release_all(&mut self, why: &AppendError, effects: &mut Vec<Effect>) {
        let all = self.awaiting.leader.drain(..).chain(self.awaiting.all.drain(..));
        effects.extend(all.map(|awaiting| awaiting.told(self.id, Some(why))));
        self.drop_late(why, effects);
    }
}

fn release(id: PartitionId, queue: &mut VecDeque<Awaiting>, below: i64, effects: &mut Vec<Effect>) {
    while queue.front().is_some_and(|first| first.last_offset < below) {
        let Some(awaiting) = queue.pop_front() else { break };
        effects.push(awaiting.told(id, None));
    }
}
