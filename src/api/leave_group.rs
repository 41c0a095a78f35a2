//! LeaveGroup (key 13, KIP-345): members leave, each by its id or by its instance.

use state::group::{GroupError, Leave, LeavingMember, LeftMember, Reply as GroupReply, Request};
use wire::generated::leave_group_request::LeaveGroupRequest;
use wire::generated::leave_group_response::{LeaveGroupResponse, MemberResponse};

use super::group_asks::{ask, unavailable};
use super::{Api, Context, Form, ReplyTo, group_errors};
use crate::net::{Outcome, Reply};

/// From this version on several may leave at once; before, one does and its error is that of the response.
const SEVERAL_FROM: i16 = 3;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: LeaveGroupRequest<'_> = cx.decode()?;
    let members = if cx.version >= SEVERAL_FROM {
        let named = request.members.into_iter().map(|one| LeavingMember {
            member: one.member_id.into(),
            instance: one.group_instance_id.map(Into::into),
            reason: one.reason.map(Into::into),
        });
        named.collect()
    } else {
        vec![LeavingMember { member: request.member_id.into_owned(), ..LeavingMember::default() }]
    };
    let form = cx.form();
    let leave = Leave { group: request.group_id.into_owned(), members };
    Ok(ask(api, to, Request::Leave(leave), move |_, reply| match reply {
        GroupReply::Left(left) => respond(form, left),
        other => respond(form, Err(unavailable(other))),
    }))
}

fn respond(form: Form, left: Result<Vec<LeftMember>, GroupError>) -> Reply {
    let (error, members) = match left {
        Ok(members) if form.version >= SEVERAL_FROM => (None, members),
        Ok(members) => (members.into_iter().find_map(|one| one.error), Vec::new()),
        Err(error) => (Some(error), Vec::new()),
    };
    form.reply(&LeaveGroupResponse {
        error_code: group_errors::code_of(error.as_ref()),
        members: members.into_iter().map(member).collect(),
        ..Default::default()
    })
}

fn member(left: LeftMember) -> MemberResponse<'static> {
    MemberResponse {
        error_code: group_errors::code_of(left.error.as_ref()),
        member_id: left.member.into(),
        group_instance_id: left.instance.map(Into::into),
    }
}
