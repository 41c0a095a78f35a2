//! Groups over sockets: a member's whole life, a restart in between, and requests that no honest member would send.

use std::time::{Duration, Instant};

use crate::broker::{Broker, is_control};
use crate::raw::{Connection, decode};
use crate::topics;
use wire::codec::{Encoder, Message};
use wire::generated::join_group_request::JoinGroupRequestProtocol;
use wire::generated::leave_group_request::MemberIdentity;
use wire::generated::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use wire::generated::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use wire::generated::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::*;
use wire::{ApiKey, ErrorCode};

/// Few partitions are made faster; and nobody waits for members that do not come.
const SETTINGS: [&str; 2] = ["offsets.topic.num.partitions=4", "group.initial.rebalance.delay.ms=0"];

const NONE: i16 = ErrorCode::None as i16;

fn send<'a>(connection: &mut Connection, key: ApiKey, version: i16, request: &impl Message<'a>) {
    let mut e = Encoder::new();
    e.begin_frame();
    e.i16(key as i16);
    e.i16(version);
    e.i32(7);
    e.string(false, "member");
    if key.request_header_version(version) > 1 {
        e.i8(0);
    }
    request.encode(&mut e, version);
    e.end_frame();
    assert!(connection.send(&e.buf), "{} is sent", key.name());
}

fn receive(connection: &mut Connection, key: ApiKey, version: i16) -> Vec<u8> {
    let body = connection.receive().answer(key.name());
    body[usize::from(key.response_header_version(version) > 0)..].to_vec()
}

pub(crate) fn call<'a>(connection: &mut Connection, key: ApiKey, version: i16, request: &impl Message<'a>) -> Vec<u8> {
    send(connection, key, version, request);
    receive(connection, key, version)
}

/// Asks until the coordinators are there; answers how the first answer read.
pub(crate) fn find_coordinator(connection: &mut Connection, group: &str) -> i16 {
    let (deadline, mut first) = (Instant::now() + Duration::from_secs(60), None);
    let request = FindCoordinatorRequest { coordinator_keys: vec![group.into()], ..Default::default() };
    loop {
        let body = call(connection, ApiKey::FindCoordinator, 4, &request);
        let response: FindCoordinatorResponse<'_> = decode(&body, 4);
        let code = response.coordinators[0].error_code;
        first.get_or_insert(code);
        if code == NONE {
            return first.unwrap_or(NONE);
        }
        assert_eq!(code, ErrorCode::CoordinatorNotAvailable as i16);
        assert!(Instant::now() < deadline, "no coordinator");
        std::thread::yield_now();
    }
}

pub(crate) fn join_request<'a>(group: &'a str, member: &'a str) -> JoinGroupRequest<'a> {
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: vec![1, 2].into() }],
        ..Default::default()
    }
}

/// Gets an id, and joins with it.
fn begin_join(connection: &mut Connection, group: &str) -> String {
    let body = call(connection, ApiKey::JoinGroup, 9, &join_request(group, ""));
    let response: JoinGroupResponse<'_> = decode(&body, 9);
    assert_eq!(response.error_code, ErrorCode::MemberIdRequired as i16);
    let member = response.member_id.to_string();
    assert!(member.starts_with("member-"), "{member}");
    send(connection, ApiKey::JoinGroup, 9, &join_request(group, &member));
    member
}

/// Member id and generation of the only member of a group.
fn join_alone(connection: &mut Connection, group: &str) -> (String, i32) {
    let member = begin_join(connection, group);
    let body = receive(connection, ApiKey::JoinGroup, 9);
    let joined: JoinGroupResponse<'_> = decode(&body, 9);
    assert_eq!((joined.error_code, joined.leader.as_ref(), joined.members.len()), (NONE, member.as_str(), 1));
    let assignments =
        vec![SyncGroupRequestAssignment { member_id: member.as_str().into(), assignment: vec![9].into() }];
    let sync = SyncGroupRequest {
        group_id: group.into(),
        generation_id: joined.generation_id,
        member_id: member.as_str().into(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments,
        ..Default::default()
    };
    let body = call(connection, ApiKey::SyncGroup, 5, &sync);
    let synced: SyncGroupResponse<'_> = decode(&body, 5);
    assert_eq!((synced.error_code, synced.assignment.as_ref()), (NONE, &[9][..]));
    (member, joined.generation_id)
}

fn heartbeat(connection: &mut Connection, group: &str, member: &str, generation_id: i32) -> i16 {
    let request =
        HeartbeatRequest { group_id: group.into(), generation_id, member_id: member.into(), ..Default::default() };
    let body = call(connection, ApiKey::Heartbeat, 4, &request);
    decode::<HeartbeatResponse>(&body, 4).error_code
}

/// Error codes of partitions 0 and 7 of a topic that has one partition.
pub(crate) fn commit(
    connection: &mut Connection,
    group: &str,
    member: (&str, i32),
    topic: &str,
    offset: i64,
) -> Vec<(i32, i16)> {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset,
        committed_metadata: None,
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: member.1,
        member_id: member.0.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.into(),
            partitions: vec![partition(0), partition(7)],
            ..Default::default()
        }],
        ..Default::default()
    };
    let body = call(connection, ApiKey::OffsetCommit, 8, &request);
    let response: OffsetCommitResponse<'_> = decode(&body, 8);
    let mut codes: Vec<(i32, i16)> =
        response.topics[0].partitions.iter().map(|one| (one.partition_index, one.error_code)).collect();
    codes.sort_unstable();
    codes
}

/// What several groups have committed for partition 0 of a topic.
pub(crate) fn fetch(connection: &mut Connection, groups: &[&str], topic: &str) -> Vec<i64> {
    let one = |group: &&str| OffsetFetchRequestGroup {
        group_id: (*group).to_owned().into(),
        topics: Some(vec![OffsetFetchRequestTopics {
            name: topic.to_owned().into(),
            partition_indexes: vec![0],
            ..Default::default()
        }]),
        member_epoch: -1,
        ..Default::default()
    };
    let request = OffsetFetchRequest { groups: groups.iter().map(one).collect(), ..Default::default() };
    let body = call(connection, ApiKey::OffsetFetch, 8, &request);
    let response: OffsetFetchResponse<'_> = decode(&body, 8);
    assert!(
        response.groups.iter().zip(groups).all(|(found, asked)| found.group_id == **asked && found.error_code == NONE)
    );
    response.groups.iter().map(|group| group.topics[0].partitions[0].committed_offset).collect()
}

/// State and members of a group.
fn describe(connection: &mut Connection, group: &str) -> (String, usize) {
    let request = DescribeGroupsRequest { groups: vec![group.into()], ..Default::default() };
    let body = call(connection, ApiKey::DescribeGroups, 5, &request);
    let response: DescribeGroupsResponse<'_> = decode(&body, 5);
    assert_eq!(response.groups[0].error_code, NONE);
    for member in &response.groups[0].members {
        assert_eq!((member.client_id.as_ref(), member.client_host.as_ref()), ("member", "/127.0.0.1"));
    }
    (response.groups[0].group_state.to_string(), response.groups[0].members.len())
}

pub(crate) fn list(connection: &mut Connection, state: &str) -> Vec<String> {
    let request = ListGroupsRequest { states_filter: vec![state.into()], types_filter: vec!["CLASSIC".into()] };
    let body = call(connection, ApiKey::ListGroups, 5, &request);
    let response: ListGroupsResponse<'_> = decode(&body, 5);
    assert_eq!(response.error_code, NONE);
    let mut groups: Vec<String> = response.groups.iter().map(|group| group.group_id.to_string()).collect();
    groups.sort();
    groups
}

fn leave(connection: &mut Connection, group: &str, member: &str) -> i16 {
    let members = vec![MemberIdentity { member_id: member.into(), ..Default::default() }];
    let request = LeaveGroupRequest { group_id: group.into(), members, ..Default::default() };
    let body = call(connection, ApiKey::LeaveGroup, 4, &request);
    let response: LeaveGroupResponse<'_> = decode(&body, 4);
    assert_eq!(response.error_code, NONE);
    response.members[0].error_code
}

/// A member's life, the broker's death, and what is left.
fn lives(shards: &str) {
    if is_control() {
        return;
    }
    let mut broker = Broker::with(&[SETTINGS[0], SETTINGS[1], shards]);
    let topic = topics::create(&broker, 1);
    let mut connection = broker.connect();
    assert_eq!(find_coordinator(&mut connection, "a"), ErrorCode::CoordinatorNotAvailable as i16);
    // More groups than partitions: several of them live on each.
    let groups = ["a", "b", "c", "d", "e", "f"];
    for (group, offset) in groups.iter().zip(100..) {
        let (member, generation) = join_alone(&mut connection, group);
        assert_eq!(describe(&mut connection, group), ("Stable".into(), 1));
        assert_eq!(heartbeat(&mut connection, group, &member, generation), NONE);
        assert_eq!(heartbeat(&mut connection, group, &member, 99), ErrorCode::IllegalGeneration as i16);
        let codes = commit(&mut connection, group, (&member, generation), &topic, offset);
        assert_eq!(codes, [(0, NONE), (7, ErrorCode::UnknownTopicOrPartition as i16)]);
        let codes = commit(&mut connection, group, ("", -1), &topic, 5);
        assert_eq!(codes[0], (0, ErrorCode::UnknownMemberId as i16));
    }
    let committed: Vec<i64> = (100..106).collect();
    assert_eq!(fetch(&mut connection, &groups, &topic), committed);
    assert_eq!(list(&mut connection, "stable"), groups);
    for _ in 0..2 {
        broker = broker.restarted();
        connection = broker.connect();
        find_coordinator(&mut connection, "a");
        wait_until_loaded(&mut connection);
        assert_eq!(fetch(&mut connection, &groups, &topic), committed);
        assert_eq!(list(&mut connection, "Stable"), groups, "members live on");
    }
    let request = DescribeGroupsRequest { groups: vec!["a".into()], ..Default::default() };
    let body = call(&mut connection, ApiKey::DescribeGroups, 5, &request);
    let member = decode::<DescribeGroupsResponse<'_>>(&body, 5).groups[0].members[0].member_id.to_string();
    assert_eq!(leave(&mut connection, "a", &member), NONE);
    assert_eq!(leave(&mut connection, "a", &member), ErrorCode::UnknownMemberId as i16);
    assert_eq!(list(&mut connection, "empty"), ["a"]);
    assert_eq!(
        delete(&mut connection, &["a", "b", "none"]),
        [NONE, ErrorCode::NonEmptyGroup as i16, ErrorCode::GroupIdNotFound as i16]
    );
    assert_eq!(fetch(&mut connection, &["a", "b"], &topic), [-1, 101]);
}

fn delete(connection: &mut Connection, groups: &[&str]) -> Vec<i16> {
    let request = DeleteGroupsRequest { groups_names: groups.iter().map(|group| (*group).into()).collect() };
    let body = call(connection, ApiKey::DeleteGroups, 2, &request);
    decode::<DeleteGroupsResponse<'_>>(&body, 2).results.iter().map(|result| result.error_code).collect()
}

pub(crate) fn wait_until_loaded(connection: &mut Connection) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let body = call(connection, ApiKey::ListGroups, 4, &ListGroupsRequest::default());
        let code = decode::<ListGroupsResponse<'_>>(&body, 4).error_code;
        if code == NONE {
            return;
        }
        assert_eq!(code, ErrorCode::CoordinatorLoadInProgress as i16);
        assert!(Instant::now() < deadline, "the groups are not loaded");
    }
}

#[test]
fn a_group_lives_on_one_shard() {
    lives("ringmill.shards=1");
}

#[test]
fn a_group_lives_on_another_shard() {
    lives("ringmill.shards=2");
}

#[test]
fn a_member_that_joins_is_waited_for_and_blocks_nobody() {
    if is_control() {
        return;
    }
    let broker = Broker::with(&SETTINGS);
    let (mut first, mut second, mut third) = (broker.connect(), broker.connect(), broker.connect());
    find_coordinator(&mut first, "g");
    let (one, generation) = join_alone(&mut first, "g");
    let two = begin_join(&mut second, "g");
    // The second waits for the first, which hears of it; others go on meanwhile.
    let deadline = Instant::now() + Duration::from_secs(30);
    while heartbeat(&mut first, "g", &one, generation) != ErrorCode::RebalanceInProgress as i16 {
        assert!(Instant::now() < deadline, "the first member does not hear of the second");
    }
    assert_eq!(describe(&mut third, "g").0, "PreparingRebalance");
    let body = call(&mut first, ApiKey::JoinGroup, 9, &join_request("g", &one));
    let joined: JoinGroupResponse<'_> = decode(&body, 9);
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (NONE, generation + 1, 2));
    let body = receive(&mut second, ApiKey::JoinGroup, 9);
    let joined: JoinGroupResponse<'_> = decode(&body, 9);
    assert_eq!((joined.error_code, joined.member_id.as_ref(), joined.members.len()), (NONE, two.as_str(), 0));
    // The second goes away while it waits for the leader's assignment.
    let sync = SyncGroupRequest {
        group_id: "g".into(),
        generation_id: generation + 1,
        member_id: two.as_str().into(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        ..Default::default()
    };
    send(&mut second, ApiKey::SyncGroup, 5, &sync);
    drop(second);
    let sync = SyncGroupRequest { member_id: one.as_str().into(), ..sync };
    let body = call(&mut first, ApiKey::SyncGroup, 5, &sync);
    assert_eq!(decode::<SyncGroupResponse<'_>>(&body, 5).error_code, NONE);
    assert_eq!(describe(&mut third, "g"), ("Stable".into(), 2));
    broker.assert_goes_on("a member that left while it waited");
}

#[test]
fn the_offsets_topic_is_the_brokers_own() {
    if is_control() {
        return;
    }
    let broker = Broker::with(&SETTINGS);
    let mut connection = broker.connect();
    find_coordinator(&mut connection, "g");
    let request = MetadataRequest {
        topics: Some(vec![wire::generated::metadata_request::MetadataRequestTopic {
            name: Some("__consumer_offsets".into()),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let body = call(&mut connection, ApiKey::Metadata, 9, &request);
    let response: MetadataResponse<'_> = decode(&body, 9);
    assert!(response.topics[0].is_internal && response.topics[0].partitions.len() == 4);
    let delete = DeleteRecordsRequest {
        topics: vec![wire::generated::delete_records_request::DeleteRecordsTopic {
            name: "__consumer_offsets".into(),
            partitions: vec![Default::default()],
        }],
        timeout_ms: 1000,
    };
    let body = call(&mut connection, ApiKey::DeleteRecords, 2, &delete);
    let response: DeleteRecordsResponse<'_> = decode(&body, 2);
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::InvalidTopicException as i16);
}

/// Names, numbers and counts beyond reason, to each API of groups.
#[test]
fn requests_beyond_reason_are_refused() {
    if is_control() {
        return;
    }
    let broker = Broker::with(&SETTINGS);
    let mut connection = broker.connect();
    find_coordinator(&mut connection, "g");
    let long = "x".repeat(32_000);
    for group in ["", "\0", "../../x", long.as_str()] {
        for session_timeout_ms in [i32::MIN, -1, 0, i32::MAX] {
            let join = JoinGroupRequest {
                session_timeout_ms,
                rebalance_timeout_ms: i32::MIN,
                protocols: Vec::new(),
                ..join_request(group, "nobody")
            };
            let body = call(&mut connection, ApiKey::JoinGroup, 9, &join);
            assert_ne!(decode::<JoinGroupResponse<'_>>(&body, 9).error_code, NONE);
        }
        let sync = SyncGroupRequest { group_id: group.into(), generation_id: i32::MIN, ..Default::default() };
        for version in [0, 5] {
            let body = call(&mut connection, ApiKey::SyncGroup, version, &sync);
            assert_ne!(decode::<SyncGroupResponse<'_>>(&body, version).error_code, NONE);
        }
        assert_ne!(heartbeat(&mut connection, group, &long, i32::MAX), NONE);
        let members = vec![MemberIdentity::default(); 1000];
        let request = LeaveGroupRequest { group_id: group.into(), members, ..Default::default() };
        call(&mut connection, ApiKey::LeaveGroup, 5, &request);
        describe(&mut connection, group);
    }
    let partitions: Vec<OffsetCommitRequestPartition<'_>> = [i32::MIN, -1, i32::MAX]
        .map(|partition_index| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: i64::MIN,
            committed_leader_epoch: i32::MIN,
            committed_metadata: Some(long.as_str().into()),
        })
        .into();
    let topic = OffsetCommitRequestTopic { name: "__consumer_offsets".into(), partitions, ..Default::default() };
    let commit = OffsetCommitRequest {
        group_id: "g".into(),
        retention_time_ms: i64::MIN,
        topics: vec![topic; 3],
        ..Default::default()
    };
    for version in [2, 9] {
        let body = call(&mut connection, ApiKey::OffsetCommit, version, &commit);
        let response: OffsetCommitResponse<'_> = decode(&body, version);
        let codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code);
        assert!(codes.clone().count() == 9 && codes.into_iter().all(|code| code != NONE));
    }
    let groups = vec![OffsetFetchRequestGroup { member_epoch: i32::MIN, ..Default::default() }; 500];
    let request = OffsetFetchRequest { groups, require_stable: true, ..Default::default() };
    let body = call(&mut connection, ApiKey::OffsetFetch, 10, &request);
    assert_eq!(decode::<OffsetFetchResponse<'_>>(&body, 10).groups.len(), 500);
    assert_eq!(delete(&mut connection, &["", "g", "g", "\u{1F600}"]).len(), 3);
    broker.assert_goes_on("requests beyond reason");
}
