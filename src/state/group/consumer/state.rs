//! What the records of a consumer group say. Nothing changes this but a record, whether one that was just decided or one
//! that is read back after a restart: so both give the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use wire::Uuid;
use wire::coordinator_record::{GroupRecordKey as Key, GroupRecordValue as Value};

use super::assignor::Partitions;
use super::member::{About, Current, LEAVE_EPOCH, Member, Owned};
use super::records;
use super::subscriptions::{Resolved, Subscriptions};

/// The epoch of a group before it has one, and of the assignment of nothing to nobody.
const FIRST_EPOCH: i32 = 1;

#[derive(Debug, PartialEq)]
pub(super) struct State {
    /// Counts the changes that need a new assignment.
    pub(super) epoch: i32,
    pub(super) metadata_hash: i64,
    /// The group epoch that the targets are for; -1 without targets.
    pub(super) assignment_epoch: i32,
    /// Wall clock; 0: not known.
    pub(super) assigned_at_ms: i64,
    pub(super) members: BTreeMap<Arc<str>, Member>,
    pub(super) targets: BTreeMap<Arc<str>, Partitions>,
    pub(super) subscriptions: Subscriptions,
    /// Static members by instance.
    instances: HashMap<Arc<str>, Arc<str>>,
    /// Who has a partition, or did not say yet that it has given it up.
    owners: HashMap<Uuid, HashMap<i32, Arc<str>>>,
    /// Members by the assignor they ask for.
    assignors: BTreeMap<String, usize>,
    /// Members that speak the classic protocol, and how many of them know each of their protocols.
    classic_members: usize,
    classic_protocols: BTreeMap<String, usize>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            epoch: FIRST_EPOCH,
            metadata_hash: 0,
            assignment_epoch: FIRST_EPOCH,
            assigned_at_ms: 0,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            instances: HashMap::new(),
            owners: HashMap::new(),
            assignors: BTreeMap::new(),
            classic_members: 0,
            classic_protocols: BTreeMap::new(),
        }
    }
}

impl State {
    pub(super) fn member_of_instance(&self, instance: &str) -> Option<&Arc<str>> {
        self.instances.get(instance)
    }

    pub(super) fn owner(&self, topic: &Uuid, partition: i32) -> Option<&str> {
        self.owners.get(topic)?.get(&partition).map(|owner| &**owner)
    }

    pub(super) fn classic_members(&self) -> usize {
        self.classic_members
    }

    /// Whether some protocol of these is known to all classic members.
    pub(super) fn supports_any<'a>(&self, mut protocols: impl Iterator<Item = &'a str>) -> bool {
        protocols.any(|name| self.classic_protocols.get(name).copied().unwrap_or(0) == self.classic_members)
    }

    /// The assignor that most members ask for; of two as popular the one that comes first in `known`.
    pub(super) fn preferred_assignor(&self, known: &[String]) -> Option<&str> {
        let rank = |name: &str| known.iter().position(|known| known == name).unwrap_or(usize::MAX);
        let (name, _) = self.assignors.iter().min_by_key(|(name, count)| (std::cmp::Reverse(**count), rank(name)))?;
        Some(name)
    }

    /// Takes over one record. `false`: the group is over.
    pub(super) fn apply(&mut self, key: Key, value: Option<Value>) -> bool {
        match (key, value) {
            (Key::ConsumerGroupMetadata(_), None) => return false,
            (Key::ConsumerGroupMetadata(_), Some(Value::ConsumerGroupMetadata(value))) => {
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            (Key::ConsumerGroupMemberMetadata(key), Some(Value::ConsumerGroupMemberMetadata(value))) => {
                self.set_about(key.member_id.into(), records::about_of(value));
            }
            (Key::ConsumerGroupMemberMetadata(key), None) => self.remove_member(&key.member_id),
            (
                Key::ConsumerGroupTargetAssignmentMetadata(_),
                Some(Value::ConsumerGroupTargetAssignmentMetadata(value)),
            ) => {
                self.assignment_epoch = value.assignment_epoch;
                self.assigned_at_ms = value.assignment_timestamp;
            }
            (Key::ConsumerGroupTargetAssignmentMetadata(_), None) => {
                self.assignment_epoch = -1;
                self.assigned_at_ms = 0;
            }
            (
                Key::ConsumerGroupTargetAssignmentMember(key),
                Some(Value::ConsumerGroupTargetAssignmentMember(value)),
            ) => {
                self.targets.insert(key.member_id.into(), records::target_of(value));
            }
            (Key::ConsumerGroupTargetAssignmentMember(key), None) => drop(self.targets.remove(&*key.member_id)),
            (
                Key::ConsumerGroupCurrentMemberAssignment(key),
                Some(Value::ConsumerGroupCurrentMemberAssignment(value)),
            ) => {
                self.set_current(&key.member_id, records::current_of(value));
            }
            (Key::ConsumerGroupCurrentMemberAssignment(key), None) if self.members.contains_key(&*key.member_id) => {
                let left = Current { epoch: LEAVE_EPOCH, previous_epoch: LEAVE_EPOCH, ..Current::default() };
                self.set_current(&key.member_id, left);
            }
            (Key::ConsumerGroupRegularExpression(key), Some(Value::ConsumerGroupRegularExpression(value))) => {
                let topics = value.topics.into_iter().collect();
                let resolved = Resolved { topics, version: value.version, timestamp_ms: value.timestamp };
                self.subscriptions.resolve(&key.regular_expression, resolved);
            }
            (Key::ConsumerGroupRegularExpression(key), None) => self.subscriptions.forget(&key.regular_expression),
            // What a broker before 4.0 knew of the topics; it is found out anew.
            _ => {}
        }
        true
    }

    fn set_about(&mut self, id: Arc<str>, about: About) {
        let (id, mut member) = self.members.remove_entry(&id).unwrap_or_else(|| (id, Member::default()));
        self.uncount(&id, &member.about);
        self.subscriptions.add(&about);
        if let Some(assignor) = &about.assignor {
            *self.assignors.entry(assignor.clone()).or_default() += 1;
        }
        if let Some(classic) = &about.classic {
            self.classic_members += 1;
            for protocol in &classic.supported_protocols {
                *self.classic_protocols.entry(protocol.name.clone()).or_default() += 1;
            }
        }
        if let Some(instance) = &about.instance {
            self.instances.insert(Arc::clone(instance), Arc::clone(&id));
        }
        member.about = about;
        self.members.insert(id, member);
    }

    fn uncount(&mut self, id: &str, about: &About) {
        self.subscriptions.remove(about);
        if let Some(assignor) = &about.assignor {
            decrement(&mut self.assignors, assignor);
        }
        if let Some(classic) = &about.classic {
            self.classic_members -= 1;
            for protocol in &classic.supported_protocols {
                decrement(&mut self.classic_protocols, &protocol.name);
            }
        }
        if let Some(instance) = &about.instance
            && self.instances.get(instance).is_some_and(|member| **member == *id)
        {
            self.instances.remove(instance);
        }
    }

    fn remove_member(&mut self, id: &str) {
        let Some((id, member)) = self.members.remove_entry(id) else { return };
        self.uncount(&id, &member.about);
        self.release(&id, &member.current.assigned);
        self.release(&id, &member.current.revoking);
    }

    fn set_current(&mut self, id: &str, current: Current) {
        let (id, mut member) = self.members.remove_entry(id).unwrap_or_else(|| (id.into(), Member::default()));
        self.release(&id, &member.current.assigned);
        self.release(&id, &member.current.revoking);
        for (topic, partitions) in current.assigned.iter().chain(&current.revoking) {
            let owners = self.owners.entry(*topic).or_default();
            for partition in partitions.keys() {
                owners.insert(*partition, Arc::clone(&id));
            }
        }
        member.current = current;
        self.members.insert(id, member);
    }

    /// In a compacted log a partition may have a new owner before the old one is seen to give it up.
    fn release(&mut self, id: &str, owned: &Owned) {
        for (topic, partitions) in owned {
            let Some(owners) = self.owners.get_mut(topic) else { continue };
            for partition in partitions.keys() {
                if owners.get(partition).is_some_and(|owner| **owner == *id) {
                    owners.remove(partition);
                }
            }
            if owners.is_empty() {
                self.owners.remove(topic);
            }
        }
    }
}

fn decrement(counts: &mut BTreeMap<String, usize>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}
