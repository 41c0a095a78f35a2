//! OffsetForLeaderEpoch (key 23, KIP-101, KIP-320): where an epoch ended, for readers that look for lost records.

use std::rc::Rc;

use state::fetch_session::TopicKey;
use wire::ErrorCode;
use wire::generated::offset_for_leader_epoch_request::OffsetForLeaderEpochRequest;
use wire::generated::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

use super::{Api, Context, ReplyTo, fetch, topics};
use crate::calls::{Answer, EpochSpec, PartitionId, Query};
use crate::net::Outcome;

type Found = Result<(i32, i64), ErrorCode>;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: OffsetForLeaderEpochRequest<'_> = cx.decode()?;
    let (mut slots, mut queries) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        let (route, unknown) = topics::find(api, TopicKey::Name(&topic.topic));
        for partition in &topic.partitions {
            let slot = slots.len() as u32;
            let (index, leader_epoch) = (partition.partition, partition.leader_epoch);
            let spec = EpochSpec { current_leader_epoch: partition.current_leader_epoch, leader_epoch };
            slots.push(Err(unknown));
            if let Some(place) = api.router.place(&route, index) {
                queries.push((place, (slot, PartitionId { topic: route.id, index }, spec)));
            }
        }
    }
    let groups = api.router.by_owner(queries.into_iter());
    let (router, reply) = (Rc::clone(&api.router), cx.later());
    Ok(api.spawn(to, async move {
        for (shard, items) in groups {
            if let Answer::EpochEnds(answers) = router.ask(shards::ShardId(shard), Query::EpochEnds(items)).await {
                for (slot, answer) in answers {
                    slots[slot as usize] = answer.map_err(fetch::error_code);
                }
            }
        }
        let request: OffsetForLeaderEpochRequest<'_> = reply.decode().ok()?;
        Some(reply.reply(&respond(&request, &slots)))
    }))
}

fn respond<'a>(request: &'a OffsetForLeaderEpochRequest<'_>, slots: &[Found]) -> OffsetForLeaderEpochResponse<'a> {
    let mut slots = slots.iter();
    let topics = request.topics.iter().map(|topic| OffsetForLeaderTopicResult {
        topic: topic.topic.as_ref().into(),
        partitions: topic
            .partitions
            .iter()
            .zip(&mut slots)
            .map(|(partition, found)| match found {
                Ok((leader_epoch, end_offset)) => EpochEndOffset {
                    partition: partition.partition,
                    leader_epoch: *leader_epoch,
                    end_offset: *end_offset,
                    ..Default::default()
                },
                Err(code) => EpochEndOffset {
                    partition: partition.partition,
                    error_code: *code as i16,
                    leader_epoch: -1,
                    end_offset: -1,
                },
            })
            .collect(),
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }
}
