//! Early write-back: where much waits to be written, the kernel is asked to begin with it, a little at a time. Left alone
//! it begins when a tenth of memory is dirty, writes all of that at once, and makes whoever appends meanwhile wait. It is
//! work for the shard's core (blocks have to be found), a quarter of what large appends cost: so not before there is more
//! than a disk takes in a few seconds, which on a machine of less than 40 GiB of memory is never.

use shards::Files;

use super::Log;

/// Bytes of a segment that are handed to the kernel at once: few enough for a disk to take in a fraction of a second, and
/// enough that asking costs nothing.
const STRIDE: u64 = 8 << 20;
/// For each stride that was appended so many are begun, until none is left from before.
const CATCH_UP: u64 = 2;
/// Dirty memory of the whole machine.
const MUCH_BYTES: u64 = 4 << 30;

/// How far the write-back of the active segment was begun.
#[derive(Debug, Default)]
pub(super) struct WriteBack {
    segment: i64,
    begun: u64,
    /// Strides there were when it was last looked at.
    strides: u64,
}

impl WriteBack {
    /// The range of the segment that is due, as position and length, when `written` bytes of it are with the kernel: whole
    /// strides, and none unless `is_much` waits. A segment's last piece is written when it is synced after its roll.
    fn due(&mut self, segment: i64, written: u64, is_much: impl FnOnce() -> bool) -> Option<(u64, u64)> {
        if self.segment != segment {
            // After a restart the old bytes of the segment are synced already, and one call too many does no harm.
            *self = Self { segment, ..Self::default() };
        }
        let strides = written / STRIDE;
        if strides <= std::mem::replace(&mut self.strides, strides) || !is_much() {
            return None;
        }
        let left = (strides * STRIDE).saturating_sub(self.begun);
        let (position, len) = (self.begun, left.min(CATCH_UP * STRIDE));
        self.begun += len;
        (len > 0).then_some((position, len))
    }
}

impl Log {
    /// Begins with what earlier writes brought.
    pub(super) fn begin_write_back(&mut self, files: &Files) {
        let is_much = || shards::dirty_bytes() >= MUCH_BYTES;
        let due = self.appends.write_back.due(self.active.base(), self.active.written(), is_much);
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

    fn due(write_back: &mut WriteBack, segment: i64, written: u64) -> Option<(u64, u64)> {
        write_back.due(segment, written, || true)
    }

    #[test]
    fn whole_strides_are_due_once() {
        let mut write_back = WriteBack::default();
        assert_eq!(due(&mut write_back, 0, STRIDE - 1), None);
        assert_eq!(due(&mut write_back, 0, 2 * STRIDE + 5), Some((0, 2 * STRIDE)));
        assert_eq!(due(&mut write_back, 0, 3 * STRIDE - 1), None);
        assert_eq!(due(&mut write_back, 0, 3 * STRIDE), Some((2 * STRIDE, STRIDE)));
        assert_eq!(due(&mut write_back, 70, STRIDE), Some((0, STRIDE)), "of the next segment");
        assert_eq!(due(&mut write_back, 70, 3), None, "cut back");
    }

    #[test]
    fn a_log_that_has_rested_goes_on_behind_what_was_begun() {
        let dir = TempDir::new();
        let mut log = create(&dir.path().join("t-0"), &TopicConfig::default());
        let large = batch(&[1], 512 * 1024);
        let per_stride = STRIDE.div_ceil(large.len() as u64) + 1;
        // Whether anything is begun here is a matter of how much is dirty on the machine.
        let state = |log: &Log| (log.appends.write_back.begun, log.appends.write_back.strides);
        (0..per_stride).for_each(|_| _ = append(&mut log, large.clone()));
        let before = state(&log);
        assert_eq!(before.1, 1);
        log.synced(log.log_end_offset());
        log.rest();
        assert!(log.is_at_rest());
        append(&mut log, large.clone());
        assert_eq!(state(&log), before, "only positions are kept, and they hold");
        (0..per_stride).for_each(|_| _ = append(&mut log, large.clone()));
        assert_eq!(log.appends.write_back.strides, 2);
    }

    #[test]
    fn where_little_waits_nothing_is_due_and_later_it_is_caught_up_with() {
        let mut write_back = WriteBack::default();
        (1..10).for_each(|strides| assert_eq!(write_back.due(0, strides * STRIDE, || false), None));
        assert_eq!(due(&mut write_back, 0, 9 * STRIDE + 5), None, "once a stride");
        for strides in 10..=18 {
            assert_eq!(due(&mut write_back, 0, strides * STRIDE), Some(((strides - 10) * 2 * STRIDE, 2 * STRIDE)));
        }
        assert_eq!(due(&mut write_back, 0, 19 * STRIDE), Some((18 * STRIDE, STRIDE)));
    }
}
