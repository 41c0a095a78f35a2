//! Produce load: many connections, each with a fixed number of requests in flight, on one thread.
//!
//! Without a rate a request is sent as soon as an earlier one is answered, so only throughput and service time are worth
//! quoting. With a rate, request `i` is due at `start + i / rate` whatever the broker does, and latency counts from then.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};
use wire::records::Codec;

use crate::client::{Topic, accepted};
use crate::failure::{Doing, Failure};
use crate::measure::{Clock, Latencies, seconds};
use crate::processes::Usage;
use crate::replies::Replies;
use crate::{batch, protocol};

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub(crate) bootstrap: String,
    /// Must exist
    #[arg(long)]
    pub(crate) topic: String,
    /// Connection i writes to partition i modulo this
    #[arg(long, default_value_t = 1)]
    pub(crate) partitions: usize,
    #[arg(long, default_value_t = 6)]
    pub(crate) connections: usize,
    /// Unanswered requests per connection
    #[arg(long, default_value_t = 5)]
    pub(crate) in_flight: usize,
    /// Bytes of a record's value
    #[arg(long, default_value_t = 1024)]
    pub(crate) record_size: usize,
    /// Bytes of all values in a request's batch
    #[arg(long, default_value_t = 65536)]
    pub(crate) batch_size: usize,
    /// none, gzip, snappy, lz4 or zstd: what the batches are compressed with, once, before the run
    #[arg(long, default_value = "none")]
    pub(crate) codec: String,
    /// 1 or -1; 0 has no answer and so no in-flight
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    pub(crate) acks: i16,
    /// Seconds that are not measured
    #[arg(long, default_value_t = 1.0)]
    pub(crate) ramp: f64,
    /// Measured seconds at most
    #[arg(long, default_value_t = 10.0)]
    pub(crate) duration: f64,
    /// Measured requests at most
    #[arg(long, default_value_t = u64::MAX)]
    pub(crate) count: u64,
    /// Requests per second over all connections, open loop; without it as fast as answers come
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Process id of the broker, to report its CPU time
    #[arg(long)]
    pub(crate) watch_pid: Option<u32>,
}

impl Args {
    fn check(&self) -> Result<(), Failure> {
        let fault = if !matches!(self.acks, 1 | -1) {
            "--acks is 1 or -1"
        } else if !(1..=4096).contains(&self.connections)
            || !(1..=1024).contains(&self.in_flight)
            || self.partitions == 0
        {
            "--connections is 1 to 4096, --in-flight 1 to 1024, --partitions at least 1"
        } else if self.record_size == 0 || self.batch_size < self.record_size || self.batch_size > 64 << 20 {
            "--batch-size is --record-size to 64 MiB"
        } else {
            return Ok(());
        };
        Err(Failure::Setup(fault.to_owned()))
    }

    fn records_per_batch(&self) -> usize {
        self.batch_size / self.record_size
    }
}

pub(crate) fn run(args: &Args) -> Result<Value, Failure> {
    args.check()?;
    let topic = Topic::find(&args.bootstrap, &args.topic, args.partitions, Duration::from_secs(30))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
    let batch = batch::build(args.records_per_batch(), args.record_size, now, codec(&args.codec)?)?;
    let poll = Poll::new().doing("create a poll")?;
    let mut lanes = Vec::with_capacity(args.connections);
    for n in 0..args.connections {
        let partition = n % args.partitions;
        let (frame, _) = protocol::produce(topic.id, partition as i32, args.acks, &batch);
        let mut lane = Lane::connect(topic.leaders[partition], &frame, args.in_flight)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut lane.stream, Token(n), both).doing("register a socket")?;
        lanes.push(lane);
    }
    let load =
        Load { poll, lanes, clock: Clock::start(), schedule: args.rate.map(|r| Schedule::new(r, args.connections)) };
    let measured = load.run(args)?;
    Ok(report(args, &measured))
}

fn codec(name: &str) -> Result<Codec, Failure> {
    let mut all = (0..=u8::MAX).map_while(Codec::from_id);
    all.find(|codec| codec.name() == name).ok_or_else(|| Failure::Setup(format!("no codec is called {name}")))
}

/// When requests are due: request `m` of lane `n` of `lanes` at `(m * lanes + n) * interval`.
#[derive(Clone, Copy)]
struct Schedule {
    interval_ns: f64,
    lanes: usize,
}

impl Schedule {
    fn new(rate: f64, lanes: usize) -> Schedule {
        Schedule { interval_ns: 1e9 / rate, lanes }
    }

    fn intended_ns(self, lane: usize, request: u64) -> u64 {
        ((request as f64 * self.lanes as f64 + lane as f64) * self.interval_ns) as u64
    }
}

struct Load {
    poll: Poll,
    lanes: Vec<Lane>,
    clock: Clock,
    schedule: Option<Schedule>,
}

/// What the measured part gave.
struct Measured {
    answered: u64,
    elapsed_ns: u64,
    service: Latencies,
    response: Latencies,
    usage: Value,
    last_offset: i64,
}

impl Load {
    fn run(mut self, args: &Args) -> Result<Measured, Failure> {
        let mut events = Events::with_capacity(self.lanes.len());
        let mut scratch = vec![0; 256 << 10];
        let mut tally = Tally { answered: 0, service: Latencies::new(), response: Latencies::new(), last_offset: -1 };
        let ramp_ns = (args.ramp * 1e9) as u64;
        let end_ns = ramp_ns + (args.duration * 1e9) as u64;
        let mut began: Option<(u64, Usage)> = None;
        self.release_all(self.clock.ns())?;
        loop {
            // Open loop spins: a timer's slack must not become the broker's latency.
            let wait = if self.schedule.is_some() { Duration::ZERO } else { Duration::from_millis(10) };
            poll_once(&mut self.poll, &mut events, wait)?;
            let mut now = self.clock.ns();
            for event in &events {
                let n = event.token().0;
                let lane = &mut self.lanes[n];
                if event.is_readable() || event.is_read_closed() {
                    now = self.clock.ns();
                    lane.receive(&mut scratch, now, &mut tally)?;
                    lane.release(self.clock.ns(), n, self.schedule);
                }
                lane.flush()?;
            }
            if self.schedule.is_some() {
                self.release_all(now)?;
            }
            match &began {
                None if now >= ramp_ns => {
                    tally.clear();
                    began = Some((now, Usage::start(args.watch_pid)));
                }
                Some((start, usage)) if now >= end_ns || tally.answered >= args.count => {
                    return Ok(tally.finish(now - start, usage.finish()));
                }
                _ => {}
            }
        }
    }

    fn release_all(&mut self, now: u64) -> Result<(), Failure> {
        for (n, lane) in self.lanes.iter_mut().enumerate() {
            lane.release(now, n, self.schedule);
            lane.flush()?;
        }
        Ok(())
    }
}

pub(crate) fn poll_once(poll: &mut Poll, events: &mut Events, wait: Duration) -> Result<(), Failure> {
    match poll.poll(events, Some(wait)) {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        other => other.doing("wait for sockets"),
    }
}

struct Tally {
    answered: u64,
    service: Latencies,
    response: Latencies,
    last_offset: i64,
}

impl Tally {
    fn clear(&mut self) {
        self.answered = 0;
        self.service.clear();
        self.response.clear();
    }

    fn finish(self, elapsed_ns: u64, usage: Value) -> Measured {
        let Tally { answered, service, response, last_offset } = self;
        Measured { answered, elapsed_ns, service, response, usage, last_offset }
    }
}

/// One connection. Request `m` lives in slot `m % in_flight`, so what is to be written is always one or two runs of bytes.
struct Lane {
    stream: TcpStream,
    replies: Replies,
    slots: Vec<u8>,
    frame_size: usize,
    intended_ns: Vec<u64>,
    sent_ns: Vec<u64>,
    released: u64,
    answered: u64,
    written_bytes: u64,
}

impl Lane {
    fn connect(address: SocketAddr, frame: &[u8], in_flight: usize) -> Result<Lane, Failure> {
        let stream = std::net::TcpStream::connect(address).doing("connect")?;
        stream.set_nodelay(true).doing("set TCP_NODELAY")?;
        stream.set_nonblocking(true).doing("set O_NONBLOCK")?;
        Ok(Lane {
            stream: TcpStream::from_std(stream),
            replies: Replies::new(protocol::HEAD_MAX),
            slots: frame.repeat(in_flight),
            frame_size: frame.len(),
            intended_ns: vec![0; in_flight],
            sent_ns: vec![0; in_flight],
            released: 0,
            answered: 0,
            written_bytes: 0,
        })
    }

    /// Fills free slots with what is due.
    fn release(&mut self, now: u64, lane: usize, schedule: Option<Schedule>) {
        let in_flight = self.sent_ns.len() as u64;
        while self.released - self.answered < in_flight {
            let intended = schedule.map_or(now, |s| s.intended_ns(lane, self.released));
            if intended > now {
                return;
            }
            let slot = (self.released % in_flight) as usize;
            self.intended_ns[slot] = intended;
            self.sent_ns[slot] = now;
            let at = slot * self.frame_size + protocol::CORRELATION_AT;
            self.slots[at..at + 4].copy_from_slice(&(self.released as i32).to_be_bytes());
            self.released += 1;
        }
    }

    /// Writes until everything released is written or the socket is full.
    fn flush(&mut self) -> Result<(), Failure> {
        let ring = self.slots.len() as u64;
        while self.written_bytes < self.released * self.frame_size as u64 {
            let start = self.written_bytes % ring;
            let end = ring.min(start + self.released * self.frame_size as u64 - self.written_bytes);
            match self.stream.write(&self.slots[start as usize..end as usize]) {
                Ok(count) => self.written_bytes += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::Io("send requests", error)),
            }
        }
        Ok(())
    }

    /// Reads what is there. A read that does not fill the buffer has emptied the socket, so no second call is needed.
    fn receive(&mut self, scratch: &mut [u8], now: u64, tally: &mut Tally) -> Result<(), Failure> {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return Err(Failure::Malformed("the broker closed the connection")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::Io("receive answers", error)),
            };
            let Lane { replies, answered, sent_ns, intended_ns, .. } = self;
            replies.feed(&scratch[..count], |head, _| {
                let (correlation_id, produced) = protocol::produced(head)?;
                if correlation_id != *answered as i32 {
                    return Err(Failure::Malformed("answers out of order"));
                }
                accepted("Produce", produced.error_code)?;
                let slot = (*answered % sent_ns.len() as u64) as usize;
                *answered += 1;
                tally.answered += 1;
                tally.service.record(now - sent_ns[slot]);
                tally.response.record(now - intended_ns[slot]);
                tally.last_offset = produced.base_offset;
                Ok(())
            })?;
            if count < scratch.len() {
                return Ok(());
            }
        }
    }
}

fn report(args: &Args, measured: &Measured) -> Value {
    let elapsed = seconds(measured.elapsed_ns);
    let value_bytes = (args.records_per_batch() * args.record_size) as f64;
    let requests = measured.answered as f64;
    let gib = requests * value_bytes / (1u64 << 30) as f64;
    let broker_cpu = measured.usage["broker"].as_f64();
    json!({
        "kind": "produce", "topic": args.topic, "partitions": args.partitions, "connections": args.connections,
        "in_flight": args.in_flight, "record_size": args.record_size, "records_per_batch": args.records_per_batch(),
        "acks": args.acks, "codec": args.codec, "rate": args.rate, "seconds": elapsed, "requests": measured.answered,
        "requests_per_s": requests / elapsed, "records_per_s": requests * args.records_per_batch() as f64 / elapsed,
        "gib_per_s": gib / elapsed, "last_offset": measured.last_offset,
        "service_us": measured.service.summary(),
        "response_us": args.rate.map(|_| measured.response.summary()),
        "cpu_s": measured.usage,
        "broker_cpu_us_per_request": broker_cpu.map(|s| s * 1e6 / requests),
        "broker_cpu_s_per_gib": broker_cpu.map(|s| s / gib),
    })
}
