//! SyncGroup (key 14): the leader of a group says who gets what, the others wait for it.

use state::group::{GroupError, Reply as GroupReply, Request, Sync, Synced};
use wire::generated::sync_group_request::SyncGroupRequest;
use wire::generated::sync_group_response::SyncGroupResponse;

use super::group_asks::{ask, unavailable};
use super::{Api, Context, Form, ReplyTo, group_errors};
use crate::net::{Outcome, Reply};

/// From this version on the protocol has to be named (KIP-559).
const PROTOCOL_FROM: i16 = 5;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: SyncGroupRequest<'_> = cx.decode()?;
    if cx.version >= PROTOCOL_FROM && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return Ok(Outcome::Reply(respond(cx.form(), Err(GroupError::InconsistentProtocol))));
    }
    let sync = Sync {
        group: request.group_id.into_owned(),
        generation: request.generation_id,
        member: request.member_id.into_owned(),
        instance: request.group_instance_id.map(Into::into),
        protocol_type: request.protocol_type.map(Into::into),
        protocol: request.protocol_name.map(Into::into),
        assignments: request.assignments.into_iter().map(|one| (one.member_id.into(), one.assignment.into())).collect(),
    };
    let form = cx.form();
    Ok(ask(api, to, Request::Sync(sync), move |_, reply| match reply {
        GroupReply::Synced(synced) => respond(form, synced),
        other => respond(form, Err(unavailable(other))),
    }))
}

fn respond(form: Form, synced: Result<Synced, GroupError>) -> Reply {
    form.reply(&match synced {
        Ok(synced) => SyncGroupResponse {
            protocol_type: synced.protocol_type.map(Into::into),
            protocol_name: synced.protocol.map(Into::into),
            assignment: synced.assignment.into(),
            ..Default::default()
        },
        Err(error) => SyncGroupResponse { error_code: group_errors::code(&error) as i16, ..Default::default() },
    })
}
