//! OffsetCommit, OffsetFetch, OffsetDelete.

use super::*;

fn of_partition(index: i32, offset: i64) -> CommitPartition {
    CommitPartition { index, offset, leader_epoch: -1, metadata: String::new() }
}

fn delete_offsets(topics: &[(&str, &[i32])]) -> Request {
    let topics = topics.iter().map(|(name, indices)| (String::from(*name), indices.to_vec())).collect();
    Request::DeleteOffsets(DeleteOffsets { group: G.into(), topics })
}

#[test]
fn what_was_committed_is_fetched() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a"]);
    let from = shell.log.len();
    assert_eq!(shell.commit(commit(1, &ids[0], 7)), "t-0");
    assert_eq!(shell.commit(commit(1, &ids[0], 8)), "t-0");
    assert_eq!(shell.written_since(from), ["offset g t-0", "offset g t-0"]);
    assert_eq!(shell.fetch(Some(&[("t", 0), ("t", 1), ("u", 0)])), "t-0 8 5 \"m\", t-1 -1 -1 \"\", u-0 -1 -1 \"\"");
    assert_eq!(shell.fetch(None), "t-0 8 5 \"m\"");
    shell.restart();
    assert_eq!(shell.fetch(None), "t-0 8 5 \"m\"");
}

#[test]
fn a_group_that_is_not_there_has_no_offsets_and_that_is_no_error() {
    let mut shell = Shell::new();
    assert_eq!(shell.fetch(Some(&[("t", 0)])), "t-0 -1 -1 \"\"");
    assert_eq!(shell.fetch(None), "");
}

#[test]
fn who_is_no_member_may_commit_while_there_are_none() {
    let mut shell = Shell::new();
    assert_eq!(shell.commit(commit(-1, "", 1)), "t-0");
    assert_eq!(shell.written_since(0), ["offset g t-0"]);
    let row = &shell.groups.list()[0];
    assert_eq!((row.protocol_type.as_str(), row.state, row.kind), ("", "Empty", "Classic"));
    // With the id of somebody, too.
    assert_eq!(shell.commit(commit(-1, "somebody", 2)), "t-0");

    shell.stable(&["a"]);
    assert_eq!(shell.commit(commit(-1, "", 3)), "t-0 UnknownMember");
    assert_eq!(shell.commit(commit(-1, "somebody", 3)), "t-0 UnknownMember");
    assert_eq!(shell.fetch(None), "t-0 2 5 \"m\"");
}

#[test]
fn who_says_it_is_a_member_has_to_be_one() {
    let mut shell = Shell::new();
    assert_eq!(shell.commit(commit(1, "a", 1)), "t-0 GroupIdNotFound(\"Group g not found.\")");
    assert_eq!(shell.commit(Commit { takes_new_errors: false, ..commit(1, "a", 1) }), "t-0 IllegalGeneration");
    let ids = shell.stable(&["a"]);
    assert_eq!(shell.commit(commit(1, "stranger", 1)), "t-0 UnknownMember");
    assert_eq!(shell.commit(commit(0, &ids[0], 1)), "t-0 IllegalGeneration");
    assert_eq!(shell.commit(commit(-1, &ids[0], 1)), "t-0 IllegalGeneration");
    assert_eq!(shell.commit(Commit { instance: Some("i".into()), ..commit(1, &ids[0], 1) }), "t-0 UnknownMember");
    assert_eq!(shell.fetch(None), "");
}

#[test]
fn members_commit_before_they_join_anew_and_not_before_they_sync() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a", "b"]);
    shell.join(rejoin(&ids[0]));
    assert_eq!(shell.commit(commit(1, &ids[1], 1)), "t-0");
    shell.join(rejoin(&ids[1]));
    assert_eq!(shell.state(), "CompletingRebalance");
    assert_eq!(shell.commit(commit(2, &ids[1], 2)), "t-0 RebalanceInProgress");
    assert_eq!(shell.commit(commit(1, &ids[1], 2)), "t-0 IllegalGeneration");
}

#[test]
fn metadata_is_measured_in_characters_and_refused_by_partition() {
    let mut shell = Shell::new();
    let with = |index, metadata: String| CommitPartition { metadata, ..of_partition(index, 1) };
    let partitions = vec![with(0, "x".repeat(4097)), with(1, "\u{e9}".repeat(4096)), with(2, "\u{1f600}".repeat(2049))];
    let mut all = commit(-1, "", 1);
    all.topics[0].partitions = partitions;
    assert_eq!(shell.commit(all), "t-0 OffsetMetadataTooLarge, t-1, t-2 OffsetMetadataTooLarge");
    assert_eq!(shell.written_since(0), ["offset g t-1"]);
}

#[test]
fn an_offset_of_another_life_of_the_topic_is_none() {
    let mut shell = Shell::new();
    let mut first = commit(-1, "", 1);
    first.topics[0].id = Uuid(1);
    assert_eq!(shell.commit(first), "t-0");
    let mut with_id = |id| {
        let mut fetch = fetch(Some(&[("t", 0)]));
        fetch.topics.as_mut().expect("topics")[0].id = Uuid(id);
        shell.now(Request::Fetch(fetch))
    };
    assert_eq!(with_id(1), "t-0 1 5 \"m\"");
    assert_eq!(with_id(2), "t-0 -1 -1 \"\"");
    assert_eq!(with_id(0), "t-0 1 5 \"m\"");
}

#[test]
fn records_are_written_in_the_versions_of_apache_kafka() {
    let mut shell = Shell::new();
    let mut with_id = commit(-1, "", 1);
    with_id.topics[0].id = Uuid(9);
    shell.commit(with_id);
    let value = shell.log[0].value.clone().expect("a value");
    let GroupRecordValue::OffsetCommit(value) = value else { panic!("an offset") };
    assert_eq!((value.topic_id, value.leader_epoch, value.commit_timestamp), (Uuid(9), 5, WALL_MS));
    assert_eq!(shell.log[0].value_version(), 4);
    // Only version 1 can say when an offset expires.
    shell.commit(Commit { retention_ms: 1000, ..commit(-1, "", 2) });
    let value = shell.log[1].value.clone().expect("a value");
    let GroupRecordValue::OffsetCommit(value) = value else { panic!("an offset") };
    assert_eq!((value.expire_timestamp, value.leader_epoch), (WALL_MS + 1000, -1));
    assert_eq!(shell.log[1].value_version(), 1);
    shell.stable(&["a"]);
    assert_eq!(shell.log[2].value_version(), 3);
}

#[test]
fn offsets_are_deleted_unless_somebody_is_subscribed() {
    let mut shell = Shell::new();
    assert_eq!(shell.now(delete_offsets(&[("t", &[0])])), "GroupIdNotFound(\"Group g not found.\")");
    let ids = shell.stable(&["a"]);
    let mut both = commit(1, &ids[0], 1);
    let mut other = both.topics[0].clone();
    other.name = "other".into();
    both.topics.push(other);
    assert_eq!(shell.commit(both), "t-0, other-0");
    let from = shell.log.len();
    let deleted = shell.now(delete_offsets(&[("t", &[0]), ("other", &[0, 1])]));
    assert_eq!(deleted, "t-0 GroupSubscribedToTopic, other-0, other-1");
    assert_eq!(shell.written_since(from), ["-offset g other-0"]);
    assert_eq!(shell.fetch(None), "t-0 1 5 \"m\"");
    shell.leave(&[&ids[0]]);
    assert_eq!(shell.now(delete_offsets(&[("t", &[0])])), "t-0");
    assert_eq!(shell.fetch(None), "");
}

#[test]
fn of_members_that_are_no_consumers_it_is_not_known_what_they_use() {
    let mut shell = Shell::new();
    shell.join(Join { protocol_type: "connect".into(), ..join("a") });
    assert_eq!(shell.now(delete_offsets(&[("t", &[0])])), "NonEmptyGroup");
}

#[test]
fn consumers_that_do_not_say_what_they_use_use_everything() {
    let mut shell = Shell::new();
    let join = shell.join(Join { protocols: vec![("range".into(), vec![0])], ..join("a") });
    shell.pass(DELAY_MS);
    let id = shell.joined(join).member;
    shell.sync_all(&[id]);
    assert_eq!(shell.now(delete_offsets(&[("other", &[0])])), "other-0 GroupSubscribedToTopic");
}

#[test]
fn the_records_of_old_brokers_are_read() {
    let mut shell = Shell::new();
    let key = wire::messages::LegacyOffsetCommitKey { group: G.into(), topic: "t".into(), partition: 3 };
    let value = wire::messages::LegacyOffsetCommitValue { offset: 4, metadata: "old".into(), commit_timestamp: 1 };
    let key = GroupRecordKey::LegacyOffsetCommit(key);
    shell.groups.replay(key.clone(), Some(GroupRecordValue::LegacyOffsetCommit(value)));
    assert_eq!(shell.fetch(None), "t-3 4 -1 \"old\"");
    assert_eq!(shell.state(), "Empty");
    shell.groups.replay(key, None);
    assert_eq!(shell.fetch(None), "");
}
