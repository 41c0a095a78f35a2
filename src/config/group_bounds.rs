//! What a group's configs may be, between the bounds that the broker's settings draw (`GroupConfig.validateValues`).

use super::alter::Refusal;
use super::keys;
use super::layers::{Layers, Map};

/// A config of a group, and the broker's settings that it may not go below or above.
#[rustfmt::skip]
const BOUNDS: [(&str, &str, &str); 13] = [
    ("consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"),
    ("consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
    ("consumer.assignment.interval.ms", "group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"),
    ("share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"),
    ("share.session.timeout.ms", "group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"),
    ("share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"),
    ("share.delivery.count.limit", "group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit"),
    ("share.partition.max.record.locks", "group.share.min.partition.max.record.locks", "group.share.max.partition.max.record.locks"),
    ("share.assignment.interval.ms", "group.share.min.assignment.interval.ms", "group.share.max.assignment.interval.ms"),
    ("streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"),
    ("streams.session.timeout.ms", "group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms"),
    ("streams.num.standby.replicas", "", "group.streams.max.standby.replicas"),
    ("streams.assignment.interval.ms", "group.streams.min.assignment.interval.ms", "group.streams.max.assignment.interval.ms"),
];

/// The silence that ends a membership outlasts the heartbeats.
const SESSIONS: [(&str, &str); 3] = [
    ("consumer.heartbeat.interval.ms", "consumer.session.timeout.ms"),
    ("share.heartbeat.interval.ms", "share.session.timeout.ms"),
    ("streams.heartbeat.interval.ms", "streams.session.timeout.ms"),
];

/// Checks values that are well-formed by themselves. What the group does not say it has from the broker.
pub fn check(layers: &Layers<'_>, configs: &Map) -> Result<(), Refusal> {
    let number = |name: &str| keys::group(name).and_then(|key| layers.topic(key, configs)).map(|value| value.number());
    let limit = |name: &str| layers.broker(name).map(|value| value.number());
    for (name, low, high) in BOUNDS {
        let Some(value) = number(name) else { continue };
        if let Some(limit) = limit(low).filter(|limit| value < *limit) {
            return Err(Refusal::Config(format!("{name} ({value}) is below {low} ({limit})")));
        }
        if let Some(limit) = limit(high).filter(|limit| value > *limit) {
            return Err(Refusal::Config(format!("{name} ({value}) is above {high} ({limit})")));
        }
    }
    for (heartbeat, session) in SESSIONS {
        if number(session) <= number(heartbeat) {
            return Err(Refusal::Config(format!("{session} must be above {heartbeat}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stay_within_the_brokers_bounds() {
        let (fixed, none) = (Map::new(), Map::new());
        let layers = Layers { fixed: &fixed, cluster: &none, node: &none };
        let say = |name: &str, text: &str| {
            let configs = Map::from([(name.to_owned(), text.to_owned())]);
            check(&layers, &configs).map_or_else(|refusal| refusal.to_string(), |()| "fine".into())
        };
        assert_eq!(check(&layers, &none), Ok(()));
        assert_eq!(say("consumer.session.timeout.ms", "50000"), "fine");
        assert_eq!(
            say("consumer.session.timeout.ms", "60001"),
            "consumer.session.timeout.ms (60001) is above group.consumer.max.session.timeout.ms (60000)"
        );
        assert!(say("consumer.heartbeat.interval.ms", "1").contains("is below"));
        assert!(say("streams.num.standby.replicas", "3").contains("is above"));
    }

    #[test]
    fn every_bound_is_a_setting() {
        for (name, low, high) in BOUNDS {
            assert!(keys::group(name).is_some(), "{name}");
            for name in [low, high].into_iter().filter(|name| !name.is_empty()) {
                assert!(keys::broker(name).is_some(), "{name}");
            }
        }
    }
}
