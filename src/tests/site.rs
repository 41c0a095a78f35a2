//! A broker with three log directories, and a partition `t-0` whose records are numbered.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::broker::{Broker, new_dir};
use crate::raw::{Connection, ask, decode};
use crate::serving::fetch_request;
use wire::codec::Records;
use wire::generated::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use wire::generated::alter_replica_log_dirs_response::AlterReplicaLogDirsResponse;
use wire::generated::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use wire::generated::describe_log_dirs_request::DescribeLogDirsRequest;
use wire::generated::describe_log_dirs_response::DescribeLogDirsResponse;
use wire::generated::fetch_response::FetchResponse;
use wire::generated::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use wire::generated::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use wire::messages::{CreateTopicsResponse, IncrementalAlterConfigsResponse, ProduceResponse};
use wire::records::{BatchBuilder, Batches, Scratch};

pub(crate) const NONE: i16 = 0;
pub(crate) const TOPIC: &str = "t";
/// So that a move is seen half-way.
pub(crate) const SLOW: (&str, &str) = ("replica.alter.log.dirs.io.max.bytes.per.second", "20000");
pub(crate) const FAST: (&str, &str) = ("replica.alter.log.dirs.io.max.bytes.per.second", "1000000000");
/// Bytes of a record's value: 50 to a segment.
pub(crate) const LARGE: usize = 20_000;
pub(crate) const SMALL: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Site {
    pub(crate) dir: PathBuf,
    pub(crate) broker: Option<Broker>,
    /// Settings beside those that all sites have.
    pub(crate) more: Vec<String>,
}

/// What DescribeLogDirs says of `t-0` in one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) bytes: i64,
    pub(crate) lag: i64,
    pub(crate) is_future: bool,
}

impl Site {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, &[])
    }

    pub(crate) fn with(name: &str, more: &[&str]) -> Self {
        let dir = new_dir(&format!("site-{name}"));
        let more = more.iter().map(ToString::to_string).collect();
        let mut site = Self { dir, broker: None, more };
        site.start();
        site
    }

    pub(crate) fn start(&mut self) {
        self.broker = Some(Broker::with(&self.settings().iter().map(String::as_str).collect::<Vec<_>>()));
    }

    /// What the broker says where it does not start.
    pub(crate) fn refusal(&self) -> String {
        Broker::refusal(&self.settings().iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn settings(&self) -> Vec<String> {
        let names = ["a", "b", "c"].map(|name| self.dir.join(name).display().to_string());
        let all = [
            format!("log.dirs={}", names.join(",")),
            format!("metadata.log.dir={}", self.dir.join("m").display()),
            "ringmill.shards=2".into(),
            "log.segment.delete.delay.ms=0".into(),
            "log.retention.check.interval.ms=500".into(),
            "log.initial.task.delay.ms=500".into(),
            "offsets.topic.num.partitions=1".into(),
        ];
        all.into_iter().chain(self.more.iter().cloned()).collect()
    }

    pub(crate) fn kill(&mut self) {
        self.broker = None;
    }

    pub(crate) fn restart(&mut self) {
        self.kill();
        self.start();
    }

    pub(crate) fn connect(&self) -> Connection {
        self.broker.as_ref().expect("a broker").connect()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The names of `t-0` in a directory: its own, and those of futures and of what waits to be removed.
    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        names(&self.path(name))
    }

    /// The one future directory in `name`.
    pub(crate) fn future(&self, name: &str) -> PathBuf {
        let found = self.names(name).into_iter().find(|name| name.ends_with("-future"));
        self.path(name).join(found.expect("a future replica"))
    }

    /// Makes the topic, with `t-0` in directory `a`.
    pub(crate) fn create(&self, configs: &[(&str, &str)]) {
        let all = [&[("segment.bytes", "1048576"), ("retention.ms", "-1")][..], configs].concat();
        let config = |(name, value): &(&'static str, &'static str)| CreatableTopicConfig {
            name: (*name).into(),
            value: Some((*value).into()),
        };
        let all: Vec<(&'static str, &'static str)> = all.into_iter().map(|(n, v)| (leak(n), leak(v))).collect();
        let topic = CreatableTopic {
            name: TOPIC.into(),
            num_partitions: 1,
            replication_factor: 1,
            configs: all.iter().map(config).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, ..Default::default() };
        let body = ask(&mut self.connect(), &request, 4);
        let response = decode::<CreateTopicsResponse<'_>>(&body, 4);
        assert_eq!(response.topics[0].error_code, NONE);
        assert_eq!(self.alter("a"), NONE);
        self.wait_until_in("a");
    }

    pub(crate) fn alter(&self, name: &str) -> i16 {
        alter(&mut self.connect(), TOPIC, 0, &self.path(name))
    }

    pub(crate) fn set(&self, (name, value): (&str, &str)) {
        let config = AlterableConfig { name: name.into(), config_operation: 0, value: Some(value.into()) };
        let resource = AlterConfigsResource { resource_type: 4, resource_name: "1".into(), configs: vec![config] };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        let body = ask(&mut self.connect(), &request, 0);
        let response = decode::<IncrementalAlterConfigsResponse<'_>>(&body, 0);
        assert_eq!(response.responses[0].error_code, NONE);
    }

    pub(crate) fn found(&self) -> Vec<Found> {
        let body = ask(&mut self.connect(), &DescribeLogDirsRequest { topics: None }, 1);
        let response = decode::<DescribeLogDirsResponse<'_>>(&body, 1);
        let mut found = Vec::new();
        for directory in &response.results {
            let name = directory.log_dir.rsplit('/').next().unwrap_or_default().to_owned();
            for topic in directory.topics.iter().filter(|topic| topic.name == TOPIC) {
                found.extend(topic.partitions.iter().map(|partition| Found {
                    name: name.clone(),
                    bytes: partition.partition_size,
                    lag: partition.offset_lag,
                    is_future: partition.is_future_key,
                }));
            }
        }
        found
    }

    /// Where `t-0` lies, and where it is moving to.
    pub(crate) fn places(&self) -> (String, Option<String>) {
        let (future, current): (Vec<Found>, Vec<Found>) = self.found().into_iter().partition(|found| found.is_future);
        assert!(current.len() == 1 && future.len() <= 1, "{current:?} {future:?}");
        (current[0].name.clone(), future.first().map(|found| found.name.clone()))
    }

    /// Waits until `t-0` lies there and nowhere else.
    pub(crate) fn wait_until_in(&self, name: &str) {
        self.wait(|site| site.places() == (name.to_owned(), None), || format!("{:?}", self.found()));
        let others = ["a", "b", "c"].into_iter().filter(|other| *other != name);
        others.for_each(|other| self.wait(|site| site.names(other).is_empty(), || format!("{:?}", self.names(other))));
        self.wait(|site| site.names(name) == ["t-0"], || format!("{:?}", self.names(name)));
    }

    pub(crate) fn wait(&self, is_so: impl Fn(&Self) -> bool, told: impl Fn() -> String) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            let log = || self.broker.as_ref().map(Broker::log).unwrap_or_default();
            assert!(Instant::now() < deadline, "{}\n{}", told(), log());
            std::thread::yield_now();
        }
    }

    /// Writes records with these numbers, each acknowledged.
    pub(crate) fn write(&self, numbers: std::ops::Range<u64>) {
        let mut connection = self.connect();
        for number in numbers {
            assert_eq!(produce(&mut connection, number, LARGE, None), (NONE, number as i64), "record {number}");
        }
    }

    /// The numbers of all records from `offset` on.
    pub(crate) fn read(&self, offset: i64) -> Vec<u64> {
        let (mut connection, mut offset, mut numbers) = (self.connect(), offset, Vec::new());
        while let (more, Some(next)) = fetch(&mut connection, offset, 0) {
            numbers.extend(more);
            offset = next;
        }
        numbers
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("t-0")).collect();
    names.sort();
    names
}

pub(crate) fn alter(connection: &mut Connection, topic: &str, partition: i32, path: &Path) -> i16 {
    let topic = AlterReplicaLogDirTopic { name: topic.into(), partitions: vec![partition] };
    let dir = AlterReplicaLogDir { path: path.display().to_string().into(), topics: vec![topic] };
    let body = ask(connection, &AlterReplicaLogDirsRequest { dirs: vec![dir] }, 1);
    let response = decode::<AlterReplicaLogDirsResponse<'_>>(&body, 1);
    response.results[0].partitions[0].error_code
}

/// Error code and base offset of a record with a value of so many bytes. `sequence`: an idempotent producer's id and
/// number.
pub(crate) fn produce(
    connection: &mut Connection,
    number: u64,
    value_bytes: usize,
    sequence: Option<(i64, i32)>,
) -> (i16, i64) {
    let value = format!("{number:0value_bytes$}");
    let mut batch = BatchBuilder::new(0);
    let key = format!("key {}", number % 7);
    // Of a producer whose last record is old nothing is remembered.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    batch.push(now.as_millis() as i64, Some(key.as_bytes()), Some(value.as_bytes()), &[]).expect("a record");
    let mut batch = batch.finish(&mut Scratch::default());
    if let Some((producer_id, sequence)) = sequence {
        batch[43..51].copy_from_slice(&producer_id.to_be_bytes());
        batch[51..53].copy_from_slice(&0_i16.to_be_bytes());
        batch[53..57].copy_from_slice(&sequence.to_be_bytes());
        let crc = wire::records::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    let partition = PartitionProduceData { index: 0, records: Records::Bytes(&batch) };
    let topic = TopicProduceData { name: TOPIC.into(), partition_data: vec![partition], ..Default::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
    let body = ask(connection, &request, 8);
    let response = decode::<ProduceResponse<'_>>(&body, 8);
    let answer = &response.responses[0].partition_responses[0];
    (answer.error_code, answer.base_offset)
}

/// The numbers of the records from `offset` on, as many as one answer holds, and where they end.
pub(crate) fn fetch(connection: &mut Connection, offset: i64, max_wait_ms: i32) -> (Vec<u64>, Option<i64>) {
    let request = fetch_request(TOPIC, &[(0, offset)], max_wait_ms);
    let body = ask(connection, &request, 11);
    let response = decode::<FetchResponse<'_>>(&body, 11);
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, NONE, "offset {offset}");
    let (mut numbers, mut end, mut scratch) = (Vec::new(), None, Scratch::default());
    for batch in Batches::new(partition.records.bytes().unwrap_or_default()).filter_map(Result::ok) {
        assert!(batch.crc_matches());
        let behind = batch.header.last_offset() >= offset;
        end = behind.then(|| batch.header.next_offset()).or(end);
        for record in batch.records(&mut scratch, 1 << 20).expect("records") {
            let value = record.expect("a record").value.expect("a value").to_vec();
            let number: u64 = String::from_utf8(value).expect("text").parse().expect("a number");
            numbers.extend(behind.then_some(number));
        }
    }
    (numbers, end)
}

/// The names of a log's segments, oldest first.
pub(crate) fn segments(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".log")).collect();
    names.sort();
    names
}
