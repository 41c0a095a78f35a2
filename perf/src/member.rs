//! A member of a group as a client's side of the protocol: it always has one request to send next, and what is answered
//! decides which one and when. No I/O and no clock.

use std::time::Duration;

use wire::generated::consumer_group_heartbeat_request::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use wire::generated::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;
use wire::generated::consumer_protocol_assignment::{ConsumerProtocolAssignment, TopicPartition};
use wire::generated::consumer_protocol_subscription::ConsumerProtocolSubscription;
use wire::generated::heartbeat_request::HeartbeatRequest;
use wire::generated::heartbeat_response::HeartbeatResponse;
use wire::generated::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use wire::generated::join_group_response::JoinGroupResponse;
use wire::generated::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use wire::generated::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use wire::generated::sync_group_response::SyncGroupResponse;
use wire::{ApiKey, Decoder, Encoder, ErrorCode, Message, Uuid};

use crate::client::accepted;
use crate::coordinator::{RETRY, is_passing};
use crate::failure::Failure;
use crate::protocol;

const JOIN_GROUP: i16 = 9;
const SYNC_GROUP: i16 = 5;
const HEARTBEAT: i16 = 4;
const LEAVE_GROUP: i16 = 5;
const CONSUMER_GROUP_HEARTBEAT: i16 = 1;

const PROTOCOL_TYPE: &str = "consumer";
const ASSIGNOR: &str = "range";
/// What clients write into subscriptions and assignments of classic groups.
const CONSUMER_PROTOCOL: i16 = 3;
/// Defaults of Apache Kafka's consumer: `session.timeout.ms`, `max.poll.interval.ms`, `heartbeat.interval.ms`.
const SESSION_TIMEOUT_MS: i32 = 45_000;
const REBALANCE_TIMEOUT_MS: i32 = 300_000;
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

/// The epochs by which a member of a consumer group joins and leaves.
const JOINING_EPOCH: i32 = 0;
const LEAVING_EPOCH: i32 = -1;

/// What the members of a group have in common.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) topic_id: Uuid,
    pub(crate) partitions: i32,
}

/// Which protocol the members of a group speak (`group.protocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum GroupProtocol {
    Classic,
    Consumer,
}

impl GroupProtocol {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            GroupProtocol::Classic => "classic",
            GroupProtocol::Consumer => "consumer",
        }
    }
}

/// What a member has after it has taken part in an assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// The generation, or the member epoch.
    pub(crate) generation: i32,
    pub(crate) partitions: Vec<i32>,
}

pub(crate) enum Member {
    Classic(Classic),
    Consumer(Consumer),
}

impl Member {
    /// `number`: which of the group's members, from 0.
    pub(crate) fn new(protocol: GroupProtocol, group: Group, number: usize) -> Member {
        match protocol {
            GroupProtocol::Classic => Member::Classic(Classic::new(group)),
            GroupProtocol::Consumer => Member::Consumer(Consumer::new(group, number)),
        }
    }

    /// The frame to send next.
    pub(crate) fn request(&self) -> Vec<u8> {
        match self {
            Member::Classic(member) => member.request(),
            Member::Consumer(member) => member.request(),
        }
    }

    /// Takes the answer to that frame, from its correlation id on, and says how long to wait before the next.
    pub(crate) fn answered(&mut self, answer: &[u8]) -> Result<Duration, Failure> {
        match self {
            Member::Classic(member) => member.answered(answer),
            Member::Consumer(member) => member.answered(answer),
        }
    }

    /// None while it joins, or has not yet told that it does as it was told.
    pub(crate) fn share(&self) -> Option<&Share> {
        match self {
            Member::Classic(member) => match &member.state {
                ClassicState::Stable(share) => Some(share),
                _ => None,
            },
            Member::Consumer(member) => (member.share.generation > 0 && !member.owes_report).then_some(&member.share),
        }
    }

    /// The frame by which it leaves.
    pub(crate) fn leaving(&self) -> Vec<u8> {
        match self {
            Member::Classic(member) => member.leaving(),
            Member::Consumer(member) => member.heartbeat(LEAVING_EPOCH, false),
        }
    }
}

/// A member of a classic group.
pub(crate) struct Classic {
    group: Group,
    id: String,
    state: ClassicState,
}

enum ClassicState {
    Joining,
    /// `assignments`: the leader's, empty for everybody else.
    Syncing {
        generation: i32,
        assignments: Vec<(String, Vec<u8>)>,
    },
    Stable(Share),
}

impl Classic {
    fn new(group: Group) -> Classic {
        Classic { group, id: String::new(), state: ClassicState::Joining }
    }

    fn request(&self) -> Vec<u8> {
        match &self.state {
            ClassicState::Joining => self.join(),
            ClassicState::Syncing { generation, assignments } => self.sync(*generation, assignments),
            ClassicState::Stable(share) => {
                let request = HeartbeatRequest {
                    group_id: self.group.name.as_str().into(),
                    generation_id: share.generation,
                    member_id: self.id.as_str().into(),
                    group_instance_id: None,
                };
                protocol::frame(HEARTBEAT, &request)
            }
        }
    }

    fn join(&self) -> Vec<u8> {
        let metadata = subscription(&self.group.topic);
        let protocol = JoinGroupRequestProtocol { name: ASSIGNOR.into(), metadata: metadata.into() };
        let request = JoinGroupRequest {
            group_id: self.group.name.as_str().into(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            member_id: self.id.as_str().into(),
            protocol_type: PROTOCOL_TYPE.into(),
            protocols: vec![protocol],
            ..Default::default()
        };
        protocol::frame(JOIN_GROUP, &request)
    }

    fn sync(&self, generation: i32, assignments: &[(String, Vec<u8>)]) -> Vec<u8> {
        let one = |(member_id, assignment): &'_ (String, Vec<u8>)| SyncGroupRequestAssignment {
            member_id: member_id.clone().into(),
            assignment: assignment.clone().into(),
        };
        let request = SyncGroupRequest {
            group_id: self.group.name.as_str().into(),
            generation_id: generation,
            member_id: self.id.as_str().into(),
            group_instance_id: None,
            protocol_type: Some(PROTOCOL_TYPE.into()),
            protocol_name: Some(ASSIGNOR.into()),
            assignments: assignments.iter().map(one).collect(),
        };
        protocol::frame(SYNC_GROUP, &request)
    }

    fn leaving(&self) -> Vec<u8> {
        let member = MemberIdentity { member_id: self.id.as_str().into(), ..Default::default() };
        let request = LeaveGroupRequest {
            group_id: self.group.name.as_str().into(),
            members: vec![member],
            ..Default::default()
        };
        protocol::frame(LEAVE_GROUP, &request)
    }

    fn answered(&mut self, answer: &[u8]) -> Result<Duration, Failure> {
        match &self.state {
            ClassicState::Joining => self.joined(answer),
            ClassicState::Syncing { generation, .. } => self.synced(*generation, answer),
            ClassicState::Stable(_) => match heartbeat_code(answer)? {
                0 => Ok(HEARTBEAT_INTERVAL),
                code => self.refused("Heartbeat", code),
            },
        }
    }

    fn joined(&mut self, answer: &[u8]) -> Result<Duration, Failure> {
        let answer: JoinGroupResponse<'_> = protocol::answer(ApiKey::JoinGroup, JOIN_GROUP, answer)?;
        if answer.error_code == ErrorCode::MemberIdRequired.code() {
            self.id = answer.member_id.into_owned();
            return Ok(Duration::ZERO);
        }
        if answer.error_code != 0 {
            return self.refused("JoinGroup", answer.error_code);
        }
        // Nobody but the leader is told who the members are.
        let ids = answer.members.iter().map(|member| member.member_id.to_string()).collect();
        self.id = answer.member_id.into_owned();
        let assignments = assign(&self.group, ids);
        self.state = ClassicState::Syncing { generation: answer.generation_id, assignments };
        Ok(Duration::ZERO)
    }

    fn synced(&mut self, generation: i32, answer: &[u8]) -> Result<Duration, Failure> {
        let answer: SyncGroupResponse<'_> = protocol::answer(ApiKey::SyncGroup, SYNC_GROUP, answer)?;
        if answer.error_code != 0 {
            return self.refused("SyncGroup", answer.error_code);
        }
        let partitions = assigned(&self.group.topic, &answer.assignment)?;
        self.state = ClassicState::Stable(Share { generation, partitions });
        Ok(HEARTBEAT_INTERVAL)
    }

    /// What a client survives by joining again or by waiting; anything else ends the run.
    fn refused(&mut self, api: &'static str, code: i16) -> Result<Duration, Failure> {
        if is_passing(code) {
            return Ok(RETRY);
        }
        if code == ErrorCode::UnknownMemberId.code() {
            self.id.clear();
        } else if code != ErrorCode::RebalanceInProgress.code() && code != ErrorCode::IllegalGeneration.code() {
            return accepted(api, code).map(|()| Duration::ZERO);
        }
        self.state = ClassicState::Joining;
        Ok(Duration::ZERO)
    }
}

/// The error code of a classic group's heartbeat.
pub(crate) fn heartbeat_code(answer: &[u8]) -> Result<i16, Failure> {
    let answer: HeartbeatResponse = protocol::answer(ApiKey::Heartbeat, HEARTBEAT, answer)?;
    Ok(answer.error_code)
}

fn subscription(topic: &str) -> Vec<u8> {
    versioned(&ConsumerProtocolSubscription { topics: vec![topic.to_owned()], ..Default::default() })
}

/// Ranges of equal length, but for one, in the order of the member ids.
fn assign(group: &Group, mut ids: Vec<String>) -> Vec<(String, Vec<u8>)> {
    ids.sort_unstable();
    let count = ids.len() as i64;
    let from = |n: usize| (n as i64 * i64::from(group.partitions) / count) as i32;
    let one = |(n, id): (usize, String)| {
        let share = TopicPartition { topic: group.topic.clone(), partitions: (from(n)..from(n + 1)).collect() };
        (id, versioned(&ConsumerProtocolAssignment { assigned_partitions: vec![share], user_data: None }))
    };
    ids.into_iter().enumerate().map(one).collect()
}

/// What [`assign`] wrote; no bytes are no partitions.
fn assigned(topic: &str, assignment: &[u8]) -> Result<Vec<i32>, Failure> {
    if assignment.is_empty() {
        return Ok(Vec::new());
    }
    let mut d = Decoder::new(assignment);
    let version = d.i16()?;
    let assignment = ConsumerProtocolAssignment::decode(&mut d, version)?;
    let of_topic = assignment.assigned_partitions.into_iter().filter(|share| share.topic == topic);
    Ok(of_topic.flat_map(|share| share.partitions).collect())
}

/// A message of the consumer protocol behind its version.
fn versioned<'a, M: Message<'a>>(message: &M) -> Vec<u8> {
    let mut e = Encoder::new();
    e.i16(CONSUMER_PROTOCOL);
    message.encode(&mut e, CONSUMER_PROTOCOL);
    e.buf
}

/// A member of a consumer group (KIP-848). It gives up and takes partitions at once, and tells so at once.
pub(crate) struct Consumer {
    group: Group,
    id: Uuid,
    share: Share,
    /// The coordinator has not been told yet that the share is as it was assigned.
    owes_report: bool,
}

impl Consumer {
    fn new(group: Group, number: usize) -> Consumer {
        // Clients draw their ids; here they only must differ, and not be zero.
        let id = Uuid(group.topic_id.0 ^ ((number as u128 + 1) << 32));
        Consumer { group, id, share: Share { generation: JOINING_EPOCH, partitions: Vec::new() }, owes_report: true }
    }

    fn request(&self) -> Vec<u8> {
        self.heartbeat(self.share.generation, self.owes_report)
    }

    /// `is_full`: with everything the coordinator doesn't know, or might have forgotten.
    fn heartbeat(&self, epoch: i32, is_full: bool) -> Vec<u8> {
        let is_joining = epoch == JOINING_EPOCH;
        let id = self.id.to_string();
        let owned = TopicPartitions { topic_id: self.group.topic_id, partitions: self.share.partitions.clone() };
        let owned = if owned.partitions.is_empty() { Vec::new() } else { vec![owned] };
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group.name.as_str().into(),
            member_id: id.as_str().into(),
            member_epoch: epoch,
            rebalance_timeout_ms: if is_joining { REBALANCE_TIMEOUT_MS } else { -1 },
            subscribed_topic_names: is_joining.then(|| vec![self.group.topic.as_str().into()]),
            topic_partitions: is_full.then_some(owned),
            ..Default::default()
        };
        protocol::frame(CONSUMER_GROUP_HEARTBEAT, &request)
    }

    fn answered(&mut self, answer: &[u8]) -> Result<Duration, Failure> {
        let answer: ConsumerGroupHeartbeatResponse<'_> =
            protocol::answer(ApiKey::ConsumerGroupHeartbeat, CONSUMER_GROUP_HEARTBEAT, answer)?;
        if answer.error_code != 0 {
            return self.refused(answer.error_code);
        }
        self.share.generation = answer.member_epoch;
        self.owes_report = false;
        if let Some(assignment) = answer.assignment {
            let topics = assignment.topic_partitions.into_iter().filter(|t| t.topic_id == self.group.topic_id);
            let partitions: Vec<i32> = topics.flat_map(|topic| topic.partitions).collect();
            self.owes_report = partitions != self.share.partitions;
            self.share.partitions = partitions;
        }
        let interval = Duration::from_millis(answer.heartbeat_interval_ms.max(1) as u64);
        Ok(if self.owes_report { Duration::ZERO } else { interval })
    }

    /// As [`Classic::refused`].
    fn refused(&mut self, code: i16) -> Result<Duration, Failure> {
        if is_passing(code) {
            return Ok(RETRY);
        }
        if code != ErrorCode::UnknownMemberId.code() && code != ErrorCode::FencedMemberEpoch.code() {
            return accepted("ConsumerGroupHeartbeat", code).map(|()| Duration::ZERO);
        }
        self.share = Share { generation: JOINING_EPOCH, partitions: Vec::new() };
        self.owes_report = true;
        Ok(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::generated::consumer_group_heartbeat_response::{Assignment, TopicPartitions as Assigned};
    use wire::generated::join_group_response::JoinGroupResponseMember;
    use wire::header::RequestHeader;

    const TOPIC_ID: Uuid = Uuid(7);

    fn group(partitions: i32) -> Group {
        Group { name: "g".to_owned(), topic: "t".to_owned(), topic_id: TOPIC_ID, partitions }
    }

    /// What the member asks next, without header.
    fn asked<T>(member: &Member, version: i16, read: impl Fn(&mut Decoder<'_>) -> T) -> T {
        let frame = member.request();
        let mut d = Decoder::new(&frame[4..]);
        let header = RequestHeader::decode(&mut d, 2).unwrap();
        assert_eq!(header.api_version, version);
        read(&mut d)
    }

    fn answer<'a, M: Message<'a>>(member: &mut Member, key: ApiKey, version: i16, body: &M) -> Duration {
        member.answered(&protocol::answer_frame(key, version, 0, body).buf[4..]).unwrap()
    }

    fn joined(member: &mut Member, body: &JoinGroupResponse<'_>) -> Duration {
        answer(member, ApiKey::JoinGroup, JOIN_GROUP, body)
    }

    fn join_id(member: &Member) -> String {
        asked(member, JOIN_GROUP, |d| JoinGroupRequest::decode(d, JOIN_GROUP).unwrap().member_id.into_owned())
    }

    #[test]
    fn a_leader_joins_assigns_and_joins_again() {
        let mut member = Member::new(GroupProtocol::Classic, group(3), 0);
        assert_eq!(join_id(&member), "");
        let code = ErrorCode::MemberIdRequired.code();
        joined(&mut member, &JoinGroupResponse { error_code: code, member_id: "b".into(), ..Default::default() });
        assert_eq!(join_id(&member), "b");
        let one = |id: &'static str| JoinGroupResponseMember { member_id: id.into(), ..Default::default() };
        let members = vec![one("b"), one("a")];
        let body = JoinGroupResponse { generation_id: 4, member_id: "b".into(), members, ..Default::default() };
        assert_eq!(joined(&mut member, &body), Duration::ZERO);
        let assignments: Vec<Vec<i32>> = asked(&member, SYNC_GROUP, |d| {
            let request = SyncGroupRequest::decode(d, SYNC_GROUP).unwrap();
            request.assignments.iter().map(|share| assigned("t", &share.assignment).unwrap()).collect()
        });
        assert_eq!(assignments, [vec![0], vec![1, 2]]);
        assert!(member.share().is_none());

        let (_, share) = assign(&group(3), vec!["a".to_owned(), "b".to_owned()]).remove(1);
        let body = SyncGroupResponse { assignment: share.into(), ..Default::default() };
        assert_eq!(answer(&mut member, ApiKey::SyncGroup, SYNC_GROUP, &body), HEARTBEAT_INTERVAL);
        assert_eq!(member.share(), Some(&Share { generation: 4, partitions: vec![1, 2] }));

        let beat = |error_code: ErrorCode| HeartbeatResponse { error_code: error_code.code(), ..Default::default() };
        answer(&mut member, ApiKey::Heartbeat, HEARTBEAT, &beat(ErrorCode::NotCoordinator));
        assert!(member.share().is_some(), "the coordinator moves, the group stays");
        answer(&mut member, ApiKey::Heartbeat, HEARTBEAT, &beat(ErrorCode::RebalanceInProgress));
        assert!(member.share().is_none());
        assert_eq!(join_id(&member), "b");
    }

    #[test]
    fn what_no_client_survives_ends_the_run() {
        let mut member = Member::new(GroupProtocol::Classic, group(1), 0);
        let code = ErrorCode::GroupAuthorizationFailed.code();
        let body = JoinGroupResponse { error_code: code, ..Default::default() };
        let frame = protocol::answer_frame(ApiKey::JoinGroup, JOIN_GROUP, 0, &body).buf;
        let failure = member.answered(&frame[4..]).unwrap_err();
        assert_eq!(failure.to_string(), format!("JoinGroup is answered with error code {code}"));
    }

    /// Epoch and owned partitions of the next heartbeat.
    fn beat(member: &Member) -> (i32, Option<Vec<i32>>) {
        asked(member, CONSUMER_GROUP_HEARTBEAT, |d| {
            let request = ConsumerGroupHeartbeatRequest::decode(d, CONSUMER_GROUP_HEARTBEAT).unwrap();
            let owned = request.topic_partitions.map(|topics| topics.into_iter().flat_map(|t| t.partitions).collect());
            (request.member_epoch, owned)
        })
    }

    fn told(member: &mut Member, epoch: i32, partitions: Option<&[i32]>, code: i16) -> Duration {
        let one = |p: &[i32]| Assigned { topic_id: TOPIC_ID, partitions: p.to_vec() };
        let assignment = partitions.map(|p| Assignment { topic_partitions: vec![one(p)] });
        let body = ConsumerGroupHeartbeatResponse {
            error_code: code,
            member_epoch: epoch,
            heartbeat_interval_ms: 5000,
            assignment,
            ..Default::default()
        };
        answer(member, ApiKey::ConsumerGroupHeartbeat, CONSUMER_GROUP_HEARTBEAT, &body)
    }

    #[test]
    fn a_share_counts_once_the_coordinator_knows_that_it_was_taken() {
        let mut member = Member::new(GroupProtocol::Consumer, group(3), 0);
        assert_eq!(beat(&member), (0, Some(vec![])));
        assert_eq!(told(&mut member, 2, Some(&[0, 1]), 0), Duration::ZERO);
        assert!(member.share().is_none());
        assert_eq!(beat(&member), (2, Some(vec![0, 1])));
        assert_eq!(told(&mut member, 2, None, 0), Duration::from_secs(5));
        assert_eq!(member.share(), Some(&Share { generation: 2, partitions: vec![0, 1] }));
        assert_eq!(beat(&member), (2, None));
        assert_eq!(told(&mut member, 2, Some(&[1]), 0), Duration::ZERO, "what is revoked is given up at once");
        assert_eq!(beat(&member), (2, Some(vec![1])));
        told(&mut member, 0, None, ErrorCode::FencedMemberEpoch.code());
        assert_eq!(beat(&member), (0, Some(vec![])));
        assert!(member.share().is_none());
    }
}
