//! Produce load: many connections, each with a fixed number of requests in flight, on one thread.
//!
//! Without a rate a request is sent as soon as an earlier one is answered, so only throughput and service time are worth
//! quoting. With a rate, request `i` is due at `start + i / rate` whatever the broker does, and latency counts from then.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use wire::records::Codec;

use crate::client::Topic;
use crate::failure::Failure;
use crate::lanes::{Answer, Api, Lane, Limits, Load, Measured};
use crate::measure::seconds;
use crate::{batch, protocol};

const API: Api = Api { name: "Produce", read: answer };

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
    let mut lanes = Vec::with_capacity(args.connections);
    for n in 0..args.connections {
        let partition = n % args.partitions;
        let (frame, _) = protocol::produce(topic.id, partition as i32, args.acks, &batch);
        lanes.push(Lane::connect(topic.leaders[partition], &frame, args.in_flight)?);
    }
    let Args { ramp, duration, count, watch_pid, .. } = *args;
    let measured = Load::new(API, lanes, args.rate)?.run(&Limits { ramp, duration, count, watch_pid })?;
    Ok(report(args, &measured))
}

fn answer(head: &[u8]) -> Result<Answer, Failure> {
    let (correlation_id, produced) = protocol::produced(head)?;
    Ok(Answer { correlation_id, error_code: produced.error_code, offset: produced.base_offset })
}

fn codec(name: &str) -> Result<Codec, Failure> {
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
