//! Fetch load: each connection reads its partition from the start to the end, again and again, one request at a time.
//!
//! The next offset comes from the size of the answer, since the topic holds batches of one size (what `perf produce` writes).
//! What becomes of the records is `Receive`'s.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};
use wire::records::BatchHeader;

use crate::client::{Client, Topic, accepted};
use crate::discard::{self, Answer};
use crate::failure::{Doing, Failure};
use crate::lanes::poll_once;
use crate::measure::{Clock, Latencies, seconds};
use crate::processes::Usage;
use crate::protocol::{self, Wanted};
use crate::replies::Replies;

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub(crate) bootstrap: String,
    /// Must hold batches of one size, as `perf produce` writes them
    #[arg(long)]
    pub(crate) topic: String,
    /// Connection i reads partition i modulo this
    #[arg(long, default_value_t = 1)]
    pub(crate) partitions: usize,
    #[arg(long, default_value_t = 4)]
    pub(crate) connections: usize,
    #[arg(long, default_value_t = 1 << 20)]
    pub(crate) max_bytes: i32,
    #[arg(long, value_enum, default_value_t = Receive::Read)]
    pub(crate) receive: Receive,
    /// With --receive discard: one answer in so many is read and its batches' offsets and CRCs are checked; 0 for none
    #[arg(long, default_value_t = 512)]
    pub(crate) check_every: u64,
    /// Bytes of one read from a socket
    #[arg(long, default_value_t = 256 << 10)]
    pub(crate) read_size: usize,
    /// Seconds that are not measured
    #[arg(long, default_value_t = 1.0)]
    pub(crate) ramp: f64,
    #[arg(long, default_value_t = 10.0)]
    pub(crate) duration: f64,
    /// Process id of the broker, to report its CPU time
    #[arg(long)]
    pub(crate) watch_pid: Option<u32>,
}

/// What the load does with the records it fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Receive {
    /// Copies them out of the socket and sleeps while there is nothing to copy, as a consumer does
    Read,
    /// Has the kernel drop them, and never sleeps: neither the copying nor the waking of the load is measured with the broker
    Discard,
}

impl Receive {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Receive::Read => "read",
            Receive::Discard => "discard",
        }
    }

    /// How long the load sleeps at most when there is nothing to receive.
    fn wait(self) -> Duration {
        match self {
            Receive::Read => Duration::from_millis(10),
            Receive::Discard => Duration::ZERO,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<Value, Failure> {
    if args.connections == 0 || args.partitions == 0 || args.read_size < 4096 || args.max_bytes < 1 {
        return Err(Failure::Setup(
            "--connections, --partitions and --max-bytes are at least 1, --read-size 4096".to_owned(),
        ));
    }
    let topic = Topic::find(&args.bootstrap, &args.topic, args.partitions, Duration::from_secs(30))?;
    let mut poll = Poll::new().doing("create a poll")?;
    let mut lanes = Vec::new();
    for n in 0..args.connections {
        let partition = n % args.partitions;
        let contents = Contents::look(&topic, &args.topic, partition)?;
        let mut lane = Lane::connect(args, &topic, partition, contents)?;
        poll.registry().register(&mut lane.stream, Token(n), Interest::READABLE).doing("register a socket")?;
        lanes.push(lane);
    }
    measure(args, &mut poll, &mut lanes)
}

fn measure(args: &Args, poll: &mut Poll, lanes: &mut [Lane]) -> Result<Value, Failure> {
    let clock = Clock::start();
    let mut events = Events::with_capacity(lanes.len());
    let mut scratch = vec![0; args.read_size];
    let mut tally = Tally::new();
    let ramp_ns = (args.ramp * 1e9) as u64;
    let end_ns = ramp_ns + (args.duration * 1e9) as u64;
    let mut began: Option<(u64, Usage)> = None;
    for lane in lanes.iter_mut() {
        lane.ask(clock.ns())?;
    }
    let mut now = clock.ns();
    loop {
        poll_once(poll, &mut events, args.receive.wait())?;
        for event in &events {
            lanes[event.token().0].receive(&mut scratch, clock, &mut tally)?;
        }
        let before = std::mem::replace(&mut now, clock.ns());
        if events.is_empty() {
            tally.idle_ns += now - before;
        }
        match &began {
            None if now >= ramp_ns => {
                tally = Tally::new();
                began = Some((now, Usage::start(args.watch_pid)));
            }
            Some((start, usage)) if now >= end_ns => {
                return Ok(report(args, &tally, seconds(now - start), &usage.finish()));
            }
            _ => {}
        }
    }
}

pub(crate) struct Tally {
    answers: u64,
    pub(crate) bytes: u64,
    pub(crate) records: i64,
    /// How often the end of a partition was reached.
    rounds: u64,
    /// Answers whose batches were looked at.
    checked: u64,
    /// Time in which there was nothing to receive (only known of a load that does not sleep).
    idle_ns: u64,
    service: Latencies,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally { answers: 0, bytes: 0, records: 0, rounds: 0, checked: 0, idle_ns: 0, service: Latencies::new() }
    }
}

/// What a partition holds: batches of one size.
#[derive(Clone, Copy)]
pub(crate) struct Contents {
    /// Where reading starts over; None: it goes on with what is written.
    pub(crate) end: Option<i64>,
    pub(crate) batch_bytes: usize,
    pub(crate) batch_records: i64,
}

impl Contents {
    fn look(topic: &Topic, name: &str, partition: usize) -> Result<Contents, Failure> {
        let mut client = Client::connect(&topic.leaders[partition].to_string(), Duration::from_secs(30))?;
        let end = client.log_end_offset(name, partition)?;
        let wanted = Wanted { max_wait_ms: 1000, max_bytes: 1 };
        let request = protocol::fetch_request(topic.id, partition as i32, 0, &wanted);
        let answer = client.ask(protocol::FETCH, &request)?;
        let fetched = answer.responses.first().and_then(|topic| topic.partitions.first());
        let fetched = fetched.ok_or(Failure::Malformed("no partition in it"))?;
        accepted("Fetch", fetched.error_code)?;
        let header = BatchHeader::parse(fetched.records.bytes().unwrap_or_default())?;
        let contents = Contents {
            end: Some(end),
            batch_bytes: header.size(),
            batch_records: header.next_offset() - header.base_offset,
        };
        if contents.batch_records < 1 || end < contents.batch_records {
            return Err(Failure::Malformed("records count"));
        }
        Ok(contents)
    }
}

pub(crate) struct Lane {
    pub(crate) stream: TcpStream,
    /// For `Receive::Read`.
    replies: Replies,
    /// For `Receive::Discard`.
    answer: Answer,
    how: Receive,
    check_every: u64,
    frame: Vec<u8>,
    offset_at: usize,
    pub(crate) offset: i64,
    contents: Contents,
    asked: i32,
    asked_ns: u64,
}

impl Lane {
    pub(crate) fn connect(args: &Args, topic: &Topic, partition: usize, contents: Contents) -> Result<Lane, Failure> {
        let stream = std::net::TcpStream::connect(topic.leaders[partition]).doing("connect")?;
        stream.set_nodelay(true).doing("set TCP_NODELAY")?;
        stream.set_nonblocking(true).doing("set O_NONBLOCK")?;
        let wanted = Wanted { max_wait_ms: 500, max_bytes: args.max_bytes };
        let (frame, offset_at) = protocol::fetch(topic.id, partition as i32, &wanted);
        let replies = Replies::new(protocol::HEAD_MAX);
        let stream = TcpStream::from_std(stream);
        let (answer, how, check_every) = (Answer::new(), args.receive, args.check_every);
        Ok(Lane {
            stream,
            replies,
            answer,
            how,
            check_every,
            frame,
            offset_at,
            offset: 0,
            contents,
            asked: 0,
            asked_ns: 0,
        })
    }

    pub(crate) fn ask(&mut self, now: u64) -> Result<(), Failure> {
        self.asked += 1;
        self.asked_ns = now;
        self.answer.begin(self.check_every > 0 && (self.asked as u64).is_multiple_of(self.check_every));
        self.frame[protocol::CORRELATION_AT..][..4].copy_from_slice(&self.asked.to_be_bytes());
        self.frame[self.offset_at..][..8].copy_from_slice(&self.offset.to_be_bytes());
        // One small request on an empty socket: it fits or something is wrong.
        self.stream.write_all(&self.frame).doing("send a request")
    }

    pub(crate) fn receive(&mut self, scratch: &mut [u8], clock: Clock, tally: &mut Tally) -> Result<(), Failure> {
        match self.how {
            Receive::Read => self.read(scratch, clock, tally),
            Receive::Discard => self.discard(scratch, clock, tally),
        }
    }

    fn discard(&mut self, scratch: &mut [u8], clock: Clock, tally: &mut Tally) -> Result<(), Failure> {
        if !self.answer.receive(&mut self.stream, scratch)? {
            return Ok(());
        }
        let size = records_size(self.answer.head(), self.answer.frame_size()?, self.asked)?;
        if self.answer.is_whole() {
            let (_, fetched) = protocol::fetched(self.answer.head())?;
            discard::check(&self.answer.head()[fetched.records_at..][..size], self.offset)?;
            tally.checked += 1;
        }
        self.advance(size, clock.ns(), tally)
    }

    fn read(&mut self, scratch: &mut [u8], clock: Clock, tally: &mut Tally) -> Result<(), Failure> {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return Err(Failure::Malformed("the broker closed the connection")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::Io("receive answers", error)),
            };
            let mut ended = None;
            let asked = self.asked;
            self.replies.feed(&scratch[..count], |head, frame_size| {
                ended = Some(records_size(head, frame_size, asked)?);
                Ok(())
            })?;
            if let Some(size) = ended {
                self.advance(size, clock.ns(), tally)?;
            }
            if count < scratch.len() {
                return Ok(());
            }
        }
    }

    fn advance(&mut self, records_size: usize, now: u64, tally: &mut Tally) -> Result<(), Failure> {
        let batches = (records_size / self.contents.batch_bytes) as i64;
        if batches == 0 && self.contents.end.is_some() {
            return Err(Failure::Malformed("less than one batch"));
        }
        tally.answers += 1;
        tally.bytes += records_size as u64;
        tally.service.record(now - self.asked_ns);
        tally.records += batches * self.contents.batch_records;
        self.offset += batches * self.contents.batch_records;
        if self.contents.end.is_some_and(|end| self.offset >= end) {
            self.offset = 0;
            tally.rounds += 1;
        }
        self.ask(now)
    }
}

/// Bytes of records in the answer to the request `asked`.
fn records_size(head: &[u8], frame_size: usize, asked: i32) -> Result<usize, Failure> {
    let (correlation_id, fetched) = protocol::fetched(head)?;
    accepted("Fetch", fetched.error_code)?;
    if correlation_id != asked || fetched.records_at + fetched.records_size > frame_size {
        return Err(Failure::Malformed("an answer to another request"));
    }
    Ok(fetched.records_size)
}

fn report(args: &Args, tally: &Tally, elapsed: f64, usage: &Value) -> Value {
    let gib = tally.bytes as f64 / (1u64 << 30) as f64;
    let broker_cpu = usage["broker"].as_f64();
    let idle = (args.receive == Receive::Discard).then(|| seconds(tally.idle_ns) / elapsed);
    json!({
        "kind": "fetch", "receive": args.receive.name(), "checked": tally.checked, "load_idle": idle, "topic": args.topic, "partitions": args.partitions, "connections": args.connections,
        "max_bytes": args.max_bytes, "seconds": elapsed, "requests": tally.answers, "rounds": tally.rounds,
        "requests_per_s": tally.answers as f64 / elapsed, "records_per_s": tally.records as f64 / elapsed, "spins": args.receive == Receive::Discard, "gib_per_s": gib / elapsed,
        "service_us": tally.service.summary(), "cpu_s": usage,
        "broker_cpu_us_per_request": broker_cpu.map(|s| s * 1e6 / tally.answers as f64),
        "broker_cpu_s_per_gib": broker_cpu.map(|s| s / gib),
    })
}
