//! Members leave, or are put out.

use super::*;

#[test]
fn a_silent_member_is_out() {
    let mut shell = Shell::new(&[("foo", 2)]);
    shell.beat(join("a", &["foo"]));
    shell.pass(SESSION_MS - 1);
    assert_eq!(shell.beat(still("a", 2)), "2: as before");
    shell.pass(SESSION_MS - 1);
    assert_eq!(shell.beat(still("a", 2)), "2: as before");
    let from = shell.log.len();
    shell.pass(SESSION_MS);
    assert_eq!(shell.written_since(from), ["-current a", "-target a", "-member a", "group: 3"]);
    assert_eq!(shell.beat(still("a", 2)), "UnknownMember");
    assert_eq!(shell.state(), "Empty");
    assert_eq!(shell.groups.next_deadline_ms(), None);
}

#[test]
fn partitions_of_a_member_that_left_go_to_the_others() {
    let mut shell = Shell::new(&[("foo", 2)]);
    shell.configure("consumer.assignment.interval.ms", "0");
    shell.beat(join("a", &["foo"]));
    shell.beat(join("b", &["foo"]));
    assert_eq!(shell.beat(still("a", -1)), "-1: as before");
    assert_eq!(shell.beat(still("b", 3)), "4: foo-0,1");
    assert_eq!(shell.beat(still("a", -1)), "UnknownMember");
    assert_eq!(shell.beat(still("a", 3)), "UnknownMember");
}

#[test]
fn an_empty_group_can_be_deleted() {
    let mut shell = Shell::new(&[("foo", 2)]);
    shell.beat(join("a", &["foo"]));
    let delete = || Request::Delete { group: G.into() };
    assert_eq!(shell.ask(delete()), Reply::Deleted(Err(GroupError::NonEmptyGroup)));
    shell.beat(still("a", -1));
    let from = shell.log.len();
    assert_eq!(shell.ask(delete()), Reply::Deleted(Ok(())));
    assert_eq!(shell.written_since(from), ["-target epoch", "-partition metadata", "-group"]);
    assert_eq!(shell.state(), "none");
    assert!(replayed(&shell.log).list().is_empty());
}

#[test]
fn an_epoch_goes_on_when_members_come_again() {
    let mut shell = Shell::new(&[("foo", 2)]);
    shell.beat(join("a", &["foo"]));
    shell.beat(still("a", -1));
    shell.pass(ASSIGNMENT_MS);
    assert_eq!(shell.beat(join("b", &["foo"])), "4: foo-0,1");
}

#[test]
fn what_operators_see() {
    let mut shell = Shell::new(&[("foo", 3)]);
    shell.configure("consumer.assignment.interval.ms", "0");
    shell.beat(ConsumerHeartbeat { rack: Some("r".into()), instance: Some("x".into()), ..join("a", &["foo"]) });
    shell.beat(join("b", &["foo"]));
    shell.beat(ConsumerHeartbeat { instance: Some("x".into()), ..still("a", 2) });
    let described = shell.describe();
    assert_eq!((described.state, described.epoch, described.assignment_epoch), ("Reconciling", 3, 3));
    assert_eq!(described.assignor, "uniform");
    let a = DescribedConsumerMember {
        member: "a".into(),
        instance: Some("x".into()),
        rack: Some("r".into()),
        epoch: 2,
        client: Client { id: "client".into(), host: "/127.0.0.1".into() },
        topics: vec!["foo".into()],
        regex: Some(String::new()),
        // What it has to give up, it still has.
        assignment: vec![(Uuid(1), vec![0, 1, 2])],
        target: vec![(Uuid(1), vec![0, 1])],
        is_classic: false,
    };
    assert_eq!(described.members[0], a);
    assert_eq!(described.members[1].assignment, []);
    let row = ListedGroup { group: G.into(), protocol_type: "consumer".into(), state: "Reconciling", kind: "Consumer" };
    assert_eq!(shell.groups.list(), [row]);
}
