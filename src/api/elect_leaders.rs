//! ElectLeaders (key 43, KIP-183, KIP-460): a partition with one replica has the leader that it can have.

use state::metadata::Image;
use wire::ErrorCode;
use wire::generated::elect_leaders_request::TopicPartitions;
use wire::generated::elect_leaders_response::{ElectLeadersResponse, PartitionResult, ReplicaElectionResult};
use wire::messages::ElectLeadersRequest;

use super::{Api, Context};
use crate::net::Reply;

/// Without partitions it means all of them, and then tells only of those that wanted another leader.
pub(super) fn handle(api: &Api, cx: &Context) -> Result<Reply, String> {
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
