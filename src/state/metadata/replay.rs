//! Records of the metadata log to images (Kafka's `MetadataDelta` and the deltas below it; kraft.md has the facts).

use std::fmt;
use std::sync::Arc;

use wire::Uuid;
use wire::generated::broker_registration_change_record::BrokerRegistrationChangeRecord;
use wire::generated::client_quota_record::ClientQuotaRecord;
use wire::generated::config_record::ConfigRecord;
use wire::generated::metadata_record::MetadataRecord;
use wire::generated::partition_change_record::PartitionChangeRecord;
use wire::generated::partition_record::PartitionRecord;
use wire::generated::register_broker_record::RegisterBrokerRecord;
use wire::generated::topic_record::TopicRecord;

use super::image::{
    Broker, ConfigResource, Configs, Endpoint, Image, Partition, Position, QuotaEntity, ResourceType, Topic,
};
use super::names;

/// How far a partition's index may be ahead of the partitions that are known: as many as one request may create.
const INDEX_GAP_MAX: usize = 10_000;
/// In a [`PartitionChangeRecord`]: the leader stays.
const NO_LEADER_CHANGE: i32 = -2;

/// Why a record makes no sense after those before it. The metadata log is damaged, or newer than this release: serve no
/// image beyond it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayError {
    UnknownTopic(Uuid),
    UnknownTopicName(String),
    UnknownPartition(Uuid, i32),
    /// The partition's index is negative or far beyond the partitions that are known.
    PartitionIndex(Uuid, i32),
    /// Not one directory for each replica.
    Directories(Uuid, i32),
    UnknownBroker(i32),
    /// The record speaks of another registration of the broker.
    BrokerEpoch {
        broker: i32,
        epoch: i64,
        registered: i64,
    },
    /// A field has a value that this release does not know.
    Value {
        record: &'static str,
        field: &'static str,
        value: i64,
    },
    /// A transaction begins inside of another, or ends outside of any.
    Transaction(&'static str),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTopic(id) => write!(f, "there is no topic {id}"),
            Self::UnknownTopicName(name) => write!(f, "there is no topic {name}"),
            Self::UnknownPartition(id, index) => write!(f, "topic {id} has no partition {index}"),
            Self::PartitionIndex(id, index) => write!(f, "partition {index} does not follow those of topic {id}"),
            Self::Directories(id, index) => {
                write!(f, "partition {index} of topic {id} does not have one directory for each replica")
            }
            Self::UnknownBroker(id) => write!(f, "broker {id} is not registered"),
            Self::BrokerEpoch { broker, epoch, registered } => {
                write!(f, "broker {broker} is registered with epoch {registered}, not {epoch}")
            }
            Self::Value { record, field, value } => write!(f, "{record} has the unknown {field} {value}"),
            Self::Transaction(record) => write!(f, "{record} does not fit the metadata transaction"),
        }
    }
}

impl std::error::Error for ReplayError {}

/// An image in the making. Records go in one after the other; [`image`](Self::image) gives what may be published.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    image: Image,
    /// The image before the metadata transaction that is open (KIP-868).
    before_txn: Option<Image>,
}

impl ImageBuilder {
    pub fn new(image: Image) -> Self {
        Self { image, before_txn: None }
    }

    /// The newest image that may be published: nothing of an open metadata transaction is in it.
    pub fn image(&self) -> Image {
        self.before_txn.as_ref().unwrap_or(&self.image).clone()
    }

    /// The image with everything that was replayed, also of an open transaction: what the next decision is based on.
    pub fn newest(&self) -> &Image {
        &self.image
    }

    pub fn in_transaction(&self) -> bool {
        self.before_txn.is_some()
    }

    /// Everything up to this record of the log was replayed.
    pub fn advance(&mut self, position: Position) {
        self.image.position = position;
    }

    /// The quorum keeps its voters in the log from now on (1), or not (0). That is no part of a metadata transaction.
    pub fn set_kraft_version(&mut self, level: i16) {
        for image in self.before_txn.iter_mut().chain([&mut self.image]) {
            image.kraft_version = level;
        }
    }

    /// Takes in the next record. After an error the builder is as it was before the record.
    pub fn replay(&mut self, record: MetadataRecord) -> Result<(), ReplayError> {
        match record {
            MetadataRecord::RegisterBroker(record) => self.register_broker(record),
            MetadataRecord::UnregisterBroker(record) => {
                self.broker(record.broker_id, record.broker_epoch)?;
                Arc::make_mut(&mut self.image.brokers).remove(&record.broker_id);
            }
            MetadataRecord::FenceBroker(record) => self.broker(record.id, record.epoch)?.fenced = true,
            MetadataRecord::UnfenceBroker(record) => self.broker(record.id, record.epoch)?.fenced = false,
            MetadataRecord::BrokerRegistrationChange(record) => self.change_broker(record)?,
            MetadataRecord::Topic(record) => self.topic(record),
            MetadataRecord::RemoveTopic(record) => self.remove_topic(record.topic_id)?,
            MetadataRecord::Partition(record) => self.partition(record)?,
            MetadataRecord::PartitionChange(record) => self.change_partition(record)?,
            MetadataRecord::ClearElr(record) => self.clear_elr(&record.topic_name)?,
            MetadataRecord::Config(record) => self.config(record),
            MetadataRecord::FeatureLevel(record) => {
                let features = Arc::make_mut(&mut self.image.features);
                match record.feature_level {
                    0 => features.remove(&record.name),
                    level => features.insert(record.name, level),
                };
            }
            MetadataRecord::ProducerIds(record) => self.image.next_producer_id = record.next_producer_id,
            MetadataRecord::BeginTransaction(_) | MetadataRecord::EndTransaction(_) => self.transaction(&record)?,
            MetadataRecord::AbortTransaction(_) => self.transaction(&record)?,
            MetadataRecord::NoOp(_) | MetadataRecord::ZkMigrationState(_) => {}
            record => self.keep(record),
        }
        Ok(())
    }

    fn register_broker(&mut self, record: RegisterBrokerRecord) {
        let endpoint = |point: wire::generated::register_broker_record::BrokerEndpoint| Endpoint {
            name: point.name,
            host: point.host,
            port: point.port,
            security_protocol: point.security_protocol,
        };
        let features = record.features.into_iter();
        let broker = Broker {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            listeners: record.end_points.into_iter().map(endpoint).collect(),
            features: features.map(|it| (it.name, it.min_supported_version, it.max_supported_version)).collect(),
            rack: record.rack,
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_dirs: record.log_dirs,
            cordoned_log_dirs: record.cordoned_log_dirs,
        };
        Arc::make_mut(&mut self.image.brokers).insert(broker.id, Arc::new(broker));
    }

    fn broker(&mut self, id: i32, epoch: i64) -> Result<&mut Broker, ReplayError> {
        let brokers = Arc::make_mut(&mut self.image.brokers);
        let broker = brokers.get_mut(&id).ok_or(ReplayError::UnknownBroker(id))?;
        if broker.epoch != epoch {
            return Err(ReplayError::BrokerEpoch { broker: id, epoch, registered: broker.epoch });
        }
        Ok(Arc::make_mut(broker))
    }

    fn change_broker(&mut self, record: BrokerRegistrationChangeRecord) -> Result<(), ReplayError> {
        const RECORD: &str = "BrokerRegistrationChangeRecord";
        let fenced = match record.fenced {
            0 => None,
            1 => Some(true),
            -1 => Some(false),
            value => return Err(ReplayError::Value { record: RECORD, field: "fenced", value: value.into() }),
        };
        let in_controlled_shutdown = match record.in_controlled_shutdown {
            0 => None,
            1 => Some(true),
            value => return Err(ReplayError::Value { record: RECORD, field: "shutdown", value: value.into() }),
        };
        let broker = self.broker(record.broker_id, record.broker_epoch)?;
        broker.fenced = fenced.unwrap_or(broker.fenced);
        broker.in_controlled_shutdown = in_controlled_shutdown.unwrap_or(broker.in_controlled_shutdown);
        if !record.log_dirs.is_empty() {
            broker.log_dirs = record.log_dirs;
        }
        if record.cordoned_log_dirs.is_some() {
            broker.cordoned_log_dirs = record.cordoned_log_dirs;
        }
        Ok(())
    }

    fn topic(&mut self, record: TopicRecord) {
        if let Some(old) = self.image.topic(&record.name).map(|topic| topic.id) {
            self.image.topic_names.remove(&old);
        }
        let name: Arc<str> = Arc::from(record.name);
        if let Some(unified) = names::unified(&name)
            && self.image.similar_names.get(&unified).is_none()
        {
            self.image.similar_names.insert(unified, Arc::clone(&name));
        }
        self.image.topic_names.insert(record.topic_id, Arc::clone(&name));
        let topic = Topic { id: record.topic_id, name: Arc::clone(&name), partitions: Vec::new() };
        self.image.topics.insert(name, Arc::new(topic));
    }

    /// The configurations of a topic go with it.
    fn remove_topic(&mut self, id: Uuid) -> Result<(), ReplayError> {
        let name = self.image.topic_names.remove(&id).ok_or(ReplayError::UnknownTopic(id))?;
        self.image.topics.remove(&*name);
        if let Some(unified) = names::unified(&name)
            && self.image.similar_names.get(&unified) == Some(&name)
        {
            self.image.similar_names.remove(&unified);
        }
        self.image.configs.remove(&ConfigResource::topic(&name));
        Ok(())
    }

    fn topic_mut(&mut self, id: Uuid) -> Result<&mut Topic, ReplayError> {
        let name = self.image.topic_names.get(&id).ok_or(ReplayError::UnknownTopic(id))?;
        let topic = self.image.topics.get_mut(&**name).ok_or(ReplayError::UnknownTopic(id))?;
        Ok(Arc::make_mut(topic))
    }

    fn partition(&mut self, record: PartitionRecord) -> Result<(), ReplayError> {
        let (id, index) = (record.topic_id, record.partition_id);
        if !record.directories.is_empty() && record.directories.len() != record.replicas.len() {
            return Err(ReplayError::Directories(id, index));
        }
        let partitions = &mut self.topic_mut(id)?.partitions;
        let place = usize::try_from(index).map_err(|_| ReplayError::PartitionIndex(id, index))?;
        if place >= partitions.len() + INDEX_GAP_MAX {
            return Err(ReplayError::PartitionIndex(id, index));
        }
        if place >= partitions.len() {
            partitions.resize_with(place + 1, Partition::absent);
        }
        partitions[place] = Partition {
            directories: directories_or_migrating(record.directories, record.replicas.len()),
            replicas: record.replicas,
            isr: record.isr,
            removing_replicas: record.removing_replicas,
            adding_replicas: record.adding_replicas,
            leader: record.leader,
            leader_recovery_state: record.leader_recovery_state,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
            eligible_leader_replicas: record.eligible_leader_replicas.unwrap_or_default(),
            last_known_elr: record.last_known_elr.unwrap_or_default(),
        };
        Ok(())
    }

    fn change_partition(&mut self, record: PartitionChangeRecord) -> Result<(), ReplayError> {
        let (id, index) = (record.topic_id, record.partition_id);
        let missing = ReplayError::UnknownPartition(id, index);
        let place = usize::try_from(index).map_err(|_| missing.clone())?;
        let topic = self.topic_mut(id)?;
        let partition = topic.partitions.get_mut(place).filter(|it| !it.replicas.is_empty()).ok_or(missing)?;
        if let (Some(replicas), Some(directories)) = (&record.replicas, &record.directories)
            && !directories.is_empty()
            && replicas.len() != directories.len()
        {
            return Err(ReplayError::Directories(id, index));
        }
        merge(partition, record);
        Ok(())
    }

    /// Empties the eligible leader replicas of one topic, or of all if the name is empty. That is a change of the
    /// partitions that had any.
    fn clear_elr(&mut self, name: &str) -> Result<(), ReplayError> {
        let names: Vec<Arc<str>> = if name.is_empty() {
            self.image.topics.iter().filter(|(_, topic)| has_elr(topic)).map(|(name, _)| Arc::clone(name)).collect()
        } else {
            let topic = self.image.topic(name).ok_or_else(|| ReplayError::UnknownTopicName(name.to_owned()))?;
            Vec::from_iter(has_elr(topic).then(|| Arc::clone(&topic.name)))
        };
        for name in names {
            let Some(topic) = self.image.topics.get_mut(&*name) else { continue };
            for partition in &mut Arc::make_mut(topic).partitions {
                if !partition.eligible_leader_replicas.is_empty() || !partition.last_known_elr.is_empty() {
                    partition.eligible_leader_replicas.clear();
                    partition.last_known_elr.clear();
                    partition.partition_epoch += 1;
                }
            }
        }
        Ok(())
    }

    fn config(&mut self, record: ConfigRecord) {
        let resource = ConfigResource::new(ResourceType::from_id(record.resource_type), record.resource_name);
        let configs = &mut self.image.configs;
        match (record.value, configs.get_mut(&resource)) {
            (Some(value), Some(set)) => {
                Arc::make_mut(set).insert(record.name, value);
            }
            (Some(value), None) => {
                configs.insert(resource, Arc::new(Configs::from([(record.name, value)])));
            }
            (None, Some(set)) => {
                let set = Arc::make_mut(set);
                set.remove(&record.name);
                if set.is_empty() {
                    configs.remove(&resource);
                }
            }
            (None, None) => {}
        }
    }

    fn transaction(&mut self, record: &MetadataRecord) -> Result<(), ReplayError> {
        let wrong = ReplayError::Transaction(record.name());
        match (record, self.before_txn.take()) {
            (MetadataRecord::BeginTransaction(_), None) => self.before_txn = Some(self.image.clone()),
            (MetadataRecord::EndTransaction(_), Some(_)) => {}
            (MetadataRecord::AbortTransaction(_), Some(before)) => {
                let position = self.image.position;
                self.image = before;
                self.image.position = position;
            }
            (_, before) => {
                self.before_txn = before;
                return Err(wrong);
            }
        }
        Ok(())
    }

    /// Records that the image keeps and does not look into.
    fn keep(&mut self, record: MetadataRecord) {
        let kept = Arc::make_mut(&mut self.image.kept);
        match &record {
            MetadataRecord::RegisterController(it) => {
                kept.controllers.insert(it.controller_id, record);
            }
            MetadataRecord::ClientQuota(it) => {
                let (entity, key, remove) = (quota_entity(it), it.key.clone(), it.remove);
                if !remove {
                    kept.quotas.entry(entity).or_default().insert(key, record);
                } else if let Some(quotas) = kept.quotas.get_mut(&entity) {
                    quotas.remove(&key);
                    if quotas.is_empty() {
                        kept.quotas.remove(&entity);
                    }
                }
            }
            MetadataRecord::AccessControlEntry(it) => {
                kept.acls.insert(it.id, record);
            }
            MetadataRecord::RemoveAccessControlEntry(it) => {
                kept.acls.remove(&it.id);
            }
            MetadataRecord::UserScramCredential(it) => {
                kept.scram.insert((it.name.clone(), it.mechanism), record);
            }
            MetadataRecord::RemoveUserScramCredential(it) => {
                kept.scram.remove(&(it.name.clone(), it.mechanism));
            }
            MetadataRecord::DelegationToken(it) => {
                kept.tokens.insert(it.token_id.clone(), record);
            }
            MetadataRecord::RemoveDelegationToken(it) => {
                kept.tokens.remove(&it.token_id);
            }
            _ => {}
        }
    }
}

/// What a change record means (Kafka's `PartitionRegistration.merge`): every change counts up the partition epoch, every
/// named leader the leader epoch, even if it is the same as before.
fn merge(partition: &mut Partition, record: PartitionChangeRecord) {
    if let Some(replicas) = record.replicas {
        partition.replicas = replicas;
    }
    let directories = record.directories.unwrap_or_else(|| std::mem::take(&mut partition.directories));
    partition.directories = directories_or_migrating(directories, partition.replicas.len());
    let set = |field: &mut Vec<i32>, value: Option<Vec<i32>>| {
        if let Some(value) = value {
            *field = value;
        }
    };
    set(&mut partition.isr, record.isr);
    set(&mut partition.removing_replicas, record.removing_replicas);
    set(&mut partition.adding_replicas, record.adding_replicas);
    set(&mut partition.eligible_leader_replicas, record.eligible_leader_replicas);
    set(&mut partition.last_known_elr, record.last_known_elr);
    if record.leader != NO_LEADER_CHANGE {
        partition.leader = record.leader;
        partition.leader_epoch = partition.leader_epoch.saturating_add(1);
    }
    if record.leader_recovery_state >= 0 {
        partition.leader_recovery_state = record.leader_recovery_state;
    }
    partition.partition_epoch = partition.partition_epoch.saturating_add(1);
}

fn directories_or_migrating(directories: Vec<Uuid>, replicas: usize) -> Vec<Uuid> {
    if directories.iter().all(|dir| *dir == Uuid::MIGRATING_DIR) {
        vec![Uuid::MIGRATING_DIR; replicas]
    } else {
        directories
    }
}

fn has_elr(topic: &Topic) -> bool {
    topic.partitions.iter().any(|it| !it.eligible_leader_replicas.is_empty() || !it.last_known_elr.is_empty())
}

fn quota_entity(record: &ClientQuotaRecord) -> QuotaEntity {
    let mut entity: QuotaEntity =
        record.entity.iter().map(|it| (it.entity_type.clone(), it.entity_name.clone())).collect();
    entity.sort();
    entity
}
