//! Telemetry of clients (KIP-714) on one shard: what `state::telemetry` decides, with the clock, the chance and the
//! subscriptions that it needs; and what comes is counted. Where `ringmill.client.telemetry` is off there is none of this.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use shards::{Core, SocketId};
use state::metadata::{Image, ResourceType};
use state::telemetry::{Asked, Client, Push, Telemetry, TelemetryError, TelemetryLimits};
use wire::Uuid;
use wire::records::{Codec, Scratch, decompress};

use crate::calls::Call;
use crate::chance::Chance;
use crate::config::{Broker, client_metrics};
use crate::metrics::client_metrics::ClientMetrics;
use crate::metrics::log as lines;
use crate::route::CONTROLLER;

/// Clients that a broker knows at a time, over all shards (`ClientMetricsManager.CACHE_MAX_SIZE`).
const INSTANCES_MAX: usize = 16_384;

/// A client's name for its software is not kept beyond this; Kafka has no bound.
const SOFTWARE_BYTES_MAX: usize = 256;

/// What Kafka calls software that has not said what it is (`ClientInformation`).
const UNKNOWN: &str = "unknown";

/// How often outdated clients are looked for, and what was counted is told, where it changed.
const HOUSEKEEPING_MS: u64 = 60_000;

/// The clients of one shard that are asked for their metrics, and what they sent.
pub struct ClientTelemetry {
    core: Core<Call>,
    push_bytes_max: usize,
    state: RefCell<Telemetry>,
    connections: RefCell<HashMap<SocketId, Connection>>,
    chance: RefCell<Chance>,
    scratch: RefCell<Scratch>,
    /// What a push decompresses to; nobody reads it.
    metrics: RefCell<Vec<u8>>,
    counts: Cell<ClientMetrics>,
    told: Cell<ClientMetrics>,
    sweep_due_ms: Cell<u64>,
    tell_due_ms: Cell<u64>,
}

/// What is known of a connection.
#[derive(Default)]
struct Connection {
    /// Name and version of the client's software, as its ApiVersions says.
    software: Option<(Box<str>, Box<str>)>,
    /// The client that last used it.
    instance: Option<Uuid>,
}

/// Who sends a request.
pub struct Caller<'a> {
    pub socket: SocketId,
    pub client_id: Option<&'a str>,
    pub peer: SocketAddr,
    /// The peer's, as Java writes it.
    pub address: &'a str,
}

impl ClientTelemetry {
    /// Errors: the system's source of random numbers can't be opened.
    pub fn new(core: Core<Call>, settings: &Broker, image: &Image) -> io::Result<Self> {
        let push_bytes_max = settings.telemetry_max_bytes as usize;
        let instances = INSTANCES_MAX.div_ceil(usize::from(core.count()));
        let limits = TelemetryLimits { instances, push_bytes: push_bytes_max };
        let telemetry = Self {
            core,
            push_bytes_max,
            state: RefCell::new(Telemetry::new(limits)),
            connections: RefCell::default(),
            chance: RefCell::new(Chance::open()?),
            scratch: RefCell::default(),
            metrics: RefCell::default(),
            counts: Cell::default(),
            told: Cell::default(),
            sweep_due_ms: Cell::default(),
            tell_due_ms: Cell::default(),
        };
        telemetry.subscribe(image);
        Ok(telemetry)
    }

    /// Follows a newer image, if its subscriptions are others.
    pub fn apply(&self, image: &Arc<Image>, old: &Arc<Image>) {
        if image.config_changes(old).iter().any(|resource| resource.kind == ResourceType::ClientMetrics) {
            self.subscribe(image);
        }
    }

    fn subscribe(&self, image: &Image) {
        let resources = image.config_resources().filter(|(resource, _)| resource.kind == ResourceType::ClientMetrics);
        let subscription = |(resource, configs): (&state::metadata::ConfigResource, _)| {
            let (subscription, error) = client_metrics::subscription(configs);
            // All shards find the same; one says so.
            if let Some(error) = error.filter(|_| self.core.id() == CONTROLLER) {
                lines::warn(format_args!("client-metrics {} means no client: {error}", resource.name));
            }
            subscription
        };
        self.state.borrow_mut().subscribe(resources.map(subscription).collect());
    }

    /// What the software of a connection says of itself.
    pub fn introduced(&self, socket: SocketId, name: &str, version: &str) {
        if [name, version].iter().all(|text| !text.is_empty() && text.len() <= SOFTWARE_BYTES_MAX) {
            let mut connections = self.connections.borrow_mut();
            connections.entry(socket).or_default().software = Some((name.into(), version.into()));
        }
    }

    /// A client asks what it shall send; `told` hears its instance id and the answer.
    pub fn ask<T>(
        &self,
        caller: &Caller<'_>,
        instance: Uuid,
        told: impl FnOnce(Uuid, Asked<'_>) -> T,
    ) -> Result<T, TelemetryError> {
        let (mut state, mut chance) = (self.state.borrow_mut(), self.chance.borrow_mut());
        let result = self.with_client(caller, |client| {
            let asked = state.ask(self.now_ms(), instance, client, &mut || chance.uuid());
            asked.map(|(id, asked)| (id, told(id, asked)))
        });
        match &result {
            Ok((id, _)) => self.used_by(caller.socket, *id),
            Err(error) => self.count(|counts| counts.refused(*error)),
        }
        result.map(|(_, told)| told)
    }

    /// A client pushes `metrics`, compressed as `push` says.
    pub fn push(&self, caller: &Caller<'_>, push: &Push, metrics: &[u8]) -> Result<(), TelemetryError> {
        let result = self.with_client(caller, |client| self.state.borrow_mut().push(self.now_ms(), push, client));
        if result != Err(TelemetryError::InvalidRequest) {
            self.used_by(caller.socket, push.instance);
        }
        if let Err(error) = result {
            self.count(|counts| counts.refused(error));
            return result;
        }
        if metrics.is_empty() {
            return Ok(());
        }
        let read = self.read(push.compression_type, metrics);
        self.count(|counts| match read {
            Ok(bytes) => {
                counts.plugin_export += 1;
                counts.plugin_export_bytes += bytes as u64;
            }
            Err(_) => counts.plugin_error += 1,
        });
        read.map(|_| ())
    }

    /// Decompresses a push, and tells how many bytes it has. No more than a push may have is ever made of one; Apache Kafka
    /// takes one of which more would come for damaged, not for too large.
    fn read(&self, compression_type: i8, metrics: &[u8]) -> Result<usize, TelemetryError> {
        let codec = u8::try_from(compression_type).ok().and_then(Codec::from_id);
        let codec = codec.ok_or(TelemetryError::UnsupportedCompression)?;
        let (mut scratch, mut plain) = (self.scratch.borrow_mut(), self.metrics.borrow_mut());
        plain.clear();
        let result = decompress(codec, metrics, self.push_bytes_max, &mut scratch, &mut plain);
        result.map(|()| plain.len()).map_err(|_| TelemetryError::InvalidRecord)
    }

    pub fn closed(&self, socket: SocketId) {
        let gone = self.connections.borrow_mut().remove(&socket);
        if let Some(instance) = gone.and_then(|connection| connection.instance) {
            self.state.borrow_mut().forget(instance);
        }
    }

    /// Forgets outdated clients and tells what was counted, when it is time; call about once a second.
    pub fn keep_house(&self) {
        let now_ms = self.now_ms();
        if now_ms >= self.sweep_due_ms.get() {
            self.sweep_due_ms.set(now_ms + HOUSEKEEPING_MS);
            self.state.borrow_mut().expire(now_ms);
        }
        // The first news after a while are told at once.
        if now_ms >= self.tell_due_ms.get() && self.tell() {
            self.tell_due_ms.set(now_ms + HOUSEKEEPING_MS);
        }
    }

    /// Tells what was counted. `false`: it is what was told before.
    pub fn tell(&self) -> bool {
        let counts = ClientMetrics { instance_count: self.state.borrow().len() as u64, ..self.counts.get() };
        let is_news = self.told.replace(counts) != counts;
        if is_news {
            lines::info(format_args!("client-metrics of shard {}: {counts}", self.core.id().0));
        }
        is_news
    }

    fn with_client<T>(&self, caller: &Caller<'_>, each: impl FnOnce(&Client<'_>) -> T) -> T {
        let connections = self.connections.borrow();
        let software = connections.get(&caller.socket).and_then(|connection| connection.software.as_ref());
        let (software_name, software_version) =
            software.map_or((UNKNOWN, UNKNOWN), |(name, version)| (&**name, &**version));
        let (address, port) = (caller.address, caller.peer.port());
        each(&Client { id: caller.client_id, software_name, software_version, address, port })
    }

    fn used_by(&self, socket: SocketId, instance: Uuid) {
        self.connections.borrow_mut().entry(socket).or_default().instance = Some(instance);
    }

    fn count(&self, change: impl FnOnce(&mut ClientMetrics)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    fn now_ms(&self) -> u64 {
        self.core.now().0 / 1_000_000
    }
}

impl ClientMetrics {
    fn refused(&mut self, error: TelemetryError) {
        *match error {
            TelemetryError::Throttled => &mut self.throttle,
            TelemetryError::UnknownSubscription => &mut self.unknown_subscription_request,
            _ => &mut self.invalid_request,
        } += 1;
    }
}
