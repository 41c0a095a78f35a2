//! What a fetch reads: the partitions of its request, or those of its session with the changes that the request brings.

use std::rc::Rc;

use state::fetch_session::{Begin, Partitions, SessionError, Slot, TopicKey, Updated, Wanted};
use wire::ErrorCode;
use wire::fetch_walk::FetchWalk;

use super::Session;
use crate::api::{Api, topics};
use crate::calls::{PartitionId, ReadError, ReadResult};
use crate::route::{Place, Topic};

/// From this version on requests name topics by id (KIP-516).
pub(super) const BY_ID_FROM: i16 = 13;

/// One partition of a fetch, in the order in which it is served.
pub(super) struct Item {
    pub(super) topic: Rc<Topic>,
    pub(super) index: i32,
    pub(super) wanted: Wanted,
    /// `None`: it can't be read, for the reason in `refused`.
    pub(super) place: Option<Place>,
    pub(super) refused: ErrorCode,
    /// Where it stands in the list of the session.
    pub(super) slot: Option<Slot>,
    pub(super) result: Option<Result<ReadResult, ReadError>>,
}

impl Item {
    fn new(api: &Api, key: TopicKey<'_>, index: i32, wanted: Wanted, slot: Option<Slot>) -> Self {
        let (topic, unknown) = topics::find(api, key);
        let place = api.router.place(&topic, index);
        let refused = if place.is_some() { ErrorCode::None } else { unknown };
        Self { topic, index, wanted, place, refused, slot, result: None }
    }

    pub(super) fn partition(&self) -> PartitionId {
        PartitionId { topic: self.topic.id, index: self.index }
    }

    pub(super) fn bytes(&self) -> u64 {
        match &self.result {
            Some(Ok(ReadResult { data: Some(data), .. })) => data.len,
            _ => 0,
        }
    }

    /// True if the answer must not wait: an error, or a reader that has to go back.
    pub(super) fn is_urgent(&self) -> bool {
        match &self.result {
            None => self.place.is_none(),
            Some(Ok(read)) => read.diverging.is_some(),
            Some(Err(_)) => true,
        }
    }
}

/// Sorts out the session and lists what is to be read.
pub(super) fn begin(api: &Api, walk: &FetchWalk<'_>) -> Result<(Session, Vec<Item>), SessionError> {
    let by_id = walk.version >= BY_ID_FROM;
    let mut sessions = api.fetches.sessions.borrow_mut();
    match sessions.begin(walk.session_id, walk.session_epoch, by_id)? {
        Begin::Sessionless => Ok((Session::None, of_request(api, walk, by_id))),
        Begin::Full => {
            let mut list = Partitions::new(by_id);
            change(&mut list, walk, by_id);
            let items = of_list(api, &list);
            Ok((Session::Wanted(list), items))
        }
        Begin::Incremental(list) => {
            change(list, walk, by_id);
            let items = of_list(api, list);
            let id = walk.session_id;
            match sessions.updated(id, api.core.wall_ms())? {
                Updated::Epoch(epoch) => Ok((Session::Incremental { id, epoch }, items)),
                Updated::Closed => Ok((Session::None, Vec::new())),
            }
        }
    }
}

fn of_request(api: &Api, walk: &FetchWalk<'_>, by_id: bool) -> Vec<Item> {
    let mut items = Vec::with_capacity(walk.partition_count());
    for topic in walk.topics() {
        let key = if by_id { TopicKey::Id(topic.topic_id) } else { TopicKey::Name(topic.name) };
        items.extend(
            topic.partitions.map(|partition| Item::new(api, key, partition.partition, wanted(&partition), None)),
        );
    }
    items
}

fn of_list(api: &Api, list: &Partitions) -> Vec<Item> {
    let each = list
        .iter()
        .map(|(slot, partition)| Item::new(api, list.topic(partition), partition.index, partition.wanted, Some(slot)));
    each.collect()
}

fn change(list: &mut Partitions, walk: &FetchWalk<'_>, by_id: bool) {
    for topic in walk.topics() {
        let key = if by_id { TopicKey::Id(topic.topic_id) } else { TopicKey::Name(topic.name) };
        for partition in topic.partitions {
            list.set(key, partition.partition, wanted(&partition));
        }
    }
    for topic in walk.forgotten() {
        let key = if by_id { TopicKey::Id(topic.topic_id) } else { TopicKey::Name(topic.name) };
        for index in topic.partitions {
            list.forget(key, index);
        }
    }
}

fn wanted(partition: &wire::generated::fetch_request::FetchPartition) -> Wanted {
    Wanted {
        fetch_offset: partition.fetch_offset,
        current_leader_epoch: partition.current_leader_epoch,
        last_fetched_epoch: partition.last_fetched_epoch,
        max_bytes: partition.partition_max_bytes,
        log_start_offset: partition.log_start_offset,
    }
}
