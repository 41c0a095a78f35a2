//! Early write-back: the kernel is asked to begin with what was written while there is little of it. Left alone it waits
//! until a tenth of memory is dirty, writes all of that at once, and makes whoever appends meanwhile wait.

use shards::Files;

use super::Log;

/// Bytes of a segment that are handed to the kernel at once: few enough for a disk to take in a fraction of a second, and
/// enough that asking costs nothing.
const STRIDE: u64 = 8 << 20;

/// How far the write-back of the active segment was begun.
#[derive(Debug, Default)]
pub(super) struct WriteBack {
    segment: i64,
    begun: u64,
}

impl WriteBack {
    /// The range of the segment that is due, as position and length, when `written` bytes of it are with the kernel: whole
    /// strides. A segment's last piece is written when it is synced after its roll.
    fn due(&mut self, segment: i64, written: u64) -> Option<(u64, u64)> {
        if self.segment != segment {
            // After a restart the old bytes of the segment are synced already, and one call too many does no harm.
            *self = Self { segment, begun: 0 };
        }
        let len = written.saturating_sub(self.begun) / STRIDE * STRIDE;
        let position = self.begun;
        self.begun += len;
        (len > 0).then_some((position, len))
    }
}

impl Log {
    /// Begins with what earlier writes brought.
    pub(super) fn begin_write_back(&mut self, files: &Files) {
        let due = self.appends.write_back.due(self.active.base(), self.active.written());
        if let Some((position, len)) = due
            && let Ok(file) = self.active.file()
        {
            files.write_back(&file, position, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::topic::TopicConfig;
    use crate::log::testing::{TempDir, append, batch, create};

    #[test]
    fn a_log_that_has_rested_goes_on_behind_what_was_begun() {
        let dir = TempDir::new();
        let mut log = create(&dir.path().join("t-0"), &TopicConfig::default());
        let large = batch(&[1], 512 * 1024);
        let per_stride = STRIDE.div_ceil(large.len() as u64) + 1;
        (0..per_stride).for_each(|_| _ = append(&mut log, large.clone()));
        assert_eq!(log.appends.write_back.begun, STRIDE);
        log.synced(log.log_end_offset());
        log.rest();
        assert!(log.is_at_rest());
        append(&mut log, large.clone());
        assert_eq!(log.appends.write_back.begun, STRIDE, "only positions are kept, and they hold");
        (0..per_stride).for_each(|_| _ = append(&mut log, large.clone()));
        assert_eq!(log.appends.write_back.begun, 2 * STRIDE);
    }

    #[test]
    fn whole_strides_are_due_once() {
        let mut write_back = WriteBack::default();
        assert_eq!(write_back.due(0, STRIDE - 1), None);
        assert_eq!(write_back.due(0, 2 * STRIDE + 5), Some((0, 2 * STRIDE)));
        assert_eq!(write_back.due(0, 3 * STRIDE - 1), None);
        assert_eq!(write_back.due(0, 3 * STRIDE), Some((2 * STRIDE, STRIDE)));
        assert_eq!(write_back.due(70, STRIDE), Some((0, STRIDE)), "of the next segment");
        assert_eq!(write_back.due(70, 3), None, "cut back");
    }
}
