//! The judge of a consumer group: what its members said, in the order of the time that each line carries.

use std::collections::{BTreeMap, HashMap};

/// One line of a member, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Microseconds since 1970, of the member's own clock: all run on one machine.
    pub at: u64,
    /// Which process, by its number in [`History::members`].
    pub member: usize,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Assigned {
        generation: i32,
        partitions: Vec<u32>,
    },
    Revoked {
        partitions: Vec<u32>,
    },
    Lost {
        partitions: Vec<u32>,
    },
    Records {
        partition: u32,
        first: i64,
        last: i64,
    },
    Committed {
        partition: u32,
        offset: i64,
    },
    Trouble(String),
    /// It waits to be told to join.
    Ready,
    /// Another one has its instance id.
    Fenced,
    /// It was told to stop and is kcat, which may drop the record in its hand then although it commits its offset.
    StopsInHaste,
    /// Its process ended, in whichever way.
    Ended,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Two members say that they own a partition at the same time, and neither was told that it had lost it.
    OwnedTwice { partition: u32, members: (String, String) },
    /// Two members were given a partition in one generation.
    GivenTwice { partition: u32, generation: i32, members: (String, String) },
    /// A commit was acknowledged after a higher one had been.
    CommitWentBack { partition: u32, from: i64, to: i64 },
    /// A member began to read before an offset whose commit was acknowledged before it got the partition.
    ReadAgain { partition: u32, committed: i64, first: i64, member: String },
    /// Nobody read them.
    Missed { partition: u32, first: i64, last: i64 },
}

/// All that is known of one group.
#[derive(Debug, Default, Clone)]
pub(crate) struct History {
    /// Names of the processes. Static members that follow each other under one instance id have one name.
    pub members: Vec<String>,
    pub events: Vec<Event>,
}

/// From an assignment to its end.
struct Ownership {
    member: usize,
    generation: i32,
    from: u64,
    until: u64,
    /// The member did not give it up, it was told that it had lost it: the next owner may have come before.
    lost: bool,
}

impl History {
    /// `ends`: the log end offset of each partition up to which everything must have been read. `generations`: whether
    /// the numbers of assignments are generations of the group, as in the classic protocol; in the consumer protocol they are
    /// epochs of a member.
    pub(crate) fn judge(&self, ends: &[i64], generations: bool) -> Vec<Fault> {
        let mut events = self.events.clone();
        events.sort_by_key(|event| event.at);
        let mut faults = Vec::new();
        for (partition, owners) in self.ownerships(&events) {
            self.judge_owners(partition, &owners, generations, &mut faults);
        }
        self.judge_offsets(&events, &mut faults);
        judge_coverage(&events, ends, &mut faults);
        faults
    }

    fn ownerships(&self, events: &[Event]) -> BTreeMap<u32, Vec<Ownership>> {
        let mut owners: BTreeMap<u32, Vec<Ownership>> = BTreeMap::new();
        for Event { at, member, what } in events {
            let (ended, lost) = match what {
                What::Assigned { partitions, .. } | What::Revoked { partitions } => (partitions.clone(), false),
                What::Lost { partitions } => (partitions.clone(), true),
                What::Fenced | What::Ended => (owners.keys().copied().collect(), *what == What::Fenced),
                _ => continue,
            };
            for partition in ended {
                let of_partition = owners.entry(partition).or_default();
                for one in of_partition.iter_mut().filter(|one| one.member == *member && one.until == u64::MAX) {
                    (one.until, one.lost) = (*at, lost);
                }
                if let What::Assigned { generation, .. } = what {
                    let (member, generation, from) = (*member, *generation, *at);
                    of_partition.push(Ownership { member, generation, from, until: u64::MAX, lost: false });
                }
            }
        }
        owners
    }

    fn judge_owners(&self, partition: u32, owners: &[Ownership], generations: bool, faults: &mut Vec<Fault>) {
        for (number, one) in owners.iter().enumerate() {
            for other in &owners[number + 1..] {
                let members = || (self.members[one.member].clone(), self.members[other.member].clone());
                let same_name = self.members[one.member] == self.members[other.member];
                if other.from < one.until && one.member != other.member && !one.lost {
                    faults.push(Fault::OwnedTwice { partition, members: members() });
                }
                if generations && !same_name && one.generation >= 0 && one.generation == other.generation {
                    faults.push(Fault::GivenTwice { partition, generation: one.generation, members: members() });
                }
            }
        }
    }

    fn judge_offsets(&self, events: &[Event], faults: &mut Vec<Fault>) {
        let mut committed: HashMap<u32, i64> = HashMap::new();
        // What a member that has just got a partition must not read before.
        let mut begin: HashMap<(usize, u32), i64> = HashMap::new();
        for Event { member, what, .. } in events {
            match what {
                What::Assigned { partitions, .. } => {
                    for partition in partitions {
                        begin.insert((*member, *partition), committed.get(partition).copied().unwrap_or(0));
                    }
                }
                What::Records { partition, first, .. } => {
                    if let Some(committed) = begin.remove(&(*member, *partition)).filter(|committed| first < committed)
                    {
                        let (partition, first, member) = (*partition, *first, self.members[*member].clone());
                        faults.push(Fault::ReadAgain { partition, committed, first, member });
                    }
                }
                What::Committed { partition, offset } => {
                    let highest = committed.entry(*partition).or_insert(*offset);
                    if *offset < *highest {
                        faults.push(Fault::CommitWentBack { partition: *partition, from: *highest, to: *offset });
                    }
                    *highest = (*highest).max(*offset);
                }
                _ => {}
            }
        }
    }
}

fn judge_coverage(events: &[Event], ends: &[i64], faults: &mut Vec<Fault>) {
    let hasty = events.iter().filter(|event| event.what == What::StopsInHaste);
    let mut hasty: Vec<usize> = hasty.map(|event| event.member).collect();
    for (partition, end) in ends.iter().enumerate() {
        let partition = partition as u32;
        for (first, last) in holes(events, partition, *end) {
            // One record for each, right behind what it had read.
            let dropped_by = |member: &usize| first == last && last_read(events, *member, partition) == Some(first - 1);
            match hasty.iter().position(dropped_by) {
                Some(known) => {
                    hasty.swap_remove(known);
                }
                None => faults.push(Fault::Missed { partition, first, last }),
            }
        }
    }
}

fn last_read(events: &[Event], member: usize, of: u32) -> Option<i64> {
    let read = events.iter().filter(|event| event.member == member).filter_map(|event| match event.what {
        What::Records { partition, last, .. } if partition == of => Some(last),
        _ => None,
    });
    read.max()
}

/// The runs of offsets below `end` that nobody read.
pub(crate) fn holes(events: &[Event], partition: u32, end: i64) -> Vec<(i64, i64)> {
    let mut read: Vec<(i64, i64)> = Vec::new();
    for event in events {
        match event.what {
            What::Records { partition: of, first, last } if of == partition => read.push((first, last)),
            _ => {}
        }
    }
    read.sort_unstable();
    let (mut next, mut holes) = (0, Vec::new());
    for (first, last) in read {
        if first > next && next < end {
            holes.push((next, first.min(end) - 1));
        }
        next = next.max(last + 1);
    }
    if next < end {
        holes.push((next, end - 1));
    }
    holes
}

/// Offsets that were asked of the broker, in the order of asking.
pub(crate) fn went_back(answers: &[BTreeMap<u32, i64>]) -> Option<Fault> {
    for pair in answers.windows(2) {
        for (&partition, &from) in &pair[0] {
            // An offset that is gone went back further than any other.
            let to = pair[1].get(&partition).copied().unwrap_or(-1);
            if to < from {
                return Some(Fault::CommitWentBack { partition, from, to });
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(generation: i32) -> What {
        What::Assigned { generation, partitions: vec![0] }
    }

    fn revoked() -> What {
        What::Revoked { partitions: vec![0] }
    }

    fn read(first: i64, last: i64) -> What {
        What::Records { partition: 0, first, last }
    }

    fn committed(offset: i64) -> What {
        What::Committed { partition: 0, offset }
    }

    /// What two members, `a` (0) and `b` (1), say one after the other.
    fn faults(said: &[(usize, What)], end: i64) -> Vec<Fault> {
        let events = said.iter().enumerate();
        let events = events.map(|(at, (member, what))| Event { at: at as u64, member: *member, what: what.clone() });
        History { members: vec!["a".into(), "b".into()], events: events.collect() }.judge(&[end], true)
    }

    fn both() -> (String, String) {
        ("a".into(), "b".into())
    }

    #[test]
    fn a_partition_that_is_handed_over_has_one_owner() {
        let handed = [(0, assigned(1)), (0, read(0, 4)), (0, committed(5)), (0, revoked())];
        let taken = [(1, assigned(2)), (1, read(5, 9)), (1, committed(10)), (1, What::Ended), (0, assigned(3))];
        assert_eq!(faults(&[&handed[..], &taken[..]].concat(), 10), []);
    }

    #[test]
    fn two_owners_are_found() {
        let twice = Fault::OwnedTwice { partition: 0, members: both() };
        assert_eq!(faults(&[(0, assigned(1)), (1, assigned(2)), (0, revoked())], 0), [twice]);
        let given = Fault::GivenTwice { partition: 0, generation: 1, members: both() };
        assert_eq!(faults(&[(0, assigned(1)), (0, revoked()), (1, assigned(1))], 0), [given]);
    }

    #[test]
    fn a_member_that_was_thrown_out_hears_of_it_late() {
        let lost = What::Lost { partitions: vec![0] };
        assert_eq!(faults(&[(0, assigned(1)), (1, assigned(2)), (0, lost)], 0), []);
        assert_eq!(faults(&[(0, assigned(1)), (1, assigned(2)), (0, What::Fenced)], 0), []);
        assert_eq!(faults(&[(0, assigned(1)), (1, assigned(2)), (0, What::Ended)], 0).len(), 1);
    }

    #[test]
    fn offsets_that_go_back_are_found() {
        let back = Fault::CommitWentBack { partition: 0, from: 5, to: 4 };
        assert_eq!(faults(&[(0, committed(5)), (1, committed(4)), (1, committed(5))], 0), [back]);
        let again = Fault::ReadAgain { partition: 0, committed: 5, first: 3, member: "a".into() };
        assert_eq!(faults(&[(0, read(0, 4)), (0, committed(5)), (0, assigned(1)), (0, read(3, 5))], 6), [again]);
        assert_eq!(faults(&[(0, assigned(1)), (0, committed(5)), (0, read(3, 5)), (0, read(0, 2))], 6), []);
        let answers = [BTreeMap::from([(0, 5)]), BTreeMap::from([(0, 5), (1, 3)]), BTreeMap::from([(0, 5)])];
        assert_eq!(went_back(&answers[..2]), None);
        assert_eq!(went_back(&answers), Some(Fault::CommitWentBack { partition: 1, from: 3, to: -1 }));
    }

    #[test]
    fn records_that_nobody_read_are_found() {
        let missed = |first, last| Fault::Missed { partition: 0, first, last };
        assert_eq!(faults(&[(0, read(2, 3)), (1, read(3, 5))], 8), [missed(0, 1), missed(6, 7)]);
        assert_eq!(faults(&[(0, read(0, 9)), (1, read(12, 13))], 11), [missed(10, 10)]);
    }

    #[test]
    fn a_hasty_member_may_drop_the_one_record_in_its_hand() {
        let missed = |first, last| Fault::Missed { partition: 0, first, last };
        let dropped = [(0, read(0, 4)), (0, What::StopsInHaste), (1, read(6, 9))];
        assert_eq!(faults(&dropped, 10), []);
        assert_eq!(faults(&dropped, 11), [missed(10, 10)]);
        assert_eq!(faults(&[(0, read(0, 4)), (0, What::StopsInHaste), (1, read(7, 9))], 10), [missed(5, 6)]);
        assert_eq!(faults(&[(1, read(0, 4)), (0, What::StopsInHaste), (1, read(6, 9))], 10), [missed(5, 5)]);
    }
}
