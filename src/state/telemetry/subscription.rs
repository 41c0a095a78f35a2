//! Which clients a subscription means, and what it asks of them (`ClientMetricsConfigs`, `ClientMetricsInstanceMetadata`).

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use wire::Uuid;
use wire::records::crc32c;

use crate::pattern;

/// What a pattern may look at, by the names that `match` has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribute {
    ClientId,
    ClientInstanceId,
    SoftwareName,
    SoftwareVersion,
    SourceAddress,
    SourcePort,
}

const NAMES: [(Attribute, &str); 6] = [
    (Attribute::ClientId, "client_id"),
    (Attribute::ClientInstanceId, "client_instance_id"),
    (Attribute::SoftwareName, "client_software_name"),
    (Attribute::SoftwareVersion, "client_software_version"),
    (Attribute::SourceAddress, "client_source_address"),
    (Attribute::SourcePort, "client_source_port"),
];

impl Attribute {
    pub fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(attribute, _)| *attribute)
    }
}

/// A client, as far as patterns see it.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// The name that it gave itself; one without is matched by no pattern for it.
    pub id: Option<&'a str>,
    pub software_name: &'a str,
    pub software_version: &'a str,
    /// As Java writes it.
    pub address: &'a str,
    pub port: u16,
}

impl Client<'_> {
    fn matches(&self, attribute: Attribute, instance: Uuid, pattern: &Regex) -> bool {
        match attribute {
            Attribute::ClientId => self.id.is_some_and(|id| pattern.is_match(id)),
            Attribute::ClientInstanceId => pattern.is_match(&instance.to_string()),
            Attribute::SoftwareName => pattern.is_match(self.software_name),
            Attribute::SoftwareVersion => pattern.is_match(self.software_version),
            Attribute::SourceAddress => pattern.is_match(self.address),
            Attribute::SourcePort => pattern.is_match(&self.port.to_string()),
        }
    }
}

/// The interval of a client that no subscription means (`ClientMetricsConfigs.INTERVAL_MS_DEFAULT`).
pub const INTERVAL_MS_STANDARD: u32 = 5 * 60 * 1000;

/// Stands for all metrics.
pub const ALL_METRICS: &str = "*";

/// One config resource of type CLIENT_METRICS.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Prefixes of the names of metrics.
    metrics: Vec<String>,
    interval_ms: u32,
    /// All have to match. `None`: the pattern can't be evaluated here, so that no client is meant.
    patterns: Option<BTreeMap<Attribute, Regex>>,
}

impl Subscription {
    /// Errors beside the subscription: why its patterns can't be evaluated (Java's syntax has more than is served here,
    /// look-around and back-references); it means nobody then.
    pub fn new<'a>(
        metrics: Vec<String>,
        interval_ms: u32,
        patterns: impl IntoIterator<Item = (Attribute, &'a str)>,
    ) -> (Self, Option<String>) {
        let compiled = patterns.into_iter().map(|(attribute, text)| {
            let pattern = pattern::whole(text).map_err(|why| format!("the pattern {text}: {why}"))?;
            Ok((attribute, pattern))
        });
        let (patterns, error) = match compiled.collect::<Result<_, String>>() {
            Ok(patterns) => (Some(patterns), None),
            Err(error) => (None, Some(error)),
        };
        (Self { metrics, interval_ms, patterns }, error)
    }

    fn means(&self, instance: Uuid, client: &Client<'_>) -> bool {
        let Some(patterns) = &self.patterns else { return false };
        patterns.iter().all(|(attribute, pattern)| client.matches(*attribute, instance, pattern))
    }
}

/// What all subscriptions together ask of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<'a> {
    pub subscription_id: i32,
    pub push_interval_ms: u32,
    /// Prefixes, sorted; empty if the client is to send nothing.
    pub metrics: Vec<&'a str>,
}

impl<'a> Asked<'a> {
    pub(super) fn of(subscriptions: &'a [Subscription], instance: Uuid, client: &Client<'_>) -> Self {
        let mut metrics = BTreeSet::new();
        let mut push_interval_ms = INTERVAL_MS_STANDARD;
        for subscription in subscriptions.iter().filter(|one| one.means(instance, client)) {
            metrics.extend(subscription.metrics.iter().map(String::as_str));
            push_interval_ms = push_interval_ms.min(subscription.interval_ms);
        }
        if metrics.contains(ALL_METRICS) {
            metrics = BTreeSet::from([ALL_METRICS]);
        }
        let metrics: Vec<&str> = metrics.into_iter().collect();
        let subscription_id = subscription_id(&metrics, push_interval_ms, instance);
        Self { subscription_id, push_interval_ms, metrics }
    }
}

/// Kafka's id: a CRC of what is asked, mixed with who is asked. It depends on nothing else, so that every shard and every
/// start gives the same; of several prefixes Kafka takes those in the order of a hash set, and we in theirs.
fn subscription_id(metrics: &[&str], push_interval_ms: u32, instance: Uuid) -> i32 {
    let text = format!("[{}]{push_interval_ms}", metrics.join(", "));
    let halves = (instance.0 >> 64) as u64 ^ instance.0 as u64;
    crc32c(text.as_bytes()) as i32 ^ (halves >> 32) as i32 ^ halves as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Client<'static> = Client {
        id: Some("orders-1"),
        software_name: "apache-kafka-java",
        software_version: "4.3.1",
        address: "127.0.0.1",
        port: 40_000,
    };

    fn subscription(metrics: &[&str], interval_ms: u32, patterns: &[(&str, &str)]) -> Subscription {
        let patterns = patterns.iter().map(|(name, text)| (Attribute::parse(name).unwrap(), *text));
        Subscription::new(metrics.iter().map(|one| (*one).to_owned()).collect(), interval_ms, patterns).0
    }

    fn asked(subscriptions: &[Subscription], client: &Client<'_>) -> (u32, Vec<String>) {
        let asked = Asked::of(subscriptions, Uuid(7), client);
        (asked.push_interval_ms, asked.metrics.iter().map(|one| (*one).to_owned()).collect())
    }

    #[test]
    fn all_patterns_of_a_subscription_have_to_match() {
        let means = |patterns: &[(&str, &str)], client: &Client<'_>| {
            !asked(&[subscription(&["a."], 100, patterns)], client).1.is_empty()
        };
        assert!(means(&[], &CLIENT));
        assert!(means(&[("client_id", "orders.*"), ("client_software_version", r"4\.\d.*")], &CLIENT));
        assert!(means(&[("client_source_address", r"127\..*"), ("client_source_port", "4....")], &CLIENT));
        assert!(means(&[("client_instance_id", "AAAAAAAAAAAAAAAAAAAABw")], &CLIENT));
        assert!(!means(&[("client_id", "orders.*"), ("client_software_name", "librdkafka")], &CLIENT));
        assert!(!means(&[("client_id", "orders")], &CLIENT), "the whole of it");
        assert!(!means(&[("client_id", ".*")], &Client { id: None, ..CLIENT }));
        assert!(!means(&[("client_id", "(?=orders).*")], &CLIENT), "what can't be evaluated means nobody");
        let (_, error) = Subscription::new(vec![], 100, [(Attribute::ClientId, "(?=a)")]);
        assert!(error.is_some_and(|text| text.starts_with("the pattern (?=a): ")));
    }

    #[test]
    fn several_subscriptions_are_one_request() {
        let (slow, fast) = (subscription(&["b.", "a."], 9000, &[]), subscription(&["a.", "c."], 500, &[]));
        let (all, other) = (subscription(&["*"], 9000, &[]), subscription(&["*"], 100, &[("client_id", "x")]));
        assert_eq!(asked(&[], &CLIENT), (INTERVAL_MS_STANDARD, vec![]));
        assert_eq!(
            asked(&[slow.clone(), fast.clone()], &CLIENT),
            (500, ["a.", "b.", "c."].map(str::to_owned).to_vec())
        );
        assert_eq!(asked(&[slow, fast, all, other], &CLIENT), (500, vec!["*".to_owned()]));
        let hourly = subscription(&["a."], 3_600_000, &[]);
        assert_eq!(asked(&[hourly], &CLIENT).0, INTERVAL_MS_STANDARD, "as in Kafka: never more than five minutes");
    }
}
