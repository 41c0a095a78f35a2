//! The first heartbeat, and what is wrong with some.

use super::*;

#[test]
fn the_first_member_gets_everything_at_once() {
    let mut shell = Shell::new(&[("bar", 1), ("foo", 3)]);
    assert_eq!(shell.beat(join("a", &["foo", "bar"])), "2: bar-0 foo-0,1,2");
    let records = [
        "member a: bar,foo",
        "group: 2",
        "target a: bar-0 foo-0,1,2",
        "target epoch: 2",
        "current a: 0<2 state 0: bar-0 foo-0,1,2",
    ];
    assert_eq!(shell.written_since(0), records);
    assert_eq!(shell.state(), "Stable");
    let from = shell.log.len();
    assert_eq!(shell.own("a", 2, "bar-0 foo-0,1,2"), "2: as before");
    assert!(shell.written_since(from).is_empty());
}

#[test]
fn a_member_without_an_id_gets_one() {
    let mut shell = Shell::new(&[("foo", 1)]);
    let done = shell.heartbeat(ConsumerHeartbeat { makes_member_id: false, ..join("", &["foo"]) }).expect("joined");
    assert_eq!(done.member, Uuid(1001).to_string());
    assert_eq!(done.heartbeat_interval_ms, 5_000);
    assert_eq!(shell.beat(still(&done.member, 2)), "2: as before");
}

#[test]
fn topics_that_do_not_exist_are_waited_for() {
    let mut shell = Shell::new(&[]);
    assert_eq!(shell.beat(join("a", &["foo"])), "2: nothing");
    shell.create("foo", 2);
    shell.pass(ASSIGNMENT_MS);
    assert_eq!(shell.own("a", 2, ""), "3: foo-0,1");
    shell.grow("foo", 3);
    shell.pass(ASSIGNMENT_MS);
    assert_eq!(shell.own("a", 3, "foo-0,1"), "4: foo-0,1,2");
    let owned = Some(shell.partitions("foo-0,1,2"));
    shell.delete("foo");
    shell.pass(ASSIGNMENT_MS);
    assert_eq!(shell.beat(ConsumerHeartbeat { owned, ..still("a", 4) }), "4: nothing");
    assert_eq!(shell.own("a", 4, ""), "5: as before");
}

#[test]
fn a_subscription_to_nothing_is_one() {
    let mut shell = Shell::new(&[("foo", 1)]);
    assert_eq!(shell.beat(join("a", &[])), "1: nothing");
    assert_eq!(shell.state(), "Stable");
    assert_eq!(shell.written_since(0), ["member a: ", "current a: 0<1 state 0: nothing"]);
}

#[test]
fn heartbeats_that_make_no_sense_are_refused_in_kafkas_words() {
    let mut shell = Shell::new(&[("foo", 1)]);
    let mut refused = |heartbeat: ConsumerHeartbeat| shell.heartbeat(heartbeat).expect_err("refused").to_string();
    let joins = || join("a", &["foo"]);
    assert_eq!(refused(join("", &["foo"])), "MemberId can't be empty.");
    assert_eq!(refused(ConsumerHeartbeat { makes_member_id: false, ..still(" ", 1) }), "MemberId can't be empty.");
    assert_eq!(refused(ConsumerHeartbeat { makes_member_id: false, ..still("", -1) }), "MemberId can't be empty.");
    assert_eq!(refused(ConsumerHeartbeat { group: " ".into(), ..joins() }), "GroupId can't be empty.");
    assert_eq!(refused(ConsumerHeartbeat { instance: Some("".into()), ..joins() }), "InstanceId can't be empty.");
    assert_eq!(refused(ConsumerHeartbeat { rack: Some("".into()), ..joins() }), "RackId can't be empty.");
    assert_eq!(
        refused(ConsumerHeartbeat { rebalance_timeout_ms: -1, ..joins() }),
        "RebalanceTimeoutMs must be provided in first request."
    );
    for owned in [None, Some(vec![(Uuid(1), vec![0])])] {
        assert_eq!(refused(ConsumerHeartbeat { owned, ..joins() }), "TopicPartitions must be empty when (re-)joining.");
    }
    assert_eq!(
        refused(ConsumerHeartbeat { topics: None, ..joins() }),
        "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."
    );
    assert_eq!(refused(still("a", -2)), "InstanceId can't be null.");
    assert_eq!(refused(still("a", -3)), "MemberEpoch is invalid.");
    assert_eq!(
        refused(ConsumerHeartbeat { assignor: Some("mine".into()), ..joins() }),
        "ServerAssignor mine is not supported. Supported assignors: uniform, range."
    );
    assert_eq!(refused(still("a", 1)), "Consumer group g not found.");
    assert!(shell.log.is_empty());
    assert_eq!(shell.state(), "none");
}

#[test]
fn a_group_has_a_largest_size() {
    let mut shell = Shell::new(&[("foo", 2)]);
    shell.settings.consumer_members_max = 1;
    assert_eq!(shell.beat(join("a", &["foo"])), "2: foo-0,1");
    assert_eq!(shell.beat(join("b", &["foo"])), "GroupMaxSizeReached");
    assert_eq!(shell.beat(ConsumerHeartbeat { makes_member_id: false, ..join("", &["foo"]) }), "GroupMaxSizeReached");
    assert_eq!(shell.beat(join("a", &["foo"])), "2: foo-0,1");
}

#[test]
fn a_group_has_configs_of_its_own_within_the_brokers_bounds() {
    let mut shell = Shell::new(&[("foo", 1)]);
    shell.configure("consumer.heartbeat.interval.ms", "7000");
    shell.configure("consumer.session.timeout.ms", "50000");
    let interval = |shell: &mut Shell| shell.heartbeat(join("a", &["foo"])).expect("joined").heartbeat_interval_ms;
    assert_eq!(interval(&mut shell), 7_000);
    shell.pass(49_999);
    assert_eq!(shell.state(), "Stable");
    shell.pass(1);
    assert_eq!(shell.state(), "Empty");
    shell.configure("consumer.heartbeat.interval.ms", "1");
    assert_eq!(interval(&mut shell), 5_000);
    shell.configure("consumer.heartbeat.interval.ms", "100000");
    assert_eq!(interval(&mut shell), 15_000);
}

#[test]
fn most_members_say_which_assignor() {
    let mut shell = Shell::new(&[("bar", 3), ("foo", 3)]);
    shell.configure("consumer.assignment.interval.ms", "0");
    assert_eq!(shell.describe_text(), "none");
    shell.beat(ConsumerHeartbeat { assignor: Some("range".into()), ..join("a", &["foo", "bar"]) });
    shell.beat(join("b", &["foo", "bar"]));
    assert_eq!(shell.describe().assignor, "range");
    let target = |shell: &mut Shell| {
        let members = shell.describe().members;
        members.iter().map(|member| shell.assignment_text(Some(&member.target))).collect::<Vec<_>>()
    };
    assert_eq!(target(&mut shell), ["bar-0,1 foo-0,1", "bar-2 foo-2"]);
}

impl Shell {
    fn describe_text(&mut self) -> String {
        match self.ask(Request::DescribeConsumer { group: G.into() }) {
            Reply::ConsumerDescribed(Ok(described)) => described.state.into(),
            Reply::ConsumerDescribed(Err(GroupError::GroupIdNotFound(text))) if text == "Group g not found." => {
                "none".into()
            }
            other => panic!("{other:?}"),
        }
    }
}
