//! What is asked of the coordinator of a group, and what it answers: the words of the group APIs without their bytes.
//!
//! A request names one group. Requests that name several are taken apart before they come here.

use wire::Uuid;

use super::error::GroupError;

/// Names a request that will be answered; whoever asks chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Waiting(pub u64);

#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    Join(Join),
    Sync(Sync),
    Heartbeat(Heartbeat),
    Leave(Leave),
    ConsumerHeartbeat(ConsumerHeartbeat),
    Commit(Commit),
    Fetch(Fetch),
    DeleteOffsets(DeleteOffsets),
    Describe { group: String },
    DescribeConsumer { group: String },
    Delete { group: String },
}

/// The answer to the request of the same name.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Joined(Joined),
    Synced(Result<Synced, GroupError>),
    Heartbeat(Result<(), GroupError>),
    Left(Result<Vec<LeftMember>, GroupError>),
    ConsumerHeartbeat(Result<ConsumerHeartbeatDone, GroupError>),
    /// By topic and partition, in the order of the request.
    Committed(Vec<CommittedTopic>),
    Fetched(Result<Vec<FetchedTopic>, GroupError>),
    OffsetsDeleted(Result<Vec<CommittedTopic>, GroupError>),
    Described(Result<DescribedGroup, GroupError>),
    ConsumerDescribed(Result<DescribedConsumerGroup, GroupError>),
    Deleted(Result<(), GroupError>),
    /// The coordinator can answer nothing at the moment: it loads, moved, or its log failed.
    Unavailable(GroupError),
}

/// Who speaks for a member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client {
    pub id: String,
    /// As Kafka writes it: `/127.0.0.1`.
    pub host: String,
}

/// JoinGroup. An empty `member` asks for an id.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Join {
    pub group: String,
    pub member: String,
    pub instance: Option<String>,
    pub client: Client,
    pub protocol_type: String,
    /// Name and metadata, the preferred first.
    pub protocols: Vec<(String, Vec<u8>)>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    /// The client understands MEMBER_ID_REQUIRED (version 4, KIP-394).
    pub takes_member_id: bool,
    /// The client understands `skip_assignment` (version 9, KIP-814).
    pub takes_skipping: bool,
    pub reason: Option<String>,
}

/// JoinGroup's answer. With an error the fields besides `member` are empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Joined {
    pub error: Option<GroupError>,
    pub member: String,
    /// -1 with an error.
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: String,
    pub skip_assignment: bool,
    /// For the leader: everybody.
    pub members: Vec<JoinedMember>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct JoinedMember {
    pub member: String,
    pub instance: Option<String>,
    pub metadata: Vec<u8>,
}

/// SyncGroup.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sync {
    pub group: String,
    pub generation: i32,
    pub member: String,
    pub instance: Option<String>,
    /// Checked against the group's where given (version 5).
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    /// Of the leader: what each member gets.
    pub assignments: Vec<(String, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Synced {
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Heartbeat {
    pub group: String,
    pub generation: i32,
    pub member: String,
    pub instance: Option<String>,
}

/// LeaveGroup. Version 3 and newer name several members, each by id or by instance.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Leave {
    pub group: String,
    pub members: Vec<LeavingMember>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct LeavingMember {
    pub member: String,
    pub instance: Option<String>,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LeftMember {
    pub member: String,
    pub instance: Option<String>,
    pub error: Option<GroupError>,
}

/// ConsumerGroupHeartbeat (KIP-848). A field that is `None` did not change since the last heartbeat.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConsumerHeartbeat {
    pub group: String,
    pub member: String,
    /// 0 joins, -1 leaves, -2 leaves for a while (static members).
    pub member_epoch: i32,
    pub instance: Option<String>,
    pub rack: Option<String>,
    /// -1: unchanged.
    pub rebalance_timeout_ms: i32,
    pub client: Client,
    pub topics: Option<Vec<String>>,
    pub regex: Option<String>,
    pub assignor: Option<String>,
    /// What the member owns: partitions by topic id.
    pub owned: Option<Vec<(Uuid, Vec<i32>)>>,
    /// The member's id is made by the client (version 1); before, an empty one asks for an id.
    pub makes_member_id: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerHeartbeatDone {
    pub member: String,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// `None`: as before.
    pub assignment: Option<Vec<(Uuid, Vec<i32>)>>,
}

/// OffsetCommit. `generation` is the member epoch in a consumer group; -1 and no member is a simple consumer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commit {
    pub group: String,
    pub generation: i32,
    pub member: String,
    pub instance: Option<String>,
    /// -1: as `offsets.retention.minutes` says (versions 2 to 4 may name another).
    pub retention_ms: i64,
    /// The client understands GROUP_ID_NOT_FOUND and STALE_MEMBER_EPOCH (version 9).
    pub takes_new_errors: bool,
    pub topics: Vec<CommitTopic>,
}

/// Topics and partitions that do not exist were sorted out before.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitTopic {
    pub name: String,
    /// Zero where the request named none.
    pub id: Uuid,
    pub partitions: Vec<CommitPartition>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CommitPartition {
    pub index: i32,
    pub offset: i64,
    /// -1: not known.
    pub leader_epoch: i32,
    pub metadata: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CommittedTopic {
    pub name: String,
    pub id: Uuid,
    pub partitions: Vec<(i32, Option<GroupError>)>,
}

/// OffsetFetch for one group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fetch {
    pub group: String,
    /// Checked where given (version 9).
    pub member: Option<String>,
    /// -1: not checked.
    pub member_epoch: i32,
    /// `None`: all.
    pub topics: Option<Vec<FetchTopic>>,
    pub require_stable: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FetchTopic {
    pub name: String,
    pub id: Uuid,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FetchedTopic {
    pub name: String,
    pub id: Uuid,
    pub partitions: Vec<FetchedPartition>,
}

/// What was committed; offset and epoch -1 and no metadata where nothing was.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchedPartition {
    pub index: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
    pub error: Option<GroupError>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeleteOffsets {
    pub group: String,
    pub topics: Vec<(String, Vec<i32>)>,
}

/// A classic group as DescribeGroups shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedGroup {
    pub state: &'static str,
    pub protocol_type: String,
    pub protocol: String,
    pub members: Vec<DescribedMember>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DescribedMember {
    pub member: String,
    pub instance: Option<String>,
    pub client: Client,
    pub metadata: Vec<u8>,
    pub assignment: Vec<u8>,
}

/// A consumer group as ConsumerGroupDescribe shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedConsumerGroup {
    pub state: &'static str,
    pub epoch: i32,
    pub assignment_epoch: i32,
    pub assignor: String,
    pub members: Vec<DescribedConsumerMember>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DescribedConsumerMember {
    pub member: String,
    pub instance: Option<String>,
    pub rack: Option<String>,
    pub epoch: i32,
    pub client: Client,
    pub topics: Vec<String>,
    pub regex: Option<String>,
    pub assignment: Vec<(Uuid, Vec<i32>)>,
    pub target: Vec<(Uuid, Vec<i32>)>,
    /// It speaks the classic protocol.
    pub is_classic: bool,
}

/// A row of ListGroups.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedGroup {
    pub group: String,
    /// `consumer` or what the members of a classic group say; empty for a group that only has offsets.
    pub protocol_type: String,
    pub state: &'static str,
    /// `Classic`, `Consumer`.
    pub kind: &'static str,
}
