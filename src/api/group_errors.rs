//! Kafka's code for each reason of a coordinator's (`CoordinatorOperationExceptionHelper` and the exceptions it sees).

use state::group::GroupError;
use wire::ErrorCode;

pub(super) fn code(error: &GroupError) -> ErrorCode {
    match error {
        GroupError::Loading => ErrorCode::CoordinatorLoadInProgress,
        GroupError::NotCoordinator => ErrorCode::NotCoordinator,
        GroupError::NotAvailable => ErrorCode::CoordinatorNotAvailable,
        GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupError::GroupIdNotFound(_) => ErrorCode::GroupIdNotFound,
        GroupError::UnknownMember => ErrorCode::UnknownMemberId,
        GroupError::MemberIdRequired => ErrorCode::MemberIdRequired,
        GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupError::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::FencedInstanceId => ErrorCode::FencedInstanceId,
        GroupError::UnreleasedInstanceId(_) => ErrorCode::UnreleasedInstanceId,
        GroupError::FencedMemberEpoch(_) => ErrorCode::FencedMemberEpoch,
        GroupError::StaleMemberEpoch => ErrorCode::StaleMemberEpoch,
        GroupError::UnsupportedAssignor(_) => ErrorCode::UnsupportedAssignor,
        GroupError::InvalidRegex(_) => ErrorCode::InvalidRegularExpression,
        GroupError::GroupMaxSizeReached => ErrorCode::GroupMaxSizeReached,
        GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupError::GroupSubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        GroupError::OffsetMetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
        GroupError::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        GroupError::UnstableOffsetCommit => ErrorCode::UnstableOffsetCommit,
        GroupError::UnsupportedVersion => ErrorCode::UnsupportedVersion,
        GroupError::InvalidRequest(_) => ErrorCode::InvalidRequest,
        GroupError::RecordTooLarge => ErrorCode::UnknownServerError,
    }
}

/// The code of what may have gone well.
pub(super) fn code_of(error: Option<&GroupError>) -> i16 {
    error.map_or(ErrorCode::None, code) as i16
}
