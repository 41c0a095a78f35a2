//! The cluster's metadata: an image of it, the records that make and change it, and the controller's decisions.
//!
//! - [`Image`]: what is so, shared by all shards
//! - [`ImageBuilder`]: records of the metadata log to images; [`snapshot_records`]: an image to records
//! - [`decide`]: what a request changes, as records; nothing here writes them
//! - [`shard_of`]: which shard of a node owns a partition

mod chunk_map;
pub mod decide;
mod features;
mod image;
mod names;
mod placement;
mod replay;
mod snapshot;

pub use features::{
    ELIGIBLE_LEADER_REPLICAS, FEATURES, Feature, KRAFT_VERSION, Levels, METADATA_VERSION, METADATA_VERSION_NEWEST,
    METADATA_VERSION_STABLE, bootstrap_records, finalised_by_default, record_version, supported_features,
};
pub use image::{
    Broker, ConfigResource, Configs, Endpoint, Image, NO_LEADER, Partition, Position, QuotaEntity, ResourceType, Topic,
    TopicChange,
};
pub use names::{
    CLUSTER_METADATA_TOPIC, INTERNAL_TOPICS, TOPIC_NAME_MAX, TopicNameError, check_topic_name, is_internal_topic,
    is_valid_topic_name,
};
pub use placement::{PlacementError, place_replicas, shard_of};
pub use replay::{ImageBuilder, ReplayError};
pub use snapshot::snapshot_records;

#[cfg(test)]
mod tests;
