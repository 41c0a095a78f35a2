//! Who gets which partition: the server-side assignors of KIP-848, `uniform` and `range`, with Apache Kafka's results.
//!
//! An assignor looks at all members and all their topics at once. It knows neither epochs nor what the members have
//! given up so far; moving towards its result safely is the business of `reconcile`.

mod heterogeneous;
mod homogeneous;
mod range;

#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use wire::Uuid;

/// Partitions by topic id. No topic is without partitions.
pub(in crate::group) type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// How many partitions each topic has that somebody subscribes to.
pub(super) type TopicSizes = BTreeMap<Uuid, i32>;

pub(super) struct AssignorMember<'a> {
    pub(super) id: &'a str,
    pub(super) instance: Option<&'a str>,
    /// Ids of topics in [`AssignorInput::topics`], ascending.
    pub(super) subscribed: Rc<[Uuid]>,
    /// What the last assignment gave it.
    pub(super) target: &'a Partitions,
}

pub(super) struct AssignorInput<'a> {
    /// The order decides where nothing else does. Not empty.
    pub(super) members: Vec<AssignorMember<'a>>,
    /// All subscribe to the same topics.
    pub(super) homogeneous: bool,
    pub(super) topics: TopicSizes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assignor {
    /// As even as can be over all topics, and moves as little as it can.
    Uniform,
    /// A range of each topic; topics with as many partitions are cut alike. Moves what it likes.
    Range,
}

impl Assignor {
    pub(super) fn by_name(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    /// What each member gets, in the members' order.
    pub(super) fn assign(self, input: &AssignorInput<'_>) -> Vec<Partitions> {
        match self {
            Self::Range => range::assign(input),
            Self::Uniform if input.homogeneous => homogeneous::assign(input),
            Self::Uniform => heterogeneous::assign(input),
        }
    }
}

fn size_of(topics: &TopicSizes, topic: &Uuid) -> i32 {
    topics.get(topic).copied().unwrap_or(0)
}
