//! Produce (key 0): takes the batches of a request to the shards that own their partitions, and answers when each is as
//! safe as the producer asked.

use std::cell::RefCell;
use std::rc::Rc;

use shards::ShardId;
use smallvec::SmallVec;
use state::fetch_session::TopicKey;
use wire::generated::produce_response::PartitionProduceResponse;
use wire::produce_answer::ProduceAnswer;
use wire::produce_walk::{ProducePartition, ProduceWalk};
use wire::{ApiKey, ErrorCode};

use super::{Api, Context, ReplyTo, open_response, topics};
use crate::calls::{Acks, Append, AppendDone, AppendError, Appended, PartitionId, Ticket};
use crate::net::{Outcome, Reply};
use crate::partition::{Taken, Waiter};
use crate::route::{Place, Topic};
use crate::tickets::Tickets;

/// From this version on requests name topics by id (KIP-516).
const BY_ID_FROM: i16 = 13;

/// From this version on batches may be compressed with zstd (KIP-110).
const ZSTD_FROM: i16 = 7;

/// Requests whose records are on their way.
#[derive(Default)]
pub(super) struct Produces {
    pending: RefCell<Tickets<Pending>>,
}

struct Pending {
    to: ReplyTo,
    version: i16,
    correlation_id: i32,
    acks: Acks,
    topics: Topics,
    /// The partitions of all topics, one behind the other.
    answers: SmallVec<[(i32, Option<Answer>); 1]>,
    missing: usize,
}

/// The topics of a request: most have one, with one partition, and cost no memory of their own.
type Topics = SmallVec<[Asked; 1]>;

#[derive(Clone)]
struct Asked {
    topic: Rc<Topic>,
    /// The code for a partition that the topic does not have.
    unknown: ErrorCode,
    /// Partitions of the topic in the request.
    partitions: usize,
}

type Answer = Result<AppendDone, Refusal>;

/// An error code and the words that go with it.
type Refusal = (ErrorCode, Option<String>);

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let walk = ProduceWalk::new(cx.body(), cx.version).map_err(|error| cx.malformed(error))?;
    let acks = match walk.acks {
        0 => Ok(Acks::None),
        1 => Ok(Acks::Leader),
        -1 => Ok(Acks::All),
        _ => Err(ErrorCode::InvalidRequiredAcks),
    };
    let refusal = match acks {
        Err(code) => Some(code),
        // Transactions have no coordinator here yet.
        Ok(_) => walk.transactional_id.map(|_| ErrorCode::TransactionalIdAuthorizationFailed),
    };
    let mut pending = Pending::new(api, cx, to, &walk, acks.unwrap_or(Acks::All));
    if let Some(code) = refusal {
        pending.answers.iter_mut().for_each(|(_, answer)| *answer = Some(Err((code, None))));
        pending.missing = 0;
    }
    if pending.missing == 0 {
        return Ok(finish(pending));
    }
    let (acks, topics) = (pending.acks, pending.topics.clone());
    let produce = api.produces.pending.borrow_mut().insert(pending);
    start_all(api, cx, &walk, &topics, |item| Waiter { shard: api.core.id(), produce, item, acks });
    let later = if acks == Acks::None { Outcome::Silent } else { Outcome::Overlapping };
    Ok(api.produces.finish_if_complete(produce).unwrap_or(later))
}

fn start_all(api: &Api, cx: &Context, walk: &ProduceWalk<'_>, topics: &Topics, waiter: impl Fn(u32) -> Waiter) {
    let partitions =
        walk.topics().zip(topics).flat_map(|(topic, asked)| topic.partitions.map(move |part| (asked, part)));
    for (item, (asked, partition)) in (0..).zip(partitions) {
        let waiter = waiter(item);
        let started = match api.router.place(&asked.topic, partition.index) {
            Some(place) => start(api, cx, &asked.topic, place, &partition, waiter),
            None => Err((asked.unknown, None)),
        };
        match started {
            Ok(None) => {}
            Ok(Some(done)) => api.produces.answer(waiter.produce, item, Ok(done)),
            Err(refusal) => api.produces.answer(waiter.produce, item, Err(refusal)),
        }
    }
}

fn key<'a>(version: i16, name: &'a str, id: wire::Uuid) -> TopicKey<'a> {
    if version >= BY_ID_FROM { TopicKey::Id(id) } else { TopicKey::Name(name) }
}

/// Takes one batch to its partition. `Ok(None)`: the answer comes later.
fn start(
    api: &Api,
    cx: &Context,
    topic: &Topic,
    place: Place,
    part: &ProducePartition<'_>,
    waiter: Waiter,
) -> Result<Option<AppendDone>, Refusal> {
    let records = part.records.filter(|records| !records.is_empty());
    let Some(records) = records else { return Err((ErrorCode::InvalidRecord, Some("there are no records".into()))) };
    if cx.version < ZSTD_FROM && is_zstd(records) {
        return Err((ErrorCode::UnsupportedCompressionType, Some("zstd needs Produce version 7".into())));
    }
    topics::check_writable(&topic.name, cx)?;
    let partition = PartitionId { topic: topic.id, index: part.index };
    match place {
        Place::Here => {
            let chunk = cx.frame.slice(part.range.clone());
            match api.partitions.append(&partition, chunk, waiter).map_err(refusal)? {
                Taken::Staged | Taken::StillOnItsWay => Ok(None),
                Taken::Duplicate(done) => Ok(Some(done)),
            }
        }
        Place::There(shard) => {
            send(api, shard, partition, records.to_vec(), waiter);
            Ok(None)
        }
    }
}

fn send(api: &Api, shard: ShardId, partition: PartitionId, records: Vec<u8>, waiter: Waiter) {
    let Waiter { produce, item, acks, .. } = waiter;
    api.router.append(shard, Append { produce, item, partition, acks, records });
}

/// A partition's owner has answered.
pub(super) fn appended(api: &Api, appended: Appended) {
    let produce = appended.produce;
    let Some(to) = api.produces.pending.borrow_mut().get_mut(produce).map(|pending| pending.to) else { return };
    api.produces.answer(produce, appended.item, appended.result.map_err(refusal));
    match api.produces.finish_if_complete(produce) {
        Some(Outcome::Reply(reply)) => api.settle_reply(to, Some(reply)),
        Some(Outcome::Close(_)) => api.settle_reply(to, None),
        _ => {}
    }
}

impl Pending {
    fn new(api: &Api, cx: &Context, to: ReplyTo, walk: &ProduceWalk<'_>, acks: Acks) -> Self {
        let mut answers = SmallVec::with_capacity(walk.partition_count());
        let mut asked = Topics::new();
        for topic in walk.topics() {
            let before = answers.len();
            answers.extend(topic.partitions.map(|partition| (partition.index, None)));
            let (topic, unknown) = topics::find(api, key(cx.version, topic.name, topic.topic_id));
            asked.push(Asked { topic, unknown, partitions: answers.len() - before });
        }
        let missing = answers.len();
        Self { to, version: cx.version, correlation_id: cx.correlation_id, acks, topics: asked, answers, missing }
    }
}

impl Produces {
    /// Notes what became of one partition's batch.
    fn answer(&self, produce: Ticket, item: u32, answer: Answer) {
        let mut pending = self.pending.borrow_mut();
        let Some(pending) = pending.get_mut(produce) else { return };
        let Some((_, place)) = pending.answers.get_mut(item as usize) else { return };
        if place.replace(answer).is_none() {
            pending.missing -= 1;
        }
    }

    fn finish_if_complete(&self, produce: Ticket) -> Option<Outcome> {
        let mut pending = self.pending.borrow_mut();
        if pending.get_mut(produce)?.missing > 0 {
            return None;
        }
        Some(finish(pending.remove(produce)?))
    }
}

/// Answers, or with acks=0 says nothing unless something failed: then closing the connection is all that can be said.
fn finish(pending: Pending) -> Outcome {
    if pending.acks == Acks::None {
        let failed = pending.answers.iter().find_map(|(_, answer)| Some(answer.as_ref()?.as_ref().err()?.0));
        return failed.map_or(Outcome::Silent, |code| Outcome::Close(format!("acks=0 and {}", code.name())));
    }
    let mut e = open_response(ApiKey::Produce, pending.version, pending.correlation_id);
    let mut response = ProduceAnswer::begin(&mut e, pending.version, pending.topics.len());
    let mut left = pending.answers.as_slice();
    for Asked { topic, partitions, .. } in &pending.topics {
        let (answers, rest) = left.split_at(*partitions);
        left = rest;
        response.topic(&topic.name, topic.id, answers.iter().map(|(index, answer)| partition_response(*index, answer)));
    }
    response.finish(0);
    e.end_frame();
    Outcome::Reply(Reply::bytes(e.buf))
}

fn partition_response(index: i32, answer: &Option<Answer>) -> PartitionProduceResponse<'_> {
    let (code, text) = match answer {
        Some(Ok(done)) => {
            return PartitionProduceResponse {
                index,
                base_offset: done.base_offset,
                log_append_time_ms: done.append_time_ms,
                log_start_offset: done.log_start_offset,
                ..Default::default()
            };
        }
        Some(Err((code, text))) => (*code, text.as_deref()),
        None => (ErrorCode::UnknownServerError, None),
    };
    PartitionProduceResponse {
        index,
        error_code: code as i16,
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        error_message: text.map(Into::into),
        ..Default::default()
    }
}

fn is_zstd(records: &[u8]) -> bool {
    const ATTRIBUTES_LOW_BYTE: usize = 22;
    records.get(ATTRIBUTES_LOW_BYTE).is_some_and(|attributes| attributes & 7 == 4)
}

/// Kafka's code for each of our reasons (`ReplicaManager`, `LogValidator`).
fn refusal(error: AppendError) -> Refusal {
    match error {
        AppendError::UnknownPartition => (ErrorCode::NotLeaderOrFollower, None),
        AppendError::NotEnoughReplicas => (ErrorCode::NotEnoughReplicas, None),
        AppendError::Invalid(text) => (ErrorCode::InvalidRecord, Some(text)),
        AppendError::Corrupt(text) => (ErrorCode::CorruptMessage, Some(text)),
        AppendError::TooLarge(text) => (ErrorCode::MessageTooLarge, Some(text)),
        AppendError::LargerThanSegment(text) => (ErrorCode::RecordListTooLarge, Some(text)),
        AppendError::Timestamp(text) => (ErrorCode::InvalidTimestamp, Some(text)),
        AppendError::OutOfOrderSequence(text) => (ErrorCode::OutOfOrderSequenceNumber, Some(text)),
        AppendError::ProducerEpoch(text) => (ErrorCode::InvalidProducerEpoch, Some(text)),
        AppendError::TransactionState(text) => (ErrorCode::InvalidTxnState, Some(text)),
        AppendError::Storage => (ErrorCode::KafkaStorageError, None),
    }
}
