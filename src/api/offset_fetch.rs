//! OffsetFetch (key 9, KIP-709): how far groups have read.

use state::group::{Fetch, FetchTopic, FetchedPartition, FetchedTopic, GroupError, Reply as GroupReply, Request};
use wire::generated::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use wire::generated::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use wire::{ErrorCode, Uuid};

use super::group_asks::{ask_all, unavailable};
use super::{Api, Context, ReplyTo, group_errors};
use crate::net::Outcome;

/// From this version on the response as a whole may carry an error, and null asks for all topics.
const TOP_LEVEL_ERROR_FROM: i16 = 2;
/// From this version on a request asks for several groups (KIP-709).
const SEVERAL_FROM: i16 = 8;
/// From this version on topics are named by id (KIP-848).
const BY_ID_FROM: i16 = 10;

/// One group of the request, as far as its answer needs it.
struct Asked {
    group: String,
    /// Topics whose ids nobody knows.
    unknown: Vec<OffsetFetchResponseTopics<'static>>,
    /// For errors of version 1, which stand with each partition.
    topics: Vec<(String, Vec<i32>)>,
}

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: OffsetFetchRequest<'_> = cx.decode()?;
    let require_stable = request.require_stable;
    let groups = if cx.version >= SEVERAL_FROM { request.groups } else { vec![single(request)] };
    let (mut asked, mut requests) = (Vec::with_capacity(groups.len()), Vec::with_capacity(groups.len()));
    for group in groups {
        let (one, fetch) = sort_out(api, cx.version, group, require_stable);
        asked.push(one);
        requests.push(Request::Fetch(fetch));
    }
    let form = cx.form();
    Ok(ask_all(api, to, requests, move |api, replies| {
        let groups = asked.into_iter().zip(replies);
        let groups = groups.map(|(asked, reply)| answer(api, form.version, asked, reply)).collect();
        form.reply(&response(form.version, groups))
    }))
}

/// A request of one group, as versions before 8 make it, in the words of the newer ones.
fn single<'a>(request: OffsetFetchRequest<'a>) -> OffsetFetchRequestGroup<'a> {
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            topic_id: Uuid::ZERO,
            partition_indexes: topic.partition_indexes,
        });
        topics.collect()
    });
    OffsetFetchRequestGroup { group_id: request.group_id, member_id: None, member_epoch: -1, topics }
}

fn sort_out(api: &Api, version: i16, group: OffsetFetchRequestGroup<'_>, require_stable: bool) -> (Asked, Fetch) {
    let mut unknown = Vec::new();
    let topics = group.topics.map(|topics| {
        let mut known = Vec::with_capacity(topics.len());
        for topic in topics {
            let (id, partitions) = (topic.topic_id, topic.partition_indexes);
            if version < BY_ID_FROM {
                known.push(FetchTopic { name: topic.name.into(), id: Uuid::ZERO, partitions });
            } else if let Some(found) = api.router.topic_by_id(&id) {
                known.push(FetchTopic { name: found.name.to_string(), id, partitions });
            } else {
                let partitions = partitions.iter().map(|index| nothing(*index, ErrorCode::UnknownTopicId));
                unknown.push(OffsetFetchResponseTopics {
                    partitions: partitions.collect(),
                    topic_id: id,
                    ..Default::default()
                });
            }
        }
        known
    });
    let named = topics.iter().flatten().map(|topic| (topic.name.clone(), topic.partitions.clone()));
    let named = if version < TOP_LEVEL_ERROR_FROM { named.collect() } else { Vec::new() };
    let asked = Asked { group: group.group_id.to_string(), unknown, topics: named };
    let fetch = Fetch {
        group: group.group_id.into(),
        member: group.member_id.map(Into::into),
        member_epoch: group.member_epoch,
        topics,
        require_stable,
    };
    (asked, fetch)
}

fn answer(api: &Api, version: i16, asked: Asked, reply: GroupReply) -> OffsetFetchResponseGroup<'static> {
    let fetched = match reply {
        GroupReply::Fetched(fetched) => fetched,
        other => Err(unavailable(other)),
    };
    let group_id = asked.group.into();
    match fetched {
        Ok(topics) => {
            let mut topics: Vec<_> = topics.into_iter().filter_map(|topic| found(api, version, topic)).collect();
            topics.extend(asked.unknown);
            OffsetFetchResponseGroup { group_id, topics, error_code: 0 }
        }
        Err(error) if version < TOP_LEVEL_ERROR_FROM => {
            OffsetFetchResponseGroup { group_id, topics: with_error(asked.topics, &error), error_code: 0 }
        }
        Err(error) => {
            let error_code = group_errors::code(&error) as i16;
            OffsetFetchResponseGroup { group_id, topics: Vec::new(), error_code }
        }
    }
}

/// A topic as it is answered. Where topics go by id, one without can't be told.
fn found(api: &Api, version: i16, topic: FetchedTopic) -> Option<OffsetFetchResponseTopics<'static>> {
    let mut topic_id = topic.id;
    if version >= BY_ID_FROM && topic_id == Uuid::ZERO {
        topic_id = api.router.topic(&topic.name)?.id;
    }
    let partitions = topic.partitions.into_iter().map(partition).collect();
    Some(OffsetFetchResponseTopics { name: topic.name.into(), topic_id, partitions })
}

fn partition(found: FetchedPartition) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index: found.index,
        committed_offset: found.offset,
        committed_leader_epoch: found.leader_epoch,
        metadata: Some(found.metadata.into()),
        error_code: group_errors::code_of(found.error.as_ref()),
    }
}

fn nothing(partition_index: i32, code: ErrorCode) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        error_code: code as i16,
        ..Default::default()
    }
}

fn with_error(topics: Vec<(String, Vec<i32>)>, error: &GroupError) -> Vec<OffsetFetchResponseTopics<'static>> {
    let code = group_errors::code(error);
    let topics = topics.into_iter().map(|(name, indexes)| OffsetFetchResponseTopics {
        name: name.into(),
        topic_id: Uuid::ZERO,
        partitions: indexes.into_iter().map(|index| nothing(index, code)).collect(),
    });
    topics.collect()
}

fn response(version: i16, mut groups: Vec<OffsetFetchResponseGroup<'static>>) -> OffsetFetchResponse<'static> {
    if version >= SEVERAL_FROM {
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let Some(group) = groups.pop() else { return OffsetFetchResponse::default() };
    let topics = group.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(older).collect(),
    });
    OffsetFetchResponse { topics: topics.collect(), error_code: group.error_code, ..Default::default() }
}

fn older(partition: OffsetFetchResponsePartitions<'static>) -> OffsetFetchResponsePartition<'static> {
    OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    }
}
