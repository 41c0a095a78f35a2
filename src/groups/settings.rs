//! What an operator set for groups, in the words of the groups.

use state::group::{MigrationPolicy, Settings};
use state::metadata::Image;

use crate::config::groups::{Migration, groups};
use crate::config::{Broker, Layers};

/// The settings of this node's groups as of an image.
pub(super) fn settings(broker: &Broker, image: &Image) -> Settings {
    let said = groups(&Layers::of(broker, image));
    let consumer = said.consumer;
    let heartbeat = consumer.heartbeat_interval_ms;
    let session = consumer.session_timeout_ms;
    let assignment = consumer.assignment_interval_ms;
    Settings {
        session_timeout_min_ms: said.session_timeout_ms_min,
        session_timeout_max_ms: said.session_timeout_ms_max,
        initial_rebalance_delay_ms: said.initial_rebalance_delay_ms.min(i32::MAX as u32) as i32,
        members_max: said.size_max,
        offset_metadata_max: said.offset_metadata_bytes_max,
        offsets_retention_ms: said.offsets_retention_ms,
        consumer_session_timeout_ms: session.value,
        consumer_session_timeout_min_ms: session.min,
        consumer_session_timeout_max_ms: session.max,
        consumer_heartbeat_interval_ms: heartbeat.value,
        consumer_heartbeat_interval_min_ms: heartbeat.min,
        consumer_heartbeat_interval_max_ms: heartbeat.max,
        consumer_members_max: consumer.size_max,
        consumer_assignors: consumer.assignors,
        consumer_migration: migration(consumer.migration),
        consumer_regex_refresh_ms: consumer.regex_refresh_interval_ms.min(i32::MAX as u64) as i32,
        consumer_assignment_interval_ms: assignment.value,
        consumer_assignment_interval_min_ms: assignment.min,
        consumer_assignment_interval_max_ms: assignment.max,
        consumer_enabled: said.protocols.consumer && image.feature("group.version") >= 1,
    }
}

fn migration(policy: Migration) -> MigrationPolicy {
    match (policy.upgrade, policy.downgrade) {
        (true, true) => MigrationPolicy::Bidirectional,
        (true, false) => MigrationPolicy::Upgrade,
        (false, true) => MigrationPolicy::Downgrade,
        (false, false) => MigrationPolicy::Disabled,
    }
}
