//! What a request to the controller changes. Every decision looks at an image and answers with records; whoever asks
//! writes them to the metadata log and replays them. Kafka's `ReplicationControlManager`, `ConfigurationControlManager`,
//! `ClusterControlManager`,
//! `FeatureControlManager`, `ClientQuotaControlManager` and `ProducerIdControlManager`, and the checks of `ControllerApis` before them.

mod brokers;
mod configs;
mod directories;
mod features;
mod partitions;
mod producer_ids;
mod quotas;
mod topics;

use std::fmt;

use wire::generated::metadata_record::MetadataRecord;

pub use brokers::{
    Registration, RegistrationError, UnregisterError, directories_failed, elect_after_restart, register_broker, resign,
    unfence_broker, unregister_broker,
};
pub use configs::{
    AlterConfigAnswers, AlterConfigError, AlterConfigs, AlterOp, AlterResource, ConfigRefusal, ConfigRules, OpType,
    alter_configs, incremental_alter_configs,
};
pub use directories::{AssignedDirectory, assign_directories};
pub use features::{
    FeatureError, FeatureRefusal, FeatureRules, FeatureUpdate, FeaturesUpdated, UpgradeType, update_features,
};
pub use partitions::{
    AssignmentError, CreatePartitionsAnswers, CreatePartitionsError, NewPartitions, create_partitions,
};
pub use producer_ids::{PRODUCER_ID_BLOCK, ProducerIdBlock, ProducerIdError, allocate_producer_ids};
pub use quotas::{AlterQuotas, AlterQuotasAnswers, AskedEntity, QuotaError, alter_client_quotas, quota_entity_types};
pub use topics::{
    CreateTopic, CreateTopicAnswers, CreateTopicError, CreatedTopic, DeleteTopic, DeleteTopicError, DeletedTopic,
    TopicDefaults, create_topics, delete_topics,
};

/// Records that one request may lead to, and partitions that it may create (Kafka's `MAX_RECORDS_PER_USER_OP`).
pub const RECORDS_PER_REQUEST_MAX: usize = 10_000;

/// What is to be written, all or nothing, and what is to be answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<T> {
    pub records: Vec<MetadataRecord>,
    pub answers: T,
}

/// The request asks for more than one request may; nothing of it is done. Kafka answers POLICY_VIOLATION.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTooLarge;

impl fmt::Display for RequestTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one request may change no more than {RECORDS_PER_REQUEST_MAX} things")
    }
}

impl std::error::Error for RequestTooLarge {}

fn check_count(records: &[MetadataRecord]) -> Result<(), RequestTooLarge> {
    if records.len() > RECORDS_PER_REQUEST_MAX { Err(RequestTooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
