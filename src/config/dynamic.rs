//! Settings of the broker itself that may change while it runs (KIP-226). Those that topics inherit are looked up where
//! they are needed, see [`Layers::topic_config`]; these are resolved once for every change of the cluster's or this
//! broker's dynamic configs, on each shard.

use std::path::{Path, PathBuf};

use state::metadata::{Image, ResourceType};

use super::broker::Broker;
use super::layers::{Layers, Map};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dynamic {
    pub producer_id_expiration_ms: i64,
    pub cordoned: Cordoned,
    /// `group.consumer.assignment.interval.ms`.
    pub consumer_assignment_interval_ms: i32,
    /// `replica.alter.log.dirs.io.max.bytes.per.second`.
    pub move_bytes_per_second_max: u64,
}

/// Log directories that take no new partitions (KIP-1066).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cordoned {
    All,
    These(Vec<PathBuf>),
}

static NOTHING: Map = Map::new();

impl Layers<'_> {
    /// What is said about this broker: its file, the cluster's dynamic defaults, its own dynamic configs.
    pub fn of<'a>(settings: &'a Broker, image: &'a Image) -> Layers<'a> {
        Self::of_node(&settings.said, image, settings.node_id)
    }

    pub fn of_node<'a>(said: &'a Map, image: &'a Image, node_id: i32) -> Layers<'a> {
        let dynamic = |name: &str| image.configs(ResourceType::Broker, name).unwrap_or(&NOTHING);
        Layers { fixed: said, cluster: dynamic(""), node: dynamic(&node_id.to_string()) }
    }
}

impl Dynamic {
    pub fn of(layers: &Layers<'_>) -> Self {
        let number = |key: &str| layers.broker(key).map_or(0, |value| value.number());
        let cordoned = layers.broker("cordoned.log.dirs").map_or_else(Vec::new, |value| value.items());
        Self {
            producer_id_expiration_ms: number("producer.id.expiration.ms"),
            cordoned: if cordoned.iter().any(|item| item == "*") {
                Cordoned::All
            } else {
                Cordoned::These(cordoned.into_iter().map(PathBuf::from).collect())
            },
            consumer_assignment_interval_ms: number("group.consumer.assignment.interval.ms") as i32,
            move_bytes_per_second_max: number("replica.alter.log.dirs.io.max.bytes.per.second").max(0) as u64,
        }
    }
}

impl Cordoned {
    pub fn contains(&self, path: &Path) -> bool {
        match self {
            Self::All => true,
            Self::These(paths) => paths.iter().any(|one| one == path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Map {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn the_brokers_own_word_counts_before_the_clusters_and_that_before_the_files() {
        let fixed = map(&[("producer.id.expiration.ms", "1"), ("group.consumer.assignment.interval.ms", "7")]);
        let (cluster, node) = (map(&[("producer.id.expiration.ms", "2")]), map(&[("producer.id.expiration.ms", "3")]));
        let of = |cluster, node| Dynamic::of(&Layers { fixed: &fixed, cluster, node });
        assert_eq!(of(&NOTHING, &NOTHING).producer_id_expiration_ms, 1);
        assert_eq!(of(&cluster, &NOTHING).producer_id_expiration_ms, 2);
        assert_eq!(of(&cluster, &node).producer_id_expiration_ms, 3);
        assert_eq!(of(&cluster, &node).consumer_assignment_interval_ms, 7);
    }

    #[test]
    fn directories_are_cordoned_by_path_or_all() {
        let of = |text| {
            let fixed = map(&[("cordoned.log.dirs", text)]);
            Dynamic::of(&Layers { fixed: &fixed, cluster: &NOTHING, node: &NOTHING }).cordoned
        };
        assert!(of("/a,/b").contains(Path::new("/b")) && !of("/a").contains(Path::new("/b")));
        assert!(of("*").contains(Path::new("/b")) && !of("").contains(Path::new("/b")));
    }
}
