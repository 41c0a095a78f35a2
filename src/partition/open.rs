//! Opens, creates and deletes this shard's partitions as the metadata image says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use shards::{ShardId, sync_file_system};
use state::epochs::LeaderEpochs;
use state::metadata::{Image, Topic, TopicChange, shard_of};
use state::partition::{Assignment, PartitionState};
use state::producer::{ProducerLimits, ProducerTable};
use wire::Uuid;

use super::compact::Compaction;
use super::{Partition, Partitions, Queues};
use crate::calls::PartitionId;
use crate::config::{Broker, Dynamic, Layers, TopicConfig};
use crate::log::directory::rename_aside;
use crate::log::replace::shares_file_system;
use crate::log::{
    Doomed, Durable, Log, LogError, NewPartition, OpenHints, Opened, Replayed, create_directories, leader_epochs,
    partition_dir, partition_metadata, sync_parents,
};
use crate::metrics::log as lines;

/// Partitions that are opened in one go while others wait for this shard.
const OPENED_AT_ONCE: usize = 8;

/// A partition of this shard's that is not open yet.
struct Missing {
    topic: Arc<Topic>,
    index: i32,
    /// Which of the log directories it lies in, or shall.
    directory: usize,
    dir: PathBuf,
    is_new: bool,
}

impl Missing {
    fn id(&self) -> PartitionId {
        PartitionId { topic: self.topic.id, index: self.index }
    }

    fn beginning(&self) -> NewPartition {
        let leader_epoch = self.topic.partitions[self.index as usize].leader_epoch;
        NewPartition { dir: self.dir.clone(), topic_id: self.topic.id, leader_epoch }
    }
}

/// A log, what there was to mend of it, and what follows from its records.
struct OpenLog {
    log: Log,
    found: Opened,
    producers: ProducerTable,
    /// As of before which the newest snapshot is; 0 for none.
    snapshot_offset: i64,
}

/// A partition whose topic was deleted.
struct Gone {
    id: PartitionId,
    /// Where it may lie.
    dirs: Vec<PathBuf>,
    delay_ms: i64,
}

impl Gone {
    fn directories(self) -> impl Iterator<Item = (PathBuf, i64)> {
        let delay_ms = self.delay_ms;
        self.dirs.into_iter().map(move |dir| (dir, delay_ms))
    }
}

impl Partitions {
    /// Opens every partition of this shard's at start. Those of the image that have no directory yet are created. A log
    /// directory that fails meanwhile is taken offline, and its partitions with it.
    ///
    /// Errors: a log that is damaged, by name and reason. Nothing is served then: going on would hide the loss.
    pub fn open_all(&self, image: &Arc<Image>, settings: &Broker) -> Result<(), LogError> {
        self.dynamic.replace(Some(Dynamic::of(&Layers::of(settings, image))));
        let handles = self.open_directories()?;
        let mut mended = BTreeSet::new();
        let topics: Vec<Arc<Topic>> = image.topics().cloned().collect();
        for topic in &topics {
            let config = Rc::new(topic_config(&topic.name, image, settings));
            for missing in self.missing(topic, settings)? {
                match self.open_now(&missing, &config, settings) {
                    Ok(true) => _ = mended.insert(missing.directory),
                    Err(error) if !error.blames_directory() => return Err(error),
                    Err(_) | Ok(false) => {}
                }
            }
        }
        self.sync_mended(handles.iter().filter(|(directory, _)| mended.contains(directory)));
        self.adopt_futures(image);
        self.part_with_failed();
        *self.applied.borrow_mut() = Some(Arc::clone(image));
        Ok(())
    }

    /// The log directories that work, open.
    fn open_directories(&self) -> Result<Vec<(usize, fs::File)>, LogError> {
        let mut handles = Vec::new();
        for (index, directory) in self.directories.online() {
            match fs::File::open(&directory.path).map_err(LogError::io("open directory", &directory.path)) {
                Ok(handle) => handles.push((index, handle)),
                Err(error) if error.blames_directory() => self.directories.fail(index, error),
                Err(error) => return Err(error),
            }
        }
        Ok(handles)
    }

    /// After a crash much may have been mended: one sync for all of a directory instead of several for each partition, by
    /// a file that was opened before. One whose sync fails is not trusted.
    fn sync_mended<'a>(&self, mended: impl Iterator<Item = &'a (usize, fs::File)>) {
        for (index, handle) in mended {
            if let Err(error) = sync_file_system(handle) {
                self.directories.fail(*index, format_args!("sync of what was mended: {error}"));
            }
        }
    }

    /// Creates the directory of a partition where it has none, and opens it, on the spot. True if something was mended
    /// that has yet to be synced.
    fn open_now(&self, missing: &Missing, config: &Rc<TopicConfig>, settings: &Broker) -> Result<bool, LogError> {
        if self.directories.get(missing.directory).is_offline() {
            self.table.borrow_mut().set_offline(missing.id());
            return Ok(false);
        }
        let created = if missing.is_new { create_directories(&[missing.beginning()]).remove(0) } else { Ok(()) };
        let durable = if shares_file_system(&missing.dir) { Durable::Later } else { Durable::AtOnce };
        let opened = created.and_then(|()| self.open_partition(missing, Rc::clone(config), settings, durable));
        match opened {
            Ok((partition, is_mended)) => {
                self.table.borrow_mut().insert(partition);
                Ok(is_mended)
            }
            Err(error) => {
                self.refused(missing, &error);
                Err(error)
            }
        }
    }

    /// A partition can't be opened. Where the file system is to blame, so is its log directory.
    fn refused(&self, missing: &Missing, error: &LogError) {
        lines::error(format_args!("open {}-{}: {error}", missing.topic.name, missing.index));
        self.table.borrow_mut().set_offline(missing.id());
        if error.blames_directory() {
            self.directories.fail(missing.directory, error);
        }
    }

    /// Follows a newer image: creates, deletes and configures what changed. Directories are renamed and made by a worker
    /// thread, since each takes syncs that this shard's clients should not wait for. One image at a time.
    pub async fn apply(self: &Rc<Self>, image: &Arc<Image>, settings: &Broker) {
        let Some(old) = self.applied.replace(Some(Arc::clone(image))) else { return };
        let (mut gone, mut missing) = (Vec::new(), Vec::new());
        for change in image.topic_changes(&old) {
            match change {
                TopicChange::Deleted(topic) => self.delete_topic(&topic, &mut gone),
                TopicChange::Created(topic) => missing.push(topic),
                TopicChange::Changed { new, .. } => {
                    self.assign(&new);
                    missing.push(new);
                }
            }
        }
        if !image.config_changes(&old).is_empty() {
            self.configure(image, settings);
        }
        self.moves_rest(|id| gone.iter().any(|gone| gone.id == *id)).await;
        self.set_aside(gone.into_iter().flat_map(Gone::directories).collect()).await;
        let found = missing.iter().map(|topic| self.missing(topic, settings));
        let missing = found.flat_map(|found| found.map_err(report).unwrap_or_default()).collect();
        self.create(missing, image, settings).await;
    }

    /// Makes the directories of new partitions, then opens all of `missing`, some at a time.
    async fn create(self: &Rc<Self>, mut missing: Vec<Missing>, image: &Image, settings: &Broker) {
        missing.retain(|one| {
            let offline = self.directories.get(one.directory).is_offline();
            if offline {
                self.table.borrow_mut().set_offline(one.id());
            }
            !offline
        });
        let beginnings: Vec<NewPartition> = missing.iter().filter(|one| one.is_new).map(Missing::beginning).collect();
        let created = if beginnings.is_empty() {
            Vec::new()
        } else {
            self.files.blocking(move || create_directories(&beginnings)).await
        };
        let mut created = created.into_iter();
        let mut configs: BTreeMap<Uuid, Rc<TopicConfig>> = BTreeMap::new();
        for (count, one) in missing.iter().enumerate() {
            if count % OPENED_AT_ONCE == OPENED_AT_ONCE - 1 {
                self.core.sleep(Duration::ZERO).await;
            }
            let made = if one.is_new { created.next().unwrap_or(Ok(())) } else { Ok(()) };
            let config = configs.entry(one.topic.id);
            let config = config.or_insert_with(|| Rc::new(topic_config(&one.topic.name, image, settings)));
            match made.and_then(|()| self.open_partition(one, Rc::clone(config), settings, Durable::AtOnce)) {
                Ok((partition, _)) => self.table.borrow_mut().insert(partition),
                Err(error) => self.refused(one, &error),
            }
        }
    }

    /// Those partitions of a topic that this shard owns and has not opened. Those of a directory that has failed stay so.
    ///
    /// Errors: `Duplicate`, see [`home`](Self::home).
    fn missing(&self, topic: &Arc<Topic>, settings: &Broker) -> Result<Vec<Missing>, LogError> {
        let (here, count) = (self.core.id(), self.core.count());
        let mut missing = Vec::new();
        for index in 0..topic.partitions.len() as i32 {
            let id = PartitionId { topic: topic.id, index };
            let is_known = self.place(&id).is_some() || self.table.borrow().is_offline(&id);
            if ShardId(shard_of(topic.id, index, count)) != here || is_known {
                continue;
            }
            let directory = match self.home(topic, index, settings.node_id) {
                Ok(Some(directory)) => directory,
                Err(error @ LogError::Duplicate { .. }) => return Err(error),
                result => {
                    result.err().into_iter().for_each(report);
                    self.table.borrow_mut().set_offline(id);
                    continue;
                }
            };
            let dir = self.directories.get(directory).path.join(partition_dir(&topic.name, index));
            match self.set_aside_stranger(&dir, topic.id) {
                Ok(is_new) => missing.push(Missing { topic: Arc::clone(topic), index, directory, dir, is_new }),
                Err(error) => {
                    let one = Missing { topic: Arc::clone(topic), index, directory, dir, is_new: false };
                    self.refused(&one, &error);
                }
            }
        }
        Ok(missing)
    }

    /// Also says whether there was something to mend.
    fn open_partition(
        &self,
        missing: &Missing,
        config: Rc<TopicConfig>,
        settings: &Broker,
        durable: Durable,
    ) -> Result<(Partition, bool), LogError> {
        let Missing { topic, index, directory, dir, is_new } = missing;
        // What the checkpoints say of a new one is about another of the same name, which was deleted.
        let (hints, high_watermark, cleaned) = match is_new {
            true => (OpenHints { clean: true, ..OpenHints::default() }, 0, None),
            false => self.directories.get(*directory).hints(&topic.name, *index),
        };
        let hints = OpenHints { durable, ..hints };
        let OpenLog { log, found, producers, snapshot_offset } = self.open_log(dir, &config, hints)?;
        let epochs = LeaderEpochs::from_entries(leader_epochs::read(dir)?);
        // With one replica everything that is written is replicated, whatever the checkpoint said.
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let min_isr = config.min_insync_replicas.max(1) as usize;
        let assigned = assignment(&topic.partitions[*index as usize]);
        let state = PartitionState::new(settings.node_id, assigned, min_isr, start, end, high_watermark);
        let mut partition = Partition {
            id: missing.id(),
            topic: Arc::clone(&topic.name),
            directory: *directory,
            config,
            synced_offset: end,
            log,
            state,
            epochs,
            producers,
            awaiting: Queues::default(),
            watches: Vec::new(),
            unread_bytes: 0,
            syncing: false,
            syncing_rolled: false,
            compaction: Compaction::after(cleaned),
            used_at: self.core.now(),
            snapshot_offset,
            last_sync_ms: self.core.wall_ms(),
            moving: None,
            failed: false,
        };
        let is_mended = partition.lead(durable)? | (found != Opened::default());
        Ok((partition, is_mended))
    }

    fn open_log(&self, dir: &Path, config: &TopicConfig, hints: OpenHints) -> Result<OpenLog, LogError> {
        let limits = self.producer_limits();
        let (mut producers, mut snapshot_offset) = (ProducerTable::new(limits), 0);
        let (log, found) = Log::open_reported(dir, config, hints, &mut |replayed| {
            if let Replayed::Start(snapshot) = &replayed {
                snapshot_offset = snapshot.as_ref().map_or(0, |snapshot| snapshot.offset);
            }
            replay(&mut producers, replayed, limits, self.core.wall_ms());
        })?;
        Ok(OpenLog { log, found, producers, snapshot_offset })
    }

    fn producer_limits(&self) -> ProducerLimits {
        let dynamic = self.dynamic.borrow();
        let expiration_ms = dynamic.as_ref().map(|dynamic| dynamic.producer_id_expiration_ms);
        let limits = ProducerLimits::default();
        ProducerLimits { expiration_ms: expiration_ms.unwrap_or(limits.expiration_ms), ..limits }
    }

    /// Whether the directory has yet to be made. One of the right name with another topic's id is left over from a topic
    /// that was deleted and created anew while the broker was down: it is set aside.
    fn set_aside_stranger(&self, dir: &Path, topic_id: Uuid) -> Result<bool, LogError> {
        if !dir.exists() {
            return Ok(true);
        }
        match partition_metadata::read(dir)? {
            Some(id) if id != topic_id => {
                lines::warn(format_args!("{} belongs to topic id {id}, which is gone: it is removed", dir.display()));
                self.doom_directory(dir, 0)?;
                Ok(true)
            }
            Some(_) => Ok(false),
            None => partition_metadata::write(dir, topic_id).map(|()| false),
        }
    }

    /// Closes the partitions of a deleted topic. What is to become of their directories goes to `gone`.
    fn delete_topic(&self, topic: &Topic, gone: &mut Vec<Gone>) {
        for index in 0..topic.partitions.len() as i32 {
            let removed = self.table.borrow_mut().remove(&PartitionId { topic: topic.id, index });
            let Some(mut partition) = removed else { continue };
            partition.abandon(&mut self.effects.borrow_mut());
            let mut dirs = vec![partition.log.dir().to_path_buf()];
            dirs.extend(partition.moving.iter().flat_map(|moving| moving.directories(partition.log.dir())));
            gone.push(Gone { id: partition.id, dirs, delay_ms: partition.config.file_delete_delay_ms });
        }
    }

    /// Gives the directories of deleted partitions names that no partition has; each is removed some milliseconds later,
    /// so that those who still read can end.
    pub(super) async fn set_aside(&self, mut gone: Vec<(PathBuf, i64)>) {
        gone.retain(|(dir, _)| dir.exists());
        if gone.is_empty() {
            return;
        }
        let chance = self.chance();
        let renamed = self.files.blocking(move || {
            let rename =
                |(dir, delay_ms): &(PathBuf, i64)| Some((rename_aside(dir, chance).map_err(report).ok()?, *delay_ms));
            let renamed: Vec<(PathBuf, i64)> = gone.iter().filter_map(rename).collect();
            if let Err(error) = sync_parents(renamed.iter().map(|(path, _)| path.as_path())) {
                report(error);
            }
            renamed
        });
        let now_ms = self.core.wall_ms();
        let due = |(path, delay_ms): (PathBuf, i64)| Doomed { path, due_ms: now_ms.saturating_add(delay_ms) };
        let doomed = renamed.await.into_iter().map(due);
        self.doomed.borrow_mut().extend(doomed);
    }

    /// Partitions whose leader, replicas or epochs changed.
    fn assign(&self, topic: &Topic) {
        for (index, assigned) in topic.partitions.iter().enumerate() {
            let id = PartitionId { topic: topic.id, index: index as i32 };
            self.with(&id, |partition| {
                let moved = partition.state.assigned(assignment(assigned));
                if let Some((epoch, start)) = moved.epoch_start {
                    partition.note_epoch(epoch, start);
                }
            });
        }
    }

    fn configure(&self, image: &Image, settings: &Broker) {
        let dynamic = Dynamic::of(&Layers::of(settings, image));
        let expiration_ms = dynamic.producer_id_expiration_ms;
        self.dynamic.replace(Some(dynamic));
        let mut configs: BTreeMap<Arc<str>, Rc<TopicConfig>> = BTreeMap::new();
        for partition in self.table.borrow_mut().places.iter_mut().flatten() {
            partition.producers.set_expiration_ms(expiration_ms);
            let name = Arc::clone(&partition.topic);
            let config = configs.entry(name).or_insert_with_key(|name| Rc::new(topic_config(name, image, settings)));
            if *partition.config != **config {
                partition.config = Rc::clone(config);
                partition.log.set_config(config);
                _ = partition.state.min_isr_changed(config.min_insync_replicas.max(1) as usize);
            }
        }
    }
}

impl Partition {
    /// This node leads: its epoch begins at the log end. True if that is news.
    fn lead(&mut self, durable: Durable) -> Result<bool, LogError> {
        let moved = self.state.became_leader();
        if let Some(high_watermark) = moved.high_watermark {
            self.producers.high_watermark_advanced(high_watermark);
        }
        self.state.unstable_from(self.producers.first_unstable_offset());
        let Some((epoch, start)) = moved.epoch_start else { return Ok(false) };
        let is_news = self.epochs.assign(epoch, start);
        if is_news {
            leader_epochs::write(self.log.dir(), self.epochs.entries(), durable)?;
        }
        Ok(is_news)
    }

    fn note_epoch(&mut self, epoch: i32, start: i64) {
        if self.epochs.assign(epoch, start) {
            self.write_epochs();
        }
    }

    pub(super) fn write_epochs(&self) {
        if let Err(error) = leader_epochs::write(self.log.dir(), self.epochs.entries(), Durable::AtOnce) {
            lines::error(format_args!("write leader epochs of {}-{}: {error}", self.topic, self.id.index));
        }
    }
}

fn report(error: LogError) {
    lines::error(format_args!("open or delete partitions: {error}"));
}

/// What a topic's partitions go by: its own configs over the broker's.
pub(super) fn topic_config(name: &str, image: &Image, settings: &Broker) -> TopicConfig {
    let none = BTreeMap::new();
    Layers::of(settings, image).topic_config(image.topic_configs(name).unwrap_or(&none))
}

fn replay(producers: &mut ProducerTable, replayed: Replayed<'_>, limits: ProducerLimits, now_ms: i64) {
    match replayed {
        Replayed::Start(snapshot) => {
            *producers = match snapshot {
                Some(snapshot) => ProducerTable::from_snapshot(limits, snapshot.offset, snapshot.entries, now_ms),
                None => ProducerTable::new(limits),
            };
        }
        Replayed::Batch { header, marker } => _ = producers.replay(header, marker),
    }
}

fn assignment(partition: &state::metadata::Partition) -> Assignment {
    Assignment {
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        replicas: partition.replicas.clone(),
        isr: partition.isr.clone(),
    }
}
