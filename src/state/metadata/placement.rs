//! Where partitions go: replicas to brokers, and on a broker partitions to shards.

use std::collections::BTreeMap;
use std::fmt;

use wire::Uuid;

use super::image::{Broker, Image};

/// The shard that owns a partition, of `shard_count` (at least 1). The partitions of a topic go round the shards, from a
/// shard that its id decides: as even as can be for each topic, and the same after every restart with as many shards.
pub fn shard_of(topic_id: Uuid, partition: i32, shard_count: u16) -> u16 {
    let mut hash = (topic_id.0 as u64) ^ ((topic_id.0 >> 64) as u64);
    // The finaliser of splitmix64: ids that differ little begin on different shards.
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    let count = u64::from(shard_count.max(1));
    ((hash % count + u64::from(partition as u32)) % count) as u16
}

/// Why replicas cannot be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlacementError {
    ReplicationFactor(i32),
    /// Every broker is fenced, shutting down or cordoned.
    NoActiveBroker,
    TooFewBrokers {
        replication_factor: i32,
        brokers: usize,
    },
}

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReplicationFactor(factor) => write!(f, "the replication factor {factor} is not above 0"),
            Self::NoActiveBroker => f.write_str("every broker is fenced or cordoned"),
            Self::TooFewBrokers { replication_factor, brokers } => {
                write!(f, "the replication factor {replication_factor} needs more than the {brokers} brokers there are")
            }
        }
    }
}

impl std::error::Error for PlacementError {}

/// Replicas for `count` new partitions, the leader first. Leaders go round the brokers that are up, the other replicas
/// follow on other racks where there are any (as Kafka's `StripedReplicaPlacer` aims to). `start` is where to begin: by
/// chance for a new topic, the number of its partitions for an old one.
pub fn place_replicas(
    image: &Image,
    count: usize,
    replication_factor: i32,
    start: usize,
) -> Result<Vec<Vec<i32>>, PlacementError> {
    let factor = usize::try_from(replication_factor).ok().filter(|factor| *factor > 0);
    let factor = factor.ok_or(PlacementError::ReplicationFactor(replication_factor))?;
    let ring = ring(image);
    if !ring.iter().any(|broker| broker.is_active()) {
        return Err(PlacementError::NoActiveBroker);
    }
    if factor > ring.len() {
        return Err(PlacementError::TooFewBrokers { replication_factor, brokers: ring.len() });
    }
    Ok((0..count).map(|index| replicas(&ring, factor, start.wrapping_add(index))).collect())
}

/// Brokers that take partitions, one of each rack in turn.
fn ring(image: &Image) -> Vec<&Broker> {
    let mut racks: BTreeMap<Option<&str>, Vec<&Broker>> = BTreeMap::new();
    for broker in image.brokers().filter(|broker| !broker.is_cordoned()) {
        racks.entry(broker.rack.as_deref()).or_default().push(broker);
    }
    let longest = racks.values().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|index| racks.values().filter_map(move |rack| rack.get(index).copied())).collect()
}

fn replicas(ring: &[&Broker], factor: usize, start: usize) -> Vec<i32> {
    let up: Vec<usize> = (0..ring.len()).filter(|at| ring[*at].is_active()).collect();
    let leader = up[start % up.len()];
    // After a whole round over the leaders the followers are shifted, so that pairs do not repeat.
    let shift = if ring.len() > 1 { (start / up.len()) % (ring.len() - 1) } else { 0 };
    let mut placed = vec![ring[leader].id];
    let followers = (0..ring.len() - 1).map(|step| (leader + 1 + (shift + step) % (ring.len() - 1)) % ring.len());
    placed.extend(followers.take(factor - 1).map(|at| ring[at].id));
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_is_spread_evenly() {
        for shards in 1..=9u16 {
            for topic in 0..50u128 {
                let mut counts = vec![0usize; usize::from(shards)];
                for partition in 0..100 {
                    counts[usize::from(shard_of(Uuid(topic << 70 | topic), partition, shards))] += 1;
                }
                let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                assert!(most - least <= 1, "{shards} shards: {counts:?}");
            }
        }
    }

    #[test]
    fn topics_of_one_partition_are_spread_too() {
        let mut counts = [0usize; 4];
        for topic in 0..4000u128 {
            counts[usize::from(shard_of(Uuid(topic), 0, 4))] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_map_stays_as_it_is() {
        // Data lies where these numbers say: they may never change.
        let ids = [Uuid(0), Uuid(1), Uuid(0x0123_4567_89ab_cdef_0011_2233_4455_6677)];
        assert_eq!(ids.map(|id| shard_of(id, 3, 7)), [3, 2, 6]);
        assert_eq!(shard_of(Uuid(1), -1, 1), 0);
        assert_eq!(shard_of(Uuid(1), 5, 0), 0);
    }
}
