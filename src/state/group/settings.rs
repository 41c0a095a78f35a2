//! What an operator may set for groups: the broker's `group.*` and `offsets.*` keys, typed.

/// Settings of every group of a broker. A consumer group's own configs (`ResourceType::Group` in the image) come before
/// the `consumer_*` ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `group.min.session.timeout.ms`, `group.max.session.timeout.ms`
    pub session_timeout_min_ms: i32,
    pub session_timeout_max_ms: i32,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`
    pub members_max: usize,
    /// `offset.metadata.max.bytes`, which Kafka counts in characters.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `group.consumer.session.timeout.ms` and its bounds
    pub consumer_session_timeout_ms: i32,
    pub consumer_session_timeout_min_ms: i32,
    pub consumer_session_timeout_max_ms: i32,
    /// `group.consumer.heartbeat.interval.ms` and its bounds
    pub consumer_heartbeat_interval_ms: i32,
    pub consumer_heartbeat_interval_min_ms: i32,
    pub consumer_heartbeat_interval_max_ms: i32,
    /// `group.consumer.max.size`
    pub consumer_members_max: usize,
    /// `group.consumer.assignors`: names, the default first.
    pub consumer_assignors: Vec<String>,
    /// `group.consumer.migration.policy`
    pub consumer_migration: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`
    pub consumer_regex_refresh_ms: i32,
    /// `group.consumer.assignment.interval.ms`, the least time between two assignments of a group, and its bounds
    pub consumer_assignment_interval_ms: i32,
    pub consumer_assignment_interval_min_ms: i32,
    pub consumer_assignment_interval_max_ms: i32,
    /// `consumer` in `group.coordinator.rebalance.protocols`, and `group.version` at 1 or above.
    pub consumer_enabled: bool,
}

/// Which non-empty groups may change their protocol while they run (KIP-848).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    Disabled,
    Upgrade,
    Downgrade,
    Bidirectional,
}

impl MigrationPolicy {
    pub fn allows_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    pub fn allows_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

/// The defaults of Apache Kafka 4.3.
impl Default for Settings {
    fn default() -> Self {
        Self {
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            members_max: i32::MAX as usize,
            offset_metadata_max: 4096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            consumer_session_timeout_ms: 45_000,
            consumer_session_timeout_min_ms: 45_000,
            consumer_session_timeout_max_ms: 60_000,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_heartbeat_interval_min_ms: 5_000,
            consumer_heartbeat_interval_max_ms: 15_000,
            consumer_members_max: i32::MAX as usize,
            consumer_assignors: vec!["uniform".into(), "range".into()],
            consumer_migration: MigrationPolicy::Bidirectional,
            consumer_regex_refresh_ms: 600_000,
            consumer_assignment_interval_ms: 1_000,
            consumer_assignment_interval_min_ms: 0,
            consumer_assignment_interval_max_ms: 15_000,
            consumer_enabled: true,
        }
    }
}
