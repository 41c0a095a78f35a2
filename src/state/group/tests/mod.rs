//! Whole conversations with a coordinator, in one thread, on a clock that the test moves.
//!
//! [`Shell`] is what a broker is around [`Groups`]: it gives the time and ids, keeps the log and hands out the answers,
//! each once. Answers are compared as text: `1 range leader a-1 (a-1 b-2)` is a join of generation 1, told to the leader.

mod joining;
mod keeping;
mod leaving;
mod migrating;
mod offsets;
mod rounds;
mod static_members;
mod storms;

use std::collections::{BTreeMap, BTreeSet};

use wire::coordinator_record::{GroupRecordKey, GroupRecordValue};
use wire::messages::ConsumerProtocolSubscription;
use wire::{Encoder, Message, Uuid};

use super::*;

const G: &str = "g";
const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 60_000;
/// `group.initial.rebalance.delay.ms`
const DELAY_MS: u64 = 3_000;
/// The wall clock at the beginning.
const WALL_MS: i64 = 1_700_000_000_000;

struct Shell {
    groups: Groups,
    settings: Settings,
    image: Image,
    now_ms: u64,
    last_id: u128,
    asked: u64,
    open: BTreeSet<Waiting>,
    answers: BTreeMap<Waiting, Reply>,
    log: Vec<Record>,
}

impl Shell {
    fn new() -> Self {
        Self {
            groups: Groups::default(),
            settings: Settings::default(),
            image: Image::new("cluster"),
            now_ms: 0,
            last_id: 0,
            asked: 0,
            open: BTreeSet::new(),
            answers: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    fn event(&mut self, event: impl FnOnce(&mut Groups, &mut Cx<'_>) -> Effects) {
        let last_id = &mut self.last_id;
        let mut chance = || {
            *last_id += 1;
            Uuid(*last_id)
        };
        let mut cx = Cx {
            now_ms: self.now_ms,
            wall_ms: WALL_MS + self.now_ms as i64,
            chance: &mut chance,
            image: &self.image,
            settings: &self.settings,
        };
        let effects = event(&mut self.groups, &mut cx);
        self.take(effects);
    }

    fn take(&mut self, effects: Effects) {
        self.log.extend(effects.records.iter().map(written));
        for (waiting, reply) in effects.replies {
            assert!(self.open.remove(&waiting), "an answer to nothing that waits: {reply:?}");
            self.answers.insert(waiting, reply);
        }
    }

    /// Asks; the answer may come later.
    fn ask(&mut self, request: Request) -> Waiting {
        self.asked += 1;
        let waiting = Waiting(self.asked);
        self.open.insert(waiting);
        self.event(|groups, cx| groups.handle(cx, waiting, request));
        waiting
    }

    /// The answer, as text; `...` while there is none.
    fn said(&mut self, waiting: Waiting) -> String {
        match self.answers.remove(&waiting) {
            Some(reply) => text(&reply),
            None => {
                assert!(self.open.contains(&waiting), "it was answered before");
                "...".into()
            }
        }
    }

    /// Asks for what is answered at once.
    fn now(&mut self, request: Request) -> String {
        let waiting = self.ask(request);
        self.said(waiting)
    }

    fn join(&mut self, join: Join) -> Waiting {
        self.ask(Request::Join(join))
    }

    fn sync(&mut self, sync: Sync) -> Waiting {
        self.ask(Request::Sync(sync))
    }

    fn heartbeat(&mut self, generation: i32, id: &str) -> String {
        self.now(Request::Heartbeat(heartbeat(generation, id)))
    }

    fn leave(&mut self, ids: &[&str]) -> String {
        self.now(Request::Leave(leave(ids)))
    }

    fn commit(&mut self, commit: Commit) -> String {
        self.now(Request::Commit(commit))
    }

    fn fetch(&mut self, topics: Option<&[(&str, i32)]>) -> String {
        self.now(Request::Fetch(fetch(topics)))
    }

    fn describe(&mut self) -> String {
        self.now(Request::Describe { group: G.into() })
    }

    /// Lets time pass, from deadline to deadline.
    fn pass(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while let Some(at_ms) = self.groups.next_deadline_ms().filter(|at_ms| *at_ms <= end_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            self.event(|groups, cx| groups.expire(cx));
        }
        self.now_ms = end_ms;
    }

    /// The broker goes away, nobody is told, and another one reads the log.
    fn restart(&mut self) {
        self.groups = replayed(&self.log);
        self.open.clear();
        self.event(|groups, cx| groups.loaded(cx));
    }

    fn state(&self) -> &'static str {
        self.groups.list().iter().find(|row| row.group == G).map_or("none", |row| row.state)
    }

    /// The keys of the records since the log had `from` of them, as text; tombstones with a minus.
    fn written_since(&self, from: usize) -> Vec<String> {
        self.log[from..].iter().map(record_text).collect()
    }

    /// A stable group of members that know no KIP-394, in the order of their ids; the first leads.
    fn stable(&mut self, names: &[&str]) -> Vec<String> {
        let joins: Vec<Waiting> = names.iter().map(|name| self.join(join(name))).collect();
        self.pass(DELAY_MS);
        let mut extended = 0;
        while self.state() == "PreparingRebalance" {
            self.pass(DELAY_MS);
            extended += 1;
            assert!(extended < 30, "the first rebalance ends");
        }
        let ids: Vec<String> = joins.iter().map(|waiting| self.joined(*waiting).member).collect();
        self.sync_all(&ids);
        assert_eq!(self.state(), "Stable");
        ids
    }

    /// Everybody syncs, the leader last, and gets its own name.
    fn sync_all(&mut self, ids: &[String]) {
        let generation = self.generation();
        let followers: Vec<Waiting> = ids[1..].iter().map(|id| self.sync(sync(generation, id, &[]))).collect();
        let all: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
        let leader = self.sync(sync(generation, &ids[0], &all));
        for (waiting, id) in followers.into_iter().chain([leader]).zip(ids[1..].iter().chain([&ids[0]])) {
            assert_eq!(self.said(waiting), format!("range: {}", short(id)));
        }
    }

    fn joined(&mut self, waiting: Waiting) -> Joined {
        match self.answers.remove(&waiting) {
            Some(Reply::Joined(joined)) => joined,
            other => panic!("not joined: {other:?}"),
        }
    }

    /// Of the newest record of the group, or one more while it rebalances.
    fn generation(&self) -> i32 {
        self.groups.generation_of(G).expect("a classic group")
    }
}

impl Groups {
    fn generation_of(&self, group: &str) -> Option<i32> {
        match self.groups.get(group)? {
            groups::Group::Classic(group) => Some(group.generation),
            groups::Group::Consumer(_) => None,
        }
    }
}

/// As it comes back from the log: encoded in the version that is written, and decoded.
fn written(record: &Record) -> Record {
    let mut key = Encoder::new();
    record.key.encode(&mut key);
    let value = record.value.as_ref().map(|value| {
        let mut bytes = Encoder::new();
        value.encode(&mut bytes, record.value_version());
        GroupRecordValue::decode(&bytes.buf, record.key.id()).expect("a value").0
    });
    Record { key: GroupRecordKey::decode(&key.buf).expect("a key"), value }
}

fn replayed(log: &[Record]) -> Groups {
    let mut groups = Groups::default();
    for record in log {
        groups.replay(record.key.clone(), record.value.clone());
    }
    groups
}

/// JoinGroup of a client of that name that knows neither KIP-394 nor KIP-814.
fn join(name: &str) -> Join {
    Join {
        group: G.into(),
        client: Client { id: name.into(), host: "/127.0.0.1".into() },
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), subscription(&["t"]))],
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        ..Join::default()
    }
}

/// JoinGroup of a member that has that id.
fn rejoin(id: &str) -> Join {
    Join { member: id.into(), ..join("c") }
}

fn subscription(topics: &[&str]) -> Vec<u8> {
    let topics = topics.iter().map(|topic| String::from(*topic)).collect();
    let mut bytes = Encoder::new();
    bytes.i16(0);
    ConsumerProtocolSubscription { topics, ..Default::default() }.encode(&mut bytes, 0);
    bytes.buf
}

fn sync(generation: i32, id: &str, assignments: &[(&str, &str)]) -> Sync {
    let assignments = assignments.iter().map(|(id, bytes)| (String::from(*id), bytes.as_bytes().to_vec())).collect();
    Sync { group: G.into(), generation, member: id.into(), assignments, ..Sync::default() }
}

fn heartbeat(generation: i32, id: &str) -> Heartbeat {
    Heartbeat { group: G.into(), generation, member: id.into(), instance: None }
}

fn leave(ids: &[&str]) -> Leave {
    let leaving = |id: &&str| LeavingMember { member: String::from(*id), ..LeavingMember::default() };
    Leave { group: G.into(), members: ids.iter().map(leaving).collect() }
}

fn commit(generation: i32, id: &str, offset: i64) -> Commit {
    let partition = CommitPartition { index: 0, offset, leader_epoch: 5, metadata: "m".into() };
    let topic = CommitTopic { name: "t".into(), id: Uuid::ZERO, partitions: vec![partition] };
    Commit {
        group: G.into(),
        generation,
        member: id.into(),
        instance: None,
        retention_ms: -1,
        takes_new_errors: true,
        topics: vec![topic],
    }
}

fn fetch(topics: Option<&[(&str, i32)]>) -> Fetch {
    let topic = |(name, index): &(&str, i32)| FetchTopic {
        name: String::from(*name),
        id: Uuid::ZERO,
        partitions: vec![*index],
    };
    let topics = topics.map(|topics| topics.iter().map(topic).collect());
    Fetch { group: G.into(), member: None, member_epoch: -1, topics, require_stable: false }
}

/// `a-1` for `a-00000000-0000-0000-0000-000000000001`.
fn short(id: &str) -> String {
    match id.split_once("-0000") {
        Some((name, number)) => {
            let digits: String = number.chars().filter(|c| *c != '-').collect();
            format!("{name}-{}", digits.trim_start_matches('0'))
        }
        None => id.into(),
    }
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Joined(joined) => joined_text(joined),
        Reply::Synced(Ok(synced)) => {
            let protocol = synced.protocol.as_deref().unwrap_or("-");
            format!("{protocol}: {}", short(&String::from_utf8_lossy(&synced.assignment)))
        }
        Reply::Heartbeat(Ok(())) | Reply::Deleted(Ok(())) => "ok".into(),
        Reply::Left(Ok(members)) => {
            let each = members.iter().map(|left| match &left.error {
                None => "ok".to_owned(),
                Some(error) => format!("{error:?}"),
            });
            each.collect::<Vec<_>>().join(" ")
        }
        Reply::Committed(topics) | Reply::OffsetsDeleted(Ok(topics)) => committed_text(topics),
        Reply::Fetched(Ok(topics)) => fetched_text(topics),
        Reply::Described(Ok(group)) => described_text(group),
        Reply::Synced(Err(error))
        | Reply::Heartbeat(Err(error))
        | Reply::Left(Err(error))
        | Reply::Fetched(Err(error))
        | Reply::Described(Err(error))
        | Reply::Deleted(Err(error))
        | Reply::OffsetsDeleted(Err(error))
        | Reply::Unavailable(error) => format!("{error:?}"),
        Reply::ConsumerHeartbeat(_) | Reply::ConsumerDescribed(_) => format!("{reply:?}"),
    }
}

fn joined_text(joined: &Joined) -> String {
    if let Some(error) = &joined.error {
        assert_eq!((joined.generation, joined.members.len()), (-1, 0));
        return format!("{error:?} {}", short(&joined.member)).trim_end().into();
    }
    let mut text =
        format!("{} {} leader {}", joined.generation, joined.protocol.as_deref().unwrap_or("-"), short(&joined.leader));
    if !joined.members.is_empty() {
        let ids: Vec<String> = joined.members.iter().map(|member| short(&member.member)).collect();
        text += &format!(" ({})", ids.join(" "));
    }
    if joined.skip_assignment {
        text += " skip";
    }
    text
}

fn committed_text(topics: &[CommittedTopic]) -> String {
    let partitions = topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|(index, error)| match error {
            None => format!("{}-{index}", topic.name),
            Some(error) => format!("{}-{index} {error:?}", topic.name),
        })
    });
    partitions.collect::<Vec<_>>().join(", ")
}

fn fetched_text(topics: &[FetchedTopic]) -> String {
    let partitions = topics.iter().flat_map(|topic| {
        let name = &topic.name;
        topic.partitions.iter().map(move |p| {
            assert_eq!(p.error, None);
            format!("{name}-{} {} {} {:?}", p.index, p.offset, p.leader_epoch, p.metadata)
        })
    });
    partitions.collect::<Vec<_>>().join(", ")
}

fn described_text(group: &DescribedGroup) -> String {
    let members = group.members.iter().map(|member| {
        format!(
            " {}[{}/{}]",
            short(&member.member),
            member.metadata.len(),
            short(&String::from_utf8_lossy(&member.assignment))
        )
    });
    format!("{} {}/{}{}", group.state, group.protocol_type, group.protocol, members.collect::<String>())
}

fn record_text(record: &Record) -> String {
    let sign = if record.value.is_some() { "" } else { "-" };
    match &record.key {
        GroupRecordKey::GroupMetadata(key) => {
            let state = match &record.value {
                Some(GroupRecordValue::GroupMetadata(value)) => {
                    format!(" generation {} of {}", value.generation, value.members.len())
                }
                _ => String::new(),
            };
            format!("{sign}group {}{state}", key.group)
        }
        GroupRecordKey::OffsetCommit(key) => format!("{sign}offset {} {}-{}", key.group, key.topic, key.partition),
        other => format!("{sign}{}", other.name()),
    }
}

/// The values are those of Java's `Utils.abs("...".hashCode()) % 50`.
#[test]
fn groups_are_kept_where_apache_kafka_keeps_them() {
    assert_eq!(partition_of("", 50), 0);
    assert_eq!(partition_of("a", 50), 47);
    assert_eq!(partition_of("polygenelubricants", 50), 0);
}
