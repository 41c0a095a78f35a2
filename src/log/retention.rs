//! What has to go: by time, by size, and what lies below the log start (Kafka's `UnifiedLog.deleteOldSegments`, protocol
//! item 96). Files are set aside under another name at once and removed later, so that reads under way can end.

use std::path::PathBuf;

use super::error::LogError;
use super::snapshots;
use super::{Log, segment::Segment};
use crate::config::topic::TopicConfig;

/// A file that was set aside, to be removed when `due_ms` (wall clock) has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    pub path: PathBuf,
    pub due_ms: i64,
}

/// What retention did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Retired {
    pub segments: usize,
    /// All segments were to go, so a new one was begun here: a producer snapshot as of this offset is due.
    pub rolled: Option<i64>,
    pub files: Vec<Doomed>,
}

/// One segment as retention sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    /// Where the next segment begins or, of the last one, where the log ends.
    pub(crate) next_offset: i64,
    pub(crate) size: u64,
    /// Of its records; where none has a timestamp, when the file was last written.
    pub(crate) largest_timestamp: i64,
}

/// By what a log is kept. Times are milliseconds, -1 is "no limit".
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// False where only compaction (or nothing) takes records away.
    pub(crate) delete: bool,
    pub(crate) retention_ms: i64,
    pub(crate) retention_bytes: i64,
    pub(crate) log_start: i64,
    pub(crate) high_watermark: i64,
    pub(crate) now_ms: i64,
}

/// How many of the oldest segments go. The last candidate is the active segment; it goes only if it holds anything.
pub(crate) fn expired(segments: &[Candidate], rule: &Rule) -> usize {
    let Some((active, closed)) = segments.split_last() else { return 0 };
    let below_start = closed.iter().take_while(|segment| segment.next_offset <= rule.log_start).count();
    if !rule.delete {
        return below_start;
    }
    let deletable = closed.len() + usize::from(active.size > 0);
    let may_go = |segment: &Candidate| segment.next_offset <= rule.high_watermark;
    let mut gone = below_start;
    let left: u64 = segments[gone..].iter().map(|segment| segment.size).sum();
    if let Ok(kept) = u64::try_from(rule.retention_bytes) {
        let mut surplus = left.saturating_sub(kept);
        while gone < deletable && may_go(&segments[gone]) && left >= kept && segments[gone].size <= surplus {
            surplus -= segments[gone].size;
            gone += 1;
        }
    }
    if rule.retention_ms >= 0 {
        let too_old = |segment: &Candidate| rule.now_ms.saturating_sub(segment.largest_timestamp) > rule.retention_ms;
        while gone < deletable && may_go(&segments[gone]) && too_old(&segments[gone]) {
            gone += 1;
        }
    }
    gone
}

impl Log {
    /// Sets segments aside that have outlived `retention.ms`, exceed `retention.bytes`, or lie below the log start;
    /// never one with records at or above the high watermark. The log start moves to the first segment that stays.
    pub fn retention(&mut self, now_ms: i64, high_watermark: i64) -> Result<Retired, LogError> {
        let candidates = self.candidates()?;
        let TopicConfig { cleanup_policy, retention_ms, retention_bytes, .. } = self.config;
        let log_start = self.log_start;
        let delete = cleanup_policy.delete;
        let rule = Rule { delete, retention_ms, retention_bytes, log_start, high_watermark, now_ms };
        let gone = expired(&candidates, &rule);
        let mut retired = Retired { segments: gone, ..Retired::default() };
        if gone == 0 {
            return Ok(retired);
        }
        if gone > self.closed.len() {
            retired.rolled = Some(self.roll()?);
        }
        let due_ms = now_ms.saturating_add(self.config.file_delete_delay_ms);
        let segments: Vec<Segment> = self.closed.drain(..gone).collect();
        self.log_start = self.log_start.max(self.first_base_offset());
        for segment in segments {
            for path in segment.paths() {
                let aside = snapshots::set_aside_file(&path)?;
                retired.files.extend(aside.map(|path| Doomed { path, due_ms }));
            }
            let snapshot = snapshots::set_aside(&self.dir, segment.base())?;
            retired.files.extend(snapshot.map(|path| Doomed { path, due_ms }));
        }
        Ok(retired)
    }

    fn candidates(&self) -> Result<Vec<Candidate>, LogError> {
        let mut candidates = Vec::with_capacity(self.segment_count());
        for segment in self.segments() {
            candidates.push(Candidate {
                next_offset: segment.next_offset(),
                size: segment.size(),
                largest_timestamp: segment.largest_timestamp()?,
            });
        }
        Ok(candidates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::{TempDir, append, batch, create};

    const KEEP_ALL: Rule = Rule {
        delete: true,
        retention_ms: -1,
        retention_bytes: -1,
        log_start: 0,
        high_watermark: i64::MAX,
        now_ms: 1000,
    };

    fn three() -> [Candidate; 3] {
        [(10, 100, 100), (20, 100, 200), (30, 50, 300)].map(|(next_offset, size, largest_timestamp)| Candidate {
            next_offset,
            size,
            largest_timestamp,
        })
    }

    #[test]
    fn nothing_goes_without_a_limit() {
        assert_eq!(expired(&three(), &KEEP_ALL), 0);
        assert_eq!(expired(&[], &KEEP_ALL), 0);
    }

    #[test]
    fn by_time_the_oldest_go_up_to_the_first_young_one() {
        for (retention_ms, gone) in [(1000, 0), (900, 0), (899, 1), (799, 2), (700, 2), (699, 3), (0, 3)] {
            assert_eq!(expired(&three(), &Rule { retention_ms, ..KEEP_ALL }), gone, "{retention_ms}");
        }
        let mut segments = three();
        segments[0].largest_timestamp = 5000;
        assert_eq!(expired(&segments, &Rule { retention_ms: 0, ..KEEP_ALL }), 0, "stamped in the future");
    }

    #[test]
    fn by_size_as_many_stay_as_reach_the_limit() {
        for (retention_bytes, gone) in [(251, 0), (250, 0), (151, 0), (150, 1), (50, 2), (49, 2), (1, 2), (0, 3)] {
            assert_eq!(expired(&three(), &Rule { retention_bytes, ..KEEP_ALL }), gone, "{retention_bytes}");
        }
    }

    #[test]
    fn never_at_or_above_the_high_watermark() {
        for (high_watermark, gone) in [(9, 0), (10, 1), (29, 2), (30, 3)] {
            assert_eq!(expired(&three(), &Rule { retention_ms: 0, high_watermark, ..KEEP_ALL }), gone);
            assert_eq!(expired(&three(), &Rule { retention_bytes: 0, high_watermark, ..KEEP_ALL }), gone);
        }
    }

    #[test]
    fn an_empty_active_segment_stays() {
        let mut segments = three();
        segments[2].size = 0;
        assert_eq!(expired(&segments, &Rule { retention_ms: 0, ..KEEP_ALL }), 2);
        assert_eq!(expired(&segments, &Rule { retention_bytes: 0, ..KEEP_ALL }), 2);
    }

    #[test]
    fn compacted_topics_only_lose_what_lies_below_the_log_start() {
        let rule = Rule { delete: false, retention_ms: 0, retention_bytes: 0, ..KEEP_ALL };
        assert_eq!(expired(&three(), &rule), 0);
        for (log_start, gone) in [(9, 0), (10, 1), (20, 2), (30, 2)] {
            assert_eq!(expired(&three(), &Rule { log_start, ..rule }), gone);
            assert_eq!(expired(&three(), &Rule { log_start, ..KEEP_ALL }), gone);
        }
    }

    #[test]
    fn segments_are_set_aside_with_all_their_files() {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        let size = batch(&[1], 50).len() as u32;
        let mut config =
            TopicConfig { segment_bytes: size, retention_ms: 500, file_delete_delay_ms: 60, ..TopicConfig::default() };
        let mut log = create(&path, &config);
        for at in [100, 200, 300] {
            let staged = append(&mut log, batch(&[at], 50));
            log.write_snapshot(staged.base_offset, &snapshots::encode(&[])).unwrap();
        }
        assert_eq!(log.retention(600, 3).unwrap(), Retired::default());
        let retired = log.retention(701, 3).unwrap();
        let names = [".log", ".index", ".timeindex", ".snapshot"]
            .iter()
            .flat_map(|suffix| [0, 1].map(|base| path.join(format!("{base:020}{suffix}.deleted"))));
        let mut files: Vec<_> = retired.files.iter().map(|doomed| doomed.path.clone()).collect();
        let mut names: Vec<_> = names.collect();
        files.sort();
        names.sort();
        assert_eq!(files, names);
        assert!(retired.files.iter().all(|doomed| doomed.due_ms == 761 && doomed.path.exists()));
        assert_eq!((log.log_start_offset(), log.log_end_offset(), log.segment_count()), (2, 3, 1));

        // All of it: the active segment goes too, and a new one stands at the end.
        let retired = log.retention(i64::MAX, 2).unwrap();
        assert_eq!(retired.segments, 0, "above the high watermark");
        let retired = log.retention(i64::MAX, 3).unwrap();
        assert_eq!((retired.segments, retired.rolled), (1, Some(3)));
        assert_eq!((log.log_start_offset(), log.log_end_offset(), log.size_bytes()), (3, 3, 0));
        assert_eq!(log.retention(i64::MAX, 3).unwrap(), Retired::default());
        assert_eq!(append(&mut log, batch(&[1], 50)).base_offset, 3);

        // DeleteRecords under compaction: what lies below the start goes, whatever the limits.
        config.cleanup_policy = crate::config::topic::CleanupPolicy { delete: false, compact: true };
        log.set_config(&config);
        append(&mut log, batch(&[1], 50));
        assert_eq!(log.retention(i64::MAX, 5).unwrap(), Retired::default());
        log.advance_start(4).unwrap();
        assert_eq!(log.retention(i64::MAX, 5).unwrap().segments, 1);
        assert_eq!(log.base_offsets().collect::<Vec<_>>(), [4]);
    }
}
