//! All groups of one partition of `__consumer_offsets`: who gets which request, which record and which deadline.

use std::collections::HashMap;
use std::sync::Arc;

use wire::coordinator_record::{GroupRecordKey, GroupRecordValue};

use super::migration::Fate;
use super::offsets::{Committed, Offsets};
use super::timers::{Slot, Timer, Timers};
use super::{
    ConsumerHeartbeat, Cx, Effects, GroupError, Heartbeat, Join, Joined, Leave, LeftMember, ListedGroup, Record, Reply,
    Request, Sync, Waiting, classic, consumer,
};

/// All groups of one partition of `__consumer_offsets`. Owned by the shard that leads the partition.
///
/// A group of either kind is in `groups` as long as it has members, offsets or records. One that only has offsets is a
/// classic group without a protocol type (Kafka's simple group).
#[derive(Debug, Default)]
pub struct Groups {
    pub(super) groups: HashMap<Arc<str>, Group>,
    pub(super) offsets: Offsets,
    pub(super) timers: Timers,
}

#[derive(Debug)]
pub(super) enum Group {
    Classic(classic::Group),
    Consumer(consumer::Group),
}

/// One event while it is handled.
pub(super) struct Turn<'a, 'c> {
    pub(super) cx: &'a mut Cx<'c>,
    pub(super) timers: &'a mut Timers,
    pub(super) effects: &'a mut Effects,
}

impl Turn<'_, '_> {
    pub(super) fn reply(&mut self, waiting: Waiting, reply: Reply) {
        self.effects.replies.push((waiting, reply));
    }

    pub(super) fn record(&mut self, record: Record) {
        self.effects.records.push(record);
    }
}

impl Groups {
    /// Takes one request. Its answer comes with these effects or with later ones; every request is answered once.
    pub fn handle(&mut self, cx: &mut Cx<'_>, waiting: Waiting, request: Request) -> Effects {
        let mut effects = Effects::default();
        match request {
            Request::Join(join) => self.join(cx, &mut effects, waiting, join),
            Request::Sync(sync) => self.sync(cx, &mut effects, waiting, sync),
            Request::Heartbeat(heartbeat) => self.heartbeat(cx, &mut effects, waiting, heartbeat),
            Request::Leave(leave) => self.leave(cx, &mut effects, waiting, leave),
            Request::ConsumerHeartbeat(heartbeat) => self.consumer_heartbeat(cx, &mut effects, waiting, heartbeat),
            Request::Commit(commit) => {
                let topics = self.commit(cx, &mut effects, commit);
                effects.replies.push((waiting, Reply::Committed(topics)));
            }
            Request::Fetch(fetch) => effects.replies.push((waiting, Reply::Fetched(self.fetch(fetch)))),
            Request::DeleteOffsets(delete) => {
                let deleted = self.delete_offsets(&mut effects, delete);
                effects.replies.push((waiting, Reply::OffsetsDeleted(deleted)));
            }
            Request::Describe { group } => effects.replies.push((waiting, Reply::Described(self.describe(&group)))),
            Request::DescribeConsumer { group } => {
                let described = match self.groups.get(&*group) {
                    Some(Group::Consumer(group)) => Ok(group.describe(cx)),
                    Some(_) => Err(GroupError::GroupIdNotFound(format!("Group {group} is not a consumer group."))),
                    None => Err(not_found(&group)),
                };
                effects.replies.push((waiting, Reply::ConsumerDescribed(described)));
            }
            Request::Delete { group } => {
                let deleted = self.delete(&mut effects, &group);
                effects.replies.push((waiting, Reply::Deleted(deleted)));
            }
        }
        effects
    }

    /// When [`expire`](Self::expire) has something to do next, on the monotonic clock.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.timers.next_ms()
    }

    /// Sessions that ran out, and rebalances whose time is over.
    pub fn expire(&mut self, cx: &mut Cx<'_>) -> Effects {
        let mut effects = Effects::default();
        while let Some((slot, timer)) = self.timers.pop(cx.now_ms) {
            self.expire_one(cx, &mut effects, slot, &timer);
        }
        effects
    }

    fn expire_one(&mut self, cx: &mut Cx<'_>, effects: &mut Effects, slot: Slot, timer: &Timer) {
        let mut turn = Turn { cx, timers: &mut self.timers, effects };
        match self.groups.get_mut(&timer.group) {
            Some(Group::Classic(group)) => group.expire(&mut turn, slot, &timer.what),
            Some(Group::Consumer(group)) => {
                let fate = group.expire(&mut turn, slot, &timer.what);
                self.settle(cx, effects, &timer.group, fate);
            }
            None => {}
        }
    }

    /// The log was replayed: sessions of the members that are known begin now.
    pub fn loaded(&mut self, cx: &mut Cx<'_>) -> Effects {
        let with_offsets: Vec<Arc<str>> = self.offsets.groups().map(|(id, _)| Arc::clone(id)).collect();
        for id in with_offsets {
            self.keep_place_of_offsets(&id);
        }
        let all = self.ids(|_| true);
        self.each_group(cx, all, |group, turn| match group {
            Group::Classic(group) => {
                group.loaded(turn);
                Fate::Stays
            }
            Group::Consumer(group) => group.loaded(turn),
        })
    }

    /// A newer image has come. `changed` are names of topics that were created, deleted or got partitions. What was
    /// committed for a topic that is gone, goes.
    pub fn metadata_changed(&mut self, cx: &mut Cx<'_>, changed: &[&str]) -> Effects {
        // Classic groups look after topics themselves.
        let consumers = self.ids(|group| matches!(group, Group::Consumer(_)));
        let mut effects = self.each_group(cx, consumers, |group, turn| match group {
            Group::Classic(_) => Fate::Stays,
            Group::Consumer(group) => group.metadata_changed(turn, changed),
        });
        self.drop_offsets_of_deleted(cx, &mut effects, changed);
        effects
    }

    /// The coordinator is taken away from here: everybody who waits is told.
    pub fn unloaded(&mut self) -> Effects {
        let mut effects = Effects::default();
        for id in self.ids(|_| true) {
            if let Some(Group::Classic(group)) = self.groups.get_mut(&id) {
                group.dismiss(&mut effects, &GroupError::NotCoordinator);
            }
        }
        *self = Self::default();
        effects
    }

    /// A row of ListGroups for each group, by name.
    pub fn list(&self) -> Vec<ListedGroup> {
        let mut rows: Vec<ListedGroup> = self
            .groups
            .values()
            .map(|group| match group {
                Group::Classic(group) => group.listed(),
                Group::Consumer(group) => group.listed(),
            })
            .collect();
        rows.sort_by(|a, b| a.group.cmp(&b.group));
        rows
    }

    /// Takes over one record of the log, in the log's order.
    pub fn replay(&mut self, key: GroupRecordKey, value: Option<GroupRecordValue>) {
        match (key, value) {
            (GroupRecordKey::GroupMetadata(key), None) => {
                self.groups.remove(&*key.group);
            }
            (GroupRecordKey::GroupMetadata(key), Some(GroupRecordValue::GroupMetadata(value))) => {
                let id: Arc<str> = key.group.into();
                self.groups.insert(Arc::clone(&id), Group::Classic(classic::Group::of_record(id, value)));
            }
            (GroupRecordKey::OffsetCommit(key), None) => self.offsets.remove(&key.group, &key.topic, key.partition),
            (GroupRecordKey::LegacyOffsetCommit(key), None) => {
                self.offsets.remove(&key.group, &key.topic, key.partition);
            }
            (GroupRecordKey::OffsetCommit(key), Some(GroupRecordValue::OffsetCommit(value))) => {
                self.replay_commit(&key.group, &key.topic, key.partition, Committed::of_record(value));
            }
            (GroupRecordKey::LegacyOffsetCommit(key), Some(GroupRecordValue::LegacyOffsetCommit(value))) => {
                self.replay_commit(&key.group, &key.topic, key.partition, Committed::of_legacy_record(value));
            }
            (key, value) => self.replay_consumer(key, value),
        }
    }

    /// Records of consumer groups. What share and streams groups keep is not ours, and left alone.
    fn replay_consumer(&mut self, key: GroupRecordKey, value: Option<GroupRecordValue>) {
        let name = match &key {
            GroupRecordKey::ConsumerGroupMetadata(key) => &key.group_id,
            GroupRecordKey::ConsumerGroupPartitionMetadata(key) => &key.group_id,
            GroupRecordKey::ConsumerGroupMemberMetadata(key) => &key.group_id,
            GroupRecordKey::ConsumerGroupTargetAssignmentMetadata(key) => &key.group_id,
            GroupRecordKey::ConsumerGroupTargetAssignmentMember(key) => &key.group_id,
            GroupRecordKey::ConsumerGroupCurrentMemberAssignment(key) => &key.group_id,
            GroupRecordKey::ConsumerGroupRegularExpression(key) => &key.group_id,
            _ => return,
        };
        let id: Arc<str> =
            self.groups.get_key_value(&**name).map_or_else(|| name.as_str().into(), |(id, _)| id.clone());
        let found = match self.groups.get_mut(&id) {
            Some(Group::Consumer(group)) => group,
            // The offsets of a group may come before its own records.
            Some(Group::Classic(group)) if !group.is_simple() => return,
            // A tombstone of what is not there makes no group.
            _ if value.is_none() => return,
            _ => {
                self.groups.insert(Arc::clone(&id), Group::Consumer(consumer::Group::new(Arc::clone(&id))));
                let Some(Group::Consumer(group)) = self.groups.get_mut(&id) else { return };
                group
            }
        };
        if !found.replay(key, value) {
            self.groups.remove(&id);
        }
    }

    fn replay_commit(&mut self, group: &str, topic: &str, partition: i32, committed: Committed) {
        let id = self.id_or_simple_group(group);
        self.offsets.put(&id, topic, partition, committed);
    }

    /// The id of the group as it is shared; where there is no group, a simple one is made.
    pub(super) fn id_or_simple_group(&mut self, group: &str) -> Arc<str> {
        match self.groups.get_key_value(group) {
            Some((id, _)) => Arc::clone(id),
            None => self.add_classic_group(group, -1),
        }
    }

    fn add_classic_group(&mut self, group: &str, since_ms: i64) -> Arc<str> {
        let id: Arc<str> = group.into();
        self.groups.insert(Arc::clone(&id), Group::Classic(classic::Group::new(Arc::clone(&id), since_ms)));
        id
    }

    /// Offsets outlive what was their group: they have a simple one then.
    fn keep_place_of_offsets(&mut self, group: &str) {
        if self.offsets.group(group).is_some() {
            self.id_or_simple_group(group);
        }
    }

    fn join(&mut self, cx: &mut Cx<'_>, effects: &mut Effects, waiting: Waiting, join: Join) {
        if let Err(error) = check_join(cx, &join) {
            let joined = Joined { member: join.member, ..Joined::refused(error) };
            return effects.replies.push((waiting, Reply::Joined(joined)));
        }
        match self.groups.get_mut(&*join.group) {
            Some(Group::Consumer(group)) if !group.is_empty() => {
                let id = Arc::from(join.group.as_str());
                let fate = group.join(&mut Turn { cx, timers: &mut self.timers, effects }, waiting, join);
                return self.settle(cx, effects, &id, fate);
            }
            Some(Group::Consumer(group)) => {
                group.tombstones(&mut effects.records);
                group.cancel_timers(&mut self.timers);
                self.groups.remove(&*join.group);
            }
            _ => {}
        }
        if !self.groups.contains_key(&*join.group) {
            if !join.member.is_empty() {
                self.keep_place_of_offsets(&join.group);
                let joined = Joined { member: join.member, ..Joined::refused(GroupError::UnknownMember) };
                return effects.replies.push((waiting, Reply::Joined(joined)));
            }
            self.add_classic_group(&join.group, cx.wall_ms);
            effects.records.push(classic::created_record(&join.group, cx.wall_ms));
        }
        if let Some(Group::Classic(group)) = self.groups.get_mut(&*join.group) {
            group.join(&mut Turn { cx, timers: &mut self.timers, effects }, waiting, join);
        }
    }

    fn sync(&mut self, cx: &mut Cx<'_>, effects: &mut Effects, waiting: Waiting, sync: Sync) {
        let mut turn = Turn { cx, timers: &mut self.timers, effects };
        match self.groups.get_mut(&*sync.group) {
            _ if sync.group.is_empty() => turn.reply(waiting, Reply::Synced(Err(GroupError::InvalidGroupId))),
            Some(Group::Classic(group)) if !group.is_empty() => group.sync(&mut turn, waiting, sync),
            Some(Group::Consumer(group)) if !group.is_empty() => {
                let id = Arc::from(sync.group.as_str());
                let fate = group.sync(&mut turn, waiting, sync);
                self.settle(cx, effects, &id, fate);
            }
            _ => turn.reply(waiting, Reply::Synced(Err(GroupError::UnknownMember))),
        }
    }

    fn heartbeat(&mut self, cx: &mut Cx<'_>, effects: &mut Effects, waiting: Waiting, heartbeat: Heartbeat) {
        let mut turn = Turn { cx, timers: &mut self.timers, effects };
        match self.groups.get_mut(&*heartbeat.group) {
            _ if heartbeat.group.is_empty() => turn.reply(waiting, Reply::Heartbeat(Err(GroupError::InvalidGroupId))),
            Some(Group::Classic(group)) => {
                let result = group.heartbeat(&mut turn, &heartbeat);
                turn.reply(waiting, Reply::Heartbeat(result));
            }
            Some(Group::Consumer(group)) => {
                let id = Arc::from(heartbeat.group.as_str());
                let fate = group.classic_heartbeat(&mut turn, waiting, heartbeat);
                self.settle(cx, effects, &id, fate);
            }
            None => turn.reply(waiting, Reply::Heartbeat(Err(GroupError::UnknownMember))),
        }
    }

    fn leave(&mut self, cx: &mut Cx<'_>, effects: &mut Effects, waiting: Waiting, leave: Leave) {
        let mut turn = Turn { cx, timers: &mut self.timers, effects };
        match self.groups.get_mut(&*leave.group) {
            _ if leave.group.is_empty() => turn.reply(waiting, Reply::Left(Err(GroupError::InvalidGroupId))),
            Some(Group::Classic(group)) => {
                let left = group.leave(&mut turn, leave);
                turn.reply(waiting, Reply::Left(Ok(left)));
            }
            Some(Group::Consumer(group)) => {
                let id = Arc::from(leave.group.as_str());
                let fate = group.leave(&mut turn, waiting, leave);
                self.settle(cx, effects, &id, fate);
            }
            None => {
                let unknown = leave.members.into_iter().map(|left| LeftMember {
                    member: left.member,
                    instance: left.instance,
                    error: Some(GroupError::UnknownMember),
                });
                turn.reply(waiting, Reply::Left(Ok(unknown.collect())));
            }
        }
    }

    fn consumer_heartbeat(
        &mut self,
        cx: &mut Cx<'_>,
        effects: &mut Effects,
        waiting: Waiting,
        heartbeat: ConsumerHeartbeat,
    ) {
        let found = consumer::check(cx, &heartbeat)
            .and_then(|()| self.consumer_group(cx, effects, &heartbeat.group, heartbeat.member_epoch == 0));
        match found {
            Ok(id) => {
                let Some(Group::Consumer(group)) = self.groups.get_mut(&id) else { return };
                let fate = group.heartbeat(&mut Turn { cx, timers: &mut self.timers, effects }, waiting, heartbeat);
                self.settle(cx, effects, &id, fate);
            }
            Err(error) => effects.replies.push((waiting, Reply::ConsumerHeartbeat(Err(error)))),
        }
    }

    /// The consumer group of that name. Where a member joins (`create`), one is made, out of a classic group if there is
    /// one.
    fn consumer_group(
        &mut self,
        cx: &mut Cx<'_>,
        effects: &mut Effects,
        name: &str,
        create: bool,
    ) -> Result<Arc<str>, GroupError> {
        let id: Arc<str> = self.groups.get_key_value(name).map_or_else(|| name.into(), |(id, _)| Arc::clone(id));
        let group = match self.groups.get_mut(name) {
            Some(Group::Consumer(_)) => return Ok(id),
            Some(Group::Classic(_)) if !create => {
                return Err(GroupError::GroupIdNotFound(format!("Group {name} is not a consumer group.")));
            }
            None if !create => return Err(GroupError::GroupIdNotFound(format!("Consumer group {name} not found."))),
            Some(Group::Classic(group)) if group.is_empty() => {
                group.tombstones(&mut effects.records);
                group.cancel_timers(&mut self.timers);
                consumer::Group::new(Arc::clone(&id))
            }
            Some(Group::Classic(group)) => {
                group.check_upgrade(cx.settings)?;
                let (upgraded, records) = consumer::Group::upgrade(cx, &mut self.timers, &group.migration())?;
                group.tombstones(&mut effects.records);
                group.cancel_timers(&mut self.timers);
                group.dismiss(effects, &GroupError::RebalanceInProgress);
                effects.records.extend(records);
                upgraded
            }
            None => consumer::Group::new(Arc::clone(&id)),
        };
        self.groups.insert(Arc::clone(&id), Group::Consumer(group));
        Ok(id)
    }

    /// What an event made of a consumer group.
    fn settle(&mut self, cx: &mut Cx<'_>, effects: &mut Effects, id: &Arc<str>, fate: Fate) {
        match fate {
            Fate::Stays => {}
            Fate::Ends => {
                self.groups.remove(id);
                self.keep_place_of_offsets(id);
            }
            Fate::Downgrades { migration, rebalance } => {
                let mut turn = Turn { cx, timers: &mut self.timers, effects };
                let group = classic::Group::downgrade(&mut turn, migration, rebalance);
                self.groups.insert(Arc::clone(id), Group::Classic(group));
            }
        }
    }

    /// In their order, so that the same events give the same effects.
    pub(super) fn ids(&self, which: impl Fn(&Group) -> bool) -> Vec<Arc<str>> {
        let mut ids: Vec<Arc<str>> =
            self.groups.iter().filter(|(_, group)| which(group)).map(|(id, _)| Arc::clone(id)).collect();
        ids.sort_unstable();
        ids
    }

    fn each_group(
        &mut self,
        cx: &mut Cx<'_>,
        ids: Vec<Arc<str>>,
        mut each: impl FnMut(&mut Group, &mut Turn<'_, '_>) -> Fate,
    ) -> Effects {
        let mut effects = Effects::default();
        for id in ids {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let fate = each(group, &mut Turn { cx, timers: &mut self.timers, effects: &mut effects });
            self.settle(cx, &mut effects, &id, fate);
        }
        effects
    }
}

pub(super) fn not_found(group: &str) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {group} not found."))
}

fn check_join(cx: &Cx<'_>, join: &Join) -> Result<(), GroupError> {
    let allowed = cx.settings.session_timeout_min_ms..=cx.settings.session_timeout_max_ms;
    if join.group.is_empty() {
        Err(GroupError::InvalidGroupId)
    } else if !allowed.contains(&join.session_timeout_ms) {
        Err(GroupError::InvalidSessionTimeout)
    } else {
        Ok(())
    }
}
