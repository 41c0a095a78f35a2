//! How long offsets and groups are kept, and how they are shown.

use super::*;
use crate::group::offsets::{Committed, Offsets};
use crate::metadata::ImageBuilder;
use wire::messages::TopicRecord;
use wire::metadata_record::MetadataRecord;

const RETENTION_MS: u64 = 7 * 24 * 3_600_000;

fn expire_offsets(shell: &mut Shell) -> Vec<String> {
    let from = shell.log.len();
    shell.event(|groups, cx| groups.expire_offsets(cx));
    shell.written_since(from)
}

fn image(topics: &[(&str, u128)]) -> Image {
    let mut builder = ImageBuilder::new(Image::new("cluster"));
    for (name, id) in topics {
        let record = TopicRecord { name: String::from(*name), topic_id: Uuid(*id) };
        builder.replay(MetadataRecord::Topic(record)).expect("a topic");
    }
    builder.image()
}

#[test]
fn offsets_of_nobody_are_kept_from_when_they_were_committed() {
    let mut shell = Shell::new();
    shell.commit(commit(-1, "", 1));
    shell.pass(RETENTION_MS - 1);
    assert!(expire_offsets(&mut shell).is_empty());
    shell.pass(1);
    assert_eq!(expire_offsets(&mut shell), ["-offset g t-0", "-group g"]);
    assert_eq!((shell.state(), shell.fetch(None).as_str()), ("none", ""));
}

#[test]
fn offsets_of_a_group_are_kept_from_when_it_lost_its_members() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a"]);
    shell.commit(commit(1, &ids[0], 1));
    shell.pass(RETENTION_MS);
    // Its session is over since long, but nobody looked after offsets meanwhile.
    assert_eq!(shell.state(), "Empty");
    assert!(expire_offsets(&mut shell).is_empty());
    shell.restart();
    shell.pass(SESSION_MS as u64 - 1);
    assert!(expire_offsets(&mut shell).is_empty());
    shell.pass(1);
    assert_eq!(expire_offsets(&mut shell), ["-offset g t-0", "-group g"]);
}

#[test]
fn a_stable_group_keeps_what_it_is_subscribed_to() {
    let mut shell = Shell::new();
    let ids = shell.stable(&["a"]);
    let mut both = commit(1, &ids[0], 1);
    let mut other = both.topics[0].clone();
    other.name = "other".into();
    both.topics.push(other);
    shell.commit(both);
    shell.settings.offsets_retention_ms = 1_000;
    shell.pass(1_000);
    assert_eq!(expire_offsets(&mut shell), ["-offset g other-0"]);
    // While it rebalances nothing is given up.
    shell.commit(Commit {
        topics: vec![CommitTopic { name: "other".into(), ..commit(1, "", 1).topics[0].clone() }],
        ..commit(1, &ids[0], 1)
    });
    shell.join(join("b"));
    shell.pass(1_000);
    assert!(expire_offsets(&mut shell).is_empty());
}

#[test]
fn an_offset_may_say_itself_when_it_expires() {
    let mut shell = Shell::new();
    shell.commit(Commit { retention_ms: 5_000, ..commit(-1, "", 1) });
    shell.restart();
    shell.pass(4_999);
    assert!(expire_offsets(&mut shell).is_empty());
    shell.pass(1);
    assert_eq!(expire_offsets(&mut shell), ["-offset g t-0", "-group g"]);
}

#[test]
fn a_group_that_nobody_came_to_goes() {
    let mut shell = Shell::new();
    shell.join(Join { takes_member_id: true, ..join("a") });
    assert_eq!(expire_offsets(&mut shell), ["-group g"]);
    assert_eq!(shell.groups.next_deadline_ms(), None);
}

#[test]
fn what_was_committed_for_a_deleted_topic_goes() {
    let mut shell = Shell::new();
    let topic = |name: &str, id| CommitTopic {
        name: name.into(),
        id: Uuid(id),
        partitions: vec![CommitPartition { index: 0, offset: 1, leader_epoch: -1, metadata: String::new() }],
    };
    let topics = vec![topic("kept", 1), topic("gone", 2), topic("anew", 3), topic("unnamed", 0)];
    shell.commit(Commit { topics: topics.clone(), ..commit(-1, "", 0) });
    shell.commit(Commit { group: "h".into(), topics: vec![topic("gone", 2)], ..commit(-1, "", 0) });
    shell.image = image(&[("kept", 1), ("anew", 4), ("unnamed", 5)]);
    let from = shell.log.len();
    shell.event(|groups, cx| groups.metadata_changed(cx, &["gone", "kept", "anew", "unnamed", "gone"]));
    assert_eq!(shell.written_since(from), ["-offset g anew-0", "-offset g gone-0", "-offset h gone-0"]);
    assert_eq!(shell.fetch(None), "kept-0 1 -1 \"\", unnamed-0 1 -1 \"\"");
}

#[test]
fn an_empty_group_is_deleted_with_all_it_has() {
    let mut shell = Shell::new();
    let delete = || Request::Delete { group: G.into() };
    assert_eq!(shell.now(delete()), "GroupIdNotFound(\"Group g not found.\")");
    let ids = shell.stable(&["a"]);
    shell.commit(commit(1, &ids[0], 1));
    assert_eq!(shell.now(delete()), "NonEmptyGroup");
    shell.join(rejoin(&ids[0]));
    assert_eq!(shell.now(delete()), "NonEmptyGroup");
    shell.leave(&[&ids[0]]);
    let from = shell.log.len();
    assert_eq!(shell.now(delete()), "ok");
    assert_eq!(shell.written_since(from), ["-offset g t-0", "-group g"]);
    assert_eq!(shell.now(delete()), "GroupIdNotFound(\"Group g not found.\")");
    assert_eq!(shell.fetch(None), "");
    shell.restart();
    assert_eq!(shell.state(), "none");
}

#[test]
fn metadata_is_shown_of_stable_groups_only() {
    let mut shell = Shell::new();
    assert_eq!(shell.describe(), "GroupIdNotFound(\"Group g not found.\")");
    let ids = shell.stable(&["a"]);
    assert_eq!(shell.describe(), "Stable consumer/range a-1[13/a-1]");
    shell.join(join("b"));
    assert_eq!(shell.describe(), "PreparingRebalance consumer/ a-1[0/a-1] b-2[0/]");
    shell.join(rejoin(&ids[0]));
    assert_eq!(shell.describe(), "CompletingRebalance consumer/ a-1[0/a-1] b-2[0/]");
}

#[test]
fn groups_are_listed_in_the_words_of_apache_kafka() {
    let mut shell = Shell::new();
    shell.stable(&["a"]);
    shell.commit(Commit { group: "offsets".into(), ..commit(-1, "", 1) });
    shell.join(Join { group: "new".into(), protocol_type: "connect".into(), ..join("b") });
    let rows: Vec<String> = shell
        .groups
        .list()
        .iter()
        .map(|row| format!("{} {} {} {}", row.group, row.kind, row.state, row.protocol_type))
        .collect();
    assert_eq!(rows, ["g Classic Stable consumer", "new Classic PreparingRebalance connect", "offsets Classic Empty "]);
}

#[test]
fn a_topics_name_is_kept_once() {
    let mut offsets = Offsets::default();
    let groups: Vec<std::sync::Arc<str>> = vec!["g".into(), "h".into()];
    let committed = Committed {
        offset: 1,
        leader_epoch: -1,
        metadata: "".into(),
        commit_timestamp_ms: 0,
        expire_timestamp_ms: -1,
        topic_id: Uuid::ZERO,
    };
    for group in &groups {
        offsets.put(group, "t", 0, committed.clone());
        offsets.put(group, "t", 1, committed.clone());
    }
    let names: Vec<_> = groups.iter().map(|group| offsets.group(group).expect("offsets").keys().next()).collect();
    assert!(std::sync::Arc::ptr_eq(names[0].expect("a name"), names[1].expect("a name")));
    for group in &groups {
        assert!(offsets.knows_topic("t"));
        offsets.remove(group, "t", 0);
        offsets.remove(group, "t", 1);
    }
    assert_eq!(offsets, Offsets::default());
}
