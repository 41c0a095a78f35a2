//! The messages of this crate against Apache Kafka's own classes.
//!
//! `golden.txt` holds what `MessageOracle small 1` wrote: every class in every version, a line each. It is checked always.
//! [`java`] runs the oracle itself, with many more messages and in both directions; it needs Java and Kafka's jars, so
//! those tests are ignored unless asked for: `RINGMILL_KAFKA_LIBS=DIR cargo test -p wire oracle -- --ignored`.

mod hostile;
mod java;

use std::collections::BTreeSet;

use crate::codec::Encoder;
use crate::coordinator_record::{GroupRecordKey, GroupRecordValue};
use crate::metadata_record::MetadataRecord;
use crate::recode::{self, SCHEMAS};

const GOLDEN: &str = include_str!("golden.txt");

/// One line of the oracle; see `MessageOracle.java`.
struct Line<'a> {
    name: &'a str,
    /// Version and bytes to read; `None` stands for a message of nothing but defaults.
    from: Option<(i16, Vec<u8>)>,
    to: i16,
    expected: Vec<u8>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split(' ');
        let name = words.next()?;
        let (version, bytes) = (words.next()?, words.next()?);
        let from = if version == "-" { None } else { Some((version.parse().ok()?, bytes_of(bytes)?)) };
        let line = Line { name, from, to: words.next()?.parse().ok()?, expected: bytes_of(words.next()?)? };
        words.next().is_none().then_some(line)
    }

    fn check(&self) -> Result<(), String> {
        let schema = recode::find(self.name).ok_or_else(|| format!("there is no {}", self.name))?;
        let mut e = Encoder::new();
        match &self.from {
            None => (schema.default)(self.to, &mut e),
            Some((version, bytes)) => (schema.recode)(bytes, *version, self.to, &mut e)
                .map_err(|error| format!("{} v{version} {}: {error}", self.name, hex(bytes)))?,
        }
        if e.buf == self.expected {
            return Ok(());
        }
        let from =
            self.from.as_ref().map_or("defaults".into(), |(version, bytes)| format!("v{version} {}", hex(bytes)));
        let (got, expected) = (hex(&e.buf), hex(&self.expected));
        Err(format!("{} from {from}\nto v{}\n     got {got}\nexpected {expected}", self.name, self.to))
    }
}

fn lines(text: &str) -> Vec<Line<'_>> {
    text.lines()
        .map(|line| Line::parse(line).unwrap_or_else(|| panic!("not a line of the oracle: {line:.100}")))
        .collect()
}

/// Checks every line, and that together they have every message in every version. Gives the count of such pairs.
fn check_all(lines: &[Line<'_>]) -> usize {
    let failures: Vec<String> = lines.iter().filter_map(|line| line.check().err()).collect();
    assert!(failures.is_empty(), "{} of {} lines fail, first:\n{}", failures.len(), lines.len(), failures[0]);
    let seen: BTreeSet<(&str, i16)> = lines
        .iter()
        .filter_map(|line| line.from.as_ref().filter(|(version, _)| *version == line.to).map(|_| (line.name, line.to)))
        .collect();
    let all: BTreeSet<(&str, i16)> = SCHEMAS
        .iter()
        .flat_map(|schema| (schema.versions.0..=schema.versions.1).map(|version| (schema.name, version)))
        .collect();
    assert_eq!(seen, all);
    all.len()
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    if hex == "." {
        return Some(Vec::new());
    }
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() { ".".into() } else { bytes.iter().map(|byte| format!("{byte:02x}")).collect() }
}

#[test]
fn golden_messages_are_read_and_written_as_kafka_does() {
    assert!(check_all(&lines(GOLDEN)) > 500);
}

#[test]
fn metadata_records_keep_their_frame() {
    let mut count = 0;
    for line in lines(GOLDEN).iter().filter(|line| line.from.is_some() && line.name.ends_with("Record")) {
        let id = match line.name {
            "NoOpRecord" => 20,
            "TopicRecord" => 2,
            "PartitionRecord" => 3,
            "RegisterBrokerRecord" => 0,
            "ClearElrRecord" => 28,
            _ => continue,
        };
        let mut frame = vec![1, id, line.to as u8];
        frame.extend(&line.expected);
        let (record, version) = MetadataRecord::decode(&frame).unwrap();
        assert_eq!((record.id(), record.name(), version), (i16::from(id), line.name, line.to));
        let mut e = Encoder::new();
        record.encode(&mut e, version);
        assert_eq!(e.buf, frame);
        frame.push(0);
        assert!(MetadataRecord::decode(&frame).is_err());
        count += 1;
    }
    assert_eq!(count, 11);
    assert!(MetadataRecord::decode(&[2, 20, 0, 0]).is_err(), "a frame of another version");
    assert!(MetadataRecord::decode(&[1, 6, 0, 0]).is_err(), "a record type that does not exist");
    assert!(MetadataRecord::decode(&[1, 20, 1, 0]).is_err(), "a record version that does not exist");
}

#[test]
fn coordinator_records_keep_their_prefix() {
    for line in lines(GOLDEN).iter().filter(|line| line.from.is_some()) {
        let (prefix, record): (i16, Vec<u8>) = match line.name {
            "OffsetCommitKey" => (1, line.expected.clone()),
            "OffsetCommitValue" => (line.to, line.expected.clone()),
            _ => continue,
        };
        let bytes = [&prefix.to_be_bytes()[..], &record].concat();
        let mut e = Encoder::new();
        if line.name.ends_with("Key") {
            GroupRecordKey::decode(&bytes).unwrap().encode(&mut e);
        } else {
            let (value, version) = GroupRecordValue::decode(&bytes, 1).unwrap();
            value.encode(&mut e, version);
        }
        assert_eq!(e.buf, bytes);
    }
    assert!(GroupRecordKey::decode(&[0, 99]).is_err());
}
