//! Taking the end of a log back, as followers do where their records differ from the leader's (Kafka's
//! `UnifiedLog.truncateTo`, `truncateFullyAndStartAt`). What is cut is gone, durably, when this returns.

use super::error::LogError;
use super::replace::{remove, sync_dir};
use super::segment::{self, Segment};
use super::{Log, snapshots};

impl Log {
    /// Cuts the log at `offset`: what is at or behind it is gone, durably. An offset below the first segment empties the
    /// log and lets it begin there (Kafka's `truncateTo`, `truncateFullyAndStartAt`).
    ///
    /// Errors: `Busy` while appends are staged or under way.
    pub fn truncate_to(&mut self, offset: i64) -> Result<(), LogError> {
        if !self.appends.is_idle() {
            return Err(LogError::Busy { dir: self.dir.to_path_buf() });
        }
        if offset >= self.log_end_offset() {
            return Ok(());
        }
        if offset < self.first_base_offset() {
            return self.restart_at(offset);
        }
        while self.active.base() >= offset
            && let Some(previous) = self.closed.pop()
        {
            self.drop_active(previous)?;
        }
        let end = match self.active.find(offset)? {
            Some(located) => {
                // A batch that holds the offset goes as a whole: offsets never change inside a batch.
                let end = located.header.base_offset.min(offset);
                self.active.cut(located.position, end)?;
                end
            }
            None => offset.min(self.active.next_offset()),
        };
        self.ended_at(end)
    }

    /// Empties the log and lets it begin at `offset`.
    pub fn restart_at(&mut self, offset: i64) -> Result<(), LogError> {
        if !self.appends.is_idle() {
            return Err(LogError::Busy { dir: self.dir.to_path_buf() });
        }
        while let Some(previous) = self.closed.pop() {
            self.drop_active(previous)?;
        }
        let old = self.active.base();
        self.active = Segment::create(&self.dir, offset)?;
        if old != offset {
            for path in segment::paths(&self.dir, old) {
                remove(&path)?;
            }
        }
        self.log_start = offset;
        self.ended_at(offset)
    }

    fn drop_active(&mut self, previous: Segment) -> Result<(), LogError> {
        let dropped = std::mem::replace(&mut self.active, previous);
        dropped.paths().iter().try_for_each(|path| remove(path))
    }

    fn ended_at(&mut self, end: i64) -> Result<(), LogError> {
        self.appends.next_offset = end;
        self.appends.log_end = end;
        self.log_start = self.log_start.min(end);
        self.recent.clear();
        snapshots::remove_above(&self.dir, end)?;
        for file in self.active.sync_files(true).map_err(LogError::io("open segment", self.active.path()))? {
            file.sync_all().map_err(LogError::io("sync", file.path()))?;
        }
        sync_dir(&self.dir)?;
        self.recovery_point = self.recovery_point.min(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::topic::TopicConfig;
    use crate::log::testing::{TempDir, append, batch, create, open_clean, read_all};

    #[test]
    fn truncation_takes_whole_batches_and_appends_go_on_behind() {
        let dir = TempDir::new();
        let size = batch(&[1, 2], 50).len() as u32;
        let config = TopicConfig { segment_bytes: 2 * size, ..TopicConfig::default() };
        for offset in 0..=10 {
            let path = dir.path().join(format!("t-{offset}"));
            let mut log = create(&path, &config);
            for at in 0..5 {
                append(&mut log, batch(&[at, at], 50));
            }
            log.truncate_to(offset).unwrap();
            let end = offset & !1;
            assert_eq!(log.log_end_offset(), end);
            assert_eq!(append(&mut log, batch(&[9, 9], 50)).base_offset, end);
            let all = read_all(&log, 0, 1 << 20);
            assert_eq!(all.len() as i64, (end / 2 + 1) * i64::from(size));
            assert_eq!(log.max_timestamp_offset().unwrap(), Some((end, 9)));
            log.close_clean().unwrap();
            assert_eq!(read_all(&open_clean(&path, &config).unwrap(), 0, 1 << 20), all);
        }
    }

    #[test]
    fn a_log_can_be_emptied_and_begun_elsewhere() {
        let dir = TempDir::new();
        let path = dir.path().join("t-0");
        let config = TopicConfig::default();
        let mut log = create(&path, &config);
        append(&mut log, batch(&[1], 50));
        log.restart_at(1000).unwrap();
        assert_eq!((log.log_start_offset(), log.log_end_offset(), log.size_bytes()), (1000, 1000, 0));
        assert_eq!(append(&mut log, batch(&[1], 50)).base_offset, 1000);
        log.truncate_to(10).unwrap();
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (10, 10));
        log.close_clean().unwrap();
        assert_eq!(open_clean(&path, &config).unwrap().log_end_offset(), 10);
    }
}
