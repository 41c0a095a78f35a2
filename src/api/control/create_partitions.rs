//! CreatePartitions (key 37, KIP-195): more partitions for a topic.

use state::metadata::decide::{CreatePartitionsError, NewPartitions};
use wire::ErrorCode;
use wire::generated::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use wire::generated::create_partitions_response::{CreatePartitionsResponse, CreatePartitionsTopicResult};

use super::create_topics::assignment_words;
use super::request_error;
use crate::api::nodes::Nodes;
use crate::api::{Api, Context};

pub(super) async fn run(api: &Api, cx: &Context) -> Result<Vec<u8>, String> {
    let request: CreatePartitionsRequest<'_> = cx.decode()?;
    let topics: Vec<NewPartitions> = request.topics.iter().map(wanted).collect();
    let validate_only = request.validate_only;
    let created = api.controller().with(|controller| controller.create_partitions(&topics, validate_only));
    api.publish().await;
    let results = match created {
        Ok(answers) => answers
            .into_iter()
            .map(|(name, answer)| match answer {
                Ok(()) => result(name, ErrorCode::None, None),
                Err(error) => result(name, code(&error), Some(words(api.nodes, &error))),
            })
            .collect(),
        Err(error) => {
            let (code, text) = request_error(&error);
            topics.into_iter().map(|topic| result(topic.topic, code, Some(text.clone()))).collect()
        }
    };
    Ok(cx.reply(&CreatePartitionsResponse { results, ..Default::default() }).into_bytes())
}

fn wanted(topic: &CreatePartitionsTopic<'_>) -> NewPartitions {
    let assignments = topic.assignments.as_ref();
    NewPartitions {
        topic: topic.name.to_string(),
        count: topic.count,
        assignments: assignments.map(|all| all.iter().map(|one| one.broker_ids.clone()).collect()),
    }
}

fn result(name: String, code: ErrorCode, text: Option<String>) -> CreatePartitionsTopicResult<'static> {
    CreatePartitionsTopicResult { name: name.into(), error_code: code as i16, error_message: text.map(Into::into) }
}

fn words(nodes: Nodes, error: &CreatePartitionsError) -> String {
    match error {
        CreatePartitionsError::Assignment(error) => assignment_words(nodes, error),
        _ => error.to_string(),
    }
}

fn code(error: &CreatePartitionsError) -> ErrorCode {
    match error {
        CreatePartitionsError::Duplicate => ErrorCode::InvalidRequest,
        CreatePartitionsError::UnknownTopic => ErrorCode::UnknownTopicOrPartition,
        CreatePartitionsError::NotMore { .. } => ErrorCode::InvalidPartitions,
        CreatePartitionsError::Assignment(_) => ErrorCode::InvalidReplicaAssignment,
        CreatePartitionsError::Placement(_) => ErrorCode::InvalidReplicationFactor,
    }
}
