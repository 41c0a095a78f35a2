//! Whether new configs of a resource may stand: what CreateTopics, AlterConfigs and IncrementalAlterConfigs ask
//! (`LogConfig.validate`, `DynamicBrokerConfig.validateConfigs`, `GroupConfig.validate`).

use super::broker::cordoned_fault;
use super::keys::{self, Class, Kind, Update};
use super::layers::{Layers, Map};
use super::value;

/// Why a change of configs is refused, with the words for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A name or value that can't be (INVALID_CONFIG).
    Config(String),
    /// A change that can't be asked for here (INVALID_REQUEST).
    Request(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(words) | Self::Request(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Refusal {}

/// Checks all configs a topic would have.
pub fn topic(layers: &Layers<'_>, configs: &Map) -> Result<(), Refusal> {
    if let Some(name) = configs.keys().find(|name| keys::topic(name).is_none()) {
        let hint = keys::nearest(name, keys::all_topic().map(|key| key.name));
        let hint = hint.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        return Err(Refusal::Config(format!("Unknown topic config name: {name}{hint}")));
    }
    for (name, text) in configs {
        let Some(key) = keys::topic(name) else { continue };
        let value = value::check(key, text).map_err(|bad| Refusal::Config(bad.to_string()))?;
        if key.class == Class::Refused && key.standard_text() != Some(&value.text()) {
            let words = format!("Invalid value {text} for configuration {name}: this broker has no tiered storage");
            return Err(Refusal::Config(words));
        }
    }
    let number = |name: &str| keys::topic(name).and_then(|key| layers.topic(key, configs)).map_or(0, |v| v.number());
    let (low, high) = (number("min.compaction.lag.ms"), number("max.compaction.lag.ms"));
    if low > high {
        let words = format!("min.compaction.lag.ms ({low}) must not be above max.compaction.lag.ms ({high})");
        return Err(Refusal::Config(words));
    }
    Ok(())
}

/// Checks all configs a group would have.
pub fn group(configs: &Map) -> Result<(), Refusal> {
    for (name, text) in configs {
        let Some(key) = keys::group(name) else {
            return Err(Refusal::Config(format!("Unknown group config name: {name}")));
        };
        value::check(key, text).map_err(|bad| Refusal::Config(bad.to_string()))?;
    }
    Ok(())
}

/// Checks all dynamic configs a broker would have: of one node, or of the default for all.
pub fn broker(layers: &Layers<'_>, configs: &Map, one_node: bool) -> Result<(), Refusal> {
    let known = |name: &str| keys::broker(name).or_else(|| keys::broker(keys::base_of_listener_key(name)?));
    let names_where = |wrong: &dyn Fn(&str) -> bool| {
        let found: Vec<&str> = configs.keys().map(String::as_str).filter(|name| wrong(name)).collect();
        (!found.is_empty()).then(|| format!("[{}]", found.join(", ")))
    };
    let fixed = |name: &str| keys::broker(name).is_some_and(|key| key.update == Update::ReadOnly);
    if let Some(names) = names_where(&fixed) {
        return Err(Refusal::Request(format!("Cannot update these configs dynamically: {names}")));
    }
    let bare_security = |name: &str| name.starts_with("ssl.") && keys::broker(name).is_some();
    if let Some(names) = names_where(&bare_security) {
        return Err(Refusal::Request(format!(
            "These security configs can be updated only for one listener, with its prefix: {names}"
        )));
    }
    for (name, text) in configs {
        if let Some(key) = known(name) {
            value::check(key, text).map_err(|bad| Refusal::Request(bad.to_string()))?;
        }
    }
    let of_one_node = |name: &str| known(name).is_some_and(|key| key.update == Update::PerBroker);
    if let Some(names) = names_where(&of_one_node).filter(|_| !one_node) {
        return Err(Refusal::Request(format!("Cannot update these configs for all brokers, name one: {names}")));
    }
    let dirs = layers.fixed.get("log.dirs").or(layers.fixed.get("log.dir")).map_or("/tmp/kafka-logs", String::as_str);
    if let Some(cordoned) = configs.get("cordoned.log.dirs")
        && let Some(words) = cordoned_fault(&items(cordoned), &items(dirs))
    {
        return Err(Refusal::Request(words));
    }
    let listeners = |name: &str| ["listeners", "listener.security.protocol.map"].contains(&name);
    if let Some(names) = names_where(&listeners) {
        return Err(Refusal::Request(format!("This broker takes new listeners only at a start: {names}")));
    }
    Ok(())
}

fn items(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// The kinds of resources that carry configs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Topic,
    Broker,
    Group,
}

/// Whether APPEND and SUBTRACT mean anything for this setting.
pub fn is_list(resource: Resource, name: &str) -> bool {
    let key = match resource {
        Resource::Topic => keys::topic(name),
        Resource::Broker => keys::broker(name),
        Resource::Group => keys::group(name),
    };
    key.is_some_and(|key| key.kind == Kind::List)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Map {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn of_topic(pairs: &[(&str, &str)]) -> String {
        let none = Map::new();
        let layers = Layers { fixed: &none, cluster: &none, node: &none };
        topic(&layers, &map(pairs)).map_or_else(|refusal| refusal.to_string(), |()| "fine".into())
    }

    #[test]
    fn topics() {
        assert_eq!(of_topic(&[("retention.ms", "-1"), ("cleanup.policy", "compact")]), "fine");
        assert_eq!(
            of_topic(&[("retention.m", "1")]),
            "Unknown topic config name: retention.m; did you mean retention.ms?"
        );
        assert_eq!(
            of_topic(&[("retention.ms", "x")]),
            "Invalid value x for configuration retention.ms: Not a number of type LONG"
        );
        assert_eq!(
            of_topic(&[("min.compaction.lag.ms", "9"), ("max.compaction.lag.ms", "8")]),
            "min.compaction.lag.ms (9) must not be above max.compaction.lag.ms (8)"
        );
        assert!(of_topic(&[("remote.storage.enable", "true")]).contains("no tiered storage"));
        assert_eq!(of_topic(&[("remote.storage.enable", "false")]), "fine");
    }

    #[test]
    fn brokers() {
        let check = |pairs: &[(&str, &str)], one_node| {
            let (fixed, none) = (map(&[("log.dirs", "/a, /b")]), Map::new());
            let layers = Layers { fixed: &fixed, cluster: &none, node: &none };
            broker(&layers, &map(pairs), one_node).map_or_else(|refusal| refusal.to_string(), |()| "fine".into())
        };
        assert_eq!(check(&[("message.max.bytes", "9")], false), "fine");
        assert_eq!(check(&[("node.id", "9")], true), "Cannot update these configs dynamically: [node.id]");
        assert_eq!(
            check(&[("message.max.bytes", "x")], true),
            "Invalid value x for configuration message.max.bytes: Not a number of type INT"
        );
        assert!(check(&[("cordoned.log.dirs", "")], false).contains("name one"));
        assert_eq!(check(&[("cordoned.log.dirs", "/b")], true), "fine");
        assert_eq!(check(&[("cordoned.log.dirs", "*")], true), "fine");
        assert!(check(&[("cordoned.log.dirs", "/c")], true).contains("names /c, which is none of log.dirs"));
        assert!(check(&[("ssl.keystore.location", "x")], true).contains("with its prefix"));
        assert_eq!(check(&[("something.custom", "x")], true), "fine");
        assert!(is_list(Resource::Topic, "cleanup.policy") && !is_list(Resource::Topic, "retention.ms"));
    }
}
