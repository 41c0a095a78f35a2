//! FindCoordinator (key 10, KIP-699): the node that coordinates a group. It is this one, once the topic that keeps groups
//! is there; the first to ask has it created.

use std::cell::Cell;

use state::group::partition_of;
use wire::generated::find_coordinator_request::FindCoordinatorRequest;
use wire::generated::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use wire::{ErrorCode, Str};

use super::answers::{SHARE_GROUPS, TRANSACTIONS};
use super::metadata::brokers;
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
struct Found {
    error: ErrorCode,
    text: Option<&'static str>,
    node: Option<(i32, Str<'static>, i32)>,
}

pub(super) fn handle(api: &Api, cx: &Context, _to: ReplyTo) -> Result<Outcome, String> {
    let request: FindCoordinatorRequest<'_> = cx.decode()?;
    let found: &dyn Fn(&str) -> Found = match request.key_type {
        GROUP => &|group| group_coordinator(api, cx, group),
        // These coordinators do not exist; COORDINATOR_NOT_AVAILABLE would make clients ask for ever.
        TRANSACTION => &|_| refused(ErrorCode::UnsupportedVersion, TRANSACTIONS),
        SHARE if cx.version < SHARE_FROM => &|_| refused(ErrorCode::InvalidRequest, "share groups need version 6"),
        SHARE => &|_| refused(ErrorCode::UnsupportedVersion, SHARE_GROUPS),
        kind => return Err(format!("unknown coordinator type {kind}")),
    };
    Ok(Outcome::Reply(respond(cx, &request, found)))
}

fn group_coordinator(api: &Api, cx: &Context, group: &str) -> Found {
    let image = api.router.image();
    let Some(topic) = image.topic(OFFSETS_TOPIC) else {
        create_topic(api);
        return refused(ErrorCode::CoordinatorNotAvailable, "the coordinator is not available yet");
    };
    let partition = topic.partition(partition_of(group, topic.partitions.len() as i32));
    if partition.is_none_or(|partition| partition.leader < 0) {
        return refused(ErrorCode::CoordinatorNotAvailable, "the partition that keeps the group has no leader");
    }
    match brokers(api, cx, &image).into_iter().find(|broker| broker.node_id == api.settings.node_id) {
        Some(node) => Found { error: ErrorCode::None, text: None, node: Some((node.node_id, node.host, node.port)) },
        None => refused(ErrorCode::CoordinatorNotAvailable, "the coordinator is not available"),
    }
}

fn refused(error: ErrorCode, text: &'static str) -> Found {
    Found { error, text: Some(text), node: None }
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

fn respond(cx: &Context, request: &FindCoordinatorRequest<'_>, found: &dyn Fn(&str) -> Found) -> Reply {
    let coordinator = |key: &Str<'_>| {
        let Found { error, text, node } = found(key);
        let (node_id, host, port) = node.unwrap_or((-1, "".into(), -1));
        let (error_code, error_message) = (error as i16, text.map(Into::into));
        Coordinator { key: key.to_string().into(), node_id, host, port, error_code, error_message }
    };
    if cx.version >= SEVERAL_FROM {
        let coordinators = request.coordinator_keys.iter().map(coordinator).collect();
        return cx.reply(&FindCoordinatorResponse { coordinators, ..Default::default() });
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } = coordinator(&request.key);
    cx.reply(&FindCoordinatorResponse { node_id, host, port, error_code, error_message, ..Default::default() })
}
