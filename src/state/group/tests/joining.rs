//! JoinGroup: who is let in, and when a rebalance begins and ends.

use super::*;

#[test]
fn a_client_that_understands_it_is_given_an_id_first() {
    let mut shell = Shell::new();
    let first = shell.join(Join { takes_member_id: true, ..join("a") });
    assert_eq!(shell.said(first), "MemberIdRequired a-1");
    // The group is there, and known to be, before anybody is in it.
    assert_eq!(shell.written_since(0), ["group g generation 0 of 0"]);
    assert_eq!(shell.state(), "Empty");

    let id = "a-00000000-0000-0000-0000-000000000001";
    let second = shell.join(Join { takes_member_id: true, ..rejoin(id) });
    assert_eq!(shell.state(), "PreparingRebalance");
    shell.pass(DELAY_MS);
    assert_eq!(shell.said(second), "1 range leader a-1 (a-1)");
}

#[test]
fn an_id_that_was_given_out_is_kept_for_a_session_timeout() {
    let mut shell = Shell::new();
    shell.join(Join { takes_member_id: true, ..join("a") });
    let id = "a-00000000-0000-0000-0000-000000000001";
    shell.pass(SESSION_MS as u64);
    let late = shell.join(rejoin(id));
    assert_eq!(shell.said(late), "UnknownMember a-1");
}

#[test]
fn a_rebalance_waits_for_ids_that_were_given_out() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a"]);
    let given = shell.join(Join { takes_member_id: true, ..join("b") });
    assert_eq!(shell.said(given), "MemberIdRequired b-2");
    let leader = shell.join(rejoin(&ids[0]));
    assert_eq!(shell.said(leader), "...");
    // The one with the new id does not come.
    shell.pass(SESSION_MS as u64);
    assert_eq!(shell.said(leader), "2 range leader a-1 (a-1)");
}

#[test]
fn an_id_that_was_given_out_may_leave() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a"]);
    shell.join(Join { takes_member_id: true, ..join("b") });
    let leader = shell.join(rejoin(&ids[0]));
    assert_eq!(shell.leave(&["b-00000000-0000-0000-0000-000000000002"]), "ok");
    assert_eq!(shell.said(leader), "2 range leader a-1 (a-1)");
}

#[test]
fn who_asks_for_the_impossible_is_refused() {
    let mut shell = Shell::new();
    let mut refused = |join: Join| {
        let waiting = shell.join(join);
        shell.said(waiting)
    };
    assert_eq!(refused(Join { group: String::new(), ..join("a") }), "InvalidGroupId");
    assert_eq!(refused(Join { session_timeout_ms: 5_999, ..join("a") }), "InvalidSessionTimeout");
    assert_eq!(refused(Join { session_timeout_ms: 1_800_001, ..join("a") }), "InvalidSessionTimeout");
    assert_eq!(refused(rejoin("nobody")), "UnknownMember nobody");
    assert!(shell.log.is_empty());

    let mut refused = |join: Join| {
        let waiting = shell.join(join);
        shell.said(waiting)
    };
    assert_eq!(refused(Join { protocols: Vec::new(), ..join("a") }), "InconsistentProtocol");
    assert_eq!(refused(Join { protocol_type: String::new(), ..join("a") }), "InconsistentProtocol");
}

#[test]
fn members_have_a_protocol_in_common() {
    let mut shell = Shell::new();
    shell.stable(&["a"]);
    let other_type = shell.join(Join { protocol_type: "connect".into(), ..join("b") });
    assert_eq!(shell.said(other_type), "InconsistentProtocol");
    let other_protocol = shell.join(Join { protocols: vec![("sticky".into(), Vec::new())], ..join("b") });
    assert_eq!(shell.said(other_protocol), "InconsistentProtocol");
    assert_eq!(shell.state(), "Stable");
}

#[test]
fn the_protocol_that_most_prefer_is_selected_among_those_that_all_support() {
    let mut shell = Shell::new();
    let with = |name: &str, protocols: &[&str]| Join {
        protocols: protocols.iter().map(|name| (String::from(*name), name.as_bytes().to_vec())).collect(),
        ..join(name)
    };
    let joins = [
        shell.join(with("a", &["only-a", "range", "sticky"])),
        shell.join(with("b", &["sticky", "range", "sticky"])),
        shell.join(with("c", &["sticky", "range"])),
    ];
    shell.pass(2 * DELAY_MS);
    let leader = shell.joined(joins[0]);
    assert_eq!(leader.protocol.as_deref(), Some("sticky"));
    assert!(leader.members.iter().all(|member| member.metadata == b"sticky"));
}

#[test]
fn the_first_rebalance_waits_and_waits_longer_while_members_come() {
    let mut shell = Shell::new();
    let a = shell.join(join("a"));
    shell.pass(DELAY_MS - 1);
    let b = shell.join(join("b"));
    assert_eq!(shell.said(a), "...");
    shell.pass(1);
    assert_eq!(shell.said(a), "...");
    shell.pass(DELAY_MS - 1);
    assert_eq!(shell.said(a), "...");
    shell.pass(1);
    assert_eq!(shell.said(a), "1 range leader a-1 (a-1 b-2)");
    assert_eq!(shell.said(b), "1 range leader a-1");
}

#[test]
fn the_first_rebalance_is_over_when_the_rebalance_timeout_is() {
    let mut shell = Shell::new();
    let impatient = |name: &str| Join { rebalance_timeout_ms: 7_000, ..join(name) };
    let first = shell.join(impatient("m"));
    for i in 0..6 {
        shell.join(impatient(&format!("m{i}")));
        assert_eq!(shell.said(first), "...", "second {i}");
        shell.pass(1_000);
    }
    shell.join(impatient("late"));
    shell.pass(1_000);
    assert_eq!(shell.joined(first).members.len(), 8);
    assert_eq!(shell.now_ms, 7_000);
}

#[test]
fn a_later_rebalance_waits_for_all_up_to_the_longest_timeout_of_any() {
    let mut shell = Shell::new();
    let a = shell.join(Join { rebalance_timeout_ms: 20_000, ..join("a") });
    let b = shell.join(Join { rebalance_timeout_ms: 8_000, ..join("b") });
    shell.pass(2 * DELAY_MS);
    let ids = [shell.joined(a).member, shell.joined(b).member];
    shell.sync_all(&ids);

    let c = shell.join(Join { rebalance_timeout_ms: 1_000, ..join("c") });
    let a = shell.join(Join { rebalance_timeout_ms: 20_000, ..rejoin(&ids[0]) });
    // b lives, and does not join.
    for _ in 0..19 {
        shell.pass(1_000);
        assert_eq!(shell.heartbeat(1, &ids[1]), "RebalanceInProgress");
    }
    assert_eq!(shell.said(a), "...");
    shell.pass(1_000);
    assert_eq!(shell.said(a), "2 range leader a-1 (a-1 c-3)");
    assert_eq!(shell.said(c), "2 range leader a-1");
    assert_eq!(shell.heartbeat(2, &ids[1]), "UnknownMember");
}

#[test]
fn another_leads_if_the_leader_does_not_join() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b", "c"]);
    let d = shell.join(join("d"));
    let c = shell.join(rejoin(&ids[2]));
    for _ in 0..REBALANCE_MS / 5_000 {
        shell.heartbeat(1, &ids[0]);
        shell.heartbeat(1, &ids[1]);
        shell.pass(5_000);
    }
    assert_eq!(shell.said(c), "2 range leader c-3 (c-3 d-4)");
    assert_eq!(shell.said(d), "2 range leader c-3");
}

#[test]
fn a_stable_group_rebalances_when_the_leader_rejoins_or_a_follower_says_something_new() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b"]);
    let same = shell.join(rejoin(&ids[1]));
    assert_eq!(shell.said(same), "1 range leader a-1");
    assert_eq!(shell.state(), "Stable");
    let synced = shell.sync(sync(1, &ids[1], &[]));
    assert_eq!(shell.said(synced), "range: b-2");

    let changed = shell.join(Join { protocols: vec![("range".into(), subscription(&["u"]))], ..rejoin(&ids[1]) });
    assert_eq!((shell.state(), shell.said(changed).as_str()), ("PreparingRebalance", "..."));
    let leader = shell.join(rejoin(&ids[0]));
    assert_eq!(shell.said(leader), "2 range leader a-1 (a-1 b-2)");
    shell.sync_all(&ids);

    let leader = shell.join(rejoin(&ids[0]));
    assert_eq!((shell.state(), shell.said(leader).as_str()), ("PreparingRebalance", "..."));
}

#[test]
fn who_did_not_hear_of_the_new_generation_is_told_again() {
    let mut shell = Shell::new();
    let joins = [shell.join(join("a")), shell.join(join("b"))];
    shell.pass(2 * DELAY_MS);
    let ids = joins.map(|waiting| shell.joined(waiting).member);
    let leader = shell.join(rejoin(&ids[0]));
    assert_eq!(shell.said(leader), "1 range leader a-1 (a-1 b-2)");
    let follower = shell.join(rejoin(&ids[1]));
    assert_eq!(shell.said(follower), "1 range leader a-1");
    assert_eq!(shell.state(), "CompletingRebalance");

    let changed = shell.join(Join { protocols: vec![("range".into(), Vec::new())], ..rejoin(&ids[1]) });
    assert_eq!((shell.state(), shell.said(changed).as_str()), ("PreparingRebalance", "..."));
}

#[test]
fn a_join_that_is_sent_again_takes_the_place_of_the_first() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b"]);
    let first = shell.join(rejoin(&ids[0]));
    let second = shell.join(rejoin(&ids[0]));
    assert_eq!(shell.said(first), "RebalanceInProgress a-1");
    shell.join(rejoin(&ids[1]));
    assert_eq!(shell.said(second), "2 range leader a-1 (a-1 b-2)");
}

#[test]
fn a_new_member_is_not_waited_for_longer_than_five_minutes() {
    let mut shell = Shell::new();
    let long = |join: Join| Join { rebalance_timeout_ms: 600_000, ..join };
    let a = shell.join(long(join("a")));
    shell.pass(DELAY_MS);
    let id = shell.joined(a).member;
    shell.sync_all(std::slice::from_ref(&id));
    let new = shell.join(long(join("b")));
    for _ in 0..299 {
        shell.pass(1_000);
        assert_eq!(shell.heartbeat(1, &id), "RebalanceInProgress");
    }
    assert_eq!(shell.said(new), "...");
    shell.pass(1_000);
    assert_eq!(shell.said(new), "UnknownMember");
}

#[test]
fn a_full_group_takes_nobody() {
    let mut shell = Shell::new();
    shell.settings.members_max = 2;
    let ids = shell.stable(&["a", "b"]);
    let refused = shell.join(join("c"));
    assert_eq!(shell.said(refused), "GroupMaxSizeReached");
    // Its members may come again; the new one is faster this time.
    let leader = shell.join(rejoin(&ids[0]));
    let new = shell.join(join("c"));
    let late = shell.join(rejoin(&ids[1]));
    assert_eq!(shell.said(late), "GroupMaxSizeReached");
    assert_eq!((shell.said(leader).as_str(), shell.said(new).as_str()), ("...", "..."));
    assert_eq!(shell.heartbeat(1, &ids[1]), "UnknownMember");
    shell.pass(REBALANCE_MS as u64);
    assert_eq!(shell.said(leader), "2 range leader a-1 (a-1 c-3)");
    assert_eq!(shell.said(new), "2 range leader a-1");
}

#[test]
fn a_group_that_was_loaded_too_large_is_made_smaller() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b"]);
    shell.settings.members_max = 1;
    shell.restart();
    assert_eq!(shell.state(), "PreparingRebalance");
    let first = shell.join(rejoin(&ids[1]));
    let second = shell.join(rejoin(&ids[0]));
    assert_eq!(shell.said(second), "GroupMaxSizeReached");
    shell.pass(REBALANCE_MS as u64);
    assert_eq!(shell.said(first), "2 range leader b-2 (b-2)");
}
