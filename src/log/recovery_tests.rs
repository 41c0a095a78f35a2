//! Crashes: what recovery keeps, cuts and refuses.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::Damage;
use super::testing::{TempDir, append, batch, create, open_clean, open_unclean, read_all, replayed};
use super::{Log, LogError, OpenHints, snapshots};
use crate::config::topic::TopicConfig;

/// Two batches a segment.
fn config() -> TopicConfig {
    TopicConfig { segment_bytes: 2 * SIZE as u32, index_interval_bytes: 1, ..TopicConfig::default() }
}

const VALUE_BYTES: usize = 100;
const SIZE: usize = 61 + 2 * (VALUE_BYTES + 3 + 8 + 1);

/// A log of so many batches of two records, not closed; its directory and all its bytes.
fn crashed(dir: &TempDir, batches: i64, config: &TopicConfig) -> (PathBuf, Vec<u8>) {
    let path = dir.path().join("t-0");
    let mut log = create(&path, config);
    for at in 0..batches {
        let bytes = batch(&[at, at + 1], VALUE_BYTES);
        assert_eq!(bytes.len(), SIZE);
        append(&mut log, bytes);
    }
    let all = read_all(&log, 0, 1 << 20);
    (path, all)
}

fn segment(dir: &Path, base: i64, suffix: &str) -> PathBuf {
    dir.join(format!("{base:020}{suffix}"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// What is in the files of a closed log, by name.
fn files(dir: &Path, suffix: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| name.ends_with(suffix))
        .collect();
    files.sort();
    files
}

#[test]
fn a_file_cut_at_any_byte_keeps_its_whole_batches() {
    let dir = TempDir::new();
    let one_segment = TopicConfig { index_interval_bytes: 1, ..TopicConfig::default() };
    let (path, all) = crashed(&dir, 4, &one_segment);
    let again = dir.path().join("again-0");
    for len in SIZE..=4 * SIZE {
        copy(&path, &again);
        let file = fs::File::options().write(true).open(segment(&again, 0, ".log")).unwrap();
        file.set_len(len as u64).unwrap();
        let mut log = open_unclean(&again, &one_segment).unwrap();
        let whole = len / SIZE;
        assert_eq!(log.log_end_offset(), 2 * whole as i64, "{len} bytes");
        assert_eq!(log.recovery_point(), log.log_end_offset());
        assert_eq!(fs::metadata(segment(&again, 0, ".log")).unwrap().len(), (whole * SIZE) as u64);
        assert_eq!(read_all(&log, 0, 1 << 20), all[..whole * SIZE]);
        let base = append(&mut log, batch(&[7, 7], VALUE_BYTES)).base_offset;
        assert_eq!(base, 2 * whole as i64);
        assert_eq!(read_all(&log, 0, 1 << 20).len(), (whole + 1) * SIZE);
        log.close_clean().unwrap();
        drop(log);
        assert_eq!(open_clean(&again, &one_segment).unwrap().log_end_offset(), base + 2);
        fs::remove_dir_all(&again).unwrap();
    }
}

#[test]
fn recovery_twice_is_recovery_once() {
    let dir = TempDir::new();
    let (path, _) = crashed(&dir, 5, &config());
    let file = fs::File::options().write(true).open(segment(&path, 8, ".log")).unwrap();
    file.set_len(SIZE as u64 - 1).unwrap();
    let read = |path: &Path| (files(path, "log"), files(path, "index"));
    drop(open_unclean(&path, &config()).unwrap());
    let once = read(&path);
    drop(open_unclean(&path, &config()).unwrap());
    assert_eq!(read(&path), once);
}

#[test]
fn a_flipped_bit_is_cut_at_the_tail_and_refused_before_it() {
    let dir = TempDir::new();
    let (path, all) = crashed(&dir, 5, &config());
    let again = dir.path().join("again-0");
    // Segments at 0, 4 and 8, the last one with one batch. Base offset and leader epoch are not under the CRC, so bits
    // there are noticed only where the offset then has no place in the log.
    for (base, at) in [(0, 0), (0, 1), (4, 0), (4, 1), (8, 0)] {
        for byte in (16..SIZE).step_by(13) {
            copy(&path, &again);
            let log_file = segment(&again, base, ".log");
            let mut bytes = fs::read(&log_file).unwrap();
            bytes[at * SIZE + byte] ^= 0x10;
            fs::write(&log_file, &bytes).unwrap();
            let opened = open_unclean(&again, &config());
            if base == 8 {
                let log = opened.unwrap();
                assert_eq!(log.log_end_offset(), 8);
                assert_eq!(read_all(&log, 0, 1 << 20), all[..4 * SIZE]);
            } else {
                let Err(LogError::Corrupt { path, position, .. }) = opened else { panic!("accepted byte {byte}") };
                assert_eq!((path, position), (log_file.clone(), (at * SIZE) as u64));
                assert_eq!(fs::read(&log_file).unwrap(), bytes, "a refused file stays as it is");
            }
            fs::remove_dir_all(&again).unwrap();
        }
    }
}

#[test]
fn a_wrong_length_in_the_middle_is_refused() {
    let dir = TempDir::new();
    let one_segment = TopicConfig::default();
    let (path, _) = crashed(&dir, 4, &one_segment);
    let log_file = segment(&path, 0, ".log");
    let good = fs::read(&log_file).unwrap();
    for length in [0, 48, 49, 200, 5000, i32::MAX] {
        let mut bytes = good.clone();
        bytes[SIZE + 8..SIZE + 12].copy_from_slice(&length.to_be_bytes());
        fs::write(&log_file, &bytes).unwrap();
        let Err(LogError::Corrupt { position, .. }) = open_unclean(&path, &one_segment) else { panic!("{length}") };
        assert_eq!(position, SIZE as u64);
    }
}

#[test]
fn an_offset_that_goes_back_is_refused() {
    let dir = TempDir::new();
    let (path, _) = crashed(&dir, 2, &config());
    let log_file = segment(&path, 0, ".log");
    let mut bytes = fs::read(&log_file).unwrap();
    bytes[SIZE + 7] = 1;
    fs::write(&log_file, &bytes).unwrap();
    let Err(LogError::Corrupt { damage, .. }) = open_unclean(&path, &config()) else { panic!("accepted") };
    assert_eq!(damage, Damage::Offset { expected: 2, found: 1 });
}

#[test]
fn zeros_at_the_end_are_no_records() {
    let dir = TempDir::new();
    let (path, all) = crashed(&dir, 3, &config());
    for zeros in [1, 11, 60, 61, 100, 5000] {
        let log_file = segment(&path, 4, ".log");
        let mut bytes = fs::read(&log_file).unwrap();
        bytes.resize(bytes.len() + zeros, 0);
        fs::write(&log_file, bytes).unwrap();
        let log = open_unclean(&path, &config()).unwrap();
        assert_eq!(log.log_end_offset(), 6);
        assert_eq!(read_all(&log, 0, 1 << 20), all);
    }
}

#[test]
fn a_whole_batch_of_zeros_before_others_is_refused() {
    let dir = TempDir::new();
    let (path, _) = crashed(&dir, 4, &config());
    let log_file = segment(&path, 0, ".log");
    let mut bytes = fs::read(&log_file).unwrap();
    bytes[SIZE..].fill(0);
    fs::write(&log_file, bytes).unwrap();
    let Err(LogError::Corrupt { path: named, position, .. }) = open_unclean(&path, &config()) else { panic!() };
    assert_eq!((named, position), (log_file, SIZE as u64));
}

#[test]
fn a_segment_without_its_tail_before_another_is_refused() {
    let dir = TempDir::new();
    let (path, _) = crashed(&dir, 4, &config());
    let file = fs::File::options().write(true).open(segment(&path, 0, ".log")).unwrap();
    file.set_len(SIZE as u64).unwrap();
    let Err(LogError::Corrupt { damage, .. }) = open_unclean(&path, &config()) else { panic!("accepted") };
    assert_eq!(damage, Damage::Gap { end: 2, next: 4 });
    // Compaction may have taken it.
    let mut compacted = config();
    compacted.cleanup_policy.compact = true;
    assert_eq!(open_unclean(&path, &compacted).unwrap().log_end_offset(), 8);
}

#[test]
fn a_lost_tail_takes_empty_segments_behind_it_along() {
    let dir = TempDir::new();
    let (path, all) = crashed(&dir, 3, &config());
    let cut = |base, len: usize| {
        let file = fs::File::options().write(true).open(segment(&path, base, ".log")).unwrap();
        file.set_len(len as u64).unwrap();
    };
    cut(4, 0);
    cut(0, SIZE + 10);
    let log = open_unclean(&path, &config()).unwrap();
    assert_eq!((log.log_end_offset(), log.segment_count()), (2, 1));
    assert_eq!(read_all(&log, 0, 1 << 20), all[..SIZE]);
    assert!(!segment(&path, 4, ".log").exists() && !segment(&path, 4, ".index").exists());
}

#[test]
fn only_what_lies_behind_the_recovery_point_is_read() {
    let dir = TempDir::new();
    let (path, all) = crashed(&dir, 5, &config());
    // Without a clean stop the indexes of the last segment are not whole, those of closed ones are.
    let hints = OpenHints { recovery_point: 5, ..OpenHints::default() };
    let (log, opened) = Log::open_reported(&path, &config(), hints, &mut |_| {}).unwrap();
    assert_eq!((opened.segments_checked, opened.bytes_checked), (2, 3 * SIZE as u64));
    assert_eq!(opened.cut, None);
    assert_eq!(read_all(&log, 0, 1 << 20), all);
    // A bit that flipped below it is found by whoever reads it.
    drop(log);
    let log_file = segment(&path, 0, ".log");
    let mut bytes = fs::read(&log_file).unwrap();
    bytes[100] ^= 1;
    fs::write(&log_file, bytes).unwrap();
    assert_eq!(Log::open(&path, &config(), hints, &mut |_| {}).unwrap().log_end_offset(), 10);
    assert!(open_unclean(&path, &config()).is_err());
}

#[test]
fn recovered_indexes_are_those_that_were_written() {
    let dir = TempDir::new();
    let (path, _) = crashed(&dir, 9, &config());
    open_clean(&path, &config()).unwrap();
    let mut log = open_unclean(&path, &config()).unwrap();
    log.close_clean().unwrap();
    drop(log);
    let indexes = files(&path, "index");
    assert!(indexes.iter().any(|(_, bytes)| !bytes.is_empty()));
    for suffix in [".index", ".timeindex"] {
        for base in [0, 4, 8, 12, 16] {
            fs::remove_file(segment(&path, base, suffix)).unwrap();
            assert_eq!(open_clean(&path, &config()).unwrap().log_end_offset(), 18);
            assert_eq!(files(&path, "index"), indexes, "without {base}{suffix}");
            // Neither half an entry nor one that points behind the end is an index.
            let index = segment(&path, base, suffix);
            for content in [vec![1; 5], vec![0x70; 24]] {
                fs::write(&index, content).unwrap();
                assert_eq!(open_clean(&path, &config()).unwrap().log_end_offset(), 18);
                assert_eq!(files(&path, "index"), indexes, "damaged {base}{suffix}");
            }
        }
    }
}

#[test]
fn a_clean_stop_that_was_none_is_noticed_at_the_tail() {
    let dir = TempDir::new();
    let (path, all) = crashed(&dir, 3, &config());
    let file = fs::File::options().write(true).open(segment(&path, 4, ".log")).unwrap();
    file.set_len(SIZE as u64 - 7).unwrap();
    let log = open_clean(&path, &config()).unwrap();
    assert_eq!(log.log_end_offset(), 4);
    assert_eq!(read_all(&log, 0, 1 << 20), all[..2 * SIZE]);
}

#[test]
fn replay_begins_with_the_newest_snapshot_that_the_log_reaches() {
    let dir = TempDir::new();
    let path = dir.path().join("t-0");
    let mut log = create(&path, &config());
    for at in 0..5 {
        append(&mut log, batch(&[at, at + 1], VALUE_BYTES));
    }
    let none = snapshots::encode(&[]);
    for offset in [4, 8] {
        log.write_snapshot(offset, &none).unwrap();
    }
    drop(log);
    let unclean = OpenHints::default();
    assert_eq!(replayed(&path, &config(), unclean), (Some(8), vec![8]));
    assert_eq!(replayed(&path, &config(), OpenHints { clean: true, ..unclean }), (Some(8), vec![8]));
    assert_eq!(replayed(&path, &config(), OpenHints { recovery_point: 9, ..unclean }), (Some(8), vec![8]));
    // A damaged one gives way to the one before, and is gone.
    fs::write(segment(&path, 8, ".snapshot"), b"damaged").unwrap();
    assert_eq!(replayed(&path, &config(), unclean), (Some(4), vec![4, 6, 8]));
    assert_eq!(snapshots::list(&path).unwrap(), [4]);
    fs::remove_file(segment(&path, 4, ".snapshot")).unwrap();
    assert_eq!(replayed(&path, &config(), unclean), (None, vec![0, 2, 4, 6, 8]));
    let behind_start = OpenHints { log_start: 6, clean: true, ..unclean };
    assert_eq!(replayed(&path, &config(), behind_start).1.last(), Some(&8));
}

#[test]
fn a_snapshot_of_lost_records_does_not_count() {
    let dir = TempDir::new();
    let path = dir.path().join("t-0");
    let mut log = create(&path, &config());
    for at in 0..5 {
        append(&mut log, batch(&[at, at + 1], VALUE_BYTES));
    }
    for offset in [4, 10] {
        log.write_snapshot(offset, &snapshots::encode(&[])).unwrap();
    }
    drop(log);
    let file = fs::File::options().write(true).open(segment(&path, 8, ".log")).unwrap();
    file.set_len(SIZE as u64 - 1).unwrap();
    assert_eq!(replayed(&path, &config(), OpenHints::default()), (Some(4), vec![4, 6]));
    assert_eq!(snapshots::list(&path).unwrap(), [4]);
}

#[test]
fn leftovers_of_a_crash_are_cleared_away() {
    let dir = TempDir::new();
    let (path, all) = crashed(&dir, 5, &config());
    drop(open_unclean(&path, &config()).unwrap());
    // A compaction that had replaced segments 0 and 4 by one, when all of it was written and half of it renamed.
    let compacted: Vec<u8> = [0, 4].iter().flat_map(|base| fs::read(segment(&path, *base, ".log")).unwrap()).collect();
    fs::write(segment(&path, 0, ".log.swap"), &compacted).unwrap();
    fs::write(segment(&path, 0, ".index.swap"), []).unwrap();
    fs::write(segment(&path, 0, ".timeindex.swap"), []).unwrap();
    for name in ["00000000000000000099.index", "00000000000000000000.log.deleted", "leader-epoch-checkpoint.tmp"] {
        fs::write(path.join(name), b"rest").unwrap();
    }
    fs::write(path.join("00000000000000000009-0000000001.checkpoint.deleted"), b"not ours").unwrap();
    let log = open_unclean(&path, &config()).unwrap();
    assert_eq!(log.base_offsets().collect::<Vec<_>>(), [0, 8]);
    assert_eq!(read_all(&log, 0, 1 << 20), all);
    let names: Vec<String> = files(&path, "").into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "00000000000000000000.index",
            "00000000000000000000.log",
            "00000000000000000000.timeindex",
            "00000000000000000008.index",
            "00000000000000000008.log",
            "00000000000000000008.timeindex",
            "00000000000000000009-0000000001.checkpoint.deleted",
            "leader-epoch-checkpoint",
            "partition.metadata",
        ]
    );
    drop(log);
    // A compaction that was still writing: nothing of it counts.
    fs::write(segment(&path, 0, ".log.cleaned"), b"half").unwrap();
    fs::write(segment(&path, 8, ".log.swap"), b"also half").unwrap();
    assert_eq!(read_all(&open_unclean(&path, &config()).unwrap(), 0, 1 << 20), all);
}

#[test]
fn a_log_that_lies_before_its_start_begins_anew_there() {
    let dir = TempDir::new();
    let (path, _) = crashed(&dir, 5, &config());
    let hints = OpenHints { log_start: 100, ..OpenHints::default() };
    let mut log = Log::open(&path, &config(), hints, &mut |_| {}).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.segment_count()), (100, 100, 1));
    assert_eq!(append(&mut log, batch(&[1, 2], 1)).base_offset, 100);
}

#[test]
fn a_directory_with_nothing_in_it_is_an_empty_log() {
    let dir = TempDir::new();
    let log = open_unclean(dir.path(), &config()).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 0));
    drop(log);
    for len in [0_usize, 1, 60] {
        fs::write(segment(dir.path(), 0, ".log"), vec![0xff; len]).unwrap();
        assert_eq!(open_unclean(dir.path(), &config()).unwrap().log_end_offset(), 0);
    }
}

#[test]
fn batches_inside_of_a_record_do_not_make_a_torn_tail_damage() {
    // The value of the last record holds a whole batch, as produced, at offset 0.
    let dir = TempDir::new();
    let path = dir.path().join("t-0");
    let config = TopicConfig::default();
    let mut log = create(&path, &config);
    append(&mut log, batch(&[1, 2], 10));
    let inner = batch(&[1], 100);
    let mut builder = wire::records::BatchBuilder::new(0);
    builder.push(1, None, Some(&inner), &[]).unwrap();
    builder.push(1, None, Some(&[0; 100]), &[]).unwrap();
    append(&mut log, builder.finish(&mut wire::records::Scratch::default()));
    drop(log);
    let log_file = segment(&path, 0, ".log");
    let len = fs::metadata(&log_file).unwrap().len();
    fs::File::options().write(true).open(&log_file).unwrap().set_len(len - 5).unwrap();
    assert_eq!(open_unclean(&path, &config).unwrap().log_end_offset(), 2);
}
