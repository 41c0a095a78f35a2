//! Produce load without answers (acks=0): every connection is kept full, and what the broker took is told by its logs' ends.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::client::{Client, Topic};
use crate::failure::{Doing, Failure};
use crate::lanes::poll_once;
use crate::measure::{Clock, seconds};
use crate::processes::Usage;
use crate::produce::Args;
use crate::protocol;

/// Bytes of one write, about.
const WRITE_SIZE: usize = 64 << 10;

struct Hose {
    stream: TcpStream,
    /// The request, as often as makes a good write.
    frames: Vec<u8>,
    /// Where in `frames` the next write begins.
    at: usize,
}

pub(crate) fn run(args: &Args, topic: &Topic, batch: &[u8]) -> Result<Value, Failure> {
    let mut poll = Poll::new().doing("create a poll")?;
    let mut hoses = Vec::with_capacity(args.connections);
    let mut frame_size = 0;
    for n in 0..args.connections {
        let partition = n % args.partitions;
        let (frame, _) = protocol::produce(topic.id, partition as i32, 0, batch);
        frame_size = frame.len() as u64;
        let stream = std::net::TcpStream::connect(topic.leaders[partition]).doing("connect")?;
        stream.set_nonblocking(true).doing("set O_NONBLOCK")?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(n), Interest::WRITABLE).doing("register a socket")?;
        hoses.push(Hose { stream, frames: frame.repeat((WRITE_SIZE / frame.len()).max(1)), at: 0 });
    }
    let mut ends = Client::connect(&topic.leaders[0].to_string(), Duration::from_secs(30))?;
    let mut records = || ends.log_end_offsets(&args.topic, 0..args.partitions);
    let clock = Clock::start();
    let mut events = Events::with_capacity(hoses.len());
    let bytes_max = args.count.saturating_mul(frame_size);
    pour(&mut poll, &mut events, &mut hoses, clock, (args.ramp * 1e9) as u64, bytes_max)?;
    let usage = Usage::start(args.watch_pid);
    let (before, from) = (records()?, clock.ns());
    let end_ns = from + (args.duration * 1e9) as u64;
    pour(&mut poll, &mut events, &mut hoses, clock, end_ns, bytes_max)?;
    let (after, to) = (records()?, clock.ns());
    Ok(report(args, (after - before) as f64, seconds(to - from), &usage.finish()))
}

/// Writes until a time, or until so many bytes are written.
fn pour(
    poll: &mut Poll,
    events: &mut Events,
    hoses: &mut [Hose],
    clock: Clock,
    end_ns: u64,
    bytes_max: u64,
) -> Result<(), Failure> {
    // Sockets that were writable before are not announced again.
    let mut written = 0;
    for hose in hoses.iter_mut() {
        written += hose.fill()?;
    }
    while clock.ns() < end_ns && written < bytes_max {
        poll_once(poll, events, Duration::from_millis(10))?;
        for event in events.iter() {
            written += hoses[event.token().0].fill()?;
        }
    }
    Ok(())
}

impl Hose {
    /// Writes until the socket is full; gives the bytes.
    fn fill(&mut self) -> Result<u64, Failure> {
        let mut written = 0;
        loop {
            match self.stream.write(&self.frames[self.at..]) {
                Ok(count) => {
                    written += count as u64;
                    self.at = (self.at + count) % self.frames.len();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(written),
                Err(error) => return Err(Failure::Io("send requests", error)),
            }
        }
    }
}

fn report(args: &Args, records: f64, elapsed: f64, usage: &Value) -> Value {
    let requests = records / args.records_per_batch() as f64;
    let gib = records * args.record_size as f64 / (1u64 << 30) as f64;
    let broker_cpu = usage["broker"].as_f64();
    json!({
        "kind": "produce", "topic": args.topic, "partitions": args.partitions, "connections": args.connections,
        "record_size": args.record_size, "records_per_batch": args.records_per_batch(), "acks": 0, "codec": args.codec,
        "seconds": elapsed, "requests": requests, "requests_per_s": requests / elapsed, "records_per_s": records / elapsed,
        "gib_per_s": gib / elapsed, "cpu_s": usage,
        "broker_cpu_us_per_request": broker_cpu.map(|s| s * 1e6 / requests),
        "broker_cpu_s_per_gib": broker_cpu.map(|s| s / gib),
    })
}
