//! Every API that is answered: its key, its versions, its handler. What ApiVersions tells is made of this.

use wire::ApiKey;

use super::{
    Api, Context, ReplyTo, api_versions, control, delete_records, describe_cluster, describe_configs, describe_log_dirs,
    describe_topic_partitions, fetch, init_producer_id, list_offsets, metadata, offset_for_leader_epoch, produce,
};
use crate::net::Outcome;

pub(super) struct Entry {
    pub(super) key: ApiKey,
    /// The text says why the request can't be answered at all: the connection is closed.
    pub(super) handle: fn(&Api, &Context, ReplyTo) -> Result<Outcome, String>,
}

pub(super) const TABLE: &[Entry] = &[
    Entry { key: ApiKey::Produce, handle: produce::handle },
    Entry { key: ApiKey::Fetch, handle: fetch::handle },
    Entry { key: ApiKey::ListOffsets, handle: list_offsets::handle },
    Entry { key: ApiKey::Metadata, handle: metadata::handle },
    Entry { key: ApiKey::ApiVersions, handle: api_versions::handle },
    Entry { key: ApiKey::CreateTopics, handle: control::forward },
    Entry { key: ApiKey::DeleteTopics, handle: control::forward },
    Entry { key: ApiKey::DeleteRecords, handle: delete_records::handle },
    Entry { key: ApiKey::InitProducerId, handle: init_producer_id::handle },
    Entry { key: ApiKey::OffsetForLeaderEpoch, handle: offset_for_leader_epoch::handle },
    Entry { key: ApiKey::DescribeConfigs, handle: describe_configs::handle },
    Entry { key: ApiKey::AlterConfigs, handle: control::forward },
    Entry { key: ApiKey::DescribeLogDirs, handle: describe_log_dirs::handle },
    Entry { key: ApiKey::CreatePartitions, handle: control::forward },
    Entry { key: ApiKey::IncrementalAlterConfigs, handle: control::forward },
    Entry { key: ApiKey::DescribeQuorum, handle: control::forward },
    Entry { key: ApiKey::DescribeCluster, handle: describe_cluster::handle },
    Entry { key: ApiKey::DescribeTopicPartitions, handle: describe_topic_partitions::handle },
];

impl Entry {
    /// The versions that clients may use: an unstable last one is left out.
    pub(super) fn versions(&self) -> (i16, i16) {
        let (min, max) = self.key.versions();
        if self.key.latest_version_unstable() { (min, max - 1) } else { (min, max) }
    }

    pub(super) fn accepts(&self, version: i16) -> bool {
        let (min, max) = self.versions();
        (min..=max).contains(&version)
    }
}

pub(super) fn find(key: i16) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.key as i16 == key)
}
