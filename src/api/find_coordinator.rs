//! FindCoordinator (key 10, KIP-699): the node that coordinates a group. It is this one, once the topic that keeps groups
//! is there; the first to ask has it created.

use std::cell::Cell;

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
    let found = match request.key_type {
        GROUP => group_coordinator(api, cx),
        // These coordinators do not exist; COORDINATOR_NOT_AVAILABLE would make clients ask for ever.
        TRANSACTION => refused(ErrorCode::UnsupportedVersion, TRANSACTIONS),
        SHARE if cx.version < SHARE_FROM => refused(ErrorCode::InvalidRequest, "share groups need version 6"),
        SHARE => refused(ErrorCode::UnsupportedVersion, SHARE_GROUPS),
        kind => return Err(format!("unknown coordinator type {kind}")),
    };
    Ok(Outcome::Reply(respond(cx, &request, found)))
}

fn group_coordinator(api: &Api, cx: &Context) -> Found {
    if api.router.topic(OFFSETS_TOPIC).is_none() {
        create_topic(api);
        return refused(ErrorCode::CoordinatorNotAvailable, "the coordinator is not available yet");
    }
    let image = api.router.image();
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

fn respond(cx: &Context, request: &FindCoordinatorRequest<'_>, found: Found) -> Reply {
    let (node_id, host, port) = found.node.unwrap_or((-1, "".into(), -1));
    let error_code = found.error as i16;
    let error_message = found.text.map(Into::into);
    let coordinators = request.coordinator_keys.iter().map(|key| Coordinator {
        key: key.as_ref().into(),
        node_id,
        host: host.clone(),
        port,
        error_code,
        error_message: error_message.clone(),
    });
    cx.reply(&FindCoordinatorResponse {
        error_code,
        error_message: error_message.clone(),
        node_id,
        host: host.clone(),
        port,
        coordinators: coordinators.collect(),
        ..Default::default()
    })
}
