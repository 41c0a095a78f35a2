//! What the broker tells about itself. For now: its log lines, and what it counts for them.

pub mod client_metrics;
pub mod log;
