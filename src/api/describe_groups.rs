//! DescribeGroups (key 15): classic groups and their members.

use state::group::{DescribedGroup, DescribedMember, GroupError, Reply as GroupReply, Request};
use wire::generated::describe_groups_request::DescribeGroupsRequest;
use wire::generated::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup as Group, DescribedGroupMember as Member,
};

use super::group_asks::{ask_all, operations, unavailable};
use super::{Api, Context, ReplyTo, group_errors};
use crate::net::Outcome;

/// From this version on a group that does not exist is an error (KIP-1043); before, it is dead.
const NOT_FOUND_FROM: i16 = 6;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: DescribeGroupsRequest<'_> = cx.decode()?;
    let with_operations = request.include_authorized_operations;
    let names: Vec<String> = request.groups.into_iter().map(Into::into).collect();
    let requests = names.iter().map(|group| Request::Describe { group: group.clone() }).collect();
    let form = cx.form();
    Ok(ask_all(api, to, requests, move |_, replies| {
        let groups = names.into_iter().zip(replies).map(|(name, reply)| match reply {
            GroupReply::Described(Ok(group)) => described(name, group, with_operations),
            GroupReply::Described(Err(error)) => refused(name, &error, form.version, with_operations),
            other => refused(name, &unavailable(other), form.version, with_operations),
        });
        form.reply(&DescribeGroupsResponse { groups: groups.collect(), ..Default::default() })
    }))
}

fn described(name: String, group: DescribedGroup, with_operations: bool) -> Group<'static> {
    Group {
        group_id: name.into(),
        group_state: group.state.into(),
        protocol_type: group.protocol_type.into(),
        protocol_data: group.protocol.into(),
        members: group.members.into_iter().map(member).collect(),
        authorized_operations: operations(with_operations),
        ..Default::default()
    }
}

fn member(member: DescribedMember) -> Member<'static> {
    Member {
        member_id: member.member.into(),
        group_instance_id: member.instance.map(Into::into),
        client_id: member.client.id.into(),
        client_host: member.client.host.into(),
        member_metadata: member.metadata.into(),
        member_assignment: member.assignment.into(),
    }
}

fn refused(name: String, error: &GroupError, version: i16, with_operations: bool) -> Group<'static> {
    let is_absent = matches!(error, GroupError::GroupIdNotFound(_));
    let group =
        Group { group_id: name.into(), group_state: if is_absent { "Dead" } else { "" }.into(), ..Default::default() };
    if is_absent && version < NOT_FOUND_FROM {
        return Group { authorized_operations: operations(with_operations), ..group };
    }
    Group {
        error_code: group_errors::code(error) as i16,
        error_message: error.text().map(|text| text.to_owned().into()),
        ..group
    }
}
