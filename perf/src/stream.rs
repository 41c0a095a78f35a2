//! End to end: producers send records with stamps, consumers of one or more groups read them by long polls, in one thread that never sleeps.
//!
//! Each record carries two stamps of this process's clock: when it was due and when it was sent. Latency is counted from the
//! first; the second shows how much of it the broker can't be blamed for. A producer sends what is due, by partition, as a client's
//! accumulator does: after `--linger-ms`, at most `--records-per-request`, a few requests in flight.

mod consumer;
mod producer;

use std::time::Duration;

use mio::{Events, Poll, Token};
use serde_json::{Value, json};

use crate::client::Topic;
use crate::failure::{Doing, Failure};
use crate::lanes::poll_once;
use crate::measure::{Clock, Latencies, Timeline, seconds};
use crate::processes::Usage;
use consumer::Consumer;
use producer::{Plan, Producer};

/// How long records may take to arrive after the last one was due.
const DRAIN_NS: u64 = 5_000_000_000;

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Must exist and be empty
    #[arg(long)]
    topic: String,
    #[arg(long, default_value_t = 1)]
    partitions: usize,
    #[arg(long, default_value_t = 1)]
    producers: usize,
    /// Groups that each read everything
    #[arg(long, default_value_t = 1)]
    subscriptions: usize,
    /// Of each subscription; they share the partitions
    #[arg(long, default_value_t = 1)]
    consumers: usize,
    /// Records per second of all producers; 0: as many as are answered
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Bytes of a record's value, at least 16
    #[arg(long, default_value_t = 1024)]
    record_size: usize,
    /// Records have random keys, which spread them over all partitions; without, a producer keeps to one partition
    #[arg(long)]
    keyed: bool,
    #[arg(long, default_value_t = 0.0)]
    linger_ms: f64,
    #[arg(long, default_value_t = 16)]
    records_per_request: usize,
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    acks: i16,
    /// Unanswered requests of a producer
    #[arg(long, default_value_t = 5)]
    in_flight: usize,
    #[arg(long, default_value_t = 500)]
    max_wait_ms: i32,
    /// Seconds that are not measured
    #[arg(long, default_value_t = 2.0)]
    ramp: f64,
    #[arg(long, default_value_t = 20.0)]
    duration: f64,
    /// Process id of the broker, to report its CPU time
    #[arg(long)]
    watch_pid: Option<u32>,
}

impl Args {
    fn check(&self) -> Result<(), Failure> {
        let counts = [self.partitions, self.producers, self.consumers, self.records_per_request, self.in_flight];
        let sizes = (16..=1 << 19).contains(&self.record_size) && matches!(self.acks, 1 | -1);
        if counts.iter().all(|count| (1..=4096).contains(count)) && sizes && self.rate >= 0.0 {
            return Ok(());
        }
        let bounds = "--record-size is 16 to 512 KiB, --acks 1 or -1, --rate not below 0, counts 1 to 4096";
        Err(Failure::Setup(bounds.to_owned()))
    }
}

/// What was seen of records that were due in the measured time.
pub(crate) struct Tally {
    from_ns: u64,
    to_ns: u64,
    acked: u64,
    response: Latencies,
    service: Latencies,
    ack: Latencies,
    timeline: Timeline,
}

impl Tally {
    fn counts(&self, due_ns: u64) -> bool {
        (self.from_ns..self.to_ns).contains(&due_ns)
    }

    fn acknowledged(&mut self, due_ns: u64, now: u64) {
        if self.counts(due_ns) {
            self.acked += 1;
            self.ack.record(now - due_ns);
        }
    }

    fn received(&mut self, due_ns: u64, sent_ns: u64, now: u64) {
        if self.counts(due_ns) {
            self.response.record(now.saturating_sub(due_ns));
            self.service.record(now.saturating_sub(sent_ns));
            self.timeline.record(due_ns - self.from_ns, now.saturating_sub(due_ns));
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<Value, Failure> {
    args.check()?;
    let topic = Topic::find(&args.bootstrap, &args.topic, args.partitions, Duration::from_secs(30))?;
    if topic.leaders.iter().any(|leader| *leader != topic.leaders[0]) {
        return Err(Failure::Setup("partitions have more than one leader: this load speaks to one".to_owned()));
    }
    let mut poll = Poll::new().doing("create a poll")?;
    let plan = Plan::new(args, topic.id);
    let mut stage = Stage { producers: Vec::new(), consumers: Vec::new() };
    for n in 0..args.producers {
        stage.producers.push(Producer::connect(topic.leaders[0], poll.registry(), Token(n), n, &plan)?);
    }
    for n in 0..args.subscriptions * args.consumers {
        let partitions = (n % args.consumers..args.partitions).step_by(args.consumers);
        let token = Token(args.producers + n);
        let consumer =
            Consumer::connect(topic.leaders[0], poll.registry(), token, topic.id, partitions, args.max_wait_ms)?;
        stage.consumers.push(consumer);
    }
    measure(args, &plan, &mut poll, &mut stage)
}

struct Stage {
    producers: Vec<Producer>,
    /// Of the first subscription, of the second, and so on. Tokens follow those of the producers.
    consumers: Vec<Consumer>,
}

impl Stage {
    fn sent(&self) -> u64 {
        self.producers.iter().map(|producer| producer.sent).sum()
    }

    /// Whether everything sent was acknowledged and has come to every subscription.
    fn is_quiet(&self, subscriptions: usize) -> bool {
        let received: u64 = self.consumers.iter().map(|consumer| consumer.received).sum();
        self.producers.iter().all(Producer::is_idle) && received == self.sent() * subscriptions as u64
    }

    fn serve(&mut self, events: &Events, scratch: &mut [u8], clock: Clock, tally: &mut Tally) -> Result<(), Failure> {
        for event in events {
            let n = event.token().0;
            match n.checked_sub(self.producers.len()) {
                None => self.producers[n].receive(scratch, clock, tally)?,
                Some(n) => self.consumers[n].receive(scratch, clock, tally)?,
            }
        }
        Ok(())
    }
}

fn measure(args: &Args, plan: &Plan, poll: &mut Poll, stage: &mut Stage) -> Result<Value, Failure> {
    let from_ns = (args.ramp * 1e9) as u64;
    let duration_ns = (args.duration * 1e9) as u64;
    let to_ns = from_ns + duration_ns;
    let (response, service, ack) = (Latencies::new(), Latencies::new(), Latencies::new());
    let mut tally = Tally { from_ns, to_ns, acked: 0, response, service, ack, timeline: Timeline::new(duration_ns) };
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; 256 << 10];
    let clock = Clock::start();
    let mut usage: Option<Usage> = None;
    let mut used = Value::Null;
    for consumer in &mut stage.consumers {
        consumer.ask()?;
    }
    loop {
        let now = clock.ns();
        for producer in &mut stage.producers {
            producer.send_due(plan, now.min(to_ns), clock)?;
        }
        poll_once(poll, &mut events, Duration::ZERO)?;
        stage.serve(&events, &mut scratch, clock, &mut tally)?;
        if usage.is_none() && now >= from_ns {
            usage = Some(Usage::start(args.watch_pid));
        }
        if used.is_null() && now >= to_ns {
            used = usage.as_ref().map_or(Value::Null, Usage::finish);
        }
        // As many as are answered: what is under way at the end is nobody's loss.
        if now >= to_ns && (args.rate == 0.0 || stage.is_quiet(args.subscriptions)) {
            return Ok(report(args, &tally, seconds(duration_ns), &used));
        }
        if now > to_ns + DRAIN_NS {
            return Err(Failure::Setup(format!("not all of {} records arrived", stage.sent())));
        }
    }
}

fn report(args: &Args, tally: &Tally, elapsed: f64, usage: &Value) -> Value {
    let records = tally.acked as f64;
    let latencies = args.subscriptions > 0;
    json!({
        "kind": "stream", "topic": args.topic, "rate": args.rate, "record_size": args.record_size, "acks": args.acks,
        "partitions": args.partitions, "producers": args.producers, "subscriptions": args.subscriptions, "consumers": args.consumers,
        "keyed": args.keyed, "linger_ms": args.linger_ms, "spins": true,
        "seconds": elapsed, "records": records, "records_per_s": records / elapsed,
        "response_us": latencies.then(|| tally.response.summary()), "service_us": latencies.then(|| tally.service.summary()),
        "ack_us": tally.ack.summary(), "timeline": tally.timeline.value(),
        "cpu_s": usage, "broker_cpu_us_per_request": usage["broker"].as_f64().map(|s| s * 1e6 / records),
    })
}
