//! Shards as clients see them. With direct addressing each is a node of its own: it leads the partitions it owns and
//! coordinates the groups it keeps. That is a view and no more: metadata log, image and partitions know brokers, and every
//! id of a node that a request or an answer has is translated here.

use std::ops::Range;

use state::metadata::shard_of;
use wire::Uuid;

use crate::config::Addressing;
use crate::config::addressing::NODE_ID_STEP;

/// The nodes that this broker is to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nodes {
    broker: i32,
    shards: u16,
    addressing: Addressing,
}

impl Nodes {
    pub(crate) fn new(broker: i32, addressing: Addressing, shards: u16) -> Self {
        Self { broker, shards, addressing }
    }

    /// The node of a shard. The first shard's, on which the controller lives, is the broker itself.
    pub(crate) fn id(self, shard: u16) -> i32 {
        match self.addressing {
            Addressing::Mesh => self.broker,
            Addressing::Direct => self.broker + i32::from(shard) * NODE_ID_STEP,
        }
    }

    /// Whether a node is this broker or a shard of it.
    pub(crate) fn is_own(self, node: i32) -> bool {
        match self.addressing {
            Addressing::Mesh => node == self.broker,
            Addressing::Direct => {
                let beyond = node.checked_sub(self.broker).filter(|beyond| beyond % NODE_ID_STEP == 0);
                beyond.is_some_and(|beyond| (0..i32::from(self.shards)).contains(&(beyond / NODE_ID_STEP)))
            }
        }
    }

    /// The broker that a node belongs to.
    pub(crate) fn broker_of(self, node: i32) -> i32 {
        if self.is_own(node) { self.broker } else { node }
    }

    /// The node that is a partition's replica where the image has `broker`.
    pub(crate) fn replica(self, broker: i32, topic: Uuid, partition: i32) -> i32 {
        if broker == self.broker { self.id(shard_of(topic, partition, self.shards)) } else { broker }
    }

    pub(crate) fn replicas(self, brokers: &[i32], topic: Uuid, partition: i32) -> Vec<i32> {
        brokers.iter().map(|broker| self.replica(*broker, topic, partition)).collect()
    }

    /// The shards that the node of shard `here` stands for: what it tells of its own is theirs.
    pub(crate) fn shards_behind(self, here: u16) -> Range<u16> {
        match self.addressing {
            Addressing::Mesh => 0..self.shards,
            Addressing::Direct => here..here + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Uuid = Uuid(0x0123_4567_89ab_cdef_0011_2233_4455_6677);

    #[test]
    fn a_mesh_is_one_node() {
        let nodes = Nodes::new(4, Addressing::Mesh, 3);
        assert_eq!((0..3).map(|shard| nodes.id(shard)).collect::<Vec<_>>(), [4, 4, 4]);
        assert!(nodes.is_own(4) && !nodes.is_own(1004));
        assert_eq!((0..4).map(|index| nodes.replica(4, TOPIC, index)).collect::<Vec<_>>(), [4; 4]);
        assert_eq!(nodes.shards_behind(2), 0..3);
    }

    #[test]
    fn directly_addressed_each_shard_leads_what_it_owns() {
        let nodes = Nodes::new(4, Addressing::Direct, 3);
        assert_eq!((0..3).map(|shard| nodes.id(shard)).collect::<Vec<_>>(), [4, 1004, 2004]);
        assert_eq!(
            [4, 1004, 2004, 3004, 1005, -996, i32::MIN].map(|node| nodes.is_own(node)),
            [true, true, true, false, false, false, false]
        );
        assert_eq!([2004, 1005, 7].map(|node| nodes.broker_of(node)), [4, 1005, 7]);
        for index in 0..6 {
            let owner = nodes.id(shard_of(TOPIC, index, 3));
            assert_eq!(nodes.replicas(&[4, 7], TOPIC, index), [owner, 7]);
            assert_eq!(nodes.replica(-1, TOPIC, index), -1);
        }
        assert_eq!(nodes.shards_behind(2), 2..3);
    }

    /// A broker of a later cluster that is no stranger to shards.
    #[test]
    fn nodes_of_different_brokers_never_meet() {
        let mut seen = std::collections::BTreeSet::new();
        for broker in [0, 1, 7, NODE_ID_STEP - 1] {
            let nodes = Nodes::new(broker, Addressing::Direct, 1024);
            assert!((0..1024).all(|shard| seen.insert(nodes.id(shard))));
        }
    }
}
