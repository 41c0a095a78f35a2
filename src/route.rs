//! Topic and partition -> the shard that owns it. A plain call when it is ours, one `Call` when it is not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use foldhash::HashMap;
use shards::{Core, Lane, ShardId};
use state::metadata::{Image, TopicChange, shard_of};
use wire::Uuid;

use crate::calls::{
    AlterLogDir, Answer, Append, Call, ControlReply, ControlRequest, GroupAsk, ListedGroups, LogDirsAltered, Query,
    Read, Ticket,
};
use crate::tickets::Tickets;

/// Where a partition lives, seen from this shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Here,
    There(ShardId),
}

/// What routing needs to know of a topic.
#[derive(Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: Uuid,
    pub name: Arc<str>,
    /// The owner of each partition.
    owners: Vec<ShardId>,
}

impl Topic {
    pub fn unknown_name(name: &str) -> Self {
        Self { id: Uuid::ZERO, name: Arc::from(name), owners: Vec::new() }
    }

    pub fn unknown_id(id: Uuid) -> Self {
        Self { id, name: Arc::from(""), owners: Vec::new() }
    }

    pub fn partition_count(&self) -> i32 {
        self.owners.len() as i32
    }
}

/// The shard on which the controller lives.
pub const CONTROLLER: ShardId = ShardId(0);

pub struct Router {
    core: Core<Call>,
    image: RefCell<Arc<Image>>,
    topics: RefCell<Topics>,
    asks: RefCell<Tickets<Ask>>,
}

#[derive(Default)]
struct Topics {
    by_name: HashMap<Arc<str>, Rc<Topic>>,
    by_id: HashMap<Uuid, Rc<Topic>>,
}

/// A question under way: its answer, or who waits for it.
#[derive(Default)]
struct Ask {
    answer: Option<Heard>,
    waker: Option<Waker>,
}

enum Heard {
    Answer(Box<Answer>),
    Controlled(Box<ControlReply>),
    LogDirsAltered(LogDirsAltered),
    Listed(ListedGroups),
}

impl Router {
    pub fn new(core: Core<Call>, image: Arc<Image>) -> Self {
        let nothing = RefCell::new(Arc::new(Image::new(image.cluster_id())));
        let router = Self { core, image: nothing, topics: RefCell::default(), asks: RefCell::default() };
        router.apply(image);
        router
    }

    pub fn image(&self) -> Arc<Image> {
        Arc::clone(&self.image.borrow())
    }

    /// Takes over a newer image; only what changed is routed anew.
    pub fn apply(&self, image: Arc<Image>) {
        let mut topics = self.topics.borrow_mut();
        for change in image.topic_changes(&self.image.borrow()) {
            let route = match &change {
                TopicChange::Deleted(topic) => {
                    topics.by_name.remove(&*topic.name);
                    topics.by_id.remove(&topic.id);
                    continue;
                }
                TopicChange::Created(topic) | TopicChange::Changed { new: topic, .. } => self.route(topic),
            };
            topics.by_name.insert(Arc::clone(&route.name), Rc::clone(&route));
            topics.by_id.insert(route.id, route);
        }
        *self.image.borrow_mut() = image;
    }

    fn route(&self, topic: &state::metadata::Topic) -> Rc<Topic> {
        let count = self.core.count();
        let owner = |index: usize| ShardId(shard_of(topic.id, index as i32, count));
        Rc::new(Topic {
            id: topic.id,
            name: Arc::from(topic.name.as_ref()),
            owners: (0..topic.partitions.len()).map(owner).collect(),
        })
    }

    pub fn topic(&self, name: &str) -> Option<Rc<Topic>> {
        self.topics.borrow().by_name.get(name).cloned()
    }

    pub fn topic_by_id(&self, id: &Uuid) -> Option<Rc<Topic>> {
        self.topics.borrow().by_id.get(id).cloned()
    }

    pub fn place(&self, topic: &Topic, index: i32) -> Option<Place> {
        let owner = *topic.owners.get(usize::try_from(index).ok()?)?;
        Some(if owner == self.core.id() { Place::Here } else { Place::There(owner) })
    }

    pub fn append(&self, to: ShardId, append: Append) {
        self.core.call(to, Lane::Request, Call::Append(Box::new(append)));
    }

    pub fn read(&self, to: ShardId, read: Read) {
        self.core.call(to, Lane::Request, Call::Read(read));
    }

    pub fn unwatch(&self, to: ShardId, fetch: Ticket) {
        self.core.call(to, Lane::Request, Call::Unwatch { fetch });
    }

    /// Asks the owner of some partitions.
    pub async fn ask(&self, to: ShardId, query: Query) -> Answer {
        match self.hear(to, |ask| Call::Ask { ask, query: Box::new(query) }).await {
            Heard::Answer(answer) => *answer,
            _ => unreachable!("a question is answered by an answer"),
        }
    }

    /// Hands work to the controller.
    pub async fn control(&self, request: ControlRequest) -> ControlReply {
        match self.hear(CONTROLLER, |ask| Call::Control { ask, request: Box::new(request) }).await {
            Heard::Controlled(reply) => *reply,
            _ => unreachable!("the controller replies as controller"),
        }
    }

    pub fn group(&self, to: ShardId, ask: GroupAsk) {
        self.core.call(to, Lane::Request, Call::Group(Box::new(ask)));
    }

    /// Has replicas of a shard's lie in other log directories.
    pub async fn alter_log_dirs(&self, of: ShardId, replicas: Vec<AlterLogDir>) -> LogDirsAltered {
        match self.hear(of, |ask| Call::AlterLogDirs { ask, replicas }).await {
            Heard::LogDirsAltered(results) => results,
            _ => unreachable!("what became of moves is what was asked for"),
        }
    }

    /// All groups of a shard.
    pub async fn list_groups(&self, of: ShardId) -> ListedGroups {
        match self.hear(of, |ask| Call::ListGroups { ask }).await {
            Heard::Listed(groups) => groups,
            _ => unreachable!("groups are what was asked for"),
        }
    }

    pub fn answered(&self, ask: Ticket, answer: Box<Answer>) {
        self.settle(ask, Heard::Answer(answer));
    }

    pub fn controlled(&self, ask: Ticket, reply: Box<ControlReply>) {
        self.settle(ask, Heard::Controlled(reply));
    }

    pub fn log_dirs_altered(&self, ask: Ticket, results: LogDirsAltered) {
        self.settle(ask, Heard::LogDirsAltered(results));
    }

    pub fn groups_listed(&self, ask: Ticket, groups: ListedGroups) {
        self.settle(ask, Heard::Listed(groups));
    }

    fn settle(&self, ask: Ticket, heard: Heard) {
        let mut asks = self.asks.borrow_mut();
        let Some(ask) = asks.get_mut(ask) else { return };
        ask.answer = Some(heard);
        if let Some(waker) = ask.waker.take() {
            waker.wake();
        }
    }

    /// Sends a question, and waits for what comes back under its ticket.
    fn hear(&self, to: ShardId, question: impl FnOnce(Ticket) -> Call) -> Hearing<'_> {
        let ask = self.asks.borrow_mut().insert(Ask::default());
        self.core.call(to, Lane::Request, question(ask));
        Hearing { router: self, ask }
    }

    /// Groups `items` by the shard that owns them.
    pub fn by_owner<T>(&self, items: impl Iterator<Item = (Place, T)>) -> BTreeMap<u16, Vec<T>> {
        let mut groups: BTreeMap<u16, Vec<T>> = BTreeMap::new();
        for (place, item) in items {
            let shard = match place {
                Place::Here => self.core.id(),
                Place::There(shard) => shard,
            };
            groups.entry(shard.0).or_default().push(item);
        }
        groups
    }
}

/// Waits for the answer of one question.
struct Hearing<'a> {
    router: &'a Router,
    ask: Ticket,
}

impl Future for Hearing<'_> {
    type Output = Heard;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Heard> {
        let mut asks = self.router.asks.borrow_mut();
        let Some(ask) = asks.get_mut(self.ask) else { unreachable!("an ask lives until it was heard") };
        match ask.answer.take() {
            Some(heard) => {
                asks.remove(self.ask);
                Poll::Ready(heard)
            }
            None => {
                ask.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        self.router.asks.borrow_mut().remove(self.ask);
    }
}
