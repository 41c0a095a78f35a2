//! Features of the cluster (KIP-584): what this release supports, what a new cluster finalises, and which version of each
//! record the finalised `metadata.version` asks for.

use wire::generated::begin_transaction_record::BeginTransactionRecord;
use wire::generated::config_record::ConfigRecord;
use wire::generated::end_transaction_record::EndTransactionRecord;
use wire::generated::feature_level_record::FeatureLevelRecord;
use wire::generated::metadata_record::MetadataRecord;

use super::image::{Image, ResourceType};

pub const METADATA_VERSION: &str = "metadata.version";
pub const KRAFT_VERSION: &str = "kraft.version";
pub const ELIGIBLE_LEADER_REPLICAS: &str = "eligible.leader.replicas.version";

/// The newest level of `metadata.version` that will not change any more, 4.3-IV0; and the one that still may, 4.4-IV0.
pub const METADATA_VERSION_STABLE: i16 = 30;
pub const METADATA_VERSION_NEWEST: i16 = 31;

/// One feature of this release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    pub name: &'static str,
    pub min: i16,
    pub max: i16,
}

/// Every feature of Apache Kafka 4.3. `kraft.version` is no record of the log; the quorum keeps it.
pub const FEATURES: [Feature; 6] = [
    Feature { name: METADATA_VERSION, min: 7, max: METADATA_VERSION_STABLE },
    Feature { name: ELIGIBLE_LEADER_REPLICAS, min: 0, max: 1 },
    Feature { name: "group.version", min: 0, max: 1 },
    Feature { name: "share.version", min: 0, max: 1 },
    Feature { name: "streams.version", min: 0, max: 1 },
    Feature { name: "transaction.version", min: 0, max: 2 },
];

/// Which levels count: released ones only, or also those that may still change (`unstable.feature.versions.enable`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Levels {
    Stable,
    Newest,
}

/// Name, lowest and highest level of what a broker claims to support (ApiVersions, BrokerRegistration).
pub fn supported_features(levels: Levels) -> [(&'static str, i16, i16); 7] {
    let metadata_version = match levels {
        Levels::Stable => METADATA_VERSION_STABLE,
        Levels::Newest => METADATA_VERSION_NEWEST,
    };
    let [_, elr, group, share, streams, transaction] = FEATURES.map(|feature| (feature.name, feature.min, feature.max));
    let metadata = (METADATA_VERSION, FEATURES[0].min, metadata_version);
    [metadata, elr, group, (KRAFT_VERSION, 0, 1), share, streams, transaction]
}

/// Whether a lower `metadata.version` has no place for metadata that `from` may hold (Kafka's
/// `MetadataVersion.checkIfMetadataChanged`): some levels brought new records or fields, the others did not.
pub(super) fn loses_metadata(from: i16, to: i16) -> bool {
    const BROUGHT_METADATA: [i16; 9] = [7, 8, 11, 13, 14, 15, 17, 23, 30];
    BROUGHT_METADATA.iter().any(|level| (to + 1..=from).contains(level))
}

/// What a new cluster finalises, as Apache Kafka 4.3 does: every feature at its highest level.
pub fn finalised_by_default(levels: Levels) -> Vec<(&'static str, i16)> {
    let supported = supported_features(levels).into_iter();
    supported.filter(|(name, ..)| *name != KRAFT_VERSION).map(|(name, _, max)| (name, max)).collect()
}

/// The first records of a new cluster, one metadata transaction: the finalised features, `metadata.version` first, and
/// with eligible leader replicas a `min.insync.replicas` for the whole cluster (KIP-966).
pub fn bootstrap_records(finalised: &[(&str, i16)], min_insync_replicas: i32) -> Vec<MetadataRecord> {
    let level = |(name, level): &(&str, i16)| -> MetadataRecord {
        FeatureLevelRecord { name: (*name).to_owned(), feature_level: *level }.into()
    };
    let mut records: Vec<MetadataRecord> = Vec::with_capacity(finalised.len() + 3);
    records.push(BeginTransactionRecord { name: Some("Bootstrap records".to_owned()) }.into());
    records.extend(finalised.iter().filter(|(name, _)| *name == METADATA_VERSION).map(level));
    records.extend(finalised.iter().filter(|(name, level)| *name != METADATA_VERSION && *level > 0).map(level));
    if finalised.iter().any(|(name, level)| *name == ELIGIBLE_LEADER_REPLICAS && *level > 0) {
        let record = ConfigRecord {
            resource_type: ResourceType::Broker.id(),
            resource_name: String::new(),
            name: "min.insync.replicas".to_owned(),
            value: Some(min_insync_replicas.to_string()),
        };
        records.push(record.into());
    }
    records.push(EndTransactionRecord {}.into());
    records
}

/// The version in which a record is written at this `metadata.version` (Kafka's `MetadataVersion`).
pub fn record_version(record: &MetadataRecord, metadata_version: i16) -> i16 {
    let newest_of = |steps: &[(i16, i16)]| {
        steps.iter().filter(|(from, _)| metadata_version >= *from).map(|(_, version)| *version).max().unwrap_or(0)
    };
    match record {
        MetadataRecord::RegisterBroker(_) => newest_of(&[(7, 1), (8, 2), (17, 3), (30, 4)]),
        MetadataRecord::BrokerRegistrationChange(_) => newest_of(&[(7, 1), (17, 2), (30, 3)]),
        MetadataRecord::Partition(_) | MetadataRecord::PartitionChange(_) => newest_of(&[(17, 1), (23, 2)]),
        _ => 0,
    }
}

impl Image {
    /// The finalised `metadata.version`; 0 before the first record.
    pub fn metadata_version(&self) -> i16 {
        self.feature(METADATA_VERSION)
    }

    /// Whether partitions keep eligible leader replicas (KIP-966).
    pub fn has_elr(&self) -> bool {
        self.feature(ELIGIBLE_LEADER_REPLICAS) > 0
    }
}
