//! Everything the metadata log says, as of one of its offsets.
//!
//! An [`Image`] never changes once it is published: every shard holds the newest one behind an `Arc` and swaps it as a
//! whole. Parts that did not change are shared between images, so a new one costs what changed and little more.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use wire::Uuid;
use wire::generated::metadata_record::MetadataRecord;

use super::chunk_map::ChunkMap;

/// The leader of a partition that has none.
pub const NO_LEADER: i32 = -1;

/// One image of the cluster. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub(super) cluster_id: Arc<str>,
    pub(super) position: Position,
    pub(super) features: Arc<BTreeMap<String, i16>>,
    pub(super) brokers: Arc<BTreeMap<i32, Arc<Broker>>>,
    pub(super) topics: ChunkMap<Arc<str>, Arc<Topic>>,
    pub(super) topic_names: ChunkMap<Uuid, Arc<str>>,
    /// Names with dots or underscores, by what they are with dots replaced.
    pub(super) similar_names: ChunkMap<String, Arc<str>>,
    pub(super) configs: ChunkMap<ConfigResource, Arc<Configs>>,
    /// -1: no block was given out yet.
    pub(super) next_producer_id: i64,
    /// The quorum's, which no record of the metadata tells.
    pub(super) kraft_version: i16,
    pub(super) kept: Arc<Kept>,
}

/// The last record of the metadata log that an image contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// -1: none.
    pub offset: i64,
    /// Raft epoch of the record.
    pub epoch: i32,
    pub timestamp_ms: i64,
}

impl Position {
    pub const NONE: Position = Position { offset: -1, epoch: -1, timestamp_ms: -1 };
}

/// Whom a quota is for: type and name of each part, in the order of the types; no name means the default.
pub type QuotaEntity = Vec<(String, Option<String>)>;

/// What the image keeps for others and does not look into, each by its key.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Kept {
    pub(super) controllers: BTreeMap<i32, MetadataRecord>,
    /// By entity, then by quota.
    pub(super) quotas: BTreeMap<QuotaEntity, BTreeMap<String, MetadataRecord>>,
    pub(super) acls: BTreeMap<Uuid, MetadataRecord>,
    pub(super) scram: BTreeMap<(String, i8), MetadataRecord>,
    pub(super) tokens: BTreeMap<String, MetadataRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    /// Of this registration.
    pub epoch: i64,
    /// Of the broker's process.
    pub incarnation_id: Uuid,
    pub listeners: Vec<Endpoint>,
    /// What it supports, with the lowest and the highest level.
    pub features: Vec<(String, i16, i16)>,
    pub rack: Option<String>,
    pub fenced: bool,
    pub in_controlled_shutdown: bool,
    pub log_dirs: Vec<Uuid>,
    /// Takes no new partitions there (KIP-1066); `None` until the broker has said so.
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
}

impl Broker {
    /// May lead and count as in sync.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Takes no automatically placed partition: every one of its directories is cordoned.
    pub fn is_cordoned(&self) -> bool {
        let Some(cordoned) = &self.cordoned_log_dirs else { return false };
        !self.log_dirs.is_empty() && self.log_dirs.iter().all(|dir| cordoned.contains(dir))
    }

    /// Whether a replica's directory works, as far as the broker's registration tells (`DirectoryId.isOnline`).
    pub fn has_online_dir(&self, dir: Uuid) -> bool {
        match dir {
            Uuid::UNASSIGNED_DIR | Uuid::MIGRATING_DIR => true,
            Uuid::LOST_DIR => false,
            dir => self.log_dirs.is_empty() || self.log_dirs.contains(&dir),
        }
    }

    /// Where a new replica goes on this broker, as far as the controller can tell.
    pub fn default_dir(&self) -> Uuid {
        match self.log_dirs[..] {
            [] => Uuid::MIGRATING_DIR,
            [only] => only,
            _ => Uuid::UNASSIGNED_DIR,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub name: String,
    pub host: String,
    pub port: u16,
    /// Kafka's number: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub id: Uuid,
    pub name: Arc<str>,
    /// By partition index.
    pub partitions: Vec<Partition>,
}

impl Topic {
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(index).ok()?).filter(|partition| !partition.replicas.is_empty())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The preferred leader first.
    pub replicas: Vec<i32>,
    /// The directory of each replica, in the order of `replicas`.
    pub directories: Vec<Uuid>,
    pub isr: Vec<i32>,
    pub removing_replicas: Vec<i32>,
    pub adding_replicas: Vec<i32>,
    /// [`NO_LEADER`]: none.
    pub leader: i32,
    /// 1 after an unclean election, until the leader has caught up with itself (KIP-704); else 0.
    pub leader_recovery_state: i8,
    /// Counts leaders.
    pub leader_epoch: i32,
    /// Counts changes.
    pub partition_epoch: i32,
    /// May lead when the ISR is empty (KIP-966).
    pub eligible_leader_replicas: Vec<i32>,
    pub last_known_elr: Vec<i32>,
}

impl Partition {
    /// A partition that no record has described yet.
    pub(super) fn absent() -> Self {
        Self {
            replicas: Vec::new(),
            directories: Vec::new(),
            isr: Vec::new(),
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            leader: NO_LEADER,
            leader_recovery_state: 0,
            leader_epoch: 0,
            partition_epoch: 0,
            eligible_leader_replicas: Vec::new(),
            last_known_elr: Vec::new(),
        }
    }

    /// The directory of the replica on this broker.
    pub fn directory_of(&self, broker: i32) -> Option<Uuid> {
        let index = self.replicas.iter().position(|replica| *replica == broker)?;
        self.directories.get(index).copied()
    }
}

/// What a configuration belongs to (Kafka's `ConfigResource.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceType {
    Topic,
    /// Of one broker, or with the empty name of all.
    Broker,
    BrokerLogger,
    ClientMetrics,
    Group,
    /// A number that this release does not know.
    Other(i8),
}

impl ResourceType {
    pub fn from_id(id: i8) -> Self {
        match id {
            2 => Self::Topic,
            4 => Self::Broker,
            8 => Self::BrokerLogger,
            16 => Self::ClientMetrics,
            32 => Self::Group,
            other => Self::Other(other),
        }
    }

    pub fn id(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
            Self::Other(id) => id,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigResource {
    pub kind: ResourceType,
    pub name: String,
}

impl ConfigResource {
    pub fn new(kind: ResourceType, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }

    pub fn topic(name: &str) -> Self {
        Self::new(ResourceType::Topic, name)
    }

    fn order(&self, kind: ResourceType, name: &str) -> Ordering {
        (self.kind, self.name.as_str()).cmp(&(kind, name))
    }
}

/// The configurations of one resource that were set; defaults are not among them.
pub type Configs = BTreeMap<String, String>;

/// What differs for a topic between two images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicChange {
    Deleted(Arc<Topic>),
    Created(Arc<Topic>),
    /// Its partitions differ.
    Changed {
        old: Arc<Topic>,
        new: Arc<Topic>,
    },
}

impl Image {
    /// An empty image of this cluster.
    pub fn new(cluster_id: &str) -> Self {
        Self {
            cluster_id: Arc::from(cluster_id),
            position: Position::NONE,
            features: Arc::default(),
            brokers: Arc::default(),
            topics: ChunkMap::default(),
            topic_names: ChunkMap::default(),
            similar_names: ChunkMap::default(),
            configs: ChunkMap::default(),
            next_producer_id: -1,
            kraft_version: 0,
            kept: Arc::default(),
        }
    }

    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// Offset of the last record it contains; -1 for none. Images of one node are ordered by it.
    pub fn version(&self) -> i64 {
        self.position.offset
    }

    pub fn position(&self) -> Position {
        self.position
    }

    /// The finalised features and their levels, by name; level 0 is not among them.
    pub fn features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (name.as_str(), *level))
    }

    /// The finalised level of a feature; 0 if it is not.
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// By id.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values().map(Arc::as_ref)
    }

    pub fn broker(&self, id: i32) -> Option<&Broker> {
        self.brokers.get(&id).map(Arc::as_ref)
    }

    /// By name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.iter().map(|(_, topic)| topic)
    }

    /// By name, from the first that is not below `name`.
    pub fn topics_from(&self, name: &str) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.iter_from(name).map(|(_, topic)| topic)
    }

    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    pub fn topic_by_id(&self, id: &Uuid) -> Option<&Arc<Topic>> {
        self.topics.get(self.topic_names.get(id)?.as_ref())
    }

    pub fn topic_name(&self, id: &Uuid) -> Option<&Arc<str>> {
        self.topic_names.get(id)
    }

    /// What was set for a resource.
    pub fn configs(&self, kind: ResourceType, name: &str) -> Option<&Configs> {
        self.configs.get_by(|resource| resource.order(kind, name)).map(Arc::as_ref)
    }

    /// The replicas of a partition whose broker, or whose directory there, is away.
    pub fn offline_replicas(&self, partition: &Partition) -> Vec<i32> {
        let serves = |id: &i32| {
            let dir = partition.directory_of(*id);
            self.broker(*id).is_some_and(|broker| !broker.fenced && dir.is_none_or(|dir| broker.has_online_dir(dir)))
        };
        partition.replicas.iter().copied().filter(|id| !serves(id)).collect()
    }

    /// One value that was set for a resource.
    pub fn config(&self, kind: ResourceType, name: &str, key: &str) -> Option<&str> {
        self.configs(kind, name)?.get(key).map(String::as_str)
    }

    pub fn topic_configs(&self, name: &str) -> Option<&Configs> {
        self.configs(ResourceType::Topic, name)
    }

    /// Every resource that has configurations.
    pub fn config_resources(&self) -> impl Iterator<Item = (&ConfigResource, &Configs)> {
        self.configs.iter().map(|(resource, configs)| (resource, configs.as_ref()))
    }

    /// Every entity that has quotas, with their names and values (KIP-546).
    pub fn quotas(&self) -> impl Iterator<Item = (&QuotaEntity, impl Iterator<Item = (&str, f64)>)> {
        self.kept.quotas.iter().map(|(entity, quotas)| (entity, quotas.values().filter_map(quota)))
    }

    /// One quota of one entity.
    pub fn quota(&self, entity: &QuotaEntity, key: &str) -> Option<f64> {
        self.kept.quotas.get(entity)?.get(key).and_then(quota).map(|(_, value)| value)
    }

    /// Finalised level of `kraft.version`: 1 where the voters stand in the log (KIP-853), else 0.
    pub fn kraft_version(&self) -> i16 {
        self.kraft_version
    }

    /// The first producer id that was not given out.
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id.max(0)
    }

    /// What happened to topics since `old`: deletions first, so that a name may be used again.
    pub fn topic_changes(&self, old: &Image) -> Vec<TopicChange> {
        let (mut deleted, mut others) = (Vec::new(), Vec::new());
        self.topics.diff(&old.topics, |_, was, is| match (was, is) {
            (Some(was), None) => deleted.push(TopicChange::Deleted(Arc::clone(was))),
            (None, Some(is)) => others.push(TopicChange::Created(Arc::clone(is))),
            (Some(was), Some(is)) if was.id != is.id => {
                deleted.push(TopicChange::Deleted(Arc::clone(was)));
                others.push(TopicChange::Created(Arc::clone(is)));
            }
            (Some(was), Some(is)) => others.push(TopicChange::Changed { old: Arc::clone(was), new: Arc::clone(is) }),
            (None, None) => {}
        });
        deleted.append(&mut others);
        deleted
    }

    /// The resources whose configurations differ from those in `old`, without those that exist no more.
    pub fn config_changes(&self, old: &Image) -> Vec<ConfigResource> {
        let mut changed = Vec::new();
        self.configs.diff(&old.configs, |resource, _, _| changed.push(resource.clone()));
        changed.retain(|resource| resource.kind != ResourceType::Topic || self.topic(&resource.name).is_some());
        changed
    }
}

fn quota(record: &MetadataRecord) -> Option<(&str, f64)> {
    let MetadataRecord::ClientQuota(it) = record else { return None };
    Some((&it.key, it.value))
}
