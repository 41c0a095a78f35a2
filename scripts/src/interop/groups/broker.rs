//! SIGKILL of the broker during rebalances and commits: what it had acknowledged of offsets is there when it comes back,
//! and the groups settle within a session timeout.

use super::member::{Client, Programs, Protocol, Role};
use super::scenario::{Run, SLACK, World};
use super::watch::{Load, Watch};
use super::{CLASSIC_SESSION, CONSUMER_SESSION, PARTITIONS, RECORDS_PER_S, SETTINGS};
use crate::interop::Env;
use crate::interop::server::{Kind, Server};
use crate::tally::Tally;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// For the broker to take records again; Apache Kafka waits for its own session of before to expire.
const BACK: Duration = Duration::from_secs(60);

pub(crate) fn run(env: &Env, kind: &Kind, programs: &Programs, tally: &mut Tally) {
    let rounds = if env.quick { 2 } else { 4 };
    let what = format!("groups: {rounds} rounds of SIGKILL of the broker during rebalances and commits");
    tally.check(&what, || kill_broker(env, kind, programs, rounds));
}

fn kill_broker(env: &Env, kind: &Kind, programs: &Programs, rounds: u32) -> Result<String, String> {
    let mut server = Server::create(kind, &env.scratch.join("groups-broker"), &SETTINGS)?;
    let (bootstrap, topic) = (server.bootstrap(), env.topic("groups"));
    super::super::create_topic(&env.java, &bootstrap, &topic, PARTITIONS)?;
    let mut load = Load::start(&env.python, &bootstrap, &topic, PARTITIONS, RECORDS_PER_S)?;
    load.progress(BACK)?;
    let scratch = super::directory(env, "groups-broker-members")?;
    let (ends, watch) = (load.ends.clone(), Watch::default());
    let world = World { programs, java: &env.java, bootstrap, topic, scratch, partitions: PARTITIONS, ends, watch };
    let java = env.java.another()?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (world, over) = (&world, &over);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                // It fails while the broker is away.
                let _ = world.watch.ask(&java, &world.bootstrap, &world.topic);
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        let outcome = all_rounds(world, &mut server, &mut load, rounds);
        over.store(true, Ordering::Relaxed);
        outcome
    })
}

fn all_rounds(world: &World<'_>, server: &mut Server, load: &mut Load, rounds: u32) -> Result<String, String> {
    let role = |client, protocol| Role { client, protocol, assignor: None, instance: None };
    let mut classic = Run::new(world, "through a crash, classic", CLASSIC_SESSION);
    let mut consumer = Run::new(world, "through a crash, consumer", CONSUMER_SESSION);
    for client in [Client::Java, Client::Franz] {
        classic.start(&Role { assignor: Some("range"), ..role(client, Protocol::Classic) })?;
    }
    for client in [Client::Java, Client::Confluent] {
        consumer.start(&role(client, Protocol::Consumer))?;
    }
    let mut groups = [classic, consumer];
    for group in &mut groups {
        group.settle(BACK, None)?;
    }
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let settled = one_round(&mut groups, server, load, round).map_err(|reason| {
            let complaints = groups.iter().map(|group| group.with_complaints(String::new())).collect::<String>();
            format!("round {round}: {reason}\n{complaints}")
        })?;
        slowest = slowest.max(settled);
    }
    let mut details = Vec::new();
    for (group, generations) in groups.iter_mut().zip([true, false]) {
        details.push(group.close(generations).map_err(|reason| group.with_complaints(reason))?);
    }
    let records = details[0].split(',').next().unwrap_or_default();
    Ok(format!("{records}, settled at most {:.1} s after the restart", slowest.as_secs_f32()))
}

/// A third member joins, or crashes, and the broker is killed a little later; gives the time that the groups took to settle.
fn one_round(groups: &mut [Run<'_>; 2], server: &mut Server, load: &mut Load, round: u32) -> Result<Duration, String> {
    for (group, protocol) in groups.iter_mut().zip([Protocol::Classic, Protocol::Consumer]) {
        if round.is_multiple_of(2) {
            let assignor = (protocol == Protocol::Classic).then_some("range");
            group.start(&Role { client: Client::Confluent, protocol, assignor, instance: None })?;
        } else {
            group.members.pop().expect("it was started in the round before").kill();
        }
    }
    // Into the start of the member, its join, the rebalance, or what comes after.
    std::thread::sleep(Duration::from_millis(u64::from(300 + round * 400)));
    server.kill();
    let acknowledged = groups.each_ref().map(Run::acknowledged);
    server.start()?;
    load.progress(BACK)?;
    let back = Instant::now();
    for group in &mut *groups {
        let limit = group.place.session + SLACK;
        group.settle(limit, None)?;
    }
    let settled = back.elapsed();
    for (group, acknowledged) in groups.iter_mut().zip(&acknowledged) {
        group.asked_again()?;
        let answers = group.answers();
        let found = answers.last().ok_or("no answer about committed offsets")?;
        for (partition, offset) in acknowledged {
            if found.get(partition).is_none_or(|found| found < offset) {
                let name = &group.place.group;
                return Err(format!("{name}: {offset} of partition {partition} was acknowledged, now it is {found:?}"));
            }
        }
    }
    Ok(settled)
}
