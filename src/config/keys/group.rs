//! What one group can say for itself. What share and streams groups say has no effect.

use super::Allowed::*;
use super::Class::*;
use super::Importance::*;
use super::Kind::*;
use super::Standard::*;
use super::Update::*;
use super::{Key, key};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("consumer.assignment.interval.ms", Int, Is("1000"), AtLeast(0), ClusterWide, Medium, Honoured,
        "Time between two assignments of a consumer group.").inherits("group.consumer.assignment.interval.ms"),
    key("consumer.heartbeat.interval.ms", Int, Is("5000"), AtLeast(1), ClusterWide, Medium, Honoured,
        "Heartbeat interval given to members of a consumer group.").inherits("group.consumer.heartbeat.interval.ms"),
    key("consumer.session.timeout.ms", Int, Is("45000"), AtLeast(1), ClusterWide, Medium, Honoured,
        "Silence after which a member leaves its consumer group.").inherits("group.consumer.session.timeout.ms"),
    key("share.assignment.interval.ms", Int, Is("1000"), AtLeast(0), ClusterWide, Medium, Accepted,
        "Time between two assignments of a share group.").inherits("group.share.assignment.interval.ms"),
    key("share.auto.offset.reset", String, Is("latest"), OffsetReset, ClusterWide, Medium, Accepted,
        "Where a share group begins: latest, earliest, or by_duration:PnDTnHnMnS."),
    key("share.delivery.count.limit", Int, Is("5"), AtLeast(2), ClusterWide, Medium, Accepted,
        "How often a record is handed out at most.").inherits("group.share.delivery.count.limit"),
    key("share.heartbeat.interval.ms", Int, Is("5000"), AtLeast(1), ClusterWide, Medium, Accepted,
        "Heartbeat interval given to members of a share group.").inherits("group.share.heartbeat.interval.ms"),
    key("share.isolation.level", String, Is("read_uncommitted"), OneOf(&["read_committed", "read_uncommitted"]), ClusterWide, Medium, Accepted,
        "Whether a share group sees records of open or aborted transactions."),
    key("share.partition.max.record.locks", Int, Is("2000"), AtLeast(100), ClusterWide, Medium, Accepted,
        "Most records of one partition that may be locked.").inherits("group.share.partition.max.record.locks"),
    key("share.record.lock.duration.ms", Int, Is("30000"), AtLeast(1000), ClusterWide, Medium, Accepted,
        "How long a record stays locked for the member it was handed to.").inherits("group.share.record.lock.duration.ms"),
    key("share.renew.acknowledge.enable", Boolean, Is("true"), Any, ClusterWide, Medium, Accepted,
        "Let members of a share group renew their locks."),
    key("share.session.timeout.ms", Int, Is("45000"), AtLeast(1), ClusterWide, Medium, Accepted,
        "Silence after which a member leaves its share group.").inherits("group.share.session.timeout.ms"),
    key("streams.assignment.interval.ms", Int, Is("1000"), AtLeast(0), ClusterWide, Medium, Accepted,
        "Time between two assignments of a streams group.").inherits("group.streams.assignment.interval.ms"),
    key("streams.heartbeat.interval.ms", Int, Is("5000"), AtLeast(1), ClusterWide, Medium, Accepted,
        "Heartbeat interval given to members of a streams group.").inherits("group.streams.heartbeat.interval.ms"),
    key("streams.initial.rebalance.delay.ms", Int, Is("3000"), AtLeast(0), ClusterWide, Medium, Accepted,
        "Time a new streams group waits for more members.").inherits("group.streams.initial.rebalance.delay.ms"),
    key("streams.num.standby.replicas", Int, Is("0"), AtLeast(0), ClusterWide, Medium, Accepted,
        "Standby replicas of a task.").inherits("group.streams.num.standby.replicas"),
    key("streams.session.timeout.ms", Int, Is("45000"), AtLeast(1), ClusterWide, Medium, Accepted,
        "Silence after which a member leaves its streams group.").inherits("group.streams.session.timeout.ms"),
];
