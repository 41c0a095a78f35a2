//! Load and comparison: every number in the README comes from this binary.
//!
//! One process makes load (`produce`, `fetch`, `stream`, `drain`), on one core, with one event loop; `null-broker` is the other end of a pipe
//! that proves that the load is not what is being measured; `run` starts brokers, pins them, warms them and lets them take turns.

#![forbid(unsafe_code)]

mod batch;
mod broker;
mod client;
mod coordinator;
mod crowd;
mod discard;
mod drain;
mod environment;
mod failure;
mod fetch;
mod flame;
mod foreign;
mod gathering;
mod goal;
mod group_join;
mod html;
mod idle_groups;
mod lanes;
mod lifecycle;
mod load;
mod machine;
mod measure;
mod member;
mod null_broker;
mod offset_commit;
mod options;
mod pipe;
mod plots;
mod processes;
mod produce;
mod protocol;
mod record;
mod replies;
mod report;
mod run;
mod scenario;
mod series;
mod stream;
mod svg;
mod turn;
mod unacknowledged;
mod yaml;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send prebuilt Produce requests as fast as the broker answers, or at a fixed rate
    Produce(produce::Args),
    /// Read a topic from its start to its end, again and again
    Fetch(fetch::Args),
    /// Write and read records with stamps at a fixed rate; latency counts from the intended time
    Stream(stream::Args),
    /// Read a backlog, or follow, while producers write
    Drain(drain::Args),
    /// Commit offsets of groups without members as fast as the coordinator answers, or at a fixed rate
    OffsetCommit(offset_commit::Args),
    /// Members that join a group at once, until it has settled
    GroupJoin(group_join::Args),
    /// Groups whose members only send heartbeats
    IdleGroups(idle_groups::Args),
    /// Answer Produce and Fetch without keeping anything: the load's own limit
    NullBroker(null_broker::Args),
    /// From the start of a command on an empty directory to the first answered request
    StartTime(lifecycle::Args),
    /// From a start after SIGKILL to the first acknowledged record
    RecoverTime(lifecycle::Args),
    /// Resident memory of a broker that has nothing to do
    IdleRss(lifecycle::Args),
    /// Run scenarios against several brokers, interleaved
    Run(run::Args),
    /// Print the table of a finished run (its .jsonl file)
    Table(report::Args),
    /// Write the page and the pictures of a finished run again
    Report(html::Args),
    /// Fold the output of `perf script` into a flame graph
    Flame(flame::Args),
}

fn main() {
    let outcome = match Cli::parse().command {
        Command::Produce(args) => produce::run(&args).map(|v| println!("{v}")),
        Command::Fetch(args) => fetch::run(&args).map(|v| println!("{v}")),
        Command::Stream(args) => stream::run(&args).map(|v| println!("{v}")),
        Command::Drain(args) => drain::run(&args).map(|v| println!("{v}")),
        Command::OffsetCommit(args) => offset_commit::run(&args).map(|v| println!("{v}")),
        Command::GroupJoin(args) => group_join::run(&args).map(|v| println!("{v}")),
        Command::IdleGroups(args) => idle_groups::run(&args).map(|v| println!("{v}")),
        Command::NullBroker(args) => null_broker::run(&args),
        Command::StartTime(args) => lifecycle::start_time(&args).map(|v| println!("{v}")),
        Command::RecoverTime(args) => lifecycle::recover_time(&args).map(|v| println!("{v}")),
        Command::IdleRss(args) => lifecycle::idle_rss(&args).map(|v| println!("{v}")),
        Command::Run(args) => run::run(&args),
        Command::Table(args) => report::print(&args),
        Command::Report(args) => html::run(&args),
        Command::Flame(args) => flame::run(&args),
    };
    if let Err(failure) = outcome {
        eprintln!("perf: {failure}");
        std::process::exit(1);
    }
}
