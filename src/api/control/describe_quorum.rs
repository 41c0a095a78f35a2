//! DescribeQuorum (key 55, KIP-595, KIP-836): the metadata log's leader and voters: this node, alone.

use wire::ErrorCode;
use wire::generated::describe_quorum_request::DescribeQuorumRequest;
use wire::generated::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};

use crate::api::{Api, Context};

const METADATA_TOPIC: &str = "__cluster_metadata";

pub(super) fn run(api: &Api, cx: &Context) -> Result<Vec<u8>, String> {
    let request: DescribeQuorumRequest<'_> = cx.decode()?;
    let topics = request.topics.iter().map(|topic| TopicData {
        topic_name: topic.topic_name.as_ref().into(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| {
                let known = topic.topic_name == METADATA_TOPIC && partition.partition_index == 0;
                if known { quorum(api) } else { unknown(partition.partition_index) }
            })
            .collect(),
    });
    let listeners = api.settings.listeners.controller.iter().filter_map(|listener| {
        let advertised = listener.advertised.as_ref()?;
        let (name, host) = (listener.name.as_str().into(), advertised.host.as_str().into());
        Some(Listener { name, host, port: advertised.port })
    });
    let response = DescribeQuorumResponse {
        topics: topics.collect(),
        nodes: vec![Node { node_id: api.settings.node_id, listeners: listeners.collect() }],
        ..Default::default()
    };
    Ok(cx.reply(&response).into_bytes())
}

fn quorum(api: &Api) -> PartitionData<'static> {
    let controller = api.controller().controller.borrow();
    let now = api.core.wall_ms();
    PartitionData {
        partition_index: 0,
        leader_id: api.settings.node_id,
        leader_epoch: controller.epoch(),
        high_watermark: controller.end_offset(),
        current_voters: vec![ReplicaState {
            replica_id: api.settings.node_id,
            replica_directory_id: controller.voter_directory_id(),
            log_end_offset: controller.end_offset(),
            last_fetch_timestamp: now,
            last_caught_up_timestamp: now,
        }],
        ..Default::default()
    }
}

fn unknown(partition_index: i32) -> PartitionData<'static> {
    PartitionData { partition_index, error_code: ErrorCode::UnknownTopicOrPartition as i16, ..Default::default() }
}
