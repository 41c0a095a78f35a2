//! Apache Kafka's command-line tools, as a user types them.

use crate::interop::Env;
use crate::interop::server;
use crate::process;
use crate::tally::Tally;
use std::time::Duration;

pub(crate) const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

pub(crate) fn run(env: &Env, tally: &mut Tally) {
    let tools = Tools { env, topic: env.topic("tools") };
    tally.check("tools: BrokerApiVersionsCommand", || tools.api_versions());
    tally.check("tools: TopicCommand create, list, describe", || tools.create());
    tally.check("tools: TopicCommand refuses bad names and what exists", || tools.create_refused());
    tally.check("tools: TopicCommand alter", || tools.alter());
    tally.check("tools: ConfigCommand topic", || tools.topic_config());
    tally.check("tools: ConfigCommand broker", || tools.broker_config());
    tally.check("tools: ConsoleProducer and ConsoleConsumer, a JVM each", || tools.console());
    tally.check("tools: GetOffsetShell", || tools.offsets());
    tally.check("tools: DeleteRecordsCommand", || tools.delete_records());
    tally.check("tools: LogDirsCommand", || tools.log_dirs());
    tally.check("tools: MetadataQuorumCommand", || tools.quorum());
    tally.check("tools: ClusterTool", || tools.cluster());
    tally.check("tools: EndToEndLatency", || tools.latency());
    for codec in CODECS {
        tally.check(&format!("tools: ProducerPerformance {codec}"), || tools.performance(codec));
    }
    tally.check("tools: TopicCommand delete", || tools.delete());
}

struct Tools<'a> {
    env: &'a Env,
    topic: String,
}

impl Tools<'_> {
    fn tool(&self, name: &str, args: &[&str]) -> Result<String, String> {
        let server = ["--bootstrap-server", &self.env.bootstrap];
        self.env.java.tool_ok(name, "", &[&server[..], args].concat())
    }

    fn api_versions(&self) -> Result<String, String> {
        let said = self.tool("BrokerApiVersionsCommand", &[])?;
        expect(
            &said,
            &["Produce(0): 0 to 13", "Fetch(1): 4 to 18", "Metadata(3): 0 to 13", "DescribeTopicPartitions(75): 0"],
        )?;
        Ok(String::new())
    }

    fn create(&self) -> Result<String, String> {
        let args = ["--create", "--topic", &self.topic, "--partitions", "3", "--replication-factor", "1"];
        let said = self.tool("TopicCommand", &[&args[..], &["--config", "retention.ms=86400000"]].concat())?;
        expect(&said, &[&format!("Created topic {}.", self.topic)])?;
        let list = self.tool("TopicCommand", &["--list"])?;
        expect(&list, &[&self.topic])?;
        let described = self.tool("TopicCommand", &["--describe", "--topic", &self.topic])?;
        expect(
            &described,
            &["PartitionCount: 3", "ReplicationFactor: 1", "retention.ms=86400000", "Partition: 2\tLeader: "],
        )?;
        Ok(String::new())
    }

    fn create_refused(&self) -> Result<String, String> {
        let create = ["--bootstrap-server", &self.env.bootstrap, "--create", "--topic"];
        let refused = |topic: &str, more: &[&str], reason: &str| {
            let said = self.env.java.tool("TopicCommand", "", &[&create[..], &[topic], more].concat())?;
            let all = said.out + &said.err;
            if said.code == 0 || !all.contains(reason) {
                return Err(format!("topic {topic} {more:?}: exit {}, without {reason:?}\n{all}", said.code));
            }
            Ok(())
        };
        refused(&self.topic, &[], "already exists")?;
        refused("../x", &[], "InvalidTopicException")?;
        refused("..", &[], "InvalidTopicException")?;
        refused("fine", &["--replication-factor", "7"], "InvalidReplicationFactorException")?;
        refused("fine", &["--config", "no.such.key=1"], "no.such.key")?;
        refused("fine", &["--config", "retention.ms=soon"], "retention.ms")?;
        Ok(String::new())
    }

    fn alter(&self) -> Result<String, String> {
        self.tool("TopicCommand", &["--alter", "--topic", &self.topic, "--partitions", "5"])?;
        let described = self.tool("TopicCommand", &["--describe", "--topic", &self.topic])?;
        expect(&described, &["PartitionCount: 5", "Partition: 4\tLeader: "])?;
        let args = ["--bootstrap-server", &self.env.bootstrap, "--alter", "--topic", &self.topic, "--partitions", "2"];
        let said = self.env.java.tool("TopicCommand", "", &args)?;
        if said.code == 0 {
            return Err("fewer partitions than there are was accepted".to_owned());
        }
        Ok(String::new())
    }

    fn topic_config(&self) -> Result<String, String> {
        let entity = ["--entity-type", "topics", "--entity-name", &self.topic];
        let config = |args: &[&str]| self.tool("kafka.admin.ConfigCommand", &[args, &entity[..]].concat());
        config(&["--alter", "--add-config", "max.message.bytes=2000000,segment.ms=3600000"])?;
        let described = config(&["--describe"])?;
        expect(
            &described,
            &["max.message.bytes=2000000", "segment.ms=3600000", "DYNAMIC_TOPIC_CONFIG:max.message.bytes=2000000"],
        )?;
        config(&["--alter", "--delete-config", "segment.ms"])?;
        let described = config(&["--describe"])?;
        expect(&described, &["max.message.bytes=2000000"])?;
        if described.contains("segment.ms=3600000") {
            return Err(format!("segment.ms is still set\n{described}"));
        }
        let all = config(&["--describe", "--all"])?;
        expect(&all, &["cleanup.policy=delete", "compression.type=producer", "min.insync.replicas=1"])?;
        let args = [
            &["--bootstrap-server", &self.env.bootstrap, "--alter", "--add-config", "cleanup.policy=burn"],
            &entity[..],
        ];
        let said = self.env.java.tool("kafka.admin.ConfigCommand", "", &args.concat())?;
        if said.code == 0 {
            return Err("cleanup.policy=burn was accepted".to_owned());
        }
        Ok(String::new())
    }

    fn broker_config(&self) -> Result<String, String> {
        let args = ["--entity-type", "brokers", "--entity-name", "1", "--describe", "--all"];
        let all = self.tool("kafka.admin.ConfigCommand", &args)?;
        expect(&all, &["num.partitions=", "log.retention.hours=168", "auto.create.topics.enable=true"])?;
        Ok(format!("{} settings", all.lines().filter(|line| line.contains('=')).count()))
    }

    /// As real processes, with pipes and exit codes.
    fn console(&self) -> Result<String, String> {
        let run = |class: &str, args: &[&str], stdin: &str| {
            let mut command = server::java(self.env.java.libs(), "-Xmx256m");
            command.arg(class).args(["--bootstrap-server", &self.env.bootstrap, "--topic", &self.topic]).args(args);
            process::text(&mut command, stdin.as_bytes(), Duration::from_secs(90))
        };
        let lines: String = (0..100).map(|i| format!("key{}:value {i}\n", i % 7)).collect();
        let producer = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"];
        run("org.apache.kafka.tools.ConsoleProducer", &producer, &lines)?;
        let more: String = (0..10).map(|i| format!("plain {i}\n")).collect();
        run("org.apache.kafka.tools.ConsoleProducer", &["--sync", "--producer-property", "acks=1"], &more)?;
        let mut read = Vec::new();
        let ends = self.tool("GetOffsetShell", &["--topic", &self.topic, "--time", "-1"])?;
        for line in ends.lines().filter(|line| !line.ends_with(":0")) {
            let [_, partition, count] = line.split(':').collect::<Vec<_>>()[..] else { return Err(ends) };
            let place =
                ["--partition", partition, "--offset", "earliest", "--max-messages", count, "--timeout-ms", "30000"];
            let format = ["--formatter-property", "print.key=true", "--formatter-property", "key.separator=:"];
            let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
            let said = if read.is_empty() {
                run(class, &[&place[..], &format[..]].concat(), "")?
            } else {
                self.tool(class, &[&["--topic", &self.topic], &place[..], &format[..]].concat())?
            };
            read.extend(said.lines().map(str::to_owned));
        }
        let mut expected: Vec<String> = lines.lines().map(str::to_owned).collect();
        expected.extend(more.lines().map(|line| format!("null:{line}")));
        read.sort();
        expected.sort();
        if read != expected {
            return Err(format!("{} lines written, {} read: {read:?}", expected.len(), read.len()));
        }
        Ok(format!("{} lines", read.len()))
    }

    fn offsets(&self) -> Result<String, String> {
        let at = |time: &str| self.tool("GetOffsetShell", &["--topic", &self.topic, "--time", time]);
        let sum =
            |said: &str| said.lines().filter_map(|line| line.rsplit(':').next()?.parse::<i64>().ok()).sum::<i64>();
        for (time, expected) in [("-1", 110), ("latest", 110), ("-2", 0), ("earliest", 0), ("0", 0)] {
            let said = at(time)?;
            if said.lines().count() != 5 && time != "0" || sum(&said) != expected {
                return Err(format!("at {time} the offsets should sum up to {expected}\n{said}"));
            }
        }
        let far = at("4102444800000")?;
        if far.lines().any(|line| !line.ends_with(':') && sum(line) > 0) {
            return Err(format!("nothing was written in the year 2100\n{far}"));
        }
        expect(&at("max-timestamp")?, &[&self.topic])?;
        Ok(String::new())
    }

    fn delete_records(&self) -> Result<String, String> {
        let latest =
            self.tool("GetOffsetShell", &["--topic-partitions", &format!("{}:1", self.topic), "--time", "-1"])?;
        let end: i64 = latest.trim().rsplit(':').next().and_then(|text| text.parse().ok()).ok_or(latest)?;
        let file = self.env.scratch.join("delete.json");
        let delete = |offset: i64| {
            let entry = format!("{{\"topic\": \"{}\", \"partition\": 1, \"offset\": {offset}}}", self.topic);
            let json = format!("{{\"partitions\": [{entry}], \"version\": 1}}");
            std::fs::write(&file, json).map_err(|e| e.to_string())?;
            self.tool("DeleteRecordsCommand", &["--offset-json-file", file.to_str().unwrap()])
        };
        let first = delete(end.min(2))?;
        expect(&first, &[&format!("low_watermark: {}", end.min(2))])?;
        let earliest =
            self.tool("GetOffsetShell", &["--topic-partitions", &format!("{}:1", self.topic), "--time", "-2"])?;
        expect(&earliest, &[&format!("{}:1:{}", self.topic, end.min(2))])?;
        expect(&delete(-1)?, &[&format!("low_watermark: {end}")])?;
        expect(&delete(end + 1)?, &["OffsetOutOfRange"])?;
        Ok(String::new())
    }

    fn log_dirs(&self) -> Result<String, String> {
        let said = self.tool("LogDirsCommand", &["--describe", "--topic-list", &self.topic])?;
        expect(&said, &[&format!("\"partition\":\"{}-4\"", self.topic), "\"error\":null", "\"isFuture\":false"])?;
        Ok(String::new())
    }

    fn quorum(&self) -> Result<String, String> {
        let said = self.tool("MetadataQuorumCommand", &["describe", "--status"])?;
        expect(&said, &["ClusterId:", "LeaderId:", "LeaderEpoch:", "HighWatermark:", "CurrentVoters:"])?;
        let replication = self.tool("MetadataQuorumCommand", &["describe", "--replication"])?;
        expect(&replication, &["LogEndOffset", "Leader"])?;
        Ok(String::new())
    }

    fn cluster(&self) -> Result<String, String> {
        let server = ["--bootstrap-server", &self.env.bootstrap];
        let id = self.env.java.tool_ok("ClusterTool", "", &[&["cluster-id"], &server[..]].concat())?;
        expect(&id, &["Cluster ID: "])?;
        let endpoints = self.env.java.tool_ok("ClusterTool", "", &[&["list-endpoints"], &server[..]].concat())?;
        expect(&endpoints, &["127.0.0.1", "broker"])?;
        Ok(id.trim().to_owned())
    }

    fn latency(&self) -> Result<String, String> {
        let topic = self.env.topic("latency");
        let count = if self.env.quick { "1000" } else { "10000" };
        let said = self.env.java.tool("EndToEndLatency", "", &[&self.env.bootstrap, &topic, count, "all", "100"])?;
        expect(&said.out, &["Avg latency:", "Percentiles:"])?;
        let result = said.out.lines().find(|line| line.contains("Percentiles:")).unwrap_or_default().trim().to_owned();
        said.ok().map(|_| result)
    }

    fn performance(&self, codec: &str) -> Result<String, String> {
        let topic = self.env.topic(&format!("performance-{codec}"));
        self.env.create_topic(&topic, 2)?;
        let count = if self.env.quick { "100000" } else { "1000000" };
        let size = ["--topic", &topic, "--num-records", count, "--record-size", "100", "--throughput", "-1"];
        let compression = format!("compression.type={codec}");
        let said = self.tool("ProducerPerformance", &[&size[..], &["--command-property", &compression]].concat())?;
        expect(&said, &[&format!("{count} records sent"), "99.9th"])?;
        let latest = self.tool("GetOffsetShell", &["--topic", &topic, "--time", "-1"])?;
        let sum: u64 = latest.lines().filter_map(|line| line.rsplit(':').next()?.parse::<u64>().ok()).sum();
        if sum.to_string() != count {
            return Err(format!("{count} records acknowledged, the log ends at {sum}"));
        }
        Ok(said.lines().last().unwrap_or("").to_owned())
    }

    fn delete(&self) -> Result<String, String> {
        self.tool("TopicCommand", &["--delete", "--topic", &self.topic])?;
        let list = self.tool("TopicCommand", &["--list"])?;
        if list.lines().any(|line| line == self.topic) {
            return Err(format!("still listed\n{list}"));
        }
        let args = ["--bootstrap-server", &self.env.bootstrap, "--describe", "--topic", &self.topic];
        let said = self.env.java.tool("TopicCommand", "", &args)?;
        if said.code == 0 {
            return Err(format!("a deleted topic is still described\n{}", said.out));
        }
        // The name is free again, with nothing of the old topic in it.
        self.env.create_topic(&self.topic, 1)?;
        let latest = self.tool("GetOffsetShell", &["--topic", &self.topic, "--time", "-1"])?;
        expect(&latest, &[&format!("{}:0:0", self.topic)])?;
        Ok(String::new())
    }
}

/// Every one of `parts` has to be in what a tool said.
fn expect(said: &str, parts: &[&str]) -> Result<(), String> {
    match parts.iter().find(|part| !said.contains(**part)) {
        None => Ok(()),
        Some(part) => Err(format!("{part:?} is not in\n{said}")),
    }
}
