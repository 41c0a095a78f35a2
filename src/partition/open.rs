//! Opens, creates and deletes this shard's partitions as the metadata image says.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use shards::ShardId;
use state::epochs::LeaderEpochs;
use state::metadata::{Image, ResourceType, Topic, TopicChange, shard_of};
use state::partition::{Assignment, PartitionState};
use state::producer::{ProducerLimits, ProducerTable};
use wire::Uuid;

use super::compact::Compaction;
use super::{Partition, Partitions, Queues};
use crate::calls::PartitionId;
use crate::config::{Broker, Layers, TopicConfig};
use crate::log::{Log, LogError, OpenHints, Replayed, leader_epochs, partition_dir, partition_metadata};
use crate::metrics::log as lines;

/// Offsets of the checkpoint files of one log directory, by topic and partition.
pub type Offsets = HashMap<(String, i32), i64>;

/// A log directory as it was found at start.
#[derive(Debug)]
pub struct Directory {
    pub path: PathBuf,
    pub id: Uuid,
    /// The broker was stopped cleanly.
    pub clean: bool,
    pub recovery_points: Offsets,
    pub high_watermarks: Offsets,
    pub log_starts: Offsets,
    /// What compaction has seen.
    pub cleaned: Offsets,
    /// What deletions before the last stop left behind.
    pub deleted: Vec<PathBuf>,
}

impl Directory {
    fn hints(&self, topic: &str, partition: i32) -> (OpenHints, i64) {
        let of = |offsets: &Offsets| offsets.get(&(topic.to_owned(), partition)).copied().unwrap_or(0);
        let hints =
            OpenHints { recovery_point: of(&self.recovery_points), log_start: of(&self.log_starts), clean: self.clean };
        (hints, of(&self.high_watermarks))
    }
}

impl Partitions {
    /// Opens every partition of this shard's at start. Those of the image that have no directory yet are created.
    ///
    /// Errors: a log that can't be opened, by name and reason. Nothing is served then: going on would hide the loss.
    pub fn open_all(&self, image: &Arc<Image>, settings: &Broker) -> Result<(), LogError> {
        let topics: Vec<Arc<Topic>> = image.topics().cloned().collect();
        for topic in &topics {
            self.open_topic(topic, image, settings)?;
        }
        *self.applied.borrow_mut() = Some(Arc::clone(image));
        Ok(())
    }

    /// Follows a newer image: creates, deletes and configures what changed.
    pub fn apply(&self, image: &Arc<Image>, settings: &Broker) {
        let Some(old) = self.applied.replace(Some(Arc::clone(image))) else { return };
        for change in image.topic_changes(&old) {
            match change {
                TopicChange::Deleted(topic) => self.delete_topic(&topic),
                TopicChange::Created(topic) => self.open_or_report(&topic, image, settings),
                TopicChange::Changed { new, .. } => {
                    self.assign(&new);
                    self.open_or_report(&new, image, settings);
                }
            }
        }
        if !image.config_changes(&old).is_empty() {
            self.configure(image, settings);
        }
    }

    fn open_or_report(&self, topic: &Arc<Topic>, image: &Image, settings: &Broker) {
        if let Err(error) = self.open_topic(topic, image, settings) {
            lines::error(format_args!("open topic {}: {error}", topic.name));
        }
    }

    /// Opens those partitions of a topic that this shard owns and has not opened.
    fn open_topic(&self, topic: &Arc<Topic>, image: &Image, settings: &Broker) -> Result<(), LogError> {
        let (here, count) = (self.core.id(), self.core.count());
        let config = Rc::new(topic_config(&topic.name, image, settings));
        for index in 0..topic.partitions.len() as i32 {
            let id = PartitionId { topic: topic.id, index };
            if ShardId(shard_of(topic.id, index, count)) == here && self.place(&id).is_none() {
                let partition = self.open_partition(topic, index, Rc::clone(&config), settings)?;
                self.table.borrow_mut().insert(partition);
            }
        }
        Ok(())
    }

    fn open_partition(
        &self,
        topic: &Topic,
        index: i32,
        config: Rc<TopicConfig>,
        settings: &Broker,
    ) -> Result<Partition, LogError> {
        let assigned = &topic.partitions[index as usize];
        let directory = assigned.directory_of(settings.node_id);
        let directory = self.directories.iter().position(|known| Some(known.id) == directory).unwrap_or(0);
        let home = &self.directories[directory];
        let dir = home.path.join(partition_dir(&topic.name, index));
        self.set_aside_stranger(&dir, topic.id)?;

        let mut producers = ProducerTable::new(producer_limits(settings));
        let (hints, high_watermark) = home.hints(&topic.name, index);
        let is_new = !dir.exists();
        let log = if is_new {
            Log::create(&dir, topic.id, &config)?
        } else {
            Log::open(&dir, &config, hints, &mut |replayed| {
                replay(&mut producers, replayed, settings, self.core.wall_ms())
            })?
        };
        let epochs = LeaderEpochs::from_entries(leader_epochs::read(&dir)?);
        // With one replica everything that is written is replicated, whatever the checkpoint said.
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        let min_isr = config.min_insync_replicas.max(1) as usize;
        let state = PartitionState::new(settings.node_id, assignment(assigned), min_isr, start, end, high_watermark);
        let id = PartitionId { topic: topic.id, index };
        let cleaned = home.cleaned.get(&(topic.name.to_string(), index)).copied().filter(|_| !is_new);
        let mut partition = Partition {
            id,
            topic: Arc::clone(&topic.name),
            directory,
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
            compaction: Compaction::after(cleaned),
            last_sync_ms: self.core.wall_ms(),
            failed: false,
        };
        partition.lead()?;
        Ok(partition)
    }

    /// A directory of the right name with another topic's id is left over from a topic that was deleted and created
    /// anew while the broker was down.
    fn set_aside_stranger(&self, dir: &Path, topic_id: Uuid) -> Result<(), LogError> {
        if !dir.exists() {
            return Ok(());
        }
        match partition_metadata::read(dir)? {
            Some(id) if id != topic_id => {
                lines::warn(format_args!("{} belongs to topic id {id}, which is gone: it is removed", dir.display()));
                self.doom_directory(dir, 0)
            }
            Some(_) => Ok(()),
            None => partition_metadata::write(dir, topic_id),
        }
    }

    fn delete_topic(&self, topic: &Topic) {
        for index in 0..topic.partitions.len() as i32 {
            let removed = self.table.borrow_mut().remove(&PartitionId { topic: topic.id, index });
            let Some(mut partition) = removed else { continue };
            partition.abandon(&mut self.effects.borrow_mut());
            let delay_ms = partition.config.file_delete_delay_ms;
            if let Err(error) = self.doom_directory(partition.log.dir(), delay_ms) {
                lines::error(format_args!("delete {}-{index}: {error}", topic.name));
            }
        }
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
        let mut configs: BTreeMap<Arc<str>, Rc<TopicConfig>> = BTreeMap::new();
        for partition in self.table.borrow_mut().places.iter_mut().flatten() {
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
    /// This node leads: its epoch begins at the log end.
    fn lead(&mut self) -> Result<(), LogError> {
        let moved = self.state.became_leader();
        if let Some(high_watermark) = moved.high_watermark {
            self.producers.high_watermark_advanced(high_watermark);
        }
        self.state.unstable_from(self.producers.first_unstable_offset());
        let Some((epoch, start)) = moved.epoch_start else { return Ok(()) };
        if self.epochs.assign(epoch, start) {
            leader_epochs::write(self.log.dir(), self.epochs.entries())?;
        }
        Ok(())
    }

    fn note_epoch(&mut self, epoch: i32, start: i64) {
        if self.epochs.assign(epoch, start) {
            self.write_epochs();
        }
    }

    pub(super) fn write_epochs(&self) {
        if let Err(error) = leader_epochs::write(self.log.dir(), self.epochs.entries()) {
            lines::error(format_args!("write leader epochs of {}-{}: {error}", self.topic, self.id.index));
        }
    }
}

/// What a topic's partitions go by: its own configs over the broker's.
pub(super) fn topic_config(name: &str, image: &Image, settings: &Broker) -> TopicConfig {
    let none = BTreeMap::new();
    with_layers(image, settings, |layers| layers.topic_config(image.topic_configs(name).unwrap_or(&none)))
}

/// What was said for the broker, in the image and in its own file.
pub(super) fn with_layers<T>(image: &Image, settings: &Broker, resolve: impl FnOnce(&Layers<'_>) -> T) -> T {
    let none = BTreeMap::new();
    let node = settings.node_id.to_string();
    resolve(&Layers {
        fixed: &settings.said,
        cluster: image.configs(ResourceType::Broker, "").unwrap_or(&none),
        node: image.configs(ResourceType::Broker, &node).unwrap_or(&none),
    })
}

fn replay(producers: &mut ProducerTable, replayed: Replayed<'_>, settings: &Broker, now_ms: i64) {
    let limits = producer_limits(settings);
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

fn producer_limits(settings: &Broker) -> ProducerLimits {
    ProducerLimits { expiration_ms: settings.producer_id_expiration_ms as i64, ..ProducerLimits::default() }
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
