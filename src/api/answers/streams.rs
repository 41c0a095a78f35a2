//! Streams groups (KIP-1071): not served yet. Refused as Apache Kafka refuses them where `streams.version` is 0.

use wire::ErrorCode;
use wire::generated::streams_group_describe_response::{DescribedGroup, StreamsGroupDescribeResponse};
use wire::messages::{StreamsGroupDescribeRequest, StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};

use super::{Answer, Api, Context, NOT_SERVED, STREAMS_GROUPS, text};

pub(in crate::api) fn heartbeat(_: &Api, cx: &Context) -> Answer {
    cx.decode::<StreamsGroupHeartbeatRequest<'_>>()?;
    let (error_code, error_message) = (NOT_SERVED, text(STREAMS_GROUPS));
    Ok(cx.reply(&StreamsGroupHeartbeatResponse { error_code, error_message, ..Default::default() }))
}

/// There is none.
pub(in crate::api) fn describe(_: &Api, cx: &Context) -> Answer {
    let request: StreamsGroupDescribeRequest<'_> = cx.decode()?;
    let groups = request.group_ids.iter().map(|group| DescribedGroup {
        error_code: ErrorCode::GroupIdNotFound as i16,
        error_message: Some(format!("Group {group} not found.").into()),
        group_id: group.as_ref().into(),
        ..Default::default()
    });
    Ok(cx.reply(&StreamsGroupDescribeResponse { groups: groups.collect(), ..Default::default() }))
}
