//! The judge of a crash test: what was acknowledged against what can be read afterwards.

use std::collections::HashMap;

/// One acknowledged write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ack {
    pub partition: u32,
    pub offset: i64,
    pub value: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Acknowledged, and now there is nothing at its offset.
    Lost(Ack),
    /// Acknowledged, and now another value is at its offset.
    Replaced { acked: Ack, found: String },
    /// Two values were acknowledged at one offset.
    OffsetTwice { first: Ack, second: String },
    /// One value is at two offsets although the producer was idempotent.
    ValueTwice { value: String, partition: u32, offsets: (i64, i64) },
    /// An offset came twice, or one is missing in between.
    Gap { partition: u32, expected: i64, found: i64 },
}

/// `read` is everything in the log as (partition, offset, value), by partition and offset.
pub(crate) fn judge(acks: &[Ack], read: &[(u32, i64, String)]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at: HashMap<(u32, i64), &str> = HashMap::new();
    let mut places: HashMap<(u32, &str), i64> = HashMap::new();
    let mut next: HashMap<u32, i64> = HashMap::new();
    for (partition, offset, value) in read {
        let expected = next.entry(*partition).or_insert(0);
        if *expected != *offset {
            faults.push(Fault::Gap { partition: *partition, expected: *expected, found: *offset });
        }
        *expected = offset + 1;
        at.insert((*partition, *offset), value);
        if let Some(earlier) = places.insert((*partition, value), *offset) {
            let offsets = (earlier, *offset);
            faults.push(Fault::ValueTwice { value: value.clone(), partition: *partition, offsets });
        }
    }
    let mut acked: HashMap<(u32, i64), &Ack> = HashMap::new();
    for ack in acks {
        match at.get(&(ack.partition, ack.offset)) {
            None => faults.push(Fault::Lost(ack.clone())),
            Some(found) if **found != ack.value => {
                faults.push(Fault::Replaced { acked: ack.clone(), found: (*found).to_owned() });
            }
            Some(_) => {}
        }
        if let Some(first) = acked.insert((ack.partition, ack.offset), ack) {
            faults.push(Fault::OffsetTwice { first: first.clone(), second: ack.value.clone() });
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(offset: i64, value: &str) -> Ack {
        Ack { partition: 2, offset, value: value.to_owned() }
    }

    fn log(values: &[&str]) -> Vec<(u32, i64, String)> {
        values.iter().enumerate().map(|(offset, value)| (2, offset as i64, (*value).to_owned())).collect()
    }

    #[test]
    fn what_was_never_acknowledged_may_be_there_or_not() {
        assert_eq!(judge(&[ack(0, "a"), ack(2, "c")], &log(&["a", "b", "c", "d"])), []);
    }

    #[test]
    fn each_fault_is_found() {
        let log_of_two = log(&["a", "b"]);
        assert_eq!(judge(&[ack(2, "c")], &log_of_two), [Fault::Lost(ack(2, "c"))]);
        assert_eq!(judge(&[ack(1, "c")], &log_of_two), [Fault::Replaced { acked: ack(1, "c"), found: "b".into() }]);
        let twice = judge(&[ack(1, "b"), ack(1, "b")], &log_of_two);
        assert_eq!(twice, [Fault::OffsetTwice { first: ack(1, "b"), second: "b".into() }]);
        let again = judge(&[], &log(&["a", "b", "a"]));
        assert_eq!(again, [Fault::ValueTwice { value: "a".into(), partition: 2, offsets: (0, 2) }]);
        let mut gap = log(&["a", "b", "c"]);
        gap.remove(1);
        assert_eq!(judge(&[], &gap), [Fault::Gap { partition: 2, expected: 1, found: 2 }]);
    }
}
