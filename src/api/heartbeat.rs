//! Heartbeat (key 12): a member is alive, and hears whether it has to join anew.

use state::group::{GroupError, Heartbeat, Reply as GroupReply, Request};
use wire::generated::heartbeat_request::HeartbeatRequest;
use wire::generated::heartbeat_response::HeartbeatResponse;

use super::group_asks::{ask, unavailable};
use super::{Api, Context, ReplyTo, group_errors};
use crate::net::Outcome;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: HeartbeatRequest<'_> = cx.decode()?;
    let heartbeat = Heartbeat {
        group: request.group_id.into_owned(),
        generation: request.generation_id,
        member: request.member_id.into_owned(),
        instance: request.group_instance_id.map(Into::into),
    };
    let form = cx.form();
    Ok(ask(api, to, Request::Heartbeat(heartbeat), move |_, reply| {
        let error = match reply {
            GroupReply::Heartbeat(done) => done.err(),
            // While the group is read nobody has to do anything.
            GroupReply::Unavailable(GroupError::Loading) => None,
            other => Some(unavailable(other)),
        };
        form.reply(&HeartbeatResponse { error_code: group_errors::code_of(error.as_ref()), ..Default::default() })
    }))
}
