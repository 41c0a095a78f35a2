//! LeaveGroup, and groups that lose their last member.

use super::*;

#[test]
fn the_others_rebalance_when_a_member_leaves() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b"]);
    assert_eq!(shell.leave(&[&ids[0]]), "ok");
    assert_eq!(shell.heartbeat(1, &ids[1]), "RebalanceInProgress");
    let b = shell.join(rejoin(&ids[1]));
    assert_eq!(shell.said(b), "2 range leader b-2 (b-2)");
}

#[test]
fn a_group_is_empty_when_the_last_member_left() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a"]);
    let from = shell.log.len();
    assert_eq!(shell.leave(&[&ids[0]]), "ok");
    assert_eq!(shell.written_since(from), ["group g generation 2 of 0"]);
    assert_eq!(shell.describe(), "Empty consumer/");
    assert_eq!(shell.leave(&[&ids[0]]), "UnknownMember");
    // The next one starts where the last one ended.
    let next = shell.join(join("b"));
    shell.pass(DELAY_MS);
    assert_eq!(shell.said(next), "3 range leader b-2 (b-2)");
}

#[test]
fn several_leave_at_once_and_each_has_an_answer() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b"]);
    assert_eq!(shell.leave(&[&ids[0], "stranger", &ids[1]]), "ok UnknownMember ok");
    assert_eq!(shell.state(), "Empty");
    assert_eq!(shell.now(Request::Leave(Leave { group: "other".into(), ..leave(&["a"]) })), "UnknownMember");
    assert_eq!(shell.now(Request::Leave(Leave { group: String::new(), ..leave(&["a"]) })), "InvalidGroupId");
}

#[test]
fn nobody_is_left_without_an_answer() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b", "c"]);
    let joining = shell.join(rejoin(&ids[0]));
    assert_eq!(shell.leave(&[&ids[0]]), "ok");
    assert_eq!(shell.said(joining), "UnknownMember");
    let rest = [shell.join(rejoin(&ids[1])), shell.join(rejoin(&ids[2]))];
    assert_eq!(shell.said(rest[0]), "2 range leader b-2 (b-2 c-3)");
    let syncing = shell.sync(sync(2, &ids[2], &[]));
    assert_eq!(shell.leave(&[&ids[2]]), "ok");
    assert_eq!(shell.said(syncing), "UnknownMember");
}

#[test]
fn a_rebalance_is_complete_when_the_one_it_waits_for_leaves() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b"]);
    let a = shell.join(rejoin(&ids[0]));
    assert_eq!(shell.leave(&[&ids[1]]), "ok");
    assert_eq!(shell.said(a), "2 range leader a-1 (a-1)");
}

#[test]
fn the_first_rebalance_takes_its_time_though_somebody_left() {
    let mut shell = Shell::new();
    let a = shell.join(join("a"));
    shell.join(join("b"));
    assert_eq!(shell.leave(&["b-00000000-0000-0000-0000-000000000002"]), "ok");
    assert_eq!(shell.said(a), "...");
    shell.pass(2 * DELAY_MS);
    assert_eq!(shell.said(a), "1 range leader a-1 (a-1)");
}
