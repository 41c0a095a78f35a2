//! Members that keep their place while they are away (KIP-345).

use super::*;

fn instance(name: &str) -> Join {
    Join { instance: Some(name.into()), takes_member_id: true, takes_skipping: true, ..join("c") }
}

/// A stable group of static members; the first leads.
fn stable(shell: &mut Shell, names: &[&str]) -> Vec<String> {
    let joins: Vec<Waiting> = names.iter().map(|name| shell.join(instance(name))).collect();
    shell.pass(2 * DELAY_MS);
    let ids: Vec<String> = joins.into_iter().map(|waiting| shell.joined(waiting).member).collect();
    shell.sync_all(&ids);
    ids
}

#[test]
fn a_static_member_joins_without_being_given_an_id_first() {
    let mut shell = Shell::new();
    let join = shell.join(instance("i"));
    shell.pass(DELAY_MS);
    let joined = shell.joined(join);
    assert_eq!(short(&joined.member), "i-1");
    assert_eq!(joined.members[0].instance.as_deref(), Some("i"));
}

#[test]
fn a_static_member_that_is_back_has_what_it_had_and_nobody_rebalances() {
    let mut shell = Shell::new();
    let ids = stable(&mut shell, &["i", "k"]);
    let from = shell.log.len();
    let back = shell.join(instance("k"));
    assert_eq!(shell.said(back), "1 range leader i-1");
    assert_eq!(shell.written_since(from), ["group g generation 1 of 2"]);
    assert_eq!(shell.state(), "Stable");
    let id = "k-00000000-0000-0000-0000-000000000003";
    let synced = shell.sync(sync(1, id, &[]));
    assert_eq!(shell.said(synced), "range: k-2");
    // Its former self is not known, and fenced if it says who it is.
    assert_eq!(shell.heartbeat(1, &ids[1]), "UnknownMember");
    let mut former = heartbeat(1, &ids[1]);
    former.instance = Some("k".into());
    assert_eq!(shell.now(Request::Heartbeat(former)), "FencedInstanceId");
    let former = Sync { instance: Some("k".into()), ..sync(1, &ids[1], &[]) };
    assert_eq!(shell.now(Request::Sync(former)), "FencedInstanceId");
    let former = Commit { instance: Some("k".into()), ..commit(1, &ids[1], 1) };
    assert_eq!(shell.commit(former), "t-0 FencedInstanceId");
    let former = Join { instance: Some("k".into()), ..rejoin(&ids[1]) };
    assert_eq!(shell.now(Request::Join(former)), "FencedInstanceId k-2");
}

#[test]
fn a_leader_that_is_back_is_told_not_to_assign() {
    let mut shell = Shell::new();
    stable(&mut shell, &["i", "k"]);
    let back = shell.join(instance("i"));
    assert_eq!(shell.said(back), "1 range leader i-3 (i-3 k-2) skip");
    // One that does not understand is let think that another leads.
    let back = shell.join(Join { takes_skipping: false, ..instance("i") });
    assert_eq!(shell.said(back), "1 range leader i-3");
    let id = "i-00000000-0000-0000-0000-000000000004";
    assert_eq!(shell.heartbeat(1, id), "ok");
}

#[test]
fn a_static_member_that_is_back_with_another_protocol_makes_the_group_rebalance() {
    let mut shell = Shell::new();
    let both = |name: &str, first: &str, second: &str| Join {
        protocols: vec![(first.into(), Vec::new()), (second.into(), Vec::new())],
        ..instance(name)
    };
    let join = shell.join(both("i", "range", "sticky"));
    shell.pass(DELAY_MS);
    let id = shell.joined(join).member;
    shell.sync_all(&[id]);
    let back = shell.join(both("i", "sticky", "range"));
    assert_eq!(shell.said(back), "2 sticky leader i-2 (i-2)");
}

#[test]
fn a_static_member_that_is_back_while_the_others_sync_makes_them_rebalance() {
    let mut shell = Shell::new();
    let joins = [shell.join(instance("i")), shell.join(instance("k"))];
    shell.pass(2 * DELAY_MS);
    let ids = joins.map(|waiting| shell.joined(waiting).member);
    let waiting = shell.sync(sync(1, &ids[1], &[]));
    let back = shell.join(instance("k"));
    assert_eq!(shell.said(waiting), "FencedInstanceId");
    assert_eq!(shell.state(), "PreparingRebalance");
    let leader = shell.join(Join { instance: Some("i".into()), ..rejoin(&ids[0]) });
    assert_eq!(shell.said(leader), "2 range leader i-1 (i-1 k-3)");
    assert_eq!(shell.said(back), "2 range leader i-1");
}

#[test]
fn a_static_member_that_is_back_twice_fences_its_first_self() {
    let mut shell = Shell::new();
    let first = shell.join(instance("i"));
    let second = shell.join(instance("i"));
    assert_eq!(shell.said(first), "FencedInstanceId i-1");
    shell.pass(DELAY_MS);
    assert_eq!(shell.said(second), "1 range leader i-2 (i-2)");
}

#[test]
fn a_rebalance_does_not_lose_static_members_who_are_away() {
    let mut shell = Shell::new();
    let ids = stable(&mut shell, &["i", "k"]);
    let leader = shell.join(Join { session_timeout_ms: 600_000, ..instance("i") });
    assert_eq!(shell.said(leader), "1 range leader i-3 (i-3 k-2) skip");
    let id = "i-00000000-0000-0000-0000-000000000003";
    let leader = shell.join(Join { instance: Some("i".into()), ..rejoin(id) });
    for _ in 0..REBALANCE_MS / 5_000 {
        shell.heartbeat(1, &ids[1]);
        shell.pass(5_000);
    }
    assert_eq!(shell.said(leader), "2 range leader i-3 (i-3 k-2)");
}

#[test]
fn static_members_leave_when_their_session_is_over_or_somebody_says_so() {
    let mut shell = Shell::new();
    let ids = stable(&mut shell, &["i", "k"]);
    shell.pass(SESSION_MS as u64 - 1);
    shell.heartbeat(1, &ids[0]);
    shell.pass(1);
    assert_eq!(shell.heartbeat(1, &ids[0]), "RebalanceInProgress");

    let by_instance = |name: &str| LeavingMember { instance: Some(name.into()), ..LeavingMember::default() };
    let both = Leave { members: vec![by_instance("i"), by_instance("k"), by_instance("x")], ..leave(&[]) };
    assert_eq!(shell.now(Request::Leave(both)), "ok UnknownMember UnknownMember");
    assert_eq!(shell.state(), "Empty");
}

#[test]
fn a_former_self_cannot_take_the_member_out() {
    let mut shell = Shell::new();
    let ids = stable(&mut shell, &["i"]);
    shell.join(instance("i"));
    let member = LeavingMember { member: ids[0].clone(), instance: Some("i".into()), reason: None };
    let former = Leave { members: vec![member], ..leave(&[]) };
    assert_eq!(shell.now(Request::Leave(former)), "FencedInstanceId");
    assert_eq!(shell.state(), "Stable");
}

#[test]
fn an_instance_that_the_group_does_not_know_is_nobody() {
    let mut shell = Shell::new();
    let ids = stable(&mut shell, &["i"]);
    let stranger = Join { instance: Some("x".into()), ..rejoin(&ids[0]) };
    assert_eq!(shell.now(Request::Join(stranger)), "UnknownMember i-1");
}

#[test]
fn static_members_are_static_after_a_restart() {
    let mut shell = Shell::new();
    stable(&mut shell, &["i", "k"]);
    shell.restart();
    let back = shell.join(instance("i"));
    assert_eq!(shell.said(back), "1 range leader i-3 (i-3 k-2) skip");
}
