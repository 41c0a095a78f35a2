//! CreateTopics (key 19), and the creation of topics that a Metadata request names.

use state::metadata::decide::{AssignmentError, CreateTopic, CreateTopicError};
use state::metadata::{Image, ResourceType};
use wire::ErrorCode;
use wire::generated::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use wire::generated::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse};

use super::request_error;
use crate::api::nodes::Nodes;
use crate::api::{Api, Context};
use crate::calls::CreateRefused;
use crate::config::describe;
use crate::config::layers::{Layers, Map};
use crate::groups::OFFSETS_TOPIC;

pub(super) async fn run(api: &Api, cx: &Context) -> Result<Vec<u8>, String> {
    let request: CreateTopicsRequest<'_> = cx.decode()?;
    let topics: Vec<CreateTopic> = request.topics.iter().map(wanted).collect();
    let created = api.controller().with(|controller| controller.create_topics(&topics, request.validate_only));
    api.publish().await;
    let image = api.controller().image();
    let results = match created {
        Ok(answers) => answers
            .into_iter()
            .map(|(name, answer)| match answer {
                Ok(done) => CreatableTopicResult {
                    topic_id: if request.validate_only { wire::Uuid::ZERO } else { done.id },
                    num_partitions: done.num_partitions,
                    replication_factor: done.replication_factor,
                    configs: Some(configs(api, &image, &name, &topics)),
                    name: name.into(),
                    ..Default::default()
                },
                Err(error) => refused(name, code(&error), words(api.nodes, &error)),
            })
            .collect(),
        Err(error) => {
            let (code, text) = request_error(&error);
            topics.iter().map(|topic| refused(topic.name.clone(), code, text.clone())).collect()
        }
    };
    Ok(cx.reply(&CreateTopicsResponse { topics: results, ..Default::default() }).into_bytes())
}

/// Creates what a Metadata request named, with the broker's defaults. Returns those that could not be created.
pub(super) async fn auto(api: &Api, names: Vec<String>) -> Vec<(String, CreateRefused)> {
    create(api, names.into_iter().map(|name| by_default(api, name)).collect()).await
}

/// Creates a topic of the broker's own.
pub(super) async fn internal(api: &Api, topic: &str) -> Vec<(String, CreateRefused)> {
    let refused = create(api, vec![by_default(api, topic.to_owned())]).await;
    for (name, why) in &refused {
        crate::metrics::log::error(format_args!("{name} could not be created: {}", told(why)));
    }
    refused
}

/// A topic that nobody described (`AutoTopicCreationManager`).
fn by_default(api: &Api, name: String) -> CreateTopic {
    let (mut num_partitions, mut replication_factor, mut configs) = (-1, -1, Vec::new());
    if name == OFFSETS_TOPIC {
        num_partitions = api.settings.groups.offsets_topic.num_partitions;
        replication_factor = api.settings.groups.offsets_topic.replication_factor;
        configs = vec![
            ("cleanup.policy".into(), Some("compact".into())),
            ("compression.type".into(), Some("producer".into())),
            ("segment.bytes".into(), Some(api.settings.groups.offsets_topic.segment_bytes.to_string())),
        ];
    }
    CreateTopic { name, num_partitions, replication_factor, assignments: Vec::new(), configs }
}

fn told(why: &CreateRefused) -> &str {
    match why {
        CreateRefused::InvalidName => "its name is not valid, or too similar to another",
        CreateRefused::Other(text) => text,
    }
}

async fn create(api: &Api, topics: Vec<CreateTopic>) -> Vec<(String, CreateRefused)> {
    let created = api.controller().with(|controller| controller.create_topics(&topics, false));
    api.publish().await;
    let answers = match created {
        Ok(answers) => answers,
        Err(error) => {
            let why = CreateRefused::Other(request_error(&error).1);
            return topics.into_iter().map(|topic| (topic.name, why.clone())).collect();
        }
    };
    let refused = answers.into_iter().filter_map(|(name, answer)| match answer.err()? {
        // Another request was faster.
        CreateTopicError::Exists => None,
        CreateTopicError::Name(_) | CreateTopicError::Similar(_) => Some((name, CreateRefused::InvalidName)),
        error => Some((name, CreateRefused::Other(words(api.nodes, &error)))),
    });
    refused.collect()
}

fn wanted(topic: &CreatableTopic<'_>) -> CreateTopic {
    CreateTopic {
        name: topic.name.to_string(),
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic.assignments.iter().map(|one| (one.partition_index, one.broker_ids.clone())).collect(),
        configs: topic
            .configs
            .iter()
            .map(|one| (one.name.to_string(), one.value.as_deref().map(str::to_owned)))
            .collect(),
    }
}

/// All configs that the new topic has (version 5 and newer tell).
fn configs(api: &Api, image: &Image, name: &str, topics: &[CreateTopic]) -> Vec<CreatableTopicConfigs<'static>> {
    // Of a topic that was only validated nothing is in the image.
    let asked = topics.iter().find(|topic| topic.name == name);
    let overrides: Map = match image.configs(ResourceType::Topic, name) {
        Some(configs) => configs.clone(),
        None => asked
            .into_iter()
            .flat_map(|topic| &topic.configs)
            .filter_map(|(k, v)| Some((k.clone(), v.clone()?)))
            .collect(),
    };
    let described = describe::topic(&Layers::of(&api.settings, image), &overrides, None);
    let each = described.into_iter().map(|one| CreatableTopicConfigs {
        name: one.name.into(),
        value: one.value.map(Into::into),
        read_only: one.read_only,
        config_source: one.source as i8,
        is_sensitive: one.sensitive,
    });
    each.collect()
}

fn refused(name: String, code: ErrorCode, text: String) -> CreatableTopicResult<'static> {
    CreatableTopicResult {
        name: name.into(),
        error_code: code as i16,
        error_message: Some(text.into()),
        ..Default::default()
    }
}

fn words(nodes: Nodes, error: &CreateTopicError) -> String {
    match error {
        CreateTopicError::Assignment(error) => assignment_words(nodes, error),
        _ => error.to_string(),
    }
}

/// An id that clients know may be no broker's.
pub(super) fn assignment_words(nodes: Nodes, error: &AssignmentError) -> String {
    match error {
        AssignmentError::UnknownBroker(id) if nodes.is_own(*id) => {
            let broker = nodes.broker_of(*id);
            format!(
                "{id} is a shard of broker {broker}; replicas are assigned to brokers, and each topic's id to shards"
            )
        }
        _ => error.to_string(),
    }
}

fn code(error: &CreateTopicError) -> ErrorCode {
    match error {
        CreateTopicError::Exists => ErrorCode::TopicAlreadyExists,
        CreateTopicError::Name(_) | CreateTopicError::Similar(_) => ErrorCode::InvalidTopicException,
        CreateTopicError::NullConfigs(_) | CreateTopicError::Config(_) => ErrorCode::InvalidConfig,
        CreateTopicError::NumPartitions(_) => ErrorCode::InvalidPartitions,
        CreateTopicError::ReplicationFactor(_) | CreateTopicError::Placement(_) => ErrorCode::InvalidReplicationFactor,
        CreateTopicError::Assignment(_) => ErrorCode::InvalidReplicaAssignment,
        CreateTopicError::Duplicate | CreateTopicError::Reserved | CreateTopicError::CountsWithAssignments => {
            ErrorCode::InvalidRequest
        }
    }
}
