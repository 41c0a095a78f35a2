//! OffsetCommit (key 8): a group notes how far it has read.

use state::group::{Commit, CommitPartition, CommitTopic, CommittedTopic, Reply as GroupReply, Request};
use wire::generated::offset_commit_request::{OffsetCommitRequest, OffsetCommitRequestTopic};
use wire::generated::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use wire::{ErrorCode, Uuid};

use super::group_asks::{ask, unavailable};
use super::{Api, Context, ReplyTo, group_errors};
use crate::net::Outcome;
use crate::route::Topic;

/// From this version on topics are named by id (KIP-848).
const BY_ID_FROM: i16 = 10;
/// From this version on clients know what GROUP_ID_NOT_FOUND and STALE_MEMBER_EPOCH are.
const NEW_ERRORS_FROM: i16 = 9;

/// What is said of the topics of a request, refused partitions first.
type Answered = Vec<OffsetCommitResponseTopic<'static>>;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: OffsetCommitRequest<'_> = cx.decode()?;
    let (mut topics, mut answered) = (Vec::with_capacity(request.topics.len()), Answered::new());
    for topic in request.topics {
        sort_out(api, cx.version, topic, &mut topics, &mut answered);
    }
    if topics.is_empty() {
        return Ok(Outcome::Reply(cx.reply(&OffsetCommitResponse { topics: answered, ..Default::default() })));
    }
    let commit = Commit {
        group: request.group_id.into_owned(),
        generation: request.generation_id_or_member_epoch,
        member: request.member_id.into_owned(),
        instance: request.group_instance_id.map(Into::into),
        retention_ms: request.retention_time_ms,
        takes_new_errors: cx.version >= NEW_ERRORS_FROM,
        topics,
    };
    let (form, asked) = (cx.form(), partitions_of(&commit));
    Ok(ask(api, to, Request::Commit(commit), move |_, reply| {
        match reply {
            GroupReply::Committed(topics) => topics.into_iter().for_each(|topic| add(&mut answered, committed(topic))),
            other => {
                let code = group_errors::code(&unavailable(other));
                asked.into_iter().for_each(|(name, id, indexes)| add(&mut answered, refused(name, id, &indexes, code)));
            }
        }
        form.reply(&OffsetCommitResponse { topics: answered, ..Default::default() })
    }))
}

/// Separates the partitions that exist from those that don't.
fn sort_out(
    api: &Api,
    version: i16,
    asked: OffsetCommitRequestTopic<'_>,
    topics: &mut Vec<CommitTopic>,
    answered: &mut Answered,
) {
    let found =
        if version >= BY_ID_FROM { api.router.topic_by_id(&asked.topic_id) } else { api.router.topic(&asked.name) };
    let Some(found) = found else {
        let code = if version >= BY_ID_FROM { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        let indexes: Vec<i32> = asked.partitions.iter().map(|one| one.partition_index).collect();
        return add(answered, refused(asked.name.into(), asked.topic_id, &indexes, code));
    };
    let exists = |topic: &Topic, index: i32| (0..topic.partition_count()).contains(&index);
    let (known, unknown): (Vec<_>, Vec<_>) =
        asked.partitions.into_iter().partition(|one| exists(&found, one.partition_index));
    if !unknown.is_empty() {
        let indexes: Vec<i32> = unknown.iter().map(|one| one.partition_index).collect();
        add(answered, refused(found.name.to_string(), found.id, &indexes, ErrorCode::UnknownTopicOrPartition));
    }
    if !known.is_empty() {
        let partitions = known.into_iter().map(|one| CommitPartition {
            index: one.partition_index,
            offset: one.committed_offset,
            leader_epoch: one.committed_leader_epoch,
            metadata: one.committed_metadata.map_or_else(String::new, Into::into),
        });
        topics.push(CommitTopic { name: found.name.to_string(), id: found.id, partitions: partitions.collect() });
    }
}

fn partitions_of(commit: &Commit) -> Vec<(String, Uuid, Vec<i32>)> {
    let indexes = |topic: &CommitTopic| topic.partitions.iter().map(|one| one.index).collect();
    commit.topics.iter().map(|topic| (topic.name.clone(), topic.id, indexes(topic))).collect()
}

/// Partitions of a topic that was answered before join it there.
fn add(answered: &mut Answered, topic: OffsetCommitResponseTopic<'static>) {
    match answered.iter_mut().find(|known| known.name == topic.name && known.topic_id == topic.topic_id) {
        Some(known) => known.partitions.extend(topic.partitions),
        None => answered.push(topic),
    }
}

fn committed(topic: CommittedTopic) -> OffsetCommitResponseTopic<'static> {
    let partitions = topic.partitions.into_iter().map(|(partition_index, error)| OffsetCommitResponsePartition {
        partition_index,
        error_code: group_errors::code_of(error.as_ref()),
    });
    OffsetCommitResponseTopic { partitions: partitions.collect(), name: topic.name.into(), topic_id: topic.id }
}

fn refused(name: String, topic_id: Uuid, indexes: &[i32], code: ErrorCode) -> OffsetCommitResponseTopic<'static> {
    let partitions =
        indexes.iter().map(|index| OffsetCommitResponsePartition { partition_index: *index, error_code: code as i16 });
    OffsetCommitResponseTopic { partitions: partitions.collect(), name: name.into(), topic_id }
}
