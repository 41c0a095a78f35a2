//! A Fetch request read in place (versions 4 to 18).

use crate::codec::{DecodeError, Decoder, Message};
use crate::generated::fetch_request::{FetchPartition, FetchRequest, ReplicaState};
use crate::walk::{Shape, Topics, Walked};

/// The first version with fetch sessions (KIP-227).
const SESSIONS_FROM: i16 = 7;
/// The first version with the rack of the consumer (KIP-392).
const RACK_FROM: i16 = 11;
/// The first version that names topics by their id (KIP-516).
const TOPIC_IDS_FROM: i16 = 13;
/// The first version with the replica in a tagged field (KIP-903).
const REPLICA_STATE_FROM: i16 = 15;

/// A Fetch request, checked to its last byte; nothing of it is copied.
#[derive(Debug, Clone)]
pub struct FetchWalk<'a> {
    pub version: i16,
    pub cluster_id: Option<&'a str>,
    /// -1 for a consumer, whichever field the version keeps the replica in.
    pub replica_id: i32,
    /// -1 where the version has none.
    pub replica_epoch: i64,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
    pub isolation_level: i8,
    /// 0 where the version has no sessions.
    pub session_id: i32,
    /// -1, for a fetch without a session, where the version has none.
    pub session_epoch: i32,
    pub rack_id: &'a str,
    topics: Topics<'a, FetchPartition>,
    partition_count: usize,
    forgotten: Topics<'a, i32>,
    forgotten_count: usize,
}

impl<'a> FetchWalk<'a> {
    /// Walks the body that begins where `d` stands and ends where its frame ends.
    pub fn new(mut d: Decoder<'a>, version: i16) -> Result<Self, DecodeError> {
        if !(FetchRequest::MIN_VERSION..=FetchRequest::MAX_VERSION).contains(&version) {
            return Err(DecodeError::UnsupportedVersion);
        }
        let flex = version >= FetchRequest::FLEXIBLE_FROM;
        let shape = Shape { version, flex, by_id: version >= TOPIC_IDS_FROM };
        let d = &mut d;
        let mut walk = FetchWalk {
            version,
            cluster_id: None,
            replica_id: if version < REPLICA_STATE_FROM { d.i32()? } else { -1 },
            replica_epoch: -1,
            max_wait_ms: d.i32()?,
            min_bytes: d.i32()?,
            max_bytes: d.i32()?,
            isolation_level: d.i8()?,
            session_id: if version >= SESSIONS_FROM { d.i32()? } else { 0 },
            session_epoch: if version >= SESSIONS_FROM { d.i32()? } else { -1 },
            rack_id: "",
            topics: Topics::none(d, shape),
            partition_count: 0,
            forgotten: Topics::none(d, shape),
            forgotten_count: 0,
        };
        (walk.topics, walk.partition_count) = Topics::check(d, shape)?;
        if version >= SESSIONS_FROM {
            (walk.forgotten, walk.forgotten_count) = Topics::check(d, shape)?;
        }
        if version >= RACK_FROM {
            walk.rack_id = d.str(flex)?;
        }
        if flex {
            walk.read_tags(d)?;
        }
        d.finish()?;
        Ok(walk)
    }

    fn read_tags(&mut self, d: &mut Decoder<'a>) -> Result<(), DecodeError> {
        let mut tags = d.tags()?;
        while let Some(tag) = d.next_tag(&mut tags)? {
            match tag {
                0 => self.cluster_id = d.opt_str(true, true)?,
                1 if self.version >= REPLICA_STATE_FROM => {
                    let state = ReplicaState::decode(d, self.version)?;
                    (self.replica_id, self.replica_epoch) = (state.replica_id, state.replica_epoch);
                }
                _ => d.skip_tag(&tags)?,
            }
        }
        Ok(())
    }

    pub fn topics(&self) -> Topics<'a, FetchPartition> {
        self.topics.clone()
    }

    /// What an incremental fetch takes out of its session (KIP-227).
    pub fn forgotten(&self) -> Topics<'a, i32> {
        self.forgotten.clone()
    }

    /// Partitions of all topics together.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// Forgotten partitions of all topics together.
    pub fn forgotten_count(&self) -> usize {
        self.forgotten_count
    }
}

impl<'a> Walked<'a> for FetchPartition {
    const MIN_SIZE: usize = <FetchPartition as Message<'a>>::MIN_SIZE;

    fn read(d: &mut Decoder<'a>, shape: Shape) -> Result<Self, DecodeError> {
        FetchPartition::decode(d, shape.version)
    }
}

impl<'a> Walked<'a> for i32 {
    const MIN_SIZE: usize = 4;

    fn read(d: &mut Decoder<'a>, _shape: Shape) -> Result<Self, DecodeError> {
        d.i32()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Encoder;
    use crate::generated::fetch_request::{FetchTopic, ForgottenTopic};
    use crate::uuid::Uuid;

    fn request(version: i16) -> FetchRequest<'static> {
        let by_id = version >= TOPIC_IDS_FROM;
        let name = |name: &'static str| if by_id { "" } else { name }.into();
        let id = |id| if by_id { Uuid(id) } else { Uuid::ZERO };
        let partition = |partition| FetchPartition {
            partition,
            fetch_offset: 1 << 40,
            partition_max_bytes: 1 << 20,
            replica_directory_id: if version >= 17 { Uuid(9) } else { Uuid::ZERO },
            ..Default::default()
        };
        let mut request = FetchRequest { max_wait_ms: 500, min_bytes: 1, max_bytes: 52_428_800, ..Default::default() };
        request.replica_id = if version < REPLICA_STATE_FROM { 4 } else { -1 };
        if version >= REPLICA_STATE_FROM {
            request.replica_state = ReplicaState { replica_id: 4, replica_epoch: 11 };
        }
        request.topics = vec![
            FetchTopic { topic: name("a"), topic_id: id(1), partitions: vec![partition(0), partition(5)] },
            FetchTopic { topic: name("b"), topic_id: id(2), partitions: vec![] },
        ];
        if version >= SESSIONS_FROM {
            (request.session_id, request.session_epoch) = (77, 3);
            request.forgotten_topics_data =
                vec![ForgottenTopic { topic: name("c"), topic_id: id(3), partitions: vec![1, 2, 3] }];
        }
        if version >= RACK_FROM {
            request.rack_id = "rack".into();
        }
        if version >= FetchRequest::FLEXIBLE_FROM {
            request.cluster_id = Some("cluster".into());
        }
        request
    }

    #[test]
    fn a_walk_sees_what_the_message_holds_in_every_version() {
        for version in FetchRequest::MIN_VERSION..=FetchRequest::MAX_VERSION {
            let expected = request(version);
            let mut e = Encoder::new();
            expected.encode(&mut e, version);
            let walk = FetchWalk::new(Decoder::new(&e.buf), version).unwrap();
            assert_eq!((walk.max_wait_ms, walk.min_bytes, walk.max_bytes), (500, 1, 52_428_800));
            assert_eq!((walk.session_id, walk.session_epoch), (expected.session_id, expected.session_epoch));
            assert_eq!((walk.rack_id, walk.cluster_id), (&*expected.rack_id, expected.cluster_id.as_deref()));
            assert_eq!((walk.replica_id, walk.replica_epoch), (4, expected.replica_state.replica_epoch));
            assert_eq!((walk.partition_count(), walk.forgotten_count()), (2, if version < 7 { 0 } else { 3 }));
            let topics: Vec<_> = walk
                .topics()
                .map(|topic| FetchTopic {
                    topic: topic.name.into(),
                    topic_id: topic.topic_id,
                    partitions: topic.partitions.collect(),
                })
                .collect();
            assert_eq!(topics, expected.topics);
            let forgotten: Vec<_> = walk
                .forgotten()
                .map(|topic| ForgottenTopic {
                    topic: topic.name.into(),
                    topic_id: topic.topic_id,
                    partitions: topic.partitions.collect(),
                })
                .collect();
            assert_eq!(forgotten, expected.forgotten_topics_data);
        }
    }

    #[test]
    fn a_cut_or_longer_body_is_refused() {
        for version in FetchRequest::MIN_VERSION..=FetchRequest::MAX_VERSION {
            let mut e = Encoder::new();
            request(version).encode(&mut e, version);
            for cut in 0..e.buf.len() {
                assert!(FetchWalk::new(Decoder::new(&e.buf[..cut]), version).is_err(), "v{version} cut at {cut}");
            }
            e.i8(0);
            let longer = FetchWalk::new(Decoder::new(&e.buf), version);
            assert_eq!(longer.unwrap_err(), DecodeError::TrailingBytes);
        }
    }
}
