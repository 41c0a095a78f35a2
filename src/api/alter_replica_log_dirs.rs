//! AlterReplicaLogDirs (key 34, KIP-113): partitions stay in the log directory they were made in. To be told to stay
//! there is no error; moves are not served yet.

use std::collections::BTreeMap;
use std::rc::Rc;

use wire::ErrorCode;
use wire::generated::alter_replica_log_dirs_request::AlterReplicaLogDirsRequest;
use wire::generated::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsResponse,
};

use super::{Api, Context, ReplyTo};
use crate::calls::{Answer, LogSize, Query};
use crate::net::Outcome;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    cx.decode::<AlterReplicaLogDirsRequest<'_>>()?;
    let (api, reply) = (api.shared(), cx.later());
    let shared = Rc::clone(&api);
    Ok(shared.spawn(to, async move {
        let mut logs = Vec::new();
        for shard in 0..api.core.count() {
            if let Answer::LogSizes(more) = api.router.ask(shards::ShardId(shard), Query::LogSizes).await {
                logs.extend(more);
            }
        }
        let request: AlterReplicaLogDirsRequest<'_> = reply.decode().ok()?;
        Some(reply.reply(&respond(&api, &request, &logs)))
    }))
}

/// Topics may come once for each directory; the answer has each once.
fn respond<'a>(
    api: &Api,
    request: &'a AlterReplicaLogDirsRequest<'_>,
    logs: &[LogSize],
) -> AlterReplicaLogDirsResponse<'a> {
    let lies_in: BTreeMap<(&str, i32), usize> =
        logs.iter().map(|log| ((log.topic.as_ref(), log.partition.index), log.directory)).collect();
    let mut topics: BTreeMap<&str, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
    for target in &request.dirs {
        let directories = &api.partitions.directories;
        let directory = directories.by_path(&target.path);
        let is_offline = directory.is_some_and(|index| directories.get(index).is_offline());
        for topic in &target.topics {
            let partitions = topic.partitions.iter().map(|index| AlterReplicaLogDirPartitionResult {
                partition_index: *index,
                error_code: match is_offline {
                    true => ErrorCode::KafkaStorageError,
                    false => code(directory, lies_in.get(&(topic.name.as_ref(), *index)).copied()),
                } as i16,
            });
            topics.entry(&topic.name).or_default().extend(partitions);
        }
    }
    let results = topics
        .into_iter()
        .map(|(name, partitions)| AlterReplicaLogDirTopicResult { topic_name: name.into(), partitions });
    AlterReplicaLogDirsResponse { results: results.collect(), ..Default::default() }
}

fn code(target: Option<usize>, current: Option<usize>) -> ErrorCode {
    match (target, current) {
        (None, _) => ErrorCode::LogDirNotFound,
        (Some(_), None) => ErrorCode::UnknownTopicOrPartition,
        (Some(target), Some(current)) if target == current => ErrorCode::None,
        (Some(_), Some(_)) => ErrorCode::UnsupportedVersion,
    }
}
