//! Decisions: pure state machines without I/O, clock or randomness. Time and chance come in as arguments, effects go out
//! as return values, so every rule here can be tested by the million in one thread.
//!
//! - one partition: its leader epochs ([`epochs`]), its idempotent and transactional producers ([`producer`]), its
//!   offsets and replicas ([`partition`]), what compaction keeps of it ([`compaction`]), its way to another log directory
//!   ([`future_replica`])
//! - one shard: the fetch sessions of its connections ([`fetch_session`]), the clients that send it their metrics
//!   ([`telemetry`])
//! - one partition of `__consumer_offsets`: the groups that it coordinates, and their offsets ([`group`])
//! - the cluster: its metadata as an image, and the decisions of the controller ([`metadata`])
#![forbid(unsafe_code)]

pub mod compaction;
pub mod epochs;
pub mod fetch_session;
pub mod future_replica;
pub mod group;
pub mod metadata;
pub mod partition;
mod pattern;
pub mod producer;
pub mod telemetry;

#[cfg(test)]
mod testing {
    use proptest::prelude::ProptestConfig;
    use proptest::test_runner::RngSeed;

    /// The same cases in every run, and no files beside the sources.
    pub(crate) fn cases(count: u32) -> ProptestConfig {
        ProptestConfig { cases: count, failure_persistence: None, rng_seed: RngSeed::Fixed(20), ..Default::default() }
    }
}
