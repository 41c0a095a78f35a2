//! Producers and consumers at once, in one thread that never sleeps: producers write whole batches, and consumers, one a partition, follow
//! them or come from behind.
//!
//! With a backlog there are two phases: producers alone, then producers while consumers read until they have the backlog. What the second
//! does to the producers is the ratio of their p99s, both from the intended time. Without one, consumers read from the start on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};
use wire::records::Codec;

use crate::client::{Client, Topic};
use crate::failure::{Doing, Failure};
use crate::fetch::{self, Contents, Receive};
use crate::lanes::{Lane, Schedule, Tally, poll_once};
use crate::measure::{Clock, Latencies, seconds};
use crate::processes::Usage;
use crate::{batch, produce, protocol};

/// A backlog that is not read by then is reported as far as it was.
const DRAIN_MAX: Duration = Duration::from_secs(20);

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// What it holds is the backlog: batches as the producers here write them
    #[arg(long)]
    topic: String,
    /// Producer i writes to partition i modulo this; each has a consumer
    #[arg(long, default_value_t = 8)]
    partitions: usize,
    #[arg(long, default_value_t = 8)]
    producers: usize,
    #[arg(long, default_value_t = 1024)]
    record_size: usize,
    #[arg(long, default_value_t = 16384)]
    batch_size: usize,
    /// Requests per second of all producers, open loop; without it as fast as answers come
    #[arg(long)]
    rate: Option<f64>,
    #[arg(long, default_value_t = 5)]
    in_flight: usize,
    #[arg(long, default_value_t = 1 << 20)]
    max_bytes: i32,
    #[arg(long, default_value_t = 1.0)]
    ramp: f64,
    /// Seconds of producers alone, or of both where there is no backlog
    #[arg(long, default_value_t = 4.0)]
    duration: f64,
    /// Process id of the broker, to report its CPU time
    #[arg(long)]
    watch_pid: Option<u32>,
}

pub(crate) fn run(args: &Args) -> Result<Value, Failure> {
    let counts = [args.partitions, args.producers, args.in_flight, args.record_size];
    if counts.contains(&0) || args.batch_size < args.record_size || args.max_bytes < 1 {
        return Err(Failure::Setup("counts and sizes are at least 1, --batch-size --record-size".to_owned()));
    }
    let topic = Topic::find(&args.bootstrap, &args.topic, args.partitions, Duration::from_secs(30))?;
    let mut both = Both::connect(args, &topic)?;
    both.produce_for(args.ramp)?;
    if both.backlog_bytes() == 0 { follow(args, &mut both) } else { drain(args, &mut both) }
}

fn follow(args: &Args, both: &mut Both) -> Result<Value, Failure> {
    both.consume()?;
    both.produce_for(args.ramp)?;
    let (usage, from) = (Usage::start(args.watch_pid), both.clock.ns());
    (both.fetched, both.produced) = (fetch::Tally::new(), Tally::new(1));
    both.produce_for(args.duration)?;
    Ok(report(args, both, None, seconds(both.clock.ns() - from), &usage.finish()))
}

fn drain(args: &Args, both: &mut Both) -> Result<Value, Failure> {
    both.produced = Tally::new(1);
    both.produce_for(args.duration)?;
    let alone = std::mem::replace(&mut both.produced, Tally::new(1)).response;
    let (usage, from) = (Usage::start(args.watch_pid), both.clock.ns());
    both.consume()?;
    while !both.has_backlog() && both.clock.ns() < from + DRAIN_MAX.as_nanos() as u64 {
        both.turn()?;
    }
    Ok(report(args, both, Some(&alone), seconds(both.clock.ns() - from), &usage.finish()))
}

struct Both {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    clock: Clock,
    schedule: Option<Schedule>,
    producers: Vec<Lane>,
    consumers: Vec<fetch::Lane>,
    /// Ends of the partitions before the first record of this run.
    backlog: Vec<i64>,
    contents: Contents,
    produced: Tally,
    fetched: fetch::Tally,
}

impl Both {
    fn connect(args: &Args, topic: &Topic) -> Result<Both, Failure> {
        let poll = Poll::new().doing("create a poll")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
        let records = args.batch_size / args.record_size;
        let batch = batch::build(records, args.record_size, now, Codec::None)?;
        let contents = Contents { end: None, batch_bytes: batch.len(), batch_records: records as i64 };
        let (mut producers, mut consumers, mut backlog) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..args.producers {
            let partition = n % args.partitions;
            let (frame, _) = protocol::produce(topic.id, partition as i32, 1, &batch);
            let mut lane = Lane::connect(topic.leaders[partition], &[frame], args.in_flight)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut lane.stream, Token(n), interest).doing("register a socket")?;
            producers.push(lane);
        }
        let options = fetch::Args {
            bootstrap: args.bootstrap.clone(),
            topic: args.topic.clone(),
            partitions: args.partitions,
            connections: args.partitions,
            max_bytes: args.max_bytes,
            receive: Receive::Discard,
            check_every: 512,
            read_size: 256 << 10,
            ramp: 0.0,
            duration: 0.0,
            watch_pid: None,
        };
        for partition in 0..args.partitions {
            let leader = topic.leaders[partition];
            let mut client = Client::connect(&leader.to_string(), Duration::from_secs(30))?;
            backlog.push(client.log_end_offset(&args.topic, partition)?);
            let mut lane = fetch::Lane::connect(&options, topic, partition, contents)?;
            let token = Token(args.producers + partition);
            poll.registry().register(&mut lane.stream, token, Interest::READABLE).doing("register a socket")?;
            consumers.push(lane);
        }
        let (events, scratch) = (Events::with_capacity(256), vec![0; options.read_size]);
        let schedule = args.rate.map(|rate| Schedule::new(rate, args.producers));
        let (produced, fetched) = (Tally::new(1), fetch::Tally::new());
        let clock = Clock::start();
        Ok(Both { poll, events, scratch, clock, schedule, producers, consumers, backlog, contents, produced, fetched })
    }

    fn backlog_bytes(&self) -> u64 {
        let records: i64 = self.backlog.iter().sum();
        records as u64 / self.contents.batch_records as u64 * self.contents.batch_bytes as u64
    }

    /// Whether every consumer has what was there before.
    fn has_backlog(&self) -> bool {
        self.consumers.iter().zip(&self.backlog).all(|(lane, end)| lane.offset >= *end)
    }

    fn consume(&mut self) -> Result<(), Failure> {
        let now = self.clock.ns();
        self.consumers.iter_mut().try_for_each(|lane| lane.ask(now))
    }

    fn produce_for(&mut self, seconds: f64) -> Result<(), Failure> {
        let end_ns = self.clock.ns() + (seconds * 1e9) as u64;
        while self.clock.ns() < end_ns {
            self.turn()?;
        }
        Ok(())
    }

    /// Producers come first, and again after each consumer: a megabyte that is read must not be their latency.
    fn turn(&mut self) -> Result<(), Failure> {
        self.release()?;
        poll_once(&mut self.poll, &mut self.events, Duration::ZERO)?;
        for event in &self.events {
            if let Some(lane) = self.producers.get_mut(event.token().0) {
                let now = self.clock.ns();
                lane.receive(produce::API, &mut self.scratch, now, &mut self.produced)?;
            }
        }
        let count = self.producers.len();
        let consumers: Vec<usize> = self.events.iter().filter_map(|event| event.token().0.checked_sub(count)).collect();
        for n in consumers {
            self.consumers[n].receive(&mut self.scratch, self.clock, &mut self.fetched)?;
            self.release()?;
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), Failure> {
        for (n, lane) in self.producers.iter_mut().enumerate() {
            lane.release(self.clock.ns(), n, self.schedule);
            lane.flush()?;
        }
        Ok(())
    }
}

fn report(args: &Args, both: &Both, alone: Option<&Latencies>, elapsed: f64, usage: &Value) -> Value {
    let gib = both.fetched.bytes as f64 / (1u64 << 30) as f64;
    let p99 = |latencies: &Latencies| latencies.summary()["p99"].as_f64();
    let ratio = alone.and_then(p99).zip(p99(&both.produced.response)).map(|(alone, both)| both / alone);
    json!({
        "kind": "drain", "topic": args.topic, "partitions": args.partitions, "producers": args.producers, "rate": args.rate,
        "batch_size": args.batch_size, "backlog_bytes": both.backlog_bytes(), "is_drained": both.has_backlog(), "spins": true,
        "seconds": elapsed, "gib_per_s": gib / elapsed, "records_per_s": both.fetched.records as f64 / elapsed,
        "produced_per_s": both.produced.answered as f64 / elapsed,
        "alone_us": alone.map(Latencies::summary), "produce_us": both.produced.response.summary(), "p99_ratio": ratio,
        "cpu_s": usage, "broker_cpu_s_per_gib": usage["broker"].as_f64().map(|s| s / gib),
    })
}
