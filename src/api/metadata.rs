//! Metadata (key 3): nodes, topics and who leads their partitions; creates missing topics where both sides allow it.

use std::rc::Rc;

use state::metadata::{Image, Partition, Topic};
use wire::ErrorCode;
use wire::Uuid;
use wire::generated::metadata_request::MetadataRequest;
use wire::generated::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use super::nodes::Nodes;
use super::{Api, Context, ReplyTo, topics};
use crate::calls::{ControlReply, ControlRequest, CreateRefused};
use crate::net::Outcome;

/// Authorized operations were not asked for, or there is no authorizer to ask.
pub(super) const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

/// All operations on a topic, as bits of Kafka's `AclOperation` codes: read 3, write 4, create 5, delete 6, alter 7,
/// describe 8, describe configs 10, alter configs 11.
pub(super) const ALL_TOPIC_OPERATIONS: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);

/// All operations on the cluster: create 5, alter 7, describe 8, cluster action 9, describe configs 10, alter configs
/// 11, idempotent write 12.
pub(super) const ALL_CLUSTER_OPERATIONS: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);

pub(super) const fn bits(codes: &[u32]) -> i32 {
    let (mut bits, mut i) = (0, 0);
    while i < codes.len() {
        bits |= 1 << codes[i];
        i += 1;
    }
    bits
}

type Refused = Vec<(String, CreateRefused)>;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: MetadataRequest<'_> = cx.decode()?;
    let missing = creatable(api, cx, &request);
    if missing.is_empty() {
        return Ok(Outcome::Reply(cx.reply(&respond(api, cx, &request, &api.router.image(), &Vec::new()))));
    }
    let (api, reply, before) = (api.shared(), cx.later(), api.router.image());
    let shared = Rc::clone(&api);
    Ok(shared.spawn(to, async move {
        let created = api.router.control(ControlRequest::AutoCreate { topics: missing }).await;
        let refused = if let ControlReply::Created(refused) = created { refused } else { Vec::new() };
        let request: MetadataRequest<'_> = reply.decode().ok()?;
        // As Kafka's clients know it, a topic that this request made is told of from the next request on.
        Some(reply.reply(&respond(&api, &reply, &request, &before, &refused)))
    }))
}

/// Names that are not there and that both the client and `auto.create.topics.enable` allow to be created.
fn creatable(api: &Api, cx: &Context, request: &MetadataRequest<'_>) -> Vec<String> {
    let allowed = api.settings.auto_create_topics_enable && (cx.version < 4 || request.allow_auto_topic_creation);
    let Some(asked) = request.topics.as_ref().filter(|_| allowed) else { return Vec::new() };
    let by_name = asked.iter().filter(|topic| topic.topic_id == Uuid::ZERO);
    let names = by_name.filter_map(|topic| topic.name.as_deref());
    names.filter(|name| api.router.topic(name).is_none()).map(str::to_owned).collect()
}

fn respond(
    api: &Api,
    cx: &Context,
    request: &MetadataRequest<'_>,
    image: &Image,
    refused: &Refused,
) -> MetadataResponse<'static> {
    let operations = |asked: bool, all: i32| if asked { all } else { OPERATIONS_NOT_ASKED };
    let topic_operations = operations(request.include_topic_authorized_operations, ALL_TOPIC_OPERATIONS);
    // Null means all topics; so does an empty list in version 0, which knows no null.
    let all = request.topics.as_ref().is_none_or(|topics| cx.version == 0 && topics.is_empty());
    let topics = if all {
        image.topics().map(|topic| known(api.nodes, image, topic, topic_operations)).collect()
    } else {
        let asked = request.topics.iter().flatten();
        asked.map(|topic| one(api, image, topic.name.as_deref(), topic.topic_id, topic_operations, refused)).collect()
    };
    MetadataResponse {
        brokers: nodes(api, cx, image),
        cluster_id: Some(image.cluster_id().to_owned().into()),
        controller_id: api.settings.node_id,
        topics,
        cluster_authorized_operations: operations(
            request.include_cluster_authorized_operations,
            ALL_CLUSTER_OPERATIONS,
        ),
        ..Default::default()
    }
}

fn one(
    api: &Api,
    image: &Image,
    name: Option<&str>,
    id: Uuid,
    operations: i32,
    refused: &Refused,
) -> MetadataResponseTopic<'static> {
    // Java's consumers ask for an id and leave the name empty rather than null: the id counts.
    let name = name.filter(|_| id == Uuid::ZERO);
    let found = match name {
        Some(name) => image.topic(name),
        None => image.topic_by_id(&id),
    };
    if let Some(topic) = found {
        return known(api.nodes, image, topic, operations);
    }
    let error = match name {
        None => ErrorCode::UnknownTopicId,
        Some(name) if refused.iter().any(|(refused, why)| refused == name && *why == CreateRefused::InvalidName) => {
            ErrorCode::InvalidTopicException
        }
        Some(name) if !state::metadata::is_valid_topic_name(name) => ErrorCode::InvalidTopicException,
        Some(_) => ErrorCode::UnknownTopicOrPartition,
    };
    MetadataResponseTopic {
        error_code: error as i16,
        name: name.map(|name| name.to_owned().into()),
        topic_id: id,
        is_internal: name.is_some_and(topics::is_internal),
        topic_authorized_operations: OPERATIONS_NOT_ASKED,
        ..Default::default()
    }
}

fn known(nodes: Nodes, image: &Image, topic: &Topic, operations: i32) -> MetadataResponseTopic<'static> {
    let partitions = (0..).zip(&topic.partitions);
    MetadataResponseTopic {
        name: Some(topic.name.to_string().into()),
        topic_id: topic.id,
        is_internal: topics::is_internal(&topic.name),
        partitions: partitions.map(|(index, one)| leader(nodes, image, topic.id, index, one)).collect(),
        topic_authorized_operations: operations,
        ..Default::default()
    }
}

fn leader(
    nodes: Nodes,
    image: &Image,
    topic: Uuid,
    partition_index: i32,
    partition: &Partition,
) -> MetadataResponsePartition {
    let error = if partition.leader < 0 { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    MetadataResponsePartition {
        error_code: error as i16,
        partition_index,
        leader_id: nodes.replica(partition.leader, topic, partition_index),
        leader_epoch: partition.leader_epoch,
        replica_nodes: nodes.replicas(&partition.replicas, topic, partition_index),
        isr_nodes: nodes.replicas(&partition.isr, topic, partition_index),
        offline_replicas: nodes.replicas(&image.offline_replicas(partition), topic, partition_index),
    }
}

/// The nodes that can be reached on the listener that was asked, each with its address there.
pub(super) fn nodes(api: &Api, cx: &Context, image: &Image) -> Vec<MetadataResponseBroker<'static>> {
    let Some(asked) = api.settings.listeners.broker.get(cx.listener) else { return Vec::new() };
    let further: &[u16] = asked.advertised.as_ref().map_or(&[], |told| &told.shard_ports);
    let mut found = Vec::new();
    for broker in image.brokers().filter(|broker| !broker.fenced) {
        let Some(endpoint) = broker.listeners.iter().find(|endpoint| endpoint.name == asked.name) else { continue };
        let node = |node_id: i32, port: u16| MetadataResponseBroker {
            node_id,
            host: endpoint.host.clone().into(),
            port: i32::from(port),
            rack: broker.rack.clone().map(Into::into),
        };
        found.push(node(broker.id, endpoint.port));
        if broker.id == api.settings.node_id {
            found.extend((1..).zip(further).map(|(shard, port)| node(api.nodes.id(shard), *port)));
        }
    }
    found
}
