//! A broker comes up: its registration, and who leads its partitions then; and one loses log directories while it runs.

use std::fmt;

use wire::Uuid;
use wire::generated::broker_registration_change_record::BrokerRegistrationChangeRecord;
use wire::generated::metadata_record::MetadataRecord;
use wire::generated::partition_change_record::PartitionChangeRecord;
use wire::generated::unregister_broker_record::UnregisterBrokerRecord;

use super::Decision;
use crate::metadata::features::METADATA_VERSION;
use crate::metadata::snapshot::broker_record;
use crate::metadata::{Broker, Endpoint, Image, NO_LEADER, Partition, Topic};

/// Directory ids below this have meanings of their own (KIP-858).
const RESERVED_DIRECTORIES: u128 = 100;
/// In the record: the broker is no longer fenced.
const UNFENCE: i8 = -1;

/// What a broker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub broker_id: i32,
    /// Another for every start of the process.
    pub incarnation_id: Uuid,
    pub listeners: Vec<Endpoint>,
    /// Name, lowest and highest level.
    pub features: Vec<(String, i16, i16)>,
    pub rack: Option<String>,
    pub log_dirs: Vec<Uuid>,
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationError {
    NoDirectory,
    ReservedDirectory(Uuid),
    DuplicateDirectory(Uuid),
    /// Another broker has registered it.
    ForeignDirectory {
        directory: Uuid,
        broker: i32,
    },
    /// The finalised level of a feature is not among those that the broker supports.
    UnsupportedFeature {
        name: String,
        level: i16,
        min: i16,
        max: i16,
    },
    NoMetadataVersion,
}

impl fmt::Display for RegistrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDirectory => f.write_str("the broker names no log directory"),
            Self::ReservedDirectory(id) => write!(f, "the directory id {id} is reserved"),
            Self::DuplicateDirectory(id) => write!(f, "the directory id {id} is named twice"),
            Self::ForeignDirectory { directory, broker } => {
                write!(f, "the directory id {directory} belongs to broker {broker}")
            }
            Self::UnsupportedFeature { name, level, min, max } => {
                write!(f, "{name} is finalised at {level}, the broker supports {min} to {max}")
            }
            Self::NoMetadataVersion => f.write_str("the broker does not say which metadata.version it supports"),
        }
    }
}

impl std::error::Error for RegistrationError {}

/// Registers a broker, fenced. `broker_epoch` is the offset that the record will have in the metadata log, or less. The
/// same incarnation registers again to change what it said; its epoch and fencing stay, and `answers` tells the epoch.
pub fn register_broker(
    image: &Image,
    registration: Registration,
    broker_epoch: i64,
) -> Result<Decision<i64>, RegistrationError> {
    check_directories(image, &registration)?;
    check_features(image, &registration)?;
    let old = image.broker(registration.broker_id);
    let same = old.filter(|broker| broker.incarnation_id == registration.incarnation_id);
    let broker = Broker {
        id: registration.broker_id,
        epoch: same.map_or(broker_epoch, |broker| broker.epoch),
        incarnation_id: registration.incarnation_id,
        listeners: registration.listeners,
        features: registration.features,
        rack: registration.rack,
        fenced: same.is_none_or(|broker| broker.fenced),
        in_controlled_shutdown: same.is_some_and(|broker| broker.in_controlled_shutdown),
        log_dirs: registration.log_dirs,
        cordoned_log_dirs: registration.cordoned_log_dirs,
    };
    Ok(Decision { answers: broker.epoch, records: vec![broker_record(&broker).into()] })
}

fn check_directories(image: &Image, registration: &Registration) -> Result<(), RegistrationError> {
    let dirs = &registration.log_dirs;
    if dirs.is_empty() {
        return Err(RegistrationError::NoDirectory);
    }
    for (index, dir) in dirs.iter().enumerate() {
        if dir.0 < RESERVED_DIRECTORIES {
            return Err(RegistrationError::ReservedDirectory(*dir));
        }
        if dirs[..index].contains(dir) {
            return Err(RegistrationError::DuplicateDirectory(*dir));
        }
        let mut others = image.brokers().filter(|broker| broker.id != registration.broker_id);
        if let Some(broker) = others.find(|broker| broker.log_dirs.contains(dir)) {
            return Err(RegistrationError::ForeignDirectory { directory: *dir, broker: broker.id });
        }
    }
    Ok(())
}

/// A feature that the broker does not name counts as supported at level 0 only.
fn check_features(image: &Image, registration: &Registration) -> Result<(), RegistrationError> {
    let find = |name: &str| registration.features.iter().find(|feature| feature.0 == name);
    if find(METADATA_VERSION).is_none() {
        return Err(RegistrationError::NoMetadataVersion);
    }
    for (name, level) in image.features() {
        let (min, max) = find(name).map_or((0, 0), |feature| (feature.1, feature.2));
        if !(min..=max).contains(&level) {
            return Err(RegistrationError::UnsupportedFeature { name: name.to_owned(), level, min, max });
        }
    }
    Ok(())
}

/// The broker has caught up with its registration and may serve.
pub fn unfence_broker(image: &Image, broker_id: i32) -> Vec<MetadataRecord> {
    let Some(broker) = image.broker(broker_id).filter(|broker| broker.fenced) else {
        return Vec::new();
    };
    let record = BrokerRegistrationChangeRecord {
        broker_id,
        broker_epoch: broker.epoch,
        fenced: UNFENCE,
        ..BrokerRegistrationChangeRecord::default()
    };
    vec![record.into()]
}

/// Why a broker stays registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnregisterError {
    NotRegistered(i32),
    /// It serves this very request.
    Myself(i32),
    /// It has replicas of this topic.
    HasReplicas(i32, String),
}

impl fmt::Display for UnregisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRegistered(id) => write!(f, "broker {id} is not registered"),
            Self::Myself(id) => write!(f, "broker {id} runs, and is the only one: it can't be unregistered"),
            Self::HasReplicas(id, topic) => write!(f, "broker {id} still has replicas of {topic}"),
        }
    }
}

impl std::error::Error for UnregisterError {}

/// Forgets a broker that is gone for good. `myself` is the broker of this process.
pub fn unregister_broker(image: &Image, broker_id: i32, myself: i32) -> Result<Vec<MetadataRecord>, UnregisterError> {
    let broker = image.broker(broker_id).ok_or(UnregisterError::NotRegistered(broker_id))?;
    if broker_id == myself {
        return Err(UnregisterError::Myself(broker_id));
    }
    let is_replica = |partition: &Partition| partition.replicas.contains(&broker_id);
    if let Some(topic) = image.topics().find(|topic| topic.partitions.iter().any(is_replica)) {
        return Err(UnregisterError::HasReplicas(broker_id, topic.name.to_string()));
    }
    Ok(vec![UnregisterBrokerRecord { broker_id, broker_epoch: broker.epoch }.into()])
}

/// Log directories of a broker have failed while it runs: its registration goes on with those that are left (KIP-858,
/// `ReplicationControlManager.handleDirectoriesOffline`). `None`: it has registered none of them. See [`resign`].
pub fn directories_failed(image: &Image, broker_id: i32, failed: &[Uuid]) -> Option<MetadataRecord> {
    let broker = image.broker(broker_id)?;
    let left: Vec<Uuid> = broker.log_dirs.iter().copied().filter(|dir| !failed.contains(dir)).collect();
    // An empty list would say that nothing changes.
    if left.len() == broker.log_dirs.len() || left.is_empty() {
        return None;
    }
    let record = BrokerRegistrationChangeRecord {
        broker_id,
        broker_epoch: broker.epoch,
        log_dirs: left,
        ..BrokerRegistrationChangeRecord::default()
    };
    Some(record.into())
}

/// The partitions that a broker leads and can't serve any more get no leader: there is no other replica here that could
/// lead. One record for each, as in [`elect_after_restart`].
pub fn resign<'a>(
    image: &'a Image,
    broker_id: i32,
    is_lost: &'a dyn Fn(&Topic, i32) -> bool,
) -> impl Iterator<Item = MetadataRecord> + 'a {
    let has_elr = image.has_elr();
    each_partition(image).filter_map(move |(topic, index, partition)| {
        let lost = partition.leader == broker_id && is_lost(topic, index);
        lost.then(|| resignation(topic.id, index, partition, has_elr).into())
    })
}

/// The last of the ISR stays in it, unless it may be found among the eligible leaders (KIP-966).
fn resignation(topic_id: Uuid, partition_id: i32, partition: &Partition, has_elr: bool) -> PartitionChangeRecord {
    let mut record = PartitionChangeRecord { partition_id, topic_id, leader: NO_LEADER, ..Default::default() };
    if has_elr {
        let mut eligible = partition.eligible_leader_replicas.clone();
        eligible.extend(partition.isr.iter().filter(|id| !partition.eligible_leader_replicas.contains(id)));
        record.isr = Some(Vec::new());
        record.eligible_leader_replicas = Some(eligible);
        record.last_known_elr = Some(vec![partition.leader]);
    }
    record
}

/// A broker came back as a new process: the partitions that it led, or that wait for it, get it as leader with a new
/// leader epoch, so that clients notice what a crash may have cut off; those that are lost there get none. One record for
/// each, to be written in batches of at most [`RECORDS_PER_REQUEST_MAX`](super::RECORDS_PER_REQUEST_MAX).
pub fn elect_after_restart<'a>(
    image: &'a Image,
    broker_id: i32,
    is_lost: &'a dyn Fn(&Topic, i32) -> bool,
) -> impl Iterator<Item = MetadataRecord> + 'a {
    let has_elr = image.has_elr();
    each_partition(image).filter_map(move |(topic, index, partition)| {
        if !may_lead(partition, broker_id) {
            return None;
        }
        let record = match is_lost(topic, index) {
            false => election(topic.id, index, partition, broker_id),
            true if partition.leader == broker_id => resignation(topic.id, index, partition, has_elr),
            true => return None,
        };
        Some(record.into())
    })
}

fn each_partition(image: &Image) -> impl Iterator<Item = (&Topic, i32, &Partition)> {
    image.topics().flat_map(|topic| topic.partitions.iter().zip(0..).map(|(it, index)| (topic.as_ref(), index, it)))
}

fn may_lead(partition: &Partition, broker_id: i32) -> bool {
    let (isr, elr) = (&partition.isr, &partition.eligible_leader_replicas);
    let eligible = isr.contains(&broker_id)
        || (isr.is_empty() && elr.contains(&broker_id))
        || (isr.is_empty() && elr.is_empty() && partition.last_known_elr[..] == [broker_id]);
    eligible && (partition.leader == broker_id || partition.leader < 0)
}

fn election(topic_id: Uuid, partition_id: i32, partition: &Partition, broker_id: i32) -> PartitionChangeRecord {
    let mut record = PartitionChangeRecord { partition_id, topic_id, leader: broker_id, ..Default::default() };
    if partition.isr.is_empty() {
        record.isr = Some(vec![broker_id]);
        if partition.eligible_leader_replicas.contains(&broker_id) {
            let others = partition.eligible_leader_replicas.iter().copied().filter(|id| *id != broker_id);
            record.eligible_leader_replicas = Some(others.collect());
        } else {
            // Chosen because it was the last to lead: records may be missing (KIP-966).
            record.leader_recovery_state = 1;
        }
        record.last_known_elr = Some(Vec::new());
    }
    record
}

#[cfg(test)]
mod tests {
    use wire::Uuid;

    use super::*;
    use crate::metadata::tests::{Cluster, registration};

    #[test]
    fn registrations_are_checked() {
        let c = Cluster::with_brokers(&[1]);
        let check = |change: &dyn Fn(&mut Registration)| {
            let mut it = registration(2);
            change(&mut it);
            register_broker(c.image(), it, 50).unwrap_err()
        };
        assert_eq!(check(&|it| it.log_dirs.clear()), RegistrationError::NoDirectory);
        assert_eq!(check(&|it| it.log_dirs = vec![Uuid(1)]), RegistrationError::ReservedDirectory(Uuid(1)));
        assert_eq!(check(&|it| it.log_dirs = vec![Uuid(900); 2]), RegistrationError::DuplicateDirectory(Uuid(900)));
        let foreign = RegistrationError::ForeignDirectory { directory: Uuid(701), broker: 1 };
        assert_eq!(check(&|it| it.log_dirs = vec![Uuid(701)]), foreign);
        assert_eq!(check(&|it| it.features.clear()), RegistrationError::NoMetadataVersion);
        let unsupported =
            RegistrationError::UnsupportedFeature { name: "metadata.version".into(), level: 30, min: 7, max: 29 };
        assert_eq!(check(&|it| it.features = vec![("metadata.version".into(), 7, 29)]).to_string(), {
            let other = RegistrationError::UnsupportedFeature {
                name: "eligible.leader.replicas.version".into(),
                level: 1,
                min: 0,
                max: 0,
            };
            other.to_string()
        });
        let only_metadata = |it: &mut Registration| {
            let version = it.features.iter_mut().find(|feature| feature.0 == "metadata.version").unwrap();
            version.2 = 29;
        };
        assert_eq!(check(&only_metadata), unsupported);
    }
}
