//! What clients' telemetry brought to one shard since its start. The names are those of Kafka's group `client-metrics`,
//! and `-bytes` beside them.

use std::fmt;

/// Counts of one shard; it lives on that core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientMetrics {
    /// Clients known now.
    pub instance_count: u64,
    /// Pushes that were read to the end.
    pub plugin_export: u64,
    /// Their bytes, decompressed.
    pub plugin_export_bytes: u64,
    /// Pushes that could not be read: damaged, or too large when decompressed.
    pub plugin_error: u64,
    /// Requests that came before their time.
    pub throttle: u64,
    /// Pushes under a subscription that is not the client's.
    pub unknown_subscription_request: u64,
    /// Refused for any other reason.
    pub invalid_request: u64,
}

impl fmt::Display for ClientMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("instance-count", self.instance_count),
            ("plugin-export", self.plugin_export),
            ("plugin-export-bytes", self.plugin_export_bytes),
            ("plugin-error", self.plugin_error),
            ("throttle", self.throttle),
            ("unknown-subscription-request", self.unknown_subscription_request),
            ("invalid-request", self.invalid_request),
        ];
        for (index, (name, count)) in counts.iter().enumerate() {
            write!(f, "{}{name}={count}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
