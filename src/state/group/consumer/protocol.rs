//! What members of the classic protocol pack into it: subscriptions and assignments of consumers, each after an int16
//! version (Kafka's `ConsumerProtocol`).

use wire::generated::consumer_protocol_assignment::{self as assignment, ConsumerProtocolAssignment};
use wire::generated::consumer_protocol_subscription::ConsumerProtocolSubscription;
use wire::{DecodeError, Decoder, Encoder, Message, Uuid};

use super::assignor::Partitions;
use crate::metadata::Image;

/// The protocol type of consumers.
pub(super) const PROTOCOL_TYPE: &str = "consumer";

pub(super) fn subscription(bytes: &[u8]) -> Result<ConsumerProtocolSubscription, DecodeError> {
    let mut d = Decoder::new(bytes);
    let version = version(&mut d, ConsumerProtocolSubscription::MAX_VERSION)?;
    ConsumerProtocolSubscription::decode(&mut d, version)
}

pub(super) fn assignment(bytes: &[u8]) -> Result<ConsumerProtocolAssignment, DecodeError> {
    let mut d = Decoder::new(bytes);
    let version = version(&mut d, ConsumerProtocolAssignment::MAX_VERSION)?;
    ConsumerProtocolAssignment::decode(&mut d, version)
}

/// An assignment in the version of the member's own metadata. Topics that are gone are left out.
pub(super) fn encode_assignment<'a>(
    partitions: impl Iterator<Item = (&'a Uuid, Vec<i32>)>,
    metadata: &[u8],
    image: &Image,
) -> Result<Vec<u8>, DecodeError> {
    let version = version(&mut Decoder::new(metadata), ConsumerProtocolAssignment::MAX_VERSION)?;
    let mut message = ConsumerProtocolAssignment { assigned_partitions: Vec::new(), user_data: None };
    for (topic, partitions) in partitions {
        if let Some(name) = image.topic_name(topic) {
            let topic = assignment::TopicPartition { topic: name.as_ref().into(), partitions };
            message.assigned_partitions.push(topic);
        }
    }
    let mut e = Encoder::new();
    e.i16(version);
    message.encode(&mut e, version);
    Ok(e.buf)
}

/// By topic id; topics that are gone are left out.
pub(super) fn partitions_of(assignment: &ConsumerProtocolAssignment, image: &Image) -> Partitions {
    let mut partitions = Partitions::new();
    for assigned in &assignment.assigned_partitions {
        if let Some(topic) = image.topic(&assigned.topic)
            && !assigned.partitions.is_empty()
        {
            partitions.entry(topic.id).or_default().extend(&assigned.partitions);
        }
    }
    partitions
}

/// What a subscription says the member owns.
pub(super) fn owned_of(subscription: &ConsumerProtocolSubscription, image: &Image) -> Vec<(Uuid, Vec<i32>)> {
    let mut owned = Vec::new();
    for of_topic in &subscription.owned_partitions {
        if let Some(topic) = image.topic(&of_topic.topic) {
            owned.push((topic.id, of_topic.partitions.clone()));
        }
    }
    owned
}

/// Newer versions than the newest that is known are read as that one.
fn version(d: &mut Decoder<'_>, newest: i16) -> Result<i16, DecodeError> {
    let version = d.i16()?;
    if version < 0 { Err(DecodeError::UnsupportedVersion) } else { Ok(version.min(newest)) }
}
