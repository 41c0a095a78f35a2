//! A log on its way to another directory: step by step, interrupted, spoilt.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use shards::File;
use state::epochs::EpochEntry;
use state::future_replica::{FutureReplica, Next, Segment as Copied};
use wire::Uuid;

use super::future::{Dirs, MoveError, Seal, bases};
use super::names::{LOG, offset_file};
use super::{Log, LogError, leader_epochs, snapshots};
use crate::config::topic::TopicConfig;
use crate::log::testing::{TempDir, append, batch, create, open_clean, read_all};
use crate::log::{NewPartition, create_directories, future_dir, partition_metadata};

const TOPIC_ID: Uuid = Uuid(77);
const EPOCHS: [EpochEntry; 1] = [EpochEntry { epoch: 5, start_offset: 0 }];

/// A log of some segments in one directory, and the place for its copy in another.
struct Stage {
    _dir: TempDir,
    log: Log,
    dirs: Dirs,
    future: FutureReplica,
    config: TopicConfig,
}

fn stage() -> Stage {
    let dir = TempDir::new();
    let (current, future) = (dir.path().join("a/t-0"), dir.path().join("b").join(future_dir("t", 0, 9).unwrap()));
    [&current, &future].iter().for_each(|path| fs::create_dir_all(path.parent().unwrap()).unwrap());
    let size = batch(&[1, 2, 3], 500).len() as u32;
    let config = TopicConfig { segment_bytes: 3 * size, index_interval_bytes: 100, ..TopicConfig::default() };
    let mut log = create(&current, &config);
    for at in 0..10 {
        let staged = append(&mut log, batch(&[at, at, at], 500));
        if let Some(offset) = staged.rolled {
            log.write_snapshot(offset, &snapshots::encode(&[])).unwrap();
        }
    }
    let new = NewPartition { dir: future.clone(), topic_id: TOPIC_ID, leader_epoch: 0 };
    create_directories(&[new]).remove(0).unwrap();
    Stage { _dir: dir, log, dirs: Dirs { current, future }, future: FutureReplica::new(), config }
}

impl Stage {
    /// Takes steps of at most `piece` bytes up to the one that `until` names.
    fn run(&mut self, piece: u64, until: fn(Next) -> bool) -> Next {
        for _ in 0..1000 {
            let next = self.future.next(&self.log.extents(), self.log.is_quiet(), piece);
            if until(next) {
                return next;
            }
            self.step(next, piece);
        }
        panic!("the move does not end: {:?}", self.future);
    }

    fn step(&mut self, next: Next, piece: u64) {
        let closed = |segment: &Copied| segment.is_closed.then_some((segment.base, segment.size));
        match next {
            Next::Survey => {
                let closed: Vec<(i64, u64)> = self.log.extents().iter().filter_map(closed).collect();
                self.future.surveyed(self.dirs.survey(&closed).unwrap());
            }
            Next::Drop { base } => {
                self.dirs.remove(base).unwrap();
                self.future.dropped(base);
            }
            Next::Copy { base, from, upto } => {
                let upto = upto.min(from + piece);
                self.dirs.copy(base, from, upto).unwrap();
                self.future.copied(base, upto);
            }
            Next::Finish { base } => {
                self.dirs.finish(base).unwrap();
                self.future.finished(base);
            }
            Next::Checkpoint => self.future.checkpointed(),
            Next::Hold => self.future.held(),
            Next::Seal => {
                self.dirs.seal(&self.seal()).unwrap();
                self.future.sealed();
            }
            Next::Assign => self.future.assigned(),
            Next::Wait | Next::Promote | Next::Revert => panic!("{next:?}"),
        }
    }

    fn seal(&self) -> Seal {
        let (segments, active_index_bytes) = (self.log.extents(), self.log.active_index_bytes());
        Seal { segments, active_index_bytes, epochs: EPOCHS.to_vec() }
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn a_log_goes_on_in_another_directory() {
    let mut stage = stage();
    let before = read_all(&stage.log, 0, 1 << 20);
    // Retention takes the oldest segments while it is copied, appends go on.
    stage.run(700, |next| matches!(next, Next::Finish { base: 9 }));
    stage.log.advance_start(9).unwrap();
    stage.log.retention(1, 30).unwrap();
    append(&mut stage.log, batch(&[77], 500));
    stage.run(700, |next| next == Next::Promote);
    assert!(stage.dirs.are_same().unwrap());
    let (current, promoted) = (stage.dirs.current.clone(), stage.dirs.promoted());
    let kept: Vec<String> = names(&current).into_iter().filter(|name| !name.ends_with(".deleted")).collect();
    assert_eq!(names(&stage.dirs.future), kept);
    let aside = stage.dirs.promote(3).unwrap();
    assert!(!current.exists() && aside.exists());
    stage.log.relocate(&promoted);

    assert_eq!(partition_metadata::read(&promoted).unwrap(), Some(TOPIC_ID));
    assert_eq!(leader_epochs::read(&promoted).unwrap(), EPOCHS);
    assert_eq!(stage.log.recovery_point(), stage.log.log_end_offset());
    assert!(stage.log.sync_targets().is_empty(), "all of it is on the disk");
    // Nothing of the old directory is needed.
    fs::remove_dir_all(&aside).unwrap();
    for at in 0..9 {
        append(&mut stage.log, batch(&[at, at, at], 500));
    }
    assert_eq!(stage.log.offset_for_timestamp(77).unwrap(), Some((30, 77)));
    let all = read_all(&stage.log, 9, 1 << 20);
    assert!(all.starts_with(&before[before.len() - before.len() * 7 / 10..]));
    stage.log.close_clean().unwrap();
    let log = open_clean(&promoted, &stage.config).unwrap();
    assert_eq!((read_all(&log, 9, 1 << 20), log.log_end_offset()), (all, 58));
}

#[test]
fn a_log_that_rests_at_every_step_arrives_whole() {
    let mut stage = stage();
    for at in 0..1000 {
        let next = stage.future.next(&stage.log.extents(), stage.log.is_quiet(), 700);
        if next == Next::Promote {
            break;
        }
        // While appends are held it is left alone: what a copy was made of stays as it was.
        if !stage.future.holds() {
            if at % 3 == 0 {
                append(&mut stage.log, batch(&[at, at, at], 50));
            }
            stage.log.synced(stage.log.log_end_offset());
            stage.log.rest();
            assert!(stage.log.is_at_rest());
        }
        stage.step(next, 700);
    }
    let (before, promoted) = (read_all(&stage.log, 0, 1 << 20), stage.dirs.promoted());
    let aside = stage.dirs.promote(3).unwrap();
    stage.log.relocate(&promoted);
    fs::remove_dir_all(&aside).unwrap();
    assert_eq!(read_all(&stage.log, 0, 900), before);
    append(&mut stage.log, batch(&[1], 500));
    stage.log.close_clean().unwrap();
    assert!(read_all(&open_clean(&promoted, &stage.config).unwrap(), 0, 900).starts_with(&before));
}

#[test]
fn whole_segments_of_an_interrupted_move_are_not_copied_again() {
    let mut stage = stage();
    stage.run(700, |next| matches!(next, Next::Copy { base: 18, from: 700, .. }));
    // Stopped in the third segment. The first is changed by compaction, say, before the move goes on.
    let first = offset_file(&stage.dirs.future, 0, LOG);
    File::open(&first, OpenOptions::new().write(true)).unwrap().std().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    fs::write(offset_file(&stage.dirs.future, 1000, LOG), "what is not in the log").unwrap();
    stage.future = FutureReplica::new();
    stage.run(1 << 20, |next| next != Next::Survey);
    assert_eq!(bases(&stage.dirs.future).unwrap(), [9]);
    stage.run(1 << 20, |next| next == Next::Promote);
    assert!(stage.dirs.are_same().unwrap());
}

#[test]
fn what_is_not_whole_is_not_promoted() {
    let mut stage = stage();
    stage.run(1 << 20, |next| next == Next::Seal);
    let seal = stage.seal();
    for spoil in [
        |dir: &Path| fs::write(offset_file(dir, 18, LOG), "short").unwrap(),
        |dir: &Path| fs::remove_file(offset_file(dir, 9, LOG)).unwrap(),
    ] {
        spoil(&stage.dirs.future);
        assert!(matches!(stage.dirs.seal(&seal), Err(MoveError::Differs(_))));
    }
    assert!(!stage.dirs.are_same().unwrap());
}

#[test]
fn want_of_descriptors_is_no_directorys_fault() {
    // EMFILE, ENFILE, ENOSPC.
    for (code, is_shortage) in [(24, true), (23, true), (28, false)] {
        let error = || LogError::io("open", "t-0")(io::Error::from_raw_os_error(code));
        assert_eq!(error().blames_directory(), !is_shortage);
        assert_eq!(MoveError::Current(error()).is_descriptor_shortage(), is_shortage);
        assert_eq!(MoveError::Future(error()).is_descriptor_shortage(), is_shortage);
    }
    assert!(!MoveError::Gone.is_descriptor_shortage());
}

#[test]
fn a_promotion_that_fails_changes_nothing() {
    let stage = stage();
    let before = names(&stage.dirs.current);
    fs::create_dir(stage.dirs.promoted()).unwrap();
    fs::write(stage.dirs.promoted().join("x"), "a directory that is not empty takes no other's place").unwrap();
    assert!(matches!(stage.dirs.promote(3), Err(MoveError::Future(_))));
    assert_eq!(names(&stage.dirs.current), before);
    assert!(stage.dirs.future.exists());
}

#[test]
fn a_copy_ends_where_its_last_whole_index_entry_is() {
    let stage = stage();
    let size = stage.log.extents()[0].size;
    assert_eq!(stage.log.offset_at(0, size), 9);
    assert_eq!(stage.log.offset_at(27, stage.log.extents()[3].size), 30);
    assert!((3..9).contains(&stage.log.offset_at(0, size - 1)));
    assert_eq!(stage.log.offset_at(0, 0), 0);
}
