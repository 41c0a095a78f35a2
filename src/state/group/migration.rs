//! What a group is while it changes from one protocol to the other (KIP-848): neither kind knows the other, both know this.

use std::sync::Arc;

use super::Client;

/// The members of a group in the words of the classic protocol.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Migration {
    pub(super) group: Arc<str>,
    /// The generation of a classic group, the epoch of a consumer group.
    pub(super) generation: i32,
    pub(super) members: Vec<MigratingMember>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct MigratingMember {
    pub(super) member: Arc<str>,
    pub(super) instance: Option<Arc<str>>,
    pub(super) client: Client,
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
    /// Name and metadata (`ConsumerProtocolSubscription`), the preferred first.
    pub(super) protocols: Vec<(String, Vec<u8>)>,
    /// `ConsumerProtocolAssignment`, or nothing.
    pub(super) assignment: Vec<u8>,
}

/// What becomes of a consumer group after an event.
#[derive(Debug, PartialEq)]
#[must_use]
pub(super) enum Fate {
    Stays,
    /// It was made for a member that could not join, and has nothing: no record was written for it.
    Ends,
    /// The last member of the new protocol left. Its tombstones were recorded and its deadlines cancelled.
    Downgrades {
        migration: Migration,
        rebalance: bool,
    },
}
