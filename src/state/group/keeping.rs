//! Requests about committed offsets, and how long they and their groups are kept (Kafka's `OffsetMetadataManager`).

use std::sync::Arc;

use wire::Uuid;

use super::classic::Expiry;
use super::groups::{Group, Groups, Turn, not_found};
use super::offsets::{Committed, Topics};
use super::{
    Commit, CommitPartition, CommitTopic, CommittedTopic, Cx, DeleteOffsets, DescribedGroup, Effects, Fetch,
    FetchTopic, FetchedPartition, FetchedTopic, GroupError, records,
};

impl Groups {
    pub(super) fn commit(&mut self, cx: &mut Cx<'_>, effects: &mut Effects, commit: Commit) -> Vec<CommittedTopic> {
        let (wall_ms, metadata_max) = (cx.wall_ms, cx.settings.offset_metadata_max);
        if let Err(error) = self.check_commit(cx, effects, &commit) {
            return commit.topics.into_iter().map(|topic| refused(topic, &error)).collect();
        }
        let expire_timestamp_ms =
            if commit.retention_ms == -1 { -1 } else { wall_ms.saturating_add(commit.retention_ms) };
        let id = self.id_or_simple_group(&commit.group);
        let mut committed = Vec::with_capacity(commit.topics.len());
        for topic in commit.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            let fits = |partition: &CommitPartition| !is_longer(&partition.metadata, metadata_max);
            let mut known = topic.partitions.iter().any(fits).then(|| self.offsets.partitions(&id, &topic.name));
            for partition in topic.partitions {
                let Some(known) = known.as_mut().filter(|_| fits(&partition)) else {
                    partitions.push((partition.index, Some(GroupError::OffsetMetadataTooLarge)));
                    continue;
                };
                let offset = Committed {
                    offset: partition.offset,
                    leader_epoch: partition.leader_epoch,
                    metadata: partition.metadata.into(),
                    commit_timestamp_ms: wall_ms,
                    expire_timestamp_ms,
                    topic_id: topic.id,
                };
                effects.records.push(records::offset_commit(&id, &topic.name, partition.index, &offset));
                known.insert(partition.index, offset);
                partitions.push((partition.index, None));
            }
            committed.push(CommittedTopic { name: topic.name, id: topic.id, partitions });
        }
        committed
    }

    fn check_commit(&mut self, cx: &mut Cx<'_>, effects: &mut Effects, commit: &Commit) -> Result<(), GroupError> {
        let mut turn = Turn { cx, timers: &mut self.timers, effects };
        match self.groups.get_mut(&*commit.group) {
            Some(Group::Classic(group)) => group.check_commit(&mut turn, commit),
            Some(Group::Consumer(group)) => group.check_commit(&mut turn, commit),
            // Somebody who is no member of anything.
            None if commit.generation < 0 => Ok(()),
            None if commit.takes_new_errors => Err(not_found(&commit.group)),
            None => Err(GroupError::IllegalGeneration),
        }
    }

    /// What nobody committed has offset -1, and so has all of a group that is not there.
    pub(super) fn fetch(&self, fetch: Fetch) -> Result<Vec<FetchedTopic>, GroupError> {
        if let Some(Group::Consumer(group)) = self.groups.get(&*fetch.group) {
            group.check_fetch(&fetch)?;
        }
        let known = self.offsets.group(&fetch.group);
        let fetched = match fetch.topics {
            Some(topics) => topics.into_iter().map(|topic| fetch_topic(known, topic)).collect(),
            None => known.map_or_else(Vec::new, fetch_all),
        };
        Ok(fetched)
    }

    pub(super) fn delete_offsets(
        &mut self,
        effects: &mut Effects,
        delete: DeleteOffsets,
    ) -> Result<Vec<CommittedTopic>, GroupError> {
        if delete.group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let group = self.groups.get(&*delete.group).ok_or_else(|| not_found(&delete.group))?;
        if let Group::Classic(group) = group {
            group.check_delete_offsets()?;
        }
        let mut deleted = Vec::with_capacity(delete.topics.len());
        for (name, indices) in delete.topics {
            let error = is_subscribed(group, &name).then_some(GroupError::GroupSubscribedToTopic);
            for index in indices.iter().filter(|_| error.is_none()) {
                if self.offsets.get(&delete.group, &name, *index).is_some() {
                    effects.records.push(records::offset_commit_tombstone(&delete.group, &name, *index));
                    self.offsets.remove(&delete.group, &name, *index);
                }
            }
            let partitions = indices.into_iter().map(|index| (index, error.clone())).collect();
            deleted.push(CommittedTopic { name, id: Uuid::ZERO, partitions });
        }
        Ok(deleted)
    }

    pub(super) fn describe(&self, group: &str) -> Result<DescribedGroup, GroupError> {
        match self.groups.get(group) {
            Some(Group::Classic(group)) => Ok(group.describe()),
            Some(_) => Err(GroupError::GroupIdNotFound(format!("Group {group} is not a classic group."))),
            None => Err(not_found(group)),
        }
    }

    pub(super) fn delete(&mut self, effects: &mut Effects, group: &str) -> Result<(), GroupError> {
        let found = self.groups.get(group).ok_or_else(|| not_found(group))?;
        if !is_empty(found) {
            return Err(GroupError::NonEmptyGroup);
        }
        let gone = self.offsets.group(group).map_or_else(Vec::new, |topics| places(topics, |_, _| true));
        self.drop_offsets(effects, group, gone);
        self.drop_group(effects, group);
        Ok(())
    }

    /// Gives up offsets whose retention is over, and groups that have nothing left. To be called now and then
    /// (`offsets.retention.check.interval.ms`).
    pub fn expire_offsets(&mut self, cx: &mut Cx<'_>) -> Effects {
        let mut effects = Effects::default();
        for id in self.ids(|_| true) {
            let Some(group) = self.groups.get(&id) else { continue };
            let expired = self.offsets.group(&id).map_or_else(Vec::new, |topics| expired(cx, group, topics));
            let is_over = is_empty(group);
            self.drop_offsets(&mut effects, &id, expired);
            if is_over && self.offsets.group(&id).is_none() {
                self.drop_group(&mut effects, &id);
            }
        }
        effects
    }

    /// What was committed for a topic that is gone, or for an earlier life of its name.
    pub(super) fn drop_offsets_of_deleted(&mut self, cx: &Cx<'_>, effects: &mut Effects, changed: &[&str]) {
        let mut names: Vec<&str> = changed.iter().copied().filter(|name| self.offsets.knows_topic(name)).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return;
        }
        let mut gone: Vec<(Arc<str>, Vec<(Arc<str>, i32)>)> = Vec::new();
        for (group, topics) in self.offsets.groups() {
            let of_deleted = |name: &str, committed: &Committed| {
                names.binary_search(&name).is_ok()
                    && match cx.image.topic(name) {
                        None => true,
                        Some(topic) => committed.topic_id != Uuid::ZERO && committed.topic_id != topic.id,
                    }
            };
            let places = places(topics, of_deleted);
            if !places.is_empty() {
                gone.push((Arc::clone(group), places));
            }
        }
        gone.sort();
        for (group, places) in gone {
            self.drop_offsets(effects, &group, places);
        }
    }

    fn drop_offsets(&mut self, effects: &mut Effects, group: &str, places: Vec<(Arc<str>, i32)>) {
        for (topic, partition) in places {
            effects.records.push(records::offset_commit_tombstone(group, &topic, partition));
            self.offsets.remove(group, &topic, partition);
        }
    }

    fn drop_group(&mut self, effects: &mut Effects, group: &str) {
        match self.groups.remove(group) {
            Some(Group::Classic(mut group)) => {
                group.tombstones(&mut effects.records);
                group.cancel_timers(&mut self.timers);
            }
            Some(Group::Consumer(mut group)) => {
                group.tombstones(&mut effects.records);
                group.cancel_timers(&mut self.timers);
            }
            None => {}
        }
    }
}

fn is_empty(group: &Group) -> bool {
    match group {
        Group::Classic(group) => group.is_empty(),
        Group::Consumer(group) => group.is_empty(),
    }
}

fn is_subscribed(group: &Group, topic: &str) -> bool {
    match group {
        Group::Classic(group) => group.is_subscribed(topic),
        Group::Consumer(group) => group.is_subscribed(topic),
    }
}

/// Kafka counts the characters of a Java string.
fn is_longer(metadata: &str, max: usize) -> bool {
    metadata.len() > max && metadata.encode_utf16().count() > max
}

fn refused(topic: CommitTopic, error: &GroupError) -> CommittedTopic {
    let partitions = topic.partitions.iter().map(|partition| (partition.index, Some(error.clone()))).collect();
    CommittedTopic { name: topic.name, id: topic.id, partitions }
}

/// An offset of another life of the topic's name is none.
fn fetch_topic(known: Option<&Topics>, topic: FetchTopic) -> FetchedTopic {
    let offsets = known.and_then(|topics| topics.get(&*topic.name));
    let is_same = |id: Uuid| id == Uuid::ZERO || topic.id == Uuid::ZERO || id == topic.id;
    let fetched = |index: &i32| {
        let committed = offsets.and_then(|offsets| offsets.get(index)).filter(|committed| is_same(committed.topic_id));
        fetched(*index, committed)
    };
    let partitions = topic.partitions.iter().map(fetched).collect();
    FetchedTopic { name: topic.name, id: topic.id, partitions }
}

fn fetch_all(topics: &Topics) -> Vec<FetchedTopic> {
    let fetched = topics.iter().map(|(name, offsets)| FetchedTopic {
        name: name.as_ref().into(),
        id: Uuid::ZERO,
        partitions: offsets.iter().map(|(index, committed)| fetched(*index, Some(committed))).collect(),
    });
    fetched.collect()
}

fn fetched(index: i32, committed: Option<&Committed>) -> FetchedPartition {
    FetchedPartition {
        index,
        offset: committed.map_or(-1, |committed| committed.offset),
        leader_epoch: committed.map_or(-1, |committed| committed.leader_epoch),
        metadata: committed.map_or_else(String::new, |committed| committed.metadata.as_ref().into()),
        error: None,
    }
}

/// The places of the offsets that are to go.
fn places(topics: &Topics, goes: impl Fn(&str, &Committed) -> bool) -> Vec<(Arc<str>, i32)> {
    let mut places = Vec::new();
    for (name, offsets) in topics {
        for (index, committed) in offsets {
            if goes(name, committed) {
                places.push((Arc::clone(name), *index));
            }
        }
    }
    places
}

fn expired(cx: &Cx<'_>, group: &Group, topics: &Topics) -> Vec<(Arc<str>, i32)> {
    let expiry = match group {
        Group::Classic(group) => group.expiry(),
        Group::Consumer(_) => Expiry::SinceCommit,
    };
    let is_over = |committed: &Committed| {
        let since_ms = match expiry {
            Expiry::Never => return false,
            Expiry::SinceCommit => committed.commit_timestamp_ms,
            Expiry::Since(since_ms) => since_ms,
        };
        if committed.expire_timestamp_ms != -1 {
            return cx.wall_ms >= committed.expire_timestamp_ms;
        }
        cx.wall_ms.saturating_sub(since_ms) >= cx.settings.offsets_retention_ms
    };
    places(topics, |name, committed| is_over(committed) && !is_subscribed(group, name))
}
