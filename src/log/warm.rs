//! Which closed segments hold open files and index pages: those that were read last, so that a log of ten thousand
//! segments costs no more of either than one of ten.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::Log;
use super::reader::Recent;
use super::segment::Segment;

/// Closed segments of one log that may hold open files.
const WARM_SEGMENTS: usize = 8;

/// Bases of closed segments, the one used last at the back.
#[derive(Debug, Default)]
pub(super) struct Warm {
    bases: RefCell<VecDeque<i64>>,
}

impl Warm {
    /// Notes a use; returns the segment that has to let go for it.
    fn touch(&self, base: i64) -> Option<i64> {
        let mut bases = self.bases.borrow_mut();
        if bases.back() == Some(&base) {
            return None;
        }
        bases.retain(|known| *known != base);
        bases.push_back(base);
        if bases.len() > WARM_SEGMENTS { bases.pop_front() } else { None }
    }

    fn clear(&self) {
        self.bases.take();
    }

    pub(super) fn holds(&self, base: i64) -> bool {
        self.bases.borrow().contains(&base)
    }
}

impl Log {
    /// How many files it holds open.
    pub fn open_files(&self) -> usize {
        self.segments().map(Segment::open_count).sum::<usize>() + self.unsynced.open_count()
    }

    /// Nothing is left that [`rest`](Self::rest) would let go of.
    pub fn is_at_rest(&self) -> bool {
        self.recent.is_empty() && self.open_files() == 0
    }

    /// Lets go of open files and of what is known of batches and indexes; all of it comes back when it is needed. What is
    /// not synced keeps its file open, and a log that is being written its active segment.
    pub fn rest(&mut self) {
        self.warm.clear();
        for segment in self.closed.iter_mut().filter(|segment| !segment.is_unsynced()) {
            segment.rest();
            segment.cool();
        }
        // An index that can't be written stays in memory: the next write of it tells.
        if self.appends.is_idle() && self.active.rest_active().is_ok() {
            self.active.cool();
            self.recent = Recent::default();
        }
    }

    /// The segment at `index` is about to be read.
    pub(super) fn warm_up(&self, index: usize) {
        let Some(cold) = self.closed.get(index).and_then(|segment| self.warm.touch(segment.base())) else { return };
        if let Ok(cold) = self.closed.binary_search_by_key(&cold, |segment| segment.base()) {
            self.closed[cold].cool();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::topic::TopicConfig;
    use crate::log::testing::{TempDir, append, batch, create, open_clean, read_all, stage};

    #[test]
    fn the_segment_used_longest_ago_lets_go() {
        let warm = Warm::default();
        for base in 0..WARM_SEGMENTS as i64 {
            assert_eq!(warm.touch(base), None);
        }
        assert_eq!(warm.touch(0), None);
        assert_eq!(warm.touch(100), Some(1));
        assert!(warm.holds(0) && !warm.holds(1));
    }

    #[test]
    fn a_walk_through_a_long_log_leaves_few_files_open() {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        let size = batch(&[1], 50).len() as u32;
        let config = TopicConfig { segment_bytes: size, ..TopicConfig::default() };
        let mut log = create(&path, &config);
        for at in 0..40 {
            append(&mut log, batch(&[at], 50));
        }
        let open = |log: &Log| log.segments().map(|segment| segment.open_files().len()).sum::<usize>();
        assert!(open(&log) >= 40, "what is not synced stays open");
        log.synced(40);
        assert_eq!(open(&log), 1);
        log.close_clean().unwrap();
        let log = open_clean(&path, &config).unwrap();
        assert_eq!(open(&log), 0);
        let all = read_all(&log, 0, 1000);
        assert_eq!(all.len(), 40 * size as usize);
        assert!(open(&log) <= 3 * (WARM_SEGMENTS + 1), "{} files", open(&log));
        assert_eq!(log.offset_for_timestamp(3).unwrap(), Some((3, 3)));
        assert!(open(&log) <= 3 * (WARM_SEGMENTS + 1), "{} files", open(&log));
    }

    #[test]
    fn a_log_at_rest_is_found_where_it_lies_now_or_not_at_all() {
        let dir = TempDir::new();
        let (old, new) = (dir.path().join("t-0"), dir.path().join("other/t-0"));
        let size = batch(&[1], 50).len() as u32;
        let config = TopicConfig { segment_bytes: 10 * size, index_interval_bytes: size, ..TopicConfig::default() };
        let mut log = create(&old, &config);
        for at in 0..35 {
            append(&mut log, batch(&[at], 50));
        }
        let all = read_all(&log, 0, 1000);
        log.synced(35);
        log.rest();
        assert!(log.is_at_rest());

        std::fs::create_dir(dir.path().join("other")).unwrap();
        std::fs::rename(&old, &new).unwrap();
        assert!(log.plan_read(3, 35, 1000, true).is_err());
        assert!(stage(&mut log, batch(&[35], 50), 0).is_err());
        assert!(!old.exists(), "nothing is made where it was");

        log.relocate(&new);
        assert_eq!(append(&mut log, batch(&[35], 50)).base_offset, 35);
        assert!(read_all(&log, 0, 1000).starts_with(&all));
        assert_eq!(log.offset_for_timestamp(17).unwrap(), Some((17, 17)));
        log.close_clean().unwrap();
        assert_eq!(read_all(&open_clean(&new, &config).unwrap(), 0, 1000).len(), 36 * size as usize);
    }

    #[test]
    fn a_log_at_rest_holds_nothing_and_goes_on_where_it_was() {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        let size = batch(&[1], 50).len() as u32;
        let config = TopicConfig { segment_bytes: 100 * size, index_interval_bytes: size, ..TopicConfig::default() };
        let mut log = create(&path, &config);
        for at in 0..310 {
            append(&mut log, batch(&[at], 50));
            if at % 40 == 0 {
                log.synced(log.log_end_offset());
                log.rest();
                assert!(log.is_at_rest(), "after {at}");
                assert_eq!(log.offset_for_timestamp(at).unwrap(), Some((at, at)));
            }
        }
        // What is not synced stays open, and nothing else does.
        log.rest();
        assert_eq!(log.open_files(), 3 + 1 + 1, "the segment rolled since, its indexes, the active one, the directory");
        assert!(!log.is_at_rest());
        let all = read_all(&log, 0, 5000);
        assert_eq!(all.len(), 310 * size as usize);
        log.close_clean().unwrap();
        assert_eq!(log.open_files(), 0);
        let indexes = |log: &Log| log.segments().map(|segment| segment.indexes().0.len()).collect::<Vec<_>>();
        let before = indexes(&log);
        let log = open_clean(&path, &config).unwrap();
        assert_eq!(indexes(&log), before);
        assert_eq!(read_all(&log, 0, 900), all);
        assert!((0..310).step_by(7).all(|at| log.offset_for_timestamp(at).unwrap() == Some((at, at))));
    }
}
