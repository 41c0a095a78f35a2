//! Every setting of Apache Kafka 4.3, one row a key: names, types, defaults and bounds are its facts, the words are ours.
//! `oracle/ConfigDump.java` prints Kafka's own table; the test beside it compares the two.

mod group;
mod groups;
mod log;
mod network;
mod own;
mod quorum;
mod reasons;
mod remote;
mod replication;
mod security;
mod topic;

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// How a value is read. The numbers are those of `DescribeConfigsResponse.ConfigType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

/// What holds where nobody set the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standard {
    /// Kafka does not start without it.
    Required,
    /// Unset; usually another key speaks for it.
    Null,
    Is(&'static str),
}

/// What a value must be beyond its kind. Items of a list must always be non-empty and distinct.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowed {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    /// Bounds of a `Double`.
    Fraction(f64, f64),
    NonEmpty,
    OneOf(&'static [&'static str]),
    OneOfAnyCase(&'static [&'static str]),
    /// 1 to 9, or -1 for zlib's own choice.
    GzipLevel,
    /// `*`, `none`, or a list of `partition:broker`.
    ThrottledReplicas,
    /// `latest`, `earliest`, or `by_duration:` and an ISO 8601 duration.
    OffsetReset,
}

/// Whether and where a running broker takes a new value (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    ReadOnly,
    PerBroker,
    ClusterWide,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    High,
    Medium,
    Low,
}

/// What ringmill makes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It does what it does in Kafka.
    Honoured,
    /// Another key's older or coarser name: its value is carried over, unless the other is set.
    Mapped,
    /// Read, checked and reported, without effect: it speaks of the JVM, or of something that is not served.
    Accepted,
    /// Any value but the default is an error, since to ignore it would break durability or security.
    Refused,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub standard: Standard,
    pub allowed: Allowed,
    pub update: Update,
    pub importance: Importance,
    pub class: Class,
    pub doc: &'static str,
    /// The broker setting that speaks where a topic or group does not; empty if there is none.
    pub inherits: &'static str,
    /// Kafka reports it only where somebody set it.
    pub internal: bool,
}

impl Key {
    /// Passwords are never shown.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    const fn inherits(mut self, broker: &'static str) -> Self {
        self.inherits = broker;
        self
    }

    const fn internal(mut self) -> Self {
        self.internal = true;
        self
    }
}

#[allow(clippy::too_many_arguments)] // one row of a table
const fn key(
    name: &'static str,
    kind: Kind,
    standard: Standard,
    allowed: Allowed,
    update: Update,
    importance: Importance,
    class: Class,
    doc: &'static str,
) -> Key {
    Key { name, kind, standard, allowed, update, importance, class, doc, inherits: "", internal: false }
}

pub use reasons::reason;

type Table = BTreeMap<&'static str, &'static Key>;

static BROKER: LazyLock<Table> = LazyLock::new(|| {
    let files = [network::KEYS, log::KEYS, quorum::KEYS, groups::KEYS, replication::KEYS, security::KEYS, remote::KEYS];
    files.into_iter().flatten().map(|key| (key.name, key)).collect()
});
static TOPIC: LazyLock<Table> = LazyLock::new(|| topic::KEYS.iter().map(|key| (key.name, key)).collect());
static GROUP: LazyLock<Table> = LazyLock::new(|| group::KEYS.iter().map(|key| (key.name, key)).collect());
static OWN: LazyLock<Table> = LazyLock::new(|| own::KEYS.iter().map(|key| (key.name, key)).collect());

/// Kafka's broker settings by name.
pub fn broker(name: &str) -> Option<&'static Key> {
    BROKER.get(name).copied()
}

/// Topic settings by name.
pub fn topic(name: &str) -> Option<&'static Key> {
    TOPIC.get(name).copied()
}

/// Group settings by name.
pub fn group(name: &str) -> Option<&'static Key> {
    GROUP.get(name).copied()
}

/// `ringmill.*` settings by name.
pub fn own(name: &str) -> Option<&'static Key> {
    OWN.get(name).copied()
}

/// All broker settings of Kafka, sorted by name.
pub fn all_broker() -> impl Iterator<Item = &'static Key> {
    BROKER.values().copied()
}

/// All topic settings, sorted by name.
pub fn all_topic() -> impl Iterator<Item = &'static Key> {
    TOPIC.values().copied()
}

/// All group settings, sorted by name.
pub fn all_group() -> impl Iterator<Item = &'static Key> {
    GROUP.values().copied()
}

/// All `ringmill.*` settings, sorted by name.
pub fn all_own() -> impl Iterator<Item = &'static Key> {
    OWN.values().copied()
}

/// Names that Kafka's plug-ins read from the same file although they are in no table of its own.
const BESIDE_THE_TABLE: &[&str] = &["super.users", "allow.everyone.if.no.acl.found"];

/// The key that a line of server.properties speaks of: a plain name, or one listener's own (`listener.name.<listener>.<key>`
/// and `listener.name.<listener>.<mechanism>.<key>`).
pub fn of_file(name: &str) -> Option<&'static Key> {
    broker(name).or_else(|| own(name)).or_else(|| broker(base_of_listener_key(name)?))
}

/// True for what no table lists and yet is no mistake: settings handed to Kafka's plug-ins.
pub fn is_beside_the_table(name: &str) -> bool {
    let remote_plugins = ["rlmm.config.", "rsm.config."];
    BESIDE_THE_TABLE.contains(&name) || remote_plugins.iter().any(|prefix| name.starts_with(prefix))
}

/// Settings of one SASL mechanism; in a listener's own key the mechanism stands before them.
const LISTENER_MECHANISM: &[&str] = &[
    "sasl.jaas.config",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.server.callback.handler.class",
    "connections.max.reauth.ms",
];

/// The plain key behind a listener's own one (`DynamicBrokerConfig.brokerConfigSynonyms`).
pub fn base_of_listener_key(name: &str) -> Option<&str> {
    let (_listener, rest) = name.strip_prefix("listener.name.")?.split_once('.')?;
    match LISTENER_MECHANISM.iter().find(|base| rest.ends_with(**base)) {
        Some(base) => Some(base),
        None => Some(rest),
    }
}

/// The known key most like `name`, where one is near enough to be meant.
pub fn nearest<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.len() / 4).clamp(1, 6);
    let best = among.map(|known| (edit_distance(name, known, most), known)).min()?;
    (best.0 <= most).then_some(best.1)
}

/// Like [`nearest`] among everything server.properties may hold.
pub fn nearest_of_file(name: &str) -> Option<&'static str> {
    nearest(name, all_broker().chain(all_own()).map(|key| key.name))
}

/// Levenshtein distance in bytes; where the lengths alone differ by more than `most`, just more than `most`.
fn edit_distance(a: &str, b: &str, most: usize) -> usize {
    if a.len().abs_diff(b.len()) > most {
        return most + 1;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[path = "oracle/keys_test.rs"]
mod oracle;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value;

    #[test]
    fn every_kafka_key_has_its_row() {
        assert_eq!(all_broker().filter(|key| !key.internal).count(), 343);
        assert_eq!(all_topic().filter(|key| !key.internal).count(), 33);
        assert_eq!(all_group().count(), 17);
    }

    #[test]
    fn every_default_is_a_valid_value() {
        for key in all_broker().chain(all_topic()).chain(all_group()).chain(all_own()) {
            if let Standard::Is(text) = key.standard {
                value::check(key, text).unwrap_or_else(|problem| panic!("{}: {problem}", key.name));
            }
            assert!(key.doc.ends_with('.') && key.doc.len() < 120, "{}", key.name);
        }
    }

    #[test]
    fn what_a_topic_inherits_exists() {
        for key in all_topic().chain(all_group()).filter(|key| !key.inherits.is_empty()) {
            let parent = broker(key.inherits).unwrap_or_else(|| panic!("{}", key.name));
            assert_eq!(parent.kind, key.kind, "{}", key.name);
        }
    }

    #[test]
    fn a_listeners_own_key_has_a_plain_one() {
        assert_eq!(base_of_listener_key("listener.name.internal.ssl.keystore.location"), Some("ssl.keystore.location"));
        assert_eq!(base_of_listener_key("listener.name.sasl.plain.sasl.jaas.config"), Some("sasl.jaas.config"));
        assert_eq!(base_of_listener_key("listener.name.internal"), None);
        assert_eq!(of_file("listener.name.x.max.connections").map(|key| key.name), Some("max.connections"));
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_key() {
        assert_eq!(nearest_of_file("log.retention.hourz"), Some("log.retention.hours"));
        assert_eq!(nearest_of_file("num.partition"), Some("num.partitions"));
        assert_eq!(nearest_of_file("listners"), Some("listeners"));
        assert_eq!(nearest_of_file("something.else.altogether"), None);
        assert_eq!(edit_distance("kitten", "sitting", 9), 3);
    }
}
