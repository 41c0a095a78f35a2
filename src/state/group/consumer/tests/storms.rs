//! Anything happens in any order, from a seed: members come and go, answers are lost, time passes, topics change, the broker
//! restarts. What must never be, never is; and when things calm down, everybody gets what the target says.

use proptest::prelude::*;

use super::super::assignor::tests::Random;
use super::*;

const TOPICS: [&str; 4] = ["t0", "t1", "t2", "t3"];
const CLIENTS_MAX: usize = 7;
/// Heartbeats that everybody sends, a second apart, until all is settled.
const ROUNDS_MAX: usize = 12;

/// A consumer as clients are: it takes what it is given only after it let go of what it was told to.
#[derive(Debug, Clone, Default)]
struct Consumer {
    id: String,
    instance: Option<String>,
    epoch: i32,
    topics: Option<Vec<String>>,
    regex: Option<String>,
    owned: BTreeSet<(Uuid, i32)>,
    /// What the last answer with an assignment said, until it is taken.
    told: Option<BTreeSet<(Uuid, i32)>>,
    /// An answer was lost, or a subscription is new: the next heartbeat says everything.
    is_full: bool,
}

impl Consumer {
    fn heartbeat(&self) -> ConsumerHeartbeat {
        let mut owned: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &self.owned {
            owned.entry(*topic).or_default().push(*partition);
        }
        let is_full = self.is_full || self.epoch == 0;
        ConsumerHeartbeat {
            instance: self.instance.clone(),
            rebalance_timeout_ms: if is_full { REBALANCE_MS } else { -1 },
            topics: self.topics.clone().filter(|_| is_full),
            regex: self.regex.clone().filter(|_| is_full),
            // While it lets go and takes it says nothing of that, as clients do: an older answer may be under way.
            owned: self.told.is_none().then(|| owned.into_iter().collect()),
            ..still(&self.id, self.epoch)
        }
    }

    /// It has let go of what it should, and takes what it may.
    fn settle(&mut self) {
        if let Some(told) = self.told.take() {
            self.owned = told;
        }
    }

    /// It knows that it is out, or will find out before it does anything else.
    fn drop_all(&mut self) {
        self.epoch = 0;
        self.owned.clear();
        self.told = None;
    }
}

struct Storm {
    shell: Shell,
    random: Random,
    consumers: Vec<Consumer>,
    named: u64,
    /// The highest member epoch of each life of a member, and that of the group.
    epochs: BTreeMap<String, i32>,
    group_epoch: i32,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut shell = Shell::new(&[("t0", 3), ("t1", 5)]);
        shell.replays = false;
        Self { shell, random: Random(seed), consumers: vec![], named: 0, epochs: BTreeMap::new(), group_epoch: 0 }
    }

    fn step(&mut self) {
        let index = self.random.below(self.consumers.len().max(1) as u64) as usize;
        let is_someone = index < self.consumers.len();
        match self.random.below(100) {
            0..8 if self.consumers.len() < CLIENTS_MAX => self.come(),
            8..50 if is_someone => self.beat(index, false),
            50..58 if is_someone => self.beat(index, true),
            58..72 if is_someone => self.consumers[index].settle(),
            72..76 if is_someone => self.leave(index),
            76..79 if is_someone => self.subscribe(index),
            79..91 => {
                let ms = self.random.below(3_000);
                self.pass(ms);
            }
            91 => self.pass(SESSION_MS + 1),
            92..96 => self.change_topics(),
            96..98 => self.shell.restart(),
            _ => {}
        }
        self.check();
    }

    fn come(&mut self) {
        self.named += 1;
        let instance = (self.random.below(3) == 0).then(|| format!("i{}", self.random.below(4)));
        if self.consumers.iter().any(|consumer| instance.is_some() && consumer.instance == instance) {
            return;
        }
        self.consumers.push(Consumer { id: format!("m{}", self.named), instance, ..Consumer::default() });
        let last = self.consumers.len() - 1;
        self.subscribe(last);
        self.beat(last, false);
    }

    fn subscribe(&mut self, index: usize) {
        let names = TOPICS.iter().filter(|_| self.random.below(3) > 0).map(|name| String::from(*name)).collect();
        let regex = match self.random.below(4) {
            0 => "t[0-2]",
            1 => "t.*",
            _ => "",
        };
        let consumer = &mut self.consumers[index];
        consumer.topics = Some(names);
        consumer.regex = Some(regex.into());
        consumer.is_full = true;
    }

    fn beat(&mut self, index: usize, is_lost: bool) {
        if self.consumers[index].is_full {
            self.consumers[index].settle();
        }
        let heartbeat = self.consumers[index].heartbeat();
        let result = self.shell.heartbeat(heartbeat);
        let consumer = &mut self.consumers[index];
        if is_lost {
            consumer.is_full = true;
            return;
        }
        match result {
            Ok(done) => {
                let epoch = self.epochs.entry(done.member.clone()).or_default();
                assert!(consumer.epoch == 0 || done.member_epoch >= *epoch, "{} went back", done.member);
                *epoch = done.member_epoch;
                consumer.epoch = done.member_epoch;
                consumer.is_full = false;
                if let Some(assignment) = done.assignment {
                    let each =
                        assignment.into_iter().flat_map(|(topic, all)| all.into_iter().map(move |one| (topic, one)));
                    let told: BTreeSet<(Uuid, i32)> = each.collect();
                    consumer.told = Some(told);
                }
            }
            Err(GroupError::UnreleasedInstanceId(_)) => {}
            Err(_) => consumer.drop_all(),
        }
    }

    fn leave(&mut self, index: usize) {
        let mut consumer = self.consumers.swap_remove(index);
        let stays_named = consumer.instance.is_some() && self.random.below(2) == 0;
        consumer.epoch = if stays_named { -2 } else { -1 };
        let _ = self.shell.heartbeat(consumer.heartbeat());
    }

    fn pass(&mut self, ms: u64) {
        self.shell.pass(ms);
        self.drop_expired();
    }

    /// A consumer knows by its own clock that its session is over.
    fn drop_expired(&mut self) {
        let known: BTreeSet<String> = match self.shell.state() {
            "none" => BTreeSet::new(),
            _ => self.shell.describe().members.into_iter().map(|member| member.member).collect(),
        };
        for consumer in self.consumers.iter_mut().filter(|consumer| !known.contains(&consumer.id)) {
            consumer.drop_all();
        }
    }

    fn change_topics(&mut self) {
        let name = TOPICS[self.random.below(TOPICS.len() as u64) as usize];
        let partitions = self.shell.image.topic(name).map(|topic| topic.partitions.len() as i32);
        match partitions {
            None => self.shell.create(name, 1 + self.random.below(5) as i32),
            Some(partitions) if partitions < 9 && self.random.below(2) == 0 => self.shell.grow(name, partitions + 2),
            Some(_) => self.shell.delete(name),
        }
    }

    fn check(&mut self) {
        let mut owners: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
        for consumer in &self.consumers {
            for partition in &consumer.owned {
                let other = owners.insert(*partition, &consumer.id);
                assert_eq!(other, None, "{partition:?} is also with {}", consumer.id);
            }
        }
        if self.shell.state() != "none" {
            let epoch = self.shell.describe().epoch;
            assert!(epoch >= self.group_epoch, "the group's epoch went back");
            self.group_epoch = epoch;
        }
    }

    /// Everybody sends heartbeats and does as it is told, until nothing is left to do.
    fn calm_down(&mut self) {
        // Instances whose members did not come back are free after a session.
        for _ in 0..SESSION_MS / 15_000 + 1 {
            self.round(15_000);
        }
        for _ in 0..ROUNDS_MAX {
            self.round(1_000);
            if self.consumers.iter().all(|consumer| consumer.epoch > 0)
                && ["Stable", "Empty", "none"].contains(&self.shell.state())
            {
                return self.check_settled();
            }
        }
        panic!("not settled: {:#?} {:#?}", self.shell.describe(), self.consumers);
    }

    fn round(&mut self, ms: u64) {
        self.pass(ms);
        for index in 0..self.consumers.len() {
            self.consumers[index].settle();
            self.beat(index, false);
            self.consumers[index].settle();
            self.check();
        }
    }

    fn check_settled(&mut self) {
        if self.shell.state() == "none" {
            return assert!(self.consumers.is_empty());
        }
        let described = self.shell.describe();
        let mut wanted = BTreeSet::new();
        let mut owned = BTreeSet::new();
        for member in &described.members {
            let consumer = self.consumers.iter().find(|consumer| consumer.id == member.member).expect("its consumer");
            let target = member.target.iter().flat_map(|(topic, all)| all.iter().map(|one| (*topic, *one)));
            assert_eq!(consumer.owned, target.collect(), "{} has its target", consumer.id);
            owned.extend(&consumer.owned);
            let regex = member.regex.as_deref().filter(|regex| !regex.is_empty());
            let regex = regex.map(|regex| super::super::regex::compile(regex).expect("a regex"));
            for topic in self.shell.image.topics() {
                let matches = regex.as_ref().is_some_and(|regex| regex.is_match(&topic.name));
                if matches || member.topics.iter().any(|name| **name == *topic.name) {
                    wanted.extend((0..topic.partitions.len() as i32).map(|index| (topic.id, index)));
                }
            }
        }
        assert_eq!(owned, wanted, "all partitions are with somebody");
    }
}

proptest! {
    #![proptest_config(crate::testing::cases(48))]

    #[test]
    fn whatever_happens_no_partition_is_with_two_and_all_settles(seed in any::<u64>()) {
        let mut storm = Storm::new(seed);
        for step in 0..160 {
            storm.step();
            if step % 20 == 0 {
                assert_same_after_replay(&storm.shell.groups, &storm.shell.log);
            }
        }
        storm.calm_down();
        assert_same_after_replay(&storm.shell.groups, &storm.shell.log);
    }
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let run = || {
        let mut storm = Storm::new(7);
        (0..200).for_each(|_| storm.step());
        storm.shell.log
    };
    assert!(run() == run());
}

/// Members join at once; then all send heartbeats, a second apart, until the group is stable.
fn settle(members: usize, partitions: i32) {
    let mut shell = Shell::new(&[("t0", partitions)]);
    shell.replays = false;
    let mut consumers = Vec::new();
    for index in 0..members {
        let mut consumer =
            Consumer { id: format!("m{index:04}"), topics: Some(vec!["t0".into()]), ..Consumer::default() };
        let done = shell.heartbeat(consumer.heartbeat()).expect("joined");
        take(&mut consumer, done);
        consumers.push(consumer);
    }
    let mut rounds = 0;
    while shell.state() != "Stable" {
        rounds += 1;
        assert!(rounds <= 4, "{members} members settle in a few heartbeats each");
        shell.pass(1_000);
        for consumer in &mut consumers {
            consumer.settle();
            let done = shell.heartbeat(consumer.heartbeat()).expect("a member");
            take(consumer, done);
        }
    }
    consumers.iter_mut().for_each(Consumer::settle);
    let owned: BTreeSet<_> = consumers.iter().flat_map(|consumer| &consumer.owned).collect();
    assert_eq!(owned.len(), partitions as usize);
    assert_same_after_replay(&shell.groups, &shell.log);
    println!("{members} members: {rounds} rounds, {} records", shell.log.len());
}

fn take(consumer: &mut Consumer, done: ConsumerHeartbeatDone) {
    consumer.epoch = done.member_epoch;
    if let Some(assignment) = done.assignment {
        let each = assignment.into_iter().flat_map(|(topic, all)| all.into_iter().map(move |one| (topic, one)));
        consumer.told = Some(each.collect());
    }
}

#[test]
fn a_hundred_members_settle() {
    settle(100, 300);
}

#[test]
fn a_thousand_members_settle() {
    settle(1_000, 2_000);
}
