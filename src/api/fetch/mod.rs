//! Fetch (key 1): plans which bytes of which files go out, waits while there are too few, and sends them from the page
//! cache without touching them.
//!
//! `plan` says what is read and in which order, `respond` makes the answer, this file is a fetch's way from one to the
//! other: read, perhaps wait for other shards, perhaps for data, answer.

mod plan;
mod respond;

use std::cell::{Cell, RefCell};

use shards::{Nanos, SocketId};
use state::fetch_session::{FetchSessions, Partitions, SessionError, SessionLimits};
use wire::ErrorCode;
use wire::fetch_walk::FetchWalk;

use super::{Api, Context, ReplyTo};
use crate::calls::{Read, ReadDone, ReadError, ReadSpec, Ticket};
use crate::net::{Outcome, Reply};
use crate::route::Place;
use crate::tickets::Tickets;
use plan::Item;

/// Consumers read with isolation level 1 only what is committed.
const READ_COMMITTED: i8 = 1;

/// Fetches that wait for other shards or for data, and the sessions that shorten their requests.
pub(super) struct Fetches {
    pending: RefCell<Tickets<Pending>>,
    sessions: RefCell<FetchSessions>,
    chance: Cell<u32>,
}

struct Pending {
    to: ReplyTo,
    version: i16,
    correlation_id: i32,
    bytes_min: u64,
    bytes_max: u64,
    /// When to answer with whatever there is.
    deadline: Nanos,
    committed_only: bool,
    items: Vec<Item>,
    /// Answers of other shards that have not come.
    missing: u32,
    /// This shard's partitions tell it when they grow.
    watching: bool,
    /// A partition grew while answers of other shards were still to come: look again when they are here.
    stale: bool,
    /// Bytes that have to be appended before it is worth looking again; `None` until it is parked.
    wanted: Option<i64>,
    session: Session,
}

/// How the fetch relates to a session (KIP-227).
enum Session {
    None,
    /// A full fetch that asks for one: the list it will hold.
    Wanted(Partitions),
    /// The request with this epoch in the session with this id.
    Incremental {
        id: i32,
        epoch: i32,
    },
}

impl Fetches {
    /// Session ids are this shard's part of all ids; `seed` makes them hard to guess.
    pub(super) fn new(shard: u16, shards: u16, slots: usize, seed: u32) -> Self {
        let span = i32::MAX / i32::from(shards.max(1));
        let first = span * i32::from(shard) + 1;
        let limits = SessionLimits { slots, ids: first..first + (span - 1), ..SessionLimits::default() };
        Self {
            pending: RefCell::default(),
            sessions: RefCell::new(FetchSessions::new(limits)),
            chance: Cell::new(seed | 1),
        }
    }

    /// Xorshift: session ids only have to differ and be unknown to other clients.
    fn chance(&self) -> u32 {
        let mut x = self.chance.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.chance.set(x);
        x
    }
}

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let walk = FetchWalk::new(cx.body(), cx.version).map_err(|error| cx.malformed(error))?;
    if walk.replica_id >= 0 {
        return Ok(Outcome::Reply(respond::refused(cx, ErrorCode::ClusterAuthorizationFailed)));
    }
    let (session, items) = match plan::begin(api, &walk) {
        Ok(planned) => planned,
        Err(error) => return Ok(Outcome::Reply(respond::refused(cx, session_code(error)))),
    };
    let bytes_max = (walk.max_bytes.max(0) as u64).min(u64::from(api.settings.fetch_max_bytes));
    let pending = Pending {
        to,
        version: cx.version,
        correlation_id: cx.correlation_id,
        bytes_min: (walk.min_bytes.max(0) as u64).min(bytes_max),
        bytes_max,
        deadline: Nanos(api.core.now().0 + walk.max_wait_ms.max(0) as u64 * 1_000_000),
        committed_only: walk.isolation_level == READ_COMMITTED,
        items,
        missing: 0,
        watching: false,
        stale: false,
        wanted: None,
        session,
    };
    let ticket = api.fetches.pending.borrow_mut().insert(pending);
    look(api, ticket);
    Ok(conclude(api, ticket).map_or(Outcome::Later, Outcome::Reply))
}

/// Forgets what a closed connection waited for.
pub(super) fn forget(api: &Api, socket: SocketId) {
    let of_socket = |(ticket, pending): (Ticket, &Pending)| (pending.to.socket == socket).then_some(ticket);
    let ticket = api.fetches.pending.borrow().iter().find_map(of_socket);
    let pending = ticket.and_then(|ticket| Some((ticket, api.fetches.pending.borrow_mut().remove(ticket)?)));
    if let Some((ticket, pending)) = pending {
        unwatch(api, ticket, &pending);
    }
}

/// Another shard has planned its part.
pub(super) fn read_done(api: &Api, done: ReadDone) {
    {
        let mut table = api.fetches.pending.borrow_mut();
        let Some(pending) = table.get_mut(done.fetch) else { return };
        if let Some(item) = pending.items.get_mut(done.item as usize) {
            item.result = Some(done.result);
            pending.missing = pending.missing.saturating_sub(1);
        }
        if pending.missing > 0 || !std::mem::take(&mut pending.stale) {
            drop(table);
            return go_on(api, done.fetch);
        }
    }
    look(api, done.fetch);
    go_on(api, done.fetch);
}

/// A watched partition has grown.
pub(super) fn grew(api: &Api, fetch: Ticket, bytes: u64) {
    {
        let mut table = api.fetches.pending.borrow_mut();
        let Some(pending) = table.get_mut(fetch) else { return };
        if pending.missing > 0 {
            pending.stale = true;
            return;
        }
        let Some(wanted) = &mut pending.wanted else { return };
        *wanted = wanted.saturating_sub_unsigned(bytes);
        if *wanted > 0 {
            return;
        }
    }
    look(api, fetch);
    go_on(api, fetch);
}

/// The time a fetch was ready to wait is over.
pub(super) fn expired(api: &Api, fetch: Ticket) {
    go_on(api, fetch);
}

fn go_on(api: &Api, ticket: Ticket) {
    let Some(to) = api.fetches.pending.borrow_mut().get_mut(ticket).map(|pending| pending.to) else { return };
    if let Some(reply) = conclude(api, ticket) {
        api.settle_reply(to, Some(reply));
    }
}

/// Plans every partition in the order of the request, each within what the ones before it left (KIP-74).
fn look(api: &Api, ticket: Ticket) {
    let mut table = api.fetches.pending.borrow_mut();
    let Some(pending) = table.get_mut(ticket) else { return };
    let (mut left, mut found) = (pending.bytes_max, false);
    let may_wait = pending.deadline > api.core.now();
    for (index, item) in pending.items.iter_mut().enumerate() {
        let Some(place) = item.place else { continue };
        let spec = ReadSpec {
            offset: item.wanted.fetch_offset,
            bytes_max: (item.wanted.max_bytes.max(0) as u64).min(left),
            at_least_one: !found,
            committed_only: pending.committed_only,
            current_leader_epoch: item.wanted.current_leader_epoch,
            last_fetched_epoch: item.wanted.last_fetched_epoch,
        };
        let mut read = Read { fetch: ticket, item: index as u32, partition: item.partition(), spec, watch: false };
        match place {
            Place::Here => {
                item.result = api.partitions.read(api.core.id(), &read);
                pending.missing += u32::from(item.result.is_none());
                left = left.saturating_sub(item.bytes());
                found |= item.bytes() > 0;
            }
            Place::There(shard) => {
                // The watch is set with the read, so that nothing is missed between the two.
                read.watch = may_wait;
                item.result = None;
                pending.missing += 1;
                api.router.read(shard, read);
            }
        }
    }
    // What is read here may grow while the answers of other shards are on their way.
    if pending.missing > 0 && may_wait {
        watch(api, ticket, pending);
    }
}

/// The reply, if there is enough to say or nothing left to wait for; else the fetch is parked.
fn conclude(api: &Api, ticket: Ticket) -> Option<Reply> {
    let mut table = api.fetches.pending.borrow_mut();
    let pending = table.get_mut(ticket)?;
    if pending.missing > 0 {
        return None;
    }
    clip(pending);
    let bytes: u64 = pending.items.iter().map(Item::bytes).sum();
    let enough = bytes >= pending.bytes_min || pending.items.is_empty() || pending.items.iter().any(Item::is_urgent);
    if !enough && api.core.now() < pending.deadline {
        let wanted = pending.bytes_min.saturating_sub(bytes) as i64;
        if pending.wanted.replace(wanted).is_none() {
            api.expire_at(pending.deadline, ticket);
        }
        watch(api, ticket, pending);
        return None;
    }
    let pending = table.remove(ticket)?;
    drop(table);
    unwatch(api, ticket, &pending);
    Some(respond::respond(api, pending))
}

/// Several shards planned at the same time, each as if it had the whole size to itself: keep within it now. A batch cut
/// at the end is legal.
fn clip(pending: &mut Pending) {
    let mut left = pending.bytes_max;
    let mut found = false;
    for item in &mut pending.items {
        let Some(Ok(read)) = &mut item.result else { continue };
        let Some(data) = &mut read.data else { continue };
        if found {
            data.len = data.len.min(left);
        }
        left = left.saturating_sub(data.len);
        found = true;
        if data.len == 0 {
            read.data = None;
        }
    }
}

fn watch(api: &Api, ticket: Ticket, pending: &mut Pending) {
    if std::mem::replace(&mut pending.watching, true) {
        return;
    }
    for item in pending.items.iter().filter(|item| item.place == Some(Place::Here)) {
        api.partitions.watch(api.core.id(), &item.partition(), ticket);
    }
}

/// Watches are set when a fetch begins to wait, and on other shards when it reads.
fn unwatch(api: &Api, ticket: Ticket, pending: &Pending) {
    let mut told = Vec::new();
    for item in &pending.items {
        match item.place {
            Some(Place::Here) if pending.watching => {
                api.partitions.unwatch(api.core.id(), &item.partition(), ticket);
            }
            Some(Place::There(shard)) if !told.contains(&shard) => {
                told.push(shard);
                api.router.unwatch(shard, ticket);
            }
            _ => {}
        }
    }
}

fn session_code(error: SessionError) -> ErrorCode {
    match error {
        SessionError::IdNotFound => ErrorCode::FetchSessionIdNotFound,
        SessionError::InvalidEpoch => ErrorCode::InvalidFetchSessionEpoch,
        SessionError::TopicId => ErrorCode::FetchSessionTopicIdError,
    }
}

pub(super) fn error_code(error: ReadError) -> ErrorCode {
    match error {
        ReadError::UnknownPartition => ErrorCode::NotLeaderOrFollower,
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
        ReadError::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
        ReadError::Storage => ErrorCode::KafkaStorageError,
    }
}
