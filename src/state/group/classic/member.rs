//! A member of a classic group.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::Waiting;
use super::super::timers::Deadline;
use super::super::{Client, Join};

/// Kafka's `ClassicGroupMember`. Its metadata and assignment are the client's own bytes, as large as a request may be.
#[derive(Debug)]
pub(super) struct Member {
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) client: Client,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// Name and metadata, the preferred first.
    pub(crate) protocols: Vec<(String, Vec<u8>)>,
    pub(crate) assignment: Vec<u8>,
    /// A JoinGroup that waits for the others. Count it in the group: [`Group::park_join`](super::Group::park_join).
    pub(crate) joining: Option<Waiting>,
    /// A SyncGroup that waits for the leader's.
    pub(crate) syncing: Option<Waiting>,
    /// It has not completed a join yet, and does not know its id perhaps.
    pub(crate) is_new: bool,
    pub(crate) session: Deadline,
}

impl Member {
    pub(crate) fn of_join(join: &mut Join) -> Self {
        Self {
            instance: join.instance.as_deref().map(Arc::from),
            client: std::mem::take(&mut join.client),
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: std::mem::take(&mut join.protocols),
            assignment: Vec::new(),
            joining: None,
            syncing: None,
            is_new: true,
            session: Deadline::default(),
        }
    }

    /// Each once, however often a request names it.
    pub(crate) fn protocol_names(&self) -> BTreeSet<&str> {
        self.protocols.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn metadata(&self, protocol: &str) -> &[u8] {
        self.protocols.iter().find(|(name, _)| name == protocol).map_or(&[], |(_, metadata)| metadata)
    }

    /// Members that wait for an answer need no heartbeats; new ones are not waited for without end all the same.
    pub(crate) fn is_excused(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }
}
