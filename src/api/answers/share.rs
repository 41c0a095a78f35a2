//! Share groups (KIP-932) and the state that their coordinator keeps: not served yet. Refused as Apache Kafka refuses
//! them where `share.version` is 0.

use wire::ErrorCode;
use wire::generated::delete_share_group_state_response as delete_state_response;
use wire::generated::describe_share_group_offsets_response::{
    DescribeShareGroupOffsetsResponse, DescribeShareGroupOffsetsResponseGroup,
};
use wire::generated::initialize_share_group_state_response as initialize_state_response;
use wire::generated::read_share_group_state_response as read_state_response;
use wire::generated::read_share_group_state_summary_response as read_summary_response;
use wire::generated::share_group_describe_response::{DescribedGroup, ShareGroupDescribeResponse};
use wire::generated::write_share_group_state_response as write_state_response;
use wire::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse, DeleteShareGroupStateRequest, DescribeShareGroupOffsetsRequest,
    InitializeShareGroupStateRequest, ReadShareGroupStateRequest, ReadShareGroupStateSummaryRequest,
    ShareAcknowledgeRequest, ShareAcknowledgeResponse, ShareFetchRequest, ShareFetchResponse,
    ShareGroupDescribeRequest, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse, WriteShareGroupStateRequest,
};

use super::{Answer, Api, Context, NOT_SERVED, SHARE_GROUPS, text};

pub(in crate::api) fn heartbeat(_: &Api, cx: &Context) -> Answer {
    cx.decode::<ShareGroupHeartbeatRequest<'_>>()?;
    let (error_code, error_message) = (NOT_SERVED, text(SHARE_GROUPS));
    Ok(cx.reply(&ShareGroupHeartbeatResponse { error_code, error_message, ..Default::default() }))
}

/// There is none.
pub(in crate::api) fn describe(_: &Api, cx: &Context) -> Answer {
    let request: ShareGroupDescribeRequest<'_> = cx.decode()?;
    let groups = request.group_ids.iter().map(|group| DescribedGroup {
        error_code: ErrorCode::GroupIdNotFound as i16,
        error_message: Some(format!("Group {group} not found.").into()),
        group_id: group.as_ref().into(),
        ..Default::default()
    });
    Ok(cx.reply(&ShareGroupDescribeResponse { groups: groups.collect(), ..Default::default() }))
}

pub(in crate::api) fn fetch(_: &Api, cx: &Context) -> Answer {
    cx.decode::<ShareFetchRequest<'_>>()?;
    let (error_code, error_message) = (NOT_SERVED, text(SHARE_GROUPS));
    Ok(cx.reply(&ShareFetchResponse { error_code, error_message, ..Default::default() }))
}

pub(in crate::api) fn acknowledge(_: &Api, cx: &Context) -> Answer {
    cx.decode::<ShareAcknowledgeRequest<'_>>()?;
    let (error_code, error_message) = (NOT_SERVED, text(SHARE_GROUPS));
    Ok(cx.reply(&ShareAcknowledgeResponse { error_code, error_message, ..Default::default() }))
}

pub(in crate::api) fn describe_offsets(_: &Api, cx: &Context) -> Answer {
    let request: DescribeShareGroupOffsetsRequest<'_> = cx.decode()?;
    let groups = request.groups.iter().map(|group| DescribeShareGroupOffsetsResponseGroup {
        group_id: group.group_id.as_ref().into(),
        error_code: NOT_SERVED,
        error_message: text(SHARE_GROUPS),
        ..Default::default()
    });
    Ok(cx.reply(&DescribeShareGroupOffsetsResponse { groups: groups.collect(), ..Default::default() }))
}

pub(in crate::api) fn alter_offsets(_: &Api, cx: &Context) -> Answer {
    cx.decode::<AlterShareGroupOffsetsRequest<'_>>()?;
    let (error_code, error_message) = (NOT_SERVED, text(SHARE_GROUPS));
    Ok(cx.reply(&AlterShareGroupOffsetsResponse { error_code, error_message, ..Default::default() }))
}

pub(in crate::api) fn delete_offsets(_: &Api, cx: &Context) -> Answer {
    cx.decode::<DeleteShareGroupOffsetsRequest<'_>>()?;
    let (error_code, error_message) = (NOT_SERVED, text(SHARE_GROUPS));
    Ok(cx.reply(&DeleteShareGroupOffsetsResponse { error_code, error_message, ..Default::default() }))
}

pub(in crate::api) fn initialize_state(_: &Api, cx: &Context) -> Answer {
    use initialize_state_response::{InitializeShareGroupStateResponse, InitializeStateResult, PartitionResult};
    let request: InitializeShareGroupStateRequest<'_> = cx.decode()?;
    let results = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|one| PartitionResult {
            partition: one.partition,
            error_code: NOT_SERVED,
            error_message: text(SHARE_GROUPS),
        });
        InitializeStateResult { topic_id: topic.topic_id, partitions: partitions.collect() }
    });
    Ok(cx.reply(&InitializeShareGroupStateResponse { results: results.collect() }))
}

pub(in crate::api) fn read_state(_: &Api, cx: &Context) -> Answer {
    use read_state_response::{PartitionResult, ReadShareGroupStateResponse, ReadStateResult};
    let request: ReadShareGroupStateRequest<'_> = cx.decode()?;
    let results = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|one| PartitionResult {
            partition: one.partition,
            error_code: NOT_SERVED,
            error_message: text(SHARE_GROUPS),
            ..Default::default()
        });
        ReadStateResult { topic_id: topic.topic_id, partitions: partitions.collect() }
    });
    Ok(cx.reply(&ReadShareGroupStateResponse { results: results.collect() }))
}

pub(in crate::api) fn write_state(_: &Api, cx: &Context) -> Answer {
    use write_state_response::{PartitionResult, WriteShareGroupStateResponse, WriteStateResult};
    let request: WriteShareGroupStateRequest<'_> = cx.decode()?;
    let results = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|one| PartitionResult {
            partition: one.partition,
            error_code: NOT_SERVED,
            error_message: text(SHARE_GROUPS),
        });
        WriteStateResult { topic_id: topic.topic_id, partitions: partitions.collect() }
    });
    Ok(cx.reply(&WriteShareGroupStateResponse { results: results.collect() }))
}

pub(in crate::api) fn delete_state(_: &Api, cx: &Context) -> Answer {
    use delete_state_response::{DeleteShareGroupStateResponse, DeleteStateResult, PartitionResult};
    let request: DeleteShareGroupStateRequest<'_> = cx.decode()?;
    let results = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|one| PartitionResult {
            partition: one.partition,
            error_code: NOT_SERVED,
            error_message: text(SHARE_GROUPS),
        });
        DeleteStateResult { topic_id: topic.topic_id, partitions: partitions.collect() }
    });
    Ok(cx.reply(&DeleteShareGroupStateResponse { results: results.collect() }))
}

pub(in crate::api) fn read_state_summary(_: &Api, cx: &Context) -> Answer {
    use read_summary_response::{PartitionResult, ReadShareGroupStateSummaryResponse, ReadStateSummaryResult};
    let request: ReadShareGroupStateSummaryRequest<'_> = cx.decode()?;
    let results = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|one| PartitionResult {
            partition: one.partition,
            error_code: NOT_SERVED,
            error_message: text(SHARE_GROUPS),
            ..Default::default()
        });
        ReadStateSummaryResult { topic_id: topic.topic_id, partitions: partitions.collect() }
    });
    Ok(cx.reply(&ReadShareGroupStateSummaryResponse { results: results.collect() }))
}
