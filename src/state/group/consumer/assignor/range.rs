//! `range` (Kafka's `RangeAssignor`): each topic is cut into as many ranges as it has subscribers, the longer ones first.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use wire::Uuid;

use super::{AssignorInput, AssignorMember, Partitions, size_of};

/// What is left of a topic while its subscribers take their turns.
struct Cut {
    size: i32,
    quota: i32,
    /// So many of the next subscribers get one more.
    extra: i32,
    next: i32,
}

pub(super) fn assign(input: &AssignorInput<'_>) -> Vec<Partitions> {
    let mut subscribers: BTreeMap<Uuid, i32> = BTreeMap::new();
    for member in &input.members {
        for topic in member.subscribed.iter() {
            *subscribers.entry(*topic).or_default() += 1;
        }
    }
    let mut cuts: BTreeMap<Uuid, Cut> = BTreeMap::new();
    for (topic, count) in subscribers {
        let size = size_of(&input.topics, &topic);
        cuts.insert(topic, Cut { size, quota: size / count, extra: size % count, next: 0 });
    }
    let mut order: Vec<usize> = (0..input.members.len()).collect();
    order.sort_by(|a, b| turn(&input.members[*a], &input.members[*b]));
    let mut assignment = vec![Partitions::new(); input.members.len()];
    for index in order {
        for topic in input.members[index].subscribed.iter() {
            let Some(cut) = cuts.get_mut(topic) else { continue };
            let start = cut.next;
            cut.next = (start + cut.quota + i32::from(cut.extra > 0)).min(cut.size);
            cut.extra -= i32::from(cut.extra > 0);
            if start < cut.next {
                assignment[index].insert(*topic, (start..cut.next).collect());
            }
        }
    }
    assignment
}

/// Static members come first, by instance: their names outlive a restart, and so do their ranges.
fn turn(a: &AssignorMember<'_>, b: &AssignorMember<'_>) -> Ordering {
    match (a.instance, b.instance) {
        (Some(a), Some(b)) => order_of_java(a, b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => order_of_java(a.id, b.id),
    }
}

/// Java compares the units of UTF-16.
fn order_of_java(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}
