//! Partitions go from one member to another, and are never with two.

use super::*;

/// `a` has foo-0,1,2,3 at epoch 2; `b` joins and is at epoch 3 with nothing yet; half of them are b's target.
fn two() -> Shell {
    let mut shell = Shell::new(&[("foo", 4)]);
    assert_eq!(shell.beat(join("a", &["foo"])), "2: foo-0,1,2,3");
    shell.pass(ASSIGNMENT_MS);
    assert_eq!(shell.beat(join("b", &["foo"])), "3: nothing");
    shell
}

#[test]
fn a_partition_is_given_when_the_other_member_has_given_it_up() {
    let mut shell = two();
    assert_eq!(shell.state(), "Reconciling");
    // The first heartbeat asks a to give up two partitions, and leaves it at its epoch until it says that it has.
    assert_eq!(shell.own("a", 2, "foo-0,1,2,3"), "2: foo-0,1");
    assert_eq!(shell.beat(still("b", 3)), "3: as before");
    assert_eq!(shell.own("a", 2, "foo-0,1,2,3"), "2: as before");
    assert_eq!(shell.beat(still("a", 2)), "2: as before");
    assert_eq!(shell.beat(still("b", 3)), "3: as before");
    assert_eq!(shell.own("a", 2, "foo-0,1"), "3: as before");
    assert_eq!(shell.beat(still("b", 3)), "3: foo-2,3");
    assert_eq!(shell.state(), "Stable");
}

#[test]
fn what_was_not_given_up_may_not_wait_for_ever() {
    let mut shell = two();
    assert_eq!(shell.own("a", 2, "foo-0,1,2,3"), "2: foo-0,1");
    for _ in 0..11 {
        shell.pass(5_000);
        assert_eq!(shell.own("a", 2, "foo-0,1,2,3"), "2: as before");
        assert_eq!(shell.beat(still("b", 3)), "3: as before");
    }
    shell.pass(5_000);
    assert_eq!(shell.own("a", 2, "foo-0,1,2,3"), "UnknownMember");
    assert_eq!(shell.beat(still("b", 3)), "4: foo-0,1,2,3");
}

#[test]
fn giving_up_in_time_ends_the_rebalance_timeout() {
    let mut shell = two();
    assert_eq!(shell.own("a", 2, "foo-0,1,2,3"), "2: foo-0,1");
    shell.pass(30_000);
    assert_eq!(shell.own("a", 2, "foo-0,1"), "3: as before");
    assert_eq!(shell.beat(still("b", 3)), "3: foo-2,3");
    shell.pass(30_000);
    assert_eq!(shell.own("a", 3, "foo-0,1"), "3: as before");
}

#[test]
fn a_lost_answer_is_given_again() {
    let mut shell = two();
    shell.own("a", 2, "foo-0,1,2,3");
    assert_eq!(shell.own("a", 2, "foo-0,1"), "3: as before");
    // a did not hear that, and says everything anew.
    let full = ConsumerHeartbeat { owned: Some(shell.partitions("foo-0,1")), ..join("a", &["foo"]) };
    assert_eq!(shell.beat(ConsumerHeartbeat { member_epoch: 2, ..full.clone() }), "3: foo-0,1");
    // What it never had it cannot own, and an older epoch is nobody's.
    assert_eq!(shell.own("a", 2, "foo-0,1,2"), "FencedMemberEpoch");
    assert_eq!(shell.beat(still("a", 2)), "FencedMemberEpoch");
    assert_eq!(shell.own("a", 1, ""), "FencedMemberEpoch");
    assert_eq!(shell.own("a", 4, ""), "FencedMemberEpoch");
}

#[test]
fn a_lost_answer_to_a_join_is_given_again() {
    let mut shell = two();
    assert_eq!(shell.beat(join("b", &["foo"])), "3: nothing");
    assert_eq!(shell.beat(join("a", &["foo"])), "3: foo-0,1");
}

#[test]
fn targets_are_not_made_more_often_than_the_interval_says() {
    let mut shell = Shell::new(&[("foo", 6)]);
    assert_eq!(shell.beat(join("a", &["foo"])), "2: foo-0,1,2,3,4,5");
    assert_eq!(shell.beat(join("b", &["foo"])), "2: nothing");
    assert_eq!(shell.beat(join("c", &["foo"])), "2: nothing");
    assert_eq!(shell.state(), "Assigning");
    let described = shell.describe();
    assert_eq!((described.epoch, described.assignment_epoch), (4, 2));
    shell.pass(ASSIGNMENT_MS - 1);
    assert_eq!(shell.own("a", 2, "foo-0,1,2,3,4,5"), "2: as before");
    shell.pass(1);
    assert_eq!(shell.own("a", 2, "foo-0,1,2,3,4,5"), "2: foo-0,1");
    assert_eq!(shell.own("a", 2, "foo-0,1"), "4: as before");
    assert_eq!(shell.beat(still("b", 2)), "4: foo-2,3");
    assert_eq!(shell.beat(still("c", 2)), "4: foo-4,5");
}

#[test]
fn a_newer_target_is_taken_before_the_older_one_is_reached() {
    let mut shell = two();
    shell.pass(ASSIGNMENT_MS);
    assert_eq!(shell.beat(join("c", &["foo"])), "4: nothing");
    assert_eq!(shell.own("a", 2, "foo-0,1,2,3"), "2: foo-0,1");
    assert_eq!(shell.own("a", 2, "foo-0,1"), "4: as before");
    assert_eq!(shell.beat(still("b", 3)), "4: foo-2");
    assert_eq!(shell.beat(still("c", 4)), "4: foo-3");
}

#[test]
fn a_topic_that_is_not_subscribed_to_any_more_goes_at_once() {
    let mut shell = Shell::new(&[("bar", 1), ("foo", 1)]);
    assert_eq!(shell.beat(join("a", &["foo", "bar"])), "2: bar-0 foo-0");
    // No new target before the interval is over, but what is not wanted is taken away.
    let only_bar = Some(vec!["bar".to_owned()]);
    assert_eq!(shell.beat(ConsumerHeartbeat { topics: only_bar, ..still("a", 2) }), "2: bar-0");
    assert_eq!(shell.describe().members[0].assignment.len(), 2);
    shell.pass(ASSIGNMENT_MS);
    assert_eq!(shell.own("a", 2, "bar-0"), "3: as before");
    assert_eq!(shell.state(), "Stable");
}

#[test]
fn who_gets_something_back_that_it_was_giving_up_keeps_it() {
    let mut shell = two();
    assert_eq!(shell.own("a", 2, "foo-0,1,2,3"), "2: foo-0,1");
    assert_eq!(shell.beat(still("b", -1)), "-1: as before");
    shell.pass(ASSIGNMENT_MS);
    assert_eq!(shell.own("a", 2, "foo-0,1,2,3"), "2: as before");
    assert_eq!(shell.own("a", 2, "foo-0,1"), "4: foo-0,1,2,3");
}

#[test]
fn a_restart_changes_nothing_but_the_sessions() {
    let mut shell = two();
    assert_eq!(shell.own("a", 2, "foo-0,1,2,3"), "2: foo-0,1");
    shell.pass(40_000);
    shell.restart();
    shell.pass(40_000);
    assert_eq!(shell.beat(still("b", 3)), "3: as before");
    assert_eq!(shell.own("a", 2, "foo-0,1"), "3: as before");
    assert_eq!(shell.beat(still("b", 3)), "3: foo-2,3");
    // The one that did not give up in time goes, also after a restart.
    shell.pass(ASSIGNMENT_MS);
    assert_eq!(shell.beat(join("c", &["foo"])), "4: nothing");
    assert_eq!(shell.own("b", 3, "foo-2,3"), "3: foo-2");
    shell.restart();
    for _ in 0..2 {
        shell.pass(30_000);
        shell.own("b", 3, "foo-2,3");
        shell.beat(still("c", 4));
    }
    assert_eq!(shell.own("b", 3, "foo-2,3"), "UnknownMember");
}
