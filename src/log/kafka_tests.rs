//! Apache Kafka's own reader on files written here. Asked for by name, as it needs a JVM:
//! `KAFKA_RUN=<script that runs a class of Apache Kafka> cargo test -p ringmill --lib log::kafka_tests -- --ignored`.

use std::path::{Path, PathBuf};
use std::process::Command;

use wire::records::{BatchBuilder, Codec, Scratch};

use super::testing::{TempDir, append, create, open_clean, open_unclean};
use super::{Log, snapshots};
use crate::config::topic::TopicConfig;
use state::producer::ProducerSnapshotEntry;

fn write_log(path: &Path) -> TopicConfig {
    let config = TopicConfig { segment_bytes: 40_000, index_interval_bytes: 2000, ..TopicConfig::default() };
    let mut log = create(path, &config);
    for at in 0..300_i64 {
        let codec = Codec::from_id((at % 5) as u8).unwrap();
        let mut builder = BatchBuilder::new(0).codec(codec, codec.default_level()).producer(7, 0, at as i32 * 3);
        for record in 0..3 {
            let value = format!("value {at} {record} ").repeat(1 + at as usize % 30);
            builder
                .push(1_000_000 + (at * 7919) % 5000, Some(b"key"), Some(value.as_bytes()), &[(b"h", None)])
                .unwrap();
        }
        let staged = append(&mut log, builder.finish(&mut Scratch::default()));
        if let Some(offset) = staged.rolled {
            snapshot(&mut log, offset, at);
        }
    }
    let end = log.log_end_offset();
    snapshot(&mut log, end, 300);
    log.close_clean().unwrap();
    config
}

fn snapshot(log: &mut Log, offset: i64, batches: i64) {
    let entry = ProducerSnapshotEntry {
        producer_id: 7,
        epoch: 0,
        last_sequence: batches as i32 * 3 - 1,
        last_offset: offset - 1,
        offset_delta: 2,
        timestamp: 1_000_000,
        coordinator_epoch: -1,
        current_txn_first_offset: -1,
    };
    log.write_snapshot(offset, &snapshots::encode(&[entry])).unwrap();
}

/// Lets `DumpLogSegments` read all files of the directory; panics at the first word of doubt.
pub(super) fn check(dir: &Path) {
    let run = std::env::var("KAFKA_RUN").expect("KAFKA_RUN names a script that runs a class of Apache Kafka");
    let files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    let of = |suffixes: &[&str]| -> String {
        let wanted = |file: &&PathBuf| suffixes.iter().any(|suffix| file.to_str().unwrap().ends_with(suffix));
        files.iter().filter(wanted).map(|file| file.to_str().unwrap()).collect::<Vec<_>>().join(",")
    };
    let all = of(&[".log", ".index", ".timeindex", ".snapshot"]);
    let dumps = [
        (all, "--deep-iteration"),
        (of(&[".index", ".timeindex"]), "--index-sanity-check"),
        (of(&[".index", ".timeindex"]), "--verify-index-only"),
    ];
    for (names, option) in dumps {
        let output = Command::new(&run)
            .args(["org.apache.kafka.tools.DumpLogSegments", "--files", &names, option])
            .output()
            .expect("run DumpLogSegments");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{option}: {text}");
        for doubt in [
            "Exception",
            "ismatch",
            "nvalid",
            "not valid",
            "orrupt",
            "Found timestamp",
            "isvalid: false",
            "Non-secutive",
            "Missing",
        ] {
            assert!(!text.contains(doubt), "{option}: {doubt:?} in {text}");
        }
        for name in names.split(',') {
            assert!(text.contains(name), "{option}: nothing about {name}");
        }
    }
}

#[test]
#[ignore = "runs a JVM"]
fn dump_log_segments_accepts_what_was_closed_and_what_was_recovered() {
    let dir = TempDir::new();
    let path = dir.path().join("t-0");
    let config = write_log(&path);
    check(&path);
    let before = std::fs::read(path.join("00000000000000000000.timeindex")).unwrap();
    drop(open_unclean(&path, &config).unwrap());
    assert_eq!(std::fs::read(path.join("00000000000000000000.timeindex")).unwrap(), before);
    check(&path);
}

/// `KAFKA_LOG=<directory of a partition that Apache Kafka wrote and closed>`: opening it changes nothing, and what recovery
/// makes of its `.log` files alone is what Kafka had written beside them.
#[test]
#[ignore = "reads a directory of Apache Kafka's"]
fn a_log_of_apache_kafkas_is_read_and_its_indexes_built_the_same() {
    let theirs = PathBuf::from(std::env::var("KAFKA_LOG").expect("KAFKA_LOG names a partition's directory"));
    let config = TopicConfig::default();
    let dir = TempDir::new();
    let content = |dir: &Path| {
        let mut files: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_owned(), std::fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    };
    for keep_indexes in [true, false] {
        let path = dir.path().join(format!("t-{}", usize::from(keep_indexes)));
        std::fs::create_dir(&path).unwrap();
        for (name, bytes) in content(&theirs) {
            if keep_indexes || !name.to_str().unwrap().ends_with("index") {
                std::fs::write(path.join(name), bytes).unwrap();
            }
        }
        let open = if keep_indexes { open_clean } else { open_unclean };
        let mut log = open(&path, &config).unwrap();
        let all = super::testing::read_all(&log, log.log_start_offset(), 100_000);
        assert_eq!(all.len() as u64, log.size_bytes());
        log.close_clean().unwrap();
        assert!(content(&path) == content(&theirs), "files differ, indexes kept: {keep_indexes}");
    }
}

/// What the index of a segment says after Kafka's rules, batch by batch, from the bytes of its `.log`.
#[test]
fn indexes_follow_kafkas_rules() {
    let dir = TempDir::new();
    let path = dir.path().join("t-0");
    let config = write_log(&path);
    for entry in std::fs::read_dir(&path).unwrap() {
        let log_file = entry.unwrap().path();
        if log_file.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let bytes = std::fs::read(&log_file).unwrap();
        let base: i64 = log_file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let (mut index, mut times) = (Vec::new(), Vec::new());
        let (mut position, mut since) = (0_usize, 0_usize);
        let (mut newest, mut last_entry) = ((-1_i64, base), -1_i64);
        for batch in wire::records::Batches::new(&bytes) {
            let header = batch.unwrap().header;
            if header.max_timestamp > newest.0 {
                newest = (header.max_timestamp, header.last_offset());
            }
            if since > config.index_interval_bytes as usize {
                index.extend(((header.last_offset() - base) as i32).to_be_bytes());
                index.extend((position as i32).to_be_bytes());
                if newest.0 > last_entry {
                    times.push(newest);
                    last_entry = newest.0;
                }
                since = 0;
            }
            position += header.size();
            since += header.size();
        }
        if newest.0 > last_entry {
            times.push(newest);
        }
        let times: Vec<u8> = times
            .iter()
            .flat_map(|(at, offset)| [&at.to_be_bytes()[..], &((offset - base) as i32).to_be_bytes()].concat())
            .collect();
        assert_eq!(std::fs::read(log_file.with_extension("index")).unwrap(), index);
        assert_eq!(std::fs::read(log_file.with_extension("timeindex")).unwrap(), times);
    }
}
