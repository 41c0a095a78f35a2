//! The APIs of the protocol: one table, one file for each API. Errors of the rooms below become Kafka's codes here and
//! nowhere else.

mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod answers;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod control;
mod delete_groups;
mod delete_records;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod elect_leaders;
mod fetch;
mod find_coordinator;
mod get_telemetry_subscriptions;
mod group_asks;
mod group_errors;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod nodes;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod push_telemetry;
mod sync_group;
mod table;
mod topics;

use std::cell::{Cell, OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use shards::{Chunk, Core, Lane, Nanos, ShardId, SocketId};
use state::metadata::Image;
use wire::codec::{DecodeError, Decoder, Encoder};
use wire::header::{RequestHeader, encode_response_header};
use wire::{ApiKey, Message};

use crate::calls::{Appended, Call, Grouped, Query, ReadDone, Ticket};
use crate::config::Broker;
use crate::config::listener::Side;
use crate::controller::Controller;
use crate::groups::Coordinators;
use crate::net::{Handler, Outcome, Reply, Request, Sequence};
use crate::partition::Partitions;
use crate::route::{CONTROLLER, Router};
use crate::telemetry::ClientTelemetry;
use control::Control;
use nodes::Nodes;

pub use table::listing;

/// What the handlers of one shard work with.
pub struct Api {
    pub(crate) core: Core<Call>,
    pub(crate) settings: Arc<Broker>,
    pub(crate) nodes: Nodes,
    pub(crate) router: Rc<Router>,
    pub(crate) partitions: Rc<Partitions>,
    pub(crate) groups: Rc<Coordinators>,
    /// Where clients are asked for their metrics (`ringmill.client.telemetry`).
    pub(crate) telemetry: Option<ClientTelemetry>,
    produces: produce::Produces,
    fetches: fetch::Fetches,
    group_asks: group_asks::GroupAsks,
    creating: find_coordinator::Creating,
    ready: RefCell<Vec<(ReplyTo, Option<Reply>)>>,
    expiries: RefCell<BinaryHeap<Reverse<(Nanos, u32, u32)>>>,
    myself: std::rc::Weak<Api>,
    /// The next producer id of this shard's block, and the end of the block.
    producer_ids: Cell<(i64, i64)>,
    /// The image that is to be applied next.
    newest: RefCell<Option<Arc<Image>>>,
    applying: Cell<bool>,
    /// On shard 0.
    control: OnceCell<Control>,
}

/// One request while it is handled. Clones share its bytes.
#[derive(Clone)]
pub(crate) struct Context {
    listener: usize,
    side: Side,
    /// `None` for what the controller carries out.
    peer: Option<SocketAddr>,
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    /// The whole request; its body starts at `body_at`.
    frame: Chunk,
    body_at: usize,
}

/// What a response has to know of its request.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    key: ApiKey,
    version: i16,
    correlation_id: i32,
}

/// Where a reply belongs: a connection, and its place among the replies there.
#[derive(Clone, Copy)]
pub(crate) struct ReplyTo {
    socket: SocketId,
    sequence: Sequence,
}

impl Api {
    pub fn new(
        core: Core<Call>,
        settings: Arc<Broker>,
        router: Rc<Router>,
        partitions: Rc<Partitions>,
        groups: Rc<Coordinators>,
        telemetry: Option<ClientTelemetry>,
    ) -> Rc<Self> {
        let slots = settings.fetch_session_slots.div_ceil(usize::from(core.count()));
        let seed = core.wall_ms() as u32 ^ core.now().0 as u32;
        let fetches = fetch::Fetches::new(core.id().0, core.count(), slots, seed);
        let nodes = Nodes::new(settings.node_id, settings.addressing, core.count());
        Rc::new_cyclic(|myself| Self {
            core,
            settings,
            nodes,
            router,
            partitions,
            groups,
            telemetry,
            produces: produce::Produces::default(),
            fetches,
            group_asks: group_asks::GroupAsks::default(),
            creating: find_coordinator::Creating::default(),
            ready: RefCell::default(),
            expiries: RefCell::default(),
            myself: myself.clone(),
            producer_ids: Cell::new((0, 0)),
            newest: RefCell::default(),
            applying: Cell::new(false),
            control: OnceCell::new(),
        })
    }

    /// The controller lives beside this shard's handlers from now on.
    pub fn host_controller(&self, controller: Controller) {
        let control = Control::new(controller, self.core.count());
        assert!(self.control.set(control).is_ok(), "there is one controller");
    }

    /// The controller's newest image has come: partitions are opened and closed after it, then routes lead to them, then
    /// the controller hears. One image at a time; of several that wait the newest counts, since it contains the others.
    pub fn apply(&self, image: Arc<Image>) {
        self.newest.replace(Some(image));
        if self.applying.replace(true) {
            return;
        }
        let api = self.shared();
        self.core.spawn(async move {
            while let Some(image) = api.take_newest() {
                let version = image.version();
                api.partitions.apply(&image, &api.settings).await;
                api.groups.apply(&image);
                if let Some(telemetry) = &api.telemetry {
                    telemetry.apply(&image, &api.router.image());
                }
                api.router.apply(image);
                api.core.call(CONTROLLER, Lane::Reply, Call::Applied { version });
                // Those who waited for a deleted partition are let go in settle.
                api.core.wake_at(Nanos(0));
            }
        });
    }

    /// `None`, and the end of applying, where no image waits.
    fn take_newest(&self) -> Option<Arc<Image>> {
        let newest = self.newest.take();
        self.applying.set(newest.is_some());
        newest
    }

    /// Answers a question of another shard's about partitions of this one.
    pub fn asked(&self, from: ShardId, ask: Ticket, query: Query) {
        let core = self.core.clone();
        self.partitions.answer(query, move |answer| {
            core.call(from, Lane::Reply, Call::Answer { ask, answer: Box::new(answer) });
        });
    }

    pub fn appended(&self, appended: Appended) {
        produce::appended(self, appended);
    }

    /// What a coordinator says to a request of this shard's.
    pub fn grouped(&self, grouped: Grouped) {
        group_asks::grouped(self, grouped);
    }

    pub fn read_done(&self, done: ReadDone) {
        fetch::read_done(self, done);
    }

    pub fn grew(&self, fetch: Ticket, bytes: u64) {
        fetch::grew(self, fetch, bytes);
    }

    pub fn closed(&self, socket: SocketId) {
        fetch::forget(self, socket);
        if let Some(telemetry) = &self.telemetry {
            telemetry.closed(socket);
        }
    }

    /// Answers the fetches whose time is over.
    pub fn expire(&self) {
        let now = self.core.now();
        loop {
            let mut expiries = self.expiries.borrow_mut();
            let Some(Reverse((deadline, index, generation))) = expiries.peek().copied() else { return };
            if deadline > now {
                self.core.wake_at(deadline);
                return;
            }
            expiries.pop();
            drop(expiries);
            fetch::expired(self, Ticket { index, generation });
        }
    }

    /// Runs `each` on the replies that became ready since the last call.
    pub fn drain_ready(&self, mut each: impl FnMut(SocketId, Sequence, Option<Reply>)) -> bool {
        let mut ready = std::mem::take(&mut *self.ready.borrow_mut());
        let any = !ready.is_empty();
        for (to, reply) in ready.drain(..) {
            each(to.socket, to.sequence, reply);
        }
        let mut kept = self.ready.borrow_mut();
        if kept.is_empty() {
            *kept = ready;
        }
        any
    }

    /// Hands in the reply to a request that was answered later; `None` closes the connection instead.
    fn settle_reply(&self, to: ReplyTo, reply: Option<Reply>) {
        self.ready.borrow_mut().push((to, reply));
    }

    fn expire_at(&self, deadline: Nanos, ticket: Ticket) {
        self.expiries.borrow_mut().push(Reverse((deadline, ticket.index, ticket.generation)));
        self.core.wake_at(deadline);
    }

    /// Runs a handler that waits for others, and hands in its reply.
    fn spawn(&self, to: ReplyTo, reply: impl Future<Output = Option<Reply>> + 'static) -> Outcome {
        let Some(api) = self.myself.upgrade() else { return Outcome::Close("the shard is stopping".into()) };
        self.core.spawn(async move {
            let reply = reply.await;
            api.settle_reply(to, reply);
            api.core.wake_at(Nanos(0));
        });
        Outcome::Later
    }

    /// Whether API versions that may still change are offered (`unstable.api.versions.enable`).
    fn offers_unstable(&self) -> bool {
        self.settings.said.get("unstable.api.versions.enable").is_some_and(|text| text == "true")
    }

    /// Telemetry is offered where somebody receives it, as in Kafka.
    fn offers(&self, entry: &table::Entry) -> bool {
        !entry.is_telemetry() || self.telemetry.is_some()
    }

    /// The handle that tasks keep.
    fn shared(&self) -> Rc<Api> {
        self.myself.upgrade().expect("handlers run while their shard lives")
    }
}

impl Handler for Api {
    /// Produce alone. OffsetCommit could: its order is fixed when the coordinator hears it. But a client waits for one
    /// commit before it sends the next, or holds at most a few; such a few are read together and leave one after the other in
    /// the wakes that follow. Apache Kafka handles one request of a connection at a time, so to let commits overlap would
    /// gain a figure and not a client, and make what comes after a refused one depend on timing.
    fn may_overlap(&self, frame: &[u8]) -> bool {
        matches!(RequestHeader::peek(frame), Some((key, _)) if key == ApiKey::Produce as i16)
    }

    fn handle(&self, request: Request) -> Outcome {
        let Some((key, version)) = RequestHeader::peek(&request.frame) else {
            return Outcome::Close("a request shorter than its header".into());
        };
        let side = self.settings.listeners.side(request.listener);
        let Some(entry) = table::find(side, key).filter(|entry| self.offers(entry)) else {
            return Outcome::Close(format!("API key {key} is not enabled on this listener"));
        };
        if !entry.accepts(version, || self.offers_unstable()) {
            if entry.key == ApiKey::ApiVersions {
                return api_versions::unsupported(&request.frame);
            }
            return Outcome::Close(format!("{} version {version} is not supported", entry.key.name()));
        }
        let to = ReplyTo { socket: request.socket, sequence: request.sequence };
        let (origin, peer) = ((request.listener, side), Some(request.peer));
        let cx = Context::new(entry.key, version, origin, request.frame).map(|cx| Context { peer, ..cx });
        cx.and_then(|cx| entry.handle(self, &cx, to)).unwrap_or_else(Outcome::Close)
    }
}

impl Context {
    fn new(key: ApiKey, version: i16, (listener, side): (usize, Side), frame: Chunk) -> Result<Self, String> {
        let mut d = Decoder::new(&frame);
        let header = RequestHeader::decode(&mut d, key.request_header_version(version));
        let correlation_id = header.map_err(|error| format!("bad request header: {error}"))?.correlation_id;
        let body_at = d.position();
        Ok(Self { listener, side, peer: None, key, version, correlation_id, frame, body_at })
    }

    /// The name that the client gave itself.
    fn client_id(&self) -> Option<String> {
        let mut d = Decoder::new(&self.frame);
        let header = RequestHeader::decode(&mut d, self.key.request_header_version(self.version)).ok()?;
        header.client_id.map(|id| id.into_owned())
    }

    /// Where the client is, as Java writes an address: IPv6 without abbreviation.
    fn client_address(&self) -> String {
        self.peer.map_or_else(String::new, |peer| java_address(peer.ip()))
    }

    /// A decoder that stands at the body; positions are those of the frame.
    fn body(&self) -> Decoder<'_> {
        let mut d = Decoder::new(&self.frame);
        d.skip(self.body_at).expect("the header was read before");
        d
    }

    fn malformed(&self, error: DecodeError) -> String {
        format!("{} version {}: {error}", self.key.name(), self.version)
    }

    /// For handlers that answer later.
    fn later(&self) -> Self {
        self.clone()
    }

    /// The request's body as `T`; the error text says what is wrong with it.
    fn decode<'a, T: Message<'a>>(&'a self) -> Result<T, String> {
        let mut d = self.body();
        let request = T::decode(&mut d, self.version).and_then(|request| d.finish().map(|()| request));
        request.map_err(|error| self.malformed(error))
    }

    /// A whole response frame.
    fn reply<'a>(&self, response: &impl Message<'a>) -> Reply {
        self.form().reply(response)
    }

    /// For answers that come later and need nothing of the request's bytes.
    fn form(&self) -> Form {
        Form { key: self.key, version: self.version, correlation_id: self.correlation_id }
    }
}

impl Form {
    /// A whole response frame.
    fn reply<'a>(self, response: &impl Message<'a>) -> Reply {
        let mut e = open_response(self.key, self.version, self.correlation_id);
        response.encode(&mut e, self.version);
        e.end_frame();
        Reply::bytes(e.buf)
    }
}

fn java_address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let groups = address.segments().map(|segment| format!("{segment:x}"));
            groups.join(":")
        }
    }
}

/// Starts a response frame: its size is filled in by `end_frame`.
fn open_response(key: ApiKey, version: i16, correlation_id: i32) -> Encoder {
    let mut e = Encoder::with_capacity(128);
    e.begin_frame();
    encode_response_header(&mut e, correlation_id, key.response_header_version(version));
    e
}

#[cfg(test)]
mod tests {
    use super::java_address;

    #[test]
    fn addresses_are_written_as_java_does() {
        for (text, java) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("fe80::12:0:a", "fe80:0:0:0:0:12:0:a"),
        ] {
            assert_eq!(java_address(text.parse().unwrap()), java);
        }
    }
}
