//! ConsumerGroupDescribe (key 69, KIP-848): consumer groups, their members, what those have and what they will have.

use state::group::{DescribedConsumerGroup, DescribedConsumerMember, GroupError, Reply as GroupReply, Request};
use state::metadata::Image;
use wire::Uuid;
use wire::generated::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use wire::generated::consumer_group_describe_response::{
    Assignment, ConsumerGroupDescribeResponse, DescribedGroup, Member, TopicPartitions,
};

use super::group_asks::{ask_all, operations, unavailable};
use super::{Api, Context, ReplyTo, group_errors};
use crate::net::Outcome;

/// Which protocol a member speaks.
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: ConsumerGroupDescribeRequest<'_> = cx.decode()?;
    let with_operations = request.include_authorized_operations;
    let names: Vec<String> = request.group_ids.into_iter().map(Into::into).collect();
    if !api.groups.serves_consumer_groups() {
        let groups = names.into_iter().map(|name| refused(name, &GroupError::UnsupportedVersion)).collect();
        return Ok(Outcome::Reply(cx.reply(&ConsumerGroupDescribeResponse { groups, ..Default::default() })));
    }
    let requests = names.iter().map(|group| Request::DescribeConsumer { group: group.clone() }).collect();
    let form = cx.form();
    Ok(ask_all(api, to, requests, move |api, replies| {
        let image = api.router.image();
        let groups = names.into_iter().zip(replies).map(|(name, reply)| match reply {
            _ if name.is_empty() => refused(name, &GroupError::InvalidGroupId),
            GroupReply::ConsumerDescribed(Ok(group)) => described(&image, name, group, with_operations),
            GroupReply::ConsumerDescribed(Err(error)) => refused(name, &error),
            other => refused(name, &unavailable(other)),
        });
        form.reply(&ConsumerGroupDescribeResponse { groups: groups.collect(), ..Default::default() })
    }))
}

fn described(
    image: &Image,
    name: String,
    group: DescribedConsumerGroup,
    with_operations: bool,
) -> DescribedGroup<'static> {
    DescribedGroup {
        group_id: name.into(),
        group_state: group.state.into(),
        group_epoch: group.epoch,
        assignment_epoch: group.assignment_epoch,
        assignor_name: group.assignor.into(),
        members: group.members.into_iter().map(|one| member(image, one)).collect(),
        authorized_operations: operations(with_operations),
        ..Default::default()
    }
}

fn member(image: &Image, member: DescribedConsumerMember) -> Member<'static> {
    Member {
        member_id: member.member.into(),
        instance_id: member.instance.map(Into::into),
        rack_id: member.rack.map(Into::into),
        member_epoch: member.epoch,
        client_id: member.client.id.into(),
        client_host: member.client.host.into(),
        subscribed_topic_names: member.topics.into_iter().map(Into::into).collect(),
        subscribed_topic_regex: member.regex.map(Into::into),
        assignment: assignment(image, member.assignment),
        target_assignment: assignment(image, member.target),
        member_type: if member.is_classic { CLASSIC } else { CONSUMER },
    }
}

/// Topics that were deleted meanwhile have no name and are left out.
fn assignment(image: &Image, topics: Vec<(Uuid, Vec<i32>)>) -> Assignment<'static> {
    let topics = topics.into_iter().filter_map(|(topic_id, partitions)| {
        let topic_name = image.topic_name(&topic_id)?.to_string().into();
        Some(TopicPartitions { topic_id, topic_name, partitions })
    });
    Assignment { topic_partitions: topics.collect() }
}

fn refused(name: String, error: &GroupError) -> DescribedGroup<'static> {
    DescribedGroup {
        group_id: name.into(),
        error_code: group_errors::code(error) as i16,
        error_message: error.text().map(|text| text.to_owned().into()),
        ..Default::default()
    }
}
