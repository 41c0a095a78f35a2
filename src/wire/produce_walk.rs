//! A Produce request read in place (versions 3 to 13): the record batches stay where they were received.

use std::ops::Range;

use crate::codec::{DecodeError, Decoder};
use crate::messages::ProduceRequest;
use crate::walk::{Shape, Topics, Walked};

/// The first version that names topics by their id (KIP-516).
pub(crate) const TOPIC_IDS_FROM: i16 = 13;

/// A Produce request, checked to its last byte; nothing of it is copied.
#[derive(Debug, Clone)]
pub struct ProduceWalk<'a> {
    pub version: i16,
    pub transactional_id: Option<&'a str>,
    pub acks: i16,
    pub timeout_ms: i32,
    topics: Topics<'a, ProducePartition<'a>>,
    partition_count: usize,
}

/// The record batches for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducePartition<'a> {
    pub index: i32,
    /// `None` is null, which Kafka's schema allows and a broker must answer.
    pub records: Option<&'a [u8]>,
    /// Where `records` lie, as indexes of the frame that the decoder was made over; empty when they are null.
    pub range: Range<usize>,
}

impl<'a> ProduceWalk<'a> {
    /// Walks the body that begins where `d` stands and ends where its frame ends.
    pub fn new(mut d: Decoder<'a>, version: i16) -> Result<Self, DecodeError> {
        if !(ProduceRequest::MIN_VERSION..=ProduceRequest::MAX_VERSION).contains(&version) {
            return Err(DecodeError::UnsupportedVersion);
        }
        let flex = version >= ProduceRequest::FLEXIBLE_FROM;
        let transactional_id = d.opt_str(flex, true)?;
        let acks = d.i16()?;
        let timeout_ms = d.i32()?;
        let shape = Shape { version, flex, by_id: version >= TOPIC_IDS_FROM };
        let (topics, partition_count) = Topics::check(&mut d, shape)?;
        if flex {
            d.skip_tags()?;
        }
        d.finish()?;
        Ok(ProduceWalk { version, transactional_id, acks, timeout_ms, topics, partition_count })
    }

    pub fn topics(&self) -> Topics<'a, ProducePartition<'a>> {
        self.topics.clone()
    }

    /// Partitions of all topics together.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }
}

impl<'a> Walked<'a> for ProducePartition<'a> {
    const MIN_SIZE: usize = 5;

    fn read(d: &mut Decoder<'a>, shape: Shape) -> Result<Self, DecodeError> {
        let index = d.i32()?;
        let records = d.opt_slice(shape.flex, true)?;
        let end = d.position();
        if shape.flex {
            d.skip_tags()?;
        }
        Ok(ProducePartition { index, records, range: end - records.map_or(0, <[u8]>::len)..end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Encoder, Message, Records};
    use crate::generated::produce_request::{PartitionProduceData, TopicProduceData};
    use crate::uuid::Uuid;

    fn request(version: i16) -> ProduceRequest<'static> {
        let by_id = version >= TOPIC_IDS_FROM;
        let topic = |name: &'static str, id, partitions: &[(i32, Records<'static>)]| TopicProduceData {
            name: if by_id { "".into() } else { name.into() },
            topic_id: if by_id { Uuid(id) } else { Uuid::ZERO },
            partition_data: partitions
                .iter()
                .map(|&(index, records)| PartitionProduceData { index, records })
                .collect(),
        };
        ProduceRequest {
            transactional_id: Some("tx".into()),
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![
                topic("a", 1, &[(0, Records::Bytes(b"first")), (7, Records::Null)]),
                topic("empty", 2, &[]),
                topic("b", 3, &[(i32::MAX, Records::Bytes(b""))]),
            ],
        }
    }

    #[test]
    fn a_walk_sees_what_the_message_holds_in_every_version() {
        for version in ProduceRequest::MIN_VERSION..=ProduceRequest::MAX_VERSION {
            let expected = request(version);
            let mut e = Encoder::new();
            e.raw(b"header");
            expected.encode(&mut e, version);
            let mut d = Decoder::new(&e.buf);
            d.skip(6).unwrap();
            let walk = ProduceWalk::new(d, version).unwrap();
            assert_eq!((walk.transactional_id, walk.acks, walk.timeout_ms), (Some("tx"), -1, 30_000));
            assert_eq!(walk.partition_count(), 3);
            assert_eq!(walk.topics().len(), 3);
            for (topic, expected) in walk.topics().zip(&expected.topic_data) {
                assert_eq!((topic.name, topic.topic_id), (&*expected.name, expected.topic_id));
                assert_eq!(topic.partitions.len(), expected.partition_data.len());
                for (partition, expected) in topic.partitions.zip(&expected.partition_data) {
                    assert_eq!(partition.index, expected.index);
                    assert_eq!(partition.records, expected.records.bytes());
                    assert_eq!(&e.buf[partition.range], expected.records.bytes().unwrap_or_default());
                }
            }
        }
    }

    #[test]
    fn a_cut_or_longer_body_is_refused() {
        for version in ProduceRequest::MIN_VERSION..=ProduceRequest::MAX_VERSION {
            let mut e = Encoder::new();
            request(version).encode(&mut e, version);
            for cut in 0..e.buf.len() {
                assert!(ProduceWalk::new(Decoder::new(&e.buf[..cut]), version).is_err(), "v{version} cut at {cut}");
            }
            e.i8(0);
            let longer = ProduceWalk::new(Decoder::new(&e.buf), version);
            assert_eq!(longer.unwrap_err(), DecodeError::TrailingBytes);
        }
        let unsupported = ProduceWalk::new(Decoder::new(&[]), 2);
        assert_eq!(unsupported.unwrap_err(), DecodeError::UnsupportedVersion);
    }
}
