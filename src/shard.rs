//! What one core owns, and the order in which it serves it.
//!
//! A wake brings events: bytes of sockets, calls of other shards, completed writes. Requests are handled as they are
//! read and their batches staged. When all events are delivered, [`Shard::settle`] stages what coordinators decided, writes
//! what was staged, one write a partition, tells those who wait, and sends the replies, one send a connection.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shards::{Chunk, Core, Counters, Lane, Service, ShardId, SocketId};
use state::group::Reply;

use crate::api::Api;
use crate::calls::{Append, Appended, Call, GroupAsk, Grouped, PartitionOffsets, Read, ReadDone, Ticket};
use crate::groups::{Asker, Coordinators};
use crate::net::Net;
use crate::partition::{Effect, Partitions, Taken, Waiter};
use crate::route::Router;

/// How often idle connections, retention and checkpoints are looked at.
const HOUSEKEEPING: Duration = Duration::from_millis(1000);

pub struct Shard {
    core: Core<Call>,
    net: Net,
    api: Rc<Api>,
    router: Rc<Router>,
    partitions: Rc<Partitions>,
    groups: Rc<Coordinators>,
    stopping: Cell<bool>,
    farewell: Arc<Mutex<Farewell>>,
}

/// What the shards leave behind when they stop; the last checkpoints are made of it.
#[derive(Debug, Default)]
pub struct Farewell {
    /// Where the partitions stood that were closed cleanly.
    pub offsets: Vec<PartitionOffsets>,
    /// Partitions that were not.
    pub unclean: usize,
    /// What each shard has done.
    pub counts: Vec<(ShardId, Counters)>,
}

impl Shard {
    pub fn new(core: Core<Call>, net: Net, api: Rc<Api>, farewell: Arc<Mutex<Farewell>>) -> Rc<Self> {
        let (router, partitions) = (Rc::clone(&api.router), Rc::clone(&api.partitions));
        let (groups, stopping) = (Rc::clone(&api.groups), Cell::new(false));
        let shard = Rc::new(Self { core, net, api, router, partitions, groups, stopping, farewell });
        shard.keep_house();
        shard.core.spawn(Rc::clone(&shard.partitions).clean_logs(Arc::clone(&shard.api.settings)));
        let api = Rc::clone(&shard.api);
        shard.core.spawn(async move { api.settle_directories().await });
        shard
    }

    /// Slow and periodic work, beside the events.
    fn keep_house(self: &Rc<Self>) {
        let shard = Rc::clone(self);
        self.core.spawn(async move {
            while !shard.stopping.get() {
                shard.core.sleep(HOUSEKEEPING).await;
                shard.net.sweep();
                shard.groups.keep_house();
                if let Some(telemetry) = &shard.api.telemetry {
                    telemetry.keep_house();
                }
                shard.partitions.keep_house(&shard.api.settings).await;
                shard.api.keep_controller().await;
            }
        });
    }

    fn append(&self, from: ShardId, append: Append) {
        let Append { produce, item, partition, acks, records } = append;
        let waiter = Waiter { shard: from, produce, item, acks };
        let result = match self.partitions.append(&partition, Chunk::from(records), waiter) {
            Ok(Taken::Staged | Taken::StillOnItsWay) => return,
            Ok(Taken::Duplicate(done)) => Ok(done),
            Err(error) => Err(error),
        };
        self.core.call(from, Lane::Reply, Call::Appended(Appended { produce, item, result }));
    }

    fn read(&self, from: ShardId, read: Read) {
        if let Some(result) = self.partitions.read(from, &read) {
            let done = ReadDone { fetch: read.fetch, item: read.item, result };
            self.core.call(from, Lane::Reply, Call::ReadDone(Box::new(done)));
        }
    }

    fn ask_group(&self, from: ShardId, question: GroupAsk) {
        let GroupAsk { ask, item, partition, request } = question;
        self.groups.handle(Asker { shard: from, ask, item }, partition, request);
    }

    fn list_groups(&self, from: ShardId, ask: Ticket) {
        let groups = self.groups.list();
        self.core.call(from, Lane::Reply, Call::GroupsListed { ask, groups });
    }

    fn tell_group(&self, asker: Asker, reply: Reply) {
        let Asker { shard, ask, item } = asker;
        let grouped = Grouped { ask, item, reply };
        if shard == self.core.id() {
            self.api.grouped(grouped);
        } else {
            self.core.call(shard, Lane::Reply, Call::Grouped(Box::new(grouped)));
        }
    }

    fn carry_out(&self, effect: Effect) {
        let here = self.core.id();
        match effect {
            Effect::Appended { to, appended } if to == here => self.api.appended(appended),
            Effect::Appended { to, appended } => self.core.call(to, Lane::Reply, Call::Appended(appended)),
            Effect::Grew { to, fetch, bytes } if to == here => self.api.grew(fetch, bytes),
            Effect::Grew { to, fetch, bytes } => self.core.call(to, Lane::Reply, Call::Grew { fetch, bytes }),
            Effect::Read { to, done } if to == here => self.api.read_done(done),
            Effect::Read { to, done } => self.core.call(to, Lane::Reply, Call::ReadDone(Box::new(done))),
            Effect::Kept { partition, batch, result } => self.groups.kept(partition, batch, result),
        }
    }
}

impl Service for Shard {
    type Call = Call;

    fn accepted(&self, socket: SocketId, listener: usize, peer: SocketAddr, _local: SocketAddr) {
        self.net.accepted(socket, listener, peer);
    }

    fn received(&self, socket: SocketId, chunk: Chunk) {
        self.net.received(socket, chunk, &*self.api);
    }

    fn closed(&self, socket: SocketId) {
        self.net.closed(socket);
        self.api.closed(socket);
    }

    fn sent(&self, socket: SocketId) {
        self.net.sent(socket, &*self.api);
    }

    fn called(&self, from: ShardId, call: Call) {
        match call {
            Call::Append(append) => self.append(from, *append),
            Call::Appended(appended) => self.api.appended(appended),
            Call::Read(read) => self.read(from, read),
            Call::ReadDone(done) => self.api.read_done(*done),
            Call::Grew { fetch, bytes } => self.api.grew(fetch, bytes),
            Call::Unwatch { fetch } => self.partitions.unwatch_all(from, fetch),
            Call::Ask { ask, query } => self.api.asked(from, ask, *query),
            Call::Answer { ask, answer } => self.router.answered(ask, answer),
            Call::Group(question) => self.ask_group(from, *question),
            Call::Grouped(grouped) => self.api.grouped(*grouped),
            Call::AlterLogDirs { ask, replicas } => self.api.alter_log_dirs(from, ask, replicas),
            Call::LogDirsAltered { ask, results } => self.router.log_dirs_altered(ask, results),
            Call::ListGroups { ask } => self.list_groups(from, ask),
            Call::GroupsListed { ask, groups } => self.router.groups_listed(ask, groups),
            Call::Control { ask, request } => self.api.control(from, ask, *request),
            Call::Controlled { ask, reply } => self.router.controlled(ask, reply),
            Call::Publish(image) => self.api.apply(image),
            Call::Applied { version } => self.api.applied(from, version),
        }
    }

    fn written(&self, token: u64, result: io::Result<()>) {
        self.partitions.written(token, result);
    }

    fn settle(&self) {
        self.net.go_on(&*self.api);
        self.api.expire();
        // Replies free connections to start what they held back, which may stage again: until nothing is left.
        loop {
            self.groups.settle();
            self.partitions.flush();
            self.partitions.drain_effects(|effect| self.carry_out(effect));
            self.groups.drain(|asker, reply| self.tell_group(asker, reply));
            let any =
                self.api.drain_ready(|socket, sequence, reply| self.net.reply(socket, sequence, reply, &*self.api));
            if !any {
                break;
            }
        }
    }

    fn stopping(&self) {
        if self.stopping.replace(true) {
            return;
        }
        self.groups.close();
        if let Some(telemetry) = &self.api.telemetry {
            telemetry.tell();
        }
        let (offsets, unclean) = self.partitions.close();
        let mut farewell = self.farewell.lock().unwrap_or_else(PoisonError::into_inner);
        farewell.offsets.extend(offsets);
        farewell.unclean += unclean;
        farewell.counts.push((self.core.id(), self.core.counters()));
        drop(farewell);
        self.api.close_controller();
        self.core.stopped();
    }
}
