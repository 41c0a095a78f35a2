//! Offsets of groups: there is no group coordinator yet to keep them.

use wire::generated::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use wire::generated::offset_fetch_request::OffsetFetchRequestTopics;
use wire::generated::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
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

/// No group has committed anything: offset -1 for whatever is asked, which is no error, and nothing when all are asked.
pub(in crate::api) fn fetch(_: &Api, cx: &Context) -> Answer {
    let request: OffsetFetchRequest<'_> = cx.decode()?;
    let topics = request.topics.iter().flatten().map(|topic| OffsetFetchResponseTopic {
        name: topic.name.as_ref().into(),
        partitions: topic.partition_indexes.iter().map(|index| nothing(*index)).collect(),
    });
    let groups = request.groups.iter().map(|group| OffsetFetchResponseGroup {
        group_id: group.group_id.as_ref().into(),
        topics: group.topics.iter().flatten().map(nothing_of_topic).collect(),
        ..Default::default()
    });
    Ok(cx.reply(&OffsetFetchResponse { topics: topics.collect(), groups: groups.collect(), ..Default::default() }))
}

fn nothing(partition_index: i32) -> OffsetFetchResponsePartition<'static> {
    let (committed_offset, committed_leader_epoch) = (-1, -1);
    let metadata = Some("".into());
    OffsetFetchResponsePartition { partition_index, committed_offset, committed_leader_epoch, metadata, error_code: 0 }
}

fn nothing_of_topic<'a>(topic: &'a OffsetFetchRequestTopics<'_>) -> OffsetFetchResponseTopics<'a> {
    let partitions = topic.partition_indexes.iter().map(|index| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some("".into()),
        error_code: 0,
    });
    OffsetFetchResponseTopics {
        name: topic.name.as_ref().into(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    }
}

pub(in crate::api) fn delete(_: &Api, cx: &Context) -> Answer {
    cx.decode::<OffsetDeleteRequest<'_>>()?;
    Ok(cx.reply(&OffsetDeleteResponse { error_code: NOT_SERVED, ..Default::default() }))
}
