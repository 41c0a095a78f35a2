//! The commands, as they are typed after `bin/`, in the order in which they run. `{word}` is filled in for each broker.

/// How closely two outputs are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    All,
    /// Offsets of the metadata log, sizes and lags may differ.
    NoNumbers,
    /// Only the exit code, and exceptions: the output is the broker's own matter.
    Exit,
    /// Run again and again until it says this; then as `All`.
    Until(&'static str),
}

use crate::interop::java::CONSUMER_GROUPS;
use Look::{All, Exit, NoNumbers, Until};

pub(super) type Table = &'static [(Look, &'static str)];

/// The class behind a script of Apache Kafka's `bin/`.
pub(super) fn class(script: &str) -> Option<&'static str> {
    SCRIPTS.iter().find(|(name, _)| *name == script).map(|(_, class)| *class)
}

const SCRIPTS: [(&str, &str); 22] = [
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-configs", "kafka.admin.ConfigCommand"),
    ("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    ("kafka-delete-records", "org.apache.kafka.tools.DeleteRecordsCommand"),
    ("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    ("kafka-reassign-partitions", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"),
    ("kafka-leader-election", "org.apache.kafka.tools.LeaderElectionCommand"),
    ("kafka-metadata-quorum", "org.apache.kafka.tools.MetadataQuorumCommand"),
    ("kafka-features", "org.apache.kafka.tools.FeatureCommand"),
    ("kafka-cluster", "org.apache.kafka.tools.ClusterTool"),
    ("kafka-broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
    ("kafka-client-metrics", "org.apache.kafka.tools.ClientMetricsCommand"),
    ("kafka-acls", "org.apache.kafka.tools.AclCommand"),
    ("kafka-delegation-tokens", "org.apache.kafka.tools.DelegationTokenCommand"),
    ("kafka-transactions", "org.apache.kafka.tools.TransactionsCommand"),
    ("kafka-console-producer", "org.apache.kafka.tools.ConsoleProducer"),
    ("kafka-console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    ("kafka-producer-perf-test", "org.apache.kafka.tools.ProducerPerformance"),
    ("kafka-consumer-groups", CONSUMER_GROUPS),
    ("kafka-share-groups", "org.apache.kafka.tools.consumer.group.ShareGroupCommand"),
    ("kafka-streams-groups", "org.apache.kafka.tools.streams.StreamsGroupCommand"),
    ("kafka-groups", "org.apache.kafka.tools.GroupsCommand"),
];

/// Scripts that want to know the address before anything else.
pub(super) const ADDRESS_FIRST: [&str; 3] = ["kafka-features", "kafka-metadata-quorum", "kafka-transactions"];

/// Files that commands read.
pub(super) const FILES: [(&str, &str); 9] = [
    ("same.json", r#"{"version":1,"partitions":[{"topic":"kept","partition":0,"replicas":[1]}]}"#),
    (
        "same-dir.json",
        r#"{"version":1,"partitions":[{"topic":"kept","partition":0,"replicas":[1],"log_dirs":["{data}"]}]}"#,
    ),
    (
        "no-dir.json",
        r#"{"version":1,"partitions":[{"topic":"kept","partition":0,"replicas":[1],"log_dirs":["{data}/nowhere"]}]}"#,
    ),
    ("no-broker.json", r#"{"version":1,"partitions":[{"topic":"kept","partition":0,"replicas":[1,7]}]}"#),
    ("no-topic.json", r#"{"version":1,"partitions":[{"topic":"nothing","partition":0,"replicas":[1]}]}"#),
    ("topics.json", r#"{"version":1,"topics":[{"topic":"kept"}]}"#),
    (
        "delete.json",
        r#"{"version":1,"partitions":[{"topic":"kept","partition":0,"offset":2},{"topic":"kept","partition":1,"offset":-1}]}"#,
    ),
    ("delete-far.json", r#"{"version":1,"partitions":[{"topic":"kept","partition":0,"offset":1000}]}"#),
    ("elect.json", r#"{"partitions":[{"topic":"kept","partition":0},{"topic":"kept","partition":1}]}"#),
];

/// With the voters in the metadata log (KIP-853), as a quorum that was formatted with `--standalone` has them.
pub(super) const QUORUM: Table = &[
    (NoNumbers, "kafka-metadata-quorum describe --status"),
    (NoNumbers, "kafka-metadata-quorum --bootstrap-controller {controller} describe --status"),
    (NoNumbers, "kafka-metadata-quorum describe --replication"),
    (NoNumbers, "kafka-metadata-quorum --bootstrap-controller {controller} describe --replication"),
    (All, "kafka-metadata-quorum remove-controller --controller-id 1 --controller-directory-id {directory-id}"),
    (All, "kafka-metadata-quorum remove-controller --controller-id 7 --controller-directory-id {directory-id}"),
    (All, "kafka-features describe"),
    (All, "kafka-features --bootstrap-controller {controller} describe"),
    (All, "kafka-features downgrade --feature kraft.version=0"),
    (All, "kafka-features upgrade --feature kraft.version=1"),
    (All, "kafka-features upgrade --feature kraft.version=2"),
];

pub(super) const COMMANDS: Table = &[
    // What the cluster says of itself
    (All, "kafka-cluster cluster-id"),
    (All, "kafka-cluster list-endpoints"),
    (All, "kafka-cluster list-endpoints --include-fenced-brokers"),
    (All, "kafka-cluster list-endpoints --bootstrap-controller {controller}"),
    (All, "kafka-cluster unregister --id 7"),
    (All, "kafka-broker-api-versions"),
    (All, "kafka-broker-api-versions --bootstrap-controller {controller}"),
    (NoNumbers, "kafka-metadata-quorum describe --status"),
    (NoNumbers, "kafka-metadata-quorum describe --replication"),
    (NoNumbers, "kafka-metadata-quorum describe --replication --human-readable"),
    (All, "kafka-metadata-quorum remove-controller --controller-id 1 --controller-directory-id {directory-id}"),
    // Topics
    (All, "kafka-topics --list"),
    (All, "kafka-topics --create --topic kept --partitions 3 --replication-factor 1 --config retention.ms=-1"),
    (All, "kafka-topics --create --topic gone --partitions 2"),
    (All, "kafka-topics --create --topic gone --partitions 2"),
    (All, "kafka-topics --create --topic gone --partitions 2 --if-not-exists"),
    (All, "kafka-topics --create --topic a.b"),
    (All, "kafka-topics --create --topic a_b"),
    (All, "kafka-topics --create --topic wide --replication-factor 3"),
    (All, "kafka-topics --create --topic placed --replica-assignment 1,1"),
    (All, "kafka-topics --create --topic misplaced --replica-assignment 7"),
    (All, "kafka-topics --create --topic none --partitions 0"),
    (All, "kafka-topics --create --topic bad --config retention.ms=soon"),
    (All, "kafka-topics --create --topic bad --config no.such.config=1"),
    (All, "kafka-topics --create --topic policy --config cleanup.policy=compact,delete --config segment.bytes=1048576"),
    (All, "kafka-topics --list"),
    (All, "kafka-topics --list --topic k.*"),
    (All, "kafka-topics --describe"),
    (All, "kafka-topics --describe --topic kept"),
    (All, "kafka-topics --describe --topic nothing"),
    (All, "kafka-topics --describe --topics-with-overrides"),
    (All, "kafka-topics --describe --unavailable-partitions"),
    (All, "kafka-topics --describe --under-replicated-partitions"),
    (All, "kafka-topics --describe --at-min-isr-partitions"),
    (All, "kafka-topics --describe --under-min-isr-partitions"),
    (All, "kafka-topics --alter --topic kept --partitions 4"),
    (All, "kafka-topics --alter --topic kept --partitions 2"),
    (All, "kafka-topics --alter --topic nothing --partitions 2"),
    (All, "kafka-topics --delete --topic gone"),
    (All, "kafka-topics --delete --topic gone"),
    (All, "kafka-topics --list --exclude-internal"),
    // Records and offsets
    (
        All,
        "kafka-console-producer --topic kept --reader-property parse.key=true --reader-property key.separator=: < a:1\\nb:2\\nc:3\\nd:4\\ne:5\\nf:6\\ng:7\\nh:8\\n",
    ),
    (All, "kafka-get-offsets --topic kept"),
    (All, "kafka-get-offsets --topic kept --time -2"),
    (All, "kafka-get-offsets --topic kept --time earliest"),
    (Exit, "kafka-get-offsets --topic kept --time max-timestamp"),
    (All, "kafka-get-offsets --topic kept --time earliest-local"),
    (All, "kafka-get-offsets --topic kept --time latest-tiered"),
    (All, "kafka-get-offsets --topic kept --time 0"),
    (All, "kafka-get-offsets --topic kept --time 4000000000000"),
    (All, "kafka-get-offsets --topic-partitions kept:0,kept:2-4"),
    (All, "kafka-get-offsets --topic nothing"),
    (
        All,
        "kafka-console-consumer --topic kept --partition 0 --offset earliest --max-messages 1 --formatter-property print.key=true --formatter-property print.offset=true --timeout-ms 8000",
    ),
    (All, "kafka-delete-records --offset-json-file {delete.json}"),
    (All, "kafka-delete-records --offset-json-file {delete-far.json}"),
    (All, "kafka-get-offsets --topic kept --time earliest"),
    (All, "kafka-get-offsets --topic kept --time latest"),
    // Log directories
    (NoNumbers, "kafka-log-dirs --describe --topic-list kept"),
    (NoNumbers, "kafka-log-dirs --describe --broker-list 1"),
    (All, "kafka-log-dirs --describe --broker-list 7"),
    // Reassignments
    (All, "kafka-reassign-partitions --list"),
    (All, "kafka-reassign-partitions --generate --topics-to-move-json-file {topics.json} --broker-list 1"),
    (All, "kafka-reassign-partitions --execute --reassignment-json-file {same.json}"),
    (All, "kafka-reassign-partitions --verify --reassignment-json-file {same.json}"),
    (All, "kafka-reassign-partitions --execute --reassignment-json-file {same-dir.json}"),
    (All, "kafka-reassign-partitions --verify --reassignment-json-file {same-dir.json}"),
    (All, "kafka-reassign-partitions --execute --reassignment-json-file {same.json} --throttle 1000000"),
    (All, "kafka-reassign-partitions --verify --reassignment-json-file {same.json}"),
    (All, "kafka-reassign-partitions --execute --reassignment-json-file {no-dir.json} --timeout 1000"),
    (All, "kafka-reassign-partitions --execute --reassignment-json-file {no-broker.json}"),
    (All, "kafka-reassign-partitions --execute --reassignment-json-file {no-topic.json}"),
    (All, "kafka-reassign-partitions --cancel --reassignment-json-file {same.json}"),
    (All, "kafka-reassign-partitions --cancel --reassignment-json-file {same-dir.json}"),
    // Elections
    (All, "kafka-leader-election --election-type preferred --all-topic-partitions"),
    (All, "kafka-leader-election --election-type preferred --topic kept --partition 0"),
    (All, "kafka-leader-election --election-type unclean --topic kept --partition 0"),
    (All, "kafka-leader-election --election-type preferred --path-to-json-file {elect.json}"),
    (All, "kafka-leader-election --election-type preferred --topic nothing --partition 0"),
    // Configurations of topics
    (All, "kafka-configs --describe --entity-type topics"),
    (All, "kafka-configs --describe --entity-type topics --entity-name kept"),
    (All, "kafka-configs --describe --all --entity-type topics --entity-name kept"),
    (
        All,
        "kafka-configs --alter --entity-type topics --entity-name kept --add-config retention.ms=3600000,max.message.bytes=2000000",
    ),
    (All, "kafka-configs --describe --entity-type topics --entity-name kept"),
    (All, "kafka-configs --alter --entity-type topics --entity-name kept --add-config cleanup.policy=[compact,delete]"),
    (All, "kafka-configs --alter --entity-type topics --entity-name kept --delete-config retention.ms,cleanup.policy"),
    (All, "kafka-configs --alter --entity-type topics --entity-name kept --delete-config never.set"),
    (All, "kafka-configs --alter --entity-type topics --entity-name kept --add-config cleanup.policy=burn"),
    (All, "kafka-configs --alter --entity-type topics --entity-name kept --add-config no.such.config=1"),
    (All, "kafka-configs --alter --entity-type topics --entity-name kept --add-config min.insync.replicas=0"),
    (
        All,
        "kafka-configs --alter --entity-type topics --entity-name kept --add-config min.compaction.lag.ms=9,max.compaction.lag.ms=8",
    ),
    (All, "kafka-configs --alter --entity-type topics --entity-name nothing --add-config retention.ms=1"),
    (All, "kafka-configs --describe --entity-type topics --entity-name nothing"),
    (All, "kafka-topics --describe --topic kept"),
    // Configurations of brokers
    (All, "kafka-configs --describe --entity-type brokers --entity-name 1"),
    (All, "kafka-configs --describe --entity-type brokers --entity-default"),
    (All, "kafka-configs --describe --entity-type brokers"),
    (All, "kafka-configs --alter --entity-type brokers --entity-name 1 --add-config log.cleaner.threads=2"),
    (All, "kafka-configs --alter --entity-type brokers --entity-default --add-config message.max.bytes=2000000"),
    (All, "kafka-configs --describe --entity-type brokers --entity-name 1"),
    (All, "kafka-configs --describe --entity-type brokers --entity-default"),
    (All, "kafka-configs --describe --entity-type topics --entity-name a.b --all"),
    (All, "kafka-configs --alter --entity-type brokers --entity-name 1 --delete-config log.cleaner.threads"),
    (All, "kafka-configs --alter --entity-type brokers --entity-default --add-config node.id=5"),
    (All, "kafka-configs --alter --entity-type brokers --entity-default --add-config message.max.bytes=many"),
    (
        All,
        "kafka-configs --alter --entity-type brokers --entity-default --add-config 'listeners=PLAINTEXT://127.0.0.1:1'",
    ),
    (All, "kafka-configs --alter --entity-type brokers --entity-default --add-config some.plugin=1"),
    (All, "kafka-configs --describe --entity-type brokers --entity-default"),
    (All, "kafka-configs --alter --entity-type brokers --entity-default --delete-config some.plugin"),
    // Loggers: each broker has its own
    (Exit, "kafka-configs --describe --entity-type broker-loggers --entity-name 1"),
    (All, "kafka-configs --alter --entity-type broker-loggers --entity-name 1 --add-config root=WARN"),
    (All, "kafka-configs --alter --entity-type broker-loggers --entity-name 1 --add-config root=LOUD"),
    (All, "kafka-configs --alter --entity-type broker-loggers --entity-name 1 --add-config no.such.logger=WARN"),
    (All, "kafka-configs --alter --entity-type broker-loggers --entity-name 1 --delete-config root"),
    (All, "kafka-configs --alter --entity-type broker-loggers --entity-name 1 --add-config root=INFO"),
    // Groups' configurations
    (All, "kafka-configs --describe --entity-type groups"),
    (
        All,
        "kafka-configs --alter --entity-type groups --entity-name g --add-config consumer.session.timeout.ms=50000,share.isolation.level=read_committed",
    ),
    (All, "kafka-configs --describe --entity-type groups"),
    (All, "kafka-configs --describe --entity-type groups --entity-name g"),
    (All, "kafka-configs --describe --entity-type groups --entity-name g --all"),
    (All, "kafka-configs --describe --entity-type groups --entity-name none --all"),
    (All, "kafka-configs --describe --entity-type groups --entity-name none"),
    (All, "kafka-configs --alter --entity-type groups --entity-name g --add-config consumer.session.timeout.ms=1"),
    (All, "kafka-configs --alter --entity-type groups --entity-name g --add-config consumer.session.timeout.ms=100000"),
    (All, "kafka-configs --alter --entity-type groups --entity-name g --add-config consumer.heartbeat.interval.ms=1"),
    (
        All,
        "kafka-configs --alter --entity-type groups --entity-name g --add-config share.record.lock.duration.ms=1000000",
    ),
    (All, "kafka-configs --alter --entity-type groups --entity-name g --add-config share.auto.offset.reset=sometimes"),
    (All, "kafka-configs --alter --entity-type groups --entity-name g --add-config streams.num.standby.replicas=9"),
    (All, "kafka-configs --alter --entity-type groups --entity-name g --add-config no.such.config=1"),
    (All, "kafka-configs --alter --entity-type groups --entity-name g --delete-config share.isolation.level"),
    (All, "kafka-configs --describe --entity-type groups --entity-name g"),
    // Subscriptions to clients' metrics
    (All, "kafka-client-metrics --list"),
    (
        All,
        "kafka-client-metrics --alter --name basic --metrics org.apache.kafka.producer.,org.apache.kafka.consumer.coordinator.rebalance.latency.max --interval 60000 --match 'client_software_name=apache-kafka-java,client_id=a.*'",
    ),
    (All, "kafka-client-metrics --alter --name all --metrics '*'"),
    (All, "kafka-client-metrics --describe"),
    (All, "kafka-client-metrics --describe --name basic"),
    (All, "kafka-client-metrics --describe --name none"),
    (All, "kafka-client-metrics --list"),
    (All, "kafka-client-metrics --alter --name basic --interval 50"),
    (All, "kafka-client-metrics --alter --name basic --interval 4000000"),
    (All, "kafka-client-metrics --alter --name basic --match client_shoe_size=43"),
    (All, "kafka-client-metrics --alter --name basic --match client_id=a(b"),
    (All, "kafka-client-metrics --alter --name basic --interval ''"),
    (All, "kafka-client-metrics --describe --name basic"),
    (All, "kafka-configs --describe --entity-type client-metrics"),
    (All, "kafka-configs --describe --entity-type client-metrics --entity-name basic --all"),
    (All, "kafka-configs --alter --entity-type client-metrics --entity-name basic --add-config interval.ms=120000"),
    (All, "kafka-configs --alter --entity-type client-metrics --entity-name basic --add-config no.such.config=1"),
    (All, "kafka-configs --alter --entity-type client-metrics --entity-name basic --add-config interval.ms=often"),
    (All, "kafka-client-metrics --delete --name all"),
    (All, "kafka-client-metrics --list"),
    // Quotas
    (All, "kafka-configs --describe --entity-type users"),
    (All, "kafka-configs --describe --entity-type clients"),
    (All, "kafka-configs --describe --entity-type ips"),
    (
        All,
        "kafka-configs --alter --entity-type users --entity-name ann --add-config producer_byte_rate=1024,consumer_byte_rate=2048",
    ),
    (
        All,
        "kafka-configs --alter --entity-type users --entity-name ann --entity-type clients --entity-name app --add-config request_percentage=12.5",
    ),
    (All, "kafka-configs --alter --entity-type users --entity-default --add-config controller_mutation_rate=10"),
    (All, "kafka-configs --alter --entity-type clients --entity-default --add-config consumer_byte_rate=4096"),
    (All, "kafka-configs --alter --entity-type clients --entity-name app --add-config producer_byte_rate=8192"),
    (All, "kafka-configs --alter --entity-type ips --entity-name 127.0.0.9 --add-config connection_creation_rate=5"),
    (All, "kafka-configs --alter --entity-type ips --entity-default --add-config connection_creation_rate=100"),
    (All, "kafka-configs --describe --entity-type users"),
    (All, "kafka-configs --describe --entity-type users --entity-name ann"),
    (All, "kafka-configs --describe --entity-type users --entity-default"),
    (All, "kafka-configs --describe --entity-type users --entity-type clients"),
    (All, "kafka-configs --describe --entity-type users --entity-name ann --entity-type clients --entity-name app"),
    (All, "kafka-configs --describe --entity-type clients"),
    (All, "kafka-configs --describe --entity-type clients --entity-name app"),
    (All, "kafka-configs --describe --entity-type ips"),
    (All, "kafka-configs --describe --entity-type ips --entity-name 127.0.0.9"),
    (All, "kafka-configs --alter --entity-type users --entity-name ann --add-config producer_byte_rate=0"),
    (All, "kafka-configs --alter --entity-type users --entity-name ann --add-config producer_byte_rate=1.5"),
    (All, "kafka-configs --alter --entity-type users --entity-name ann --add-config request_percentage=-1"),
    (All, "kafka-configs --alter --entity-type users --entity-name ann --add-config connection_creation_rate=1"),
    (
        All,
        "kafka-configs --alter --entity-type ips --entity-name 'not an address' --add-config connection_creation_rate=1",
    ),
    (All, "kafka-configs --alter --entity-type clients --entity-name app --delete-config producer_byte_rate"),
    (All, "kafka-configs --describe --entity-type clients"),
    // Features
    (All, "kafka-features describe"),
    (All, "kafka-features downgrade --feature transaction.version=1 --dry-run"),
    (All, "kafka-features describe"),
    (All, "kafka-features downgrade --feature transaction.version=1"),
    (All, "kafka-features upgrade --feature transaction.version=1"),
    (All, "kafka-features upgrade --feature transaction.version=3"),
    (All, "kafka-features downgrade --feature transaction.version=1 --feature group.version=0"),
    (All, "kafka-features upgrade --feature group.version=0"),
    (All, "kafka-features disable --feature share.version"),
    (All, "kafka-features disable --feature streams.version --dry-run"),
    (All, "kafka-features disable --feature eligible.leader.replicas.version"),
    (All, "kafka-features describe --node-id 1"),
    (All, "kafka-features upgrade --feature no.such.feature=1"),
    (All, "kafka-features downgrade --metadata 4.0"),
    (All, "kafka-features downgrade --metadata 3.3"),
    (All, "kafka-features downgrade --unsafe --metadata 4.0"),
    (All, "kafka-features upgrade --metadata 4.3"),
    (All, "kafka-features upgrade --feature metadata.version=31"),
    (All, "kafka-features upgrade --feature eligible.leader.replicas.version=1"),
    (All, "kafka-features upgrade --feature group.version=1 --feature share.version=1"),
    (All, "kafka-features upgrade --feature streams.version=1 --feature transaction.version=2"),
    (All, "kafka-features downgrade --feature transaction.version=1"),
    (All, "kafka-features version-mapping --release-version 4.2"),
    // Off, where nobody proves who they are
    (All, "kafka-acls --list"),
    (All, "kafka-acls --add --allow-principal User:ann --operation Read --topic kept"),
    (All, "kafka-acls --remove --force --allow-principal User:ann --operation Read --topic kept"),
    (All, "kafka-delegation-tokens --describe --command-config {same.json}"),
];

/// Files that commands on several log directories read; `moved` is a topic of one partition.
pub(super) const MOVES_FILES: [(&str, &str); 3] = [
    (
        "to-first.json",
        r#"{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[1],"log_dirs":["{data}"]}]}"#,
    ),
    (
        "to-second.json",
        r#"{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[1],"log_dirs":["{data}-2"]}]}"#,
    ),
    (
        "to-third.json",
        r#"{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[1],"log_dirs":["{data}-3"]}]}"#,
    ),
];

const COMPLETED: Look = Until("completed successfully");

/// With three log directories. What goes slowly is seen on its way; where a replica was before depends on nothing but the commands.
pub(super) const MOVES: Table = &[
    (All, "kafka-topics --create --topic moved --partitions 1 --config segment.bytes=1048576"),
    (Exit, "kafka-producer-perf-test --topic moved --num-records 6000 --record-size 1000 --throughput -1"),
    (Exit, "kafka-reassign-partitions --execute --reassignment-json-file {to-first.json}"),
    (COMPLETED, "kafka-reassign-partitions --verify --reassignment-json-file {to-first.json}"),
    (All, "kafka-reassign-partitions --execute --reassignment-json-file {to-first.json}"),
    (All, "kafka-reassign-partitions --verify --reassignment-json-file {to-second.json}"),
    (
        All,
        "kafka-reassign-partitions --execute --reassignment-json-file {to-second.json} --replica-alter-log-dirs-throttle 1000",
    ),
    (All, "kafka-configs --describe --entity-type brokers --entity-name 1"),
    (All, "kafka-reassign-partitions --verify --reassignment-json-file {to-second.json}"),
    (All, "kafka-reassign-partitions --verify --reassignment-json-file {to-third.json}"),
    (All, "kafka-reassign-partitions --list"),
    (NoNumbers, "kafka-log-dirs --describe --topic-list moved"),
    (All, "kafka-topics --describe --topic moved"),
    (All, "kafka-get-offsets --topic moved"),
    (All, "kafka-reassign-partitions --execute --reassignment-json-file {to-third.json}"),
    (All, "kafka-reassign-partitions --verify --reassignment-json-file {to-third.json}"),
    (NoNumbers, "kafka-log-dirs --describe --topic-list moved"),
    (All, "kafka-reassign-partitions --cancel --reassignment-json-file {to-third.json}"),
    (All, "kafka-reassign-partitions --cancel --reassignment-json-file {to-third.json}"),
    (All, "kafka-reassign-partitions --verify --reassignment-json-file {to-third.json}"),
    (NoNumbers, "kafka-log-dirs --describe --topic-list moved"),
    (All, "kafka-configs --describe --entity-type brokers --entity-name 1"),
    (All, "kafka-reassign-partitions --execute --reassignment-json-file {to-second.json}"),
    (COMPLETED, "kafka-reassign-partitions --verify --reassignment-json-file {to-second.json}"),
    (NoNumbers, "kafka-log-dirs --describe --topic-list moved"),
    (All, "kafka-get-offsets --topic moved"),
    (
        All,
        "kafka-console-consumer --topic moved --partition 0 --offset 5998 --max-messages 2 --formatter-property print.offset=true --formatter-property print.value=false --timeout-ms 8000",
    ),
];

/// The same after a restart.
pub(super) const MOVES_AFTER_RESTART: Table = &[
    (All, "kafka-reassign-partitions --verify --reassignment-json-file {to-second.json}"),
    (NoNumbers, "kafka-log-dirs --describe --topic-list moved"),
    (All, "kafka-get-offsets --topic moved"),
    (All, "kafka-configs --alter --entity-type brokers --entity-name 1 --add-config cordoned.log.dirs={data}-3"),
    (All, "kafka-reassign-partitions --execute --reassignment-json-file {to-third.json} --timeout 1000"),
];

/// What was changed is there after a restart.
pub(super) const AFTER_RESTART: Table = &[
    (All, "kafka-topics --describe"),
    (All, "kafka-get-offsets --exclude-internal-topics"),
    (All, "kafka-get-offsets --exclude-internal-topics --time earliest"),
    (All, "kafka-configs --describe --entity-type topics"),
    (All, "kafka-configs --describe --entity-type brokers --entity-name 1"),
    (All, "kafka-configs --describe --entity-type brokers --entity-default"),
    (All, "kafka-configs --describe --entity-type groups"),
    (All, "kafka-configs --describe --entity-type client-metrics"),
    (All, "kafka-configs --describe --entity-type users"),
    (All, "kafka-configs --describe --entity-type users --entity-type clients"),
    (All, "kafka-configs --describe --entity-type clients"),
    (All, "kafka-configs --describe --entity-type ips"),
    (All, "kafka-client-metrics --list"),
    (All, "kafka-features describe"),
    (All, "kafka-features upgrade --feature transaction.version=2"),
];

/// What needs the coordinators of groups and transactions.
pub(super) const GROUPS: Table = &[
    (All, "kafka-consumer-groups --list"),
    (
        All,
        "kafka-console-consumer --topic kept --group first --from-beginning --max-messages 4 --timeout-ms 20000 --formatter-property print.key=true",
    ),
    (
        All,
        "kafka-console-consumer --topic kept --group second --from-beginning --max-messages 4 --timeout-ms 20000 --consumer-property group.protocol=consumer --formatter-property print.partition=true",
    ),
    (All, "kafka-console-consumer --topic kept --group first --timeout-ms 3000"),
    (All, "kafka-consumer-groups --list"),
    (All, "kafka-consumer-groups --list --state"),
    (All, "kafka-consumer-groups --list --type classic"),
    (All, "kafka-consumer-groups --describe --group first"),
    (NoNumbers, "kafka-consumer-groups --describe --group second"),
    (All, "kafka-consumer-groups --describe --group first --state"),
    (All, "kafka-consumer-groups --describe --group first --members"),
    (All, "kafka-consumer-groups --describe --group second --members --verbose"),
    (All, "kafka-consumer-groups --describe --group nothing"),
    (All, "kafka-consumer-groups --describe --all-groups"),
    (All, "kafka-consumer-groups --reset-offsets --group first --topic kept --to-earliest --dry-run"),
    (All, "kafka-consumer-groups --reset-offsets --group first --topic kept --to-earliest --execute"),
    (All, "kafka-consumer-groups --reset-offsets --group first --topic kept:0 --shift-by 1 --execute"),
    (All, "kafka-consumer-groups --describe --group first --offsets"),
    (All, "kafka-consumer-groups --delete-offsets --group first --topic kept:0"),
    (All, "kafka-consumer-groups --delete-offsets --group first --topic nothing"),
    (All, "kafka-consumer-groups --describe --group first --offsets"),
    (All, "kafka-consumer-groups --validate-regex k.*"),
    (All, "kafka-consumer-groups --delete --group first"),
    (All, "kafka-consumer-groups --delete --group nothing"),
    (All, "kafka-consumer-groups --list"),
    (All, "kafka-groups --list"),
    (All, "kafka-groups --list --consumer"),
    (All, "kafka-groups --list --group-type consumer"),
    (All, "kafka-groups --list --share"),
    (All, "kafka-share-groups --list"),
    (All, "kafka-share-groups --describe --group nothing"),
    (All, "kafka-streams-groups --list"),
    (All, "kafka-transactions list"),
    (All, "kafka-transactions describe --transactional-id nothing"),
    (All, "kafka-transactions describe-producers --topic kept --partition 0"),
    (All, "kafka-transactions find-hanging --broker-id 1"),
    (All, "kafka-topics --describe --topic __consumer_offsets"),
];

/// The voters of a static quorum move into the metadata log, and stay there.
pub(super) const VOTERS: Table = &[
    (All, "kafka-features upgrade --feature kraft.version=1 --dry-run"),
    (All, "kafka-features describe"),
    (All, "kafka-features upgrade --feature kraft.version=1"),
    (All, "kafka-features describe"),
    (All, "kafka-features --bootstrap-controller {controller} describe"),
    (NoNumbers, "kafka-metadata-quorum describe --status"),
    (NoNumbers, "kafka-metadata-quorum describe --replication"),
    (All, "kafka-features upgrade --feature kraft.version=1"),
    (All, "kafka-features downgrade --feature kraft.version=0"),
];

/// After one more restart, with `controller.quorum.voters` still in the file.
pub(super) const VOTERS_KEPT: Table = &[
    (All, "kafka-features describe"),
    (NoNumbers, "kafka-metadata-quorum describe --status"),
    (NoNumbers, "kafka-metadata-quorum describe --replication"),
    (All, "kafka-metadata-quorum remove-controller --controller-id 7 --controller-directory-id {directory-id}"),
    (All, "kafka-topics --describe --topic kept"),
];
