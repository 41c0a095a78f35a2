//! DescribeProducers (key 61, KIP-664): the producers that partitions remember.

use std::rc::Rc;

use state::fetch_session::TopicKey;
use wire::ErrorCode;
use wire::generated::describe_producers_request::DescribeProducersRequest;
use wire::generated::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

use super::{Api, Context, ReplyTo, fetch, topics};
use crate::calls::{Answer, PartitionId, ProducerInfo, Query};
use crate::net::Outcome;

type Found = Result<Vec<ProducerInfo>, ErrorCode>;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: DescribeProducersRequest<'_> = cx.decode()?;
    let (mut slots, mut queries): (Vec<Found>, _) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        let (route, mut unknown) = topics::find(api, TopicKey::Name(&topic.name));
        if !state::metadata::is_valid_topic_name(&topic.name) {
            unknown = ErrorCode::InvalidTopicException;
        }
        for index in &topic.partition_indexes {
            let slot = slots.len() as u32;
            slots.push(Err(unknown));
            if let Some(place) = api.router.place(&route, *index) {
                queries.push((place, (slot, PartitionId { topic: route.id, index: *index })));
            }
        }
    }
    let groups = api.router.by_owner(queries.into_iter());
    let (router, reply) = (Rc::clone(&api.router), cx.later());
    Ok(api.spawn(to, async move {
        for (shard, items) in groups {
            if let Answer::Producers(answers) = router.ask(shards::ShardId(shard), Query::Producers(items)).await {
                for (slot, answer) in answers {
                    slots[slot as usize] = answer.map_err(fetch::error_code);
                }
            }
        }
        let request: DescribeProducersRequest<'_> = reply.decode().ok()?;
        Some(reply.reply(&respond(&request, slots)))
    }))
}

fn respond<'a>(request: &'a DescribeProducersRequest<'_>, slots: Vec<Found>) -> DescribeProducersResponse<'a> {
    let mut slots = slots.into_iter();
    let topics = request.topics.iter().map(|topic| TopicResponse {
        name: topic.name.as_ref().into(),
        partitions: topic.partition_indexes.iter().zip(&mut slots).map(|(index, found)| one(*index, found)).collect(),
    });
    DescribeProducersResponse { topics: topics.collect(), ..Default::default() }
}

fn one(partition_index: i32, found: Found) -> PartitionResponse<'static> {
    match found {
        Ok(producers) => PartitionResponse {
            partition_index,
            active_producers: producers.into_iter().map(producer).collect(),
            ..Default::default()
        },
        Err(code) => PartitionResponse { partition_index, error_code: code as i16, ..Default::default() },
    }
}

fn producer(info: ProducerInfo) -> ProducerState {
    ProducerState {
        producer_id: info.producer_id,
        producer_epoch: info.producer_epoch.into(),
        last_sequence: info.last_sequence,
        last_timestamp: info.last_timestamp,
        coordinator_epoch: info.coordinator_epoch,
        current_txn_start_offset: info.current_txn_start_offset,
    }
}
