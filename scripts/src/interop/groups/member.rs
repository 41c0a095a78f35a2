//! Processes that are members of a group, one each, and what they say.

use super::judge::{Event, History, What};
use crate::process;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A member that is asked to leave is gone after this long, or is at fault.
const LEAVE: Duration = Duration::from_secs(30);

/// A client library, and the program that makes it a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Kcat,
    Confluent,
    KafkaPython,
    Aiokafka,
    Kafkajs,
    Franz,
    Sarama,
    /// The client of the broker's own version
    Java,
    /// 3.9
    OldJava,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Classic,
    Consumer,
}

/// Where the programs are.
pub(crate) struct Programs {
    pub python: PathBuf,
    pub franz: PathBuf,
    pub sarama: PathBuf,
    /// The tests of franz-go itself
    pub franz_tests: PathBuf,
    pub node_modules: PathBuf,
    /// Class paths
    pub java: Vec<PathBuf>,
    pub old_java: Vec<PathBuf>,
}

/// What a member is told about its group.
#[derive(Clone)]
pub(crate) struct Place {
    pub bootstrap: String,
    pub group: String,
    pub topic: String,
    pub session: Duration,
    /// For what the members complain about
    pub scratch: PathBuf,
}

/// How one member takes part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role {
    pub client: Client,
    pub protocol: Protocol,
    /// Kafka's short name of it; None leaves it to the client or the broker.
    pub assignor: Option<&'static str>,
    pub instance: Option<&'static str>,
}

impl Client {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Client::Kcat => "kcat",
            Client::Confluent => "confluent",
            Client::KafkaPython => "kafka-python",
            Client::Aiokafka => "aiokafka",
            Client::Kafkajs => "kafkajs",
            Client::Franz => "franz-go",
            Client::Sarama => "sarama",
            Client::Java => "java",
            Client::OldJava => "java 3.9",
        }
    }

    fn command(self, programs: &Programs) -> Command {
        let scripts = crate::deps::root().join("scripts/interop");
        let java = |path: &[PathBuf]| {
            let path: Vec<&Path> = path.iter().map(PathBuf::as_path).collect();
            let mut command = crate::interop::server::jvm("-Xmx128m", &path);
            command.arg("Member");
            command
        };
        let with = |program: &Path, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        };
        let python = |library| {
            let mut command = crate::interop::python::program(&programs.python, "member.py");
            command.arg(library);
            command
        };
        match self {
            Client::Kcat => with(Path::new("kcat"), &["-E", "-u", "-f", "records %p %o\n"]),
            Client::Confluent => python("confluent"),
            Client::KafkaPython => python("kafka-python"),
            Client::Aiokafka => python("aiokafka"),
            Client::Franz => with(&programs.franz, &["member"]),
            Client::Sarama => with(&programs.sarama, &[]),
            Client::Java => java(&programs.java),
            Client::OldJava => java(&programs.old_java),
            Client::Kafkajs => {
                let mut command = Command::new("node");
                command.arg(scripts.join("node/member.js")).env("NODE_PATH", &programs.node_modules);
                command
            }
        }
    }
}

impl Role {
    fn command(&self, programs: &Programs, place: &Place) -> Command {
        let mut command = self.client.command(programs);
        let session = place.session.as_millis().to_string();
        if self.client == Client::Kcat {
            let assignor = format!("partition.assignment.strategy={}", self.assignor.unwrap_or("range"));
            let session = format!("session.timeout.ms={session}");
            command.env("KCAT_CONFIG", "/dev/null").args(["-b", &place.bootstrap, "-X", &session, "-X", &assignor]);
            for setting in ["heartbeat.interval.ms=500", "auto.commit.interval.ms=500", "auto.offset.reset=earliest"] {
                command.args(["-X", setting]);
            }
            command.args(["-G", &place.group, &place.topic]);
            return command;
        }
        let protocol = if self.protocol == Protocol::Classic { "classic" } else { "consumer" };
        command.args([&place.bootstrap, &place.group, &place.topic, protocol, self.assignor.unwrap_or("-")]);
        command.args([self.instance.unwrap_or("-"), &session]);
        command
    }
}

/// A group as its members see it, shared with the threads that listen to them.
#[derive(Clone, Default)]
pub(crate) struct Group(Arc<Mutex<Seen>>);

#[derive(Default)]
pub(crate) struct Seen {
    pub history: History,
    /// What each process owns now.
    pub owned: Vec<BTreeSet<u32>>,
}

impl Group {
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("no thread panics while it holds this")
    }

    /// When every partition is owned by exactly one of `members`, each of which has some.
    pub(crate) fn is_settled(&self, members: &[usize], partitions: u32) -> bool {
        let seen = self.seen();
        let mut owners: BTreeMap<u32, u32> = BTreeMap::new();
        for member in members {
            let owned = &seen.owned[*member];
            if owned.is_empty() {
                return false;
            }
            owned.iter().for_each(|partition| *owners.entry(*partition).or_default() += 1);
        }
        owners.len() == partitions as usize && owners.values().all(|count| *count == 1)
    }

    fn new_member(&self, name: &str) -> usize {
        let mut seen = self.seen();
        seen.history.members.push(name.to_owned());
        seen.owned.push(BTreeSet::new());
        seen.owned.len() - 1
    }

    fn add(&self, event: Event) {
        let mut seen = self.seen();
        let owned = &mut seen.owned[event.member];
        match &event.what {
            What::Assigned { partitions, .. } => owned.extend(partitions),
            What::Revoked { partitions } | What::Lost { partitions } => {
                owned.retain(|partition| !partitions.contains(partition));
            }
            What::Fenced | What::Ended => owned.clear(),
            _ => {}
        }
        seen.history.events.push(event);
    }
}

/// One process. Dropping it kills it.
pub(crate) struct Member {
    pub name: String,
    /// Its place in [`History::members`]
    pub number: usize,
    client: Client,
    group: Group,
    child: Child,
    input: Option<ChildStdin>,
    listener: Option<JoinHandle<()>>,
    errors: PathBuf,
}

impl Member {
    pub(crate) fn start(programs: &Programs, place: &Place, role: &Role, group: &Group) -> Result<Member, String> {
        let mut name = role.instance.unwrap_or(role.client.name()).to_owned();
        if role.instance.is_none() {
            name.push_str(&format!("-{}", group.seen().owned.len()));
        }
        let number = group.new_member(&name);
        let errors = place.scratch.join(format!("{}-{number}.stderr", place.group));
        let file = std::fs::File::create(&errors).map_err(|e| format!("create {}: {e}", errors.display()))?;
        let (output, said) = std::io::pipe().map_err(|e| format!("make a pipe: {e}"))?;
        let mut command = role.command(programs, place);
        command.stdin(Stdio::piped());
        if role.client == Client::Kcat {
            // It tells of assignments on standard error; one pipe keeps them in order with the records.
            command.stderr(said.try_clone().map_err(|e| format!("share a pipe: {e}"))?);
        } else {
            command.stderr(file);
        }
        let mut child = command.stdout(said).spawn().map_err(|e| format!("start {name}: {e}"))?;
        drop(command);
        let listener = listen(BufReader::new(output), group.clone(), number, role.client);
        let input = child.stdin.take();
        Ok(Member {
            name,
            number,
            client: role.client,
            group: group.clone(),
            child,
            input,
            listener: Some(listener),
            errors,
        })
    }

    /// Lets a member with an instance id join.
    pub(crate) fn join(&mut self) -> Result<(), String> {
        let input = self.input.as_mut().expect("it is open until the member leaves");
        input.write_all(b"\n").map_err(|e| format!("{}: {e}", self.name))
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Asks it to leave and waits until it has.
    pub(crate) fn leave(mut self) -> Result<(), String> {
        if self.client == Client::Kcat {
            self.group.add(Event { at: now(), member: self.number, what: What::StopsInHaste });
            process::terminate(self.child.id())?;
        }
        drop(self.input.take());
        let deadline = Instant::now() + LEAVE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().map_err(|e| e.to_string())? {
                self.end();
                return if status.success() { Ok(()) } else { Err(format!("{}: {status}", self.complaints())) };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("{} did not leave in {LEAVE:?}", self.complaints()))
    }

    /// An error when its process is gone.
    pub(crate) fn alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended by itself with {status}", self.complaints())),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Its name, and what it said about its troubles.
    pub(crate) fn complaints(&self) -> String {
        let seen = self.group.seen();
        let events = seen.history.events.iter().filter(|event| event.member == self.number);
        let troubles = events.filter_map(|event| match &event.what {
            What::Trouble(text) => Some(format!("\n  {text}")),
            _ => None,
        });
        let mut troubles: Vec<String> = troubles.collect();
        let first = troubles.len().saturating_sub(5);
        let tail = process::file_tail(&self.errors, 15);
        format!("{}{}\n{tail}", self.name, troubles.split_off(first).concat()).trim_end().to_owned()
    }

    /// Everything it had said is in the history, and after that its end.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
            self.group.add(Event { at: now(), member: self.number, what: What::Ended });
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}

fn listen(output: BufReader<std::io::PipeReader>, group: Group, member: usize, client: Client) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let event = if client == Client::Kcat { kcat(&line).map(|what| (now(), what)) } else { parse(&line) };
            if let Some((at, what)) = event {
                group.add(Event { at, member, what });
            }
        }
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}

/// A line of a member program; see scripts/interop/python/member.py. None for what says nothing about the group.
fn parse(line: &str) -> Option<(u64, What)> {
    let (at, rest) = line.split_once(' ')?;
    let at = at.parse().ok()?;
    let words: Vec<&str> = rest.split(' ').collect();
    let number = |word: &str| word.parse::<i64>().ok();
    let list = |text: &str| text.split(',').map(|word| word.parse::<u32>().ok()).collect::<Option<Vec<u32>>>();
    let what = match words[..] {
        ["assigned", generation, partitions] => {
            What::Assigned { generation: generation.parse().ok()?, partitions: list(partitions)? }
        }
        ["revoked", _, partitions] => What::Revoked { partitions: list(partitions)? },
        ["lost", _, partitions] => What::Lost { partitions: list(partitions)? },
        ["records", partition, first, last] => {
            What::Records { partition: partition.parse().ok()?, first: number(first)?, last: number(last)? }
        }
        ["committed", partition, offset] => {
            What::Committed { partition: partition.parse().ok()?, offset: number(offset)? }
        }
        ["fenced"] => What::Fenced,
        ["ready"] => What::Ready,
        ["trouble", ..] => What::Trouble(rest.to_owned()),
        _ => return None,
    };
    Some((at, what))
}

/// kcat's own words: `% Group g rebalanced (memberid m): assigned: topic [0], topic [1]`, and the format it was given.
fn kcat(line: &str) -> Option<What> {
    if let Some(rest) = line.strip_prefix("records ") {
        let (partition, offset) = rest.split_once(' ')?;
        let offset = offset.parse().ok()?;
        return Some(What::Records { partition: partition.parse().ok()?, first: offset, last: offset });
    }
    let Some((_, rest)) = line.split_once(" rebalanced (memberid ") else {
        let known = line.starts_with("% Reached end") || line.starts_with("% Waiting for group");
        return (!known).then(|| What::Trouble(line.to_owned()));
    };
    let (verb, list) = rest.split_once("): ")?.1.split_once(": ")?;
    let one = |place: &str| place.rsplit_once('[')?.1.strip_suffix(']')?.parse::<u32>().ok();
    let partitions: Vec<u32> = list.split(", ").filter_map(one).collect();
    match verb {
        "assigned" => Some(What::Assigned { generation: -1, partitions }),
        "revoked" => Some(What::Revoked { partitions }),
        _ => Some(What::Trouble(line.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_members_are_understood() {
        let assigned = What::Assigned { generation: 3, partitions: vec![0, 2] };
        assert_eq!(parse("17 assigned 3 0,2"), Some((17, assigned)));
        assert_eq!(parse("17 records 1 5 9"), Some((17, What::Records { partition: 1, first: 5, last: 9 })));
        assert_eq!(parse("17 trouble a b"), Some((17, What::Trouble("trouble a b".into()))));
        assert_eq!(parse("left over from a log"), None);
    }

    #[test]
    fn kcat_is_understood() {
        let line = "% Group g rebalanced (memberid rdkafka-1): assigned: a-topic [0], a-topic [12]";
        assert_eq!(kcat(line), Some(What::Assigned { generation: -1, partitions: vec![0, 12] }));
        assert_eq!(kcat(&line.replace("assigned", "revoked")), Some(What::Revoked { partitions: vec![0, 12] }));
        assert_eq!(kcat("records 3 7"), Some(What::Records { partition: 3, first: 7, last: 7 }));
        assert_eq!(kcat("% Reached end of topic a-topic [2] at offset 0"), None);
    }
}
