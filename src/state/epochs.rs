//! Which leader epoch wrote which offsets of one partition (KIP-101, KIP-320; Kafka's `LeaderEpochFileCache`).

/// What a question about an epoch that the log knows nothing of is answered with.
pub const UNDEFINED_EPOCH: i32 = -1;
/// The end offset of an undefined epoch.
pub const UNDEFINED_EPOCH_OFFSET: i64 = -1;

/// One line of `leader-epoch-checkpoint`: the first offset that `epoch` wrote, or would have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEntry {
    pub epoch: i32,
    pub start_offset: i64,
}

/// The epochs of one partition. Both numbers of its entries rise strictly. There is one entry for each change of leader
/// whose records are still in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochEntry>,
}

impl LeaderEpochs {
    pub fn new() -> Self {
        Self::default()
    }

    /// What a checkpoint file holds. Entries that contradict a later one are dropped, negative ones ignored.
    pub fn from_entries(entries: impl IntoIterator<Item = EpochEntry>) -> Self {
        let mut epochs = Self::default();
        for entry in entries {
            epochs.assign(entry.epoch, entry.start_offset);
        }
        epochs
    }

    /// Oldest first.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    pub fn latest_epoch(&self) -> Option<i32> {
        self.latest().map(|entry| entry.epoch)
    }

    /// Notes that `epoch` begins at `start_offset`; true when that is news and the checkpoint has to be written.
    ///
    /// The newest word wins: entries with an epoch or an offset that is not below it go. An entry for the latest epoch
    /// is only ever moved back. Negative numbers are ignored.
    pub fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        if epoch < 0 || start_offset < 0 {
            return false;
        }
        if let Some(latest) = self.latest()
            && latest.epoch == epoch
            && latest.start_offset <= start_offset
        {
            return false;
        }
        while self.latest().is_some_and(|last| last.epoch >= epoch || last.start_offset >= start_offset) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// The largest known epoch that is not above `requested`, and where it ends: at the start of the next epoch, or at
    /// `log_end` for the current one. (-1, -1) when `requested` is above all known epochs; below all of them
    /// (`requested`, start of the first), so that a follower begins at the leader's oldest record.
    pub fn end_offset_for(&self, requested: i32, log_end: i64) -> (i32, i64) {
        if requested == UNDEFINED_EPOCH {
            return (UNDEFINED_EPOCH, UNDEFINED_EPOCH_OFFSET);
        }
        if self.latest_epoch() == Some(requested) {
            return (requested, log_end);
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= requested);
        let Some(next) = self.entries.get(above) else {
            return (UNDEFINED_EPOCH, UNDEFINED_EPOCH_OFFSET);
        };
        let epoch = above.checked_sub(1).map_or(requested, |floor| self.entries[floor].epoch);
        (epoch, next.start_offset)
    }

    /// The epoch that wrote the record at `offset`, if the log still knows.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        let above = self.entries.partition_point(|entry| entry.start_offset <= offset);
        above.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// The log now ends at `end_offset`: epochs that begin there or later are forgotten. True when there were any.
    pub fn truncate_from_end(&mut self, end_offset: i64) -> bool {
        let before = self.entries.len();
        if end_offset >= 0 {
            let keep = self.entries.partition_point(|entry| entry.start_offset < end_offset);
            self.entries.truncate(keep);
        }
        self.entries.len() != before
    }

    /// The log now starts at `start_offset`: older epochs are forgotten, and the one that holds this offset begins here.
    /// True when anything changed.
    pub fn truncate_from_start(&mut self, start_offset: i64) -> bool {
        let above = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        let Some(holder) = above.checked_sub(1) else {
            return false;
        };
        let changed = holder > 0 || self.entries[0].start_offset != start_offset;
        self.entries.drain(..holder);
        self.entries[0].start_offset = start_offset;
        changed
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        LeaderEpochs::from_entries(entries.iter().map(|&(epoch, start_offset)| EpochEntry { epoch, start_offset }))
    }

    fn text(epochs: &LeaderEpochs) -> String {
        epochs.entries().iter().map(|e| format!("{}@{}", e.epoch, e.start_offset)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn assign_keeps_both_numbers_rising() {
        let mut e = LeaderEpochs::new();
        for (epoch, offset, changed, after) in [
            (0, 0, true, "0@0"),
            (0, 5, false, "0@0"),
            (1, 10, true, "0@0 1@10"),
            // A leader that wrote nothing gives its place to the next.
            (2, 10, true, "0@0 2@10"),
            (4, 20, true, "0@0 2@10 4@20"),
            // The same epoch earlier: the log was cut.
            (4, 15, true, "0@0 2@10 4@15"),
            (3, 30, true, "0@0 2@10 3@30"),
            (5, 3, true, "0@0 5@3"),
            (-1, 9, false, "0@0 5@3"),
            (6, -1, false, "0@0 5@3"),
        ] {
            assert_eq!((e.assign(epoch, offset), text(&e).as_str()), (changed, after), "assign {epoch} at {offset}");
        }
    }

    #[test]
    fn end_offsets_are_those_of_kafka() {
        let e = epochs(&[(2, 10), (4, 20), (7, 30)]);
        for (requested, answer) in [
            (-1, (-1, -1)),
            (0, (0, 10)),
            (1, (1, 10)),
            (2, (2, 20)),
            (3, (2, 20)),
            (4, (4, 30)),
            (6, (4, 30)),
            (7, (7, 42)),
            (8, (-1, -1)),
        ] {
            assert_eq!(e.end_offset_for(requested, 42), answer, "epoch {requested}");
        }
        assert_eq!(LeaderEpochs::new().end_offset_for(0, 42), (-1, -1));
    }

    #[test]
    fn both_ends_are_cut() {
        let mut e = epochs(&[(2, 10), (4, 20), (7, 30)]);
        assert!(!e.truncate_from_start(9));
        assert!(!e.truncate_from_start(10));
        assert!(e.truncate_from_start(25));
        assert_eq!(text(&e), "4@25 7@30");
        assert!(!e.truncate_from_end(31));
        assert!(e.truncate_from_end(30));
        assert_eq!(text(&e), "4@25");
        assert!(e.truncate_from_start(40));
        assert_eq!(text(&e), "4@40");
        assert!(e.truncate_from_end(40));
        assert_eq!(text(&e), "");
    }

    #[derive(Debug, Clone)]
    enum Event {
        Lead(i32),
        Append(i64),
        CutEnd(i64),
        CutStart(i64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (1..3i32).prop_map(Event::Lead),
            (1..5i64).prop_map(Event::Append),
            (0..12i64).prop_map(Event::CutEnd),
            (0..12i64).prop_map(Event::CutStart),
        ]
    }

    proptest! {
        #![proptest_config(crate::testing::cases(512))]

        /// The model is the log itself: the epoch of every record.
        #[test]
        fn agrees_with_a_log_that_keeps_every_record(events in prop::collection::vec(event(), 0..60)) {
            let mut e = LeaderEpochs::new();
            let (mut start, mut log, mut epoch) = (0i64, Vec::<i32>::new(), 0);
            e.assign(0, 0);
            for event in events {
                let end = start + log.len() as i64;
                match event {
                    Event::Lead(by) => { epoch += by; e.assign(epoch, end); }
                    Event::Append(count) => { e.assign(epoch, end); log.extend((0..count).map(|_| epoch)); }
                    Event::CutEnd(by) => {
                        let to = (end - by).max(start);
                        log.truncate((to - start) as usize);
                        e.truncate_from_end(to);
                        epoch += 1;
                        e.assign(epoch, to);
                    }
                    Event::CutStart(by) => {
                        let to = (start + by).min(end);
                        log.drain(..(to - start) as usize);
                        start = to;
                        e.truncate_from_start(to);
                    }
                }
                prop_assert!(e.entries().windows(2).all(|w| w[0].epoch < w[1].epoch && w[0].start_offset < w[1].start_offset));
                let end = start + log.len() as i64;
                for (index, &wrote) in log.iter().enumerate() {
                    prop_assert_eq!(e.epoch_for_offset(start + index as i64), Some(wrote));
                }
                for asked in 0..=epoch {
                    let (found, ends) = e.end_offset_for(asked, end);
                    let above = log.iter().position(|&wrote| wrote > asked).map_or(end, |at| start + at as i64);
                    // An empty epoch at the end of the log may be known or not; its end is the log end either way.
                    prop_assert!(ends == above || (found, ends) == (-1, -1), "epoch {asked}: {found} ends at {ends}, not {above}");
                }
            }
        }
    }
}
