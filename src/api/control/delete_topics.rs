//! DeleteTopics (key 20): gone for clients at once, the files follow.

use state::metadata::decide::{DeleteTopic, DeleteTopicError};
use wire::generated::delete_topics_request::DeleteTopicsRequest;
use wire::generated::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use wire::{ErrorCode, Uuid};

use super::request_error;
use crate::api::{Api, Context};

/// From this version on topics are a list of names or ids.
const STRUCTURED_FROM: i16 = 6;

pub(super) async fn run(api: &Api, cx: &Context) -> Result<Vec<u8>, String> {
    let request: DeleteTopicsRequest<'_> = cx.decode()?;
    let topics: Vec<DeleteTopic> = if cx.version >= STRUCTURED_FROM {
        let topics = request.topics.iter();
        topics.map(|one| DeleteTopic { name: one.name.as_deref().map(str::to_owned), id: one.topic_id }).collect()
    } else {
        let names = request.topic_names.iter();
        names.map(|name| DeleteTopic { name: Some(name.to_string()), id: Uuid::ZERO }).collect()
    };
    if !api.settings.delete_topic_enable {
        let code = if cx.version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
        return Ok(reply(cx, topics.into_iter().map(|topic| result(topic.name, topic.id, code, None)).collect()));
    }
    let deleted = api.controller().with(|controller| controller.delete_topics(&topics));
    api.publish().await;
    let results = match deleted {
        Ok(answers) => answers
            .into_iter()
            .map(|one| match one.result {
                Ok(()) => result(one.name, one.id, ErrorCode::None, None),
                Err(error) => result(one.name, one.id, code(error), Some(error.to_string())),
            })
            .collect(),
        Err(error) => {
            let (code, text) = request_error(&error);
            topics.into_iter().map(|topic| result(topic.name, topic.id, code, Some(text.clone()))).collect()
        }
    };
    Ok(reply(cx, results))
}

fn reply(cx: &Context, responses: Vec<DeletableTopicResult<'static>>) -> Vec<u8> {
    cx.reply(&DeleteTopicsResponse { responses, ..Default::default() }).into_bytes()
}

fn result(
    name: Option<String>,
    topic_id: Uuid,
    code: ErrorCode,
    text: Option<String>,
) -> DeletableTopicResult<'static> {
    DeletableTopicResult {
        name: name.map(Into::into),
        topic_id,
        error_code: code as i16,
        error_message: text.map(Into::into),
    }
}

fn code(error: DeleteTopicError) -> ErrorCode {
    match error {
        DeleteTopicError::UnknownName => ErrorCode::UnknownTopicOrPartition,
        DeleteTopicError::UnknownId => ErrorCode::UnknownTopicId,
        DeleteTopicError::NeitherNameNorId
        | DeleteTopicError::NameAndId
        | DeleteTopicError::DuplicateName
        | DeleteTopicError::DuplicateId
        | DeleteTopicError::NameOfId => ErrorCode::InvalidRequest,
    }
}
