//! AlterPartitionReassignments (key 45, KIP-455): on a node alone a partition may stay where it is.

use state::metadata::{Image, Partition};
use wire::generated::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use wire::generated::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use wire::{ErrorCode, Uuid};

use super::nodes::Nodes;
use super::{Api, Context};
use crate::net::Reply;

type Refused = (ErrorCode, String);

pub(super) fn handle(api: &Api, cx: &Context) -> Result<Reply, String> {
    let request: AlterPartitionReassignmentsRequest<'_> = cx.decode()?;
    let image = api.router.image();
    let may_resize = cx.version == 0 || request.allow_replication_factor_change;
    let one = |topic: &ReassignableTopic<'_>, target: &ReassignablePartition| {
        let known = image.topic(&topic.name);
        let partition = known.and_then(|topic| Some((topic.id, topic.partition(target.partition_index)?)));
        let refused = reassign(api.nodes, &image, partition, target, may_resize).err();
        ReassignablePartitionResponse {
            partition_index: target.partition_index,
            error_code: refused.as_ref().map_or(0, |(code, _)| *code as i16),
            error_message: refused.map(|(_, words)| words.into()),
        }
    };
    let responses = request.topics.iter().map(|topic| ReassignableTopicResponse {
        name: topic.name.as_ref().into(),
        partitions: topic.partitions.iter().map(|target| one(topic, target)).collect(),
    });
    Ok(cx.reply(&AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        error_message: None,
        responses: responses.collect(),
        ..Default::default()
    }))
}

fn reassign(
    nodes: Nodes,
    image: &Image,
    partition: Option<(Uuid, &Partition)>,
    target: &ReassignablePartition,
    may_resize: bool,
) -> Result<(), Refused> {
    let refuse = |code, words: &str| Err((code, words.to_owned()));
    let Some((topic, partition)) = partition else {
        return refuse(ErrorCode::UnknownTopicOrPartition, "there is no such partition");
    };
    let Some(replicas) = target.replicas.as_deref() else {
        return refuse(ErrorCode::NoReassignmentInProgress, "no reassignment of this partition is under way");
    };
    if replicas.is_empty() {
        return refuse(ErrorCode::InvalidReplicaAssignment, "a partition needs a replica");
    }
    for (index, replica) in replicas.iter().enumerate() {
        if image.broker(nodes.broker_of(*replica)).is_none() {
            return Err((ErrorCode::InvalidReplicaAssignment, format!("broker {replica} is not registered")));
        }
        if replicas[..index].contains(replica) {
            return Err((ErrorCode::InvalidReplicaAssignment, format!("broker {replica} is named twice")));
        }
    }
    if !may_resize && replicas.len() != partition.replicas.len() {
        return refuse(ErrorCode::InvalidReplicationFactor, "the replication factor would change");
    }
    let stays = nodes.replicas(&partition.replicas, topic, target.partition_index);
    if replicas != partition.replicas && replicas != stays {
        return refuse(ErrorCode::UnsupportedVersion, "replicas can't be moved by this release");
    }
    Ok(())
}
