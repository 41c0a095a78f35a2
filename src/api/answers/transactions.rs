//! Transactions: there is no transaction coordinator yet, so none is under way, and none can begin.

use wire::ErrorCode;
use wire::generated::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use wire::generated::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnTopicResult,
};
use wire::generated::describe_transactions_response::{DescribeTransactionsResponse, TransactionState};
use wire::generated::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use wire::generated::write_txn_markers_request::{WritableTxnMarker, WriteTxnMarkersRequest};
use wire::generated::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult, WriteTxnMarkersResponse,
};
use wire::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, DescribeTransactionsRequest,
    EndTxnRequest, EndTxnResponse, ListTransactionsRequest, ListTransactionsResponse, TxnOffsetCommitRequest,
};

use super::{Answer, Api, Context, NOT_SERVED};

/// The states of transactions (Kafka's `TransactionState`), the names that ListTransactions filters by.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

/// Up to version 3 the error stands with each partition; then with the whole answer.
pub(in crate::api) fn add_partitions(_: &Api, cx: &Context) -> Answer {
    let request: AddPartitionsToTxnRequest<'_> = cx.decode()?;
    Ok(cx.reply(&AddPartitionsToTxnResponse {
        error_code: NOT_SERVED,
        results_by_topic_v3_and_below: request.v3_and_below_topics.iter().map(refused_topic).collect(),
        ..Default::default()
    }))
}

fn refused_topic<'a>(topic: &'a AddPartitionsToTxnTopic<'_>) -> AddPartitionsToTxnTopicResult<'a> {
    let partitions = topic
        .partitions
        .iter()
        .map(|index| AddPartitionsToTxnPartitionResult { partition_index: *index, partition_error_code: NOT_SERVED });
    AddPartitionsToTxnTopicResult { name: topic.name.as_ref().into(), results_by_partition: partitions.collect() }
}

pub(in crate::api) fn add_offsets(_: &Api, cx: &Context) -> Answer {
    cx.decode::<AddOffsetsToTxnRequest<'_>>()?;
    Ok(cx.reply(&AddOffsetsToTxnResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn end(_: &Api, cx: &Context) -> Answer {
    cx.decode::<EndTxnRequest<'_>>()?;
    Ok(cx.reply(&EndTxnResponse { error_code: NOT_SERVED, ..Default::default() }))
}

pub(in crate::api) fn commit_offsets(_: &Api, cx: &Context) -> Answer {
    let request: TxnOffsetCommitRequest<'_> = cx.decode()?;
    let topics = request.topics.iter().map(|topic| TxnOffsetCommitResponseTopic {
        name: topic.name.as_ref().into(),
        partitions: topic
            .partitions
            .iter()
            .map(|one| TxnOffsetCommitResponsePartition {
                partition_index: one.partition_index,
                error_code: NOT_SERVED,
            })
            .collect(),
    });
    Ok(cx.reply(&TxnOffsetCommitResponse { topics: topics.collect(), ..Default::default() }))
}

pub(in crate::api) fn write_markers(_: &Api, cx: &Context) -> Answer {
    let request: WriteTxnMarkersRequest<'_> = cx.decode()?;
    Ok(cx.reply(&WriteTxnMarkersResponse { markers: request.markers.iter().map(refused_marker).collect() }))
}

fn refused_marker<'a>(marker: &'a WritableTxnMarker<'_>) -> WritableTxnMarkerResult<'a> {
    let topics = marker.topics.iter().map(|topic| WritableTxnMarkerTopicResult {
        name: topic.name.as_ref().into(),
        partitions: topic
            .partition_indexes
            .iter()
            .map(|index| WritableTxnMarkerPartitionResult { partition_index: *index, error_code: NOT_SERVED })
            .collect(),
    });
    WritableTxnMarkerResult { producer_id: marker.producer_id, topics: topics.collect() }
}

pub(in crate::api) fn describe(_: &Api, cx: &Context) -> Answer {
    let request: DescribeTransactionsRequest<'_> = cx.decode()?;
    let states = request.transactional_ids.iter().map(|id| {
        let code = if id.is_empty() { ErrorCode::InvalidRequest } else { ErrorCode::TransactionalIdNotFound };
        TransactionState { error_code: code as i16, transactional_id: id.as_ref().into(), ..Default::default() }
    });
    Ok(cx.reply(&DescribeTransactionsResponse { transaction_states: states.collect(), ..Default::default() }))
}

pub(in crate::api) fn list(_: &Api, cx: &Context) -> Answer {
    let request: ListTransactionsRequest<'_> = cx.decode()?;
    let unknown = request.state_filters.iter().filter(|state| !STATES.contains(&state.as_ref()));
    let unknown_state_filters = unknown.map(|state| state.as_ref().into()).collect();
    Ok(cx.reply(&ListTransactionsResponse { unknown_state_filters, ..Default::default() }))
}
