//! DeleteGroups (key 42, KIP-229): groups without members and their offsets.

use state::group::{Reply as GroupReply, Request};
use wire::generated::delete_groups_request::DeleteGroupsRequest;
use wire::generated::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};

use super::group_asks::{ask_all, unavailable};
use super::{Api, Context, ReplyTo, group_errors};
use crate::net::Outcome;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: DeleteGroupsRequest<'_> = cx.decode()?;
    let mut names: Vec<String> = Vec::with_capacity(request.groups_names.len());
    let mut seen = std::collections::HashSet::new();
    for name in request.groups_names {
        if seen.insert(name.to_string()) {
            names.push(name.into());
        }
    }
    let requests = names.iter().map(|group| Request::Delete { group: group.clone() }).collect();
    let form = cx.form();
    Ok(ask_all(api, to, requests, move |_, replies| {
        let results = names.into_iter().zip(replies).map(|(name, reply)| {
            let error = match reply {
                GroupReply::Deleted(deleted) => deleted.err(),
                other => Some(unavailable(other)),
            };
            DeletableGroupResult { group_id: name.into(), error_code: group_errors::code_of(error.as_ref()) }
        });
        form.reply(&DeleteGroupsResponse { results: results.collect(), ..Default::default() })
    }))
}
