//! The controller as its callers see it: start, change, stop, crash, start again.

use std::fs;
use std::path::{Path, PathBuf};

use state::metadata::decide::{
    AlterOp, AlterResource, CreateTopic, DeleteTopic, FeatureRefusal, FeatureUpdate, NewPartitions, OpType, UpgradeType,
};
use state::metadata::{ConfigResource, ResourceType};
use wire::generated::messages::BeginTransactionRecord;

use super::testing::{TempDir, settings};
use super::*;
use crate::config::Broker;

fn clock() -> i64 {
    1_700_000_000_000
}

/// A node on its own directory; `more` are lines of its server.properties.
struct Node {
    settings: Broker,
    directories: Directories,
    controller: Controller,
}

impl Node {
    fn start(dir: &Path, more: &str) -> Result<Self, ControllerError> {
        let settings = settings(&format!("log.dirs={}\n{more}", dir.display()));
        let directories = Directories::open(&settings)?;
        let mut controller = Controller::open_at(&settings, &directories, clock)?;
        controller.unfence()?;
        Ok(Self { settings, directories, controller })
    }

    fn create(&mut self, name: &str, partitions: i32) {
        let topic = CreateTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: vec![("retention.ms".into(), Some("1000".into()))],
        };
        let answers = self.controller.create_topics(&[topic], false).unwrap();
        for (name, result) in answers {
            result.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    fn stop(mut self) {
        self.controller.close().unwrap();
        let epoch = self.controller.broker_epoch();
        self.directories.logs.iter().for_each(|one| one.held.write_clean_shutdown(epoch).unwrap());
    }

    /// Everything that does not change by a mere restart.
    fn topics(&self) -> String {
        topics(self.controller.image())
    }

    fn leader_epoch(&self, topic: &str) -> i32 {
        self.controller.image().topic(topic).unwrap().partitions[0].leader_epoch
    }
}

fn topics(image: &Image) -> String {
    let one = |topic: &Arc<state::metadata::Topic>| {
        let leaders: Vec<i32> = topic.partitions.iter().map(|partition| partition.leader).collect();
        format!("{} {} {leaders:?} {:?}\n", topic.name, topic.id, image.topic_configs(&topic.name))
    };
    image.topics().map(one).collect()
}

fn metadata_dir(dir: &TempDir) -> PathBuf {
    dir.path().join(METADATA_DIR)
}

fn files(dir: &TempDir, suffix: &str) -> Vec<String> {
    let entries = fs::read_dir(metadata_dir(dir)).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(suffix));
    names.sort();
    names
}

#[test]
fn what_was_committed_is_there_after_a_stop_and_after_a_crash() {
    let dir = TempDir::new();
    let mut node = Node::start(dir.path(), "").unwrap();
    assert_eq!(node.controller.epoch(), 1);
    assert_eq!(node.controller.image().metadata_version(), 30);
    assert!(!node.controller.image().broker(1).unwrap().fenced);
    node.create("a", 3);
    node.create("b", 1);
    let expected = node.topics();
    assert_eq!(expected.lines().count(), 2);
    assert_eq!(node.leader_epoch("a"), 0);
    node.stop();

    let node = Node::start(dir.path(), "").unwrap();
    assert_eq!((node.topics(), node.controller.epoch()), (expected.clone(), 2));
    assert_eq!(node.leader_epoch("a"), 0, "a clean stop loses nothing");
    let cluster = node.directories.cluster_id.clone();
    drop(node);

    let node = Node::start(dir.path(), "").unwrap();
    assert_eq!((node.topics(), node.controller.epoch()), (expected, 3));
    assert_eq!(node.leader_epoch("a"), 1, "a crash may have");
    assert_eq!(node.directories.cluster_id, cluster);
    let broker = node.controller.image().broker(1).unwrap();
    assert_eq!(broker.epoch, node.controller.broker_epoch());
    assert_eq!(broker.listeners[0].port, 9092);
}

#[test]
fn a_log_cut_at_any_byte_gives_a_prefix_of_what_was_committed() {
    let dir = TempDir::new();
    let mut images = Vec::new();
    let mut node = Node::start(dir.path(), "").unwrap();
    let log = metadata_dir(&dir).join("00000000000000000000.log");
    let first = fs::metadata(&log).unwrap().len();
    images.push((first, node.topics()));
    for name in ["a", "b", "c"] {
        node.create(name, 2);
        images.push((fs::metadata(&log).unwrap().len(), node.topics()));
    }
    drop(node);
    let whole = fs::read(&log).unwrap();
    for length in (first..=whole.len() as u64).step_by(7) {
        fs::write(&log, &whole[..length as usize]).unwrap();
        let node = Node::start(dir.path(), "").unwrap();
        let due = images.iter().rev().find(|(size, _)| *size <= length).unwrap();
        assert_eq!(node.topics(), due.1, "{length}");
    }
}

#[test]
fn snapshots_replace_the_log_before_them() {
    let dir = TempDir::new();
    let often = "metadata.log.max.record.bytes.between.snapshots=1500\n";
    let mut node = Node::start(dir.path(), often).unwrap();
    for at in 0..40 {
        node.create(&format!("topic-{at}"), 4);
        node.controller.maintain().unwrap();
    }
    let expected = node.topics();
    drop(node);
    assert_eq!(files(&dir, ".checkpoint").len(), 2);
    assert_eq!(files(&dir, ".log").len(), 2);
    assert_eq!(Node::start(dir.path(), often).unwrap().topics(), expected);

    // The newest snapshot is damaged: the older one and the log behind it tell the same.
    let newest = metadata_dir(&dir).join(files(&dir, ".checkpoint").pop().unwrap());
    let mut bytes = fs::read(&newest).unwrap();
    bytes[200] ^= 1;
    fs::write(&newest, &bytes).unwrap();
    assert_eq!(Node::start(dir.path(), often).unwrap().topics(), expected);

    // So is the older one: nothing is left that would tell the whole story.
    let oldest = metadata_dir(&dir).join(files(&dir, ".checkpoint").remove(0));
    fs::write(&oldest, b"").unwrap();
    let problem = Node::start(dir.path(), often).map(|_| ()).unwrap_err().to_string();
    assert!(problem.contains("is damaged"), "{problem}");
}

/// From `controller.quorum.voters` into the log (KIP-853), and there for good.
#[test]
fn the_voters_move_into_the_log_once() {
    let dir = TempDir::new();
    let listeners = "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n\
        controller.listener.names=CONTROLLER\ncontroller.quorum.voters=1@127.0.0.1:9093\n";
    let update = [FeatureUpdate { name: "kraft.version".into(), level: 1, upgrade_type: Some(UpgradeType::Upgrade) }];
    let mut node = Node::start(dir.path(), listeners).unwrap();
    assert_eq!((node.controller.image().kraft_version(), node.controller.voter_directory_id()), (0, Uuid::ZERO));
    let end = node.controller.end_offset();
    node.controller.update_features(&update, true).unwrap().unwrap();
    assert_eq!((node.controller.image().kraft_version(), node.controller.end_offset()), (0, end), "validated only");
    node.controller.update_features(&update, false).unwrap().unwrap();
    assert_eq!(node.controller.image().kraft_version(), 1);
    assert_eq!(node.controller.end_offset(), end + 3, "the version, the voters, and the record that is waited for");
    let directory = node.controller.voter_directory_id();
    assert_ne!(directory, Uuid::ZERO);
    drop(node);

    // A crash, before `quorum-state` told of it.
    let often = format!("{listeners}metadata.log.max.record.bytes.between.snapshots=1\n");
    let mut node = Node::start(dir.path(), &often).unwrap();
    assert_eq!((node.controller.image().kraft_version(), node.controller.voter_directory_id()), (1, directory));
    for name in ["a", "b", "c"] {
        node.create(name, 1);
        assert!(node.controller.maintain().unwrap());
    }
    drop(node);
    // The log from before is gone: snapshots tell it.
    assert!(!files(&dir, ".log").contains(&"00000000000000000000.log".to_owned()));
    let mut node = Node::start(dir.path(), listeners).unwrap();
    assert_eq!(node.controller.image().kraft_version(), 1);
    let down = [FeatureUpdate { level: 0, upgrade_type: Some(UpgradeType::SafeDowngrade), ..update[0].clone() }];
    assert!(node.controller.update_features(&down, false).unwrap().is_err());

    // A node without a controller's listener has no address to write.
    let bare = TempDir::new();
    let mut node = Node::start(bare.path(), "").unwrap();
    let refused = node.controller.update_features(&update, false).unwrap().unwrap_err();
    assert_eq!(refused.why, FeatureRefusal::NoAddresses);
}

#[test]
fn a_transaction_that_a_crash_cut_off_never_happened() {
    let dir = TempDir::new();
    let mut node = Node::start(dir.path(), "").unwrap();
    node.create("a", 1);
    let before = node.topics();
    node.controller.commit(&[BeginTransactionRecord { name: None }.into()]).unwrap();
    node.create("b", 1);
    assert_eq!(node.topics(), before, "nothing of an open transaction is published");
    drop(node);
    let mut node = Node::start(dir.path(), "").unwrap();
    assert_eq!(node.topics(), before);
    node.create("b", 1);
    let after = node.topics();
    drop(node);
    assert_eq!(Node::start(dir.path(), "").unwrap().topics(), after);
}

#[test]
fn a_large_topic_is_made_at_once_or_not_at_all() {
    let dir = TempDir::new();
    let mut node = Node::start(dir.path(), "").unwrap();
    let start = node.controller.end_offset();
    node.create("wide", 9_990);
    assert_eq!(node.controller.end_offset() - start, 9_992, "one batch needs no transaction");
    let expected = node.topics();
    drop(node);
    assert_eq!(Node::start(dir.path(), "").unwrap().topics(), expected);
}

#[test]
fn requests_change_what_they_say() {
    let dir = TempDir::new();
    let mut node = Node::start(dir.path(), "num.partitions=5\n").unwrap();
    node.create("a", -1);
    let controller = &mut node.controller;
    assert_eq!(controller.image().topic("a").unwrap().partitions.len(), 5);
    let end = controller.end_offset();

    let more = NewPartitions { topic: "a".into(), count: 7, assignments: None };
    controller.create_partitions(std::slice::from_ref(&more), true).unwrap()[0].1.as_ref().unwrap();
    assert_eq!(controller.end_offset(), end, "validate only");
    controller.create_partitions(&[more], false).unwrap()[0].1.as_ref().unwrap();
    assert_eq!(controller.image().topic("a").unwrap().partitions.len(), 7);

    let set = |name: &str, value: &str| AlterResource {
        resource: ConfigResource::topic("a"),
        ops: vec![AlterOp { name: name.into(), op: OpType::Set, value: Some(value.into()) }],
    };
    controller.incremental_alter_configs(&[set("retention.bytes", "77")], false).unwrap()[0].as_ref().unwrap();
    assert_eq!(controller.image().config(ResourceType::Topic, "a", "retention.bytes"), Some("77"));
    let end = controller.end_offset();
    for (name, value) in [("retention.bytes", "x"), ("nonsense", "1"), ("segment.bytes", "1")] {
        controller.incremental_alter_configs(&[set(name, value)], false).unwrap()[0].as_ref().unwrap_err();
    }
    assert_eq!(controller.end_offset(), end, "nothing is written of what is refused");

    assert_eq!(controller.allocate_producer_ids().unwrap(), (0, 1000));
    assert_eq!(controller.allocate_producer_ids().unwrap(), (1000, 1000));
    let id = Uuid::ZERO;
    controller.delete_topics(&[DeleteTopic { name: Some("a".into()), id }]).unwrap()[0].result.unwrap();
    assert!(controller.image().topic("a").is_none());
    drop(node);
    let mut node = Node::start(dir.path(), "").unwrap();
    assert_eq!(node.controller.allocate_producer_ids().unwrap(), (2000, 1000));
}

#[test]
fn both_kinds_of_quorum_start_again() {
    let listeners = "listeners=PLAINTEXT://127.0.0.1:9092,C://127.0.0.1:9093\ncontroller.listener.names=C\n";
    for (voters, has_checkpoint) in [("controller.quorum.voters=1@127.0.0.1:9093\n", false), ("", true)] {
        let dir = TempDir::new();
        let more = format!("{listeners}{voters}");
        let mut node = Node::start(dir.path(), &more).unwrap();
        node.create("a", 1);
        drop(node);
        let checkpoint = metadata_dir(&dir).join("00000000000000000000-0000000000.checkpoint");
        assert_eq!(checkpoint.exists(), has_checkpoint);
        let text = fs::read_to_string(metadata_dir(&dir).join("quorum-state")).unwrap();
        assert_eq!(text.contains("\"data_version\":1"), has_checkpoint, "{text}");
        let node = Node::start(dir.path(), &more).unwrap();
        assert_eq!(node.topics().lines().count(), 1);
        assert_eq!(node.settings.node_id, 1);
    }
}

#[test]
fn a_look_changes_nothing() {
    let dir = TempDir::new();
    assert!(inspect(dir.path(), "x").unwrap().is_none());
    let mut node = Node::start(dir.path(), "").unwrap();
    node.create("a", 2);
    let (expected, end) = (node.topics(), node.controller.end_offset());
    drop(node);
    let log = metadata_dir(&dir).join("00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    bytes.extend_from_slice(&[0; 30]);
    fs::write(&log, &bytes).unwrap();
    let found = inspect(dir.path(), "x").unwrap().unwrap();
    assert_eq!((topics(&found.image), found.end_offset, found.torn_bytes), (expected, end, 30));
    assert_eq!((found.epoch, found.segment_count, found.snapshots), (1, 1, vec![]));
    assert_eq!(fs::read(&log).unwrap(), bytes);
}

/// Where `RINGMILL_KAFKA_LIBS` names the directory of Kafka's jars, its own tool reads every file of the metadata log.
#[test]
fn kafka_reads_our_metadata() {
    let Ok(libs) = std::env::var("RINGMILL_KAFKA_LIBS") else { return };
    let dir = TempDir::new();
    let more = "listeners=PLAINTEXT://127.0.0.1:9092,C://127.0.0.1:9093\ncontroller.listener.names=C\n\
        metadata.log.max.record.bytes.between.snapshots=4000\n";
    for round in 0..3 {
        let mut node = Node::start(dir.path(), more).unwrap();
        for at in 0..10 {
            node.create(&format!("topic-{round}-{at}"), 3);
            node.controller.maintain().unwrap();
        }
        node.controller.allocate_producer_ids().unwrap();
    }
    let mut paths: Vec<String> = Vec::new();
    for name in [files(&dir, ".log"), files(&dir, ".checkpoint")].concat() {
        paths.push(metadata_dir(&dir).join(name).display().to_string());
    }
    let output = std::process::Command::new("java")
        .args(["-cp", &format!("{libs}/*"), "org.apache.kafka.tools.DumpLogSegments", "--cluster-metadata-decoder"])
        .args(["--files", &paths.join(",")])
        .output()
        .expect("run java");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("isvalid: false"), "{text}");
    assert!(!text.contains("Exception") && !text.contains("Could not decode"), "{text}");
    for expected in [
        "LeaderChange",
        "KRaftVoters",
        "SnapshotHeader",
        "SnapshotFooter",
        "REGISTER_BROKER_RECORD",
        "REGISTER_CONTROLLER_RECORD",
        "topic-2-9",
        "PRODUCER_IDS_RECORD",
        "PARTITION_CHANGE_RECORD",
    ] {
        assert!(text.contains(expected), "{expected} is missing in {text}");
    }
}
