//! Every message that may cross cores, on one screen.
//!
//! A partition belongs to one shard, and with it the groups that a partition of the offsets topic keeps. A request that
//! arrives elsewhere sends an [`Append`], [`Read`], [`Query`] or [`GroupAsk`] to the owner and hears back. Requests travel
//! in the mesh's request lane and wait for nothing; answers travel in the reply lane, so no circle of waiting shards can
//! form.

use std::sync::Arc;

use shards::File;
use state::group;
use state::metadata::Image;
use wire::Uuid;

/// What one shard says to another.
pub enum Call {
    /// Append one batch to a partition of the receiver's; answered by `Appended`.
    Append(Box<Append>),
    Appended(Appended),
    /// Plan a read of a partition of the receiver's; answered by `ReadDone`.
    Read(Read),
    ReadDone(Box<ReadDone>),
    /// A partition that this fetch watches has grown by so many readable bytes.
    Grew {
        fetch: Ticket,
        bytes: u64,
    },
    /// The fetch was answered or is gone: forget its watches.
    Unwatch {
        fetch: Ticket,
    },
    /// Questions about partitions that need no speed.
    Ask {
        ask: Ticket,
        query: Box<Query>,
    },
    Answer {
        ask: Ticket,
        answer: Box<Answer>,
    },
    /// A question to the coordinator of a group that lives on the receiver; answered by `Grouped`, perhaps much later.
    Group(Box<GroupAsk>),
    Grouped(Box<Grouped>),
    /// Have replicas of the receiver's lie in other log directories; answered by `LogDirsAltered`, when the moves have begun.
    AlterLogDirs {
        ask: Ticket,
        replicas: Vec<AlterLogDir>,
    },
    LogDirsAltered {
        ask: Ticket,
        results: LogDirsAltered,
    },
    /// All groups whose coordinators live on the receiver; answered by `GroupsListed`.
    ListGroups {
        ask: Ticket,
    },
    GroupsListed {
        ask: Ticket,
        groups: ListedGroups,
    },
    /// Work for the controller, which lives on shard 0.
    Control {
        ask: Ticket,
        request: Box<ControlRequest>,
    },
    Controlled {
        ask: Ticket,
        reply: Box<ControlReply>,
    },
    /// The controller's newest metadata image; answered by `Applied` when partitions were opened and closed after it.
    Publish(Arc<Image>),
    Applied {
        version: i64,
    },
}

/// Names a pending request on the shard that asked; a stale one finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub index: u32,
    pub generation: u32,
}

/// One partition by topic id: names may be deleted and created anew, ids are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartitionId {
    pub topic: Uuid,
    pub index: i32,
}

/// When a producer wants to hear (`acks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    None,
    Leader,
    All,
}

/// One batch for one partition. `item` is the partition's place in its request.
pub struct Append {
    pub produce: Ticket,
    pub item: u32,
    pub partition: PartitionId,
    pub acks: Acks,
    pub records: Vec<u8>,
}

pub struct Appended {
    pub produce: Ticket,
    pub item: u32,
    pub result: Result<AppendDone, AppendError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendDone {
    pub base_offset: i64,
    /// -1 unless the topic stamps records itself (`LogAppendTime`).
    pub append_time_ms: i64,
    pub log_start_offset: i64,
}

/// Why a batch was not appended. Mapped to Kafka's codes in `api::produce`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    UnknownPartition,
    NotEnoughReplicas,
    /// The batch is malformed; the text says how.
    Invalid(String),
    Corrupt(String),
    TooLarge(String),
    LargerThanSegment(String),
    Timestamp(String),
    OutOfOrderSequence(String),
    ProducerEpoch(String),
    TransactionState(String),
    /// The log directory failed; nothing further is accepted there.
    Storage,
}

/// A question about a group. `item` is its place among the questions of its request.
pub struct GroupAsk {
    pub ask: Ticket,
    pub item: u32,
    /// The partition of the offsets topic that keeps the group.
    pub partition: i32,
    pub request: group::Request,
}

pub struct Grouped {
    pub ask: Ticket,
    pub item: u32,
    pub reply: group::Reply,
}

/// A replica's place in its request, the replica, and the place of its directory in `log.dirs`.
pub type AlterLogDir = (u32, PartitionId, usize);

pub type LogDirsAltered = Vec<(u32, Result<(), AlterDirError>)>;

/// Groups, or why they can't be told now.
pub type ListedGroups = Result<Vec<group::ListedGroup>, group::GroupError>;

/// One partition of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    pub fetch: Ticket,
    pub item: u32,
    pub partition: PartitionId,
    pub spec: ReadSpec,
    /// Tell this fetch when the partition grows.
    pub watch: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct ReadSpec {
    pub offset: i64,
    pub bytes_max: u64,
    /// Give one whole batch even if it is larger than `bytes_max` (KIP-74).
    pub at_least_one: bool,
    pub committed_only: bool,
    /// -1: do not check.
    pub current_leader_epoch: i32,
    pub last_fetched_epoch: i32,
}

pub struct ReadDone {
    pub fetch: Ticket,
    pub item: u32,
    pub result: Result<ReadResult, ReadError>,
}

#[derive(Debug, Clone)]
pub struct ReadResult {
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    pub data: Option<FileRange>,
    /// The requested epoch ended before the requested offset: (epoch, end offset) to go back to (KIP-595).
    pub diverging: Option<(i32, i64)>,
}

/// Bytes of an open segment; the handle keeps them readable however long the answer takes.
#[derive(Debug, Clone)]
pub struct FileRange {
    pub file: File,
    pub position: u64,
    pub len: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    UnknownPartition,
    OutOfRange { log_start_offset: i64, high_watermark: i64 },
    FencedLeaderEpoch,
    UnknownLeaderEpoch,
    Storage,
}

/// Questions to the owner of partitions. Each carries the partitions' places in the request.
pub enum Query {
    Offsets(Vec<(u32, PartitionId, OffsetsSpec)>),
    EpochEnds(Vec<(u32, PartitionId, EpochSpec)>),
    DeleteRecords(Vec<(u32, PartitionId, i64)>),
    /// Sizes of all partitions of the receiver's, and of their future replicas.
    LogSizes,
    /// Where all partitions of the receiver's stand, for the checkpoint files.
    PartitionOffsets,
    /// What idempotent producers left behind in partitions (KIP-664).
    Producers(Vec<(u32, PartitionId)>),
}

/// A leader epoch and the offset where it ended.
pub type EpochEnd = Result<(i32, i64), ReadError>;

pub enum Answer {
    Offsets(Vec<(u32, Result<FoundOffset, ReadError>)>),
    EpochEnds(Vec<(u32, EpochEnd)>),
    /// Low watermarks.
    DeleteRecords(Vec<(u32, Result<i64, DeleteRecordsError>)>),
    LogSizes(Vec<LogSize>),
    PartitionOffsets(Vec<PartitionOffsets>),
    Producers(Vec<(u32, Result<Vec<ProducerInfo>, ReadError>)>),
}

#[derive(Debug, Clone, Copy)]
pub struct OffsetsSpec {
    pub target: OffsetTarget,
    pub committed_only: bool,
    pub current_leader_epoch: i32,
}

/// What ListOffsets can ask for (timestamps -1 to -6 and real ones).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetTarget {
    Latest,
    Earliest,
    MaxTimestamp,
    AtTimestamp(i64),
    /// Tiered storage has nothing here: offset -1.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundOffset {
    pub offset: i64,
    pub timestamp: i64,
    pub leader_epoch: i32,
}

#[derive(Debug, Clone, Copy)]
pub struct EpochSpec {
    pub current_leader_epoch: i32,
    pub leader_epoch: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteRecordsError {
    UnknownPartition,
    OutOfRange,
    CompactedTopic,
    Storage,
}

/// Why a replica can't move to another log directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlterDirError {
    UnknownPartition,
    /// The topic's name leaves no room for what a future replica is called.
    NameTooLong,
    Storage,
}

#[derive(Debug, Clone)]
pub struct LogSize {
    pub partition: PartitionId,
    pub topic: Arc<str>,
    pub size_bytes: u64,
    pub directory: usize,
    /// Of a future replica: how many offsets it lacks.
    pub future_lag: Option<i64>,
}

/// Where a partition stands, as the checkpoint files of its log directory keep it.
#[derive(Debug, Clone)]
pub struct PartitionOffsets {
    pub topic: Arc<str>,
    pub partition: PartitionId,
    pub directory: usize,
    /// All below it was synced.
    pub recovery_point: i64,
    pub high_watermark: i64,
    /// Where it lies above the first segment's base offset.
    pub log_start: Option<i64>,
    /// What compaction has seen, if it has ever worked here.
    pub cleaned: Option<i64>,
}

pub struct ProducerInfo {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub last_sequence: i32,
    pub last_timestamp: i64,
    pub coordinator_epoch: i32,
    pub current_txn_start_offset: i64,
}

/// Work for the controller.
pub enum ControlRequest {
    /// A client's request as it came, for the APIs that change metadata; `listener` is where it came in.
    Frame { frame: Vec<u8>, listener: usize },
    /// Topics that a Metadata request named and that may be created (`auto.create.topics.enable`).
    AutoCreate { topics: Vec<String> },
    /// A topic of the broker's own that somebody needs (`__consumer_offsets`), if it is not there.
    CreateInternal { topic: &'static str },
    /// A block of producer ids for the asking shard.
    ProducerIds,
    /// In which directories of this node replicas lie, by directory id.
    AssignDirectories(Vec<(PartitionId, Uuid)>),
    /// Write the checkpoint files of all log directories.
    Checkpoint,
}

pub enum ControlReply {
    /// The framed response.
    Frame(Vec<u8>),
    /// The connection must be closed: the request could not be read.
    Close,
    /// Why a topic could not be created, for those that could not.
    Created(Vec<(String, CreateRefused)>),
    ProducerIds {
        first: i64,
        count: i64,
    },
    Done,
    Failed(String),
}

/// Why a topic that somebody needed was not created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateRefused {
    InvalidName,
    /// For the log: whoever needed it is told that the topic is not there.
    Other(String),
}
