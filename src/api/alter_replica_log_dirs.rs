//! AlterReplicaLogDirs (key 34, KIP-113): has replicas lie in other log directories
//! (`ReplicaManager.alterReplicaLogDirs`). And the task that goes on with a shard's moves, which takes to the
//! controller what they need of it.

use std::collections::BTreeMap;
use std::rc::Rc;

use shards::{Lane, ShardId};
use state::metadata::decide::RECORDS_PER_REQUEST_MAX;
use wire::ErrorCode;
use wire::Uuid;
use wire::generated::alter_replica_log_dirs_request::AlterReplicaLogDirsRequest;
use wire::generated::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsResponse,
};

use super::{Api, Context, ReplyTo};
use crate::calls::{AlterDirError, AlterLogDir, Call, ControlReply, ControlRequest, PartitionId, Ticket};
use crate::log::future_dir;
use crate::net::Outcome;
use crate::partition::Ask;
use crate::route::Place;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: AlterReplicaLogDirsRequest<'_> = cx.decode()?;
    let mut partitions: Vec<(String, i32)> = Vec::new();
    let mut codes: Vec<ErrorCode> = Vec::new();
    let mut items: Vec<(Place, AlterLogDir)> = Vec::new();
    for ((name, index), path) in wanted(&request) {
        let checked = check(api, name, index, path);
        if let Ok((place, id, directory)) = checked {
            items.push((place, (codes.len() as u32, id, directory)));
        }
        partitions.push((name.to_owned(), index));
        codes.push(checked.err().unwrap_or(ErrorCode::None));
    }
    let (api, form) = (api.shared(), cx.form());
    let shared = Rc::clone(&api);
    Ok(shared.spawn(to, async move {
        for (shard, items) in api.router.by_owner(items.into_iter()) {
            for (item, result) in api.router.alter_log_dirs(ShardId(shard), items).await {
                codes[item as usize] = result.err().map_or(ErrorCode::None, code);
            }
        }
        Some(form.reply(&respond(&partitions, &codes)))
    }))
}

/// The directory of each partition; where several are named the last one counts, as in Apache Kafka.
fn wanted<'a>(request: &'a AlterReplicaLogDirsRequest<'_>) -> BTreeMap<(&'a str, i32), &'a str> {
    let mut wanted = BTreeMap::new();
    for directory in &request.dirs {
        for topic in &directory.topics {
            let partitions =
                topic.partitions.iter().map(|index| ((topic.name.as_ref(), *index), directory.path.as_ref()));
            wanted.extend(partitions);
        }
    }
    wanted
}

fn check(api: &Api, name: &str, index: i32, path: &str) -> Result<(Place, PartitionId, usize), ErrorCode> {
    if future_dir(name, index, 0).is_none() {
        return Err(ErrorCode::InvalidTopicException);
    }
    let directories = &api.partitions.directories;
    let directory = directories.by_path(path).ok_or(ErrorCode::LogDirNotFound)?;
    if directories.get(directory).is_offline() {
        return Err(ErrorCode::KafkaStorageError);
    }
    if api.partitions.cordoned().contains(&directories.get(directory).path) {
        return Err(ErrorCode::InvalidReplicaAssignment);
    }
    let topic = api.router.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let place = api.router.place(&topic, index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    Ok((place, PartitionId { topic: topic.id, index }, directory))
}

fn code(error: AlterDirError) -> ErrorCode {
    match error {
        AlterDirError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        AlterDirError::NameTooLong => ErrorCode::InvalidTopicException,
        AlterDirError::Storage => ErrorCode::KafkaStorageError,
    }
}

fn respond(partitions: &[(String, i32)], codes: &[ErrorCode]) -> AlterReplicaLogDirsResponse<'static> {
    let mut topics: BTreeMap<&str, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
    for ((name, index), code) in partitions.iter().zip(codes) {
        let result = AlterReplicaLogDirPartitionResult { partition_index: *index, error_code: *code as i16 };
        topics.entry(name).or_default().push(result);
    }
    let results = topics
        .into_iter()
        .map(|(name, partitions)| AlterReplicaLogDirTopicResult { topic_name: name.to_owned().into(), partitions });
    AlterReplicaLogDirsResponse { results: results.collect(), ..Default::default() }
}

impl Api {
    /// Begins moves of this shard's replicas; answered when a crash does not make them forgotten.
    pub fn alter_log_dirs(&self, from: ShardId, ask: Ticket, replicas: Vec<AlterLogDir>) {
        let api = self.shared();
        self.core.spawn(async move {
            let mut results = Vec::new();
            for (item, id, directory) in replicas {
                results.push((item, api.partitions.alter_log_dir(id, directory).await));
            }
            api.core.call(from, Lane::Reply, Call::LogDirsAltered { ask, results });
            api.move_replicas().await;
        });
    }

    /// Goes on with the moves of this shard's replicas until none is left, if nobody else does.
    async fn move_replicas(&self) {
        if !self.partitions.begin_moving() {
            return;
        }
        while let Some(ask) = self.partitions.move_on().await {
            match ask {
                Ask::Checkpoint(id) => {
                    self.router.control(ControlRequest::Checkpoint).await;
                    self.partitions.checkpointed(&id);
                }
                Ask::Assign(id, directory) => {
                    let is_done = self.assign(vec![(id, directory)]).await;
                    self.partitions.assigned(id, is_done).await;
                }
            }
        }
    }

    /// At start: has the metadata name the directories in which partitions were found, then goes on with moves that the
    /// last stop interrupted.
    pub async fn settle_directories(&self) {
        for misplaced in self.partitions.misplaced(self.settings.node_id).chunks(RECORDS_PER_REQUEST_MAX) {
            if !self.assign(misplaced.to_vec()).await {
                crate::metrics::log::error(format_args!("the metadata does not say where all partitions lie"));
            }
        }
        self.move_replicas().await;
    }

    async fn assign(&self, directories: Vec<(PartitionId, Uuid)>) -> bool {
        let reply = self.router.control(ControlRequest::AssignDirectories(directories)).await;
        matches!(reply, ControlReply::Done)
    }
}
