//! A Produce response (versions 3 to 13) written topic by topic, without a message that holds all of it.

use crate::codec::{Encoder, Message};
use crate::generated::produce_response::{PartitionProduceResponse, ProduceResponse};
use crate::produce_walk::TOPIC_IDS_FROM;
use crate::uuid::Uuid;

/// Writes the body of a response behind what `e` holds: [`topic`](Self::topic) as often as was said, then
/// [`finish`](Self::finish).
#[derive(Debug)]
pub struct ProduceAnswer<'e> {
    e: &'e mut Encoder,
    version: i16,
    flex: bool,
}

impl<'e> ProduceAnswer<'e> {
    /// `topics` is how many follow.
    pub fn begin(e: &'e mut Encoder, version: i16, topics: usize) -> Self {
        let flex = version >= ProduceResponse::FLEXIBLE_FROM;
        e.length(flex, topics);
        Self { e, version, flex }
    }

    /// A topic and what became of each of its partitions. It is named by `name` or by `id`, as the version has it.
    pub fn topic<'a>(
        &mut self,
        name: &str,
        id: Uuid,
        partitions: impl ExactSizeIterator<Item = PartitionProduceResponse<'a>>,
    ) {
        if self.version >= TOPIC_IDS_FROM {
            self.e.uuid(id);
        } else {
            self.e.string(self.flex, name);
        }
        self.e.length(self.flex, partitions.len());
        for partition in partitions {
            partition.encode(self.e, self.version);
        }
        self.no_tags();
    }

    /// `throttle_time_ms` is how long the client is asked to stay away for its quota.
    pub fn finish(mut self, throttle_time_ms: i32) {
        self.e.i32(throttle_time_ms);
        self.no_tags();
    }

    fn no_tags(&mut self) {
        if self.flex {
            self.e.uvarint(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generated::produce_response::TopicProduceResponse;

    #[test]
    fn it_writes_what_the_message_would() {
        let partition = |index, error_message: Option<&'static str>| PartitionProduceResponse {
            index,
            error_code: i16::from(error_message.is_some()),
            base_offset: 1 << 40,
            log_append_time_ms: 5,
            log_start_offset: 3,
            error_message: error_message.map(Into::into),
            ..Default::default()
        };
        let topics = [
            ("a", Uuid(7), vec![partition(0, None), partition(9, Some("no"))]),
            ("empty", Uuid(8), vec![]),
            ("b", Uuid(9), vec![partition(-1, None)]),
        ];
        let topic = |(name, id, partitions): &(&'static str, Uuid, Vec<PartitionProduceResponse<'static>>)| {
            TopicProduceResponse { name: (*name).into(), topic_id: *id, partition_responses: partitions.clone() }
        };
        let responses = topics.iter().map(topic).collect();
        let message = ProduceResponse { responses, throttle_time_ms: 11, ..Default::default() };
        for version in ProduceResponse::MIN_VERSION..=ProduceResponse::MAX_VERSION {
            let mut expected = Encoder::new();
            message.encode(&mut expected, version);
            let mut e = Encoder::new();
            let mut answer = ProduceAnswer::begin(&mut e, version, topics.len());
            for (name, id, partitions) in &topics {
                answer.topic(name, *id, partitions.iter().cloned());
            }
            answer.finish(11);
            assert_eq!(e.buf, expected.buf, "version {version}");
        }
    }
}
