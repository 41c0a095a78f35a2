//! One number for all that an assignment depends on of the topics: when it changes, so must the assignment (KIP-1101).
//! Kafka's `Utils.computeTopicHash` and `computeGroupHash`, which also stand in its records.

use xxhash_rust::xxh3::xxh3_64;

use crate::metadata::{Image, Topic};

/// Changes with Kafka's way of hashing.
const MAGIC: u8 = 0;

/// `topics` ascending, by name; those that do not exist count for nothing.
pub(super) fn metadata_hash<'a>(topics: impl Iterator<Item = &'a str>, image: &Image) -> i64 {
    let mut bytes = Vec::new();
    for topic in topics.filter_map(|name| image.topic(name)) {
        bytes.extend(topic_hash(topic, image).to_le_bytes());
    }
    if bytes.is_empty() { 0 } else { xxh3_64(&bytes) as i64 }
}

fn topic_hash(topic: &Topic, image: &Image) -> u64 {
    let mut bytes = vec![MAGIC];
    bytes.extend(((topic.id.0 >> 64) as u64).to_le_bytes());
    bytes.extend((topic.id.0 as u64).to_le_bytes());
    put_string(&mut bytes, &topic.name);
    bytes.extend((topic.partitions.len() as i32).to_le_bytes());
    for (index, partition) in topic.partitions.iter().enumerate() {
        bytes.extend((index as i32).to_le_bytes());
        let broker = |id: &i32| image.broker(*id)?.rack.as_deref();
        let mut racks: Vec<&str> = partition.replicas.iter().filter_map(broker).collect();
        racks.sort_unstable();
        for rack in racks {
            bytes.extend((rack.encode_utf16().count() as i32).to_le_bytes());
            put_string(&mut bytes, rack);
        }
    }
    xxh3_64(&bytes)
}

/// As hash4j does: the units of UTF-16, then how many.
fn put_string(bytes: &mut Vec<u8>, text: &str) {
    let start = bytes.len();
    for unit in text.encode_utf16() {
        bytes.extend(unit.to_le_bytes());
    }
    let units = (bytes.len() - start) / 2;
    bytes.extend((units as i32).to_le_bytes());
}
