//! Which closed segments hold open files and index pages: those that were read last, so that a log of ten thousand
//! segments costs no more of either than one of ten.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::Log;

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

    pub(super) fn holds(&self, base: i64) -> bool {
        self.bases.borrow().contains(&base)
    }
}

impl Log {
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
    use crate::log::testing::{TempDir, append, batch, create, open_clean, read_all};

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
}
