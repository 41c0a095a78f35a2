//! Produce load: many connections, each with a fixed number of requests in flight, on one thread.
//!
//! Without a rate a request is sent as soon as an earlier one is answered, so only throughput and service time are worth
//! quoting. With a rate, request `i` is due at `start + i / rate` whatever the broker does, and latency counts from then.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use wire::records::Codec;

use crate::client::{Client, Topic};
use crate::failure::Failure;
use crate::lanes::{Answer, Api, Lane, Limits, Load, Measured, Sequence};
use crate::measure::seconds;
use crate::{batch, protocol, unacknowledged};

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub(crate) bootstrap: String,
    /// Must exist
    #[arg(long)]
    pub(crate) topic: String,
    /// Connection i writes to partition i modulo this, or to each of its share in turns
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
    /// 1, -1 or 0; 0 has no answer: requests are sent as fast as the socket takes them, and counted by the log's end
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    pub(crate) acks: i16,
    /// Every connection is an idempotent producer, which numbers its batches
    #[arg(long)]
    pub(crate) idempotent: bool,
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
        let fault = if !matches!(self.acks, -1..=1) || self.acks == 0 && (self.idempotent || self.rate.is_some()) {
            "--acks is 1 or -1, or 0 without --rate and --idempotent"
        } else if !(1..=4096).contains(&self.connections)
            || !(1..=1024).contains(&self.in_flight)
            || self.partitions == 0
        {
            "--connections is 1 to 4096, --in-flight 1 to 1024, --partitions at least 1"
        } else if self.idempotent && self.partitions > self.connections {
            "--idempotent has a connection for each partition"
        } else if self.record_size == 0 || self.batch_size < self.record_size || self.batch_size > 64 << 20 {
            "--batch-size is --record-size to 64 MiB"
        } else {
            return Ok(());
        };
        Err(Failure::Setup(fault.to_owned()))
    }

    pub(crate) fn records_per_batch(&self) -> usize {
        self.batch_size / self.record_size
    }
}

pub(crate) fn run(args: &Args) -> Result<Value, Failure> {
    args.check()?;
    let topic = Topic::find(&args.bootstrap, &args.topic, args.partitions, Duration::from_secs(30))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
    let batch = batch::build(args.records_per_batch(), args.record_size, now, codec(&args.codec)?)?;
    if args.acks == 0 {
        return unacknowledged::run(args, &topic, &batch);
    }
    let mut lanes = Vec::with_capacity(args.connections);
    for n in 0..args.connections {
        lanes.push(lane(args, &topic, n, &batch)?);
    }
    let Args { ramp, duration, count, watch_pid, .. } = *args;
    let measured = Load::new(API, lanes, args.rate)?.run(&Limits { ramp, duration, count, watch_pid })?;
    Ok(report(args, &measured))
}

/// Connection `n`: to one partition; where there are more partitions than connections, to every one of its share in turns.
fn lane(args: &Args, topic: &Topic, n: usize, batch: &[u8]) -> Result<Lane, Failure> {
    let first = n % args.partitions;
    let leader = topic.leaders[first];
    let share =
        (first..args.partitions).step_by(args.connections).filter(|partition| topic.leaders[*partition] == leader);
    let mut batch_at = 0;
    let mut frames = Vec::new();
    for partition in share {
        let (frame, at) = protocol::produce(topic.id, partition as i32, args.acks, batch);
        batch_at = at;
        frames.push(frame);
    }
    let lane = Lane::connect(leader, &frames, args.in_flight)?;
    if !args.idempotent {
        return Ok(lane);
    }
    let mut client = Client::connect(&leader.to_string(), Duration::from_secs(30))?;
    let (producer_id, producer_epoch) = client.init_producer_id()?;
    let batch = batch_at..batch_at + batch.len();
    Ok(lane.idempotent(Sequence { producer_id, producer_epoch, batch, records: args.records_per_batch() }))
}

pub(crate) const API: Api = Api { name: "Produce", read: answer };

fn answer(head: &[u8]) -> Result<Answer, Failure> {
    let (correlation_id, produced) = protocol::produced(head)?;
    Ok(Answer { correlation_id, error_code: produced.error_code, offset: produced.base_offset })
}

pub(crate) fn codec(name: &str) -> Result<Codec, Failure> {
    let mut all = (0..=u8::MAX).map_while(Codec::from_id);
    all.find(|codec| codec.name() == name).ok_or_else(|| Failure::Setup(format!("no codec is called {name}")))
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
        "acks": args.acks, "codec": args.codec, "idempotent": args.idempotent, "rate": args.rate, "spins": args.rate.is_some(), "seconds": elapsed, "requests": measured.answered,
        "requests_per_s": requests / elapsed, "records_per_s": requests * args.records_per_batch() as f64 / elapsed,
        "gib_per_s": gib / elapsed, "last_offset": measured.last_offset,
        "service_us": measured.service.summary(),
        "response_us": args.rate.map(|_| measured.response.summary()),
        "timeline": measured.timeline, "cpu_s": measured.usage,
        "broker_cpu_us_per_request": broker_cpu.map(|s| s * 1e6 / requests),
        "broker_cpu_s_per_gib": broker_cpu.map(|s| s / gib),
    })
}
