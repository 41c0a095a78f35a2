//! This broker's own settings, resolved: every default filled in, every alias followed, every value checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::addressing::{self, Addressing};
use super::groups::{self, GroupSettings};
use super::keys::{self, Class, Key};
use super::layers::Layers;
use super::listener::{self, Listeners};
use super::problem::Problem;
use super::properties::Properties;
use super::value::{self, Value};

/// Settings of one process. Those a running broker may change (KIP-226) are read through [`Layers`] instead; here they
/// have the value of server.properties. See also [`Dynamic`](super::Dynamic). Sizes are bytes; times are milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Broker {
    pub node_id: i32,
    /// Cluster id for an empty directory; `None` means the environment's, or a random one.
    pub cluster_id: Option<String>,
    pub rack: Option<String>,
    pub listeners: Listeners,
    pub addressing: Addressing,
    /// At least one; absolute or relative to the working directory.
    pub log_dirs: Vec<PathBuf>,
    pub metadata_log_dir: PathBuf,

    /// Shards to run; `None` for one on every core.
    pub shards: Option<usize>,
    pub request_memory_bytes: u64,
    pub socket_request_max_bytes: u32,
    /// -1 leaves the kernel's choice.
    pub socket_send_buffer_bytes: i32,
    /// -1 leaves the kernel's choice.
    pub socket_receive_buffer_bytes: i32,
    pub socket_listen_backlog_size: u32,
    /// -1 never closes an idle connection.
    pub connections_max_idle_ms: i64,
    pub fetch_max_bytes: u32,
    pub fetch_session_slots: usize,
    pub describe_partitions_max: usize,
    /// Clients are asked for their metrics (`ringmill.client.telemetry=count`).
    pub client_telemetry: bool,
    pub telemetry_max_bytes: u32,

    pub auto_create_topics_enable: bool,
    pub delete_topic_enable: bool,
    pub num_partitions: i32,
    pub default_replication_factor: i16,
    pub groups: GroupSettings,
    /// Bytes of the offsets topic that are read at a time (`offsets.load.buffer.size`).
    pub offsets_load_buffer_bytes: u64,
    pub transaction_state_log_num_partitions: i32,
    pub transaction_state_log_replication_factor: i16,

    pub log_retention_check_interval_ms: u64,
    pub log_initial_task_delay_ms: u64,
    pub log_flush_offset_checkpoint_interval_ms: u64,
    pub log_flush_start_offset_checkpoint_interval_ms: u64,
    pub replica_high_watermark_checkpoint_interval_ms: u64,
    pub producer_id_expiration_check_interval_ms: u64,

    pub metadata_log_segment_bytes: u32,
    pub metadata_log_max_record_bytes_between_snapshots: u64,
    pub metadata_log_max_snapshot_interval_ms: u64,

    /// Everything that was said, by name, for DescribeConfigs and for [`Layers`].
    pub said: BTreeMap<String, String>,
}

/// What the process, not the file, knows.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Name that an empty listener host is advertised as.
    pub hostname: String,
    /// `CLUSTER_ID` of the environment.
    pub cluster_id: Option<String>,
}

/// A broker and the warnings its settings earned, or all that is wrong with them.
pub type Resolved = Result<(Broker, Vec<Problem>), Vec<Problem>>;

/// Checks and resolves all that was said. Errors and warnings come in the order of the file.
pub fn resolve(properties: &Properties, surroundings: &Surroundings) -> Resolved {
    let mut problems = check_entries(properties);
    check_roles(properties, &mut problems);
    check_together(properties, &mut problems);
    groups::check(properties, &mut problems);
    let mut listeners = listener::resolve(properties, &surroundings.hostname, &mut problems);
    let addressing = addressing::resolve(properties, &mut listeners, &mut problems);
    problems.sort_by_key(|problem| match &problem.origin {
        Some(super::problem::Origin::File { line, .. }) => *line,
        _ => usize::MAX,
    });
    if problems.iter().any(Problem::is_error) {
        return Err(problems);
    }
    let listening = (listeners, addressing);
    Ok((fill(properties, surroundings, listening), problems))
}

/// Each entry by itself: is the key known, is the value one of its kind, can it be honoured.
fn check_entries(properties: &Properties) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, entry) in &properties.entries {
        let Some(key) = keys::of_file(name) else {
            if !keys::is_beside_the_table(name) {
                let help = keys::nearest_of_file(name).map(|nearest| format!("did you mean {nearest}?"));
                problems.push(properties.warning(name, format!("{name} is not a known setting"), help));
            }
            continue;
        };
        // An empty value of a key without default leaves it unset (`log.retention.ms=`); Kafka would stop on some.
        if entry.value.is_empty() && key.standard_text().is_none() {
            continue;
        }
        match value::check(key, &entry.value) {
            Err(bad) => {
                let what = format!("{name} can't be {}", if key.is_sensitive() { "this" } else { &bad.text });
                problems.push(properties.error(name, what, format!("{}: {}", bad.allowed, key.allowed_words())));
            }
            Ok(value) if key.class == Class::Refused && !is_standard(key, &value) => {
                let what = format!("{name} is not served yet, and to ignore it would not be safe");
                problems.push(properties.error(name, what, refusal(key)));
            }
            Ok(_) => {}
        }
    }
    problems
}

fn is_standard(key: &Key, value: &Value) -> bool {
    key.standard_text().unwrap_or("") == value.text()
}

fn refusal(key: &Key) -> String {
    match key.standard_text() {
        Some(text) if !text.is_empty() => format!("leave it out, or set {}={text}", key.name),
        _ => "leave it out".into(),
    }
}

/// One node alone is served: broker and controller in one process.
fn check_roles(properties: &Properties, problems: &mut Vec<Problem>) {
    let roles = properties.get("process.roles").unwrap_or("broker,controller");
    let has = |role| roles.split(',').any(|item| item.trim() == role);
    if !has("broker") || !has("controller") {
        let what = format!("process.roles={roles} is not served yet");
        problems.push(properties.error("process.roles", what, "process.roles=broker,controller"));
    }
    let node = properties.get("node.id").or(properties.get("broker.id")).unwrap_or("1");
    if let (Some(node), Some(broker)) = (properties.get("node.id"), properties.get("broker.id"))
        && node != broker
        && broker != "-1"
    {
        problems.push(properties.error("broker.id", "broker.id and node.id differ", format!("broker.id={node}")));
    }
    let key = "controller.quorum.voters";
    for voter in list(properties, key) {
        match voter.split_once('@').map(|(id, _)| id.trim()) {
            Some(id) if id == node => {}
            Some(id) if id.parse::<u32>().is_ok() => {
                let what = format!("voter {id} is another node; a quorum of several is not served yet");
                problems.push(properties.error(key, what, format!("name only this node, {node}@host:port")));
            }
            _ => problems.push(properties.error(key, format!("{voter} is no voter"), "id@host:port is wanted")),
        }
    }
    let key = "controller.quorum.bootstrap.servers";
    if list(properties, key).len() > 1 {
        let what = "a quorum of several is not served yet";
        problems.push(properties.error(key, what, "name only this node's controller listener"));
    }
}

fn list<'a>(properties: &'a Properties, key: &str) -> Vec<&'a str> {
    properties.get(key).unwrap_or("").split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// What Kafka asks of settings together (`KafkaConfig.validateValues`), as far as it matters here.
fn check_together(properties: &Properties, problems: &mut Vec<Problem>) {
    let number = |key: &str| properties.get(key).and_then(|text| text.parse::<i64>().ok());
    for (key, low, words) in [
        ("log.roll.ms", 1, "at least 1"),
        ("log.roll.jitter.ms", 0, "at least 0"),
        ("connections.max.idle.ms", -1, "at least 1, or -1 for never"),
        ("default.replication.factor", 1, "at least 1"),
        ("socket.send.buffer.bytes", -1, "at least 1, or -1"),
        ("socket.receive.buffer.bytes", -1, "at least 1, or -1"),
    ] {
        if let Some(value) = number(key).filter(|value| *value < low) {
            problems.push(properties.error(key, format!("{key} can't be {value}"), words));
        }
    }
    for key in ["log.retention.ms", "log.retention.minutes", "log.retention.hours"] {
        if let Some(value) = number(key).filter(|value| *value < 1 && *value != -1) {
            problems.push(properties.error(key, format!("{key} can't be {value}"), "at least 1, or -1 for ever"));
        }
    }
    if let (Some(low), Some(high)) =
        (number("log.cleaner.min.compaction.lag.ms"), number("log.cleaner.max.compaction.lag.ms"))
        && low > high
    {
        let key = "log.cleaner.min.compaction.lag.ms";
        problems.push(properties.error(
            key,
            "it is above log.cleaner.max.compaction.lag.ms",
            format!("at most {high}"),
        ));
    }
    for key in ["log.dirs", "log.dir"] {
        if properties.get(key).is_some()
            && list(properties, key).is_empty()
            && !(key == "log.dirs" && properties.get("log.dir").is_some())
        {
            problems.push(properties.error(key, format!("{key} names no directory"), "at least one is needed"));
        }
    }
    let dirs: Vec<&str> = list(properties, if properties.get("log.dirs").is_some() { "log.dirs" } else { "log.dir" });
    let key = "cordoned.log.dirs";
    if let Some(what) = cordoned_fault(&list(properties, key), &dirs) {
        problems.push(properties.error(key, what, "* alone, or directories of log.dirs"));
    }
}

/// What is wrong with the cordoned directories of a broker with the directories `dirs` (KIP-1066).
pub(super) fn cordoned_fault(cordoned: &[&str], dirs: &[&str]) -> Option<String> {
    if cordoned.contains(&"*") {
        return (cordoned.len() > 1).then(|| "cordoned.log.dirs must not have other entries beside *".into());
    }
    let stranger = cordoned.iter().find(|path| !dirs.contains(path))?;
    Some(format!("cordoned.log.dirs names {stranger}, which is none of log.dirs"))
}

fn fill(
    properties: &Properties,
    surroundings: &Surroundings,
    (listeners, addressing): (Listeners, Addressing),
) -> Broker {
    let said: BTreeMap<String, String> = properties
        .entries
        .iter()
        .filter(|(name, entry)| {
            !(entry.value.is_empty() && keys::of_file(name).is_some_and(|key| key.standard_text().is_none()))
        })
        .map(|(name, entry)| (name.clone(), entry.value.clone()))
        .collect();
    let said = with_node_id(said);
    let none = BTreeMap::new();
    let layers = Layers { fixed: &said, cluster: &none, node: &none };
    let number = |key: &str| layers.broker(key).map_or(0, |value| value.number());
    let size = |key: &str| number(key).max(0) as u64;
    let text = |key: &str| layers.broker(key).map(|value| value.text());
    let log_dirs: Vec<PathBuf> = layers
        .broker("log.dirs")
        .filter(|dirs| !dirs.items().is_empty())
        .or_else(|| layers.broker("log.dir"))
        .map_or_else(Vec::new, |dirs| dirs.items().into_iter().map(PathBuf::from).collect());
    Broker {
        node_id: number("node.id") as i32,
        cluster_id: text("ringmill.cluster.id").or_else(|| surroundings.cluster_id.clone()),
        rack: text("broker.rack"),
        listeners,
        addressing,
        metadata_log_dir: text("metadata.log.dir").map(PathBuf::from).unwrap_or_else(|| log_dirs[0].clone()),
        log_dirs,
        shards: layers.broker("ringmill.shards").map(|value| value.number() as usize),
        request_memory_bytes: size("ringmill.request.memory.bytes"),
        socket_request_max_bytes: size("socket.request.max.bytes") as u32,
        socket_send_buffer_bytes: number("socket.send.buffer.bytes") as i32,
        socket_receive_buffer_bytes: number("socket.receive.buffer.bytes") as i32,
        socket_listen_backlog_size: size("socket.listen.backlog.size") as u32,
        connections_max_idle_ms: number("connections.max.idle.ms"),
        fetch_max_bytes: size("fetch.max.bytes") as u32,
        fetch_session_slots: size("max.incremental.fetch.session.cache.slots") as usize,
        describe_partitions_max: size("max.request.partition.size.limit") as usize,
        client_telemetry: text("ringmill.client.telemetry").is_some_and(|text| text == "count"),
        telemetry_max_bytes: size("telemetry.max.bytes") as u32,
        auto_create_topics_enable: layers.broker("auto.create.topics.enable").is_some_and(|value| value.boolean()),
        delete_topic_enable: layers.broker("delete.topic.enable").is_some_and(|value| value.boolean()),
        num_partitions: number("num.partitions") as i32,
        default_replication_factor: number("default.replication.factor").min(i16::MAX.into()) as i16,
        groups: groups::groups(&layers),
        offsets_load_buffer_bytes: size("offsets.load.buffer.size"),
        transaction_state_log_num_partitions: number("transaction.state.log.num.partitions") as i32,
        transaction_state_log_replication_factor: number("transaction.state.log.replication.factor") as i16,
        log_retention_check_interval_ms: size("log.retention.check.interval.ms"),
        log_initial_task_delay_ms: size("log.initial.task.delay.ms"),
        log_flush_offset_checkpoint_interval_ms: size("log.flush.offset.checkpoint.interval.ms"),
        log_flush_start_offset_checkpoint_interval_ms: size("log.flush.start.offset.checkpoint.interval.ms"),
        replica_high_watermark_checkpoint_interval_ms: size("replica.high.watermark.checkpoint.interval.ms"),
        producer_id_expiration_check_interval_ms: size("producer.id.expiration.check.interval.ms"),
        metadata_log_segment_bytes: size("metadata.log.segment.bytes") as u32,
        metadata_log_max_record_bytes_between_snapshots: size("metadata.log.max.record.bytes.between.snapshots"),
        metadata_log_max_snapshot_interval_ms: size("metadata.log.max.snapshot.interval.ms"),
        said,
    }
}

/// node.id and broker.id speak for each other, and for a node alone 1 will do (`AbstractKafkaConfig.populateSynonyms`).
fn with_node_id(mut said: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let id = said.get("node.id").or(said.get("broker.id")).filter(|id| *id != "-1").cloned().unwrap_or("1".into());
    said.insert("node.id".into(), id.clone());
    said.insert("broker.id".into(), id);
    said.entry("process.roles".into()).or_insert("broker,controller".into());
    said
}

impl Broker {
    /// Notes the port that listener `name` was bound to where its settings said 0.
    pub fn bound(&mut self, name: &str, port: u16) {
        let all = self.listeners.broker.iter_mut().chain(&mut self.listeners.controller);
        for listener in all.filter(|listener| listener.name == name) {
            if let Some(advertised) = listener.advertised.as_mut().filter(|advertised| advertised.port == 0) {
                advertised.port = port;
            }
            listener.port = port;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Resolved {
        let properties = Properties::parse("server.properties", text.as_bytes()).unwrap();
        resolve(&properties, &Surroundings { hostname: "box".into(), cluster_id: None })
    }

    fn errors(text: &str) -> String {
        match run(text) {
            Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    }

    #[test]
    fn the_embedded_default_is_without_fault() {
        let (broker, warnings) = resolve(&Properties::embedded(), &Surroundings::default()).unwrap();
        assert_eq!(warnings, []);
        assert_eq!((broker.node_id, broker.num_partitions), (1, 1));
        assert_eq!(broker.log_dirs, [PathBuf::from("ringmill-data")]);
        assert_eq!(broker.metadata_log_dir, PathBuf::from("ringmill-data"));
        assert_eq!(broker.listeners.broker[0].port, 9092);
        assert_eq!(broker.fetch_max_bytes, 57_671_680);
        assert_eq!(broker.connections_max_idle_ms, 600_000);
        assert_eq!(broker.shards, None);
    }

    #[test]
    fn kafkas_own_file_is_taken() {
        let text = "process.roles=broker,controller\nnode.id=4\ncontroller.quorum.voters=4@127.0.0.1:9093\n\
            listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n\
            advertised.listeners=PLAINTEXT://127.0.0.1:9092\ncontroller.listener.names=CONTROLLER\n\
            listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
            inter.broker.listener.name=PLAINTEXT\nlog.dirs=/a,/b\nnum.network.threads=3\nsuper.users=User:a\n";
        let (broker, warnings) = run(text).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(broker.node_id, 4);
        assert_eq!(broker.log_dirs.len(), 2);
        assert_eq!(broker.listeners.controller[0].name, "CONTROLLER");
        assert_eq!(broker.said["broker.id"], "4");
    }

    #[test]
    fn an_unknown_key_is_a_warning() {
        assert_eq!(
            errors("node.id=1\nlog.retention.hourz=168\n"),
            "warning: server.properties:2: log.retention.hourz is not a known setting\n    \
             2 | log.retention.hourz=168\n      | ^^^^^^^^^^^^^^^^^^^ did you mean log.retention.hours?"
        );
        assert!(run("log.retention.hourz=168\n").is_ok());
    }

    #[test]
    fn a_bad_value_is_an_error_that_names_what_is_allowed() {
        assert_eq!(
            errors("num.partitions=many\n"),
            "error: server.properties:1: num.partitions can't be many\n    1 | num.partitions=many\n      \
             |                ^^^^ Not a number of type INT: a whole number of 32 bits, at least 1"
        );
        assert!(errors("log.retention.ms=0").contains("at least 1, or -1 for ever"));
        assert!(errors("log.dirs=").contains("names no directory"));
    }

    #[test]
    fn what_would_break_durability_or_security_is_refused() {
        for text in [
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "remote.log.storage.system.enable=true",
            "process.roles=controller",
            "process.roles=broker",
            "node.id=1\ncontroller.quorum.voters=1@a:1,2@b:1",
            "controller.quorum.bootstrap.servers=a:1,b:1",
            "listeners=SASL_SSL://:9092",
            "create.topic.policy.class.name=x.Y",
            "config.providers=file",
            "ringmill.addressing=direct\nnode.id=1000",
            "delegation.token.secret.key=abc",
        ] {
            let found = run(text).unwrap_err();
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(!found[0].to_string().contains("=abc"));
        }
        assert!(run("authorizer.class.name=\nremote.log.storage.system.enable=false").is_ok());
    }

    #[test]
    fn a_port_of_0_is_known_once_bound() {
        let (mut broker, _) = run("listeners=PLAINTEXT://127.0.0.1:0").unwrap();
        broker.bound("PLAINTEXT", 4711);
        assert_eq!(broker.listeners.broker[0].port, 4711);
        assert_eq!(broker.listeners.broker[0].advertised.as_ref().unwrap().port, 4711);
    }
}
