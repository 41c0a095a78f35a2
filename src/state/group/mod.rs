//! Groups and their committed offsets, as far as one partition of `__consumer_offsets` keeps them (Kafka's
//! `GroupCoordinatorShard`).
//!
//! [`Groups`] takes requests and the time, and returns [`Effects`]: records to append, and answers. The state moves on at
//! once; the shell holds every answer back until all records made up to then are written, so that nobody hears of what
//! may be lost. After a restart the same records, replayed, give the same state.
//!
//! - [`request`]: what is asked and answered; [`error`]: why it is refused; [`settings`]: what an operator sets
//! - [`groups`]: who gets which request; [`classic`], [`consumer`]: the two kinds of groups, which know nothing of each
//!   other; [`migration`]: what one becomes the other through
//! - [`keeping`]: requests about offsets, and how long they are kept; [`offsets`]: what was committed
//! - [`records`]: the records of both; [`timers`]: when something is due
//!
//! What all this takes is bounded by what requests may take: names and metadata are theirs, the members of a group at most
//! `group.max.size` and `group.consumer.max.size`, what a member says as large as its request, and offsets are there for
//! partitions that existed, each with `offset.metadata.max.bytes` at most. Groups themselves are as many as clients make,
//! as in Apache Kafka; those that nobody uses go with their offsets. The queue of deadlines has four places for
//! each member at most and two for each group.

mod classic;
mod consumer;
mod error;
mod groups;
mod keeping;
mod migration;
mod offsets;
mod records;
mod request;
mod settings;
mod timers;

pub use error::GroupError;
pub use groups::Groups;
pub use request::*;
pub use settings::{MigrationPolicy, Settings};

use wire::Uuid;
use wire::coordinator_record::{GroupRecordKey, GroupRecordValue};

use crate::metadata::Image;

/// What the coordinator is given with every event: the time, chance, and the world.
pub struct Cx<'a> {
    /// Monotonic: sessions and rebalances go by it.
    pub now_ms: u64,
    /// Wall clock: commits are stamped with it, and offsets expire by it.
    pub wall_ms: i64,
    /// A new random id (version 4) with each call.
    pub chance: &'a mut dyn FnMut() -> Uuid,
    pub image: &'a Image,
    pub settings: &'a Settings,
}

/// One record for `__consumer_offsets`; without a value a tombstone.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub key: GroupRecordKey,
    pub value: Option<GroupRecordValue>,
}

/// What is to be done after an event.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be appended in this order, together.
    pub records: Vec<Record>,
    /// Answers, to this request or to ones that waited.
    pub replies: Vec<(Waiting, Reply)>,
}

/// The partition of `__consumer_offsets` that keeps a group: Java's hash of its id, made positive as Kafka's
/// `Utils.abs` does.
pub fn partition_of(group: &str, partitions: i32) -> i32 {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (if hash == i32::MIN { 0 } else { hash.abs() }) % partitions
}

#[cfg(test)]
mod tests;
