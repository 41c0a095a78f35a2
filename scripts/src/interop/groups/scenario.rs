//! What happens to one group: members join, leave, crash and come back, under load; and what must be true of it then.

use super::judge::{self, What};
use super::member::{Client, Group, Member, Place, Programs, Protocol, Role};
use super::watch::{Ends, Watch};
use crate::interop::java::{CONSUMER_GROUPS, Java};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A client has to start, which takes a JVM some seconds beside many others, and its join to be answered.
const JOIN: Duration = Duration::from_secs(90);
/// Beyond the session timeout, for a group that lost a member without a word.
pub(crate) const SLACK: Duration = Duration::from_secs(15);
/// All that was written is read, and its commits are seen.
const CATCH_UP: Duration = Duration::from_secs(90);
/// Between two changes, so that each state of the group reads and commits something.
const WORK: Duration = Duration::from_millis(700);

pub(crate) struct Scenario {
    pub name: String,
    /// The first two start together; the last but one leaves, the last one crashes, and both come back.
    pub roles: Vec<Role>,
    /// Two members with an instance id instead, one of which comes and goes unseen.
    pub is_static: bool,
}

/// What scenarios share.
pub(crate) struct World<'a> {
    pub programs: &'a Programs,
    pub java: &'a Java,
    pub bootstrap: String,
    pub topic: String,
    pub scratch: std::path::PathBuf,
    pub partitions: u32,
    pub ends: Ends,
    pub watch: Watch,
}

/// A group while things happen to it.
pub(crate) struct Run<'a> {
    world: &'a World<'a>,
    pub place: Place,
    pub group: Group,
    pub members: Vec<Member>,
    /// The longest time from a change to a settled group, where no client had to start, and what it followed
    slowest: (Duration, &'static str),
}

impl Scenario {
    /// How long a silent member is waited for; in the consumer protocol the broker's own setting.
    fn session(&self) -> Duration {
        let consumer = self.roles.iter().any(|role| role.protocol == Protocol::Consumer);
        if consumer || self.is_static { super::CONSUMER_SESSION } else { super::CLASSIC_SESSION }
    }

    pub(crate) fn run(&self, world: &World<'_>) -> Result<String, String> {
        let mut run = Run::new(world, &self.name, self.session());
        let story = if self.is_static { self.comes_back_unseen(&mut run) } else { self.come_and_go(&mut run) };
        let classic = self.roles.iter().all(|role| role.protocol == Protocol::Classic);
        story.and_then(|()| run.close(classic)).map_err(|reason| run.with_complaints(reason))
    }

    fn come_and_go(&self, run: &mut Run<'_>) -> Result<(), String> {
        let roles = &self.roles;
        run.start(&roles[0])?;
        run.start(&roles[1])?;
        run.settle(JOIN, None)?;
        for role in &roles[2..] {
            run.start(role)?;
            run.settle(JOIN, None)?;
        }
        run.members.remove(roles.len() - 2).leave()?;
        run.settle(SLACK, Some("a member left"))?;
        run.members.remove(roles.len() - 2).kill();
        run.settle(self.session() + SLACK, Some("a crash"))?;
        for role in &roles[roles.len() - 2..] {
            run.start(role)?;
        }
        run.settle(JOIN, None)
    }

    /// KIP-345: a member that comes back with its instance id in time has its partitions, and no other hears of it. In the
    /// consumer protocol it has to have said that it goes: after a crash the instance id is taken until the session ends.
    fn comes_back_unseen(&self, run: &mut Run<'_>) -> Result<(), String> {
        let (stays, goes) = (&self.roles[0], &self.roles[1]);
        run.start(stays)?;
        run.start(goes)?;
        run.settle(JOIN, None)?;
        let owned = run.owned(1);
        let heard = run.heard(0);
        let crashes: &[bool] = if goes.protocol == Protocol::Classic { &[true, false] } else { &[false] };
        for &crash in crashes {
            let old = run.members.remove(1);
            if crash {
                old.kill()
            } else {
                old.leave()?
            }
            run.start(goes)?;
            run.settle(self.session() + JOIN, None)?;
            if run.heard(0) != heard {
                let seen = run.group.seen();
                let told = seen.history.events.iter().filter(|event| told(&event.what) || event.what == What::Ended);
                let told: Vec<String> = told.map(|event| format!("{event:?}")).collect();
                let told = told.join("\n");
                return Err(format!("the other member heard of it when one came back, crash: {crash}\n{told}"));
            }
            if run.owned(1) != owned {
                return Err(format!("{owned:?} became {:?} when it came back, crash: {crash}", run.owned(1)));
            }
        }
        self.twin(run, goes)?;
        // Whoever has the instance id now.
        run.members.remove(1).kill();
        run.settle(self.session() + SLACK, Some("a crash"))
    }

    /// A second process with the instance id of a living one: it takes the place in the classic protocol, where the old
    /// one is fenced; in the consumer protocol it is refused.
    fn twin(&self, run: &mut Run<'_>, role: &Role) -> Result<(), String> {
        run.start(role)?;
        let twin = run.members[2].number;
        let loser = if role.protocol == Protocol::Classic { run.members[1].number } else { twin };
        let group = run.group.clone();
        let fenced = |event: &judge::Event| event.member == loser && event.what == What::Fenced;
        run.until(JOIN, "one of two with the same instance id is fenced", move || {
            group.seen().history.events.iter().any(fenced)
        })?;
        let place = run.members.iter().position(|member| member.number == loser).expect("it was started");
        run.members.remove(place).leave()?;
        run.settle(JOIN, None)
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(world: &'a World<'_>, name: &str, session: Duration) -> Run<'a> {
        let place = Place {
            bootstrap: world.bootstrap.clone(),
            topic: world.topic.clone(),
            session,
            scratch: world.scratch.clone(),
            group: name.replace([' ', ','], "-").replace("--", "-"),
        };
        world.watch.add(&place.group);
        Run { world, place, group: Group::default(), members: vec![], slowest: (Duration::ZERO, "") }
    }

    pub(crate) fn start(&mut self, role: &Role) -> Result<(), String> {
        let mut member = self.spare(role)?;
        if role.instance.is_some() {
            member.join()?;
        }
        self.members.push(member);
        Ok(())
    }

    /// Starts a member and, when it has an instance id, waits until it needs only a word to join.
    fn spare(&mut self, role: &Role) -> Result<Member, String> {
        let member = Member::start(self.world.programs, &self.place, role, &self.group)?;
        if role.instance.is_some() {
            let (group, number) = (self.group.clone(), member.number);
            let ready = move |event: &judge::Event| event.member == number && event.what == What::Ready;
            self.until(JOIN, "a member is ready", move || group.seen().history.events.iter().any(ready))?;
        }
        Ok(member)
    }

    /// Waits until the members that there are own everything, and lets them work. `after`: what to measure from now on.
    pub(crate) fn settle(&mut self, limit: Duration, after: Option<&'static str>) -> Result<(), String> {
        let started = Instant::now();
        let (group, partitions) = (self.group.clone(), self.world.partitions);
        let numbers: Vec<usize> = self.members.iter().map(|member| member.number).collect();
        let what = format!("the group settles {}", after.map_or(String::new(), |after| format!("after {after}")));
        self.until(limit, &what, move || group.is_settled(&numbers, partitions))?;
        if let Some(after) = after.filter(|_| started.elapsed() > self.slowest.0) {
            self.slowest = (started.elapsed(), after);
        }
        self.until(WORK * 2, "", {
            let end = Instant::now() + WORK;
            move || Instant::now() > end
        })
    }

    /// Waits for a condition, and fails as well when a member ends by itself meanwhile.
    pub(crate) fn until(&mut self, limit: Duration, what: &str, met: impl Fn() -> bool) -> Result<(), String> {
        let end = Instant::now() + limit;
        while !met() {
            for member in &mut self.members {
                member.alive()?;
            }
            if Instant::now() > end {
                return Err(format!("not in {limit:?}: {what}; {}", self.ownership()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn owned(&self, place: usize) -> BTreeSet<u32> {
        self.group.seen().owned[self.members[place].number].clone()
    }

    /// How often a member was told of partitions.
    fn heard(&self, place: usize) -> usize {
        let number = self.members[place].number;
        self.group.seen().history.events.iter().filter(|event| event.member == number && told(&event.what)).count()
    }

    /// The highest offset of each partition whose commit a member was told of.
    pub(crate) fn acknowledged(&self) -> BTreeMap<u32, i64> {
        let mut highest = BTreeMap::new();
        for event in &self.group.seen().history.events {
            if let What::Committed { partition, offset } = event.what {
                let known = highest.entry(partition).or_insert(offset);
                *known = offset.max(*known);
            }
        }
        highest
    }

    /// Waits until the broker was asked for committed offsets once more from now on.
    pub(crate) fn asked_again(&mut self) -> Result<(), String> {
        let (watch, name, before) = (self.world.watch.clone(), self.place.group.clone(), self.answers().len());
        // One question may be under way already.
        self.until(CATCH_UP, "the broker tells committed offsets", move || watch.answers(&name).len() > before + 1)
    }

    pub(crate) fn answers(&self) -> Vec<BTreeMap<u32, i64>> {
        self.world.watch.answers(&self.place.group)
    }

    fn ownership(&self) -> String {
        let seen = self.group.seen();
        let of = |member: &Member| format!("{} owns {:?}", member.name, seen.owned[member.number]);
        self.members.iter().map(of).collect::<Vec<_>>().join(", ")
    }

    /// Waits until everything that is written now was read and committed, lets all leave, and judges.
    pub(crate) fn close(&mut self, generations: bool) -> Result<String, String> {
        let (ends, group, watch, name) =
            (self.world.ends.now(), self.group.clone(), self.world.watch.clone(), self.place.group.clone());
        let wanted = ends.clone();
        self.until(CATCH_UP, "all is committed", move || watch.committed(&name, &wanted))?;
        while let Some(member) = self.members.pop() {
            member.leave()?;
        }
        let history = group.seen().history.clone();
        let mut faults = history.judge(&ends, generations);
        faults.extend(judge::went_back(&self.answers()));
        if !faults.is_empty() {
            let some: Vec<String> = faults.iter().take(10).map(|fault| format!("{fault:?}")).collect();
            return Err(format!("{} faults\n{}", faults.len(), some.join("\n")));
        }
        let records: i64 = ends.iter().sum();
        Ok(format!("{records} records, settled {:.1} s after {}", self.slowest.0.as_secs_f32(), self.slowest.1))
    }

    pub(crate) fn with_complaints(&self, reason: String) -> String {
        let complaints: Vec<String> = self.members.iter().map(Member::complaints).collect();
        format!("{reason}\n{}\n{}", complaints.join("\n"), self.described())
    }

    /// What the broker makes of the group.
    fn described(&self) -> String {
        let server = ["--bootstrap-server", &self.world.bootstrap, "--group", &self.place.group, "--describe"];
        let describe = |what: &[&str]| {
            self.world
                .java
                .tool(CONSUMER_GROUPS, "", &[&server[..], what].concat())
                .map_or_else(|why| why, |said| said.out)
        };
        describe(&["--state"]) + &describe(&["--members", "--verbose"])
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.world.watch.remove(&self.place.group);
    }
}

/// Whether a member speaks of its partitions.
fn told(what: &What) -> bool {
    matches!(what, What::Assigned { .. } | What::Revoked { .. } | What::Lost { .. })
}

/// The scenarios, the most telling ones first; `quick` runs only those.
pub(crate) fn all(quick: bool) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (client, protocol, assignor, always) in TABLE {
        if always || !quick {
            let role = Role { client, protocol, assignor, instance: None };
            let kind = if protocol == Protocol::Classic { "classic" } else { "consumer" };
            let name = format!("{} {kind} {}", client.name(), assignor.unwrap_or(""));
            scenarios.push(Scenario { name: name.trim_end().to_owned(), roles: vec![role; 3], is_static: false });
        }
    }
    let range = |client| Role { client, protocol: Protocol::Classic, assignor: Some("range"), instance: None };
    scenarios.push(Scenario {
        name: "java, sarama, kcat, franz-go range".into(),
        roles: [Client::Java, Client::Sarama, Client::Kcat, Client::Franz].map(range).into(),
        is_static: false,
    });
    let consumer = |client| Role { client, protocol: Protocol::Consumer, assignor: None, instance: None };
    scenarios.push(Scenario {
        name: "classic and consumer members".into(),
        roles: vec![consumer(Client::Confluent), range(Client::Java), consumer(Client::Java), range(Client::Confluent)],
        is_static: false,
    });
    for protocol in [Protocol::Classic, Protocol::Consumer] {
        let role = |instance| Role { client: Client::Java, protocol, assignor: None, instance: Some(instance) };
        let kind = if protocol == Protocol::Classic { "classic" } else { "consumer" };
        let name = format!("java {kind} static");
        scenarios.push(Scenario { name, roles: vec![role("stays"), role("goes")], is_static: true });
    }
    scenarios
}

/// Groups of one client: protocol, assignor, and whether it is part of a quick run.
///
/// Java 3.9 is here with the classic protocol only. Its consumer protocol is a preview: a new owner was seen to start from
/// offset 0 although a later offset was committed, and to commit that, with Apache Kafka as the broker.
const TABLE: [(Client, Protocol, Option<&str>, bool); 15] = [
    (Client::Java, Protocol::Consumer, None, true),
    (Client::Java, Protocol::Classic, Some("range"), true),
    (Client::Confluent, Protocol::Consumer, None, true),
    (Client::Kcat, Protocol::Classic, Some("range"), true),
    (Client::Franz, Protocol::Consumer, Some("uniform"), true),
    (Client::Confluent, Protocol::Classic, Some("cooperative-sticky"), true),
    (Client::Franz, Protocol::Classic, Some("range"), true),
    (Client::Kafkajs, Protocol::Classic, None, true),
    (Client::Sarama, Protocol::Classic, Some("range"), true),
    (Client::Aiokafka, Protocol::Classic, Some("range"), true),
    (Client::Java, Protocol::Classic, Some("cooperative-sticky"), false),
    (Client::OldJava, Protocol::Classic, Some("range"), true),
    (Client::KafkaPython, Protocol::Classic, Some("range"), false),
    (Client::Confluent, Protocol::Classic, Some("range"), false),
    (Client::Franz, Protocol::Classic, Some("cooperative-sticky"), false),
];
