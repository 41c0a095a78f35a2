//! What benches work on: batches, requests, and logs on the file system of the temporary directory.

use std::path::{Path, PathBuf};

use ringmill::config::TopicConfig;
use ringmill::log::{Flush, Log, NewPartition, OpenHints, StageMeta, create_directories};
use shards::{Chunk, Files};
use wire::generated::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use wire::generated::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use wire::records::{Batch, BatchBuilder, Codec, Scratch};
use wire::{Encoder, Message, Records, Uuid};

pub(crate) const SCAN_LIMIT: usize = 16 << 20;

pub(crate) fn batch(records: usize, value_size: usize, codec: Codec) -> Vec<u8> {
    batch_at(1, records, value_size, codec)
}

/// All records have the same timestamp.
pub(crate) fn batch_at(timestamp: i64, records: usize, value_size: usize, codec: Codec) -> Vec<u8> {
    let value: Vec<u8> = (0..value_size).map(|i| b"0123456789abcdef"[(i * i + 7) % 16]).collect();
    let mut builder = BatchBuilder::new(0).codec(codec, codec.default_level());
    for _ in 0..records {
        builder.push(timestamp, Some(b"key"), Some(&value), &[]).expect("the batch is small");
    }
    builder.finish(&mut Scratch::new())
}

pub(crate) fn view(bytes: &[u8]) -> Batch<'_> {
    Batch::first(bytes).expect("the batch is whole").0
}

/// The body of a Produce request of the newest version, one batch for each partition.
pub(crate) fn produce_request(partitions: usize, batch: &[u8]) -> Vec<u8> {
    let data = |index| PartitionProduceData { index, records: Records::Bytes(batch) };
    let partition_data = (0..partitions as i32).map(data).collect();
    let topic = TopicProduceData { topic_id: Uuid(7), partition_data, ..Default::default() };
    let request = ProduceRequest { acks: 1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() };
    let mut e = Encoder::new();
    request.encode(&mut e, ProduceRequest::MAX_VERSION);
    e.buf
}

/// The body of a Fetch request of the newest version.
pub(crate) fn fetch_request(partitions: usize) -> Vec<u8> {
    let partition = |partition| FetchPartition {
        partition,
        fetch_offset: 1 << 40,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let partitions = (0..partitions as i32).map(partition).collect();
    let topic = FetchTopic { topic_id: Uuid(7), partitions, ..Default::default() };
    let request = FetchRequest { max_wait_ms: 500, max_bytes: 1 << 20, topics: vec![topic], ..Default::default() };
    let mut e = Encoder::new();
    request.encode(&mut e, FetchRequest::MAX_VERSION);
    e.buf
}

/// A partition's log in a directory of its own, which goes with it.
pub(crate) struct TempLog {
    dir: PathBuf,
    pub(crate) log: Log,
}

impl TempLog {
    pub(crate) fn create(name: &str) -> TempLog {
        let dir = std::env::temp_dir().join(format!("ringmill-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
        let partition = dir.join(format!("{name}-0"));
        let new = NewPartition { dir: partition.clone(), topic_id: Uuid(77), leader_epoch: 0 };
        create_directories(&[new]).remove(0).expect("create the partition");
        let log = open(&partition);
        TempLog { dir: partition, log }
    }

    /// Stages so many copies of a batch and writes them at once.
    pub(crate) fn append(&mut self, batch: &[u8], copies: usize) {
        let header = view(batch).header;
        let chunk = Chunk::from(batch.to_vec());
        let offset_delta_of_max = header.last_offset_delta;
        let max_timestamp = header.max_timestamp;
        let meta = StageMeta { leader_epoch: 0, append_time: None, max_timestamp, offset_delta_of_max };
        for _ in 0..copies {
            self.log.stage(chunk.clone(), &header, meta, 0).expect("the log takes it");
        }
        assert!(matches!(self.log.flush(&Files::inline(), 0), Flush::Done));
    }
}

/// Hundreds of batches of 1 KiB, a hundred of them of each millisecond.
pub(crate) fn long_log(hundreds: i64) -> TempLog {
    let mut temporary = TempLog::create("long");
    for n in 0..hundreds {
        temporary.append(&batch_at(n, 1, 1024, Codec::None), 100);
    }
    temporary
}

impl Drop for TempLog {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
        // Gone with the last log of this process.
        let _ = self.dir.parent().map(std::fs::remove_dir);
    }
}

fn open(dir: &Path) -> Log {
    Log::open(dir, &TopicConfig::default(), OpenHints::default(), &mut |_| {}).expect("the log is empty")
}
