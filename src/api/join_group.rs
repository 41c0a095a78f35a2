//! JoinGroup (key 11): a member enters a group, or comes back for a new generation. Answered when all members are there.

use state::group::{Join, Joined, JoinedMember, Reply as GroupReply, Request};
use wire::generated::join_group_request::JoinGroupRequest;
use wire::generated::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};

use super::group_asks::{ask, client, unavailable};
use super::{Api, Context, Form, ReplyTo, group_errors};
use crate::net::{Outcome, Reply};

/// From this version on clients wait longer for the others than for themselves.
const REBALANCE_TIMEOUT_FROM: i16 = 1;
/// KIP-394.
const MEMBER_ID_REQUIRED_FROM: i16 = 4;
/// From this version on there may be no protocol.
const PROTOCOL_NULLABLE_FROM: i16 = 7;
/// KIP-814.
const SKIPPING_FROM: i16 = 9;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: JoinGroupRequest<'_> = cx.decode()?;
    let rebalance_timeout_ms =
        if cx.version >= REBALANCE_TIMEOUT_FROM { request.rebalance_timeout_ms } else { request.session_timeout_ms };
    let join = Join {
        group: request.group_id.into_owned(),
        member: request.member_id.into_owned(),
        instance: request.group_instance_id.map(Into::into),
        client: client(cx),
        protocol_type: request.protocol_type.into_owned(),
        protocols: request.protocols.into_iter().map(|one| (one.name.into(), one.metadata.into())).collect(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        takes_member_id: cx.version >= MEMBER_ID_REQUIRED_FROM,
        takes_skipping: cx.version >= SKIPPING_FROM,
        reason: request.reason.map(Into::into),
    };
    let (form, member) = (cx.form(), join.member.clone());
    Ok(ask(api, to, Request::Join(join), move |_, reply| match reply {
        GroupReply::Joined(joined) => respond(form, joined),
        other => respond(form, Joined { error: Some(unavailable(other)), member, generation: -1, ..Joined::default() }),
    }))
}

fn respond(form: Form, joined: Joined) -> Reply {
    let protocol = joined.protocol.filter(|name| !name.is_empty());
    let protocol = if form.version >= PROTOCOL_NULLABLE_FROM { protocol } else { Some(protocol.unwrap_or_default()) };
    form.reply(&JoinGroupResponse {
        error_code: group_errors::code_of(joined.error.as_ref()),
        generation_id: joined.generation,
        protocol_type: joined.protocol_type.map(Into::into),
        protocol_name: protocol.map(Into::into),
        leader: joined.leader.into(),
        skip_assignment: joined.skip_assignment,
        member_id: joined.member.into(),
        members: joined.members.into_iter().map(member).collect(),
        ..Default::default()
    })
}

fn member(joined: JoinedMember) -> JoinGroupResponseMember<'static> {
    JoinGroupResponseMember {
        member_id: joined.member.into(),
        group_instance_id: joined.instance.map(Into::into),
        metadata: joined.metadata.into(),
    }
}
