//! What an operator set for groups: server.properties, and over it what was set while the broker runs.

use std::collections::BTreeMap;

use state::group::{MigrationPolicy, Settings};
use state::metadata::{Image, ResourceType};

use crate::config::{Broker, Layers};

/// The settings of this node's groups as of an image.
pub(super) fn settings(broker: &Broker, image: &Image) -> Settings {
    let none = BTreeMap::new();
    let node = broker.node_id.to_string();
    let layers = Layers {
        fixed: &broker.said,
        cluster: image.configs(ResourceType::Broker, "").unwrap_or(&none),
        node: image.configs(ResourceType::Broker, &node).unwrap_or(&none),
    };
    let number = |key: &str| layers.broker(key).map_or(0, |value| value.number());
    let int = |key: &str| number(key).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
    let count = |key: &str| number(key).max(0) as usize;
    let list = |key: &str| layers.broker(key).map_or_else(Vec::new, |value| value.items());
    let serves_consumer = list("group.coordinator.rebalance.protocols").iter().any(|protocol| protocol == "consumer");
    Settings {
        session_timeout_min_ms: int("group.min.session.timeout.ms"),
        session_timeout_max_ms: int("group.max.session.timeout.ms"),
        initial_rebalance_delay_ms: int("group.initial.rebalance.delay.ms"),
        members_max: count("group.max.size"),
        offset_metadata_max: count("offset.metadata.max.bytes"),
        offsets_retention_ms: number("offsets.retention.minutes").saturating_mul(60_000),
        consumer_session_timeout_ms: int("group.consumer.session.timeout.ms"),
        consumer_session_timeout_min_ms: int("group.consumer.min.session.timeout.ms"),
        consumer_session_timeout_max_ms: int("group.consumer.max.session.timeout.ms"),
        consumer_heartbeat_interval_ms: int("group.consumer.heartbeat.interval.ms"),
        consumer_heartbeat_interval_min_ms: int("group.consumer.min.heartbeat.interval.ms"),
        consumer_heartbeat_interval_max_ms: int("group.consumer.max.heartbeat.interval.ms"),
        consumer_members_max: count("group.consumer.max.size"),
        consumer_assignors: list("group.consumer.assignors"),
        consumer_migration: migration(
            &layers.broker("group.consumer.migration.policy").map_or(String::new(), |v| v.text()),
        ),
        consumer_regex_refresh_ms: int("group.consumer.regex.refresh.interval.ms"),
        consumer_assignment_interval_ms: int("group.consumer.assignment.interval.ms"),
        consumer_enabled: serves_consumer && image.feature("group.version") >= 1,
    }
}

fn migration(policy: &str) -> MigrationPolicy {
    match policy.to_ascii_lowercase().as_str() {
        "upgrade" => MigrationPolicy::Upgrade,
        "downgrade" => MigrationPolicy::Downgrade,
        "disabled" => MigrationPolicy::Disabled,
        _ => MigrationPolicy::Bidirectional,
    }
}
