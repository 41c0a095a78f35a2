//! OffsetCommit load: each connection commits for a group of its own that has no members, one offset of one partition a request.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Client, Topic, resolve};
use crate::coordinator::{self, Commit};
use crate::failure::Failure;
use crate::lanes::{Api, Lane, Limits, Load, Measured};
use crate::measure::seconds;

const API: Api = Api { name: "OffsetCommit", read: coordinator::committed };
const READY_MAX: Duration = Duration::from_secs(30);

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Must exist; groups are named after it
    #[arg(long)]
    topic: String,
    /// Connection i commits for partition i modulo this
    #[arg(long, default_value_t = 1)]
    partitions: usize,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Unanswered requests per connection
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    /// Seconds that are not measured
    #[arg(long, default_value_t = 1.0)]
    ramp: f64,
    /// Measured seconds at most
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Measured requests at most
    #[arg(long, default_value_t = u64::MAX)]
    count: u64,
    /// Requests per second over all connections, open loop; without it as fast as answers come
    #[arg(long)]
    rate: Option<f64>,
    /// Process id of the broker, to report its CPU time
    #[arg(long)]
    watch_pid: Option<u32>,
}

impl Args {
    fn check(&self) -> Result<(), Failure> {
        let lanes = (1..=4096).contains(&self.connections) && (1..=1024).contains(&self.in_flight);
        if lanes && self.partitions > 0 {
            return Ok(());
        }
        let bounds = "--connections is 1 to 4096, --in-flight 1 to 1024, --partitions at least 1";
        Err(Failure::Setup(bounds.to_owned()))
    }
}

pub(crate) fn run(args: &Args) -> Result<Value, Failure> {
    args.check()?;
    let topic = Topic::find(&args.bootstrap, &args.topic, args.partitions, READY_MAX)?;
    let groups: Vec<String> = (0..args.connections).map(|n| format!("{}-{n}", args.topic)).collect();
    let address = coordinator::find(&args.bootstrap, &groups, READY_MAX)?;
    let mut client = Client::connect(&address, READY_MAX)?;
    let peer = resolve(&address)?;
    let mut lanes = Vec::with_capacity(groups.len());
    for (n, group) in groups.iter().enumerate() {
        let partition = (n % args.partitions) as i32;
        let commit = Commit { group, topic_id: topic.id, partition, offset: 1000 + n as i64 };
        commit.until_accepted(&mut client, READY_MAX)?;
        lanes.push(Lane::connect(peer, &[commit.frame()], args.in_flight)?);
    }
    let Args { ramp, duration, count, watch_pid, .. } = *args;
    let measured = Load::new(API, lanes, args.rate)?.run(&Limits { ramp, duration, count, watch_pid })?;
    Ok(report(args, &groups, &measured))
}

fn report(args: &Args, groups: &[String], measured: &Measured) -> Value {
    let elapsed = seconds(measured.elapsed_ns);
    let requests = measured.answered as f64;
    let broker_cpu = measured.usage["broker"].as_f64();
    json!({
        "kind": "offset-commit", "topic": args.topic, "partitions": args.partitions, "connections": args.connections,
        "in_flight": args.in_flight, "offsets_partitions": coordinator::offsets_partitions(groups), "rate": args.rate,
        "seconds": elapsed, "requests": measured.answered, "requests_per_s": requests / elapsed,
        "service_us": measured.service.summary(),
        "response_us": args.rate.map(|_| measured.response.summary()),
        "cpu_s": measured.usage,
        "broker_cpu_us_per_request": broker_cpu.map(|s| s * 1e6 / requests),
    })
}
