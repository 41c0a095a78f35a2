//! Why a coordinator refuses. One for each of Kafka's codes that groups use; the codes themselves are the APIs' matter.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupError {
    /// The state is still being read from the log.
    Loading,
    /// Another node coordinates the group, or this one does not any more.
    NotCoordinator,
    /// The offsets topic has no leader, or its log failed.
    NotAvailable,
    InvalidGroupId,
    GroupIdNotFound(String),
    UnknownMember,
    MemberIdRequired,
    IllegalGeneration,
    InconsistentProtocol,
    InvalidSessionTimeout,
    RebalanceInProgress,
    FencedInstanceId,
    UnreleasedInstanceId(String),
    FencedMemberEpoch(String),
    StaleMemberEpoch,
    UnsupportedAssignor(String),
    InvalidRegex(String),
    GroupMaxSizeReached,
    NonEmptyGroup,
    GroupSubscribedToTopic,
    OffsetMetadataTooLarge,
    UnknownTopicOrPartition,
    UnstableOffsetCommit,
    /// A member of a consumer group commits with a version that knows no member epochs.
    UnsupportedVersion,
    /// The text says what is wrong with the request.
    InvalidRequest(String),
    /// A record would be larger than the log takes.
    RecordTooLarge,
}

impl GroupError {
    /// What a client may be told besides the code.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::GroupIdNotFound(text)
            | Self::UnreleasedInstanceId(text)
            | Self::FencedMemberEpoch(text)
            | Self::UnsupportedAssignor(text)
            | Self::InvalidRegex(text)
            | Self::InvalidRequest(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => f.write_str(text),
            None => write!(f, "{self:?}"),
        }
    }
}
