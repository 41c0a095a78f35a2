//! The partitions of one fetch or one session, in the order in which they are served.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::Uuid;

/// Lists of up to so many are searched from end to end, longer ones have an index.
const INDEXED_FROM: usize = 32;
const NONE: u32 = u32::MAX;

/// How requests name a topic: by id since version 13.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey<'a> {
    Name(&'a str),
    Id(Uuid),
}

/// What a client wants of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub fetch_offset: i64,
    /// -1: no opinion.
    pub current_leader_epoch: i32,
    /// -1: no opinion.
    pub last_fetched_epoch: i32,
    /// Bytes.
    pub max_bytes: i32,
    /// A follower's own log start, else -1.
    pub log_start_offset: i64,
}

/// What a partition's part of an answer would hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answer {
    /// Size of the records.
    pub bytes: u64,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub failed: bool,
    /// A preferred read replica or a diverging epoch: the client has to hear of it.
    pub redirected: bool,
}

/// Where a partition stands in its list. Valid until the list is changed by another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(u32);

/// One partition of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPartition {
    pub index: i32,
    pub wanted: Wanted,
    topic: u32,
    /// What the client was last told; -1 after an error, so that it is told again.
    high_watermark: i64,
    log_start_offset: i64,
    before: u32,
    after: u32,
}

#[derive(Debug, Clone)]
struct Topic {
    name: Option<Arc<str>>,
    id: Uuid,
    /// Partitions of the list that belong to it; 0 when the place is free.
    count: u32,
}

/// An ordered set of partitions: by id or by name, never mixed.
#[derive(Debug, Clone)]
pub struct Partitions {
    by_id: bool,
    topics: Vec<Topic>,
    free_topics: Vec<u32>,
    topic_ids: BTreeMap<Uuid, u32>,
    topic_names: BTreeMap<Arc<str>, u32>,
    slots: Vec<FetchPartition>,
    free_slots: Vec<u32>,
    /// By topic and partition; in use once the list is longer than `INDEXED_FROM`.
    index: BTreeMap<(u32, i32), u32>,
    indexed: bool,
    len: usize,
    first: u32,
    last: u32,
}

impl Partitions {
    /// An empty list. `by_id`: the requests name topics by id.
    pub fn new(by_id: bool) -> Self {
        Self {
            by_id,
            topics: Vec::new(),
            free_topics: Vec::new(),
            topic_ids: BTreeMap::new(),
            topic_names: BTreeMap::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            index: BTreeMap::new(),
            indexed: false,
            len: 0,
            first: NONE,
            last: NONE,
        }
    }

    pub fn by_id(&self) -> bool {
        self.by_id
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a partition at the end, or changes what is wanted of one that is there.
    pub fn set(&mut self, topic: TopicKey<'_>, index: i32, wanted: Wanted) -> Slot {
        let topic = self.find_topic(topic).unwrap_or_else(|| self.add_topic(topic));
        if let Some(slot) = self.find_in(topic, index) {
            self.slots[slot as usize].wanted = wanted;
            return Slot(slot);
        }
        self.topics[topic as usize].count += 1;
        let (before, after) = (NONE, NONE);
        let new = FetchPartition { index, wanted, topic, high_watermark: -1, log_start_offset: -1, before, after };
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.slots[slot as usize] = new;
                slot
            }
            None => {
                self.slots.push(new);
                (self.slots.len() - 1) as u32
            }
        };
        self.link_last(slot);
        self.len += 1;
        self.index_added(slot);
        Slot(slot)
    }

    /// Removes a partition; true if it was there.
    pub fn forget(&mut self, topic: TopicKey<'_>, index: i32) -> bool {
        let Some(topic) = self.find_topic(topic) else { return false };
        let Some(slot) = self.find_in(topic, index) else { return false };
        self.unlink(slot);
        self.index.remove(&(topic, index));
        self.free_slots.push(slot);
        self.len -= 1;
        let entry = &mut self.topics[topic as usize];
        entry.count -= 1;
        if entry.count == 0 {
            self.topic_ids.remove(&entry.id);
            if let Some(name) = entry.name.take() {
                self.topic_names.remove(&name);
            }
            self.free_topics.push(topic);
        }
        true
    }

    pub fn find(&self, topic: TopicKey<'_>, index: i32) -> Option<Slot> {
        self.find_in(self.find_topic(topic)?, index).map(Slot)
    }

    /// In the order in which they are to be served.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &FetchPartition)> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let slot = next;
            let partition = self.slots.get(slot as usize)?;
            next = partition.after;
            Some((Slot(slot), partition))
        })
    }

    pub fn get(&self, slot: Slot) -> Option<&FetchPartition> {
        self.slots.get(slot.0 as usize)
    }

    /// What requests call the topic of this partition.
    pub fn topic(&self, partition: &FetchPartition) -> TopicKey<'_> {
        let topic = &self.topics[partition.topic as usize];
        topic.name.as_deref().map_or(TopicKey::Id(topic.id), TopicKey::Name)
    }

    /// Notes what the client is about to be told, and says whether it has to be: data, an error, another high watermark
    /// or log start. A partition that gives data goes to the end, so that next time others come first. The answer to a
    /// full fetch tells everything, in the order of the request, whatever this says.
    pub fn answered(&mut self, slot: Slot, answer: &Answer) -> bool {
        let Some(partition) = self.slots.get_mut(slot.0 as usize) else { return false };
        let moved =
            partition.high_watermark != answer.high_watermark || partition.log_start_offset != answer.log_start_offset;
        partition.high_watermark = if answer.failed { -1 } else { answer.high_watermark };
        partition.log_start_offset = answer.log_start_offset;
        if answer.bytes > 0 && self.last != slot.0 {
            self.unlink(slot.0);
            self.link_last(slot.0);
        }
        moved || answer.bytes > 0 || answer.failed || answer.redirected
    }

    fn find_topic(&self, key: TopicKey<'_>) -> Option<u32> {
        if self.topics.len() > INDEXED_FROM {
            return match key {
                TopicKey::Id(id) => self.topic_ids.get(&id).copied(),
                TopicKey::Name(name) => self.topic_names.get(name).copied(),
            };
        }
        let same = |topic: &Topic| {
            topic.count > 0
                && match key {
                    TopicKey::Id(id) => topic.name.is_none() && topic.id == id,
                    TopicKey::Name(name) => topic.name.as_deref() == Some(name),
                }
        };
        self.topics.iter().position(same).map(|index| index as u32)
    }

    fn add_topic(&mut self, key: TopicKey<'_>) -> u32 {
        let (name, id) = match key {
            TopicKey::Name(name) => (Some(Arc::from(name)), Uuid::ZERO),
            TopicKey::Id(id) => (None, id),
        };
        let topic = Topic { name, id, count: 0 };
        let place = match self.free_topics.pop() {
            Some(place) => {
                self.topics[place as usize] = topic;
                place
            }
            None => {
                self.topics.push(topic);
                (self.topics.len() - 1) as u32
            }
        };
        if self.topics.len() == INDEXED_FROM + 1 {
            self.index_topics();
        } else if self.topics.len() > INDEXED_FROM {
            self.index_topic(place);
        }
        place
    }

    fn index_topics(&mut self) {
        for place in 0..self.topics.len() as u32 {
            self.index_topic(place);
        }
    }

    fn index_topic(&mut self, place: u32) {
        let topic = &self.topics[place as usize];
        match &topic.name {
            Some(name) => self.topic_names.insert(Arc::clone(name), place),
            None => self.topic_ids.insert(topic.id, place),
        };
    }

    fn find_in(&self, topic: u32, index: i32) -> Option<u32> {
        if self.indexed {
            return self.index.get(&(topic, index)).copied();
        }
        self.iter().find(|(_, partition)| partition.topic == topic && partition.index == index).map(|(slot, _)| slot.0)
    }

    fn index_added(&mut self, slot: u32) {
        if self.indexed {
            let partition = &self.slots[slot as usize];
            self.index.insert((partition.topic, partition.index), slot);
        } else if self.len > INDEXED_FROM {
            self.index = self.iter().map(|(slot, it)| ((it.topic, it.index), slot.0)).collect();
            self.indexed = true;
        }
    }

    fn link_last(&mut self, slot: u32) {
        let before = self.last;
        let partition = &mut self.slots[slot as usize];
        partition.before = before;
        partition.after = NONE;
        match self.slots.get_mut(before as usize) {
            Some(last) => last.after = slot,
            None => self.first = slot,
        }
        self.last = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let (before, after) = (self.slots[slot as usize].before, self.slots[slot as usize].after);
        match self.slots.get_mut(before as usize) {
            Some(partition) => partition.after = after,
            None => self.first = after,
        }
        match self.slots.get_mut(after as usize) {
            Some(partition) => partition.before = before,
            None => self.last = before,
        }
    }
}
