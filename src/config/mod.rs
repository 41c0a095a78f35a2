//! Settings: Kafka's `server.properties` and topic configs, parsed, checked, resolved.

pub mod keys;
pub mod topic;
pub mod value;
