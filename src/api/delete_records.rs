//! DeleteRecords (key 21, KIP-107): moves the log start offset; what lies before it is unreadable at once and its
//! segments go later.

use std::rc::Rc;

use state::fetch_session::TopicKey;
use wire::ErrorCode;
use wire::generated::delete_records_request::DeleteRecordsRequest;
use wire::generated::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use super::{Api, Context, ReplyTo, topics};
use crate::calls::{Answer, DeleteRecordsError, PartitionId, Query};
use crate::net::Outcome;

type Deleted = Result<i64, ErrorCode>;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: DeleteRecordsRequest<'_> = cx.decode()?;
    let (mut slots, mut queries) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        let (route, unknown) = topics::find(api, TopicKey::Name(&topic.name));
        for partition in &topic.partitions {
            let (slot, index) = (slots.len() as u32, partition.partition_index);
            slots.push(Err(ErrorCode::UnknownTopicOrPartition));
            if topics::is_internal(&topic.name) {
                slots[slot as usize] = Err(ErrorCode::InvalidTopicException);
                continue;
            }
            let id = PartitionId { topic: route.id, index };
            match api.router.place(&route, index) {
                Some(place) => queries.push((place, (slot, id, partition.offset))),
                None => slots[slot as usize] = Err(unknown),
            }
        }
    }
    let groups = api.router.by_owner(queries.into_iter());
    let (router, reply) = (Rc::clone(&api.router), cx.later());
    Ok(api.spawn(to, async move {
        for (shard, items) in groups {
            if let Answer::DeleteRecords(answers) =
                router.ask(shards::ShardId(shard), Query::DeleteRecords(items)).await
            {
                for (slot, answer) in answers {
                    slots[slot as usize] = answer.map_err(code);
                }
            }
        }
        let request: DeleteRecordsRequest<'_> = reply.decode().ok()?;
        Some(reply.reply(&respond(&request, &slots)))
    }))
}

fn respond<'a>(request: &'a DeleteRecordsRequest<'_>, slots: &[Deleted]) -> DeleteRecordsResponse<'a> {
    let mut slots = slots.iter();
    let topics = request.topics.iter().map(|topic| DeleteRecordsTopicResult {
        name: topic.name.as_ref().into(),
        partitions: topic
            .partitions
            .iter()
            .zip(&mut slots)
            .map(|(partition, deleted)| DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark: deleted.unwrap_or(-1),
                error_code: deleted.err().unwrap_or(ErrorCode::None) as i16,
            })
            .collect(),
    });
    DeleteRecordsResponse { topics: topics.collect(), ..Default::default() }
}

fn code(error: DeleteRecordsError) -> ErrorCode {
    match error {
        DeleteRecordsError::UnknownPartition => ErrorCode::NotLeaderOrFollower,
        DeleteRecordsError::OutOfRange => ErrorCode::OffsetOutOfRange,
        DeleteRecordsError::CompactedTopic => ErrorCode::PolicyViolation,
        DeleteRecordsError::Storage => ErrorCode::KafkaStorageError,
    }
}
