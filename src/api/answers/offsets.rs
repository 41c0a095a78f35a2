//! Offsets of groups: there is no group coordinator yet to keep them.

use wire::generated::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use wire::generated::offset_fetch_request::OffsetFetchRequestTopic;
use wire::generated::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use wire::messages::{OffsetCommitRequest, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest};

use super::{Answer, Api, Context, NOT_SERVED};

pub(in crate::api) fn commit(_: &Api, cx: &Context) -> Answer {
    let request: OffsetCommitRequest<'_> = cx.decode()?;
    let topics = request.topics.iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name.as_ref().into(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|one| OffsetCommitResponsePartition { partition_index: one.partition_index, error_code: NOT_SERVED })
            .collect(),
    });
    Ok(cx.reply(&OffsetCommitResponse { topics: topics.collect(), ..Default::default() }))
}

/// The error stands with each partition before version 2, with the whole answer before 8, and then with each group.
pub(in crate::api) fn fetch(_: &Api, cx: &Context) -> Answer {
    let request: OffsetFetchRequest<'_> = cx.decode()?;
    let topics = request.topics.iter().flatten().filter(|_| cx.version < 2).map(refused_topic);
    let groups = request.groups.iter().map(|group| OffsetFetchResponseGroup {
        group_id: group.group_id.as_ref().into(),
        error_code: NOT_SERVED,
        ..Default::default()
    });
    Ok(cx.reply(&OffsetFetchResponse {
        topics: topics.collect(),
        error_code: NOT_SERVED,
        groups: groups.collect(),
        ..Default::default()
    }))
}

fn refused_topic<'a>(topic: &'a OffsetFetchRequestTopic<'_>) -> OffsetFetchResponseTopic<'a> {
    let partitions = topic.partition_indexes.iter().map(|index| OffsetFetchResponsePartition {
        partition_index: *index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some("".into()),
        error_code: NOT_SERVED,
    });
    OffsetFetchResponseTopic { name: topic.name.as_ref().into(), partitions: partitions.collect() }
}

pub(in crate::api) fn delete(_: &Api, cx: &Context) -> Answer {
    cx.decode::<OffsetDeleteRequest<'_>>()?;
    Ok(cx.reply(&OffsetDeleteResponse { error_code: NOT_SERVED, ..Default::default() }))
}
