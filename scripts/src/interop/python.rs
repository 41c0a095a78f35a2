//! confluent-kafka (librdkafka, Python): seeking; what it writes and reads otherwise is part of the matrix.

use crate::interop::Env;
use crate::interop::lines::{self, Record};
use crate::process;
use crate::tally::Tally;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const TIME_MS: i64 = 1_700_000_000_000;

pub(crate) fn run(env: &Env, tally: &mut Tally) {
    for codec in ["none", "zstd"] {
        tally.check(&format!("python: assign and seek in batches of codec {codec}"), || seek(env, codec));
    }
}

pub(crate) fn client(env: &Env) -> Command {
    program(&env.python, "client.py")
}

pub(crate) fn program(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(crate::deps::root().join("scripts/interop/python").join(name));
    command
}

/// Offsets in the middle of a batch, its first and its last record, and across segments.
fn seek(env: &Env, codec: &str) -> Result<String, String> {
    let topic = env.topic(&format!("seek-{codec}"));
    env.create_topic(&topic, 1)?;
    let record = |i: i64| Record {
        partition: 0,
        timestamp: TIME_MS + i,
        key: Some(format!("{i}").into_bytes()),
        value: Some(vec![b'a' + (i % 26) as u8; 100]),
        headers: Vec::new(),
    };
    let records: Vec<Record> = (0..2000).map(record).collect();
    let input: String = records.iter().map(|record| record.line() + "\n").collect();
    let minute = Duration::from_secs(90);
    process::output(client(env).args(["produce", &env.bootstrap, &topic, codec]), input.as_bytes(), minute)?;
    for (offset, count) in [(0, 1), (1, 3), (999, 500), (1990, 10), (1999, 1)] {
        let arguments = ["seek", &env.bootstrap, &topic, "0", &offset.to_string(), &count.to_string()];
        let read = lines::parse_read(&process::text(client(env).args(arguments), b"", minute)?)?;
        for (i, found) in read.iter().enumerate() {
            let wanted = offset + i as i64;
            let line = records[wanted as usize].line();
            if found.offset != wanted || line.split_once('\t').map(|(_, rest)| rest) != Some(&found.rest) {
                return Err(format!("seek to {offset}: record {i} is offset {}: {}", found.offset, found.rest));
            }
        }
        if read.len() != count {
            return Err(format!("seek to {offset}: {} records", read.len()));
        }
    }
    Ok(String::new())
}
