//! A client that asks one thing at a time: what prepares a load and looks whether a broker is there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::failure::{Doing, Failure};
use crate::protocol;

/// An answer to a question of this client is never longer.
const ANSWER_SIZE_MAX: i32 = 64 << 20;

pub(crate) struct Client(TcpStream);

impl Client {
    pub(crate) fn connect(address: &str, timeout: Duration) -> Result<Client, Failure> {
        let stream = TcpStream::connect_timeout(&resolve(address)?, timeout).doing("connect")?;
        stream.set_read_timeout(Some(timeout)).doing("set the read timeout")?;
        stream.set_nodelay(true).doing("set TCP_NODELAY")?;
        Ok(Client(stream))
    }

    /// Sends a whole frame and returns the answer from its correlation id on.
    pub(crate) fn ask(&mut self, frame: &[u8]) -> Result<Vec<u8>, Failure> {
        self.0.write_all(frame).doing("send a request")?;
        let mut size = [0; 4];
        self.0.read_exact(&mut size).doing("receive an answer")?;
        let size = i32::from_be_bytes(size);
        if !(4..=ANSWER_SIZE_MAX).contains(&size) {
            return Err(Failure::Malformed("frame size"));
        }
        let mut answer = vec![0; size as usize];
        self.0.read_exact(&mut answer).doing("receive an answer")?;
        Ok(answer)
    }

    pub(crate) fn api_versions(&mut self) -> Result<(), Failure> {
        accepted("ApiVersions", protocol::api_versions_answered(&self.ask(&protocol::api_versions())?)?)
    }

    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, String)],
    ) -> Result<(), Failure> {
        accepted("CreateTopics", protocol::created(&self.ask(&protocol::create_topic(name, partitions, configs))?)?)
    }

    pub(crate) fn delete_topic(&mut self, name: &str) -> Result<(), Failure> {
        accepted("DeleteTopics", protocol::deleted(&self.ask(&protocol::delete_topic(name))?)?)
    }

    /// One try; the metadata of a topic that was created this moment may take a little to arrive.
    pub(crate) fn leaders(&mut self, topic: &str) -> Result<protocol::Leaders, Failure> {
        protocol::leaders(&self.ask(&protocol::metadata(topic))?)
    }

    pub(crate) fn log_end_offset(&mut self, topic: &str, partition: i32) -> Result<i64, Failure> {
        let (code, offset) = protocol::listed_offset(&self.ask(&protocol::list_offsets(topic, partition))?)?;
        accepted("ListOffsets", code).map(|()| offset)
    }
}

/// The first address a `host:port` stands for.
pub(crate) fn resolve(address: &str) -> Result<SocketAddr, Failure> {
    let addresses = address.to_socket_addrs().doing("resolve the bootstrap address")?;
    addresses.into_iter().next().ok_or_else(|| Failure::Setup(format!("{address} stands for no address")))
}

/// The leader's address of each of `partitions` partitions, once every leader says that it is one; gives up after `timeout`.
///
/// Metadata may name the leader of a new partition a little before that broker knows its duty.
pub(crate) fn wait_for_leaders(
    bootstrap: &str,
    topic: &str,
    partitions: usize,
    timeout: Duration,
) -> Result<Vec<SocketAddr>, Failure> {
    let end = Instant::now() + timeout;
    loop {
        match leaders_now(bootstrap, topic, partitions) {
            Err(failure) if Instant::now() > end => return Err(failure),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
            Ok(leaders) => return Ok(leaders),
        }
    }
}

fn leaders_now(bootstrap: &str, topic: &str, partitions: usize) -> Result<Vec<SocketAddr>, Failure> {
    let timeout = Duration::from_secs(10);
    let leaders = Client::connect(bootstrap, timeout)?.leaders(topic)?;
    accepted("Metadata", leaders.error_code)?;
    if leaders.addresses.len() < partitions || leaders.addresses.iter().any(String::is_empty) {
        return Err(Failure::Setup(format!("{topic} has no {partitions} partitions with a leader")));
    }
    let mut addresses = Vec::with_capacity(partitions);
    for (partition, address) in leaders.addresses.iter().take(partitions).enumerate() {
        Client::connect(address, timeout)?.log_end_offset(topic, partition as i32)?;
        addresses.push(resolve(address)?);
    }
    Ok(addresses)
}

pub(crate) fn accepted(api: &'static str, code: i16) -> Result<(), Failure> {
    if code == 0 { Ok(()) } else { Err(Failure::Refused { api, code }) }
}
