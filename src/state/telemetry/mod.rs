//! Telemetry of clients (KIP-714): which client is asked for which metrics, and whether a push comes in its turn. Kafka's
//! `ClientMetricsManager` and `ClientMetricsInstance`.
//!
//! Each shard owns one [`Telemetry`] for its connections. A client that comes to another shard is new there, as it would be
//! at another broker: what it is asked for depends on nothing but itself and the subscriptions, so it goes on with the
//! subscription id that it has.

mod subscription;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use wire::Uuid;

pub use subscription::{ALL_METRICS, Asked, Attribute, Client, INTERVAL_MS_STANDARD, Subscription};

/// An instance is forgotten when nothing was heard of it for three intervals, and not before this.
const EXPIRY_MS_MIN: u64 = 60_000;

/// Codecs that a client may compress with, the preferred one first: zstd, lz4, gzip, snappy. Uncompressed counts too.
pub const COMPRESSION_TYPES: [i8; 4] = [4, 3, 1, 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelemetryLimits {
    /// Clients that are known at a time (Kafka: 16,384 a broker); the one unheard of for longest makes place.
    pub instances: usize,
    /// `telemetry.max.bytes`, of a push as it comes.
    pub push_bytes: usize,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TelemetryError {
    /// No instance id, or one that ended with its last push.
    InvalidRequest,
    /// It came before its interval was over.
    Throttled,
    /// The subscriptions changed since, or the client never asked.
    UnknownSubscription,
    UnsupportedCompression,
    TooLarge,
    /// What was pushed can't be read.
    InvalidRecord,
}

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidRequest => "there is no such client instance, or it said that it ends",
            Self::Throttled => "the push interval is not over yet",
            Self::UnknownSubscription => "the subscription id is not that of the client",
            Self::UnsupportedCompression => "there is no such compression type",
            Self::TooLarge => "more bytes than telemetry.max.bytes",
            Self::InvalidRecord => "the metrics can't be decompressed",
        })
    }
}

impl std::error::Error for TelemetryError {}

/// A push, but for the client that sends it.
#[derive(Debug, Clone, Copy)]
pub struct Push {
    pub instance: Uuid,
    pub subscription_id: i32,
    /// The last one of this client.
    pub terminating: bool,
    pub compression_type: i8,
    /// As they came, compressed.
    pub bytes: usize,
}

/// What is known of one client.
#[derive(Debug)]
struct Instance {
    subscription_id: i32,
    push_interval_ms: u32,
    /// Of the subscriptions that these two came from.
    version: u64,
    asked_ms: Option<u64>,
    pushed_ms: Option<u64>,
    terminating: bool,
    /// Its last push was refused for a reason that makes it ask again, whatever the time.
    may_ask: bool,
    heard_ms: u64,
    /// Its place in the order of use.
    turn: u64,
}

/// The clients of one shard that were asked for their metrics.
#[derive(Debug)]
pub struct Telemetry {
    limits: TelemetryLimits,
    subscriptions: Vec<Subscription>,
    version: u64,
    instances: HashMap<Uuid, Instance>,
    /// The instances by turn, the one unheard of for longest first.
    turns: BTreeMap<u64, Uuid>,
    turn: u64,
}

impl Telemetry {
    pub fn new(limits: TelemetryLimits) -> Self {
        debug_assert!(limits.instances > 0);
        let (instances, turns) = (HashMap::new(), BTreeMap::new());
        Self { limits, subscriptions: Vec::new(), version: 0, instances, turns, turn: 0 }
    }

    /// Clients there are (`instance-count`).
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// The subscriptions are these from now on. Every client is looked at again when it is next heard of, and as if for the
    /// first time.
    pub fn subscribe(&mut self, subscriptions: Vec<Subscription>) {
        self.subscriptions = subscriptions;
        self.version += 1;
    }

    /// A client asks what it shall send. One without an id of its own is given one that `chance` makes.
    pub fn ask(
        &mut self,
        now_ms: u64,
        instance: Uuid,
        client: &Client<'_>,
        chance: &mut dyn FnMut() -> Uuid,
    ) -> Result<(Uuid, Asked<'_>), TelemetryError> {
        let mut id = instance;
        while id == Uuid::ZERO || (instance == Uuid::ZERO && self.instances.contains_key(&id)) {
            id = chance();
        }
        let instance = self.heard(now_ms, id, client);
        if instance.may_ask_at(now_ms) {
            instance.asked_ms = Some(now_ms);
        } else if !instance.may_ask {
            return Err(TelemetryError::Throttled);
        }
        instance.may_ask = false;
        Ok((id, Asked::of(&self.subscriptions, id, client)))
    }

    /// A client pushes. Where this is fine, its metrics may be read.
    pub fn push(&mut self, now_ms: u64, push: &Push, client: &Client<'_>) -> Result<(), TelemetryError> {
        if [Uuid::ZERO, Uuid::METADATA_TOPIC_ID].contains(&push.instance) {
            return Err(TelemetryError::InvalidRequest);
        }
        let bytes_max = self.limits.push_bytes;
        let instance = self.heard(now_ms, push.instance, client);
        let result = instance.check(now_ms, push, bytes_max);
        instance.terminating = push.terminating;
        instance.may_ask =
            matches!(result, Err(TelemetryError::UnknownSubscription | TelemetryError::UnsupportedCompression));
        result
    }

    /// The connection of a client is gone, and it with it.
    pub fn forget(&mut self, instance: Uuid) {
        if let Some(gone) = self.instances.remove(&instance) {
            self.turns.remove(&gone.turn);
        }
    }

    /// Forgets the clients that were not heard of for long. Call now and then: an outdated one counts as new in any case.
    pub fn expire(&mut self, now_ms: u64) {
        let turns = &mut self.turns;
        self.instances.retain(|_, instance| {
            let keep = !instance.is_outdated(now_ms);
            if !keep {
                turns.remove(&instance.turn);
            }
            keep
        });
    }

    /// The instance that a request speaks of; a new one where it is not known, or was under other subscriptions.
    fn heard(&mut self, now_ms: u64, id: Uuid, client: &Client<'_>) -> &mut Instance {
        let version = self.version;
        let is_current = |one: &Instance| one.version == version && !one.is_outdated(now_ms);
        if !self.instances.get(&id).is_some_and(is_current) {
            self.forget(id);
            self.make_place();
            let asked = Asked::of(&self.subscriptions, id, client);
            self.instances.insert(id, Instance::new(&asked, version));
        }
        let instance = self.instances.get_mut(&id).expect("it was there or was made");
        self.turns.remove(&instance.turn);
        self.turn += 1;
        self.turns.insert(self.turn, id);
        (instance.heard_ms, instance.turn) = (now_ms, self.turn);
        instance
    }

    fn make_place(&mut self) {
        while self.instances.len() >= self.limits.instances {
            let Some((_, oldest)) = self.turns.pop_first() else { return };
            self.instances.remove(&oldest);
        }
    }
}

impl Instance {
    fn new(asked: &Asked<'_>, version: u64) -> Self {
        Self {
            subscription_id: asked.subscription_id,
            push_interval_ms: asked.push_interval_ms,
            version,
            asked_ms: None,
            pushed_ms: None,
            terminating: false,
            may_ask: false,
            heard_ms: 0,
            turn: 0,
        }
    }

    fn is_outdated(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.heard_ms) >= EXPIRY_MS_MIN.max(3 * u64::from(self.push_interval_ms))
    }

    fn is_over(&self, since_ms: Option<u64>, now_ms: u64) -> bool {
        since_ms.is_none_or(|since_ms| now_ms.saturating_sub(since_ms) >= u64::from(self.push_interval_ms))
    }

    fn may_ask_at(&self, now_ms: u64) -> bool {
        self.is_over(self.asked_ms.max(self.pushed_ms), now_ms)
    }

    /// The first push after a question may come at any time, since clients spread theirs over the interval.
    fn may_push_at(&self, now_ms: u64) -> bool {
        self.asked_ms > self.pushed_ms || self.is_over(self.pushed_ms, now_ms)
    }

    fn check(&mut self, now_ms: u64, push: &Push, bytes_max: usize) -> Result<(), TelemetryError> {
        if self.terminating {
            return Err(TelemetryError::InvalidRequest);
        }
        if self.may_push_at(now_ms) {
            self.pushed_ms = Some(now_ms);
        } else if !push.terminating {
            return Err(TelemetryError::Throttled);
        }
        if push.subscription_id != self.subscription_id {
            return Err(TelemetryError::UnknownSubscription);
        }
        if push.compression_type != 0 && !COMPRESSION_TYPES.contains(&push.compression_type) {
            return Err(TelemetryError::UnsupportedCompression);
        }
        if push.bytes > bytes_max {
            return Err(TelemetryError::TooLarge);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
