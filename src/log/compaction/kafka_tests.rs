//! Apache Kafka on logs cleaned here, and its cleaner beside ours. Asked for by name; how is said in `log::kafka_tests`.

use std::path::{Path, PathBuf};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use state::compaction::LastOfProducers;

use super::tests::{Seen, config, given, records, write};
use super::*;
use crate::config::topic::TopicConfig;
use crate::log::Log;
use crate::log::kafka_tests::check;
use crate::log::testing::{TempDir, create, open_clean, read_all};

fn clean(log: &mut Log, last_stable: i64) -> i64 {
    let limits = CleaningLimits { map_bytes: 1 << 24, map_load_factor: 0.9, buffer_bytes: 1 << 18 };
    let dirty = log.dirty(None, last_stable, 5000).unwrap();
    let mut cleaning = log.begin_cleaning(&dirty, LastOfProducers::default(), limits, 5000);
    loop {
        match cleaning.step(SLICE_BYTES).0.unwrap() {
            Step::More => {}
            Step::Cleaned(cleaned) => {
                assert!(log.offer_swap(&cleaned).unwrap());
                for doomed in log.swap(&cleaned, 5000).unwrap().unwrap() {
                    std::fs::remove_file(doomed.path).unwrap();
                }
            }
            Step::Done(end) => return end,
        }
    }
}

#[test]
#[ignore = "runs a JVM"]
fn dump_log_segments_accepts_what_was_cleaned() {
    let dir = TempDir::new();
    let path = dir.path().join("t-0");
    let config = TopicConfig { segment_bytes: 4000, ..config() };
    let mut log = create(&path, &config);
    let mut runner = TestRunner::deterministic();
    for _ in 0..6 {
        write(&mut log, &given().new_tree(&mut runner).unwrap().current());
    }
    let before = log.size_bytes();
    assert!(clean(&mut log, i64::MAX) > 0);
    assert!(log.size_bytes() < before);
    log.close_clean().unwrap();
    check(&path);
}

fn copy(from: &str, to: &Path) -> PathBuf {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    to.to_path_buf()
}

/// `KAFKA_DIRTY`, the directory of a compacted partition that Apache Kafka wrote with its cleaner off, and `KAFKA_CLEANED`,
/// the same after its cleaner worked on it: ours leaves the same records at the same offsets.
#[test]
#[ignore = "reads directories of Apache Kafka's"]
fn the_same_records_survive_as_with_apache_kafkas_cleaner() {
    let named = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} names a partition's directory"));
    let dir = TempDir::new();
    let config = TopicConfig { segment_bytes: 1 << 20, ..config() };
    let open = |from: &str, to: &str| open_clean(&copy(&named(from), &dir.path().join(to)), &config).unwrap();
    let seen = |log: &Log| -> Vec<Seen> { records(&read_all(log, log.log_start_offset(), 1 << 20)) };
    let (mut ours, theirs) = (open("KAFKA_DIRTY", "ours-0"), open("KAFKA_CLEANED", "theirs-0"));
    let (all, active) = (seen(&ours).len(), ours.active_base_offset());
    assert_eq!(theirs.active_base_offset(), active, "both have cleaned up to here");
    assert_eq!(clean(&mut ours, i64::MAX), active);
    let (ours, theirs) = (seen(&ours), seen(&theirs));
    assert!(theirs.len() < all, "their cleaner has not worked");
    assert_eq!(ours.len(), theirs.len());
    assert!(ours == theirs, "the records differ");
}
