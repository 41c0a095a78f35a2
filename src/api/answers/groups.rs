//! Groups: there is no group coordinator yet, so no group exists, and none can be joined.

use wire::ErrorCode;
use wire::generated::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use wire::generated::consumer_group_describe_response::{
    ConsumerGroupDescribeResponse, DescribedGroup as DescribedConsumerGroup,
};
use wire::generated::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};
use wire::generated::describe_groups_response::{DescribeGroupsResponse, DescribedGroup};
use wire::generated::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DeleteGroupsRequest, DescribeGroupsRequest,
    FindCoordinatorRequest, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};

use super::{Answer, Api, Context, GROUPS, NOT_SERVED, SHARE_GROUPS, TRANSACTIONS, text};
use crate::api::metadata::{OPERATIONS_NOT_ASKED, bits, brokers};
use crate::net::Reply;

/// All operations on a group: read 3, delete 6, describe 8, describe configs 10, alter configs 11.
const ALL_GROUP_OPERATIONS: i32 = bits(&[3, 6, 8, 10, 11]);

const GROUP_NOT_FOUND: i16 = ErrorCode::GroupIdNotFound as i16;

/// Clients look here first (KIP-699). A group's coordinator is this node: consumers that assign partitions by hand ask
/// it for offsets (there are none) and go on; those that would join are refused by name. Coordinators of transactions and
/// share groups do not exist; COORDINATOR_NOT_AVAILABLE would make clients ask for ever.
pub(in crate::api) fn find_coordinator(api: &Api, cx: &Context) -> Answer {
    let request: FindCoordinatorRequest<'_> = cx.decode()?;
    let absent = match request.key_type {
        0 => return Ok(this_node(api, cx, &request)),
        1 => TRANSACTIONS,
        2 => SHARE_GROUPS,
        kind => return Err(format!("unknown coordinator type {kind}")),
    };
    let coordinators = request.coordinator_keys.iter().map(|key| Coordinator {
        key: key.as_ref().into(),
        node_id: -1,
        port: -1,
        error_code: NOT_SERVED,
        error_message: text(absent),
        ..Default::default()
    });
    Ok(cx.reply(&FindCoordinatorResponse {
        error_code: NOT_SERVED,
        error_message: text(absent),
        node_id: -1,
        port: -1,
        coordinators: coordinators.collect(),
        ..Default::default()
    }))
}

fn this_node(api: &Api, cx: &Context, request: &FindCoordinatorRequest<'_>) -> Reply {
    let image = api.router.image();
    let node = brokers(api, cx, &image).into_iter().find(|broker| broker.node_id == api.settings.node_id);
    let Some(node) = node else {
        let error_code = ErrorCode::CoordinatorNotAvailable as i16;
        return cx.reply(&FindCoordinatorResponse { error_code, node_id: -1, port: -1, ..Default::default() });
    };
    let coordinators = request.coordinator_keys.iter().map(|key| Coordinator {
        key: key.as_ref().into(),
        node_id: node.node_id,
        host: node.host.clone(),
        port: node.port,
        ..Default::default()
    });
    cx.reply(&FindCoordinatorResponse {
        node_id: node.node_id,
        host: node.host.clone(),
        port: node.port,
        coordinators: coordinators.collect(),
        ..Default::default()
    })
}

pub(in crate::api) fn join(_: &Api, cx: &Context) -> Answer {
    let request: JoinGroupRequest<'_> = cx.decode()?;
    let member_id = request.member_id.as_ref().into();
    Ok(cx.reply(&JoinGroupResponse { error_code: NOT_SERVED, member_id, ..Default::default() }))
}

pub(in crate::api) fn sync(_: &Api, cx: &Context) -> Answer {
    cx.decode::<SyncGroupRequest<'_>>()?;
    Ok(cx.reply(&SyncGroupResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn heartbeat(_: &Api, cx: &Context) -> Answer {
    cx.decode::<HeartbeatRequest<'_>>()?;
    Ok(cx.reply(&HeartbeatResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn leave(_: &Api, cx: &Context) -> Answer {
    cx.decode::<LeaveGroupRequest<'_>>()?;
    Ok(cx.reply(&LeaveGroupResponse { error_code: NOT_SERVED, ..Default::default() }))
}

/// Consumer groups of KIP-848.
pub(in crate::api) fn consumer_heartbeat(_: &Api, cx: &Context) -> Answer {
    cx.decode::<ConsumerGroupHeartbeatRequest<'_>>()?;
    let (error_code, error_message) = (NOT_SERVED, text(GROUPS));
    Ok(cx.reply(&ConsumerGroupHeartbeatResponse { error_code, error_message, ..Default::default() }))
}

pub(in crate::api) fn list(_: &Api, cx: &Context) -> Answer {
    cx.decode::<ListGroupsRequest<'_>>()?;
    Ok(cx.reply(&ListGroupsResponse::default()))
}

/// A group that does not exist is dead; from version 6 on that is an error (KIP-1043).
pub(in crate::api) fn describe(_: &Api, cx: &Context) -> Answer {
    let request: DescribeGroupsRequest<'_> = cx.decode()?;
    let is_error = cx.version >= 6;
    let with_operations = request.include_authorized_operations && !is_error;
    let groups = request.groups.iter().map(|group| DescribedGroup {
        error_code: if is_error { GROUP_NOT_FOUND } else { 0 },
        error_message: is_error.then(|| not_found(group).into()),
        group_id: group.as_ref().into(),
        group_state: "Dead".into(),
        authorized_operations: if with_operations { ALL_GROUP_OPERATIONS } else { OPERATIONS_NOT_ASKED },
        ..Default::default()
    });
    Ok(cx.reply(&DescribeGroupsResponse { groups: groups.collect(), ..Default::default() }))
}

pub(in crate::api) fn consumer_describe(_: &Api, cx: &Context) -> Answer {
    let request: ConsumerGroupDescribeRequest<'_> = cx.decode()?;
    let groups = request.group_ids.iter().map(|group| DescribedConsumerGroup {
        error_code: GROUP_NOT_FOUND,
        error_message: Some(not_found(group).into()),
        group_id: group.as_ref().into(),
        ..Default::default()
    });
    Ok(cx.reply(&ConsumerGroupDescribeResponse { groups: groups.collect(), ..Default::default() }))
}

pub(in crate::api) fn delete(_: &Api, cx: &Context) -> Answer {
    let request: DeleteGroupsRequest<'_> = cx.decode()?;
    let results = request
        .groups_names
        .iter()
        .map(|group| DeletableGroupResult { group_id: group.as_ref().into(), error_code: GROUP_NOT_FOUND });
    Ok(cx.reply(&DeleteGroupsResponse { results: results.collect(), ..Default::default() }))
}

fn not_found(group: &str) -> String {
    format!("there is no group {group}")
}
