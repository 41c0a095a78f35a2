//! The other end of the load's own limit: receives, answers, keeps nothing.
//!
//! It understands what `perf produce` and `perf fetch` send, and only that: every topic exists and has [`PARTITIONS`] partitions.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::batch;
use crate::failure::{Doing, Failure};
use crate::produce::poll_once;
use crate::protocol::{self, Get, Put};
use crate::replies::Replies;

const PARTITIONS: i32 = 64;
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
    let batch = batch::build(64, 1024, 0);
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
        let Answers { out, blob_left, .. } = &mut self.answers;
        while !out.is_empty() || *blob_left > 0 {
            let bytes = if out.is_empty() { &blob[blob.len() - *blob_left..] } else { out.as_slice() };
            match self.stream.write(bytes) {
                Ok(count) if out.is_empty() => *blob_left -= count,
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
        let mut get = Get(head);
        let (key, version, correlation_id) = (get.i16()?, get.i16()?, get.i32()?);
        if (key, version) == (protocol::PRODUCE, 11) && !self.produced.is_empty() {
            let at = self.out.len();
            self.out.extend_from_slice(&self.produced);
            self.out[at + 4..at + 8].copy_from_slice(&correlation_id.to_be_bytes());
            return Ok(());
        }
        get.nullable_string()?;
        let mut put = Put(vec![0; 4]);
        put.i32(correlation_id);
        match (key, version) {
            (protocol::PRODUCE, 11) => produced(&mut get, &mut put)?,
            (protocol::FETCH, 12) => {
                fetched(&mut get, &mut put, blob)?;
                self.blob_left = blob;
            }
            (protocol::METADATA, 4) => metadata(&mut get, &mut put, address)?,
            (protocol::LIST_OFFSETS, 1) => listed(&mut get, &mut put)?,
            (protocol::CREATE_TOPICS, 4) | (protocol::DELETE_TOPICS, 3) => named(&mut get, &mut put)?,
            (protocol::API_VERSIONS, 0) => put.0.extend_from_slice(&[0; 6]),
            _ => return Err(Failure::Malformed("a request that perf doesn't send")),
        }
        let mut frame = put.frame();
        if key == protocol::FETCH {
            let size = (frame.len() - 4 + blob) as i32;
            frame[..4].copy_from_slice(&size.to_be_bytes());
        }
        if key == protocol::PRODUCE {
            self.produced.clone_from(&frame);
        }
        self.out.extend_from_slice(&frame);
        Ok(())
    }
}

fn produced(get: &mut Get<'_>, put: &mut Put) -> Result<(), Failure> {
    get.tags()?;
    get.skip(1 + 2 + 4)?; // transactional id, acks, timeout
    get.one("topics")?;
    let topic = get.compact_string()?;
    get.one("partitions")?;
    let partition = get.i32()?;
    put.0.push(0);
    put.uvarint(2);
    put.compact_string(topic);
    put.uvarint(2);
    put.i32(partition);
    put.i16(0);
    put.i64(0);
    put.i64(-1);
    put.i64(0);
    put.0.extend_from_slice(&[1, 0, 0, 0]); // no record errors, no message, tags of partition and topic
    put.i32(0);
    put.0.push(0);
    Ok(())
}

/// The trailing tags that belong behind the records are part of the blob's last bytes for the reader of the sizes: it only drops them.
fn fetched(get: &mut Get<'_>, put: &mut Put, blob: usize) -> Result<(), Failure> {
    get.tags()?;
    get.skip(4 + 4 + 4 + 4 + 1 + 4 + 4)?;
    get.one("topics")?;
    let topic = get.compact_string()?;
    get.one("partitions")?;
    let partition = get.i32()?;
    put.0.push(0);
    put.i32(0);
    put.i16(0);
    put.i32(0);
    put.uvarint(2);
    put.compact_string(topic);
    put.uvarint(2);
    put.i32(partition);
    put.i16(0);
    for _ in 0..3 {
        put.i64(1 << 40);
    }
    put.uvarint(0);
    put.i32(-1);
    put.uvarint(blob as u32 + 1);
    Ok(())
}

fn metadata(get: &mut Get<'_>, put: &mut Put, address: SocketAddr) -> Result<(), Failure> {
    get.count_one("topics")?;
    let topic = get.string()?;
    put.i32(0);
    put.i32(1);
    put.i32(1);
    put.string(&address.ip().to_string());
    put.i32(i32::from(address.port()));
    put.i16(-1);
    put.i16(-1);
    put.i32(1);
    put.i32(1);
    put.i16(0);
    put.string(topic);
    put.i8(0);
    put.i32(PARTITIONS);
    for partition in 0..PARTITIONS {
        put.i16(0);
        put.i32(partition);
        put.i32(1);
        for _ in 0..2 {
            put.i32(1);
            put.i32(1);
        }
    }
    Ok(())
}

fn listed(get: &mut Get<'_>, put: &mut Put) -> Result<(), Failure> {
    get.i32()?;
    get.count_one("topics")?;
    let topic = get.string()?;
    get.count_one("partitions")?;
    let partition = get.i32()?;
    put.i32(1);
    put.string(topic);
    put.i32(1);
    put.i32(partition);
    put.i16(0);
    put.i64(-1);
    put.i64(1 << 40);
    Ok(())
}

fn named(get: &mut Get<'_>, put: &mut Put) -> Result<(), Failure> {
    get.count_one("topics")?;
    let topic = get.string()?;
    put.i32(0);
    put.i32(1);
    put.string(topic);
    put.i16(0);
    put.i16(-1);
    Ok(())
}
