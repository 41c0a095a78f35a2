//! Direct addressing with clients and tools as they are: two shards, each a node to them. Every client writes and reads all
//! that the others wrote, groups come and go, and at the end the broker's own count says that nothing of that went between
//! the shards.

use crate::interop::server::{Kind, Server};
use crate::interop::{Env, groups, matrix};
use crate::tally::Tally;
use std::collections::BTreeMap;

const SETTINGS: [(&str, &str); 3] =
    [("ringmill.shards", "2"), ("ringmill.addressing", "direct"), ("ringmill.addressing.ports", "PLAINTEXT:0")];

/// A group of each kind of client library, in both protocols.
const GROUPS: [&str; 3] = ["java consumer", "kcat classic range", "franz-go classic range"];

/// New topics, images and checkpoints are told to every shard, and whoever is asked takes what is the controller's to it.
/// Of what is produced and fetched, and of what groups do, nothing is.
const CROSSINGS_PER_CENT_MAX: u64 = 3;

pub(crate) fn run(env: &mut Env, kind: &Kind, tally: &mut Tally) {
    let settings = [&SETTINGS[..], &groups::SETTINGS[..]].concat();
    let mut started = None;
    tally.check("direct: a broker with two shards, each a node", || {
        started = Some(Server::create(kind, &env.scratch.join("direct"), &settings)?);
        Ok(String::new())
    });
    let Some(mut server) = started else { return };
    let before = std::mem::replace(&mut env.bootstrap, server.bootstrap());
    tally.check("direct: tools tell of two nodes", || nodes(env));
    tally.check("direct: each partition's leader, log and settings are at one of them", || partitions(env));
    tally.prefixed("direct, ", |tally| {
        matrix::run(env, tally);
        groups::some(env, &server, &GROUPS, tally);
    });
    tally.check("direct: produce, fetch and groups made no calls between the shards", || crossings(&mut server));
    env.bootstrap = before;
}

fn nodes(env: &Env) -> Result<String, String> {
    let server = ["--bootstrap-server", &env.bootstrap];
    let versions = env.java.tool_ok("BrokerApiVersionsCommand", "", &server)?;
    let endpoints = env.java.tool_ok("ClusterTool", "", &[&["list-endpoints"], &server[..]].concat())?;
    for (said, of_node) in [(&versions, "id: "), (&endpoints, "")] {
        for node in ["1", "1001"] {
            let told = if of_node.is_empty() {
                said.lines().any(|line| line.split_whitespace().next() == Some(node))
            } else {
                said.contains(&format!("{of_node}{node} "))
            };
            if !told {
                return Err(format!("node {node} is not in\n{said}"));
            }
        }
    }
    let quorum = env.java.tool_ok("MetadataQuorumCommand", "", &[&server[..], &["describe", "--status"]].concat())?;
    if !quorum.lines().any(|line| line.starts_with("LeaderId:") && line.ends_with(" 1")) {
        return Err(format!("the controller is not node 1\n{quorum}"));
    }
    Ok(String::new())
}

fn partitions(env: &Env) -> Result<String, String> {
    let topic = env.topic("direct");
    env.create_topic(&topic, 4)?;
    let server = ["--bootstrap-server", &env.bootstrap];
    let tool = |name: &str, args: &[&str]| env.java.tool_ok(name, "", &[&server[..], args].concat());
    let described = tool("TopicCommand", &["--describe", "--topic", &topic])?;
    let mut leaders = BTreeMap::new();
    for line in described.lines() {
        let field = |name: &str| line.split('\t').find_map(|field| field.trim().strip_prefix(name)).map(str::trim);
        if let (Some(partition), Some(leader), Some(replicas)) =
            (field("Partition:"), field("Leader:"), field("Replicas:"))
        {
            if leader != replicas {
                return Err(format!("its leader is not its replica\n{line}"));
            }
            leaders.insert(format!("{topic}-{partition}"), leader.to_owned());
        }
    }
    for node in ["1", "1001"] {
        let led = leaders.values().filter(|leader| *leader == node).count();
        let dirs = tool("LogDirsCommand", &["--describe", "--topic-list", &topic, "--broker-list", node])?;
        let there = leaders.iter().filter(|(name, _)| dirs.contains(&format!("\"partition\":\"{name}\"")));
        if led != 2 || there.filter(|(_, leader)| *leader == node).count() != led || dirs.matches(&topic).count() != led
        {
            return Err(format!("node {node} leads {led} of 4 partitions\n{described}\n{dirs}"));
        }
        let entity = ["--entity-type", "brokers", "--entity-name", node];
        let config = |args: &[&str]| tool("kafka.admin.ConfigCommand", &[args, &entity[..]].concat());
        config(&["--alter", "--add-config", &format!("log.cleaner.backoff.ms=100{node}")])?;
        let settings = config(&["--describe"])?;
        if !settings.contains(&format!("log.cleaner.backoff.ms=100{node}")) {
            return Err(format!("what was set for node {node} is not told\n{settings}"));
        }
    }
    let verified = tool("LeaderElectionCommand", &["--election-type", "preferred", "--all-topic-partitions"])?;
    if verified.contains("rror") {
        return Err(verified);
    }
    Ok(String::new())
}

fn crossings(server: &mut Server) -> Result<String, String> {
    server.stop()?;
    let log = server.log_tail(50);
    let (mut inputs, mut calls, mut shards) = (0, 0, 0);
    // "shard 1: 5321 pieces of input, 14 calls of other shards"
    for line in log.lines() {
        let Some((head, tail)) = line.split_once(" pieces of input, ") else { continue };
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| line.to_owned());
        inputs += number(head.rsplit(' ').next())?;
        calls += number(tail.split(' ').next())?;
        shards += 1;
    }
    if shards != 2 || calls * 100 > inputs * CROSSINGS_PER_CENT_MAX {
        return Err(format!("{calls} calls between {shards} shards for {inputs} pieces of input\n{log}"));
    }
    Ok(format!("{calls} for {inputs} pieces of input"))
}
