//! Cleaning the compacted partitions of this shard, one at a time, the dirtiest first (Kafka's `LogCleaner`). Reading and
//! writing happen on a worker thread, a slice at a time; here segments are chosen and swapped.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use shards::File;
use state::compaction::LastOfProducers;

use super::{Effect, Partition, Partitions};
use crate::calls::PartitionId;
use crate::config::cleaner::CleanerConfig;
use crate::config::{Broker, Layers};
use crate::log::LogError;
use crate::log::compaction::{Cleaned, Cleaning, CleaningLimits, CleaningStats, DirtyLog, SLICE_BYTES, Step};
use crate::metrics::log as lines;

/// Longest sleep at a time: so soon a stop or a changed setting is noticed.
const SLEEP_MS_MAX: u64 = 1000;
/// Without any backoff partitions are still not looked at all the time.
const SLEEP_MS_MIN: u64 = 10;
/// After a failed read or write a partition is left alone for so long, so that it does not keep others from their turn.
const RETRY_MS: i64 = 60_000;
/// Less than this is no use for a map of keys.
const MAP_BYTES_MIN: u64 = 1024 * 1024;

/// What a partition's cleaning has come to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Compaction {
    /// Everything before it was cleaned.
    pub(super) cleaned: Option<i64>,
    /// A batch could not be understood: nothing is cleaned until the broker is restarted, since a copy would hide it.
    uncleanable: bool,
    /// A read or write failed: not before this time (wall clock).
    retry_ms: i64,
    is_running: bool,
}

impl Compaction {
    pub(super) fn after(cleaned: Option<i64>) -> Self {
        Self { cleaned, ..Self::default() }
    }

    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }
}

/// Why a cleaning ended before its time.
enum Stop {
    /// The partition is gone or no longer to be cleaned, or the shard stops.
    Over,
    /// What was read has changed: the next round sees it anew.
    Changed,
    /// The log is as it was.
    Failed(LogError),
    /// The files are not what the log takes them for, or may not be on the disk.
    Broken(LogError),
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Self {
        Self::Failed(error)
    }
}

impl Partitions {
    /// Cleans as long as the shard runs.
    pub async fn clean_logs(self: Rc<Self>, settings: Arc<Broker>) {
        let mut due = self.core.now();
        while !self.closing.get() {
            let config = self.cleaner_config(&settings);
            let backoff_ms = config.map_or(SLEEP_MS_MAX, |config| config.backoff_ms);
            if let Some(config) = config.filter(|config| config.enable && self.core.now() >= due) {
                if self.clean_dirtiest(&config).await {
                    continue;
                }
                due = self.core.now() + Duration::from_millis(backoff_ms);
            }
            self.core.sleep(Duration::from_millis(backoff_ms.clamp(SLEEP_MS_MIN, SLEEP_MS_MAX))).await;
        }
    }

    /// `None` while no partitions are open yet.
    fn cleaner_config(&self, settings: &Broker) -> Option<CleanerConfig> {
        let applied = self.applied.borrow();
        Some(share(CleanerConfig::of(&Layers::of(settings, applied.as_ref()?)), self.core.count()))
    }

    /// True if something was cleaned, so that there may be more to do.
    async fn clean_dirtiest(&self, config: &CleanerConfig) -> bool {
        let Some((id, dirty)) = self.dirtiest() else { return false };
        let now_ms = self.core.wall_ms();
        let begun = self.with(&id, |partition| partition.begin_cleaning(&dirty, limits(config), now_ms));
        let Some(Some((cleaning, directory))) = begun else { return false };
        let (cleaning, result) = self.run(id, cleaning, &directory, config).await;
        let now_ms = self.core.wall_ms();
        let ended = self
            .with(&id, |partition| partition.cleaning_ended(&cleaning, result, now_ms, &mut self.effects.borrow_mut()));
        // Its map is large enough for giving it back to take a moment.
        self.files.blocking(move || drop(cleaning)).await;
        ended.is_some_and(|end| end.is_some_and(|end| end > dirty.dirty.first_dirty))
    }

    /// The partition with the largest share of uncleaned log, of those that are due.
    fn dirtiest(&self) -> Option<(PartitionId, DirtyLog)> {
        let now_ms = self.core.wall_ms();
        let mut dirtiest: Option<(PartitionId, DirtyLog)> = None;
        for partition in self.table.borrow_mut().places.iter_mut().flatten() {
            let Some(found) = partition.dirty(now_ms).filter(|found| found.is_due) else { continue };
            if dirtiest.as_ref().is_none_or(|(_, most)| found.dirty.ratio() > most.dirty.ratio()) {
                dirtiest = Some((partition.id, found));
            }
        }
        dirtiest
    }

    async fn run(
        &self,
        id: PartitionId,
        mut cleaning: Cleaning,
        directory: &File,
        config: &CleanerConfig,
    ) -> (Cleaning, Result<i64, Stop>) {
        let slice = slice_bytes(config.io_bytes_per_second_max);
        loop {
            let began = self.core.now();
            let (back, (step, moved)) = self
                .files
                .blocking(move || {
                    let result = cleaning.step(slice);
                    (cleaning, result)
                })
                .await;
            cleaning = back;
            let result = match step {
                _ if !self.may_go_on(&id) => Err(Stop::Over),
                Ok(Step::Done(end)) => return (cleaning, Ok(end)),
                Ok(Step::Cleaned(cleaned)) => self.swap(&id, &cleaned, directory).await,
                Ok(Step::More) => Ok(()),
                Err(error) => Err(Stop::Failed(error)),
            };
            if let Err(stop) = result {
                return (cleaning, Err(stop));
            }
            let due = Duration::from_secs_f64((moved as f64 / config.io_bytes_per_second_max).clamp(0.0, 3600.0));
            if let Some(rest) = due.checked_sub(self.core.now().since(began)).filter(|rest| rest.as_millis() > 0) {
                self.core.sleep(rest).await;
            }
        }
    }

    fn may_go_on(&self, id: &PartitionId) -> bool {
        // While a replica moves, its segments stay as they are (`LogManager.abortAndPauseCleaning`).
        let may = |partition: &mut Partition| {
            partition.config.cleanup_policy.compact && !partition.failed && partition.moving.is_none()
        };
        !self.closing.get() && self.with(id, may).unwrap_or(false)
    }

    async fn swap(&self, id: &PartitionId, cleaned: &Cleaned, directory: &File) -> Result<(), Stop> {
        if !self.with(id, |partition| partition.log.offer_swap(cleaned)).ok_or(Stop::Over)?? {
            return Err(Stop::Changed);
        }
        self.sync_directory(directory).await?;
        if self.closing.get() {
            // All is in place for the next start to finish it.
            return Err(Stop::Over);
        }
        let now_ms = self.core.wall_ms();
        let doomed = match self.with(id, |partition| partition.log.swap(cleaned, now_ms)).ok_or(Stop::Over)? {
            Ok(doomed) => doomed.ok_or(Stop::Changed)?,
            Err(error) => return Err(Stop::Broken(error)),
        };
        self.sync_directory(directory).await.map_err(Stop::Broken)?;
        self.doom(doomed);
        Ok(())
    }

    /// The handle leads to the partition's own directory, also if that was renamed meanwhile.
    async fn sync_directory(&self, directory: &File) -> Result<(), LogError> {
        let file = directory.clone();
        let synced = self.files.blocking(move || file.sync_all()).await;
        synced.map_err(LogError::io("sync directory", directory.path()))
    }
}

/// What one of so many shards may use of the whole broker's memory and rate.
fn share(config: CleanerConfig, shards: u16) -> CleanerConfig {
    CleanerConfig {
        dedupe_buffer_bytes: (config.dedupe_buffer_bytes / u64::from(shards)).max(MAP_BYTES_MIN),
        io_buffer_bytes: config.io_buffer_bytes / u64::from(shards),
        io_bytes_per_second_max: (config.io_bytes_per_second_max / f64::from(shards)).max(1.0),
        ..config
    }
}

fn limits(config: &CleanerConfig) -> CleaningLimits {
    CleaningLimits {
        map_bytes: config.dedupe_buffer_bytes,
        map_load_factor: config.load_factor,
        // The other half is for what is written.
        buffer_bytes: (config.io_buffer_bytes / 2) as usize,
    }
}

/// A throttled cleaner moves a tenth of a second's share at a time, so that it neither bursts nor sleeps long.
fn slice_bytes(bytes_per_second_max: f64) -> u64 {
    ((bytes_per_second_max / 10.0) as u64).clamp(4096, SLICE_BYTES)
}

impl Partition {
    fn dirty(&mut self, now_ms: i64) -> Option<DirtyLog> {
        let Compaction { cleaned, uncleanable, retry_ms, .. } = self.compaction;
        let is_barred = uncleanable || self.failed || self.moving.is_some();
        if !self.config.cleanup_policy.compact || is_barred || now_ms < retry_ms {
            return None;
        }
        match self.log.dirty(cleaned, self.state.last_stable_offset(), now_ms) {
            Ok(dirty) => Some(dirty),
            Err(error) => {
                self.put_off_cleaning(&error, now_ms);
                None
            }
        }
    }

    fn begin_cleaning(&mut self, dirty: &DirtyLog, limits: CleaningLimits, now_ms: i64) -> Option<(Cleaning, File)> {
        let dir = self.log.dir();
        let directory = match File::open_read(dir).map_err(LogError::io("open directory", dir)) {
            Ok(directory) => directory,
            Err(error) => {
                self.put_off_cleaning(&error, now_ms);
                return None;
            }
        };
        let last = LastOfProducers::of(&self.producers.to_snapshot());
        self.compaction.is_running = true;
        Some((self.log.begin_cleaning(dirty, last, limits, now_ms), directory))
    }

    /// Returns how far it came, if it came to its end.
    fn cleaning_ended(
        &mut self,
        cleaning: &Cleaning,
        result: Result<i64, Stop>,
        now_ms: i64,
        effects: &mut Vec<Effect>,
    ) -> Option<i64> {
        self.compaction.is_running = false;
        match result {
            Ok(end) => {
                self.compaction.cleaned = Some(end);
                self.report_cleaned(cleaning, end);
                return Some(end);
            }
            Err(Stop::Over | Stop::Changed) => cleaning.discard(),
            Err(Stop::Failed(error)) => {
                cleaning.discard();
                self.put_off_cleaning(&error, now_ms);
            }
            // The next start finishes what was begun: the new files must stay.
            Err(Stop::Broken(error)) => self.fail(&std::io::Error::other(error.to_string()), effects),
        }
        None
    }

    fn report_cleaned(&self, cleaning: &Cleaning, end: i64) {
        let CleaningStats { bytes_before, bytes_after, segments_before, segments_after, keys } = cleaning.stats();
        if segments_before > 0 {
            lines::info(format_args!(
                "cleaned {}-{} up to offset {end}: {keys} keys, {bytes_before} -> {bytes_after} bytes, \
                 {segments_before} -> {segments_after} segments",
                self.topic, self.id.index
            ));
        }
    }

    fn put_off_cleaning(&mut self, error: &LogError, now_ms: i64) {
        let (topic, index) = (&self.topic, self.id.index);
        match error {
            LogError::Corrupt { .. } => {
                lines::error(format_args!("{topic}-{index} is not cleaned any more: {error}"));
                self.compaction.uncleanable = true;
            }
            // Retention took what was being read.
            LogError::Io { error: io, .. } if io.kind() == std::io::ErrorKind::NotFound => {}
            _ => {
                lines::error(format_args!("clean {topic}-{index}: {error}"));
                self.compaction.retry_ms = now_ms.saturating_add(RETRY_MS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_share_memory_and_rate_of_the_cleaner() {
        let config = CleanerConfig {
            enable: true,
            backoff_ms: 7,
            dedupe_buffer_bytes: 12 << 20,
            load_factor: 0.8,
            io_buffer_bytes: 4 << 20,
            io_bytes_per_second_max: 8.0,
        };
        let limits_of = |shards| {
            let CleaningLimits { map_bytes, map_load_factor, buffer_bytes } = limits(&share(config, shards));
            (map_bytes, map_load_factor, buffer_bytes)
        };
        assert_eq!(limits_of(1), (12 << 20, 0.8, 2 << 20));
        assert_eq!(limits_of(4), (3 << 20, 0.8, 512 << 10));
        assert_eq!(limits_of(64), (MAP_BYTES_MIN, 0.8, 32 << 10));
        assert_eq!(share(config, 4).io_bytes_per_second_max, 2.0);
        assert_eq!(share(config, 64).io_bytes_per_second_max, 1.0);
    }
}
