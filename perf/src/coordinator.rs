//! What loads ask of group coordinators, beside the requests of members.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use wire::generated::find_coordinator_request::FindCoordinatorRequest;
use wire::generated::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use wire::generated::offset_commit_response::OffsetCommitResponse;
use wire::header::decode_response_header;
use wire::{ApiKey, Decoder, ErrorCode, Uuid};

use crate::client::{Client, accepted};
use crate::failure::Failure;
use crate::lanes::Answer;
use crate::protocol;

const FIND_COORDINATOR: i16 = 6;
const OFFSET_COMMIT: i16 = 10;
/// The key type that stands for groups.
const GROUP: i8 = 0;
/// `offsets.topic.num.partitions`, its default.
const OFFSETS_PARTITIONS: i32 = 50;
/// Between two tries, as clients wait (`retry.backoff.ms`).
pub(crate) const RETRY: Duration = Duration::from_millis(100);

/// The coordinator is there but not yet, or not here: the same request may be accepted later.
pub(crate) fn is_passing(code: i16) -> bool {
    let passing = [ErrorCode::CoordinatorLoadInProgress, ErrorCode::CoordinatorNotAvailable, ErrorCode::NotCoordinator];
    passing.iter().any(|known| known.code() == code)
}

/// The address of the one coordinator of all `groups`, once it is there. The first question creates `__consumer_offsets`.
pub(crate) fn find(bootstrap: &str, groups: &[String], timeout: Duration) -> Result<String, Failure> {
    let end = Instant::now() + timeout;
    loop {
        match find_now(bootstrap, groups) {
            Err(Failure::Refused { code, .. }) if is_passing(code) && Instant::now() < end => {
                std::thread::sleep(RETRY);
            }
            found => return found,
        }
    }
}

fn find_now(bootstrap: &str, groups: &[String]) -> Result<String, Failure> {
    let mut client = Client::connect(bootstrap, Duration::from_secs(30))?;
    let coordinator_keys = groups.iter().map(|group| group.as_str().into()).collect();
    let request = FindCoordinatorRequest { key_type: GROUP, coordinator_keys, ..Default::default() };
    let answer = client.ask(FIND_COORDINATOR, &request)?;
    let mut addresses = BTreeSet::new();
    for coordinator in &answer.coordinators {
        accepted("FindCoordinator", coordinator.error_code)?;
        addresses.insert(format!("{}:{}", coordinator.host, coordinator.port));
    }
    match (addresses.pop_first(), addresses.len()) {
        (Some(address), 0) => Ok(address),
        (Some(_), _) => Err(Failure::Setup("the groups have more than one coordinator".to_owned())),
        (None, _) => Err(Failure::Malformed("no coordinator in it")),
    }
}

/// What a consumer without a group's members commits: one offset of one partition.
pub(crate) struct Commit<'a> {
    pub(crate) group: &'a str,
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl Commit<'_> {
    pub(crate) fn frame(&self) -> Vec<u8> {
        protocol::frame(OFFSET_COMMIT, &self.request())
    }

    fn request(&self) -> OffsetCommitRequest<'_> {
        let partition = OffsetCommitRequestPartition {
            partition_index: self.partition,
            committed_offset: self.offset,
            committed_leader_epoch: -1,
            ..Default::default()
        };
        let topic =
            OffsetCommitRequestTopic { topic_id: self.topic_id, partitions: vec![partition], ..Default::default() };
        OffsetCommitRequest {
            group_id: self.group.into(),
            generation_id_or_member_epoch: -1,
            topics: vec![topic],
            ..Default::default()
        }
    }

    /// Commits until the coordinator has read what it keeps of the group.
    pub(crate) fn until_accepted(&self, client: &mut Client, timeout: Duration) -> Result<(), Failure> {
        let end = Instant::now() + timeout;
        loop {
            let answer: OffsetCommitResponse<'_> = client.ask(OFFSET_COMMIT, &self.request())?;
            let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
            let code = partition.ok_or(Failure::Malformed("no partition in it"))?.error_code;
            if !is_passing(code) || Instant::now() > end {
                return accepted("OffsetCommit", code);
            }
            std::thread::sleep(RETRY);
        }
    }
}

/// `head`: an OffsetCommit answer from its correlation id on.
pub(crate) fn committed(head: &[u8]) -> Result<Answer, Failure> {
    let mut d = Decoder::new(head);
    let correlation_id = decode_response_header(&mut d, ApiKey::OffsetCommit.response_header_version(OFFSET_COMMIT))?;
    d.i32()?; // throttle time
    protocol::one(&mut d)?;
    d.uuid()?;
    protocol::one(&mut d)?;
    d.i32()?;
    Ok(Answer { correlation_id, error_code: d.i16()?, offset: 0 })
}

/// How many partitions of `__consumer_offsets` keep something of these groups.
pub(crate) fn offsets_partitions(groups: &[String]) -> usize {
    groups.iter().map(|group| offsets_partition(group)).collect::<BTreeSet<i32>>().len()
}

/// Java's hash of the name, without its sign; 0 for the int that has no positive.
fn offsets_partition(group: &str) -> i32 {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0) % OFFSETS_PARTITIONS
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Message;
    use wire::generated::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
    use wire::header::RequestHeader;

    #[test]
    fn a_group_is_kept_where_java_would_look() {
        // "perf".hashCode() is 3437289; "polygenelubricants".hashCode() is the least int there is.
        assert_eq!(offsets_partition("perf"), 39);
        assert_eq!(offsets_partition("consumers"), 33); // of -421004483
        assert_eq!(offsets_partition("polygenelubricants"), 0);
        let groups: Vec<String> = (0..32).map(|n| format!("perf-offset-commit-32x1-7-{n}")).collect();
        assert!(offsets_partitions(&groups) >= 20, "{}", offsets_partitions(&groups));
    }

    #[test]
    fn a_commit_is_of_no_member() {
        let frame = Commit { group: "g", topic_id: Uuid(7), partition: 3, offset: 11 }.frame();
        let mut d = Decoder::new(&frame[4..]);
        RequestHeader::decode(&mut d, ApiKey::OffsetCommit.request_header_version(OFFSET_COMMIT)).unwrap();
        let request = OffsetCommitRequest::decode(&mut d, OFFSET_COMMIT).unwrap();
        assert_eq!((request.generation_id_or_member_epoch, request.member_id.as_ref()), (-1, ""));
        let topic = &request.topics[0];
        let partition = &topic.partitions[0];
        assert_eq!((topic.topic_id, partition.partition_index, partition.committed_offset), (Uuid(7), 3, 11));
    }

    #[test]
    fn the_walk_of_a_commit_agrees_with_the_message() {
        let partition = OffsetCommitResponsePartition { partition_index: 3, error_code: 16 };
        let topic = OffsetCommitResponseTopic { topic_id: Uuid(7), partitions: vec![partition], ..Default::default() };
        let body = OffsetCommitResponse { topics: vec![topic], ..Default::default() };
        let frame = protocol::answer_frame(ApiKey::OffsetCommit, OFFSET_COMMIT, 5, &body).buf;
        let answer = committed(&frame[4..]).unwrap();
        assert_eq!((answer.correlation_id, answer.error_code), (5, 16));
        assert!(is_passing(answer.error_code) && !is_passing(0) && !is_passing(27));
    }
}
