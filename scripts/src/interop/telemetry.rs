//! Metrics of clients (KIP-714): a Java producer, as it is installed, is asked for some and pushes them, and they are counted.

use crate::deps;
use crate::interop::Env;
use crate::interop::server::{Form, Kind, Server};
use crate::tally::Tally;

pub(crate) fn run(env: &Env, kind: &Kind, tally: &mut Tally) {
    let mut broker = None;
    tally.check("telemetry: a broker that counts", || {
        broker = Some(start(env, kind)?);
        Ok(String::new())
    });
    let Some(mut server) = broker else { return };
    tally.check("telemetry: a Java client is asked for its metrics, and pushes them", || pushes(env, &mut server));
}

fn start(env: &Env, kind: &Kind) -> Result<Server, String> {
    let dir = env.scratch.join("telemetry");
    match kind {
        Kind::Ringmill { .. } => {
            Server::create(kind, &dir, &[("ringmill.client.telemetry", "count"), ("ringmill.shards", "2")])
        }
        Kind::Kafka { libs } => {
            let form = Form { classes: Some(deps::telemetry_receiver(libs)?), ..Form::default() };
            Server::create_with(kind, &dir, &[("metric.reporters", "CountingReceiver")], form)
        }
    }
}

/// In four seconds some intervals are over, and a producer that closes pushes once more. What was counted is told at the
/// broker's end at the latest.
fn pushes(env: &Env, server: &mut Server) -> Result<String, String> {
    let bootstrap = server.bootstrap();
    let connect = ["--bootstrap-server", &bootstrap];
    let subscription = ["--alter", "--name", "java", "--metrics", "org.apache.kafka.producer.", "--interval", "500"];
    let matching = ["--match", "client_software_name=apache-kafka-java,client_id=perf-.*"];
    env.java.tool_ok("ClientMetricsCommand", "", &[&connect[..], &subscription, &matching].concat())?;
    let work = ["--topic", "pushed", "--num-records", "400", "--record-size", "100", "--throughput", "100"];
    let client = ["--producer-props", &format!("bootstrap.servers={bootstrap}"), "client.id=perf-1"];
    env.java.tool_ok("ProducerPerformance", "", &[&work[..], &client].concat())?;
    server.stop()?;
    match counted(server)? {
        (pushes, bytes) if pushes >= 3 && bytes > 0 => Ok(format!("{pushes} pushes, {bytes} bytes")),
        (pushes, _) => Err(format!("only {pushes} pushes were counted")),
    }
}

/// Pushes and their bytes, over all shards; an error where some were refused.
fn counted(server: &Server) -> Result<(u64, u64), String> {
    let log = std::fs::read_to_string(server.log()).map_err(|e| format!("read the broker's log: {e}"))?;
    let mut newest = std::collections::BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("plugin-export=")) {
        let (who, counts) = line.split_once("client-metrics").ok_or(line)?.1.split_once(": ").ok_or(line)?;
        newest.insert(who.to_owned(), counts.to_owned());
    }
    let mut sum = (0, 0);
    for counts in newest.values() {
        let count = |name: &str| {
            let word = counts.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            word.and_then(|number| number.parse::<u64>().ok()).ok_or(format!("no {name} in {counts}"))
        };
        if count("plugin-error")? > 0 || count("throttle")? > 0 {
            return Err(format!("some were refused: {counts}"));
        }
        sum = (sum.0 + count("plugin-export")?, sum.1 + count("plugin-export-bytes")?);
    }
    Ok(sum)
}
