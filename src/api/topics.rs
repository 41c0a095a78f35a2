//! Finding the topic that a request names, by name or by id.

use std::rc::Rc;

use state::fetch_session::TopicKey;
use wire::ErrorCode;

use super::{Api, Context};
use crate::route::Topic;

/// Topics that only the broker itself writes to (`Topic.INTERNAL_TOPICS`).
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// A client of this name may write to internal topics, as Kafka's own tools do.
const ADMIN_CLIENT_ID: &str = "__admin_client";

pub(super) fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// The topic that a request means, and the code for a partition that it does not have. A topic that does not exist has
/// no partitions.
pub(super) fn find(api: &Api, key: TopicKey<'_>) -> (Rc<Topic>, ErrorCode) {
    let known = match key {
        TopicKey::Name(name) => api.router.topic(name),
        TopicKey::Id(id) => api.router.topic_by_id(&id),
    };
    match (known, key) {
        (Some(topic), _) => (topic, ErrorCode::UnknownTopicOrPartition),
        (None, TopicKey::Name(name)) => (Rc::new(Topic::unknown_name(name)), ErrorCode::UnknownTopicOrPartition),
        (None, TopicKey::Id(id)) => (Rc::new(Topic::unknown_id(id)), ErrorCode::UnknownTopicId),
    }
}

/// Refuses clients that write to the broker's own topics.
pub(super) fn check_writable(name: &str, cx: &Context) -> Result<(), (ErrorCode, Option<String>)> {
    if is_internal(name) && cx.client_id().as_deref() != Some(ADMIN_CLIENT_ID) {
        return Err((ErrorCode::InvalidTopicException, Some(format!("{name} is written by the broker only"))));
    }
    Ok(())
}
