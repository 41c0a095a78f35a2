//! Fetch sessions (KIP-227): a client names its partitions once and then only what changes, and the broker answers only
//! for partitions that have news. Kafka's `FetchSessionCacheShard` and `FetchManager`.
//!
//! Each shard owns one [`FetchSessions`] for its connections. A fetch goes: [`FetchSessions::begin`]; what the request
//! changes is applied to the [`Partitions`]; [`FetchSessions::updated`]; the shard reads, perhaps waits;
//! [`FetchSessions::resume`]; [`Partitions::answered`] says of each partition whether it belongs in the answer. A full
//! fetch fills a list of its own, which [`FetchSessions::create`] keeps if there is room.

mod partitions;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

pub use partitions::{Answer, FetchPartition, Partitions, Slot, TopicKey, Wanted};

/// No session; also the answer when none could be made.
pub const INVALID_SESSION_ID: i32 = 0;
/// The epoch of a full fetch that asks for a session.
pub const INITIAL_EPOCH: i32 = 0;
/// The epoch of a full fetch that wants none, and closes the one it names.
pub const FINAL_EPOCH: i32 = -1;

/// After every place turned out to be taken by a more valuable session, how long nobody looks again.
const LOOK_AGAIN_MS: i64 = 1000;
/// Random ids that are tried before a session is refused.
const ID_TRIES: usize = 64;

/// The epoch of the request after the one with `epoch`; they go from `i32::MAX` to 1.
pub fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        i32::MAX => 1,
        negative if negative < 0 => FINAL_EPOCH,
        epoch => epoch + 1,
    }
}

/// Why a fetch is refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionError {
    /// There is no such session, or no longer.
    IdNotFound,
    /// The request does not follow the last one of the session.
    InvalidEpoch,
    /// The session was made with topic names and the request has ids, or the other way round.
    TopicId,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdNotFound => "there is no such fetch session",
            Self::InvalidEpoch => "the request does not follow the last one of its fetch session",
            Self::TopicId => "a fetch session uses either topic names or topic ids",
        })
    }
}

impl std::error::Error for SessionError {}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLimits {
    /// This shard's part of `max.incremental.fetch.session.cache.slots`.
    pub slots: usize,
    /// Partitions that all sessions of the shard may hold together.
    pub partitions_max: usize,
    /// A session that was not used for this long may be replaced by any other, and until this age by none that is not
    /// a follower's (Kafka: 2 minutes).
    pub eviction_ms: i64,
    /// The ids of this shard's sessions, all above 0.
    pub ids: Range<i32>,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { slots: 1000, partitions_max: 1_000_000, eviction_ms: 120_000, ids: 1..i32::MAX }
    }
}

/// What kind of fetch a request is.
#[derive(Debug)]
pub enum Begin<'a> {
    /// All partitions are in the request; no session is wanted.
    Sessionless,
    /// All partitions are in the request; a session is wanted.
    Full,
    /// The request changes this list.
    Incremental(&'a mut Partitions),
}

/// What the changes of an incremental request left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updated {
    /// Go on with the session; [`FetchSessions::resume`] wants this epoch.
    Epoch(i32),
    /// Nothing is left to fetch, so the session is closed: answer with an empty list and session id 0.
    Closed,
}

#[derive(Debug)]
struct Session {
    /// The epoch that the next request must have.
    epoch: i32,
    follower: bool,
    created_ms: i64,
    used_ms: i64,
    /// How many partitions of it count in the total.
    counted: usize,
    partitions: Partitions,
}

/// The fetch sessions of one shard.
#[derive(Debug)]
pub struct FetchSessions {
    limits: SessionLimits,
    sessions: BTreeMap<i32, Session>,
    partitions: usize,
    evictions: u64,
    full_until_ms: i64,
}

impl FetchSessions {
    pub fn new(limits: SessionLimits) -> Self {
        debug_assert!(limits.ids.start > INVALID_SESSION_ID);
        Self { limits, sessions: BTreeMap::new(), partitions: 0, evictions: 0, full_until_ms: i64::MIN }
    }

    /// Sessions there are (`NumIncrementalFetchSessions`).
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Partitions they hold (`NumIncrementalFetchPartitionsCached`).
    pub fn partition_count(&self) -> usize {
        self.partitions
    }

    /// Sessions that were replaced so far (`IncrementalFetchSessionEvictionsPerSec`).
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Sorts a request by its session id and epoch. A full fetch closes the session it names.
    pub fn begin(&mut self, session_id: i32, epoch: i32, by_id: bool) -> Result<Begin<'_>, SessionError> {
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            self.close(session_id);
            return Ok(if epoch == FINAL_EPOCH { Begin::Sessionless } else { Begin::Full });
        }
        let session = self.sessions.get_mut(&session_id).ok_or(SessionError::IdNotFound)?;
        if session.epoch != epoch {
            return Err(SessionError::InvalidEpoch);
        }
        if session.partitions.by_id() != by_id {
            return Err(SessionError::TopicId);
        }
        Ok(Begin::Incremental(&mut session.partitions))
    }

    /// The changes of an incremental request are applied: its epoch is used up.
    ///
    /// Errors: `IdNotFound` when the session has grown beyond what the shard may hold. It is closed, and the client
    /// comes back with a full fetch.
    pub fn updated(&mut self, session_id: i32, now_ms: i64) -> Result<Updated, SessionError> {
        let session = self.sessions.get_mut(&session_id).ok_or(SessionError::IdNotFound)?;
        let count = session.partitions.len();
        self.partitions = self.partitions - session.counted + count;
        session.counted = count;
        session.used_ms = now_ms;
        session.epoch = next_epoch(session.epoch);
        let epoch = session.epoch;
        if count == 0 {
            self.close(session_id);
            return Ok(Updated::Closed);
        }
        if self.partitions > self.limits.partitions_max {
            self.close(session_id);
            return Err(SessionError::IdNotFound);
        }
        Ok(Updated::Epoch(epoch))
    }

    /// The list of an incremental fetch, to read from and when it is time to answer. `epoch` is that of
    /// [`updated`](Self::updated): another request of the same session may have overtaken a waiting one.
    pub fn resume(&mut self, session_id: i32, epoch: i32) -> Result<&mut Partitions, SessionError> {
        let session = self.sessions.get_mut(&session_id).ok_or(SessionError::IdNotFound)?;
        if session.epoch != epoch {
            return Err(SessionError::InvalidEpoch);
        }
        Ok(&mut session.partitions)
    }

    /// Keeps the list of a full fetch that is being answered, and returns the id of its session, or 0 if there is no
    /// room. `chance` gives random numbers, for the id.
    ///
    /// When all places are taken, a session gives way that was not used for `eviction_ms`; else, if the new one is a
    /// follower's, any consumer's; else a smaller one that is older than `eviction_ms`.
    pub fn create(
        &mut self,
        partitions: Partitions,
        follower: bool,
        now_ms: i64,
        mut chance: impl FnMut() -> u32,
    ) -> i32 {
        let count = partitions.len();
        if !self.make_room(count, follower, now_ms) {
            return INVALID_SESSION_ID;
        }
        let Some(id) = self.new_id(&mut chance) else {
            return INVALID_SESSION_ID;
        };
        self.partitions += count;
        let epoch = next_epoch(INITIAL_EPOCH);
        let session = Session { epoch, follower, created_ms: now_ms, used_ms: now_ms, counted: count, partitions };
        self.sessions.insert(id, session);
        id
    }

    pub fn close(&mut self, session_id: i32) {
        if let Some(session) = self.sessions.remove(&session_id) {
            self.partitions -= session.counted;
            self.full_until_ms = i64::MIN;
        }
    }

    fn new_id(&self, chance: &mut impl FnMut() -> u32) -> Option<i32> {
        let Range { start, end } = self.limits.ids;
        let span = u32::try_from(i64::from(end) - i64::from(start)).ok().filter(|span| *span > 0)?;
        for _ in 0..ID_TRIES {
            let id = start.wrapping_add_unsigned(chance() % span);
            if !self.sessions.contains_key(&id) {
                return Some(id);
            }
        }
        None
    }

    fn make_room(&mut self, count: usize, follower: bool, now_ms: i64) -> bool {
        let limits = &self.limits;
        if count > limits.partitions_max {
            return false;
        }
        if self.sessions.len() >= limits.slots {
            // Followers are few; everybody else waits a while after a search that found nothing.
            if !follower && now_ms < self.full_until_ms {
                return false;
            }
            let Some(id) = self.victim(count, follower, now_ms) else {
                self.full_until_ms = now_ms.saturating_add(LOOK_AGAIN_MS);
                return false;
            };
            self.close(id);
            self.evictions += 1;
        }
        self.partitions + count <= self.limits.partitions_max
    }

    /// The session that gives way to a new one with `count` partitions.
    fn victim(&self, count: usize, follower: bool, now_ms: i64) -> Option<i32> {
        let (id, oldest) = self.sessions.iter().min_by_key(|(_, session)| session.used_ms)?;
        if now_ms.saturating_sub(oldest.used_ms) > self.limits.eviction_ms {
            return Some(*id);
        }
        let may_go = |session: &Session| {
            (follower && !session.follower) || now_ms.saturating_sub(session.created_ms) > self.limits.eviction_ms
        };
        let (_, size, id) = self
            .sessions
            .iter()
            .filter(|(_, session)| may_go(session))
            .map(|(id, session)| (session.follower, session.counted, *id))
            .min()?;
        let least = self.sessions.get(&id)?;
        ((follower, count) > (least.follower, size)).then_some(id)
    }
}

#[cfg(test)]
mod tests;
