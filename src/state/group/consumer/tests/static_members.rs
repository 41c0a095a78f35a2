//! Members with an instance: they come back and have what they had.

use super::*;

fn static_join(id: &str, instance: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat { instance: Some(instance.into()), ..join(id, &["foo"]) }
}

fn static_still(id: &str, instance: &str, epoch: i32) -> ConsumerHeartbeat {
    ConsumerHeartbeat { instance: Some(instance.into()), ..still(id, epoch) }
}

/// `a` of instance `x` has foo-0,1 and `b` of instance `y` foo-2,3, at epoch 3.
fn two() -> Shell {
    let mut shell = Shell::new(&[("foo", 4)]);
    shell.configure("consumer.assignment.interval.ms", "0");
    assert_eq!(shell.beat(static_join("a", "x")), "2: foo-0,1,2,3");
    assert_eq!(shell.beat(static_join("b", "y")), "3: nothing");
    let owned = |shell: &Shell, text: &str| Some(shell.partitions(text));
    shell.beat(ConsumerHeartbeat { owned: owned(&shell, "foo-0,1,2,3"), ..static_still("a", "x", 2) });
    let gave_up = ConsumerHeartbeat { owned: owned(&shell, "foo-0,1"), ..static_still("a", "x", 2) };
    assert_eq!(shell.beat(gave_up), "3: as before");
    assert_eq!(shell.beat(static_still("b", "y", 3)), "3: foo-2,3");
    shell
}

#[test]
fn who_comes_back_in_time_has_what_it_had() {
    let mut shell = two();
    let from = shell.log.len();
    assert_eq!(shell.beat(static_still("a", "x", -2)), "-2: as before");
    assert_eq!(shell.written_since(from), ["current a: 2<-2 state 0: foo-0,1"]);
    // Nobody gets its partitions meanwhile.
    assert_eq!(shell.beat(static_still("b", "y", 3)), "3: as before");
    let from = shell.log.len();
    assert_eq!(shell.beat(static_join("a2", "x")), "3: foo-0,1");
    let records = [
        "-current a",
        "-target a",
        "-member a",
        "member a2: foo",
        "target a2: foo-0,1",
        "current a2: 0<0 state 0: foo-0,1",
        "current a2: 0<3 state 0: foo-0,1",
    ];
    assert_eq!(shell.written_since(from), records);
    assert_eq!(shell.beat(static_still("a", "x", 3)), "FencedInstanceId");
    assert_eq!(shell.beat(static_still("a", "x", -1)), "FencedInstanceId");
    assert_eq!(shell.state(), "Stable");
}

#[test]
fn who_does_not_come_back_in_time_is_out() {
    let mut shell = two();
    shell.beat(static_still("a", "x", -2));
    shell.pass(SESSION_MS - 1);
    assert_eq!(shell.beat(static_still("b", "y", 3)), "3: as before");
    shell.pass(1);
    assert_eq!(shell.beat(static_still("b", "y", 3)), "4: foo-0,1,2,3");
}

#[test]
fn an_instance_that_is_there_is_not_replaced() {
    let mut shell = two();
    let error = shell.heartbeat(static_join("a2", "x")).expect_err("refused");
    let text =
        "Static member a2 with instance id x cannot join the group because the instance id is owned by a member.";
    assert_eq!(error, GroupError::UnreleasedInstanceId(text.into()));
    assert_eq!(shell.beat(static_still("c", "x", 3)), "FencedInstanceId");
    assert_eq!(shell.beat(static_still("c", "z", 3)), "UnknownMember");
    assert_eq!(shell.beat(static_still("a", "z", -2)), "UnknownMember");
    assert_eq!(shell.beat(static_still("a", "x", 3)), "3: as before");
}

#[test]
fn who_leaves_for_good_leaves_its_instance() {
    let mut shell = two();
    assert_eq!(shell.beat(static_still("a", "x", -1)), "-1: as before");
    assert_eq!(shell.beat(static_join("a2", "x")), "5: foo-0,1");
}

#[test]
fn who_comes_back_with_another_subscription_begins_a_rebalance() {
    let mut shell = two();
    shell.create("bar", 2);
    shell.beat(static_still("a", "x", -2));
    let both = Some(vec!["foo".to_owned(), "bar".to_owned()]);
    assert_eq!(shell.beat(ConsumerHeartbeat { topics: both, ..static_join("a2", "x") }), "4: foo-0 bar-0,1");
}
