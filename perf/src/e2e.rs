//! End to end: one connection writes records at a fixed rate, another reads them with long polls, in one thread that never sleeps.
//!
//! Each record carries two stamps of this process's clock: when it was due and when it was sent. Latency is counted from the
//! first; the second shows how much of it the broker can't be blamed for.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};
use wire::records::{Batches, Codec};

use crate::batch;
use crate::client::{Client, Topic, accepted};
use crate::failure::{Doing, Failure};
use crate::lanes::poll_once;
use crate::measure::{Clock, Latencies, seconds};
use crate::processes::Usage;
use crate::protocol::{self, Wanted};
use crate::replies::Replies;

/// How long records may take to arrive after the last one was sent.
const DRAIN_NS: u64 = 5_000_000_000;
/// A fetch answer never holds more than this many bytes of records.
const FETCH_SIZE_MAX: usize = 1 << 20;

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub(crate) bootstrap: String,
    /// Must exist; its partition 0 is used, from its end on
    #[arg(long)]
    pub(crate) topic: String,
    /// Records per second, each in a batch and a request of its own
    #[arg(long, default_value_t = 1000.0)]
    pub(crate) rate: f64,
    /// Bytes of a record's value, at least 16
    #[arg(long, default_value_t = 1024)]
    pub(crate) record_size: usize,
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    pub(crate) acks: i16,
    /// Unanswered Produce requests
    #[arg(long, default_value_t = 5)]
    pub(crate) in_flight: usize,
    #[arg(long, default_value_t = 500)]
    pub(crate) max_wait_ms: i32,
    /// Seconds that are not measured
    #[arg(long, default_value_t = 2.0)]
    pub(crate) ramp: f64,
    #[arg(long, default_value_t = 20.0)]
    pub(crate) duration: f64,
    /// Process id of the broker, to report its CPU time
    #[arg(long)]
    pub(crate) watch_pid: Option<u32>,
}

pub(crate) fn run(args: &Args) -> Result<Value, Failure> {
    if args.rate <= 0.0
        || !(16..=1 << 19).contains(&args.record_size)
        || !matches!(args.acks, 1 | -1)
        || args.in_flight == 0
    {
        return Err(Failure::Setup(
            "--rate is above 0, --record-size 16 to 512 KiB, --acks 1 or -1, --in-flight 1".to_owned(),
        ));
    }
    let topic = Topic::find(&args.bootstrap, &args.topic, 1, Duration::from_secs(30))?;
    let leader = topic.leaders[0].to_string();
    let end = Client::connect(&leader, Duration::from_secs(30))?.log_end_offset(&args.topic, 0)?;
    let mut poll = Poll::new().doing("create a poll")?;
    let mut writer = Writer::connect(args, &topic)?;
    let mut reader = Reader::connect(args, &topic, end)?;
    poll.registry().register(&mut writer.stream, Token(0), Interest::READABLE).doing("register a socket")?;
    poll.registry().register(&mut reader.stream, Token(1), Interest::READABLE).doing("register a socket")?;
    measure(args, &mut poll, &mut writer, &mut reader)
}

fn measure(args: &Args, poll: &mut Poll, writer: &mut Writer, reader: &mut Reader) -> Result<Value, Failure> {
    let clock = Clock::start();
    let interval_ns = 1e9 / args.rate;
    let first = (args.ramp * args.rate).ceil() as u64;
    let last = first + (args.duration * args.rate).ceil() as u64;
    let first_ns = (first as f64 * interval_ns) as u64;
    let last_ns = (last as f64 * interval_ns) as u64;
    let mut tally =
        Tally { from_ns: first_ns, total: Latencies::new(), service: Latencies::new(), ack: Latencies::new() };
    let mut events = Events::with_capacity(2);
    let mut scratch = vec![0; FETCH_SIZE_MAX];
    let mut usage: Option<Usage> = None;
    let mut used = Value::Null;
    reader.ask()?;
    loop {
        let now = clock.ns();
        while writer.sent < last && writer.sent - writer.acked < args.in_flight as u64 {
            let due_ns = (writer.sent as f64 * interval_ns) as u64;
            if due_ns > now {
                break;
            }
            writer.send(due_ns, clock.ns())?;
        }
        poll_once(poll, &mut events, Duration::ZERO)?;
        for event in &events {
            match event.token() {
                Token(0) => writer.receive(&mut scratch, clock, &mut tally)?,
                _ => reader.receive(&mut scratch, clock, &mut tally)?,
            }
        }
        if usage.is_none() && now >= first_ns {
            usage = Some(Usage::start(args.watch_pid));
        }
        if used.is_null() && now >= last_ns {
            used = usage.as_ref().map_or(Value::Null, Usage::finish);
        }
        let over = reader.received >= last && writer.acked >= last;
        if now >= last_ns && (over || now > last_ns + DRAIN_NS) {
            if !over {
                return Err(Failure::Setup(format!("{} records did not arrive", last - reader.received)));
            }
            return Ok(report(args, &tally, seconds(last_ns - first_ns), &used));
        }
    }
}

struct Tally {
    /// Records that were due earlier don't count.
    from_ns: u64,
    total: Latencies,
    service: Latencies,
    ack: Latencies,
}

struct Writer {
    stream: TcpStream,
    replies: Replies,
    frame: Vec<u8>,
    batch_at: usize,
    value_at: usize,
    sent: u64,
    acked: u64,
    due_ns: Vec<u64>,
}

impl Writer {
    fn connect(args: &Args, topic: &Topic) -> Result<Writer, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
        let batch = batch::build(1, args.record_size, now, Codec::None)?;
        let (frame, batch_at) = protocol::produce(topic.id, 0, args.acks, &batch);
        Ok(Writer {
            stream: connect(topic.leaders[0])?,
            replies: Replies::new(protocol::HEAD_MAX),
            frame,
            batch_at,
            value_at: batch_at + batch::value_at(&batch, args.record_size),
            sent: 0,
            acked: 0,
            due_ns: vec![0; args.in_flight],
        })
    }

    fn send(&mut self, due_ns: u64, now_ns: u64) -> Result<(), Failure> {
        let batch_end = self.frame.len() - 3; // three empty tag sections follow the batch
        self.frame[protocol::CORRELATION_AT..][..4].copy_from_slice(&(self.sent as i32).to_be_bytes());
        self.frame[self.value_at..][..8].copy_from_slice(&due_ns.to_be_bytes());
        self.frame[self.value_at + 8..][..8].copy_from_slice(&now_ns.to_be_bytes());
        batch::seal(&mut self.frame[self.batch_at..batch_end]);
        let slot = (self.sent % self.due_ns.len() as u64) as usize;
        self.due_ns[slot] = due_ns;
        self.sent += 1;
        // In flight is bounded far below the socket's buffer: it fits or something is wrong.
        self.stream.write_all(&self.frame).doing("send a record")
    }

    fn receive(&mut self, scratch: &mut [u8], clock: Clock, tally: &mut Tally) -> Result<(), Failure> {
        let Some(bytes) = read(&mut self.stream, scratch)? else { return Ok(()) };
        let now = clock.ns();
        let Writer { replies, acked, due_ns, .. } = self;
        replies.feed(bytes, |head, _| {
            let (correlation_id, produced) = protocol::produced(head)?;
            accepted("Produce", produced.error_code)?;
            if correlation_id != *acked as i32 {
                return Err(Failure::Malformed("answers out of order"));
            }
            let due = due_ns[(*acked % due_ns.len() as u64) as usize];
            if due >= tally.from_ns {
                tally.ack.record(now - due);
            }
            *acked += 1;
            Ok(())
        })
    }
}

struct Reader {
    stream: TcpStream,
    replies: Replies,
    frame: Vec<u8>,
    offset_at: usize,
    value_size: usize,
    offset: i64,
    asked: i32,
    received: u64,
}

impl Reader {
    fn connect(args: &Args, topic: &Topic, offset: i64) -> Result<Reader, Failure> {
        let wanted = Wanted { max_wait_ms: args.max_wait_ms, max_bytes: FETCH_SIZE_MAX as i32 };
        let (frame, offset_at) = protocol::fetch(topic.id, 0, &wanted);
        Ok(Reader {
            stream: connect(topic.leaders[0])?,
            replies: Replies::new(FETCH_SIZE_MAX + protocol::HEAD_MAX),
            frame,
            offset_at,
            value_size: args.record_size,
            offset,
            asked: 0,
            received: 0,
        })
    }

    fn ask(&mut self) -> Result<(), Failure> {
        self.asked += 1;
        self.frame[protocol::CORRELATION_AT..][..4].copy_from_slice(&self.asked.to_be_bytes());
        self.frame[self.offset_at..][..8].copy_from_slice(&self.offset.to_be_bytes());
        self.stream.write_all(&self.frame).doing("send a fetch")
    }

    fn receive(&mut self, scratch: &mut [u8], clock: Clock, tally: &mut Tally) -> Result<(), Failure> {
        let Some(bytes) = read(&mut self.stream, scratch)? else { return Ok(()) };
        let now = clock.ns();
        let Reader { replies, value_size, offset, received, asked, .. } = self;
        let mut answered = false;
        replies.feed(bytes, |answer, _| {
            let (correlation_id, fetched) = protocol::fetched(answer)?;
            accepted("Fetch", fetched.error_code)?;
            if correlation_id != *asked {
                return Err(Failure::Malformed("an answer to another request"));
            }
            answered = true;
            let records = answer.get(fetched.records_at..fetched.records_at + fetched.records_size);
            for batch in Batches::new(records.ok_or(Failure::Malformed("records size"))?) {
                let batch = batch?;
                if batch.header.base_offset != *offset || batch.header.records_count != 1 {
                    return Err(Failure::Malformed("an offset is missing or came twice"));
                }
                let at = batch::value_at(batch.bytes, *value_size);
                let (due, sent) = (stamp(batch.bytes, at), stamp(batch.bytes, at + 8));
                if due >= tally.from_ns {
                    tally.total.record(now.saturating_sub(due));
                    tally.service.record(now.saturating_sub(sent));
                }
                *offset += 1;
                *received += 1;
            }
            Ok(())
        })?;
        if answered { self.ask() } else { Ok(()) }
    }
}

fn stamp(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |stamp| u64::from_be_bytes(*stamp))
}

fn connect(leader: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = std::net::TcpStream::connect(leader).doing("connect")?;
    stream.set_nodelay(true).doing("set TCP_NODELAY")?;
    stream.set_nonblocking(true).doing("set O_NONBLOCK")?;
    Ok(TcpStream::from_std(stream))
}

/// One read; sockets here never hold more than the buffer takes.
fn read<'a>(stream: &mut TcpStream, scratch: &'a mut [u8]) -> Result<Option<&'a [u8]>, Failure> {
    match stream.read(scratch) {
        Ok(0) => Err(Failure::Malformed("the broker closed the connection")),
        Ok(count) if count == scratch.len() => Err(Failure::Malformed("more than was asked for")),
        Ok(count) => Ok(Some(&scratch[..count])),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(Failure::Io("receive", error)),
    }
}

fn report(args: &Args, tally: &Tally, elapsed: f64, usage: &Value) -> Value {
    let records = args.rate * elapsed;
    json!({
        "kind": "e2e", "topic": args.topic, "rate": args.rate, "record_size": args.record_size, "acks": args.acks,
        "seconds": elapsed, "records": records,
        "response_us": tally.total.summary(), "service_us": tally.service.summary(), "ack_us": tally.ack.summary(),
        "cpu_s": usage, "broker_cpu_us_per_request": usage["broker"].as_f64().map(|s| s * 1e6 / records),
    })
}
