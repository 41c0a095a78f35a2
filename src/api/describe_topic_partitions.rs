//! DescribeTopicPartitions (key 75, KIP-966): topics by name in order, a page of partitions at a time.

use state::metadata::{Image, Partition, Topic};
use wire::generated::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use wire::generated::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use wire::{ErrorCode, Uuid};

use super::metadata::ALL_TOPIC_OPERATIONS;
use super::nodes::Nodes;
use super::{Api, Context, ReplyTo, topics};
use crate::net::Outcome;

type ResponseTopic = DescribeTopicPartitionsResponseTopic<'static>;

pub(super) fn handle(api: &Api, cx: &Context, _to: ReplyTo) -> Result<Outcome, String> {
    let request: DescribeTopicPartitionsRequest<'_> = cx.decode()?;
    let image = api.router.image();
    let from = request.cursor.as_ref();
    if from.is_some_and(|cursor| cursor.partition_index < 0) {
        return Err("a cursor below partition 0".into());
    }
    let mut names: Vec<&str> = request.topics.iter().map(|topic| topic.name.as_ref()).collect();
    if names.is_empty() {
        names = image.topics().map(|topic| topic.name.as_ref()).collect();
    }
    names.sort_unstable();
    names.dedup();
    names.retain(|name| from.is_none_or(|cursor| *name >= cursor.topic_name.as_ref()));

    let most = api.settings.describe_partitions_max.max(1);
    let mut left = (request.response_partition_limit.max(1) as usize).min(most);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        let first = from.filter(|cursor| cursor.topic_name == name).map_or(0, |cursor| cursor.partition_index as usize);
        let Some(topic) = image.topic(name) else {
            response.topics.push(unknown(name));
            continue;
        };
        if left == 0 {
            response.next_cursor = Some(Cursor { topic_name: name.to_owned().into(), partition_index: 0 });
            break;
        }
        let last = topic.partitions.len().min(first + left);
        response.topics.push(page(api.nodes, &image, topic, first.min(last), last));
        left -= last.saturating_sub(first);
        if last < topic.partitions.len() {
            let partition_index = last as i32;
            response.next_cursor = Some(Cursor { topic_name: name.to_owned().into(), partition_index });
            break;
        }
    }
    Ok(Outcome::Reply(cx.reply(&response)))
}

fn page(nodes: Nodes, image: &Image, topic: &Topic, first: usize, last: usize) -> ResponseTopic {
    let partitions = (first as i32..).zip(&topic.partitions[first..last]);
    ResponseTopic {
        name: Some(topic.name.to_string().into()),
        topic_id: topic.id,
        is_internal: topics::is_internal(&topic.name),
        partitions: partitions.map(|(index, one)| described(nodes, image, topic.id, index, one)).collect(),
        topic_authorized_operations: ALL_TOPIC_OPERATIONS,
        ..Default::default()
    }
}

fn described(
    nodes: Nodes,
    image: &Image,
    topic: Uuid,
    index: i32,
    partition: &Partition,
) -> DescribeTopicPartitionsResponsePartition {
    let error = if partition.leader < 0 { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    DescribeTopicPartitionsResponsePartition {
        error_code: error as i16,
        partition_index: index,
        leader_id: nodes.replica(partition.leader, topic, index),
        leader_epoch: partition.leader_epoch,
        replica_nodes: nodes.replicas(&partition.replicas, topic, index),
        isr_nodes: nodes.replicas(&partition.isr, topic, index),
        eligible_leader_replicas: Some(nodes.replicas(&partition.eligible_leader_replicas, topic, index)),
        last_known_elr: Some(nodes.replicas(&partition.last_known_elr, topic, index)),
        offline_replicas: nodes.replicas(&image.offline_replicas(partition), topic, index),
    }
}

fn unknown(name: &str) -> ResponseTopic {
    let valid = state::metadata::is_valid_topic_name(name);
    let code = if valid { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
    ResponseTopic { error_code: code as i16, name: Some(name.to_owned().into()), ..Default::default() }
}
