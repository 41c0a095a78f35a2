//! The cluster as a whole: one broker leads every partition for good, replicas have nowhere to move, and features stay
//! where the format put them.

use state::metadata::{Image, Partition, ResourceType, supported_features};
use wire::ErrorCode;
use wire::generated::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use wire::generated::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use wire::generated::elect_leaders_request::TopicPartitions;
use wire::generated::elect_leaders_response::{ElectLeadersResponse, PartitionResult, ReplicaElectionResult};
use wire::generated::list_config_resources_response::{ConfigResource, ListConfigResourcesResponse};
use wire::generated::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use wire::generated::update_features_response::{UpdatableFeatureResult, UpdateFeaturesResponse};
use wire::messages::{
    ElectLeadersRequest, ListConfigResourcesRequest, ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse, UnregisterBrokerRequest, UnregisterBrokerResponse,
};

use super::{Answer, Api, Context, NOT_SERVED};
use crate::api::describe_configs::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::api::metadata::brokers;
use crate::controller::levels;

type Refused = (ErrorCode, String);

/// ListConfigResources (KIP-1142); version 0 knows client metrics only.
pub(in crate::api) fn list_config_resources(api: &Api, cx: &Context) -> Answer {
    let request: ListConfigResourcesRequest = cx.decode()?;
    let known: &[i8] =
        if cx.version == 0 { &[CLIENT_METRICS] } else { &[GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC] };
    if request.resource_types.iter().any(|kind| !known.contains(kind)) {
        return Ok(cx.reply(&ListConfigResourcesResponse { error_code: NOT_SERVED, ..Default::default() }));
    }
    let image = api.router.image();
    let mut found = Vec::new();
    for kind in known.iter().filter(|kind| request.resource_types.is_empty() || request.resource_types.contains(kind)) {
        let resource = |name: &str| ConfigResource { resource_name: name.to_owned().into(), resource_type: *kind };
        match *kind {
            TOPIC => found.extend(image.topics().map(|topic| resource(&topic.name))),
            BROKER | BROKER_LOGGER => {
                found.extend(brokers(api, cx, &image).iter().map(|broker| resource(&broker.node_id.to_string())));
            }
            _ => {
                let configured = image.config_resources().map(|(resource, _)| resource);
                let of_kind = configured.filter(|one| one.kind == ResourceType::from_id(*kind));
                found.extend(of_kind.map(|one| resource(&one.name)));
            }
        }
    }
    Ok(cx.reply(&ListConfigResourcesResponse { config_resources: found, ..Default::default() }))
}

/// ElectLeaders (KIP-183, KIP-460). Without partitions it means all of them, and then tells only of those that wanted
/// another leader.
pub(in crate::api) fn elect_leaders(api: &Api, cx: &Context) -> Answer {
    let request: ElectLeadersRequest<'_> = cx.decode()?;
    let image = api.router.image();
    if !(0..=1).contains(&request.election_type) {
        let refused = |_: &str, _: i32| (ErrorCode::InvalidRequest, Some("election types are 0 and 1".to_owned()));
        let asked = request.topic_partitions.iter().flatten();
        let replica_election_results = asked.map(|topic| elections(topic, &refused)).collect();
        let error_code = ErrorCode::InvalidRequest as i16;
        return Ok(cx.reply(&ElectLeadersResponse { error_code, replica_election_results, ..Default::default() }));
    }
    let outcome = |topic: &str, index: i32| elect(&image, topic, index, request.election_type);
    let replica_election_results = match &request.topic_partitions {
        Some(asked) => asked.iter().map(|topic| elections(topic, &outcome)).collect(),
        None => image
            .topics()
            .map(|topic| {
                let all = TopicPartitions {
                    topic: topic.name.as_ref().into(),
                    partitions: (0..topic.partitions.len() as i32).collect(),
                };
                let mut result = elections(&all, &outcome);
                result.partition_result.retain(|one| one.error_code != ErrorCode::ElectionNotNeeded as i16);
                result
            })
            .collect(),
    };
    Ok(cx.reply(&ElectLeadersResponse { replica_election_results, ..Default::default() }))
}

type Elected = (ErrorCode, Option<String>);

fn elections(asked: &TopicPartitions<'_>, outcome: &dyn Fn(&str, i32) -> Elected) -> ReplicaElectionResult<'static> {
    let partitions = asked.partitions.iter().map(|index| {
        let (code, words) = outcome(&asked.topic, *index);
        PartitionResult { partition_id: *index, error_code: code as i16, error_message: words.map(Into::into) }
    });
    ReplicaElectionResult { topic: asked.topic.to_string().into(), partition_result: partitions.collect() }
}

/// A partition that has no leader has it because its only replica is away; no election finds another.
fn elect(image: &Image, topic: &str, index: i32, election_type: i8) -> Elected {
    const PREFERRED: i8 = 0;
    let Some(partition) = image.topic(topic).and_then(|topic| topic.partition(index)) else {
        return (ErrorCode::UnknownTopicOrPartition, Some(format!("there is no partition {topic}-{index}")));
    };
    let has_leader = partition.leader >= 0;
    match election_type {
        PREFERRED if partition.replicas.first() == Some(&partition.leader) => (ErrorCode::ElectionNotNeeded, None),
        PREFERRED => (ErrorCode::PreferredLeaderNotAvailable, None),
        _ if has_leader => (ErrorCode::ElectionNotNeeded, None),
        _ => (ErrorCode::EligibleLeadersNotAvailable, None),
    }
}

/// ListPartitionReassignments (KIP-455): none is ever under way.
pub(in crate::api) fn list_partition_reassignments(_: &Api, cx: &Context) -> Answer {
    cx.decode::<ListPartitionReassignmentsRequest<'_>>()?;
    Ok(cx.reply(&ListPartitionReassignmentsResponse { error_message: None, ..Default::default() }))
}

/// AlterPartitionReassignments (KIP-455): a partition may stay where it is.
pub(in crate::api) fn alter_partition_reassignments(api: &Api, cx: &Context) -> Answer {
    let request: AlterPartitionReassignmentsRequest<'_> = cx.decode()?;
    let image = api.router.image();
    let may_resize = cx.version == 0 || request.allow_replication_factor_change;
    let one = |topic: &ReassignableTopic<'_>, target: &ReassignablePartition| {
        let partition = image.topic(&topic.name).and_then(|topic| topic.partition(target.partition_index));
        let refused = reassign(&image, partition, target.replicas.as_deref(), may_resize).err();
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
    image: &Image,
    partition: Option<&Partition>,
    replicas: Option<&[i32]>,
    may_resize: bool,
) -> Result<(), Refused> {
    let refuse = |code, words: &str| Err((code, words.to_owned()));
    let Some(partition) = partition else {
        return refuse(ErrorCode::UnknownTopicOrPartition, "there is no such partition");
    };
    let Some(replicas) = replicas else {
        return refuse(ErrorCode::NoReassignmentInProgress, "no reassignment of this partition is under way");
    };
    if replicas.is_empty() {
        return refuse(ErrorCode::InvalidReplicaAssignment, "a partition needs a replica");
    }
    for (index, replica) in replicas.iter().enumerate() {
        if image.broker(*replica).is_none() {
            return Err((ErrorCode::InvalidReplicaAssignment, format!("broker {replica} is not registered")));
        }
        if replicas[..index].contains(replica) {
            return Err((ErrorCode::InvalidReplicaAssignment, format!("broker {replica} is named twice")));
        }
    }
    if !may_resize && replicas.len() != partition.replicas.len() {
        return refuse(ErrorCode::InvalidReplicationFactor, "the replication factor would change");
    }
    if replicas != partition.replicas {
        return refuse(ErrorCode::UnsupportedVersion, "replicas can't be moved by this release");
    }
    Ok(())
}

/// UpdateFeatures (KIP-584): a level may stay as it is. One error refuses the whole request; before version 2 a success
/// is told for each feature.
pub(in crate::api) fn update_features(api: &Api, cx: &Context) -> Answer {
    let request: UpdateFeaturesRequest<'_> = cx.decode()?;
    let image = api.router.image();
    let refused = request.feature_updates.iter().find_map(|update| update_feature(api, &image, update).err());
    if let Some((code, words)) = refused {
        let (error_code, error_message) = (code as i16, Some(words.into()));
        return Ok(cx.reply(&UpdateFeaturesResponse { error_code, error_message, ..Default::default() }));
    }
    let each = request
        .feature_updates
        .iter()
        .filter(|_| cx.version <= 1)
        .map(|update| UpdatableFeatureResult { feature: update.feature.as_ref().into(), ..Default::default() });
    Ok(cx.reply(&UpdateFeaturesResponse { results: each.collect(), error_message: None, ..Default::default() }))
}

fn update_feature(api: &Api, image: &Image, update: &FeatureUpdateKey<'_>) -> Result<(), Refused> {
    let (name, level) = (update.feature.as_ref(), update.max_version_level);
    let supported = supported_features(levels(&api.settings.said)).into_iter().find(|(known, ..)| *known == name);
    let Some((_, min, max)) = supported else {
        return Err((ErrorCode::InvalidUpdateVersion, format!("{name} is not a known feature")));
    };
    let now = if name == "kraft.version" { api.kraft_version } else { image.feature(name) };
    if now == level {
        return Ok(());
    }
    if !(min..=max).contains(&level) {
        let words = format!("{name} can't be {level}: levels {min} to {max} are supported");
        return Err((ErrorCode::InvalidUpdateVersion, words));
    }
    Err((ErrorCode::FeatureUpdateFailed, format!("this release can't change the level of {name}")))
}

/// UnregisterBroker (KIP-631): the only broker runs, and stays.
pub(in crate::api) fn unregister_broker(api: &Api, cx: &Context) -> Answer {
    let request: UnregisterBrokerRequest = cx.decode()?;
    let id = request.broker_id;
    let (code, words) = match api.router.image().broker(id) {
        None => (ErrorCode::BrokerIdNotRegistered, format!("broker {id} is not registered")),
        Some(_) => (ErrorCode::UnsupportedVersion, format!("broker {id} can't be unregistered by this release")),
    };
    let (error_code, error_message) = (code as i16, Some(words.into()));
    Ok(cx.reply(&UnregisterBrokerResponse { error_code, error_message, ..Default::default() }))
}
