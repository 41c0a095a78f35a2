//! The few requests a load needs, as whole frames with their size prefix, and the answers to them.
//!
//! Produce v11 and Fetch v12 name topics instead of identifying them, and exist in every Apache Kafka since 3.8.

use crate::failure::Failure;

/// Where the correlation id stands in every request frame.
pub(crate) const CORRELATION_AT: usize = 8;
const CLIENT_ID: &str = "perf";

pub(crate) const PRODUCE: i16 = 0;
pub(crate) const FETCH: i16 = 1;
pub(crate) const LIST_OFFSETS: i16 = 2;
pub(crate) const METADATA: i16 = 3;
pub(crate) const API_VERSIONS: i16 = 18;
pub(crate) const CREATE_TOPICS: i16 = 19;
pub(crate) const DELETE_TOPICS: i16 = 20;

/// A Produce request with one batch for one partition. Returns the frame and where the batch starts in it.
pub(crate) fn produce(topic: &str, partition: i32, acks: i16, batch: &[u8]) -> (Vec<u8>, usize) {
    let mut put = Put::flexible(PRODUCE, 11);
    put.uvarint(0); // no transactional id
    put.i16(acks);
    put.i32(30_000);
    put.uvarint(2);
    put.compact_string(topic);
    put.uvarint(2);
    put.i32(partition);
    put.uvarint(batch.len() as u32 + 1);
    let at = put.0.len();
    put.0.extend_from_slice(batch);
    put.0.extend_from_slice(&[0, 0, 0]); // no tags: partition, topic, request
    (put.frame(), at)
}

/// Error code and base offset of the one partition asked for.
pub(crate) struct Produced {
    pub(crate) error_code: i16,
    pub(crate) base_offset: i64,
}

/// `head`: the answer from its correlation id on; its first 64 bytes and the topic's name are enough.
pub(crate) fn produced(head: &[u8]) -> Result<(i32, Produced), Failure> {
    let mut get = Get(head);
    let correlation_id = get.i32()?;
    get.tags()?;
    get.one("topics")?;
    get.compact_string()?;
    get.one("partitions")?;
    get.i32()?;
    Ok((correlation_id, Produced { error_code: get.i16()?, base_offset: get.i64()? }))
}

/// What one Fetch asks for.
pub(crate) struct Wanted {
    pub(crate) max_wait_ms: i32,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
}

/// A Fetch of one partition outside of any session. Returns the frame and where the fetch offset stands in it.
pub(crate) fn fetch(topic: &str, partition: i32, wanted: &Wanted) -> (Vec<u8>, usize) {
    let mut put = Put::flexible(FETCH, 12);
    put.i32(-1); // not a replica
    put.i32(wanted.max_wait_ms);
    put.i32(wanted.min_bytes);
    put.i32(wanted.max_bytes);
    put.i8(0); // read uncommitted
    put.i32(0); // no session
    put.i32(-1);
    put.uvarint(2);
    put.compact_string(topic);
    put.uvarint(2);
    put.i32(partition);
    put.i32(-1); // leader epoch not known
    let at = put.0.len();
    put.i64(0);
    put.i32(-1); // last fetched epoch
    put.i64(-1); // log start offset: followers only
    put.i32(wanted.max_bytes);
    put.0.extend_from_slice(&[0, 0]);
    put.uvarint(1); // nothing forgotten
    put.compact_string(""); // rack
    put.0.push(0);
    (put.frame(), at)
}

/// The one partition of a Fetch answer.
pub(crate) struct Fetched {
    pub(crate) error_code: i16,
    pub(crate) records_size: usize,
    /// Where the records start, counted from the correlation id.
    pub(crate) records_at: usize,
}

/// `head`: as for [`produced`], 96 bytes and the topic's name.
pub(crate) fn fetched(head: &[u8]) -> Result<(i32, Fetched), Failure> {
    let mut get = Get(head);
    let correlation_id = get.i32()?;
    get.tags()?;
    get.i32()?; // throttle time
    let error_code = get.i16()?;
    get.i32()?; // session
    if error_code != 0 {
        return Ok((correlation_id, Fetched { error_code, records_size: 0, records_at: 0 }));
    }
    get.one("topics")?;
    get.compact_string()?;
    get.one("partitions")?;
    get.i32()?;
    let error_code = get.i16()?;
    get.skip(3 * 8)?; // high watermark, last stable offset, log start offset
    if get.uvarint()? > 1 {
        return Err(Failure::Malformed("aborted transactions were not asked for"));
    }
    get.i32()?; // preferred read replica
    let records_size = get.uvarint()?.saturating_sub(1) as usize;
    Ok((correlation_id, Fetched { error_code, records_size, records_at: head.len() - get.0.len() }))
}

pub(crate) fn api_versions() -> Vec<u8> {
    Put::plain(API_VERSIONS, 0).frame()
}

pub(crate) fn api_versions_answered(answer: &[u8]) -> Result<i16, Failure> {
    let mut get = Get(answer);
    get.i32()?;
    get.i16()
}

pub(crate) fn create_topic(name: &str, partitions: i32, configs: &[(&str, String)]) -> Vec<u8> {
    let mut put = Put::plain(CREATE_TOPICS, 4);
    put.i32(1);
    put.string(name);
    put.i32(partitions);
    put.i16(1);
    put.i32(0); // the broker places the replicas
    put.i32(configs.len() as i32);
    for (key, value) in configs {
        put.string(key);
        put.string(value);
    }
    put.i32(30_000);
    put.i8(0); // not only validated
    put.frame()
}

pub(crate) fn created(answer: &[u8]) -> Result<i16, Failure> {
    let mut get = Get(answer);
    get.skip(4 + 4)?; // correlation id, throttle time
    get.count_one("topics")?;
    get.string()?;
    get.i16()
}

pub(crate) fn delete_topic(name: &str) -> Vec<u8> {
    let mut put = Put::plain(DELETE_TOPICS, 3);
    put.i32(1);
    put.string(name);
    put.i32(30_000);
    put.frame()
}

/// The answer to DeleteTopics v3 starts as that to CreateTopics v4.
pub(crate) fn deleted(answer: &[u8]) -> Result<i16, Failure> {
    created(answer)
}

pub(crate) fn metadata(topic: &str) -> Vec<u8> {
    let mut put = Put::plain(METADATA, 4);
    put.i32(1);
    put.string(topic);
    put.i8(0); // no auto-creation
    put.frame()
}

/// Address of the leader of each partition, by partition index; empty where a partition has no leader now.
pub(crate) struct Leaders {
    pub(crate) error_code: i16,
    pub(crate) brokers: usize,
    pub(crate) addresses: Vec<String>,
}

pub(crate) fn leaders(answer: &[u8]) -> Result<Leaders, Failure> {
    let mut get = Get(answer);
    get.skip(4 + 4)?;
    let mut brokers = Vec::new();
    for _ in 0..get.i32()? {
        let id = get.i32()?;
        let host = get.string()?.to_owned();
        brokers.push((id, format!("{host}:{}", get.i32()?)));
        get.nullable_string()?;
    }
    get.nullable_string()?;
    get.i32()?; // controller
    get.count_one("topics")?;
    let error_code = get.i16()?;
    get.string()?;
    get.skip(1)?;
    let mut partitions = Vec::new();
    for _ in 0..get.i32()? {
        get.i16()?;
        let index = get.i32()?;
        let leader = get.i32()?;
        for _ in 0..2 {
            let replicas = get.i32()?;
            get.skip(4 * usize::try_from(replicas).map_err(|_| Failure::Malformed("replica count"))?)?;
        }
        let address = brokers.iter().find(|(id, _)| *id == leader).map(|(_, address)| address.clone());
        partitions.push((index, address.unwrap_or_default()));
    }
    partitions.sort();
    Ok(Leaders { error_code, brokers: brokers.len(), addresses: partitions.into_iter().map(|(_, a)| a).collect() })
}

/// Asks for the log end offset.
pub(crate) fn list_offsets(topic: &str, partition: i32) -> Vec<u8> {
    let mut put = Put::plain(LIST_OFFSETS, 1);
    put.i32(-1);
    put.i32(1);
    put.string(topic);
    put.i32(1);
    put.i32(partition);
    put.i64(-1);
    put.frame()
}

/// Error code and offset.
pub(crate) fn listed_offset(answer: &[u8]) -> Result<(i16, i64), Failure> {
    let mut get = Get(answer);
    get.i32()?;
    get.count_one("topics")?;
    get.string()?;
    get.count_one("partitions")?;
    get.i32()?;
    let error_code = get.i16()?;
    get.i64()?;
    Ok((error_code, get.i64()?))
}

pub(crate) struct Put(pub(crate) Vec<u8>);

impl Put {
    /// Request header version 1.
    pub(crate) fn plain(key: i16, version: i16) -> Put {
        let mut put = Put(vec![0; 4]);
        put.i16(key);
        put.i16(version);
        put.i32(0);
        put.string(CLIENT_ID);
        put
    }

    /// Request header version 2.
    pub(crate) fn flexible(key: i16, version: i16) -> Put {
        let mut put = Put::plain(key, version);
        put.0.push(0);
        put
    }

    pub(crate) fn frame(mut self) -> Vec<u8> {
        let size = (self.0.len() - 4) as i32;
        self.0[..4].copy_from_slice(&size.to_be_bytes());
        self.0
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.0.push(value as u8);
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn string(&mut self, value: &str) {
        self.i16(value.len() as i16);
        self.0.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn compact_string(&mut self, value: &str) {
        self.uvarint(value.len() as u32 + 1);
        self.0.extend_from_slice(value.as_bytes());
    }
}

pub(crate) struct Get<'a>(pub(crate) &'a [u8]);

impl<'a> Get<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Failure> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Failure::Malformed("too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Result<(), Failure> {
        self.bytes(count).map(drop)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Failure> {
        self.bytes(2).map(|b| i16::from_be_bytes([b[0], b[1]]))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Failure> {
        self.bytes(4).map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Failure> {
        Ok((i64::from(self.i32()?) << 32) | i64::from(self.i32()? as u32))
    }

    pub(crate) fn uvarint(&mut self) -> Result<u32, Failure> {
        let mut value = 0;
        for shift in (0..32).step_by(7) {
            let byte = self.bytes(1)?[0];
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Failure::Malformed("varint"))
    }

    pub(crate) fn utf8(&mut self, len: usize) -> Result<&'a str, Failure> {
        std::str::from_utf8(self.bytes(len)?).map_err(|_| Failure::Malformed("string"))
    }

    pub(crate) fn nullable_string(&mut self) -> Result<Option<&'a str>, Failure> {
        match self.i16()? {
            -1 => Ok(None),
            len => self.utf8(usize::try_from(len).map_err(|_| Failure::Malformed("string length"))?).map(Some),
        }
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, Failure> {
        self.nullable_string()?.ok_or(Failure::Malformed("null string"))
    }

    pub(crate) fn compact_string(&mut self) -> Result<&'a str, Failure> {
        let len = self.uvarint()?.checked_sub(1).ok_or(Failure::Malformed("null string"))?;
        self.utf8(len as usize)
    }

    pub(crate) fn tags(&mut self) -> Result<(), Failure> {
        for _ in 0..self.uvarint()? {
            self.uvarint()?;
            let size = self.uvarint()?;
            self.skip(size as usize)?;
        }
        Ok(())
    }

    pub(crate) fn one(&mut self, what: &'static str) -> Result<(), Failure> {
        if self.uvarint()? == 2 { Ok(()) } else { Err(Failure::Malformed(what)) }
    }

    pub(crate) fn count_one(&mut self, what: &'static str) -> Result<(), Failure> {
        if self.i32()? == 1 { Ok(()) } else { Err(Failure::Malformed(what)) }
    }
}
