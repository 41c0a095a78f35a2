//! A classic group as clients may see it, and what it means for offsets.

use super::super::{DescribedGroup, DescribedMember, ListedGroup};
use super::{Group, State};

/// From when on an offset of a group is kept for the retention time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It is not given up.
    Never,
    /// From when it was committed.
    SinceCommit,
    /// From when the group lost its members.
    Since(i64),
}

impl State {
    /// Kafka's words.
    fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl Group {
    /// Metadata is only shown while it is settled which protocol it is of.
    pub(crate) fn describe(&self) -> DescribedGroup {
        let protocol = if self.state == State::Stable { self.protocol.as_deref() } else { None };
        let members = self.members.iter().map(|(id, member)| DescribedMember {
            member: id.as_ref().into(),
            instance: member.instance.as_deref().map(Into::into),
            client: member.client.clone(),
            metadata: protocol.map_or_else(Vec::new, |protocol| member.metadata(protocol).to_vec()),
            assignment: member.assignment.clone(),
        });
        DescribedGroup {
            state: self.state.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().into(),
            members: members.collect(),
        }
    }

    pub(crate) fn listed(&self) -> ListedGroup {
        ListedGroup {
            group: self.id.as_ref().into(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.state.name(),
            kind: "Classic",
        }
    }

    /// Consumers whose subscriptions are not understood may be subscribed to anything.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// For topics that the group is not subscribed to.
    pub(crate) fn expiry(&self) -> Expiry {
        if self.protocol_type.is_none() {
            return Expiry::SinceCommit;
        }
        match self.state {
            State::Empty if self.since_ms == -1 => Expiry::SinceCommit,
            State::Empty => Expiry::Since(self.since_ms),
            State::Stable if self.uses_consumer_protocol() && self.topics.is_some() => Expiry::SinceCommit,
            _ => Expiry::Never,
        }
    }
}
