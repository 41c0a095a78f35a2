//! ConsumerGroupHeartbeat (key 68, KIP-848): a member of a consumer group joins, lives and leaves by this alone.

use state::group::{ConsumerHeartbeat, ConsumerHeartbeatDone, GroupError, Reply as GroupReply, Request};
use wire::Uuid;
use wire::generated::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use wire::generated::consumer_group_heartbeat_response::{Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions};

use super::group_asks::{ask, client, unavailable};
use super::{Api, Context, Form, ReplyTo, group_errors};
use crate::net::{Outcome, Reply};

/// From this version on clients make their ids themselves (KIP-1082).
const MAKES_MEMBER_ID_FROM: i16 = 1;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: ConsumerGroupHeartbeatRequest<'_> = cx.decode()?;
    if !api.groups.serves_consumer_groups() {
        return Ok(Outcome::Reply(respond(cx.form(), Err(GroupError::UnsupportedVersion))));
    }
    let names = |names: Vec<wire::Str<'_>>| names.into_iter().map(Into::into).collect();
    let heartbeat = ConsumerHeartbeat {
        group: request.group_id.into_owned(),
        member: request.member_id.into_owned(),
        member_epoch: request.member_epoch,
        instance: request.instance_id.map(Into::into),
        rack: request.rack_id.map(Into::into),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        client: client(cx),
        topics: request.subscribed_topic_names.map(names),
        regex: request.subscribed_topic_regex.map(Into::into),
        assignor: request.server_assignor.map(Into::into),
        owned: request
            .topic_partitions
            .map(|owned| owned.into_iter().map(|topic| (topic.topic_id, topic.partitions)).collect()),
        makes_member_id: cx.version >= MAKES_MEMBER_ID_FROM,
    };
    let form = cx.form();
    Ok(ask(api, to, Request::ConsumerHeartbeat(heartbeat), move |_, reply| match reply {
        GroupReply::ConsumerHeartbeat(done) => respond(form, done),
        other => respond(form, Err(unavailable(other))),
    }))
}

fn respond(form: Form, done: Result<ConsumerHeartbeatDone, GroupError>) -> Reply {
    form.reply(&match done {
        Ok(done) => ConsumerGroupHeartbeatResponse {
            member_id: Some(done.member.into()),
            member_epoch: done.member_epoch,
            heartbeat_interval_ms: done.heartbeat_interval_ms,
            assignment: done.assignment.map(assignment),
            ..Default::default()
        },
        Err(error) => ConsumerGroupHeartbeatResponse {
            error_code: group_errors::code(&error) as i16,
            error_message: error.text().map(|text| text.to_owned().into()),
            ..Default::default()
        },
    })
}

fn assignment(topics: Vec<(Uuid, Vec<i32>)>) -> Assignment {
    let topics = topics.into_iter().map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions });
    Assignment { topic_partitions: topics.collect() }
}
