//! Bad input: every message cut at every byte, with flipped bits and with counts that lie. Nothing may panic, nothing may
//! take more memory than the budget of its frame, and what is read must be writable.

use super::{GOLDEN, Line, lines};
use crate::codec::{DecodeError, Decoder, Encoder, Message};
use crate::fetch_walk::FetchWalk;
use crate::generated::metadata_request::MetadataRequest;
use crate::messages::{FetchRequest, ProduceRequest};
use crate::metadata_record::MetadataRecord;
use crate::produce_walk::ProduceWalk;
use crate::recode;

/// SplitMix64: the same seed gives the same test.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Lengths and counts that lie, as they stand on the wire.
const LIES: [&[u8]; 12] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0, 0xff, 0xff, 0xff],
    &[0x7f, 0xff],
    &[0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
    &[0],
    &[0xff],
];

/// Changes bytes in one to four places.
pub(super) fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            2 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            3 => {
                let lie = LIES[random.below(LIES.len())];
                let end = (at + lie.len()).min(bytes.len());
                bytes.splice(at..end, lie.iter().copied());
            }
            _ => {
                let count = random.below(5);
                let more: Vec<u8> = (0..count).map(|_| random.next() as u8).collect();
                bytes.splice(at..at, more);
            }
        }
    }
}

/// Reads bytes as the message of the line; what could be read must come back the same once it was written.
fn attack(line: &Line<'_>, bytes: &[u8]) -> Result<(), DecodeError> {
    let schema = recode::find(line.name).unwrap();
    let mut e = Encoder::new();
    let result = (schema.recode)(bytes, line.to, line.to, &mut e);
    if result.is_ok() {
        let mut again = Encoder::new();
        assert_eq!((schema.recode)(&e.buf, line.to, line.to, &mut again), Ok(()), "{} v{}", line.name, line.to);
        assert_eq!(e.buf, again.buf, "{} v{}", line.name, line.to);
    }
    walk(line, bytes, result);
    result
}

/// A walk accepts what decoding accepts, and its iterators run to their end.
fn walk(line: &Line<'_>, bytes: &[u8], decoded: Result<(), DecodeError>) {
    let partitions = match line.name {
        "ProduceRequest" => ProduceWalk::new(Decoder::new(bytes), line.to).map(|walk| {
            let count: usize = walk.topics().map(|topic| topic.partitions.count()).sum();
            (count, walk.partition_count())
        }),
        "FetchRequest" => FetchWalk::new(Decoder::new(bytes), line.to).map(|walk| {
            let count: usize = walk.topics().map(|topic| topic.partitions.count()).sum();
            let forgotten: usize = walk.forgotten().map(|topic| topic.partitions.count()).sum();
            (count + forgotten, walk.partition_count() + walk.forgotten_count())
        }),
        _ => return,
    };
    match partitions {
        Ok((walked, counted)) => {
            assert_eq!(walked, counted);
            assert!(
                matches!(decoded, Ok(()) | Err(DecodeError::OverBudget)),
                "{} v{}: {decoded:?}",
                line.name,
                line.to
            );
        }
        Err(_) => assert!(decoded.is_err(), "{} v{}", line.name, line.to),
    }
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    for line in lines(GOLDEN).iter().filter(|line| line.from.is_some()) {
        for cut in 0..line.expected.len() {
            assert!(attack(line, &line.expected[..cut]).is_err(), "{} v{} cut at {cut}", line.name, line.to);
        }
        let longer = [&line.expected[..], &[0]].concat();
        assert!(attack(line, &longer).is_err(), "{} v{} with a byte more", line.name, line.to);
    }
}

#[test]
fn changed_messages_are_read_or_refused() {
    let mut random = Random(1);
    let (mut read, mut refused) = (0, 0);
    for line in lines(GOLDEN).iter().filter(|line| line.from.is_some()) {
        for _ in 0..200 {
            let mut bytes = line.expected.clone();
            mutate(&mut bytes, &mut random);
            match attack(line, &bytes) {
                Ok(()) => read += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(
        read > 10_000 && refused > 10_000,
        "{read} read, {refused} refused: the changes are too small or too large"
    );
}

#[test]
fn a_lie_at_any_byte_is_read_or_refused() {
    for line in lines(GOLDEN).iter().filter(|line| line.from.is_some() && line.name.ends_with("Request")) {
        for at in 0..line.expected.len() {
            for lie in LIES {
                let mut bytes = line.expected.clone();
                let end = (at + lie.len()).min(bytes.len());
                bytes.splice(at..end, lie.iter().copied());
                let _ = attack(line, &bytes);
            }
        }
    }
}

#[test]
fn a_metadata_record_of_noise_is_read_or_refused() {
    let mut random = Random(3);
    for _ in 0..20_000 {
        let mut frame = vec![1, random.below(30) as u8, random.below(4) as u8];
        let count = random.below(40);
        frame.extend((0..count).map(|_| random.next() as u8 >> random.below(8)));
        let _ = MetadataRecord::decode(&frame);
    }
}

#[test]
fn a_count_beyond_the_frame_takes_no_memory() {
    for (version, body) in [(0, &[0x7f, 0xff, 0xff, 0xff][..]), (9, &[0xff, 0xff, 0xff, 0xff, 0x07])] {
        let result = MetadataRequest::decode(&mut Decoder::new(body), version);
        assert_eq!(result.unwrap_err(), DecodeError::CountTooLarge);
    }
    assert_eq!(ProduceRequest::decode(&mut Decoder::new(&[]), 14).unwrap_err(), DecodeError::UnsupportedVersion);
    assert_eq!(FetchRequest::decode(&mut Decoder::new(&[]), 3).unwrap_err(), DecodeError::UnsupportedVersion);
}

#[test]
fn elements_that_are_small_on_the_wire_and_large_in_memory_end_at_the_budget() {
    let count = 1 << 20;
    let mut body = Vec::from(i32::to_be_bytes(count));
    body.resize(4 + 2 * count as usize, 0);
    let result = MetadataRequest::decode(&mut Decoder::new(&body), 0);
    assert_eq!(result.unwrap_err(), DecodeError::OverBudget);
    let mut generous = Decoder::with_budget(&body, usize::MAX);
    assert_eq!(MetadataRequest::decode(&mut generous, 0).unwrap().topics.unwrap().len(), count as usize);
}
