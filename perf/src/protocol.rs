//! The few requests a load needs, as whole frames with their size prefix, and the answers to them.
//!
//! Versions are those that a Kafka 4 client speaks: topics by their id in Produce and Fetch. Answers to these two are walked,
//! not built: a load meets hundreds of thousands of them in a second, and most of what a Fetch answers is dropped unseen.

use std::ops::Range;

use wire::generated::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use wire::generated::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use wire::generated::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use wire::generated::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use wire::generated::metadata_request::{MetadataRequest, MetadataRequestTopic};
use wire::generated::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use wire::header::{RequestHeader, decode_response_header, encode_response_header};
use wire::{ApiKey, Decoder, Encoder, Message, Records, Request, Uuid};

use crate::failure::Failure;

pub(crate) const PRODUCE: i16 = 13;
pub(crate) const FETCH: i16 = 17;
pub(crate) const LIST_OFFSETS: i16 = 7;
pub(crate) const METADATA: i16 = 12;
pub(crate) const API_VERSIONS: i16 = 3;
pub(crate) const CREATE_TOPICS: i16 = 7;
pub(crate) const DELETE_TOPICS: i16 = 6;
pub(crate) const INIT_PRODUCER_ID: i16 = 4;

/// Where the correlation id stands in every request frame.
pub(crate) const CORRELATION_AT: usize = 8;
/// The most that [`produced`] and [`fetched`] look at.
pub(crate) const HEAD_MAX: usize = 128;
const TIMEOUT_MS: i32 = 30_000;
/// The ListOffsets timestamp that stands for the log end.
const LATEST: i64 = -1;

/// A request as it goes out, correlation id 0.
pub(crate) fn frame<'a, R: Request<'a>>(version: i16, request: &R) -> Vec<u8> {
    let mut e = Encoder::new();
    e.begin_frame();
    let client_id = Some("perf".into());
    RequestHeader { api_key: R::KEY as i16, api_version: version, correlation_id: 0, client_id }
        .encode(&mut e, R::KEY.request_header_version(version));
    request.encode(&mut e, version);
    e.end_frame();
    e.buf
}

/// An answer from its correlation id on.
pub(crate) fn answer<'a, M: Message<'a>>(key: ApiKey, version: i16, bytes: &'a [u8]) -> Result<M, Failure> {
    let mut d = Decoder::new(bytes);
    decode_response_header(&mut d, key.response_header_version(version))?;
    Ok(M::decode(&mut d, version)?)
}

/// The frame of an answer, for the null broker.
pub(crate) fn answer_frame<'a, M: Message<'a>>(key: ApiKey, version: i16, correlation_id: i32, body: &M) -> Encoder {
    let mut e = Encoder::new();
    e.begin_frame();
    encode_response_header(&mut e, correlation_id, key.response_header_version(version));
    body.encode(&mut e, version);
    e.end_frame();
    e
}

/// A Produce request with one batch for one partition, and where the batch starts in the frame.
pub(crate) fn produce(topic_id: Uuid, partition: i32, acks: i16, batch: &[u8]) -> (Vec<u8>, usize) {
    let data = PartitionProduceData { index: partition, records: Records::Bytes(batch) };
    let topic = TopicProduceData { topic_id, partition_data: vec![data], ..Default::default() };
    let request = ProduceRequest { acks, timeout_ms: TIMEOUT_MS, topic_data: vec![topic], ..Default::default() };
    let frame = frame(PRODUCE, &request);
    const TAGS_OF_PARTITION_TOPIC_REQUEST: usize = 3;
    let at = frame.len() - TAGS_OF_PARTITION_TOPIC_REQUEST - batch.len();
    (frame, at)
}

/// What became of the one batch.
pub(crate) struct Produced {
    pub(crate) error_code: i16,
    pub(crate) base_offset: i64,
}

/// `head`: the answer from its correlation id on, or its first [`HEAD_MAX`] bytes.
pub(crate) fn produced(head: &[u8]) -> Result<(i32, Produced), Failure> {
    let mut d = Decoder::new(head);
    let correlation_id = decode_response_header(&mut d, 1)?;
    one(&mut d)?;
    d.uuid()?;
    one(&mut d)?;
    d.i32()?;
    Ok((correlation_id, Produced { error_code: d.i16()?, base_offset: d.i64()? }))
}

/// What one Fetch asks for.
pub(crate) struct Wanted {
    pub(crate) max_wait_ms: i32,
    pub(crate) max_bytes: i32,
}

pub(crate) fn fetch_request(topic_id: Uuid, partition: i32, offset: i64, wanted: &Wanted) -> FetchRequest<'static> {
    let partition = FetchPartition {
        partition,
        current_leader_epoch: -1,
        fetch_offset: offset,
        last_fetched_epoch: -1,
        log_start_offset: -1,
        partition_max_bytes: wanted.max_bytes,
        ..Default::default()
    };
    FetchRequest {
        replica_id: -1,
        max_wait_ms: wanted.max_wait_ms,
        min_bytes: 1,
        max_bytes: wanted.max_bytes,
        session_id: 0,
        session_epoch: -1, // outside of any session
        topics: vec![FetchTopic { topic_id, partitions: vec![partition], ..Default::default() }],
        ..Default::default()
    }
}

/// The frame of such a request, and where the fetch offset stands in it.
pub(crate) fn fetch(topic_id: Uuid, partition: i32, wanted: &Wanted) -> (Vec<u8>, usize) {
    // Two frames that differ in nothing but every byte of the offset show where it is.
    let zero = frame(FETCH, &fetch_request(topic_id, partition, 0, wanted));
    let ones = frame(FETCH, &fetch_request(topic_id, partition, -1, wanted));
    let at = zero.iter().zip(&ones).position(|(a, b)| a != b).unwrap_or_default();
    (zero, at)
}

/// The one partition of a Fetch answer.
pub(crate) struct Fetched {
    pub(crate) error_code: i16,
    pub(crate) records_size: usize,
    /// Where the records start, counted from the correlation id.
    pub(crate) records_at: usize,
}

/// `head`: as for [`produced`].
pub(crate) fn fetched(head: &[u8]) -> Result<(i32, Fetched), Failure> {
    let mut d = Decoder::new(head);
    let correlation_id = decode_response_header(&mut d, 1)?;
    d.i32()?; // throttle time
    let error_code = d.i16()?;
    d.i32()?; // session
    if error_code != 0 {
        return Ok((correlation_id, Fetched { error_code, records_size: 0, records_at: 0 }));
    }
    one(&mut d)?;
    d.uuid()?;
    one(&mut d)?;
    d.i32()?;
    let error_code = d.i16()?;
    d.skip(3 * 8)?; // high watermark, last stable offset, log start offset
    if d.uvarint()? > 1 {
        return Err(Failure::Malformed("aborted transactions were not asked for"));
    }
    d.i32()?; // preferred read replica
    let records_size = d.uvarint()?.saturating_sub(1) as usize;
    Ok((correlation_id, Fetched { error_code, records_size, records_at: d.position() }))
}

/// A compact array of one element begins.
pub(crate) fn one(d: &mut Decoder<'_>) -> Result<(), Failure> {
    if d.uvarint()? == 2 { Ok(()) } else { Err(Failure::Malformed("one topic and one partition were asked for")) }
}

pub(crate) fn create_topic<'a>(
    name: &'a str,
    partitions: i32,
    config: &'a [(String, String)],
) -> CreateTopicsRequest<'a> {
    let configs = config
        .iter()
        .map(|(name, value)| CreatableTopicConfig { name: name.as_str().into(), value: Some(value.as_str().into()) });
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.collect(),
        ..Default::default()
    };
    CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, validate_only: false }
}

pub(crate) fn delete_topic(name: &str) -> DeleteTopicsRequest<'_> {
    let topics = vec![DeleteTopicState { name: Some(name.into()), topic_id: Uuid::ZERO }];
    DeleteTopicsRequest { topics, timeout_ms: TIMEOUT_MS, ..Default::default() }
}

pub(crate) fn metadata(topic: &str) -> MetadataRequest<'_> {
    let topic = MetadataRequestTopic { name: Some(topic.into()), ..Default::default() };
    MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: false, ..Default::default() }
}

pub(crate) fn log_end_offsets(topic: &str, partitions: Range<i32>) -> ListOffsetsRequest<'_> {
    let partitions = partitions.map(|partition_index| ListOffsetsPartition {
        partition_index,
        current_leader_epoch: -1,
        timestamp: LATEST,
    });
    let topic = ListOffsetsTopic { name: topic.into(), partitions: partitions.collect() };
    ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::messages::{FetchResponse, ProduceResponse};

    #[test]
    fn patched_places_are_what_they_are_called() {
        let (frame, at) = produce(Uuid(7), 3, 1, b"batch of bytes");
        assert_eq!(&frame[at..][..14], b"batch of bytes");
        assert_eq!(frame[CORRELATION_AT..][..4], [0; 4]);
        let (mut frame, at) = fetch(Uuid(7), 3, &Wanted { max_wait_ms: 0, max_bytes: 1 });
        frame[at..][..8].copy_from_slice(&0x0102_0304_0506_0708u64.to_be_bytes());
        let mut d = Decoder::new(&frame[4..]);
        RequestHeader::decode(&mut d, 2).unwrap();
        let request = FetchRequest::decode(&mut d, FETCH).unwrap();
        assert_eq!(request.topics[0].partitions[0].fetch_offset, 0x0102_0304_0506_0708);
    }

    #[test]
    fn walks_agree_with_the_messages() {
        use wire::generated::fetch_response::{FetchableTopicResponse, PartitionData};
        use wire::generated::produce_response::{PartitionProduceResponse, TopicProduceResponse};
        let partition = PartitionProduceResponse { error_code: 6, base_offset: 9, ..Default::default() };
        let topic = TopicProduceResponse { partition_responses: vec![partition], ..Default::default() };
        let body = ProduceResponse { responses: vec![topic], ..Default::default() };
        let frame = answer_frame(ApiKey::Produce, PRODUCE, 5, &body).buf;
        let (correlation_id, seen) = produced(&frame[4..]).unwrap();
        assert_eq!((correlation_id, seen.error_code, seen.base_offset), (5, 6, 9));

        let partition = PartitionData { records: Records::Bytes(&[1, 2, 3]), ..Default::default() };
        let topic = FetchableTopicResponse { partitions: vec![partition], ..Default::default() };
        let body = FetchResponse { responses: vec![topic], ..Default::default() };
        let frame = answer_frame(ApiKey::Fetch, FETCH, 5, &body).buf;
        let (correlation_id, seen) = fetched(&frame[4..]).unwrap();
        assert_eq!((correlation_id, seen.error_code, seen.records_size), (5, 0, 3));
        assert_eq!(frame[4 + seen.records_at..][..3], [1, 2, 3]);
    }
}
