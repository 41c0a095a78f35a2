//! The other end of the load's own limit: receives, answers, keeps nothing.
//!
//! It understands what `perf produce` and `perf fetch` send, and only that: every topic exists and has [`PARTITIONS`] partitions.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use wire::generated::create_topics_response::{CreatableTopicResult, CreateTopicsResponse};
use wire::generated::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use wire::generated::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};
use wire::generated::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use wire::generated::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use wire::generated::produce_response::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};
use wire::header::RequestHeader;
use wire::messages::{ApiVersionsResponse, FetchRequest, ListOffsetsRequest, MetadataRequest};
use wire::records::Codec;
use wire::{ApiKey, Decoder, Encoder, Message, Records, Uuid};

use crate::batch;
use crate::failure::{Doing, Failure};
use crate::lanes::poll_once;
use crate::protocol::answer_frame;
use crate::replies::Replies;

const PARTITIONS: i32 = 64;
/// Every log's end: nobody gets there.
const END: i64 = 1 << 40;
const CONNECTIONS_MAX: usize = 4096;
const HEAD_MAX: usize = 512;
const LISTENER: Token = Token(usize::MAX);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long, default_value = "127.0.0.1:9092")]
    listen: SocketAddr,
    /// Bytes of records in every Fetch answer, about
    #[arg(long, default_value_t = 1 << 20)]
    fetch_size: usize,
    /// Ends after this many seconds
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut poll = Poll::new().doing("create a poll")?;
    let mut listener = TcpListener::bind(args.listen).doing("listen")?;
    let address = listener.local_addr().doing("ask for the port")?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).doing("register the listener")?;
    let batch = batch::build(64, 1024, 0, Codec::None)?;
    let blob = batch.repeat((args.fetch_size / batch.len()).max(1));
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; 256 << 10];
    let end = std::time::Instant::now() + Duration::from_secs(args.seconds);
    while std::time::Instant::now() < end {
        poll_once(&mut poll, &mut events, Duration::from_millis(100))?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut connections)?;
                continue;
            }
            let Some(slot) = connections.get_mut(event.token().0) else { continue };
            let Some(connection) = slot else { continue };
            if connection.serve(address, &mut scratch, &blob).is_err() {
                *slot = None; // it went away, or speaks something else
            }
        }
    }
    Ok(())
}

fn accept(poll: &Poll, listener: &TcpListener, connections: &mut Vec<Option<Connection>>) -> Result<(), Failure> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Failure::Io("accept", error)),
        };
        let slot = connections.iter().position(Option::is_none).unwrap_or(connections.len());
        if slot >= CONNECTIONS_MAX {
            continue;
        }
        stream.set_nodelay(true).doing("set TCP_NODELAY")?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(slot), both).doing("register a socket")?;
        let connection = Connection { stream, requests: Replies::new(HEAD_MAX), answers: Answers::default() };
        if slot == connections.len() {
            connections.push(None);
        }
        connections[slot] = Some(connection);
    }
}

struct Connection {
    stream: TcpStream,
    requests: Replies,
    answers: Answers,
}

#[derive(Default)]
struct Answers {
    out: Vec<u8>,
    /// Bytes of the blob still to be sent after `out`.
    blob_left: usize,
    /// What follows the blob.
    tail: Vec<u8>,
    /// The answer to this connection's Produce, but for its correlation id.
    produced: Vec<u8>,
}

impl Connection {
    fn serve(&mut self, address: SocketAddr, scratch: &mut [u8], blob: &[u8]) -> Result<(), Failure> {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return Err(Failure::Malformed("end")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(Failure::Io("receive", error)),
            };
            let answers = &mut self.answers;
            self.requests.feed(&scratch[..count], |head, _| answers.add(head, address, blob.len()))?;
            self.send(blob)?;
            if count < scratch.len() {
                return Ok(());
            }
        }
    }

    fn send(&mut self, blob: &[u8]) -> Result<(), Failure> {
        let Answers { out, blob_left, tail, .. } = &mut self.answers;
        while !out.is_empty() || *blob_left > 0 {
            let bytes = if out.is_empty() { &blob[blob.len() - *blob_left..] } else { out.as_slice() };
            match self.stream.write(bytes) {
                Ok(count) if out.is_empty() => {
                    *blob_left -= count;
                    if *blob_left == 0 {
                        std::mem::swap(out, tail);
                    }
                }
                Ok(count) => drop(out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::Io("send", error)),
            }
        }
        Ok(())
    }
}

impl Answers {
    fn add(&mut self, head: &[u8], address: SocketAddr, blob: usize) -> Result<(), Failure> {
        let mut d = Decoder::new(head);
        let known = RequestHeader::peek(head).and_then(|(key, version)| Some((ApiKey::from_i16(key)?, version)));
        let (key, version) = known.ok_or(Failure::Malformed("an unknown request"))?;
        let header = RequestHeader::decode(&mut d, key.request_header_version(version))?;
        if key == ApiKey::Produce && !self.produced.is_empty() {
            let at = self.out.len();
            self.out.extend_from_slice(&self.produced);
            self.out[at + 4..at + 8].copy_from_slice(&header.correlation_id.to_be_bytes());
            return Ok(());
        }
        let frame = one_answer(key, version, header.correlation_id, &mut d, address, blob)?;
        if key == ApiKey::Produce {
            self.produced.clone_from(&frame.buf);
        }
        // One Fetch is out at a time on a connection, so there is one blob at most.
        let cut = frame.splices.first().map_or(frame.buf.len(), |splice| splice.at);
        self.out.extend_from_slice(&frame.buf[..cut]);
        self.tail.extend_from_slice(&frame.buf[cut..]);
        self.blob_left += frame.splices.iter().map(|splice| splice.len).sum::<usize>();
        Ok(())
    }
}

fn one_answer(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    d: &mut Decoder<'_>,
    address: SocketAddr,
    blob: usize,
) -> Result<Encoder, Failure> {
    Ok(match key {
        ApiKey::Produce => answer_frame(key, version, correlation_id, &produced(d)?),
        ApiKey::Fetch => answer_frame(key, version, correlation_id, &fetched(&FetchRequest::decode(d, version)?, blob)),
        ApiKey::Metadata => {
            answer_frame(key, version, correlation_id, &metadata(&MetadataRequest::decode(d, version)?, address))
        }
        ApiKey::ListOffsets => {
            answer_frame(key, version, correlation_id, &listed(&ListOffsetsRequest::decode(d, version)?))
        }
        ApiKey::CreateTopics => {
            let topics = vec![CreatableTopicResult::default()];
            answer_frame(key, version, correlation_id, &CreateTopicsResponse { topics, ..Default::default() })
        }
        ApiKey::DeleteTopics => {
            let responses = vec![DeletableTopicResult::default()];
            answer_frame(key, version, correlation_id, &DeleteTopicsResponse { responses, ..Default::default() })
        }
        ApiKey::ApiVersions => answer_frame(key, version, correlation_id, &ApiVersionsResponse::default()),
        _ => return Err(Failure::Malformed("a request that perf doesn't send")),
    })
}

/// Reads no further than the partition: the rest of the request has been dropped.
fn produced(d: &mut Decoder<'_>) -> Result<ProduceResponse<'static>, Failure> {
    d.opt_str(true, true)?; // transactional id
    d.skip(2 + 4 + 1)?; // acks, timeout, one topic
    let topic_id = d.uuid()?;
    d.skip(1)?; // one partition
    let partition = PartitionProduceResponse { index: d.i32()?, ..Default::default() };
    let topic = TopicProduceResponse { topic_id, partition_responses: vec![partition], ..Default::default() };
    Ok(ProduceResponse { responses: vec![topic], ..Default::default() })
}

fn fetched(request: &FetchRequest<'_>, blob: usize) -> FetchResponse<'static> {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| PartitionData {
            partition_index: partition.partition,
            high_watermark: END,
            last_stable_offset: END,
            records: Records::Splice { len: blob, id: 0 },
            ..Default::default()
        });
        FetchableTopicResponse { topic_id: topic.topic_id, partitions: partitions.collect(), ..Default::default() }
    });
    FetchResponse { responses: topics.collect(), ..Default::default() }
}

fn metadata(request: &MetadataRequest<'_>, address: SocketAddr) -> MetadataResponse<'static> {
    let (host, port) = (address.ip().to_string().into(), i32::from(address.port()));
    let name =
        request.topics.iter().flatten().next().and_then(|topic| topic.name.as_ref()).map(|n| n.to_string().into());
    let partitions = (0..PARTITIONS).map(|partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: 1,
        ..Default::default()
    });
    let topic =
        MetadataResponseTopic { name, topic_id: Uuid(1), partitions: partitions.collect(), ..Default::default() };
    let brokers = vec![MetadataResponseBroker { node_id: 1, host, port, rack: None }];
    MetadataResponse { brokers, topics: vec![topic], ..Default::default() }
}

fn listed(request: &ListOffsetsRequest<'_>) -> ListOffsetsResponse<'static> {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| ListOffsetsPartitionResponse {
            partition_index: partition.partition_index,
            offset: END,
            ..Default::default()
        });
        ListOffsetsTopicResponse { name: topic.name.to_string().into(), partitions: partitions.collect() }
    });
    ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
}
