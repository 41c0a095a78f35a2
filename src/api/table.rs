//! Every API that is answered: its key, its versions, its handler. What ApiVersions tells is made of this.

use wire::ApiKey;

use super::answers::{quorum, security, share, streams, transactions};
use super::{
    Api, Context, ReplyTo, alter_partition_reassignments, alter_replica_log_dirs, api_versions,
    consumer_group_describe, consumer_group_heartbeat, control, delete_groups, delete_records, describe_client_quotas,
    describe_cluster, describe_configs, describe_groups, describe_log_dirs, describe_producers,
    describe_topic_partitions, elect_leaders, fetch, find_coordinator, get_telemetry_subscriptions, heartbeat,
    init_producer_id, join_group, leave_group, list_config_resources, list_groups, list_offsets,
    list_partition_reassignments, metadata, offset_commit, offset_delete, offset_fetch, offset_for_leader_epoch,
    produce, push_telemetry, sync_group,
};
use crate::config::listener::Side;
use crate::net::{Outcome, Reply};

pub(super) struct Entry {
    pub(super) key: ApiKey,
    handle: Handle,
}

/// The text says why the request can't be answered at all: the connection is closed.
enum Handle {
    /// May answer later.
    Full(fn(&Api, &Context, ReplyTo) -> Result<Outcome, String>),
    Now(fn(&Api, &Context) -> Result<Reply, String>),
}

use ApiKey as Key;
use Handle::{Full, Now};

const fn entry(key: ApiKey, handle: Handle) -> Entry {
    Entry { key, handle }
}

/// The APIs of a broker's listener, the busiest first; a controller's listener has those of them that Kafka's
/// controllers have. Telemetry (KIP-714) is offered only where something receives it, see [`Entry::is_telemetry`].
const TABLE: &[Entry] = &[
    entry(Key::Produce, Full(produce::handle)),
    entry(Key::Fetch, Full(fetch::handle)),
    entry(Key::ListOffsets, Full(list_offsets::handle)),
    entry(Key::Metadata, Full(metadata::handle)),
    entry(Key::ApiVersions, Full(api_versions::handle)),
    entry(Key::InitProducerId, Full(init_producer_id::handle)),
    entry(Key::OffsetForLeaderEpoch, Full(offset_for_leader_epoch::handle)),
    // Topics, configurations, logs
    entry(Key::CreateTopics, Full(control::forward)),
    entry(Key::DeleteTopics, Full(control::forward)),
    entry(Key::CreatePartitions, Full(control::forward)),
    entry(Key::DescribeTopicPartitions, Full(describe_topic_partitions::handle)),
    entry(Key::DeleteRecords, Full(delete_records::handle)),
    entry(Key::DescribeConfigs, Full(describe_configs::handle)),
    entry(Key::AlterConfigs, Full(control::forward)),
    entry(Key::IncrementalAlterConfigs, Full(control::forward)),
    entry(Key::ListConfigResources, Now(list_config_resources::handle)),
    entry(Key::DescribeLogDirs, Full(describe_log_dirs::handle)),
    entry(Key::AlterReplicaLogDirs, Full(alter_replica_log_dirs::handle)),
    // The cluster
    entry(Key::DescribeCluster, Full(describe_cluster::handle)),
    entry(Key::DescribeQuorum, Full(control::forward)),
    entry(Key::ElectLeaders, Now(elect_leaders::handle)),
    entry(Key::AlterPartitionReassignments, Now(alter_partition_reassignments::handle)),
    entry(Key::ListPartitionReassignments, Now(list_partition_reassignments::handle)),
    entry(Key::UpdateFeatures, Full(control::forward)),
    entry(Key::UnregisterBroker, Full(control::forward)),
    entry(Key::AddRaftVoter, Now(quorum::add_voter)),
    entry(Key::RemoveRaftVoter, Now(quorum::remove_voter)),
    // Groups
    entry(Key::FindCoordinator, Full(find_coordinator::handle)),
    entry(Key::JoinGroup, Full(join_group::handle)),
    entry(Key::SyncGroup, Full(sync_group::handle)),
    entry(Key::Heartbeat, Full(heartbeat::handle)),
    entry(Key::LeaveGroup, Full(leave_group::handle)),
    entry(Key::ConsumerGroupHeartbeat, Full(consumer_group_heartbeat::handle)),
    entry(Key::OffsetCommit, Full(offset_commit::handle)),
    entry(Key::OffsetFetch, Full(offset_fetch::handle)),
    entry(Key::OffsetDelete, Full(offset_delete::handle)),
    entry(Key::ListGroups, Full(list_groups::handle)),
    entry(Key::DescribeGroups, Full(describe_groups::handle)),
    entry(Key::ConsumerGroupDescribe, Full(consumer_group_describe::handle)),
    entry(Key::DeleteGroups, Full(delete_groups::handle)),
    // Transactions
    entry(Key::AddPartitionsToTxn, Now(transactions::add_partitions)),
    entry(Key::AddOffsetsToTxn, Now(transactions::add_offsets)),
    entry(Key::EndTxn, Now(transactions::end)),
    entry(Key::TxnOffsetCommit, Now(transactions::commit_offsets)),
    entry(Key::WriteTxnMarkers, Now(transactions::write_markers)),
    entry(Key::DescribeProducers, Full(describe_producers::handle)),
    entry(Key::DescribeTransactions, Now(transactions::describe)),
    entry(Key::ListTransactions, Now(transactions::list)),
    // Security and quotas
    entry(Key::SaslHandshake, Now(security::sasl_handshake)),
    entry(Key::SaslAuthenticate, Now(security::sasl_authenticate)),
    entry(Key::DescribeAcls, Now(security::describe_acls)),
    entry(Key::CreateAcls, Now(security::create_acls)),
    entry(Key::DeleteAcls, Now(security::delete_acls)),
    entry(Key::DescribeUserScramCredentials, Now(security::describe_scram)),
    entry(Key::AlterUserScramCredentials, Now(security::alter_scram)),
    entry(Key::CreateDelegationToken, Now(security::create_token)),
    entry(Key::RenewDelegationToken, Now(security::renew_token)),
    entry(Key::ExpireDelegationToken, Now(security::expire_token)),
    entry(Key::DescribeDelegationToken, Now(security::describe_tokens)),
    entry(Key::DescribeClientQuotas, Now(describe_client_quotas::handle)),
    entry(Key::AlterClientQuotas, Full(control::forward)),
    // Metrics of clients
    entry(Key::GetTelemetrySubscriptions, Full(get_telemetry_subscriptions::handle)),
    entry(Key::PushTelemetry, Full(push_telemetry::handle)),
    // Share groups
    entry(Key::ShareGroupHeartbeat, Now(share::heartbeat)),
    entry(Key::ShareGroupDescribe, Now(share::describe)),
    entry(Key::ShareFetch, Now(share::fetch)),
    entry(Key::ShareAcknowledge, Now(share::acknowledge)),
    entry(Key::DescribeShareGroupOffsets, Now(share::describe_offsets)),
    entry(Key::AlterShareGroupOffsets, Now(share::alter_offsets)),
    entry(Key::DeleteShareGroupOffsets, Now(share::delete_offsets)),
    entry(Key::InitializeShareGroupState, Now(share::initialize_state)),
    entry(Key::ReadShareGroupState, Now(share::read_state)),
    entry(Key::WriteShareGroupState, Now(share::write_state)),
    entry(Key::DeleteShareGroupState, Now(share::delete_state)),
    entry(Key::ReadShareGroupStateSummary, Now(share::read_state_summary)),
    // Streams groups
    entry(Key::StreamsGroupHeartbeat, Now(streams::heartbeat)),
    entry(Key::StreamsGroupDescribe, Now(streams::describe)),
];

/// What a controller's listener has besides, or answers in another way.
const QUORUM: &[Entry] = &[
    entry(Key::Fetch, Now(quorum::fetch)),
    entry(Key::FetchSnapshot, Now(quorum::fetch_snapshot)),
    entry(Key::Vote, Now(quorum::vote)),
    entry(Key::BeginQuorumEpoch, Now(quorum::begin_epoch)),
    entry(Key::EndQuorumEpoch, Now(quorum::end_epoch)),
    entry(Key::UpdateRaftVoter, Now(quorum::update_voter)),
    entry(Key::BrokerRegistration, Now(quorum::register_broker)),
    entry(Key::BrokerHeartbeat, Now(quorum::broker_heartbeat)),
    entry(Key::ControllerRegistration, Now(quorum::register_controller)),
    entry(Key::AlterPartition, Now(quorum::alter_partition)),
    entry(Key::AssignReplicasToDirs, Now(quorum::assign_directories)),
    entry(Key::AllocateProducerIds, Now(quorum::allocate_producer_ids)),
    entry(Key::Envelope, Now(quorum::envelope)),
];

impl Entry {
    /// The versions that clients may use. One that may still change counts where `unstable` says so
    /// (`unstable.api.versions.enable`).
    pub(super) fn versions(&self, unstable: impl FnOnce() -> bool) -> (i16, i16) {
        let (min, max) = self.key.versions();
        if self.key.latest_version_unstable() && !unstable() { (min, max - 1) } else { (min, max) }
    }

    pub(super) fn accepts(&self, version: i16, unstable: impl FnOnce() -> bool) -> bool {
        let (min, max) = self.versions(unstable);
        (min..=max).contains(&version)
    }

    /// The two APIs of KIP-714.
    pub(super) fn is_telemetry(&self) -> bool {
        matches!(self.key, Key::GetTelemetrySubscriptions | Key::PushTelemetry)
    }

    pub(super) fn handle(&self, api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
        match self.handle {
            Full(handle) => handle(api, cx, to),
            Now(handle) => handle(api, cx).map(Outcome::Reply),
        }
    }
}

/// The APIs of a listener.
pub(super) fn offered(side: Side) -> impl Iterator<Item = &'static Entry> {
    let quorum = if side == Side::Controller { QUORUM } else { &[] };
    let is_offered = move |entry: &&Entry| match side {
        Side::Broker => entry.key.on_broker_listener(),
        Side::Controller => entry.key.on_controller_listener() && quorum.iter().all(|other| other.key != entry.key),
    };
    TABLE.iter().filter(is_offered).chain(quorum)
}

pub(super) fn find(side: Side, key: i16) -> Option<&'static Entry> {
    let quorum = if side == Side::Controller { QUORUM } else { &[] };
    let mut shared = TABLE.iter().filter(|entry| side == Side::Broker || entry.key.on_controller_listener());
    quorum.iter().find(|entry| entry.key as i16 == key).or_else(|| shared.find(|entry| entry.key as i16 == key))
}

/// Every API that is answered on one of the two kinds of listeners, with its versions and whether the newest of them may
/// still change, for the command line.
pub fn listing() -> String {
    let mut text = String::new();
    for key in ApiKey::all() {
        let on = |side| find(side, key as i16);
        let Some(entry) = on(Side::Broker).or(on(Side::Controller)) else { continue };
        let listeners = match (on(Side::Broker), on(Side::Controller)) {
            (Some(_), Some(_)) => "broker, controller",
            (Some(_), None) => "broker",
            _ => "controller",
        };
        let (min, max) = entry.versions(|| false);
        let unstable = if key.latest_version_unstable() { "unstable" } else { "" };
        text += &format!("{}\t{}\t{min}\t{max}\t{listeners}\t{unstable}\n", key as i16, key.name());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every API of Apache Kafka's listeners is answered, each once.
    #[test]
    fn listeners_offer_what_kafkas_do() {
        for side in [Side::Broker, Side::Controller] {
            let on_listener = |key: &ApiKey| match side {
                Side::Broker => key.on_broker_listener(),
                Side::Controller => key.on_controller_listener(),
            };
            let wanted: Vec<ApiKey> = ApiKey::all().filter(on_listener).collect();
            let mut found: Vec<ApiKey> = offered(side).map(|entry| entry.key).collect();
            found.sort_unstable();
            assert_eq!(found, wanted, "{side:?}");
            for key in ApiKey::all() {
                assert_eq!(find(side, key as i16).is_some(), wanted.contains(&key), "{side:?} {}", key.name());
            }
        }
    }

    #[test]
    fn versions_that_may_change_are_offered_on_request_only() {
        let entry = find(Side::Broker, Key::InitProducerId as i16).unwrap();
        assert!(!entry.accepts(6, || false) && entry.accepts(6, || true) && entry.accepts(5, || false));
    }
}
