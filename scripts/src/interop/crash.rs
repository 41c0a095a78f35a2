//! Rounds of SIGKILL under load with acks=all: nothing acknowledged is lost, no offset is given out twice.

use crate::interop::Env;
use crate::interop::acks::{self, Ack};
use crate::interop::dump::Dumpers;
use crate::interop::lines;
use crate::interop::python;
use crate::interop::server::{Kind, Server};
use crate::process;
use crate::tally::Tally;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 4;
const PROGRESS: Duration = Duration::from_secs(60);

pub(crate) fn run(env: &Env, kind: &Kind, tally: &mut Tally) {
    let rounds = if env.quick { 5 } else { 20 };
    let mut acked = Vec::new();
    let mut read = Vec::new();
    let survived = tally.check(&format!("crash: {rounds} rounds of SIGKILL under acks=all"), || {
        let (server, detail) = rounds_of_sigkill(env, kind, rounds, &mut acked)?;
        read = read_back(env, &server)?;
        report(&acks::judge(&acked, &read))
            .map(|()| format!("{detail}, {} acknowledged, {} in the log", acked.len(), read.len()))
    });
    if survived {
        tally.check("crash: the control, tampered records of acknowledgements, is found", || planted(&acked, &read));
    }
}

fn rounds_of_sigkill(env: &Env, kind: &Kind, rounds: u32, acked: &mut Vec<Ack>) -> Result<(Server, String), String> {
    let (dir, dumpers) = (env.scratch.join("crash"), Dumpers::start(&env.java)?);
    let mut server = Server::create(kind, &dir, &[("log.segment.bytes", "4194304")])?;
    let topic = env.topic("crash");
    super::create_topic(&env.java, &server.bootstrap(), &topic, PARTITIONS)?;
    let mut load = Load::start(env, &server.bootstrap(), &topic)?;
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        // From the first acknowledgement of this round on, for a different time in each.
        load.next(acked)?;
        load.until(acked, Instant::now() + Duration::from_millis(u64::from(200 + round * 137 % 900)))?;
        server.kill();
        dumpers.logs(&server.data(), true).map_err(|e| format!("round {round}, after SIGKILL: {e}"))?;
        load.drain(acked)?;
        let restarted = Instant::now();
        server.start().map_err(|e| format!("round {round}: {e}"))?;
        load.next(acked).map_err(|e| format!("round {round}: {e}"))?;
        slowest = slowest.max(restarted.elapsed());
    }
    load.finish(acked)?;
    server.stop()?;
    dumpers.everything(&server.data())?;
    server.start()?;
    Ok((server, format!("slowest restart to an acknowledgement {} ms", slowest.as_millis())))
}

fn read_back(env: &Env, server: &Server) -> Result<Vec<(u32, i64, String)>, String> {
    let topic = env.topic("crash");
    let mut client = python::client(env);
    let text = process::text(client.args(["consume", &server.bootstrap(), &topic]), b"", Duration::from_secs(180))?;
    let value = |rest: &str| rest.split('\t').nth(2).unwrap_or_default().to_owned();
    Ok(lines::parse_read(&text)?.into_iter().map(|read| (read.partition, read.offset, value(&read.rest))).collect())
}

fn report(faults: &[acks::Fault]) -> Result<(), String> {
    if faults.is_empty() {
        return Ok(());
    }
    let some: Vec<String> = faults.iter().take(10).map(|fault| format!("{fault:?}")).collect();
    Err(format!("{} faults\n{}", faults.len(), some.join("\n")))
}

/// A check that finds nothing has to show that it would.
fn planted(acked: &[Ack], read: &[(u32, i64, String)]) -> Result<String, String> {
    let middle = acked.len() / 2;
    type Tamper = fn(&mut Ack);
    let tampered: [(&str, Tamper); 3] = [
        ("another value", |ack| ack.value.push('0')),
        ("an offset behind the end", |ack| ack.offset += 1 << 40),
        ("the offset of its neighbour", |ack| ack.offset ^= 1),
    ];
    for (what, tamper) in tampered {
        let mut record = acked.to_vec();
        tamper(&mut record[middle]);
        if acks::judge(&record, read).is_empty() {
            return Err(format!("{what} went unseen: this check is blind"));
        }
    }
    let mut cut = read.to_vec();
    cut.remove(cut.len() / 2);
    if acks::judge(acked, &cut).is_empty() { Err("a missing record went unseen".to_owned()) } else { Ok(String::new()) }
}

/// The producer that runs through all rounds, and what it hears.
struct Load {
    child: Child,
    input: Option<ChildStdin>,
    heard: Receiver<String>,
}

impl Load {
    fn start(env: &Env, bootstrap: &str, topic: &str) -> Result<Load, String> {
        let mut command = python::client(env);
        command.args(["load", bootstrap, topic, &PARTITIONS.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let (send, heard) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Ok(Load { child, input, heard })
    }

    /// Waits for one acknowledgement.
    fn next(&mut self, acked: &mut Vec<Ack>) -> Result<(), String> {
        let line = self.heard.recv_timeout(PROGRESS).map_err(|e| format!("no acknowledgement: {e}"))?;
        acked.push(parse(&line)?);
        Ok(())
    }

    fn until(&mut self, acked: &mut Vec<Ack>, deadline: Instant) -> Result<(), String> {
        loop {
            match self.heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => acked.push(parse(&line)?),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err("the load ended by itself".to_owned()),
            }
        }
    }

    /// Takes what was acknowledged before the kill and only printed after it.
    fn drain(&mut self, acked: &mut Vec<Ack>) -> Result<(), String> {
        self.until(acked, Instant::now() + Duration::from_millis(100))
    }

    fn finish(mut self, acked: &mut Vec<Ack>) -> Result<(), String> {
        drop(self.input.take());
        loop {
            let line = self.heard.recv_timeout(PROGRESS).map_err(|e| format!("the load does not end: {e}"))?;
            if let Some(given_up) = line.strip_prefix("lost ") {
                if given_up != "0" {
                    return Err(format!("the producer gave up {given_up} records although the broker came back"));
                }
                return Ok(());
            }
            acked.push(parse(&line)?);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &str) -> Result<Ack, String> {
    let mut words = line.split(' ');
    let mut next = || words.next().ok_or_else(|| format!("not an acknowledgement: {line}"));
    let (partition, offset, value) = (next()?, next()?, next()?);
    Ok(Ack {
        partition: partition.parse().map_err(|e| format!("{line}: {e}"))?,
        offset: offset.parse().map_err(|e| format!("{line}: {e}"))?,
        value: lines::pack(&Some(value.as_bytes().to_vec())),
    })
}
