//! Loads what is on disk, begins an epoch, and registers this broker.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use state::metadata::decide::{Registration, elect_after_restart, register_broker, unfence_broker};
use state::metadata::{
    Endpoint, Image, ImageBuilder, Levels, METADATA_VERSION_STABLE, Topic, bootstrap_records, finalised_by_default,
    supported_features,
};
use wire::generated::messages::{
    AbortTransactionRecord, KRaftVersionRecord, LeaderChangeMessage, RegisterControllerRecord, VotersRecord,
};
use wire::generated::{leader_change_message, register_controller_record, voters_record};
use wire::records::ControlRecordType;
use wire::{MetadataRecord, Uuid};

use super::chance::Chance;
use super::directories::Directories;
use super::error::ControllerError;
use super::framing::{At, control_value, encode_control};
use super::load::Loading;
use super::metadata_log::MetadataLog;
use super::offline::is_lost;
use super::quorum_state::{self, QuorumState};
use super::rules::NONE;
use super::snapshot::{self, SnapshotId};
use super::{Controller, SnapshotLimits, Snapshots};
use crate::config::listener::Listener;
use crate::config::{Broker, Layers};
use crate::log::replace::replace;

/// The directory of the metadata log.
pub const METADATA_DIR: &str = "__cluster_metadata-0";
const PLAINTEXT: i16 = 0;

/// What was read from disk.
struct Loaded {
    log: MetadataLog,
    builder: ImageBuilder,
    snapshots: Vec<SnapshotId>,
    replayed_bytes: u64,
    has_voters: bool,
}

impl Controller {
    /// Opens the metadata of this node, or makes it where there is none. Afterwards the broker is registered but fenced:
    /// once its logs are loaded, call [`unfence`](Controller::unfence).
    pub fn open(settings: &Broker, directories: &Directories) -> Result<Self, ControllerError> {
        Self::open_at(settings, directories, wall_clock)
    }

    pub(super) fn open_at(
        settings: &Broker,
        directories: &Directories,
        clock: fn() -> i64,
    ) -> Result<Self, ControllerError> {
        let dir = settings.metadata_log_dir.join(METADATA_DIR);
        fs::create_dir_all(&dir).map_err(ControllerError::io("create", &dir))?;
        snapshot::remove_unfinished(&dir)?;
        let state = quorum_state::read(&dir)?;
        let loaded = load(&dir, &directories.cluster_id)?;
        let is_new = state.is_none() && loaded.log.end().offset == 0;
        let voters_in_log = match state {
            // A quorum that was upgraded keeps the file of before until it starts again.
            Some(state) => state.voters_in_log || loaded.has_voters,
            None => loaded.has_voters || (is_new && wants_voters_in_log(settings)),
        };
        let mut voters = voters(settings, directories);
        let control = if voters_in_log { voters.clone() } else { Vec::new() };
        if settings.listeners.controller.is_empty() {
            voters.clear();
        }
        if is_new {
            format(settings, &dir, &control, clock())?;
        }
        let epoch = 1 + state.map_or(0, |state| state.leader_epoch).max(loaded.log.end().epoch);
        let text = quorum_state::text(QuorumState { leader_epoch: epoch, voters_in_log }, settings.node_id);
        write_whole(&dir.join(quorum_state::FILE), text.as_bytes())?;
        let mut builder = loaded.builder;
        builder.set_kraft_version(voters_in_log.into());
        let mut controller = Self {
            node_id: settings.node_id,
            epoch,
            staged_end: loaded.log.end(),
            log: loaded.log,
            image: Arc::new(builder.image()),
            builder,
            broker_epoch: -1,
            staged: Vec::new(),
            limits: SnapshotLimits {
                new_bytes_max: settings.metadata_log_max_record_bytes_between_snapshots,
                interval_ms: settings.metadata_log_max_snapshot_interval_ms,
                segment_bytes_max: settings.metadata_log_segment_bytes.into(),
            },
            snapshots: Snapshots {
                kept: loaded.snapshots,
                last_ms: clock(),
                new_bytes: loaded.replayed_bytes,
                control,
            },
            num_partitions: settings.num_partitions,
            default_replication_factor: settings.default_replication_factor,
            said: settings.said.clone(),
            directories: None,
            chance: Chance::open()?,
            clock,
            dir,
            metadata_directory_id: directories.metadata_id(settings),
            voters,
        };
        let epoch_before = controller.image.broker(settings.node_id).map(|broker| broker.epoch);
        let is_clean = epoch_before.is_some() && epoch_before == directories.clean_stop_epoch();
        controller.begin_epoch(loaded.has_voters)?;
        controller.register(settings, directories)?;
        controller.flush()?;
        controller.elect(is_clean, directories)?;
        Ok(controller)
    }

    /// The leader's first batch, the end of a transaction that a crash cut off, and the first records of a new cluster.
    fn begin_epoch(&mut self, has_voters: bool) -> Result<(), ControllerError> {
        let voter = leader_change_message::Voter { voter_id: self.node_id, ..Default::default() };
        let change = LeaderChangeMessage {
            leader_id: self.node_id,
            voters: vec![voter.clone()],
            granting_voters: vec![voter],
            ..Default::default()
        };
        let mut control = vec![(ControlRecordType::LeaderChange, control_value(&change))];
        if !has_voters {
            control.extend_from_slice(&self.snapshots.control);
        }
        let at = self.next();
        self.staged(encode_control(&control, at)?, at);
        if self.builder.in_transaction() {
            let reason = Some("the controller was stopped".to_string());
            self.stage(&[AbortTransactionRecord { reason }.into()])?;
        }
        if self.builder.newest().metadata_version() == 0 {
            let finalised = finalised_by_default(levels(&self.said));
            self.stage(&bootstrap_records(&finalised, self.said_min_insync_replicas()))?;
        }
        Ok(())
    }

    /// What this node's file says about `min.insync.replicas`.
    pub(super) fn said_min_insync_replicas(&self) -> i32 {
        let layers = Layers { fixed: &self.said, cluster: &NONE, node: &NONE };
        layers.broker("min.insync.replicas").map_or(1, |value| value.number() as i32)
    }

    fn register(&mut self, settings: &Broker, directories: &Directories) -> Result<(), ControllerError> {
        let incarnation_id = self.chance.uuid()?;
        if !settings.listeners.controller.is_empty() {
            self.stage(&[register_controller(settings, incarnation_id)])?;
        }
        let registration = Registration {
            broker_id: self.node_id,
            incarnation_id,
            listeners: settings.listeners.broker.iter().filter_map(endpoint).collect(),
            features: supported_features(levels(&settings.said))
                .map(|(name, min, max)| (name.to_string(), min, max))
                .to_vec(),
            rack: settings.rack.clone(),
            log_dirs: directories.logs.iter().map(|directory| directory.id).collect(),
            cordoned_log_dirs: None,
        };
        let decision = register_broker(self.builder.newest(), registration, self.staged_end.offset)
            .map_err(ControllerError::Registration)?;
        self.broker_epoch = decision.answers;
        self.stage(&decision.records)
    }

    /// Gives partitions their leader: after a clean stop those that have none; else all, with a new leader epoch each, so
    /// that clients notice what the crash may have cut off. What lies in a directory that does not work gets none.
    fn elect(&mut self, is_clean: bool, directories: &Directories) -> Result<(), ControllerError> {
        let image = Arc::clone(&self.image);
        let keeps_leader = |record: &MetadataRecord| {
            let MetadataRecord::PartitionChange(change) = record else { return false };
            let topic = image.topic_by_id(&change.topic_id);
            let leader = topic.and_then(|topic| topic.partition(change.partition_id)).map(|it| it.leader);
            leader == Some(change.leader)
        };
        let node_id = self.node_id;
        let paths: Vec<&Path> = directories.logs.iter().map(|directory| directory.held.path()).collect();
        let is_lost = |topic: &Topic, index: i32| is_lost(&image, node_id, &paths, topic, index);
        let records = elect_after_restart(&image, node_id, &is_lost);
        self.commit_all(records.filter(|record| !(is_clean && keeps_leader(record))))
    }

    /// The broker's logs are loaded: from now on clients are told of it.
    pub fn unfence(&mut self) -> Result<&Arc<Image>, ControllerError> {
        let records = unfence_broker(&self.image, self.node_id);
        self.commit(&records)
    }
}

/// Kafka keeps the voters in the log (KIP-853) unless `controller.quorum.voters` names them. A node without a
/// controller's listener has no address to write there.
fn wants_voters_in_log(settings: &Broker) -> bool {
    !settings.said.contains_key("controller.quorum.voters") && !settings.listeners.controller.is_empty()
}

/// The newest snapshot that is whole, and the log behind it.
fn load(dir: &Path, cluster_id: &str) -> Result<Loaded, ControllerError> {
    let mut loading = Loading::from_snapshot(dir, cluster_id)?;
    let start = loading.start;
    let opened = MetadataLog::open(dir, start, &mut |batch, path, position| loading.take(batch, path, position));
    // With an older snapshot gone too, the damaged one is the reason that the log does not suffice.
    let log = opened.map_err(|error| loading.damage.take().unwrap_or(error))?;
    let Loading { builder, snapshots, replayed_bytes, has_voters, .. } = loading;
    Ok(Loaded { log, builder, snapshots, replayed_bytes, has_voters })
}

/// The files that `kafka-storage format` leaves for a first start, so that Kafka's tools find what they look for.
fn format(
    settings: &Broker,
    dir: &Path,
    voters: &[(ControlRecordType, Vec<u8>)],
    now_ms: i64,
) -> Result<(), ControllerError> {
    let at = At { offset: 0, epoch: 0, now_ms, metadata_version: METADATA_VERSION_STABLE };
    let features: Vec<MetadataRecord> = bootstrap_records(&finalised_by_default(levels(&settings.said)), 1)
        .into_iter()
        .filter(|record| matches!(record, MetadataRecord::FeatureLevel(_)))
        .collect();
    snapshot::write(&settings.metadata_log_dir.join("bootstrap.checkpoint"), at, 0, &[], &features)?;
    if !voters.is_empty() {
        snapshot::write(&SnapshotId { offset: 0, epoch: 0 }.path(dir), at, now_ms, voters, &[])?;
    }
    let text = format!("version: 0\ntopic_id: {}", Uuid::METADATA_TOPIC_ID);
    write_whole(&dir.join("partition.metadata"), text.as_bytes())
}

/// Replaces a small file durably.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ControllerError> {
    Ok(replace(path, bytes)?)
}

/// KRaftVersion 1 and this node as the only voter.
fn voters(settings: &Broker, directories: &Directories) -> Vec<(ControlRecordType, Vec<u8>)> {
    let endpoint = |listener: &Listener| {
        let (host, port) = address(listener)?;
        Some(voters_record::Endpoint { name: listener.name.clone(), host, port })
    };
    let voter = voters_record::Voter {
        voter_id: settings.node_id,
        voter_directory_id: directories.metadata_id(settings),
        endpoints: settings.listeners.controller.iter().filter_map(endpoint).collect(),
        k_raft_version_feature: voters_record::KRaftVersionFeature {
            min_supported_version: 0,
            max_supported_version: 1,
        },
    };
    let version = KRaftVersionRecord { k_raft_version: 1, ..Default::default() };
    let voters = VotersRecord { voters: vec![voter], ..Default::default() };
    vec![
        (ControlRecordType::KraftVersion, control_value(&version)),
        (ControlRecordType::KraftVoters, control_value(&voters)),
    ]
}

fn register_controller(settings: &Broker, incarnation_id: Uuid) -> MetadataRecord {
    let endpoint = |listener: &Listener| {
        let (host, port) = address(listener)?;
        Some(register_controller_record::ControllerEndpoint {
            name: listener.name.clone(),
            host,
            port,
            security_protocol: PLAINTEXT,
        })
    };
    let feature = |(name, min, max): (&str, i16, i16)| register_controller_record::ControllerFeature {
        name: name.to_string(),
        min_supported_version: min,
        max_supported_version: max,
    };
    RegisterControllerRecord {
        controller_id: settings.node_id,
        incarnation_id,
        zk_migration_ready: false,
        end_points: settings.listeners.controller.iter().filter_map(endpoint).collect(),
        features: supported_features(levels(&settings.said)).map(feature).to_vec(),
    }
    .into()
}

fn endpoint(listener: &Listener) -> Option<Endpoint> {
    let (host, port) = address(listener)?;
    Some(Endpoint { name: listener.name.clone(), host, port, security_protocol: PLAINTEXT })
}

/// Whether feature levels that may still change are offered, and given to a new cluster.
pub fn levels(said: &BTreeMap<String, String>) -> Levels {
    let newest = said.get("unstable.feature.versions.enable").is_some_and(|text| text == "true");
    if newest { Levels::Newest } else { Levels::Stable }
}

/// Milliseconds since 1970.
fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn address(listener: &Listener) -> Option<(String, u16)> {
    listener.advertised.as_ref().map(|told| (told.host.clone(), told.port))
}
