//! Settings that Kafka does not have. They live in the same file, under `ringmill.`.

use super::Allowed::*;
use super::Class::*;
use super::Importance::*;
use super::Kind::*;
use super::Standard::*;
use super::Update::*;
use super::{Key, key};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("ringmill.shards", Int, Null, Between(1, 1024), ReadOnly, High, Honoured,
        "Shards to run, one to a core; where unset, one for every core this process may use."),
    key("ringmill.addressing", String, Is("mesh"), OneOf(&["mesh", "direct"]), ReadOnly, Medium, Honoured,
        "mesh: the broker is one node. direct: each shard is a node with a port of its own, so no request takes a hop."),
    key("ringmill.addressing.ports", List, Is(""), Any, ReadOnly, Low, Honoured,
        "With direct: LISTENER:PORT, the second shard's port, from which others count up; else the listener's plus 1."),
    key("ringmill.request.memory.bytes", Long, Is("268435456"), AtLeast(1_048_576), ReadOnly, High, Honoured,
        "Bytes that requests may hold in memory in all; a connection beyond it is not read."),
    key("ringmill.client.telemetry", String, Is("off"), OneOf(&["off", "count"]), ReadOnly, Medium, Honoured,
        "off: clients are not asked for metrics. count: they are, as client-metrics say; what comes is counted."),
    key("ringmill.cluster.id", String, Null, NonEmpty, ReadOnly, Medium, Honoured,
        "Cluster id given to an empty directory; where unset, CLUSTER_ID of the environment, or a random one."),
];
