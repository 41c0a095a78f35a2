//! What the broker tells about itself. For now: its log lines.

pub mod log;
