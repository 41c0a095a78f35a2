//! An image as records, in the order of Kafka's `MetadataImage.write`: a snapshot replayed from nothing gives the image.

use wire::Uuid;
use wire::generated::config_record::ConfigRecord;
use wire::generated::feature_level_record::FeatureLevelRecord;
use wire::generated::metadata_record::MetadataRecord;
use wire::generated::partition_record::PartitionRecord;
use wire::generated::producer_ids_record::ProducerIdsRecord;
use wire::generated::register_broker_record::{BrokerEndpoint, BrokerFeature, RegisterBrokerRecord};
use wire::generated::topic_record::TopicRecord;

use super::features::METADATA_VERSION;
use super::image::{Broker, Image, Partition};

/// Calls `emit` with every record: features (`metadata.version` first), brokers, controllers, topics each with its
/// partitions, configurations, quotas, producer ids, ACLs, SCRAM credentials, tokens.
pub fn snapshot_records(image: &Image, emit: &mut dyn FnMut(MetadataRecord)) {
    let level = |name: &str, feature_level| FeatureLevelRecord { name: name.to_owned(), feature_level }.into();
    if let Some((name, feature_level)) = image.features().find(|(name, _)| *name == METADATA_VERSION) {
        emit(level(name, feature_level));
    }
    for (name, feature_level) in image.features().filter(|(name, _)| *name != METADATA_VERSION) {
        emit(level(name, feature_level));
    }
    for broker in image.brokers() {
        emit(broker_record(broker).into());
    }
    image.kept.controllers.values().cloned().for_each(&mut *emit);
    for topic in image.topics() {
        emit(TopicRecord { name: topic.name.to_string(), topic_id: topic.id }.into());
        let partitions = topic.partitions.iter().zip(0..).filter(|(partition, _)| !partition.replicas.is_empty());
        for (partition, index) in partitions {
            emit(partition_record(topic.id, index, partition).into());
        }
    }
    for (resource, configs) in image.config_resources() {
        for (name, value) in configs {
            let (resource_type, resource_name) = (resource.kind.id(), resource.name.clone());
            emit(ConfigRecord { resource_type, resource_name, name: name.clone(), value: Some(value.clone()) }.into());
        }
    }
    image.kept.quotas.values().flat_map(|quotas| quotas.values()).cloned().for_each(&mut *emit);
    if image.next_producer_id >= 0 {
        let next_producer_id = image.next_producer_id;
        emit(ProducerIdsRecord { broker_id: -1, broker_epoch: -1, next_producer_id }.into());
    }
    image.kept.acls.values().cloned().for_each(&mut *emit);
    image.kept.scram.values().cloned().for_each(&mut *emit);
    image.kept.tokens.values().cloned().for_each(&mut *emit);
}

pub(super) fn broker_record(broker: &Broker) -> RegisterBrokerRecord {
    let endpoints = broker.listeners.iter().map(|listener| BrokerEndpoint {
        name: listener.name.clone(),
        host: listener.host.clone(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    });
    let features = broker.features.iter().map(|(name, min, max)| BrokerFeature {
        name: name.clone(),
        min_supported_version: *min,
        max_supported_version: *max,
    });
    RegisterBrokerRecord {
        broker_id: broker.id,
        is_migrating_zk_broker: false,
        incarnation_id: broker.incarnation_id,
        broker_epoch: broker.epoch,
        end_points: endpoints.collect(),
        features: features.collect(),
        rack: broker.rack.clone(),
        fenced: broker.fenced,
        in_controlled_shutdown: broker.in_controlled_shutdown,
        log_dirs: broker.log_dirs.clone(),
        cordoned_log_dirs: broker.cordoned_log_dirs.clone(),
    }
}

/// Replica sets that are empty take no room on disk.
pub(super) fn partition_record(topic_id: Uuid, partition_id: i32, partition: &Partition) -> PartitionRecord {
    let unless_empty = |replicas: &Vec<i32>| (!replicas.is_empty()).then(|| replicas.clone());
    PartitionRecord {
        partition_id,
        topic_id,
        replicas: partition.replicas.clone(),
        isr: partition.isr.clone(),
        removing_replicas: partition.removing_replicas.clone(),
        adding_replicas: partition.adding_replicas.clone(),
        leader: partition.leader,
        leader_recovery_state: partition.leader_recovery_state,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        directories: partition.directories.clone(),
        eligible_leader_replicas: unless_empty(&partition.eligible_leader_replicas),
        last_known_elr: unless_empty(&partition.last_known_elr),
    }
}
