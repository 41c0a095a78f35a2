//! FindCoordinator (key 10, KIP-699): the node that coordinates a group, once the topic that keeps groups is there; the
//! first to ask has it created.

use std::cell::Cell;

use state::group::partition_of;
use wire::ErrorCode;
use wire::generated::find_coordinator_request::FindCoordinatorRequest;
use wire::generated::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use wire::generated::metadata_response::MetadataResponseBroker;

use super::answers::{SHARE_GROUPS, TRANSACTIONS};
use super::metadata::nodes;
use super::{Api, Context, ReplyTo};
use crate::calls::ControlRequest;
use crate::groups::OFFSETS_TOPIC;
use crate::net::{Outcome, Reply};

/// Kinds of coordinators (`CoordinatorType`).
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// From this version on share groups may be asked for (KIP-932).
const SHARE_FROM: i16 = 6;

/// From this version on a request names several keys (KIP-699).
const SEVERAL_FROM: i16 = 4;

/// Whether this shard has asked for the topic to be created.
#[derive(Default)]
pub(super) struct Creating(Cell<bool>);

/// Where a coordinator is, or why nobody knows.
type Found = Result<MetadataResponseBroker<'static>, Refusal>;
type Refusal = (ErrorCode, &'static str);

pub(super) fn handle(api: &Api, cx: &Context, _to: ReplyTo) -> Result<Outcome, String> {
    let request: FindCoordinatorRequest<'_> = cx.decode()?;
    let nodes = nodes(api, cx, &api.router.image());
    let find = |key: &str| match request.key_type {
        GROUP => group_coordinator(api, &nodes, key),
        // These coordinators do not exist; COORDINATOR_NOT_AVAILABLE would make clients ask for ever.
        TRANSACTION => Err((ErrorCode::UnsupportedVersion, TRANSACTIONS)),
        SHARE if cx.version < SHARE_FROM => Err((ErrorCode::InvalidRequest, "share groups need version 6")),
        _ => Err((ErrorCode::UnsupportedVersion, SHARE_GROUPS)),
    };
    if !(GROUP..=SHARE).contains(&request.key_type) {
        return Err(format!("unknown coordinator type {}", request.key_type));
    }
    Ok(Outcome::Reply(respond(cx, &request, find)))
}

/// A group's coordinator lives on the shard that owns the group's partition of the offsets topic.
fn group_coordinator(api: &Api, nodes: &[MetadataResponseBroker<'static>], group: &str) -> Found {
    let image = api.router.image();
    // While it is being created it may be known here and not yet where the client goes next.
    let Some(topic) = image.topic(OFFSETS_TOPIC).filter(|_| !api.creating.0.get()) else {
        create_topic(api);
        return Err((ErrorCode::CoordinatorNotAvailable, "the coordinator is not available yet"));
    };
    let index = partition_of(group, topic.partitions.len() as i32);
    let leader = topic.partition(index).map_or(-1, |partition| partition.leader);
    if leader < 0 {
        return Err((ErrorCode::CoordinatorNotAvailable, "the partition that keeps the group has no leader"));
    }
    let leader = api.nodes.replica(leader, topic.id, index);
    let node = nodes.iter().find(|node| node.node_id == leader);
    node.cloned().ok_or((ErrorCode::CoordinatorNotAvailable, "the coordinator is not available"))
}

/// Asks the controller for the topic, one request at a time. The client comes back.
fn create_topic(api: &Api) {
    if api.creating.0.replace(true) {
        return;
    }
    let api = api.shared();
    let core = api.core.clone();
    core.spawn(async move {
        api.router.control(ControlRequest::CreateInternal { topic: OFFSETS_TOPIC }).await;
        api.creating.0.set(false);
    });
}

/// Before version 4 one key is asked for, and the answer is not in a list.
fn respond(cx: &Context, request: &FindCoordinatorRequest<'_>, find: impl Fn(&str) -> Found) -> Reply {
    let coordinator = |key: &str| {
        let (error, text, node) = match find(key) {
            Ok(node) => (ErrorCode::None, None, Some(node)),
            Err((error, text)) => (error, Some(text), None),
        };
        let (node_id, host, port) = node.map_or((-1, "".into(), -1), |node| (node.node_id, node.host, node.port));
        let error_message = text.map(Into::into);
        Coordinator { key: key.to_owned().into(), node_id, host, port, error_code: error as i16, error_message }
    };
    if cx.version >= SEVERAL_FROM {
        let coordinators = request.coordinator_keys.iter().map(|key| coordinator(key)).collect();
        return cx.reply(&FindCoordinatorResponse { coordinators, ..Default::default() });
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } = coordinator(&request.key);
    cx.reply(&FindCoordinatorResponse { node_id, host, port, error_code, error_message, ..Default::default() })
}
