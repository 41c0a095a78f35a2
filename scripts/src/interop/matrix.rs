//! What one client wrote, every other reads back byte for byte: four writers, four readers, every codec.
//!
//! Each writer has a topic of its own with one partition per codec.

use crate::interop::Env;
use crate::interop::kcat::kcat;
use crate::interop::lines::{self, Read, Record};
use crate::interop::python;
use crate::interop::tools::CODECS;
use crate::process;
use crate::tally::Tally;
use std::process::Command;
use std::time::Duration;

const CLIENTS: [&str; 4] = ["java", "python", "go", "kcat"];
const LIMIT: Duration = Duration::from_secs(120);
const TIME_MS: i64 = 1_700_000_000_000;

pub(crate) fn run(env: &Env, tally: &mut Tally) {
    for writer in CLIENTS {
        let topic = env.topic(&format!("matrix-{writer}"));
        let mut written = Vec::new();
        let wrote = tally.check(&format!("matrix: {writer} writes with every codec"), || {
            env.create_topic(&topic, CODECS.len() as u32)?;
            written = if writer == "kcat" { kcat_writes(env, &topic)? } else { client_writes(env, writer, &topic)? };
            Ok(format!("{} records", written.len()))
        });
        if !wrote {
            continue;
        }
        for reader in CLIENTS {
            tally.check(&format!("matrix: {reader} reads what {writer} wrote"), || {
                if reader == "kcat" {
                    return kcat_reads(env, &topic, &written);
                }
                lines::same(&written, &client_reads(env, reader, &topic)?).map(|()| String::new())
            });
        }
    }
}

/// Every kind of key, value and header there is, then enough of the same to make batches that compress.
fn records(partition: u32) -> Vec<Record> {
    let every_byte: Vec<u8> = (0..=255).collect();
    let contents = [None, Some(Vec::new()), Some(b"text".to_vec()), Some(every_byte.clone()), Some(vec![0])];
    let headers = [
        vec![],
        vec![(b"one".to_vec(), Some(b"1".to_vec()))],
        vec![
            (b"twice".to_vec(), Some(b"1".to_vec())),
            (b"twice".to_vec(), Some(b"2".to_vec())),
            (b"null".to_vec(), None),
        ],
        vec![("näme".as_bytes().to_vec(), Some(every_byte)), (b"empty".to_vec(), Some(Vec::new()))],
    ];
    let mut records = Vec::new();
    for key in &contents {
        for value in &contents {
            for headers in &headers {
                let (key, value, headers) = (key.clone(), value.clone(), headers.clone());
                // Not in order, as with records of several sources.
                let timestamp = TIME_MS + (records.len() as i64 * 37) % 101;
                records.push(Record { partition, timestamp, key, value, headers });
            }
        }
    }
    for i in 0..400 {
        let value = Some(format!("{{\"number\": {i}, \"text\": \"{}\"}}", "again and ".repeat(15)).into_bytes());
        let key = Some(format!("key-{}", i % 10).into_bytes());
        records.push(Record { partition, timestamp: TIME_MS + 1000 + i, key, value, headers: Vec::new() });
    }
    let noise = Some(noise(900_000, partition));
    records.push(Record { partition, timestamp: TIME_MS + 2000, key: None, value: noise, headers: Vec::new() });
    records
}

/// Bytes that no codec makes smaller; the same in every run.
fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed) * 2 + 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(|_| next()).collect()
}

fn client_writes(env: &Env, writer: &str, topic: &str) -> Result<Vec<Record>, String> {
    let mut written = Vec::new();
    for (partition, codec) in CODECS.iter().enumerate() {
        let records = records(partition as u32);
        let input: String = records.iter().map(|record| record.line() + "\n").collect();
        match writer {
            "java" => {
                let file = env.scratch.join("java-writes");
                std::fs::write(&file, input).map_err(|e| e.to_string())?;
                env.java.ask(&["produce", &env.bootstrap, topic, codec, file.to_str().unwrap()])?.ok()?;
            }
            _ => {
                let mut command = if writer == "go" { Command::new(&env.franz) } else { python::client(env) };
                process::output(command.args(["produce", &env.bootstrap, topic, codec]), input.as_bytes(), LIMIT)?;
            }
        }
        written.extend(records);
    }
    Ok(written)
}

fn client_reads(env: &Env, reader: &str, topic: &str) -> Result<Vec<Read>, String> {
    let text = match reader {
        "java" => env.java.ask(&["consume", &env.bootstrap, topic])?.ok()?,
        _ => {
            let mut command = if reader == "go" { Command::new(&env.franz) } else { python::client(env) };
            process::text(command.args(["consume", &env.bootstrap, topic]), b"", LIMIT)?
        }
    };
    lines::parse_read(&text)
}

/// kcat stamps records itself, so the times are taken from what Java reads; all else is known beforehand.
fn kcat_writes(env: &Env, topic: &str) -> Result<Vec<Record>, String> {
    let mut written = Vec::new();
    let record = |partition: usize, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, &str)]| Record {
        partition: partition as u32,
        timestamp: 0,
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: headers
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), Some(value.as_bytes().to_vec())))
            .collect(),
    };
    let binary = noise(50_000, 7);
    let file = env.scratch.join("kcat-writes");
    std::fs::write(&file, &binary).map_err(|e| e.to_string())?;
    for (partition, codec) in CODECS.iter().enumerate() {
        let place = ["-P", "-t", topic, "-p", &partition.to_string(), "-z", codec];
        kcat(env, &[&place[..], &["-k", "the key", "-H", "a=1", "-H", "a=", file.to_str().unwrap()]].concat(), b"")?;
        written.push(record(partition, Some(b"the key"), Some(&binary), &[("a", "1"), ("a", "")]));
        kcat(env, &[&place[..], &["-Z", "-K", "|"]].concat(), b"null value|\n|null key\nboth|sides\n")?;
        written.push(record(partition, Some(b"null value"), None, &[]));
        written.push(record(partition, None, Some(b"null key"), &[]));
        written.push(record(partition, Some(b"both"), Some(b"sides"), &[]));
        let lines: String = (0..300).map(|i| format!("line {i} {}\n", "of many ".repeat(10))).collect();
        kcat(env, &place, lines.as_bytes())?;
        written.extend(lines.lines().map(|line| record(partition, None, Some(line.as_bytes()), &[])));
    }
    let read = client_reads(env, "java", topic)?;
    if read.len() != written.len() {
        return Err(format!("{} records written, {} read", written.len(), read.len()));
    }
    for (record, found) in written.iter_mut().zip(&read) {
        let time = found.rest.split('\t').next().unwrap_or_default();
        record.timestamp = time.parse().map_err(|_| format!("{time} is not a timestamp"))?;
    }
    Ok(written)
}

/// kcat prints bytes as they are: what it should print is put together here and compared as a whole.
fn kcat_reads(env: &Env, topic: &str, written: &[Record]) -> Result<String, String> {
    for partition in 0..CODECS.len() {
        let place = ["-C", "-q", "-e", "-t", topic, "-p", &partition.to_string(), "-o", "beginning"];
        let format = ["-X", "fetch.wait.max.ms=50", "-f", "%p %o %T %K %S %k %s %h\n"];
        let printed = kcat(env, &[&place[..], &format[..]].concat(), b"")?;
        let mut expected = Vec::new();
        let records = written.iter().filter(|record| record.partition as usize == partition);
        for (offset, record) in records.enumerate() {
            expected.extend(as_kcat_prints(offset, record));
        }
        if let Some(at) = (0..expected.len().max(printed.len())).find(|&i| expected.get(i) != printed.get(i)) {
            let part = |bytes: &[u8]| {
                let near = &bytes[at.saturating_sub(80).min(bytes.len())..(at + 40).min(bytes.len())];
                String::from_utf8_lossy(near).into_owned()
            };
            return Err(format!(
                "partition {partition} byte {at}\nwritten {:?}\nread    {:?}",
                part(&expected),
                part(&printed)
            ));
        }
    }
    Ok(String::new())
}

fn as_kcat_prints(offset: usize, record: &Record) -> Vec<u8> {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(-1, |bytes| bytes.len() as i64);
    let (partition, time) = (record.partition, record.timestamp);
    let mut bytes =
        format!("{partition} {offset} {time} {} {} ", length(&record.key), length(&record.value)).into_bytes();
    bytes.extend(record.key.iter().flatten());
    bytes.push(b' ');
    bytes.extend(record.value.iter().flatten());
    bytes.push(b' ');
    for (i, (name, value)) in record.headers.iter().enumerate() {
        if i > 0 {
            bytes.push(b',');
        }
        bytes.extend(name);
        bytes.push(b'=');
        // A header is a C string to kcat's formatter: it ends at the first zero byte.
        let value = value.as_deref().unwrap_or(b"NULL");
        bytes.extend(value.split(|byte| *byte == 0).next().unwrap_or_default());
    }
    bytes.push(b'\n');
    bytes
}
