//! What the tests of this room share: a directory of their own, batches, and logs of them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use shards::{Chunk, Files};
use wire::Uuid;
use wire::records::{Batch, BatchBuilder, Scratch, TimestampType};

use super::{Flush, Log, LogError, OpenHints, Replayed, StageMeta, Staged};
use crate::config::topic::TopicConfig;

/// A new, empty directory that goes with the value.
pub(crate) struct TempDir {
    path: PathBuf,
}

impl TempDir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ringmill-log-{}-{count}", std::process::id()));
        _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A batch with one record for each timestamp, whose values are `value_bytes` long.
pub(crate) fn batch(timestamps: &[i64], value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0);
    for (at, timestamp) in timestamps.iter().enumerate() {
        let value: Vec<u8> = (0..value_bytes).map(|byte| (byte * 7 + at) as u8).collect();
        builder.push(*timestamp, Some(b"key"), Some(&value), &[]).unwrap();
    }
    builder.finish(&mut Scratch::default())
}

/// Stages a batch as the partition does.
pub(crate) fn stage(log: &mut Log, bytes: Vec<u8>, now_ms: i64) -> Result<Staged, LogError> {
    let header = Batch::first(&bytes).unwrap().0.header;
    let meta = StageMeta {
        leader_epoch: 5,
        append_time: (header.timestamp_type() == TimestampType::LogAppendTime).then_some(header.max_timestamp),
        max_timestamp: header.max_timestamp,
        offset_delta_of_max: header.last_offset_delta,
    };
    log.stage(Chunk::from(bytes), &header, meta, now_ms)
}

/// Stages and writes.
pub(crate) fn append(log: &mut Log, bytes: Vec<u8>) -> Staged {
    let staged = stage(log, bytes, 0).unwrap();
    assert!(matches!(log.flush(&Files::inline(), 0), Flush::Done));
    staged
}

pub(crate) fn create(dir: &Path, config: &TopicConfig) -> Log {
    Log::create(dir, Uuid(77), config).unwrap()
}

/// Opens after a crash, with nothing known.
pub(crate) fn open_unclean(dir: &Path, config: &TopicConfig) -> Result<Log, LogError> {
    Log::open(dir, config, OpenHints::default(), &mut |_| {})
}

pub(crate) fn open_clean(dir: &Path, config: &TopicConfig) -> Result<Log, LogError> {
    Log::open(dir, config, OpenHints { clean: true, ..OpenHints::default() }, &mut |_| {})
}

/// Base offsets of the batches that are replayed when the log is opened, and the offset of the snapshot.
pub(crate) fn replayed(dir: &Path, config: &TopicConfig, hints: OpenHints) -> (Option<i64>, Vec<i64>) {
    let (mut start, mut bases) = (None, Vec::new());
    Log::open(dir, config, hints, &mut |replayed| match replayed {
        Replayed::Start(snapshot) => {
            start = snapshot.map(|snapshot| snapshot.offset);
            bases.clear();
        }
        Replayed::Batch { header, .. } => bases.push(header.base_offset),
    })
    .unwrap();
    (start, bases)
}

/// Everything from `offset` to the log end, read as fetches do.
pub(crate) fn read_all(log: &Log, mut offset: i64, max_bytes: u64) -> Vec<u8> {
    let mut all = Vec::new();
    while offset < log.log_end_offset() {
        let plan = log.plan_read(offset, log.log_end_offset(), max_bytes, true).unwrap();
        assert!(plan.len > 0, "nothing at offset {offset}");
        let mut bytes = vec![0; plan.len as usize];
        plan.file.read_exact_at(&mut bytes, plan.position).unwrap();
        let mut batches = wire::records::Batches::new(&bytes);
        for batch in &mut batches {
            let batch = batch.unwrap();
            assert!(batch.crc_matches());
            offset = batch.header.next_offset();
            all.extend_from_slice(batch.bytes);
        }
    }
    all
}
