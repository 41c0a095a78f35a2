//! ListOffsets (key 2): the first, the last, the newest record's and a given time's offset of partitions.

use std::collections::HashSet;
use std::rc::Rc;

use state::fetch_session::TopicKey;
use wire::ErrorCode;
use wire::generated::list_offsets_request::ListOffsetsRequest;
use wire::generated::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use super::{Api, Context, ReplyTo, fetch, topics};
use crate::calls::{Answer, FoundOffset, OffsetTarget, OffsetsSpec, PartitionId, Query};
use crate::net::Outcome;

type Found = Result<FoundOffset, ErrorCode>;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: ListOffsetsRequest<'_> = cx.decode()?;
    let mut seen = HashSet::new();
    let (mut slots, mut queries) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        let (route, unknown) = topics::find(api, TopicKey::Name(&topic.name));
        for partition in &topic.partitions {
            let slot = slots.len() as u32;
            slots.push(Err(ErrorCode::UnknownServerError));
            let spec = target(partition.timestamp, cx.version).map(|target| OffsetsSpec {
                target,
                committed_only: request.isolation_level == 1,
                current_leader_epoch: partition.current_leader_epoch,
            });
            let index = partition.partition_index;
            let place = api.router.place(&route, index).ok_or(unknown);
            let place = place.map(|place| (place, PartitionId { topic: route.id, index }));
            if !seen.insert((topic.name.to_string(), index)) {
                slots[slot as usize] = Err(ErrorCode::InvalidRequest);
                continue;
            }
            match place.and_then(|place| Ok((place, spec?))) {
                Ok(((place, id), spec)) => queries.push((place, (slot, id, spec))),
                Err(code) => slots[slot as usize] = Err(code),
            }
        }
    }
    let groups = api.router.by_owner(queries.into_iter());
    let (router, reply) = (Rc::clone(&api.router), cx.later());
    Ok(api.spawn(to, async move {
        for (shard, items) in groups {
            if let Answer::Offsets(answers) = router.ask(shards::ShardId(shard), Query::Offsets(items)).await {
                for (slot, answer) in answers {
                    slots[slot as usize] = answer.map_err(fetch::error_code);
                }
            }
        }
        let request: ListOffsetsRequest<'_> = reply.decode().ok()?;
        Some(reply.reply(&respond(&request, &slots)))
    }))
}

fn respond<'a>(request: &'a ListOffsetsRequest<'_>, slots: &[Found]) -> ListOffsetsResponse<'a> {
    let mut slots = slots.iter();
    let topics = request.topics.iter().map(|topic| ListOffsetsTopicResponse {
        name: topic.name.as_ref().into(),
        partitions: topic
            .partitions
            .iter()
            .zip(&mut slots)
            .map(|(partition, found)| partition_response(partition.partition_index, found))
            .collect(),
    });
    ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
}

fn partition_response(partition_index: i32, found: &Found) -> ListOffsetsPartitionResponse {
    match found {
        Ok(found) => ListOffsetsPartitionResponse {
            partition_index,
            offset: found.offset,
            timestamp: found.timestamp,
            leader_epoch: found.leader_epoch,
            ..Default::default()
        },
        Err(code) => ListOffsetsPartitionResponse {
            partition_index,
            error_code: *code as i16,
            offset: -1,
            timestamp: -1,
            leader_epoch: -1,
        },
    }
}

/// What a timestamp asks for; each special one exists from some version on.
fn target(timestamp: i64, version: i16) -> Result<OffsetTarget, ErrorCode> {
    match timestamp {
        -1 => Ok(OffsetTarget::Latest),
        -2 => Ok(OffsetTarget::Earliest),
        -3 if version >= 7 => Ok(OffsetTarget::MaxTimestamp),
        // Without tiered storage the earliest local record is the earliest, and nothing is tiered or waits to be.
        -4 if version >= 8 => Ok(OffsetTarget::Earliest),
        -5 if version >= 9 => Ok(OffsetTarget::Nothing),
        -6 if version >= 11 => Ok(OffsetTarget::Nothing),
        timestamp if timestamp >= 0 => Ok(OffsetTarget::AtTimestamp(timestamp)),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}
