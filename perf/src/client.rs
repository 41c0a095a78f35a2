//! A client that asks one thing at a time: what prepares a load and looks whether a broker is there.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::time::{Duration, Instant};

use wire::messages::{ApiVersionsRequest, InitProducerIdRequest, MetadataResponse};
use wire::{Request, Uuid};

use crate::failure::{Doing, Failure};
use crate::protocol;

/// An answer to a question of this client is never longer.
const ANSWER_SIZE_MAX: i32 = 64 << 20;
const PRODUCER_ID_MAX: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    /// `timeout`: for the connection, and for each answer.
    pub(crate) fn connect(address: &str, timeout: Duration) -> Result<Client, Failure> {
        let stream = TcpStream::connect_timeout(&resolve(address)?, timeout).doing("connect")?;
        stream.set_read_timeout(Some(timeout)).doing("set the read timeout")?;
        stream.set_nodelay(true).doing("set TCP_NODELAY")?;
        Ok(Client { stream, answer: Vec::new() })
    }

    pub(crate) fn ask<'a, 's, R: Request<'a>>(
        &'s mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response<'s>, Failure> {
        let frame = protocol::frame(version, request);
        protocol::answer(R::KEY, version, self.exchange(&frame)?)
    }

    /// Sends a whole frame and returns the answer from its correlation id on.
    pub(crate) fn exchange(&mut self, frame: &[u8]) -> Result<&[u8], Failure> {
        self.stream.write_all(frame).doing("send a request")?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).doing("receive an answer")?;
        let size = i32::from_be_bytes(size);
        if !(4..=ANSWER_SIZE_MAX).contains(&size) {
            return Err(Failure::Malformed("frame size"));
        }
        self.answer.resize(size as usize, 0);
        self.stream.read_exact(&mut self.answer).doing("receive an answer")?;
        Ok(&self.answer)
    }

    pub(crate) fn api_versions(&mut self) -> Result<(), Failure> {
        let request = ApiVersionsRequest {
            client_software_name: "ringmill-perf".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
        };
        accepted("ApiVersions", self.ask(protocol::API_VERSIONS, &request)?.error_code)
    }

    /// `config`: what the topic has of its own, key and value.
    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: usize,
        config: &[(String, String)],
    ) -> Result<(), Failure> {
        let request = protocol::create_topic(name, partitions as i32, config);
        let answer = self.ask(protocol::CREATE_TOPICS, &request)?;
        let topic = answer.topics.first().ok_or(Failure::Malformed("no topic in it"))?;
        accepted("CreateTopics", topic.error_code)
    }

    /// Of a producer without transactions: its id and epoch. Apache Kafka asks for a while to come back when it has none left.
    pub(crate) fn init_producer_id(&mut self) -> Result<(i64, i16), Failure> {
        let request = InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 1, ..Default::default() };
        let end = Instant::now() + PRODUCER_ID_MAX;
        loop {
            let answer = self.ask(protocol::INIT_PRODUCER_ID, &request)?;
            if answer.error_code == wire::ErrorCode::CoordinatorLoadInProgress as i16 && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            accepted("InitProducerId", answer.error_code)?;
            return Ok((answer.producer_id, answer.producer_epoch));
        }
    }

    pub(crate) fn delete_topic(&mut self, name: &str) -> Result<(), Failure> {
        let answer = self.ask(protocol::DELETE_TOPICS, &protocol::delete_topic(name))?;
        let topic = answer.responses.first().ok_or(Failure::Malformed("no topic in it"))?;
        accepted("DeleteTopics", topic.error_code)
    }

    pub(crate) fn metadata(&mut self, topic: &str) -> Result<MetadataResponse<'_>, Failure> {
        self.ask(protocol::METADATA, &protocol::metadata(topic))
    }

    pub(crate) fn log_end_offset(&mut self, topic: &str, partition: usize) -> Result<i64, Failure> {
        self.log_end_offsets(topic, partition..partition + 1)
    }

    /// The sum of all ends: records of these partitions, where none were removed. All must have a leader here.
    pub(crate) fn log_end_offsets(&mut self, topic: &str, partitions: Range<usize>) -> Result<i64, Failure> {
        let request = protocol::log_end_offsets(topic, partitions.start as i32..partitions.end as i32);
        let answer = self.ask(protocol::LIST_OFFSETS, &request)?;
        let found = answer.topics.first().ok_or(Failure::Malformed("no topic in it"))?;
        if found.partitions.len() != partitions.len() {
            return Err(Failure::Malformed("not the partitions that were asked for"));
        }
        let mut sum = 0;
        for partition in &found.partitions {
            accepted("ListOffsets", partition.error_code)?;
            sum += partition.offset;
        }
        Ok(sum)
    }
}

/// A topic with a leader for each partition.
pub(crate) struct Topic {
    pub(crate) id: Uuid,
    pub(crate) leaders: Vec<SocketAddr>,
}

impl Topic {
    /// Waits until every leader of the first `partitions` partitions says that it is one; gives up after `timeout`.
    ///
    /// Metadata may name the leader of a new partition a little before that broker knows its duty.
    pub(crate) fn find(bootstrap: &str, name: &str, partitions: usize, timeout: Duration) -> Result<Topic, Failure> {
        let end = Instant::now() + timeout;
        loop {
            match Topic::find_now(bootstrap, name, partitions) {
                Err(failure) if Instant::now() > end => return Err(failure),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
                found => return found,
            }
        }
    }

    fn find_now(bootstrap: &str, name: &str, partitions: usize) -> Result<Topic, Failure> {
        let timeout = Duration::from_secs(10);
        let mut client = Client::connect(bootstrap, timeout)?;
        let metadata = client.metadata(name)?;
        let topic = metadata.topics.first().ok_or(Failure::Malformed("no topic in it"))?;
        accepted("Metadata", topic.error_code)?;
        let mut leaders = Vec::with_capacity(partitions);
        let mut clients: BTreeMap<i32, (SocketAddr, Client)> = BTreeMap::new();
        for index in 0..partitions {
            let leader = topic.partitions.iter().find(|p| p.partition_index == index as i32).map(|p| p.leader_id);
            let Some(broker) = metadata.brokers.iter().find(|broker| Some(broker.node_id) == leader) else {
                return Err(Failure::Setup(format!("{name} has no partition {index} with a leader")));
            };
            if let Entry::Vacant(place) = clients.entry(broker.node_id) {
                let address = format!("{}:{}", broker.host, broker.port);
                place.insert((resolve(&address)?, Client::connect(&address, timeout)?));
            }
            let (address, client) = clients.get_mut(&broker.node_id).ok_or(Failure::Malformed("no leader"))?;
            client.log_end_offset(name, index)?;
            leaders.push(*address);
        }
        Ok(Topic { id: topic.topic_id, leaders })
    }
}

/// The first address a `host:port` stands for.
pub(crate) fn resolve(address: &str) -> Result<SocketAddr, Failure> {
    let addresses = address.to_socket_addrs().doing("resolve an address")?;
    addresses.into_iter().next().ok_or_else(|| Failure::Setup(format!("{address} stands for no address")))
}

pub(crate) fn accepted(api: &'static str, code: i16) -> Result<(), Failure> {
    if code == 0 { Ok(()) } else { Err(Failure::Refused { api, code }) }
}
