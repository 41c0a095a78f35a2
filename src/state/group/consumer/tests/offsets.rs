//! Members commit and fetch at their epoch.

use super::*;

fn commit(id: &str, generation: i32, partition: i32) -> Commit {
    let partition = CommitPartition { index: partition, offset: 7, leader_epoch: -1, metadata: String::new() };
    Commit {
        group: G.into(),
        generation,
        member: id.into(),
        retention_ms: -1,
        takes_new_errors: true,
        topics: vec![CommitTopic { name: "foo".into(), id: Uuid(1), partitions: vec![partition] }],
        ..Commit::default()
    }
}

impl Shell {
    fn commit(&mut self, commit: Commit) -> String {
        match self.ask(Request::Commit(commit)) {
            Reply::Committed(topics) => match &topics[0].partitions[0].1 {
                None => "ok".into(),
                Some(error) => kind(error),
            },
            other => panic!("{other:?}"),
        }
    }

    fn fetch(&mut self, member: Option<&str>, member_epoch: i32) -> String {
        let member = member.map(str::to_owned);
        let fetch = Fetch { group: G.into(), member, member_epoch, topics: None, require_stable: false };
        match self.ask(Request::Fetch(fetch)) {
            Reply::Fetched(Ok(_)) => "ok".into(),
            Reply::Fetched(Err(error)) => kind(&error),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn commits_are_of_the_members_epoch() {
    let mut shell = Shell::new(&[("foo", 4)]);
    shell.beat(join("a", &["foo"]));
    assert_eq!(shell.commit(commit("a", 2, 0)), "ok");
    assert_eq!(shell.commit(commit("a", 3, 0)), "StaleMemberEpoch");
    assert_eq!(shell.commit(commit("a", -1, 0)), "StaleMemberEpoch");
    assert_eq!(shell.commit(commit("b", 2, 0)), "UnknownMember");
    assert_eq!(shell.commit(commit("", -1, 0)), "UnknownMember");
    assert_eq!(shell.commit(Commit { takes_new_errors: false, ..commit("a", 2, 0) }), "UnsupportedVersion");
}

#[test]
fn a_commit_that_was_under_way_is_taken_for_what_the_member_had_by_then() {
    let mut shell = Shell::new(&[("foo", 4)]);
    shell.configure("consumer.assignment.interval.ms", "0");
    shell.beat(join("a", &["foo"]));
    shell.beat(join("b", &["foo"]));
    shell.own("a", 2, "foo-0,1,2,3");
    // What is to be given up may still be committed, also by a client that names no topic id.
    assert_eq!(shell.commit(commit("a", 2, 3)), "ok");
    shell.own("a", 2, "foo-0,1");
    assert_eq!(shell.beat(still("b", 3)), "3: foo-2,3");
    let mut nameless = commit("a", 2, 1);
    nameless.topics[0].id = Uuid::ZERO;
    assert_eq!(shell.commit(nameless), "ok");
    assert_eq!(shell.commit(commit("a", 2, 3)), "StaleMemberEpoch");
    // b was given its partitions at epoch 3.
    assert_eq!(shell.commit(commit("b", 2, 3)), "StaleMemberEpoch");
    assert_eq!(shell.commit(commit("b", 3, 3)), "ok");
}

#[test]
fn without_members_anybody_may_commit() {
    let mut shell = Shell::new(&[("foo", 4)]);
    shell.beat(join("a", &["foo"]));
    shell.beat(still("a", -1));
    assert_eq!(shell.commit(commit("", -1, 0)), "ok");
    assert_eq!(shell.commit(commit("a", 2, 0)), "UnknownMember");
}

#[test]
fn fetches_are_of_the_members_epoch_if_they_name_one() {
    let mut shell = Shell::new(&[("foo", 1)]);
    shell.beat(join("a", &["foo"]));
    assert_eq!(shell.fetch(None, -1), "ok");
    assert_eq!(shell.fetch(Some("a"), 2), "ok");
    assert_eq!(shell.fetch(Some("a"), 1), "StaleMemberEpoch");
    assert_eq!(shell.fetch(Some("a"), -1), "StaleMemberEpoch");
    assert_eq!(shell.fetch(Some("b"), 2), "UnknownMember");
    assert_eq!(shell.fetch(None, 2), "UnknownMember");
}
