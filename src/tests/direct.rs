//! Direct addressing: each shard is a node to clients. Who asks the node that he was told of is served without a call
//! between shards; who asks another is served all the same; and what admin tools are told of nodes agrees.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringmill::config::{Properties, Surroundings, resolve};
use ringmill::start::Server;
use wire::codec::Records;
use wire::generated::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use wire::generated::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use wire::generated::describe_configs_request::DescribeConfigsResource;
use wire::generated::fetch_request::{FetchPartition, FetchTopic};
use wire::generated::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::generated::metadata_request::MetadataRequestTopic;
use wire::generated::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use wire::generated::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::*;
use wire::records::{BatchBuilder, Scratch};
use wire::{ErrorCode, Uuid};

use crate::broker::is_control;
use crate::raw::{Connection, ask, decode};

const SHARDS: u16 = 2;
const PARTITIONS: i32 = 4;
const ROUNDS: i64 = 100;

/// Calls between shards that housekeeping makes beside a test: an image, a checkpoint.
const HOUSEKEEPING: u64 = 20;

const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;

/// A broker in this process, whose counts can be read.
struct Direct {
    server: Option<Server>,
    bootstrap: SocketAddr,
}

impl Direct {
    fn start(dir: &Path, more: &[&str]) -> Direct {
        let mut properties = Properties::embedded();
        let data = format!("log.dirs={}", dir.display());
        let shards = format!("ringmill.shards={SHARDS}");
        let all = ["listeners=PLAINTEXT://127.0.0.1:0", "offsets.topic.num.partitions=4", &data, &shards];
        for setting in all.iter().chain(more) {
            properties.set_override(setting).expect("a setting");
        }
        let (settings, _) = resolve(&properties, &Surroundings::default()).expect("settings that are right");
        let server = Server::start(settings).expect("a broker");
        let port = server.settings().listeners.broker[0].port;
        Direct { server: Some(server), bootstrap: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn crossings(&self) -> u64 {
        let server = self.server.as_ref().expect("it runs");
        (0..SHARDS).filter_map(|shard| server.counters(shard)).map(|counters| counters.crossings).sum()
    }

    fn connect(&self) -> Connection {
        Connection::try_open(self.bootstrap).expect("the bootstrap address is open")
    }

    fn stop(mut self) {
        let server = self.server.take().expect("it runs");
        server.stop();
        server.join().expect("a clean end");
    }
}

fn new_dir(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("ringmill-direct-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    dir
}

fn create(connection: &mut Connection, name: &str, assignments: Vec<CreatableReplicaAssignment>) -> (i16, String) {
    let by_count = assignments.is_empty();
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: if by_count { PARTITIONS } else { -1 },
        replication_factor: if by_count { 1 } else { -1 },
        assignments,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let body = ask(connection, &request, 7);
    let response: CreateTopicsResponse<'_> = decode(&body, 7);
    let text = response.topics[0].error_message.as_deref().unwrap_or_default().to_owned();
    (response.topics[0].error_code, text)
}

/// What Metadata tells of a topic: the nodes with their addresses, and of each partition leader, replicas and ISR.
struct View {
    nodes: BTreeMap<i32, SocketAddr>,
    controller: i32,
    topic: Uuid,
    leaders: Vec<i32>,
}

impl View {
    fn of(connection: &mut Connection, topic: &str) -> View {
        let topics = vec![MetadataRequestTopic { name: Some(topic.into()), ..Default::default() }];
        let body = ask(connection, &MetadataRequest { topics: Some(topics), ..Default::default() }, 12);
        let response: MetadataResponse<'_> = decode(&body, 12);
        let address = |host: &str, port: i32| format!("{host}:{port}").parse().expect("an address");
        let mut partitions = response.topics[0].partitions.clone();
        partitions.sort_by_key(|partition| partition.partition_index);
        for one in &partitions {
            assert_eq!((&one.replica_nodes, &one.isr_nodes), (&vec![one.leader_id], &vec![one.leader_id]));
        }
        View {
            nodes: response.brokers.iter().map(|node| (node.node_id, address(&node.host, node.port))).collect(),
            controller: response.controller_id,
            topic: response.topics[0].topic_id,
            leaders: partitions.iter().map(|partition| partition.leader_id).collect(),
        }
    }

    fn connect(&self, node: i32) -> Connection {
        Connection::try_open(self.nodes[&node]).unwrap_or_else(|| panic!("node {node} is not there"))
    }
}

/// The base offset that a record got.
fn produce(connection: &mut Connection, topic: &str, partition: i32) -> i64 {
    let mut batch = BatchBuilder::new(0);
    batch.push(1_700_000_000_000, None, Some(b"value"), &[]).expect("a small record");
    let batch = batch.finish(&mut Scratch::default());
    let partition = PartitionProduceData { index: partition, records: Records::Bytes(&batch) };
    let topic = TopicProduceData { name: topic.into(), partition_data: vec![partition], ..Default::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
    let body = ask(connection, &request, 9);
    let response: ProduceResponse<'_> = decode(&body, 9);
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, 0);
    answer.base_offset
}

/// How many bytes of records lie at an offset.
fn fetch(connection: &mut Connection, topic: Uuid, partition: i32, fetch_offset: i64) -> usize {
    let partition = FetchPartition { partition, fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic_id: topic, partitions: vec![partition], ..Default::default() };
    let limits = (10_000, 1, 1 << 20);
    let (max_wait_ms, min_bytes, max_bytes) = limits;
    let topics = vec![topic];
    let request = FetchRequest { max_wait_ms, min_bytes, max_bytes, session_epoch: -1, topics, ..Default::default() };
    let body = ask(connection, &request, 13);
    let response: FetchResponse<'_> = decode(&body, 13);
    let answer = &response.responses[0].partitions[0];
    assert_eq!((response.error_code, answer.error_code), (0, 0));
    answer.records.bytes().map_or(0, <[u8]>::len)
}

#[test]
fn no_request_to_the_node_that_leads_crosses_between_shards() {
    if is_control() {
        return;
    }
    let dir = new_dir("hops");
    let direct = Direct::start(&dir, &["ringmill.addressing=direct"]);
    create(&mut direct.connect(), "t", Vec::new());
    let view = View::of(&mut direct.connect(), "t");
    assert_eq!(view.nodes.keys().copied().collect::<Vec<_>>(), [1, 1001]);
    assert_eq!((view.nodes[&1], view.controller), (direct.bootstrap, 1));
    let mut connections: BTreeMap<i32, Connection> =
        view.nodes.keys().map(|node| (*node, view.connect(*node))).collect();
    let mut spread = [0; 2];

    let before = direct.crossings();
    for partition in 0..PARTITIONS {
        let leader = view.leaders[partition as usize];
        spread[usize::from(leader > 1)] += 1;
        let connection = connections.get_mut(&leader).expect("a leader is a node");
        for offset in 0..ROUNDS {
            assert_eq!(produce(connection, "t", partition), offset);
            assert!(fetch(connection, view.topic, partition, offset) > 0);
        }
    }
    let crossed = direct.crossings() - before;
    assert_eq!(spread, [2, 2]);
    assert!(
        crossed < HOUSEKEEPING,
        "{crossed} calls between shards for {} requests",
        2 * ROUNDS * i64::from(PARTITIONS)
    );

    // The wrong node answers too, by asking the right one.
    for partition in 0..PARTITIONS {
        let other = if view.leaders[partition as usize] == 1 { 1001 } else { 1 };
        let connection = connections.get_mut(&other).expect("a node");
        assert_eq!(produce(connection, "t", partition), ROUNDS);
        assert!(fetch(connection, view.topic, partition, 0) > 0);
    }
    assert!(direct.crossings() - before >= 4 * PARTITIONS as u64);
    direct.stop();

    // All of it is a view: the same directory, as one node.
    let mesh = Direct::start(&dir, &[]);
    let view = View::of(&mut mesh.connect(), "t");
    assert_eq!((view.nodes.len(), view.leaders), (1, vec![1; PARTITIONS as usize]));
    assert!(fetch(&mut mesh.connect(), view.topic, 3, ROUNDS) > 0);
    mesh.stop();
    let _ = std::fs::remove_dir_all(&dir);
}

/// The node that coordinates a group, once there is one.
fn coordinator(connection: &mut Connection, group: &str) -> (i32, i32) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let request =
        FindCoordinatorRequest { coordinator_keys: vec!["another".into(), group.into()], ..Default::default() };
    loop {
        let body = ask(connection, &request, 4);
        let response: FindCoordinatorResponse<'_> = decode(&body, 4);
        let found = &response.coordinators[1];
        if found.error_code == 0 {
            return (found.node_id, found.port);
        }
        assert_eq!(found.error_code, ErrorCode::CoordinatorNotAvailable as i16);
        assert!(Instant::now() < deadline, "no coordinator");
    }
}

#[test]
fn groups_live_at_the_node_that_is_told() {
    if is_control() {
        return;
    }
    let dir = new_dir("groups");
    let direct = Direct::start(&dir, &["ringmill.addressing=direct"]);
    create(&mut direct.connect(), "t", Vec::new());
    let view = View::of(&mut direct.connect(), "t");
    let mut connections: BTreeMap<i32, Connection> =
        view.nodes.keys().map(|node| (*node, view.connect(*node))).collect();
    let groups: Vec<String> = (0..8).map(|number| format!("group-{number}")).collect();
    let mut homes: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
    for group in &groups {
        let (node, port) = coordinator(&mut direct.connect(), group);
        assert_eq!(i32::from(view.nodes[&node].port()), port);
        homes.entry(node).or_default().push(group);
    }
    assert_eq!(homes.len(), 2, "{homes:?}");

    let before = direct.crossings();
    for (node, groups) in &homes {
        for group in groups {
            for offset in 0..20 {
                commit(connections.get_mut(node).expect("a node"), group, offset);
            }
        }
    }
    let crossed = direct.crossings() - before;
    assert!(crossed < HOUSEKEEPING, "{crossed} calls between shards for 160 commits");
    // Each node tells of its own, as Kafka's brokers do; clients put them together.
    for (node, groups) in &homes {
        let body = ask(connections.get_mut(node).expect("a node"), &ListGroupsRequest::default(), 4);
        let response: ListGroupsResponse<'_> = decode(&body, 4);
        let mut listed: Vec<&str> = response.groups.iter().map(|group| group.group_id.as_ref()).collect();
        listed.sort_unstable();
        assert_eq!(&listed, groups, "node {node}");
    }
    direct.stop();
    let _ = std::fs::remove_dir_all(&dir);
}

fn commit(connection: &mut Connection, group: &str, committed_offset: i64) {
    let partition = OffsetCommitRequestPartition { partition_index: 0, committed_offset, ..Default::default() };
    let topic = OffsetCommitRequestTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let body = ask(connection, &request, 8);
        let code = decode::<OffsetCommitResponse<'_>>(&body, 8).topics[0].partitions[0].error_code;
        if code == 0 {
            return;
        }
        assert_eq!(code, ErrorCode::CoordinatorLoadInProgress as i16);
        assert!(Instant::now() < deadline, "the coordinator loads for ever");
    }
}

#[test]
fn what_admin_tools_are_told_agrees() {
    if is_control() {
        return;
    }
    let dir = new_dir("admin");
    let direct = Direct::start(&dir, &["ringmill.addressing=direct"]);
    let mut connection = direct.connect();
    create(&mut connection, "t", Vec::new());
    let view = View::of(&mut connection, "t");

    let body = ask(&mut connection, &DescribeClusterRequest::default(), 1);
    let cluster: DescribeClusterResponse<'_> = decode(&body, 1);
    let nodes: Vec<(i32, i32)> = cluster.brokers.iter().map(|node| (node.broker_id, node.port)).collect();
    let told: Vec<(i32, i32)> = view.nodes.iter().map(|(id, address)| (*id, i32::from(address.port()))).collect();
    assert_eq!((cluster.controller_id, nodes), (1, told));

    let body =
        ask(&mut connection, &DescribeTopicPartitionsRequest { response_partition_limit: 99, ..Default::default() }, 0);
    let described: DescribeTopicPartitionsResponse<'_> = decode(&body, 0);
    let topic = described.topics.iter().find(|topic| topic.name.as_deref() == Some("t")).expect("the topic");
    let leaders: Vec<i32> = topic.partitions.iter().map(|partition| partition.leader_id).collect();
    assert_eq!(leaders, view.leaders);
    for one in &topic.partitions {
        assert_eq!((&one.replica_nodes, &one.isr_nodes), (&vec![one.leader_id], &vec![one.leader_id]));
    }

    // Each node has the logs of the partitions that it leads.
    for node in view.nodes.keys() {
        let body = ask(&mut view.connect(*node), &DescribeLogDirsRequest { topics: None }, 4);
        let response: DescribeLogDirsResponse<'_> = decode(&body, 4);
        let topics = response.results.iter().flat_map(|directory| &directory.topics);
        let mut there: Vec<i32> = topics
            .filter(|topic| topic.name == "t")
            .flat_map(|topic| &topic.partitions)
            .map(|one| one.partition_index)
            .collect();
        there.sort_unstable();
        let led: Vec<i32> = (0..PARTITIONS).filter(|index| view.leaders[*index as usize] == *node).collect();
        assert_eq!(there, led, "node {node}");
    }
    direct.stop();
    let _ = std::fs::remove_dir_all(&dir);
}

fn describe(connection: &mut Connection, kind: i8, name: &str, key: &str) -> (i16, Option<String>) {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: Some(vec![key.into()]),
    };
    let body = ask(connection, &DescribeConfigsRequest { resources: vec![resource], ..Default::default() }, 4);
    let response: DescribeConfigsResponse<'_> = decode(&body, 4);
    let result = &response.results[0];
    (result.error_code, result.configs.first().and_then(|config| config.value.as_deref().map(str::to_owned)))
}

fn alter(connection: &mut Connection, kind: i8, name: &str, key: &str, value: &str) -> i16 {
    let config = AlterableConfig { name: key.into(), config_operation: 0, value: Some(value.into()) };
    let resource = AlterConfigsResource { resource_type: kind, resource_name: name.into(), configs: vec![config] };
    let body = ask(connection, &IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() }, 1);
    let response: IncrementalAlterConfigsResponse<'_> = decode(&body, 1);
    assert_eq!(response.responses[0].resource_name, name);
    response.responses[0].error_code
}

/// Where a partition is told to have `node` as its only replica.
fn reassign(connection: &mut Connection, partition_index: i32, node: i32) -> i16 {
    let partition = ReassignablePartition { partition_index, replicas: Some(vec![node]) };
    let topics = vec![ReassignableTopic { name: "t".into(), partitions: vec![partition] }];
    let body = ask(connection, &AlterPartitionReassignmentsRequest { topics, ..Default::default() }, 0);
    decode::<AlterPartitionReassignmentsResponse<'_>>(&body, 0).responses[0].partitions[0].error_code
}

#[test]
fn shards_share_what_is_set_for_their_broker_and_stay_what_they_are() {
    if is_control() {
        return;
    }
    let dir = new_dir("settings");
    let direct = Direct::start(&dir, &["ringmill.addressing=direct"]);
    let mut connection = direct.connect();
    create(&mut connection, "t", Vec::new());
    let view = View::of(&mut connection, "t");
    let key = "log.cleaner.backoff.ms";
    assert_eq!(alter(&mut view.connect(1001), BROKER, "1001", key, "4711"), 0);
    for (node, name) in [(1, "1"), (1001, "1001"), (1001, "1")] {
        assert_eq!(
            describe(&mut view.connect(node), BROKER, name, key),
            (0, Some("4711".into())),
            "{name} asked of {node}"
        );
    }
    assert_eq!(describe(&mut connection, BROKER, "2001", key).0, ErrorCode::InvalidRequest as i16);
    assert_eq!(alter(&mut connection, BROKER_LOGGER, "1001", "ringmill.config", "WARN"), 0);
    assert_eq!(describe(&mut connection, BROKER_LOGGER, "1001", "ringmill.config"), (0, Some("WARN".into())));
    assert_eq!(
        alter(&mut connection, BROKER_LOGGER, "2001", "ringmill.config", "WARN"),
        ErrorCode::InvalidRequest as i16
    );

    // A partition may stay with its broker or its shard; which shard that is nobody else decides.
    let there = view.leaders.iter().position(|leader| *leader == 1001).expect("a partition of the second shard") as i32;
    assert_eq!((reassign(&mut connection, there, 1001), reassign(&mut connection, there, 1)), (0, 0));
    let here = view.leaders.iter().position(|leader| *leader == 1).expect("a partition of the first shard") as i32;
    assert_eq!(reassign(&mut connection, here, 1001), ErrorCode::UnsupportedVersion as i16);
    assert_eq!(reassign(&mut connection, here, 2001), ErrorCode::InvalidReplicaAssignment as i16);
    let by_hand = |node: i32| vec![CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![node] }];
    assert_eq!(create(&mut connection, "a", by_hand(1)), (0, String::new()));
    let (code, text) = create(&mut connection, "b", by_hand(1001));
    assert_eq!(code, ErrorCode::InvalidReplicaAssignment as i16);
    assert!(text.contains("is a shard of broker 1"), "{text}");
    let body = ask(&mut connection, &UnregisterBrokerRequest { broker_id: 1001 }, 0);
    assert_eq!(decode::<UnregisterBrokerResponse<'_>>(&body, 0).error_code, ErrorCode::UnsupportedVersion as i16);
    direct.stop();
    let _ = std::fs::remove_dir_all(&dir);
}
