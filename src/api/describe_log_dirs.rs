//! DescribeLogDirs (key 35, KIP-113): which partitions lie in which log directory, and how large they are; also those
//! on their way to one.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use wire::ErrorCode;
use wire::generated::describe_log_dirs_request::DescribeLogDirsRequest;
use wire::generated::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};

use super::{Api, Context, ReplyTo};
use crate::calls::{Answer, LogSize, Query};
use crate::net::Outcome;
use crate::partition::absolute;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    cx.decode::<DescribeLogDirsRequest<'_>>()?;
    let (api, reply) = (api.shared(), cx.later());
    let shared = Rc::clone(&api);
    Ok(shared.spawn(to, async move {
        let mut sizes = Vec::new();
        for shard in api.nodes.shards_behind(api.core.id().0) {
            if let Answer::LogSizes(more) = api.router.ask(shards::ShardId(shard), Query::LogSizes).await {
                sizes.extend(more);
            }
        }
        let request: DescribeLogDirsRequest<'_> = reply.decode().ok()?;
        let wanted: Vec<LogSize> = sizes.into_iter().filter(|size| is_wanted(&request, size)).collect();
        let cordoned = api.partitions.cordoned();
        let results = api.partitions.directories.iter().map(|(index, one)| match one.is_offline() {
            true => offline(&one.path),
            false => {
                let here = wanted.iter().filter(|size| size.directory == index);
                DescribeLogDirsResult { is_cordoned: cordoned.contains(&one.path), ..directory(&one.path, here) }
            }
        });
        Some(reply.reply(&DescribeLogDirsResponse { results: results.collect(), ..Default::default() }))
    }))
}

fn is_wanted(request: &DescribeLogDirsRequest<'_>, size: &LogSize) -> bool {
    let Some(topics) = &request.topics else { return true };
    topics.iter().any(|topic| topic.topic == *size.topic && topic.partitions.contains(&size.partition.index))
}

/// Kafka tells nothing else of a directory that has failed.
fn offline(path: &Path) -> DescribeLogDirsResult<'static> {
    DescribeLogDirsResult {
        error_code: ErrorCode::KafkaStorageError as i16,
        log_dir: absolute(path).display().to_string().into(),
        ..Default::default()
    }
}

fn directory<'a>(path: &Path, sizes: impl Iterator<Item = &'a LogSize>) -> DescribeLogDirsResult<'static> {
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for size in sizes {
        topics.entry(&size.topic).or_default().push(DescribeLogDirsPartition {
            partition_index: size.partition.index,
            partition_size: size.size_bytes as i64,
            offset_lag: size.future_lag.unwrap_or(0),
            is_future_key: size.future_lag.is_some(),
        });
    }
    let (total_bytes, usable_bytes) =
        shards::disk_space(path).map_or((-1, -1), |(total, free)| (total as i64, free as i64));
    let topics = topics.into_iter().map(|(name, mut partitions)| {
        partitions.sort_by_key(|partition| partition.partition_index);
        DescribeLogDirsTopic { name: name.to_owned().into(), partitions }
    });
    DescribeLogDirsResult {
        error_code: ErrorCode::None as i16,
        log_dir: absolute(path).display().to_string().into(),
        topics: topics.collect(),
        total_bytes,
        usable_bytes,
        ..Default::default()
    }
}
