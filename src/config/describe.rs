//! What DescribeConfigs tells: each setting's value, where it comes from, and every other word for it, in order of
//! precedence (`ConfigHelper`).

use super::keys::{self, Key, Update};
use super::layers::{Layers, Map, aliases};
use super::value;

/// Where a value comes from. The numbers are those of `DescribeConfigsResponse.ConfigSource`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    DynamicTopic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    DynamicBrokerLogger = 6,
    ClientMetrics = 7,
    Group = 8,
}

/// One word for a setting. The value of a password is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    pub name: String,
    pub value: Option<String>,
    pub source: Source,
}

/// One setting of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    /// `None` for null and for passwords.
    pub value: Option<String>,
    pub source: Source,
    pub read_only: bool,
    pub sensitive: bool,
    /// Empty where the only word is an implied default.
    pub synonyms: Vec<Synonym>,
    /// `DescribeConfigsResponse.ConfigType`; 0 where it is unknown.
    pub kind: i8,
    pub doc: Option<&'static str>,
}

/// Which settings were asked for; `None` or an empty list means all.
pub type Wanted<'a> = Option<&'a [&'a str]>;

fn is_wanted(wanted: Wanted<'_>, name: &str) -> bool {
    wanted.is_none_or(|names| names.is_empty() || names.contains(&name))
}

/// Every setting of a topic with its own configs `overrides`.
pub fn topic(layers: &Layers<'_>, overrides: &Map, wanted: Wanted<'_>) -> Vec<Described> {
    let shown = |key: &&Key| (!key.internal || overrides.contains_key(key.name)) && is_wanted(wanted, key.name);
    keys::all_topic().filter(shown).map(|key| inheriting(layers, overrides, key, Source::DynamicTopic)).collect()
}

/// Every setting of a group with its own configs `overrides`.
pub fn group(layers: &Layers<'_>, overrides: &Map, wanted: Wanted<'_>) -> Vec<Described> {
    let shown = |key: &&Key| is_wanted(wanted, key.name);
    keys::all_group().filter(shown).map(|key| inheriting(layers, overrides, key, Source::Group)).collect()
}

/// A setting of a topic or group: its own word first, then those of the broker setting it inherits.
fn inheriting(layers: &Layers<'_>, overrides: &Map, key: &Key, own: Source) -> Described {
    let value = layers.topic(key, overrides).map(|value| value.text());
    let mut synonyms = match key.inherits {
        "" if own == Source::Group => standard(key).into_iter().collect(),
        "" => Vec::new(),
        name => broker_synonyms(layers, name),
    };
    if overrides.contains_key(key.name) {
        synonyms.insert(0, Synonym { name: key.name.into(), value: value.clone(), source: own });
    }
    Described {
        name: key.name.into(),
        value,
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        read_only: false,
        sensitive: false,
        synonyms,
        kind: key.kind as i8,
        doc: Some(key.doc),
    }
}

/// A null default is no word.
fn standard(key: &Key) -> Option<Synonym> {
    let value = key.standard_text()?;
    Some(Synonym { name: key.name.into(), value: Some(value.into()), source: Source::Default })
}

/// Every setting of this broker, and every unknown one that was said.
pub fn broker(layers: &Layers<'_>, wanted: Wanted<'_>) -> Vec<Described> {
    let said = |name: &str| layers.said(name).is_some();
    let listed = keys::all_broker().chain(keys::all_own()).filter(|key| !hidden_unless_said(key) || said(key.name));
    let mut names: Vec<&str> = listed.map(|key| key.name).collect();
    for layer in [layers.fixed, layers.cluster, layers.node] {
        names.extend(
            layer.keys().map(String::as_str).filter(|name| keys::broker(name).is_none() && keys::own(name).is_none()),
        );
    }
    names.sort_unstable();
    names.dedup();
    names.into_iter().filter(|name| is_wanted(wanted, name)).map(|name| of_broker(layers, name)).collect()
}

/// The dynamic settings that hold for every broker (resource broker "").
pub fn cluster(layers: &Layers<'_>, wanted: Wanted<'_>) -> Vec<Described> {
    let only_cluster = |mut described: Described, text: &str| {
        described.synonyms.retain(|synonym| synonym.source == Source::DynamicDefaultBroker);
        described.source = described.synonyms.first().map_or(Source::Default, |synonym| synonym.source);
        described.value = (!described.sensitive).then(|| text.to_string());
        described
    };
    let wanted = layers.cluster.iter().filter(|(name, _)| is_wanted(wanted, name));
    wanted.map(|(name, text)| only_cluster(of_broker(layers, name), text)).collect()
}

/// The level of each logger.
pub fn loggers(levels: impl Iterator<Item = (&'static str, &'static str)>, wanted: Wanted<'_>) -> Vec<Described> {
    let each = levels.filter(|(name, _)| is_wanted(wanted, name)).map(|(name, level)| Described {
        name: name.into(),
        value: Some(level.into()),
        source: Source::DynamicBrokerLogger,
        read_only: false,
        sensitive: false,
        synonyms: Vec::new(),
        kind: 0,
        doc: None,
    });
    each.collect()
}

/// Settings that Kafka keeps out of its broker's table: its own internals, and the quotas that exist only dynamically.
fn hidden_unless_said(key: &Key) -> bool {
    key.internal || is_only_dynamic(key)
}

fn is_only_dynamic(key: &Key) -> bool {
    const NAMES: [&str; 3] = [
        "leader.replication.throttled.rate",
        "follower.replication.throttled.rate",
        "replica.alter.log.dirs.io.max.bytes.per.second",
    ];
    NAMES.contains(&key.name)
}

fn of_broker(layers: &Layers<'_>, name: &str) -> Described {
    let key = keys::of_file(name);
    // What no table knows may be a secret.
    let sensitive = key.is_none_or(Key::is_sensitive);
    let text = || {
        let said = layers.said(name);
        let key = key?;
        let value = said.and_then(|text| value::check(key, text).ok()).map(|value| value.text());
        value.or_else(|| if said.is_some() { said.map(Into::into) } else { key.standard_text().map(Into::into) })
    };
    let synonyms = broker_synonyms(layers, name);
    Described {
        name: name.into(),
        value: if sensitive { None } else { text() },
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        read_only: keys::broker(name).is_none_or(|key| key.update == Update::ReadOnly),
        sensitive,
        synonyms,
        kind: key.map_or(0, |key| key.kind as i8),
        doc: keys::broker(name).or_else(|| keys::own(name)).map(|key| key.doc),
    }
}

/// All words for broker setting `name`, from the one that counts on (`DynamicBrokerConfig.brokerConfigSynonyms`).
fn broker_synonyms(layers: &Layers<'_>, name: &str) -> Vec<Synonym> {
    let mut names: Vec<&str> = aliases(name).iter().map(|(alias, _)| *alias).collect();
    if names.is_empty() {
        names.push(name);
        names.extend(keys::base_of_listener_key(name));
    }
    let mut synonyms = Vec::new();
    let sources = [
        (layers.node, Source::DynamicBroker),
        (layers.cluster, Source::DynamicDefaultBroker),
        (layers.fixed, Source::StaticBroker),
    ];
    let sensitive = keys::of_file(name).is_none_or(Key::is_sensitive);
    for (layer, source) in sources {
        for name in &names {
            if let Some(text) = layer.get(*name) {
                synonyms.push(Synonym { name: (*name).into(), value: (!sensitive).then(|| text.clone()), source });
            }
        }
    }
    let standards = names.iter().filter_map(|name| keys::broker(name).or_else(|| keys::own(name)));
    synonyms.extend(standards.filter(|key| !is_only_dynamic(key)).filter_map(standard));
    // Another alias's word counts for nothing before this name's own.
    let own = synonyms.iter().position(|synonym| synonym.name == name).unwrap_or(synonyms.len());
    synonyms.split_off(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Map {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn say(all: &[Described], name: &str) -> String {
        let Some(one) = all.iter().find(|one| one.name == name) else { return "absent".into() };
        let text = |value: &Option<String>| value.clone().unwrap_or("null".into());
        let synonyms: Vec<String> =
            one.synonyms.iter().map(|s| format!("{}={}@{}", s.name, text(&s.value), s.source as i8)).collect();
        format!("{} {} [{}]", text(&one.value), one.source as i8, synonyms.join(" "))
    }

    #[test]
    fn a_topic_names_every_word_for_its_setting() {
        let (fixed, cluster, node) =
            (map(&[("log.retention.hours", "1")]), map(&[("log.retention.ms", "5")]), Map::new());
        let layers = Layers { fixed: &fixed, cluster: &cluster, node: &node };
        let all = topic(&layers, &map(&[("retention.ms", "7")]), None);
        assert_eq!(all.len(), 33);
        assert_eq!(
            say(&all, "retention.ms"),
            "7 1 [retention.ms=7@1 log.retention.ms=5@3 log.retention.hours=1@4 \
             log.retention.hours=168@5]"
        );
        assert_eq!(say(&all, "max.message.bytes"), "1048588 5 [message.max.bytes=1048588@5]");
        assert_eq!(say(&all, "remote.storage.enable"), "false 5 []");
        assert_eq!(say(&all, "internal.segment.bytes"), "absent");
    }

    #[test]
    fn a_broker_hides_passwords_and_the_unknown() {
        let fixed = map(&[
            ("ssl.key.password", "x"),
            ("my.key", "x"),
            ("listener.name.a.ssl.key.password", "x"),
            ("node.id", "1"),
        ]);
        let (cluster, node) = (map(&[("message.max.bytes", "9")]), map(&[("log.cleaner.threads", "2")]));
        let layers = Layers { fixed: &fixed, cluster: &cluster, node: &node };
        let all = broker(&layers, None);
        assert_eq!(say(&all, "ssl.key.password"), "null 4 [ssl.key.password=null@4]");
        assert_eq!(say(&all, "my.key"), "null 4 [my.key=null@4]");
        assert!(all.iter().find(|one| one.name == "my.key").unwrap().sensitive);
        assert_eq!(say(&all, "message.max.bytes"), "9 3 [message.max.bytes=9@3 message.max.bytes=1048588@5]");
        assert_eq!(say(&all, "log.cleaner.threads"), "2 2 [log.cleaner.threads=2@2 log.cleaner.threads=1@5]");
        assert_eq!(say(&all, "leader.replication.throttled.rate"), "absent");
        assert!(all.iter().find(|one| one.name == "node.id").unwrap().read_only);
        assert!(!all.iter().find(|one| one.name == "message.max.bytes").unwrap().read_only);
        let only = cluster_names(&layers);
        assert_eq!(only, ["message.max.bytes"]);
        assert_eq!(broker(&layers, Some(&["node.id"])).len(), 1);
    }

    fn cluster_names(layers: &Layers<'_>) -> Vec<String> {
        cluster(layers, None).into_iter().map(|one| one.name).collect()
    }
}
