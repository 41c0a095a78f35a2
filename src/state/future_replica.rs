//! A replica on its way to another log directory of its broker, the "future replica" (KIP-113, KIP-858; Kafka's
//! `ReplicaAlterLogDirsThread`, `LogManager.replaceCurrentWithFutureLog`): what has to be done next.
//!
//! Segments are copied as they are, while the current replica goes on. Once little is left, appends are held: the rest
//! comes over, all of it goes to the disk, the metadata is told, and only then directories are renamed. So whenever the
//! metadata names the new directory, all that was ever acknowledged lies there, whatever a crash leaves of the names.
//!
//! Nothing here sees a file. The shell asks for the [`Next`] step, takes it, and says what became of it.

use std::collections::BTreeMap;

/// A segment of the current replica. Sizes are bytes of `.log` files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub base: i64,
    /// What is written of it.
    pub size: u64,
    /// It takes no more, and its indexes are whole.
    pub is_closed: bool,
}

/// The step that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Find out which whole segments an earlier move has left, and remove everything else.
    Survey,
    /// The current replica has let go of the segment (retention, DeleteRecords): so does the future one.
    Drop { base: i64 },
    /// Copy bytes of a `.log` file, some or all of them.
    Copy { base: i64, from: u64, upto: u64 },
    /// All of a closed segment's bytes are there: bring its indexes over, and all of it to the disk.
    Finish { base: i64 },
    /// Have the checkpoints written, so that the new directory knows where its log starts.
    Checkpoint,
    /// Keep appends waiting, and begin nothing that changes files.
    Hold,
    /// What was begun before the hold has not ended.
    Wait,
    /// Bring what is beside the segments over, and all of it to the disk.
    Seal,
    /// Have the metadata name the new directory.
    Assign,
    /// Rename both directories.
    Promote,
    /// That failed: have the metadata name the old directory again.
    Revert,
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The move is over, the current replica goes on.
    Over,
    /// The metadata has to be told before appends may go on.
    Revert,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Surveying,
    Copying { checkpointed: bool },
    Held,
    Assigning,
    Promoting,
    Reverting,
}

/// What the future replica has of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Copied {
    size: u64,
    /// Its indexes are there too, and all of it is on the disk.
    is_whole: bool,
}

/// How far a future replica has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FutureReplica {
    phase: Phase,
    /// By base offset.
    segments: BTreeMap<i64, Copied>,
}

impl FutureReplica {
    /// Its directory is there, perhaps with segments of an earlier move in it.
    pub fn new() -> Self {
        Self { phase: Phase::Surveying, segments: BTreeMap::new() }
    }

    /// The next step. `log`: the current replica's segments, oldest first. `is_quiet`: nothing is on its way to its
    /// files. With no more than `held_bytes_max` left to copy, appends are held for the rest.
    pub fn next(&self, log: &[Segment], is_quiet: bool, held_bytes_max: u64) -> Next {
        match self.phase {
            Phase::Surveying => Next::Survey,
            Phase::Copying { checkpointed } => match self.copy(log) {
                Some(Next::Copy { .. }) | None if self.left(log) <= held_bytes_max => {
                    if checkpointed {
                        Next::Hold
                    } else {
                        Next::Checkpoint
                    }
                }
                step => step.unwrap_or(Next::Hold),
            },
            Phase::Held if !is_quiet => Next::Wait,
            Phase::Held => self.copy(log).unwrap_or(Next::Seal),
            Phase::Assigning => Next::Assign,
            Phase::Promoting => Next::Promote,
            Phase::Reverting => Next::Revert,
        }
    }

    /// Appends have to wait, and the current replica's files stay as they are.
    pub fn holds(&self) -> bool {
        !matches!(self.phase, Phase::Surveying | Phase::Copying { .. })
    }

    /// What of the two logs differs first.
    fn copy(&self, log: &[Segment]) -> Option<Next> {
        let find = |base: i64| log.binary_search_by_key(&base, |segment| segment.base).ok().map(|at| log[at]);
        let stale = |(base, copied): &(&i64, &Copied)| find(**base).is_none_or(|segment| segment.size < copied.size);
        if let Some((base, _)) = self.segments.iter().find(stale) {
            return Some(Next::Drop { base: *base });
        }
        log.iter().find_map(|segment| {
            let Segment { base, size, is_closed } = *segment;
            match self.segments.get(&base) {
                None => Some(Next::Copy { base, from: 0, upto: size }),
                Some(copied) if copied.size < size => Some(Next::Copy { base, from: copied.size, upto: size }),
                Some(copied) if is_closed && !copied.is_whole => Some(Next::Finish { base }),
                Some(_) => None,
            }
        })
    }

    /// Bytes of the current replica that the future one lacks.
    fn left(&self, log: &[Segment]) -> u64 {
        let copied = |base: &i64| self.segments.get(base).map_or(0, |copied| copied.size);
        log.iter().map(|segment| segment.size.saturating_sub(copied(&segment.base))).sum()
    }

    /// Which segments were found whole, by base offset and size.
    pub fn surveyed(&mut self, whole: impl IntoIterator<Item = (i64, u64)>) {
        debug_assert_eq!(self.phase, Phase::Surveying);
        self.segments = whole.into_iter().map(|(base, size)| (base, Copied { size, is_whole: true })).collect();
        self.phase = Phase::Copying { checkpointed: false };
    }

    pub fn dropped(&mut self, base: i64) {
        self.segments.remove(&base);
    }

    /// The segment's `.log` is so long now.
    pub fn copied(&mut self, base: i64, size: u64) {
        self.segments.insert(base, Copied { size, is_whole: false });
    }

    pub fn finished(&mut self, base: i64) {
        if let Some(copied) = self.segments.get_mut(&base) {
            copied.is_whole = true;
        }
    }

    pub fn checkpointed(&mut self) {
        if let Phase::Copying { checkpointed } = &mut self.phase {
            *checkpointed = true;
        }
    }

    pub fn held(&mut self) {
        debug_assert!(!self.holds());
        self.phase = Phase::Held;
    }

    /// All of it is on the disk, byte for byte.
    pub fn sealed(&mut self) {
        debug_assert_eq!(self.phase, Phase::Held);
        self.phase = Phase::Assigning;
    }

    /// The metadata names the new directory.
    pub fn assigned(&mut self) {
        debug_assert_eq!(self.phase, Phase::Assigning);
        self.phase = Phase::Promoting;
    }

    /// A step failed on the side of the new directory, or the metadata was not changed.
    pub fn failed(&mut self) -> Failure {
        if self.phase == Phase::Promoting {
            self.phase = Phase::Reverting;
            return Failure::Revert;
        }
        Failure::Over
    }

    /// Bytes of its `.log` files.
    pub fn size(&self) -> u64 {
        self.segments.values().map(|copied| copied.size).sum()
    }

    /// The segment in which it ends, by base offset and size.
    pub fn end(&self) -> Option<(i64, u64)> {
        self.segments.last_key_value().map(|(base, copied)| (*base, copied.size))
    }

    /// Base of the first segment that is not on the disk with all that belongs to it; `None`: all are.
    pub fn first_unsynced(&self) -> Option<i64> {
        self.segments.iter().find(|(_, copied)| !copied.is_whole).map(|(base, _)| *base)
    }
}

impl Default for FutureReplica {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cases;
    use proptest::prelude::*;

    const MIB: u64 = 1024 * 1024;

    fn next(future: &FutureReplica, log: &[Segment], is_quiet: bool) -> Next {
        future.next(log, is_quiet, 8 * MIB)
    }

    fn log(segments: &[(i64, u64)]) -> Vec<Segment> {
        let last = segments.len() - 1;
        let segment =
            |(at, (base, size)): (usize, &(i64, u64))| Segment { base: *base, size: *size, is_closed: at < last };
        segments.iter().enumerate().map(segment).collect()
    }

    #[test]
    fn a_move_from_its_beginning_to_its_end() {
        let mut future = FutureReplica::new();
        let mut current = log(&[(0, 10 * MIB), (50, 20 * MIB), (90, 3)]);
        assert_eq!(next(&future, &current, true), Next::Survey);
        future.surveyed([]);
        assert_eq!(next(&future, &current, true), Next::Copy { base: 0, from: 0, upto: 10 * MIB });
        future.copied(0, 4 * MIB);
        assert_eq!(next(&future, &current, true), Next::Copy { base: 0, from: 4 * MIB, upto: 10 * MIB });
        future.copied(0, 10 * MIB);
        assert_eq!(next(&future, &current, true), Next::Finish { base: 0 });
        future.finished(0);
        assert_eq!((future.size(), future.end(), future.first_unsynced()), (10 * MIB, Some((0, 10 * MIB)), None));

        // Retention takes the first, appends go on.
        current = log(&[(50, 20 * MIB), (90, 9 * MIB)]);
        assert_eq!(next(&future, &current, true), Next::Drop { base: 0 });
        future.dropped(0);
        future.copied(50, 20 * MIB);
        assert_eq!(future.first_unsynced(), Some(50));
        future.finished(50);
        assert_eq!(next(&future, &current, true), Next::Copy { base: 90, from: 0, upto: 9 * MIB });
        future.copied(90, 2 * MIB);
        assert_eq!(next(&future, &current, true), Next::Checkpoint);
        future.checkpointed();
        assert_eq!((next(&future, &current, false), future.holds()), (Next::Hold, false));

        // What was on its way when appends were held rolled once more.
        future.held();
        assert_eq!((next(&future, &current, false), future.holds()), (Next::Wait, true));
        current = log(&[(50, 20 * MIB), (90, 9 * MIB), (99, 0)]);
        assert_eq!(next(&future, &current, true), Next::Copy { base: 90, from: 2 * MIB, upto: 9 * MIB });
        future.copied(90, 9 * MIB);
        assert_eq!(next(&future, &current, true), Next::Finish { base: 90 });
        future.finished(90);
        assert_eq!(next(&future, &current, true), Next::Copy { base: 99, from: 0, upto: 0 });
        future.copied(99, 0);
        assert_eq!(next(&future, &current, true), Next::Seal);
        future.sealed();
        assert_eq!(next(&future, &current, true), Next::Assign);
        future.assigned();
        assert_eq!(next(&future, &current, true), Next::Promote);
    }

    #[test]
    fn a_failure_is_the_end_unless_the_metadata_knows_of_the_move() {
        let current = log(&[(0, 5)]);
        let mut future = FutureReplica::new();
        assert_eq!(future.failed(), Failure::Over);
        future.surveyed([(0, 5)]);
        future.held();
        assert_eq!(future.failed(), Failure::Over);
        future.sealed();
        assert_eq!(future.failed(), Failure::Over);
        future.assigned();
        assert_eq!(future.failed(), Failure::Revert);
        assert_eq!((next(&future, &current, true), future.holds()), (Next::Revert, true));
        assert_eq!(future.failed(), Failure::Over);
    }

    #[test]
    fn a_segment_that_became_shorter_is_copied_anew() {
        let mut future = FutureReplica::new();
        future.surveyed([(0, 5), (10, 5)]);
        let current = log(&[(0, 4), (10, 50 * MIB)]);
        assert_eq!(next(&future, &current, true), Next::Drop { base: 0 });
        future.dropped(0);
        assert_eq!(next(&future, &current, true), Next::Copy { base: 0, from: 0, upto: 4 });
    }

    /// Something that happens to the current replica between two steps.
    #[derive(Debug, Clone, Copy)]
    enum Happens {
        Append(u64),
        Roll,
        Retire,
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![(1..4 * MIB).prop_map(Happens::Append), Just(Happens::Roll), Just(Happens::Retire),]
    }

    fn happen(log: &mut Vec<Segment>, event: Happens) {
        let Some(active) = log.last_mut() else { return };
        match event {
            Happens::Append(bytes) => active.size += bytes,
            Happens::Roll if active.size > 0 => {
                active.is_closed = true;
                let base = active.base + 10;
                log.push(Segment { base, size: 0, is_closed: false });
            }
            Happens::Retire if log.len() > 1 => _ = log.remove(0),
            Happens::Roll | Happens::Retire => {}
        }
    }

    proptest! {
        #![proptest_config(cases(400))]

        /// However appends, rolls and retention fall between the steps, what is promoted is the current replica.
        #[test]
        fn what_is_promoted_is_the_whole_log(
            events in prop::collection::vec(happens(), 0..200),
            slice in 1..10 * MIB,
            left_behind in prop::collection::vec((0..20_i64, 0..3 * MIB), 0..3),
        ) {
            let mut current = log(&[(0, 30 * MIB), (10, MIB)]);
            let mut future = FutureReplica::new();
            let mut events = events.into_iter();
            for _ in 0..2000 {
                if !future.holds() && let Some(event) = events.next() {
                    happen(&mut current, event);
                }
                match next(&future, &current, true) {
                    Next::Survey => {
                        // The shell keeps only what is the same in both.
                        let same = |(base, size): &(i64, u64)| {
                            current.iter().any(|it| it.is_closed && it.base == *base && it.size == *size)
                        };
                        future.surveyed(left_behind.iter().copied().filter(same));
                    }
                    Next::Drop { base } => future.dropped(base),
                    Next::Copy { base, from, upto } => future.copied(base, upto.min(from + slice)),
                    Next::Finish { base } => future.finished(base),
                    Next::Checkpoint => future.checkpointed(),
                    Next::Hold => future.held(),
                    Next::Seal => future.sealed(),
                    Next::Assign => future.assigned(),
                    Next::Promote => break,
                    Next::Wait | Next::Revert => prop_assert!(false, "nothing is under way, nothing failed"),
                }
            }
            prop_assert_eq!(next(&future, &current, true), Next::Promote);
            let sizes: Vec<(i64, u64)> = future.segments.iter().map(|(base, it)| (*base, it.size)).collect();
            let expected: Vec<(i64, u64)> = current.iter().map(|it| (it.base, it.size)).collect();
            prop_assert_eq!(sizes, expected);
            let unfinished = current.iter().filter(|it| it.is_closed && !future.segments[&it.base].is_whole).count();
            prop_assert_eq!(unfinished, 0);
        }
    }
}
