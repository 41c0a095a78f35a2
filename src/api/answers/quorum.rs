//! The quorum: this node is the only voter, and no other broker or controller belongs to the cluster. What other nodes
//! would ask a controller is refused as a whole.

use wire::ErrorCode;
use wire::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, AllocateProducerIdsRequest, AllocateProducerIdsResponse,
    AlterPartitionRequest, AlterPartitionResponse, AssignReplicasToDirsRequest, AssignReplicasToDirsResponse,
    BeginQuorumEpochRequest, BeginQuorumEpochResponse, BrokerHeartbeatRequest, BrokerHeartbeatResponse,
    BrokerRegistrationRequest, BrokerRegistrationResponse, ControllerRegistrationRequest,
    ControllerRegistrationResponse, EndQuorumEpochRequest, EndQuorumEpochResponse, EnvelopeRequest, EnvelopeResponse,
    FetchRequest, FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, RemoveRaftVoterRequest,
    RemoveRaftVoterResponse, UpdateRaftVoterRequest, UpdateRaftVoterResponse, VoteRequest, VoteResponse,
};

use super::{Answer, Api, Context, NOT_SERVED, text};

const ONE_NODE: &str = "this release serves a cluster of one node: its voters and brokers can't change";

/// AddRaftVoter (KIP-853). Voters can change only where they stand in the metadata log.
pub(in crate::api) fn add_voter(api: &Api, cx: &Context) -> Answer {
    let request: AddRaftVoterRequest<'_> = cx.decode()?;
    let (code, words) = refusal(api, request.cluster_id.as_deref()).unwrap_or_else(|| {
        let is_voter = request.voter_id == api.settings.node_id;
        if is_voter {
            (ErrorCode::DuplicateVoter as i16, "this node is a voter already")
        } else {
            (NOT_SERVED, ONE_NODE)
        }
    });
    Ok(cx.reply(&AddRaftVoterResponse { error_code: code, error_message: text(words), ..Default::default() }))
}

/// RemoveRaftVoter (KIP-853). The last voter stays.
pub(in crate::api) fn remove_voter(api: &Api, cx: &Context) -> Answer {
    let request: RemoveRaftVoterRequest<'_> = cx.decode()?;
    let (code, words) = refusal(api, request.cluster_id.as_deref())
        .unwrap_or((ErrorCode::VoterNotFound as i16, "there is no such voter, or it is the only one"));
    Ok(cx.reply(&RemoveRaftVoterResponse { error_code: code, error_message: text(words), ..Default::default() }))
}

/// What is wrong whichever voter is meant.
fn refusal(api: &Api, cluster_id: Option<&str>) -> Option<(i16, &'static str)> {
    let image = api.router.image();
    if cluster_id.is_some_and(|id| id != image.cluster_id()) {
        return Some((ErrorCode::InconsistentClusterId as i16, "this is another cluster"));
    }
    (image.kraft_version() == 0).then_some((NOT_SERVED, "the voters are those of controller.quorum.voters"))
}

pub(in crate::api) fn update_voter(_: &Api, cx: &Context) -> Answer {
    cx.decode::<UpdateRaftVoterRequest<'_>>()?;
    Ok(cx.reply(&UpdateRaftVoterResponse { error_code: NOT_SERVED, ..Default::default() }))
}

/// Fetch of the metadata log.
pub(in crate::api) fn fetch(_: &Api, cx: &Context) -> Answer {
    cx.decode::<FetchRequest<'_>>()?;
    Ok(cx.reply(&FetchResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn fetch_snapshot(_: &Api, cx: &Context) -> Answer {
    cx.decode::<FetchSnapshotRequest<'_>>()?;
    Ok(cx.reply(&FetchSnapshotResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn vote(_: &Api, cx: &Context) -> Answer {
    cx.decode::<VoteRequest<'_>>()?;
    Ok(cx.reply(&VoteResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn begin_epoch(_: &Api, cx: &Context) -> Answer {
    cx.decode::<BeginQuorumEpochRequest<'_>>()?;
    Ok(cx.reply(&BeginQuorumEpochResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn end_epoch(_: &Api, cx: &Context) -> Answer {
    cx.decode::<EndQuorumEpochRequest<'_>>()?;
    Ok(cx.reply(&EndQuorumEpochResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn register_broker(_: &Api, cx: &Context) -> Answer {
    cx.decode::<BrokerRegistrationRequest<'_>>()?;
    Ok(cx.reply(&BrokerRegistrationResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn broker_heartbeat(_: &Api, cx: &Context) -> Answer {
    cx.decode::<BrokerHeartbeatRequest>()?;
    Ok(cx.reply(&BrokerHeartbeatResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn register_controller(_: &Api, cx: &Context) -> Answer {
    cx.decode::<ControllerRegistrationRequest<'_>>()?;
    let (error_code, error_message) = (NOT_SERVED, text(ONE_NODE));
    Ok(cx.reply(&ControllerRegistrationResponse { error_code, error_message, ..Default::default() }))
}

pub(in crate::api) fn alter_partition(_: &Api, cx: &Context) -> Answer {
    cx.decode::<AlterPartitionRequest>()?;
    Ok(cx.reply(&AlterPartitionResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn assign_directories(_: &Api, cx: &Context) -> Answer {
    cx.decode::<AssignReplicasToDirsRequest>()?;
    Ok(cx.reply(&AssignReplicasToDirsResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn allocate_producer_ids(_: &Api, cx: &Context) -> Answer {
    cx.decode::<AllocateProducerIdsRequest>()?;
    Ok(cx.reply(&AllocateProducerIdsResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn envelope(_: &Api, cx: &Context) -> Answer {
    cx.decode::<EnvelopeRequest<'_>>()?;
    Ok(cx.reply(&EnvelopeResponse { error_code: NOT_SERVED, ..Default::default() }))
}
