//! How long a group takes whose members all come at once, from the first request until it has settled.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Client, Topic, resolve};
use crate::coordinator;
use crate::failure::Failure;
use crate::gathering::{Gathering, Settled, Shape};
use crate::measure::seconds;
use crate::member::{Group, GroupProtocol, Member};
use crate::processes::Usage;

const READY_MAX: Duration = Duration::from_secs(30);

#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Must exist; the group is named after it
    #[arg(long)]
    topic: String,
    #[arg(long, default_value_t = 100)]
    partitions: usize,
    #[arg(long, default_value_t = 100)]
    members: usize,
    #[arg(long, value_enum, default_value_t = GroupProtocol::Classic)]
    protocol: GroupProtocol,
    /// Seconds until a group that has not settled is given up
    #[arg(long, default_value_t = 120)]
    timeout: u64,
    /// Process id of the broker, to report its CPU time
    #[arg(long)]
    watch_pid: Option<u32>,
}

pub(crate) fn run(args: &Args) -> Result<Value, Failure> {
    if !(1..=1000).contains(&args.members) || !(1..=10_000).contains(&args.partitions) {
        return Err(Failure::Setup("--members is 1 to 1000, --partitions 1 to 10000".to_owned()));
    }
    let topic = Topic::find(&args.bootstrap, &args.topic, args.partitions, READY_MAX)?;
    let name = format!("{}-group", args.topic);
    let address = coordinator::find(&args.bootstrap, std::slice::from_ref(&name), READY_MAX)?;
    let group = Group { name, topic: args.topic.clone(), topic_id: topic.id, partitions: args.partitions as i32 };
    let members = (0..args.members).map(|n| Member::new(args.protocol, group.clone(), n)).collect();
    let shape = Shape { members: args.members, partitions: args.partitions };
    let mut gathering = Gathering::connect(resolve(&address)?, shape, members)?;
    let usage = Usage::start(args.watch_pid);
    let settled = gathering.settle(Duration::from_secs(args.timeout))?;
    let used = usage.finish();
    let result = report(args, &gathering, &settled, &used);
    leave(&address, &gathering)?;
    Ok(result)
}

/// Whatever is answered: a member that is not let go is gone when its session ends.
fn leave(address: &str, gathering: &Gathering) -> Result<(), Failure> {
    let mut client = Client::connect(address, READY_MAX)?;
    for member in gathering.members() {
        client.exchange(&member.leaving())?;
    }
    Ok(())
}

fn report(args: &Args, gathering: &Gathering, settled: &Settled, used: &Value) -> Value {
    let generation = gathering.members().next().and_then(Member::share).map(|share| share.generation);
    json!({
        "kind": "group-join", "topic": args.topic, "partitions": args.partitions, "members": args.members,
        "protocol": args.protocol.name(), "seconds": seconds(settled.elapsed_ns),
        "settled_ms": settled.elapsed_ns as f64 / 1e6, "first_share_ms": settled.first_share_ns as f64 / 1e6,
        "requests": settled.requests, "generation": generation, "cpu_s": used,
    })
}
