//! Which of several words for one setting counts (KIP-226): the node's dynamic one, the cluster's dynamic default,
//! server.properties, Kafka's default, in that order; and within each the more exact of two aliases.

use std::collections::BTreeMap;

use super::keys::{self, Key};
use super::topic::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
use super::value::{self, Value};

/// Settings of one resource by name, as the metadata log keeps them.
pub type Map = BTreeMap<String, String>;

/// The three places where a broker setting can have been said.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// server.properties and overrides: [`super::broker::Broker::said`].
    pub fixed: &'a Map,
    /// Dynamic configs of the resource broker "" (all brokers).
    pub cluster: &'a Map,
    /// Dynamic configs of this very broker.
    pub node: &'a Map,
}

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// Other names of a setting, most exact first, and what one unit of each is worth.
pub(super) fn aliases(name: &str) -> &'static [(&'static str, i64)] {
    match name {
        "log.roll.ms" | "log.roll.hours" => &[("log.roll.ms", 1), ("log.roll.hours", HOUR_MS)],
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => {
            &[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", HOUR_MS)]
        }
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
            &[("log.retention.ms", 1), ("log.retention.minutes", MINUTE_MS), ("log.retention.hours", HOUR_MS)]
        }
        "log.flush.interval.ms" => &[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)],
        _ => &[],
    }
}

impl<'a> Layers<'a> {
    /// What was said for exactly this name, the highest layer first.
    pub fn said(&self, name: &str) -> Option<&'a str> {
        [self.node, self.cluster, self.fixed].into_iter().find_map(|layer| layer.get(name)).map(String::as_str)
    }

    /// The value of a broker setting or a `ringmill.*` one; `None` where it is null. Aliases are not followed.
    pub fn broker(&self, name: &str) -> Option<Value> {
        let key = keys::broker(name).or_else(|| keys::own(name))?;
        let said = self.said(name).and_then(|text| value::check(key, text).ok());
        said.or_else(|| key.standard_text().and_then(|text| value::check(key, text).ok()))
    }

    /// The value a topic inherits from broker setting `name`: aliases followed, hours and minutes turned to milliseconds.
    pub fn inherited(&self, name: &str) -> Option<Value> {
        let aliases = aliases(name);
        if aliases.is_empty() {
            return self.broker(name);
        }
        let (value, unit) = aliases.iter().find_map(|(alias, unit)| Some((self.broker(alias)?, *unit)))?;
        let number = value.number();
        // -1 hours is as unlimited as -1 ms; and no unit carries a number over the edge.
        Some(Value::Number(if number < 0 { number } else { number.saturating_mul(unit) }))
    }

    /// The key that speaks for broker setting `name`: the first of its aliases that was said, else itself.
    pub fn speaker<'n>(&self, name: &'n str) -> &'n str {
        let said = aliases(name).iter().find(|(alias, _)| self.said(alias).is_some());
        said.map_or(name, |(alias, _)| alias)
    }

    /// The value of a topic setting, given the topic's own configs.
    pub fn topic(&self, key: &Key, overrides: &Map) -> Option<Value> {
        let own = overrides.get(key.name).and_then(|text| value::check(key, text).ok());
        let inherited = || if key.inherits.is_empty() { None } else { self.inherited(key.inherits) };
        own.or_else(inherited).or_else(|| key.standard_text().and_then(|text| value::check(key, text).ok()))
    }

    /// The whole configuration of a topic, given its own configs (`LogConfig.fromProps`).
    pub fn topic_config(&self, overrides: &Map) -> TopicConfig {
        let value = |name: &str| keys::topic(name).and_then(|key| self.topic(key, overrides));
        let number = |name: &str| value(name).map_or(0, |value| value.number());
        let size = |name: &str| u32::try_from(number(name)).unwrap_or(0);
        let policies = value("cleanup.policy").map_or_else(Vec::new, |value| value.items());
        let has = |policy: &str| policies.iter().any(|item| item == policy);
        TopicConfig {
            cleanup_policy: CleanupPolicy { delete: has("delete"), compact: has("compact") },
            compression_type: compression(&value("compression.type").map_or(String::new(), |value| value.text())),
            compression_gzip_level: number("compression.gzip.level") as i32,
            compression_lz4_level: number("compression.lz4.level") as i32,
            compression_zstd_level: number("compression.zstd.level") as i32,
            delete_retention_ms: number("delete.retention.ms"),
            file_delete_delay_ms: number("file.delete.delay.ms"),
            flush_messages: number("flush.messages"),
            flush_ms: number("flush.ms"),
            index_interval_bytes: size("index.interval.bytes"),
            max_compaction_lag_ms: number("max.compaction.lag.ms"),
            max_message_bytes: size("max.message.bytes"),
            message_timestamp_after_max_ms: number("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: number("message.timestamp.before.max.ms"),
            message_timestamp_type: match value("message.timestamp.type") {
                Some(Value::Text(text)) if text == "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: value("min.cleanable.dirty.ratio").map_or(0.5, |value| value.double()),
            min_compaction_lag_ms: number("min.compaction.lag.ms"),
            min_insync_replicas: number("min.insync.replicas") as i32,
            retention_bytes: number("retention.bytes"),
            retention_ms: number("retention.ms"),
            segment_bytes: match value("internal.segment.bytes") {
                Some(value) => u32::try_from(value.number()).unwrap_or(0).max(1),
                None => size("segment.bytes"),
            },
            segment_index_bytes: size("segment.index.bytes"),
            segment_jitter_ms: number("segment.jitter.ms"),
            segment_ms: number("segment.ms"),
            unclean_leader_election_enable: value("unclean.leader.election.enable").is_some_and(|v| v.boolean()),
        }
    }
}

fn compression(name: &str) -> CompressionType {
    use wire::records::Codec;
    match name {
        "uncompressed" => CompressionType::Codec(Codec::None),
        "gzip" => CompressionType::Codec(Codec::Gzip),
        "snappy" => CompressionType::Codec(Codec::Snappy),
        "lz4" => CompressionType::Codec(Codec::Lz4),
        "zstd" => CompressionType::Codec(Codec::Zstd),
        _ => CompressionType::Producer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Map {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn config(
        fixed: &[(&str, &str)],
        cluster: &[(&str, &str)],
        node: &[(&str, &str)],
        topic: &[(&str, &str)],
    ) -> TopicConfig {
        let (fixed, cluster, node) = (map(fixed), map(cluster), map(node));
        Layers { fixed: &fixed, cluster: &cluster, node: &node }.topic_config(&map(topic))
    }

    #[test]
    fn kafkas_defaults_are_topic_configs_defaults() {
        assert_eq!(config(&[], &[], &[], &[]), TopicConfig::default());
    }

    #[test]
    fn the_more_exact_alias_counts() {
        assert_eq!(config(&[("log.retention.hours", "2")], &[], &[], &[]).retention_ms, 7_200_000);
        let both = [("log.retention.hours", "2"), ("log.retention.minutes", "3")];
        assert_eq!(config(&both, &[], &[], &[]).retention_ms, 180_000);
        assert_eq!(config(&both, &[("log.retention.ms", "9")], &[], &[]).retention_ms, 9);
        assert_eq!(config(&[("log.retention.hours", "-1")], &[], &[], &[]).retention_ms, -1);
        assert_eq!(config(&[("log.roll.hours", "2147483647")], &[], &[], &[]).segment_ms, 7_730_941_129_200_000);
        assert_eq!(config(&[("log.flush.scheduler.interval.ms", "5")], &[], &[], &[]).flush_ms, 5);
    }

    #[test]
    fn the_higher_layer_counts() {
        let fixed = [("message.max.bytes", "1")];
        let cluster = [("message.max.bytes", "2")];
        let node = [("message.max.bytes", "3")];
        let topic = [("max.message.bytes", "4")];
        assert_eq!(config(&fixed, &[], &[], &[]).max_message_bytes, 1);
        assert_eq!(config(&fixed, &cluster, &[], &[]).max_message_bytes, 2);
        assert_eq!(config(&fixed, &cluster, &node, &[]).max_message_bytes, 3);
        assert_eq!(config(&fixed, &cluster, &node, &topic).max_message_bytes, 4);
    }

    #[test]
    fn a_topic_may_have_smaller_segments_in_tests() {
        assert_eq!(config(&[], &[], &[], &[("internal.segment.bytes", "100")]).segment_bytes, 100);
    }

    #[test]
    fn policies_and_codecs_are_read() {
        let found =
            config(&[], &[], &[], &[("cleanup.policy", "compact,delete"), ("compression.type", "uncompressed")]);
        assert_eq!(found.cleanup_policy, CleanupPolicy { delete: true, compact: true });
        assert_eq!(found.compression_type, CompressionType::Codec(wire::records::Codec::None));
    }
}
