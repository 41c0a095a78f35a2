//! A classic group that becomes a consumer group or was one (KIP-848), as far as it is a classic group's matter.

use super::groups::{Group, Turn};
use super::migration::{MigratingMember, Migration};
use super::*;

fn of_classic(shell: &Shell) -> &classic::Group {
    match shell.groups.groups.get(G) {
        Some(Group::Classic(group)) => group,
        other => panic!("no classic group: {other:?}"),
    }
}

fn migrating(id: &str, protocols: &[&str]) -> MigratingMember {
    MigratingMember {
        member: id.into(),
        instance: None,
        client: Client { id: "c".into(), host: "/127.0.0.1".into() },
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocols: protocols.iter().map(|name| (String::from(*name), subscription(&["t"]))).collect(),
        assignment: id.as_bytes().to_vec(),
    }
}

/// The group `g` was a consumer group of epoch 7.
fn downgrade(shell: &mut Shell, members: Vec<MigratingMember>, rebalance: bool) {
    let migration = Migration { group: G.into(), generation: 7, members };
    shell.event(|groups, cx| {
        let mut effects = Effects::default();
        let mut turn = Turn { cx, timers: &mut groups.timers, effects: &mut effects };
        let group = classic::Group::downgrade(&mut turn, migration, rebalance);
        groups.groups.insert(G.into(), Group::Classic(group));
        effects
    });
}

#[test]
fn a_group_is_upgraded_if_it_may_be() {
    let mut shell = Shell::new();
    shell.stable(&["a", "b"]);
    let refused = |shell: &Shell| of_classic(shell).check_upgrade(&shell.settings).map_err(|error| error.to_string());
    assert_eq!(refused(&shell), Ok(()));
    shell.settings.consumer_members_max = 1;
    let text = "Cannot upgrade classic group g to consumer group because";
    let size = "the group size exceeds the consumer group maximum size.";
    assert_eq!(refused(&shell), Err(format!("{text} {size}")));
    shell.settings.consumer_migration = MigrationPolicy::Downgrade;
    assert_eq!(refused(&shell), Err(format!("{text} online upgrade is disabled.")));
}

#[test]
fn what_a_group_has_goes_with_it() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b"]);
    let migration = of_classic(&shell).migration();
    assert_eq!((migration.group.as_ref(), migration.generation), (G, 1));
    let members: Vec<(&str, &[u8])> =
        migration.members.iter().map(|member| (member.member.as_ref(), member.assignment.as_slice())).collect();
    assert_eq!(members, [(ids[0].as_str(), ids[0].as_bytes()), (ids[1].as_str(), ids[1].as_bytes())]);
    // And comes back as it was.
    let before = of_classic(&shell).value();
    let mut back = Shell::new();
    downgrade(&mut back, migration.members, false);
    assert_eq!(of_classic(&back).value().members, before.members);
}

#[test]
fn a_downgraded_group_is_stable_and_written() {
    let mut shell = Shell::new();
    downgrade(&mut shell, vec![migrating("a", &["range"]), migrating("b", &["sticky", "range"])], false);
    assert_eq!(shell.written_since(0), ["group g generation 7 of 2"]);
    assert_eq!(shell.describe(), "Stable consumer/range a[13/a] b[13/b]");
    assert_eq!(shell.heartbeat(7, "a"), "ok");
    shell.restart();
    assert_eq!(shell.describe(), "Stable consumer/range a[13/a] b[13/b]");
}

#[test]
fn a_downgraded_group_rebalances_where_members_left() {
    let mut shell = Shell::new();
    downgrade(&mut shell, vec![migrating("a", &["range"])], true);
    assert_eq!(shell.heartbeat(7, "a"), "RebalanceInProgress");
    shell.pass(SESSION_MS as u64);
    assert_eq!(shell.state(), "Empty");
}
