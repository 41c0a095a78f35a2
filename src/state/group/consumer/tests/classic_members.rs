//! Groups that change from the classic to the new protocol and back, while their members work on.

use wire::Message;
use wire::generated::consumer_protocol_assignment::{ConsumerProtocolAssignment, TopicPartition as Assigned};
use wire::generated::consumer_protocol_subscription::{ConsumerProtocolSubscription, TopicPartition as OwnedPartition};

use super::*;

fn subscription(shell: &Shell, topics: &[&str], owned: &str) -> Vec<u8> {
    let owned = shell.partitions(owned).into_iter().map(|(id, partitions)| {
        let topic = shell.image.topic_name(&id).expect("a topic").as_ref().into();
        OwnedPartition { topic, partitions }
    });
    let message = ConsumerProtocolSubscription {
        topics: topics.iter().map(|topic| String::from(*topic)).collect(),
        user_data: None,
        owned_partitions: owned.collect(),
        ..Default::default()
    };
    let mut e = Encoder::new();
    e.i16(1);
    message.encode(&mut e, 1);
    e.buf
}

fn assignment(shell: &Shell, assigned: &str) -> Vec<u8> {
    let topics = shell.partitions(assigned).into_iter().map(|(id, partitions)| {
        let topic = shell.image.topic_name(&id).expect("a topic").as_ref().into();
        Assigned { topic, partitions }
    });
    let message = ConsumerProtocolAssignment { assigned_partitions: topics.collect(), user_data: None };
    let mut e = Encoder::new();
    e.i16(1);
    message.encode(&mut e, 1);
    e.buf
}

impl Shell {
    fn classic_join(&mut self, id: &str, owned: &str) -> Join {
        Join {
            group: G.into(),
            member: id.into(),
            client: Client { id: "client".into(), host: "/127.0.0.1".into() },
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), subscription(self, &["foo"], owned))],
            session_timeout_ms: SESSION_MS as i32,
            rebalance_timeout_ms: REBALANCE_MS,
            ..Join::default()
        }
    }

    fn joined(&mut self, join: Join) -> Joined {
        match self.ask(Request::Join(join)) {
            Reply::Joined(joined) => joined,
            other => panic!("{other:?}"),
        }
    }

    fn rejoin(&mut self, id: &str, owned: &str) -> String {
        let join = self.classic_join(id, owned);
        let joined = self.joined(join);
        joined.error.map_or_else(|| joined.generation.to_string(), |error| kind(&error))
    }

    fn sync(&mut self, id: &str, generation: i32) -> String {
        let sync = Sync {
            group: G.into(),
            generation,
            member: id.into(),
            protocol_type: Some("consumer".into()),
            protocol: Some("range".into()),
            ..Sync::default()
        };
        match self.ask(Request::Sync(sync)) {
            Reply::Synced(Ok(synced)) => {
                let message = protocol_text(&synced.assignment);
                if message.is_empty() { "nothing".into() } else { message }
            }
            Reply::Synced(Err(error)) => kind(&error),
            other => panic!("{other:?}"),
        }
    }

    fn classic_beat(&mut self, id: &str, generation: i32) -> String {
        let heartbeat = Heartbeat { group: G.into(), generation, member: id.into(), instance: None };
        match self.ask(Request::Heartbeat(heartbeat)) {
            Reply::Heartbeat(Ok(())) => "ok".into(),
            Reply::Heartbeat(Err(error)) => kind(&error),
            other => panic!("{other:?}"),
        }
    }

    /// A classic group of one member, which has all of `foo` at generation 1. Its id is returned.
    fn classic_group(&mut self) -> String {
        let join = self.classic_join("", "");
        self.asked += 1;
        let waiting = Waiting(self.asked);
        self.event(|groups, cx| groups.handle(cx, waiting, Request::Join(join)));
        self.pass(3_000);
        let Some(Reply::Joined(joined)) = self.answers.remove(&waiting) else { panic!("not joined") };
        assert_eq!((&joined.error, joined.generation), (&None, 1));
        let sync = Sync {
            group: G.into(),
            generation: 1,
            member: joined.member.clone(),
            assignments: vec![(joined.member.clone(), assignment(self, "foo-0,1,2,3"))],
            ..Sync::default()
        };
        let Reply::Synced(Ok(_)) = self.ask(Request::Sync(sync)) else { panic!("not synced") };
        joined.member
    }
}

fn protocol_text(bytes: &[u8]) -> String {
    let message = super::super::protocol::assignment(bytes).expect("an assignment");
    let topic = |topic: &Assigned| {
        let partitions: Vec<String> = topic.partitions.iter().map(i32::to_string).collect();
        format!("{}-{}", topic.topic, partitions.join(","))
    };
    message.assigned_partitions.iter().map(topic).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_classic_group_is_upgraded_while_its_member_works_on() {
    let mut shell = Shell::new(&[("foo", 4)]);
    let old = shell.classic_group();
    let from = shell.log.len();
    assert_eq!(shell.beat(join("new", &["foo"])), "2: nothing");
    let expected = [
        "-classic group".to_owned(),
        format!("member {old}: foo"),
        "group: 1".into(),
        format!("target {old}: foo-0,1,2,3"),
        "target epoch: 1".into(),
        format!("current {old}: 1<1 state 0: foo-0,1,2,3"),
        "member new: foo".into(),
        "group: 2".into(),
    ];
    assert_eq!(shell.written_since(from)[..8], expected);
    assert_eq!(shell.kind(), "Consumer");
    // The old member learns of it as it does of any rebalance, and gives up what it is told to by what it is not given.
    assert_eq!(shell.classic_beat(&old, 1), "RebalanceInProgress");
    assert_eq!(shell.rejoin(&old, "foo-0,1,2,3"), "1");
    assert_eq!(shell.sync(&old, 1), "foo-0,1");
    assert_eq!(shell.beat(still("new", 2)), "2: as before");
    assert_eq!(shell.classic_beat(&old, 1), "RebalanceInProgress");
    assert_eq!(shell.rejoin(&old, "foo-0,1"), "2");
    assert_eq!(shell.sync(&old, 2), "foo-0,1");
    assert_eq!(shell.classic_beat(&old, 2), "ok");
    assert_eq!(shell.beat(still("new", 2)), "2: foo-2,3");
    assert_eq!(shell.state(), "Stable");
    assert!(shell.describe().members.iter().any(|member| member.is_classic));
    assert_eq!(shell.classic_beat(&old, 1), "IllegalGeneration");
    assert_eq!(shell.classic_beat("new", 2), "UnknownMember");
    assert_eq!(shell.classic_beat("nobody", 2), "UnknownMember");
}

#[test]
fn the_last_new_member_leaves_a_classic_group_behind() {
    let mut shell = Shell::new(&[("foo", 4)]);
    let old = shell.classic_group();
    shell.beat(join("new", &["foo"]));
    assert_eq!(shell.rejoin(&old, "foo-0,1"), "2");
    assert_eq!(shell.sync(&old, 2), "foo-0,1");
    let from = shell.log.len();
    assert_eq!(shell.beat(still("new", -1)), "-1: as before");
    assert_eq!(shell.kind(), "Classic");
    let written = shell.written_since(from);
    assert_eq!(written.last().map(String::as_str), Some("classic group: generation 2 of 1"));
    assert!(written.contains(&"-group".to_owned()));
    // Its member goes on where it was, and is told to rejoin.
    assert_eq!(shell.classic_beat(&old, 2), "RebalanceInProgress");
    shell.restart();
    assert_eq!((shell.kind(), shell.state()), ("Classic", "Stable"));
}

#[test]
fn an_expired_new_member_leaves_a_classic_group_behind() {
    let mut shell = Shell::new(&[("foo", 4)]);
    let old = shell.classic_group();
    shell.beat(join("new", &["foo"]));
    assert_eq!(shell.rejoin(&old, "foo-0,1"), "2");
    assert_eq!(shell.sync(&old, 2), "foo-0,1");
    shell.pass(30_000);
    assert_eq!(shell.classic_beat(&old, 2), "ok");
    shell.pass(15_000);
    assert_eq!(shell.kind(), "Classic");
    assert_eq!(shell.classic_beat(&old, 2), "RebalanceInProgress");
}

#[test]
fn policies_keep_groups_as_they_are() {
    let mut shell = Shell::new(&[("foo", 4)]);
    shell.settings.consumer_migration = MigrationPolicy::Downgrade;
    let old = shell.classic_group();
    let error = shell.heartbeat(join("new", &["foo"])).expect_err("refused");
    let text = "Cannot upgrade classic group g to consumer group because online upgrade is disabled.";
    assert_eq!(error, GroupError::GroupIdNotFound(text.into()));
    assert_eq!(shell.beat(still("new", 1)), "GroupIdNotFound");
    assert_eq!(shell.kind(), "Classic");

    shell.settings.consumer_migration = MigrationPolicy::Upgrade;
    shell.beat(join("new", &["foo"]));
    assert_eq!(shell.kind(), "Consumer");
    shell.beat(still("new", -1));
    assert_eq!(shell.kind(), "Consumer");
    // The classic member is served all the same.
    shell.pass(ASSIGNMENT_MS);
    assert_eq!(shell.rejoin(&old, "foo-0,1,2,3"), "3");
    assert_eq!(shell.sync(&old, 3), "foo-0,1,2,3");
}

#[test]
fn classic_members_join_a_consumer_group() {
    let mut shell = Shell::new(&[("foo", 4)]);
    shell.configure("consumer.assignment.interval.ms", "0");
    shell.beat(join("new", &["foo"]));
    // An id first, for clients that know about it.
    let first = Join { takes_member_id: true, ..shell.classic_join("", "") };
    let joined = shell.joined(first);
    assert_eq!((joined.error, joined.generation), (Some(GroupError::MemberIdRequired), -1));
    assert_eq!(joined.member, Uuid(1001).to_string());
    assert_eq!(shell.rejoin(&joined.member, ""), "3");
    assert_eq!(shell.sync(&joined.member, 3), "nothing");
    // It waits for others, and need not rejoin for that.
    assert_eq!(shell.classic_beat(&joined.member, 3), "ok");
    assert_eq!(shell.own("new", 2, "foo-0,1,2,3"), "2: foo-0,1");
    assert_eq!(shell.own("new", 2, "foo-0,1"), "3: as before");
    assert_eq!(shell.classic_beat(&joined.member, 3), "RebalanceInProgress");
    assert_eq!(shell.rejoin(&joined.member, ""), "3");
    assert_eq!(shell.sync(&joined.member, 3), "foo-2,3");
    assert_eq!(shell.state(), "Stable");
    assert_eq!(shell.sync(&joined.member, 2), "IllegalGeneration");
}

#[test]
fn classic_members_that_do_not_fit_are_refused() {
    let mut shell = Shell::new(&[("foo", 4)]);
    shell.beat(join("new", &["foo"]));
    let mut refused = |change: &dyn Fn(&mut Join)| {
        let mut join = shell.classic_join("old", "");
        change(&mut join);
        let joined = shell.joined(join);
        assert_eq!((joined.generation, joined.member.as_str()), (-1, "old"));
        joined.error.map(|error| kind(&error)).expect("refused")
    };
    assert_eq!(refused(&|join| join.protocol_type = "connect".into()), "InconsistentProtocol");
    assert_eq!(refused(&|join| join.protocols.clear()), "InconsistentProtocol");
    assert_eq!(refused(&|join| join.protocols[0].1 = vec![9]), "InconsistentProtocol");
    assert_eq!(refused(&|join| join.instance = Some("x".into())), "UnknownMember");
    shell.settings.consumer_migration = MigrationPolicy::Disabled;
    assert_eq!(shell.rejoin("old", ""), "InconsistentProtocol");
}

#[test]
fn classic_members_that_do_not_come_are_put_out() {
    let mut shell = Shell::new(&[("foo", 4)]);
    let old = shell.classic_group();
    shell.beat(join("new", &["foo"]));
    // Heartbeats alone do not do: it was told to rejoin.
    assert_eq!(shell.classic_beat(&old, 1), "RebalanceInProgress");
    for _ in 0..4 {
        shell.pass(15_000);
        shell.beat(still("new", 2));
        shell.classic_beat(&old, 1);
    }
    assert_eq!(shell.classic_beat(&old, 1), "UnknownMember");
    shell.pass(ASSIGNMENT_MS);
    assert_eq!(shell.rejoin("other", ""), "4");
    assert_eq!(shell.own("new", 3, "foo-0,1"), "4: foo-0,1");
    // And it has to sync after it joined.
    for _ in 0..4 {
        shell.pass(15_000);
        shell.beat(still("new", 4));
        shell.classic_beat("other", 4);
    }
    assert_eq!(shell.classic_beat("other", 4), "UnknownMember");
}

#[test]
fn leave_group_takes_out_whoever_it_names() {
    let mut shell = Shell::new(&[("foo", 4)]);
    let instance = Some("x".to_owned());
    shell.beat(ConsumerHeartbeat { instance: instance.clone(), ..join("a", &["foo"]) });
    shell.beat(join("b", &["foo"]));
    let leaving =
        |member: &str, instance: Option<String>| LeavingMember { member: member.into(), instance, reason: None };
    let members = vec![
        leaving("nobody", None),
        leaving("c", instance.clone()),
        leaving("", Some("y".into())),
        leaving("", instance),
        leaving("b", None),
    ];
    let Reply::Left(Ok(left)) = shell.ask(Request::Leave(Leave { group: G.into(), members })) else { panic!() };
    let errors: Vec<_> = left.into_iter().map(|left| left.error).collect();
    let unknown = Some(GroupError::UnknownMember);
    assert_eq!(errors, [unknown.clone(), Some(GroupError::FencedInstanceId), unknown, None, None]);
    assert_eq!(shell.state(), "Empty");
}

#[test]
fn a_static_member_comes_back_with_the_old_protocol() {
    let mut shell = Shell::new(&[("foo", 4)]);
    let old = shell.classic_group();
    let instance = Some("x".to_owned());
    shell.beat(ConsumerHeartbeat { instance: instance.clone(), ..join("new", &["foo"]) });
    assert_eq!(shell.rejoin(&old, "foo-0,1"), "2");
    assert_eq!(shell.sync(&old, 2), "foo-0,1");
    assert_eq!(shell.beat(ConsumerHeartbeat { instance: instance.clone(), ..still("new", 2) }), "2: foo-2,3");
    let back = Join { instance, ..shell.classic_join("", "") };
    let joined = shell.joined(back);
    assert_eq!((joined.error, joined.generation), (None, 2));
    assert_eq!((shell.kind(), shell.state()), ("Classic", "Stable"));
    // Nothing moved, so nobody rebalances.
    assert_eq!(shell.sync(&joined.member, 2), "foo-2,3");
    assert_eq!(shell.classic_beat(&old, 2), "ok");
}

#[test]
fn an_empty_group_takes_either_protocol() {
    let mut shell = Shell::new(&[("foo", 4)]);
    shell.beat(join("a", &["foo"]));
    shell.beat(still("a", -1));
    let from = shell.log.len();
    let old = shell.classic_group();
    assert_eq!(shell.kind(), "Classic");
    assert_eq!(shell.written_since(from)[..3], ["-target epoch", "-partition metadata", "-group"]);
    let leaving = LeavingMember { member: old, ..LeavingMember::default() };
    shell.ask(Request::Leave(Leave { group: G.into(), members: vec![leaving] }));
    let from = shell.log.len();
    assert_eq!(shell.beat(join("a", &["foo"])), "2: foo-0,1,2,3");
    assert_eq!(shell.written_since(from)[0], "-classic group");
    assert_eq!(shell.kind(), "Consumer");
}
