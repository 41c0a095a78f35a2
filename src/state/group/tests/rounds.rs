//! SyncGroup and Heartbeat: from one generation to the next, and what is left of it in the log.

use super::*;

fn completing(shell: &mut Shell, names: &[&str]) -> Vec<String> {
    let joins: Vec<Waiting> = names.iter().map(|name| shell.join(join(name))).collect();
    shell.pass(2 * DELAY_MS);
    joins.into_iter().map(|waiting| shell.joined(waiting).member).collect()
}

#[test]
fn followers_wait_for_what_the_leader_says() {
    let mut shell = Shell::new();
    let ids = completing(&mut shell, &["a", "b", "c"]);
    let b = shell.sync(sync(1, &ids[1], &[]));
    assert_eq!(shell.said(b), "...");
    let from = shell.log.len();
    let a = shell.sync(sync(1, &ids[0], &[(&ids[0], "one"), (&ids[1], "two"), ("stranger", "three")]));
    assert_eq!((shell.said(a).as_str(), shell.said(b).as_str()), ("range: one", "range: two"));
    assert_eq!(shell.written_since(from), ["group g generation 1 of 3"]);
    // Who comes later hears at once, and has nothing if the leader gave it nothing.
    let c = shell.sync(sync(1, &ids[2], &[]));
    assert_eq!(shell.said(c), "range: ");
}

#[test]
fn a_sync_is_of_a_member_of_this_generation_and_protocol() {
    let mut shell = Shell::new();
    let ids = completing(&mut shell, &["a", "b"]);
    let mut said = |sync: Sync| {
        let waiting = shell.sync(sync);
        shell.said(waiting)
    };
    let good = sync(1, &ids[1], &[]);
    assert_eq!(said(Sync { group: String::new(), ..good.clone() }), "InvalidGroupId");
    assert_eq!(said(Sync { group: "other".into(), ..good.clone() }), "UnknownMember");
    assert_eq!(said(sync(1, "stranger", &[])), "UnknownMember");
    assert_eq!(said(Sync { instance: Some("i".into()), ..good.clone() }), "UnknownMember");
    assert_eq!(said(sync(2, &ids[1], &[])), "IllegalGeneration");
    assert_eq!(said(Sync { protocol_type: Some("connect".into()), ..good.clone() }), "InconsistentProtocol");
    assert_eq!(said(Sync { protocol: Some("sticky".into()), ..good.clone() }), "InconsistentProtocol");
    let agreed = Sync { protocol_type: Some("consumer".into()), protocol: Some("range".into()), ..good };
    assert_eq!(said(agreed), "...");
}

#[test]
fn a_sync_during_a_rebalance_asks_to_join() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b"]);
    shell.join(rejoin(&ids[0]));
    let late = shell.sync(sync(1, &ids[1], &[]));
    assert_eq!(shell.said(late), "RebalanceInProgress");
}

#[test]
fn followers_who_wait_are_sent_to_join_when_somebody_new_comes() {
    let mut shell = Shell::new();
    let ids = completing(&mut shell, &["a", "b"]);
    let b = shell.sync(sync(1, &ids[1], &[]));
    shell.join(join("c"));
    assert_eq!(shell.said(b), "RebalanceInProgress");
    assert_eq!(shell.state(), "PreparingRebalance");
}

#[test]
fn who_does_not_sync_in_time_is_out() {
    let mut shell = Shell::new();
    let ids = completing(&mut shell, &["a", "b", "c"]);
    let b = shell.sync(sync(1, &ids[1], &[]));
    for _ in 0..REBALANCE_MS / 5_000 {
        for id in [&ids[0], &ids[2]] {
            assert_eq!(shell.heartbeat(1, id), "ok");
        }
        shell.pass(5_000);
    }
    assert_eq!(shell.said(b), "RebalanceInProgress");
    let b = shell.join(rejoin(&ids[1]));
    assert_eq!(shell.said(b), "2 range leader b-2 (b-2)");
    assert_eq!(shell.heartbeat(2, &ids[0]), "UnknownMember");
}

#[test]
fn a_stable_group_does_not_wait_for_syncs_without_end() {
    let mut shell = Shell::new();
    let ids = completing(&mut shell, &["a", "b"]);
    let leader = shell.sync(sync(1, &ids[0], &[]));
    assert_eq!((shell.said(leader).as_str(), shell.state()), ("range: ", "Stable"));
    for _ in 0..REBALANCE_MS / 5_000 {
        ids.iter().for_each(|id| assert_eq!(shell.heartbeat(1, id), "ok"));
        shell.pass(5_000);
    }
    assert_eq!(shell.state(), "PreparingRebalance");
    assert_eq!(shell.heartbeat(1, &ids[0]), "RebalanceInProgress");
    assert_eq!(shell.heartbeat(1, &ids[1]), "UnknownMember");
}

#[test]
fn heartbeats_tell_of_a_rebalance_and_keep_the_session() {
    let mut shell = Shell::new();
    assert_eq!(shell.heartbeat(1, "a"), "UnknownMember");
    let ids = completing(&mut shell, &["a", "b"]);
    assert_eq!(shell.heartbeat(1, &ids[1]), "ok");
    shell.sync_all(&ids);
    assert_eq!(shell.heartbeat(0, &ids[1]), "IllegalGeneration");
    assert_eq!(shell.heartbeat(1, "stranger"), "UnknownMember");
    for _ in 0..20 {
        shell.pass(SESSION_MS as u64 - 1);
        ids.iter().for_each(|id| assert_eq!(shell.heartbeat(1, id), "ok"));
    }
    // Ten minutes of heartbeats left one place in the queue for each.
    assert_eq!(shell.state(), "Stable");
    shell.join(rejoin(&ids[0]));
    assert_eq!(shell.heartbeat(1, &ids[1]), "RebalanceInProgress");
}

#[test]
fn a_member_that_is_silent_for_its_session_timeout_is_out() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b"]);
    shell.pass(SESSION_MS as u64 - 1);
    assert_eq!(shell.heartbeat(1, &ids[0]), "ok");
    shell.pass(1);
    assert_eq!(shell.heartbeat(1, &ids[0]), "RebalanceInProgress");
    let a = shell.join(rejoin(&ids[0]));
    assert_eq!(shell.said(a), "2 range leader a-1 (a-1)");
}

#[test]
fn members_who_wait_for_a_join_or_a_sync_need_no_heartbeat() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b"]);
    let a = shell.join(rejoin(&ids[0]));
    for _ in 0..10 {
        shell.pass(5_000);
        assert_eq!(shell.heartbeat(1, &ids[1]), "RebalanceInProgress");
    }
    shell.join(rejoin(&ids[1]));
    assert_eq!(shell.said(a), "2 range leader a-1 (a-1 b-2)");
    let b = shell.sync(sync(2, &ids[1], &[]));
    for _ in 0..5 {
        assert_eq!(shell.heartbeat(2, &ids[0]), "ok");
        shell.pass(9_000);
    }
    assert_eq!(shell.said(b), "...");
    // Its session begins with the answer.
    let a = shell.sync(sync(2, &ids[0], &[]));
    assert_eq!((shell.said(a).as_str(), shell.said(b).as_str()), ("range: ", "range: "));
    shell.pass(SESSION_MS as u64 - 1);
    assert_eq!(shell.heartbeat(2, &ids[1]), "ok");
}

#[test]
fn a_commit_keeps_the_session() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a"]);
    for offset in 0..10 {
        shell.pass(SESSION_MS as u64 - 1);
        assert_eq!(shell.commit(commit(1, &ids[0], offset)), "t-0");
    }
    assert_eq!(shell.heartbeat(1, &ids[0]), "ok");
}

#[test]
fn after_a_restart_the_group_goes_on() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b"]);
    shell.restart();
    assert_eq!(shell.describe(), "Stable consumer/range a-1[13/a-1] b-2[13/b-2]");
    shell.pass(SESSION_MS as u64 - 1);
    assert_eq!(shell.heartbeat(1, &ids[0]), "ok");
    let again = shell.sync(sync(1, &ids[0], &[]));
    assert_eq!(shell.said(again), "range: a-1");
    // The other one is not there any more.
    shell.pass(1);
    assert_eq!(shell.heartbeat(1, &ids[0]), "RebalanceInProgress");
    let a = shell.join(rejoin(&ids[0]));
    assert_eq!(shell.said(a), "2 range leader a-1 (a-1)");
}

#[test]
fn a_rebalance_that_was_not_over_is_forgotten_by_a_restart() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a"]);
    shell.join(rejoin(&ids[0]));
    assert_eq!(shell.generation(), 2);
    shell.restart();
    assert_eq!((shell.generation(), shell.state()), (1, "Stable"));
}

#[test]
fn everybody_who_waits_is_told_when_the_coordinator_moves() {
    let mut shell = Shell::new();
    let ids = completing(&mut shell, &["a", "b"]);
    let sync = shell.sync(sync(1, &ids[1], &[]));
    let other = shell.join(Join { group: "h".into(), ..join("c") });
    let effects = shell.groups.unloaded();
    shell.take(effects);
    assert_eq!(shell.said(sync), "NotCoordinator");
    assert_eq!(shell.said(other), "NotCoordinator c-3");
    assert!(shell.groups.list().is_empty() && shell.groups.next_deadline_ms().is_none());
}
