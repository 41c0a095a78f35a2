//! What ringmill does with a key, and why, in one sentence: for `ringmill config explain` and docs/COMPATIBILITY.md.

use super::{Class, Key};

const TIERED: &str = "tiered storage is not served";
const TLS: &str = "listeners with TLS or SASL are refused, so there is nothing it could weaken";
const THREADS: &str = "the shards do this work; ringmill.shards says how many there are";
const ALONE: &str = "it speaks of other brokers, and one node alone is served";
const JVM: &str = "it names a class of Java's";
const TRANSACTIONS: &str = "transactions are not served";
const SHARE: &str = "share groups are not served";
const STREAMS: &str = "streams groups are not served";
const QUOTAS: &str = "quotas are not served";
const METRICS: &str = "it shapes metrics of the JVM";
const PURGATORY: &str = "waiting requests are forgotten when they end, so there is nothing to purge";
const CONNECTIONS: &str = "memory and file descriptors bound the connections, see ringmill.request.memory.bytes";
const TOKENS: &str = "delegation tokens need delegation.token.secret.key, which is refused";
const REPLICATION: &str = "a partition has one replica";
const SOCKETS: &str = "the kernel chooses";
const INTERNAL: &str = "it exists for Kafka's own tests";

/// Names, or their beginnings where they end in a dot, and why such a key is without effect or refused.
const REASONS: &[(&str, &str)] = &[
    ("add.partitions.to.txn.", TRANSACTIONS),
    ("alter.config.policy.class.name", "a policy that is not asked would be one that is broken"),
    ("alter.log.dirs.replication.", QUOTAS),
    ("authorizer.class.name", "without it everybody may do everything"),
    ("auto.leader.rebalance.enable", REPLICATION),
    ("background.threads", THREADS),
    ("broker.heartbeat.interval.ms", ALONE),
    ("compression.lz4.level", "lz4 is compressed in one way here, the fast one"),
    ("broker.session.timeout.ms", ALONE),
    ("client.quota.callback.class", "quotas that are not enforced would be relied upon"),
    ("config.providers", "values kept elsewhere would be taken literally, secrets among them"),
    ("connection.failed.authentication.", TLS),
    ("connections.max.reauth.ms", TLS),
    ("controlled.shutdown.enable", ALONE),
    ("controller.performance.", METRICS),
    ("controller.quorum.", ALONE),
    ("controller.quota.", QUOTAS),
    ("controller.socket.timeout.ms", ALONE),
    ("create.topic.policy.class.name", "a policy that is not asked would be one that is broken"),
    ("delegation.token.secret.key", "tokens are not served, and whoever sets it relies on them"),
    ("delegation.token.", TOKENS),
    ("delete.records.purgatory.", PURGATORY),
    ("early.start.listeners", "every listener is bound before anything else, and answers when all is ready"),
    ("fetch.purgatory.", PURGATORY),
    ("follower.fetch.last.tiered.", TIERED),
    ("follower.replication.", REPLICATION),
    ("group.coordinator.append.linger.ms", "a wake's appends are written together as it is"),
    ("group.coordinator.background.threads", THREADS),
    ("group.coordinator.cached.buffer.", "the coordinator keeps no write buffers"),
    ("group.coordinator.threads", THREADS),
    ("group.share.", SHARE),
    ("group.streams.", STREAMS),
    ("initial.broker.registration.", ALONE),
    ("internal.metadata.", INTERNAL),
    ("kafka.metrics.", METRICS),
    ("leader.imbalance.", REPLICATION),
    ("leader.replication.", REPLICATION),
    ("local.retention.", TIERED),
    ("log.cleaner.threads", "each shard has a cleaner of its own"),
    ("log.dir.failure.timeout.ms", "the controller is in this process and hears of a failed directory at once"),
    ("log.local.retention.", TIERED),
    ("log.preallocate", "segments grow as they are written"),
    ("max.connection.", CONNECTIONS),
    ("max.connections", CONNECTIONS),
    ("max.connections.", CONNECTIONS),
    ("metadata.log.segment.ms", "a segment of the metadata log is closed by size and by each snapshot"),
    ("metadata.max.idle.interval.ms", ALONE),
    ("metadata.max.retention.", "the two newest snapshots and the log behind the older one are kept"),
    ("metric.reporters", METRICS),
    ("metrics.", METRICS),
    ("num.io.threads", THREADS),
    ("num.network.threads", THREADS),
    ("num.recovery.threads.per.data.dir", THREADS),
    (
        "num.replica.alter.log.dirs.threads",
        "each shard moves one replica at a time, on worker threads that all shards share",
    ),
    ("num.replica.", THREADS),
    ("offsets.commit.timeout.ms", REPLICATION),
    ("preallocate", "segments grow as they are written"),
    ("principal.builder.class", "rules about principals would speak of others than it builds"),
    ("producer.purgatory.", PURGATORY),
    ("queued.max.request.bytes", "ringmill.request.memory.bytes bounds the memory of requests"),
    ("queued.max.requests", "ringmill.request.memory.bytes bounds what waits"),
    ("quota.window.", QUOTAS),
    ("remote.log.storage.system.enable", "records would be thought to be kept elsewhere"),
    ("remote.storage.enable", "records would be thought to be kept elsewhere"),
    ("remote.", TIERED),
    ("replica.", REPLICATION),
    ("replication.quota.", QUOTAS),
    ("request.timeout.ms", ALONE),
    ("sasl.", TLS),
    ("security.inter.broker.protocol", "brokers would be thought to speak it among themselves"),
    ("security.providers", JVM),
    ("server.max.startup.time.ms", "recovery takes as long as it takes"),
    ("share.coordinator.", SHARE),
    ("share.fetch.purgatory.", PURGATORY),
    ("share.", SHARE),
    ("socket.connection.", ALONE),
    ("socket.", SOCKETS),
    ("ssl.", TLS),
    ("streams.", STREAMS),
    ("transaction.", TRANSACTIONS),
    ("transactional.id.", TRANSACTIONS),
    ("unclean.leader.election.", REPLICATION),
];

/// What becomes of the values of a [`Class::Mapped`] key.
const MAPPED: &[(&str, &str)] = &[
    ("broker.id", "node.id"),
    ("log.dir", "log.dirs"),
    ("log.flush.scheduler.interval.ms", "log.flush.interval.ms"),
    ("log.retention.hours", "log.retention.ms"),
    ("log.retention.minutes", "log.retention.ms"),
    ("log.roll.hours", "log.roll.ms"),
    ("log.roll.jitter.hours", "log.roll.jitter.ms"),
];

/// Why a key is of its class; for [`Class::Mapped`] the key that carries its value. `None` for honoured ones: their doc
/// says what they do.
pub fn reason(key: &Key) -> Option<&'static str> {
    match key.class {
        Class::Honoured => None,
        Class::Mapped => MAPPED.iter().find(|(name, _)| *name == key.name).map(|(_, target)| *target),
        Class::Accepted | Class::Refused => REASONS.iter().find(|(name, _)| speaks_of(name, key.name)).map(|row| row.1),
    }
}

fn speaks_of(pattern: &str, name: &str) -> bool {
    pattern == name || (pattern.ends_with('.') && name.starts_with(pattern))
}

#[cfg(test)]
mod tests {
    use super::super::{all_broker, all_group, all_own, all_topic, broker};
    use super::*;

    #[test]
    fn every_key_that_is_not_honoured_has_a_reason() {
        for key in all_broker().chain(all_topic()).chain(all_group()).chain(all_own()) {
            assert_eq!(reason(key).is_some(), key.class != Class::Honoured, "{}", key.name);
        }
    }

    #[test]
    fn every_reason_is_somebodys() {
        for (pattern, _) in REASONS {
            let mut all = all_broker().chain(all_topic()).chain(all_group());
            let speaks = all.any(|key| key.class != Class::Honoured && speaks_of(pattern, key.name));
            assert!(speaks, "{pattern}");
        }
        for (name, target) in MAPPED {
            assert!(broker(name).is_some_and(|key| key.class == Class::Mapped) && broker(target).is_some(), "{name}");
        }
    }
}
