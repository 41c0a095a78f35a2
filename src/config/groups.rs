//! What the group coordinator goes by (`GroupCoordinatorConfig`). Times are milliseconds.

use std::collections::BTreeMap;

use wire::records::Codec;

use super::keys;
use super::layers::Layers;
use super::problem::Problem;
use super::properties::Properties;
use super::value;

/// Settings of every group of this broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    pub protocols: Protocols,
    pub initial_rebalance_delay_ms: u32,
    pub session_timeout_ms_min: i32,
    pub session_timeout_ms_max: i32,
    /// Most members of a classic group.
    pub size_max: usize,
    pub offset_metadata_bytes_max: usize,
    pub offsets_retention_ms: i64,
    pub offsets_retention_check_interval_ms: u64,
    pub offsets_topic: OffsetsTopic,
    pub consumer: ConsumerGroups,
}

/// Which of `group.coordinator.rebalance.protocols` are on. The classic one always is, as in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    pub consumer: bool,
    pub share: bool,
    pub streams: bool,
}

/// How `__consumer_offsets` is made. A broker alone can't have more replicas than one, whatever is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetsTopic {
    pub num_partitions: i32,
    pub replication_factor: i16,
    pub segment_bytes: u32,
    /// Codec of the coordinator's own batches.
    pub codec: Codec,
}

/// `group.consumer.*`: groups of KIP-848.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroups {
    pub session_timeout_ms: Range,
    pub heartbeat_interval_ms: Range,
    /// The value itself may change while the broker runs.
    pub assignment_interval_ms: Range,
    pub size_max: usize,
    /// Names, the default first.
    pub assignors: Vec<String>,
    pub migration: Migration,
    pub regex_refresh_interval_ms: u64,
}

/// A group may set its own value between `min` and `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub value: i32,
    pub min: i32,
    pub max: i32,
}

/// `group.consumer.migration.policy`: which way a group may change its protocol while it has members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    pub upgrade: bool,
    pub downgrade: bool,
}

/// The settings of the coordinator as the layers say them.
pub fn groups(layers: &Layers<'_>) -> GroupSettings {
    let number = |key: &str| layers.broker(key).map_or(0, |value| value.number());
    let int = |key: &str| number(key) as i32;
    let size = |key: &str| number(key).max(0) as usize;
    let range = |name: &str| {
        let key = |part: &str| format!("group.consumer.{part}{name}");
        Range { value: int(&key("")), min: int(&key("min.")), max: int(&key("max.")) }
    };
    let items = |key: &str| layers.broker(key).map_or_else(Vec::new, |value| value.items());
    let protocols = items("group.coordinator.rebalance.protocols");
    let has = |name: &str| protocols.iter().any(|item| item == name);
    GroupSettings {
        protocols: Protocols { consumer: has("consumer"), share: has("share"), streams: has("streams") },
        initial_rebalance_delay_ms: number("group.initial.rebalance.delay.ms").max(0) as u32,
        session_timeout_ms_min: int("group.min.session.timeout.ms"),
        session_timeout_ms_max: int("group.max.session.timeout.ms"),
        size_max: size("group.max.size"),
        offset_metadata_bytes_max: size("offset.metadata.max.bytes"),
        offsets_retention_ms: number("offsets.retention.minutes").saturating_mul(60_000),
        offsets_retention_check_interval_ms: size("offsets.retention.check.interval.ms") as u64,
        offsets_topic: OffsetsTopic {
            num_partitions: int("offsets.topic.num.partitions"),
            replication_factor: number("offsets.topic.replication.factor") as i16,
            segment_bytes: size("offsets.topic.segment.bytes") as u32,
            codec: codec(number("offsets.topic.compression.codec")).unwrap_or(Codec::None),
        },
        consumer: ConsumerGroups {
            session_timeout_ms: range("session.timeout.ms"),
            heartbeat_interval_ms: range("heartbeat.interval.ms"),
            assignment_interval_ms: range("assignment.interval.ms"),
            size_max: size("group.consumer.max.size"),
            assignors: items("group.consumer.assignors"),
            migration: migration(&layers.broker("group.consumer.migration.policy").map_or(String::new(), |v| v.text())),
            regex_refresh_interval_ms: size("group.consumer.regex.refresh.interval.ms") as u64,
        },
    }
}

fn migration(policy: &str) -> Migration {
    let is = |names: [&str; 2]| names.iter().any(|name| policy.eq_ignore_ascii_case(name));
    Migration { upgrade: is(["upgrade", "bidirectional"]), downgrade: is(["downgrade", "bidirectional"]) }
}

/// The numbers of `CompressionType`.
fn codec(number: i64) -> Option<Codec> {
    Some(match number {
        0 => Codec::None,
        1 => Codec::Gzip,
        2 => Codec::Snappy,
        3 => Codec::Lz4,
        4 => Codec::Zstd,
        _ => return None,
    })
}

/// Assignors that Kafka has; others are Java classes.
const ASSIGNORS: [&str; 2] = ["uniform", "range"];

/// What Kafka asks of these settings together (`GroupCoordinatorConfig`).
pub(super) fn check(properties: &Properties, problems: &mut Vec<Problem>) {
    let said: BTreeMap<String, String> =
        properties.entries.iter().map(|(name, entry)| (name.clone(), entry.value.clone())).collect();
    let none = BTreeMap::new();
    let layers = Layers { fixed: &said, cluster: &none, node: &none };
    let settings = groups(&layers);
    let consumer = &settings.consumer;
    for (name, range) in [
        ("heartbeat.interval.ms", consumer.heartbeat_interval_ms),
        ("session.timeout.ms", consumer.session_timeout_ms),
        ("assignment.interval.ms", consumer.assignment_interval_ms),
    ] {
        check_range(properties, name, range, problems);
    }
    if consumer.heartbeat_interval_ms.value >= consumer.session_timeout_ms.value {
        let key = "group.consumer.heartbeat.interval.ms";
        let help = format!("less than group.consumer.session.timeout.ms, {}", consumer.session_timeout_ms.value);
        problems.push(properties.error(key, format!("{key} can't be as long as a session"), help));
    }
    let key = "offsets.topic.compression.codec";
    if codec(layers.broker(key).map_or(0, |value| value.number())).is_none() {
        let help = "0 (none), 1 (gzip), 2 (snappy), 3 (lz4) or 4 (zstd)";
        problems.push(properties.error(key, format!("{key} names no codec"), help));
    }
    let key = "group.consumer.assignors";
    for name in consumer.assignors.iter().filter(|name| !ASSIGNORS.contains(&name.as_str())) {
        problems.push(properties.error(
            key,
            format!("there is no assignor {name} here"),
            "uniform and range are known",
        ));
    }
}

fn check_range(properties: &Properties, name: &str, range: Range, problems: &mut Vec<Problem>) {
    let key = |part: &str| format!("group.consumer.{part}{name}");
    if range.max < range.min {
        let what = format!("{} is below {}", key("max."), key("min."));
        problems.push(properties.error(&key("max."), what, format!("at least {}", range.min)));
    } else if !(range.min..=range.max).contains(&range.value) {
        let what = format!("{} can't be {}", key(""), range.value);
        problems.push(properties.error(&key(""), what, format!("from {} to {}", range.min, range.max)));
    }
}

/// What a group's own config `name` says; `None` where it says nothing and the broker's setting counts.
pub fn own_number(configs: &BTreeMap<String, String>, name: &str) -> Option<i64> {
    let key = keys::group(name)?;
    value::check(key, configs.get(name)?).ok().map(|value| value.number())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Surroundings, resolve};

    fn settings(text: &str) -> Result<GroupSettings, String> {
        let properties = Properties::parse("f", text.as_bytes()).unwrap();
        match resolve(&properties, &Surroundings::default()) {
            Ok((broker, _)) => Ok(broker.groups),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn kafkas_defaults() {
        let found = settings("").unwrap();
        assert_eq!(found.protocols, Protocols { consumer: true, share: false, streams: true });
        assert_eq!(found.initial_rebalance_delay_ms, 3000);
        assert_eq!((found.session_timeout_ms_min, found.session_timeout_ms_max), (6000, 1_800_000));
        assert_eq!((found.size_max, found.offset_metadata_bytes_max), (i32::MAX as usize, 4096));
        assert_eq!((found.offsets_retention_ms, found.offsets_retention_check_interval_ms), (604_800_000, 600_000));
        let topic =
            OffsetsTopic { num_partitions: 50, replication_factor: 3, segment_bytes: 104_857_600, codec: Codec::None };
        assert_eq!(found.offsets_topic, topic);
        let consumer = found.consumer;
        assert_eq!(consumer.session_timeout_ms, Range { value: 45_000, min: 45_000, max: 60_000 });
        assert_eq!(consumer.heartbeat_interval_ms, Range { value: 5000, min: 5000, max: 15_000 });
        assert_eq!(consumer.assignment_interval_ms, Range { value: 1000, min: 0, max: 15_000 });
        assert_eq!(consumer.assignors, ["uniform", "range"]);
        assert_eq!(consumer.migration, Migration { upgrade: true, downgrade: true });
        assert_eq!(consumer.regex_refresh_interval_ms, 600_000);
    }

    #[test]
    fn what_is_said_counts() {
        let found = settings(
            "group.initial.rebalance.delay.ms=0\noffsets.retention.minutes=2\noffsets.topic.compression.codec=4\n\
             group.consumer.migration.policy=UPGRADE\ngroup.coordinator.rebalance.protocols=classic\n",
        );
        let found = found.unwrap();
        assert_eq!((found.initial_rebalance_delay_ms, found.offsets_retention_ms), (0, 120_000));
        assert_eq!(found.offsets_topic.codec, Codec::Zstd);
        assert_eq!(found.consumer.migration, Migration { upgrade: true, downgrade: false });
        assert!(!found.protocols.consumer);
        let own = BTreeMap::from([("consumer.session.timeout.ms".to_string(), "50000".to_string())]);
        assert_eq!(own_number(&own, "consumer.session.timeout.ms"), Some(50_000));
        assert_eq!(own_number(&own, "consumer.heartbeat.interval.ms"), None);
    }

    #[test]
    fn settings_that_contradict_each_other_are_errors() {
        for (text, words) in [
            ("group.consumer.session.timeout.ms=1000", "from 45000 to 60000"),
            ("group.consumer.max.heartbeat.interval.ms=1", "is below"),
            ("group.consumer.max.heartbeat.interval.ms=90000\ngroup.consumer.heartbeat.interval.ms=45000", "a session"),
            ("offsets.topic.compression.codec=9", "names no codec"),
            ("group.consumer.assignors=a.b.C", "no assignor a.b.C"),
        ] {
            assert!(settings(text).unwrap_err().contains(words), "{text}");
        }
    }
}
