//! `uniform` where all members subscribe to the same topics (Kafka's `UniformHomogeneousAssignmentBuilder`).
//!
//! Every member has a quota; it keeps what it has up to that, and what nobody has goes to those below theirs.

use std::collections::BTreeMap;

use wire::Uuid;

use super::{AssignorInput, Partitions, size_of};

pub(super) fn assign(input: &AssignorInput<'_>) -> Vec<Partitions> {
    let topics = &input.members[0].subscribed;
    let mut free = unassigned(input);
    let total: usize = topics.iter().map(|topic| size_of(&input.topics, topic) as usize).sum();
    let members = input.members.len();
    let quota = total / members;
    let mut extras = total % members;

    let mut assignment = Vec::with_capacity(members);
    let mut unfilled = Vec::new();
    for (index, member) in input.members.iter().enumerate() {
        let mut left = quota + usize::from(extras > 0);
        let mut takes_extra = extras > 0;
        let kept = keep(member.target, topics, &mut left, &mut free);
        // Whoever does not need its extra partition leaves it to others, unless there are as few others as extras.
        if left > 0 && takes_extra && members - index > extras {
            left -= 1;
            takes_extra = false;
        }
        if left > 0 {
            unfilled.push((index, left));
        }
        extras -= usize::from(takes_extra);
        assignment.push(kept);
    }

    let mut free = free.into_iter();
    for (index, left) in unfilled {
        for (topic, partition) in free.by_ref().take(left) {
            assignment[index].entry(topic).or_default().insert(partition);
        }
    }
    debug_assert!(free.next().is_none(), "quotas cover all partitions");
    assignment
}

/// The part of a member's target that fits its quota. The rest is free.
fn keep(target: &Partitions, topics: &[Uuid], left: &mut usize, free: &mut Vec<(Uuid, i32)>) -> Partitions {
    let mut kept = Partitions::new();
    for (topic, partitions) in target {
        if topics.binary_search(topic).is_err() {
            continue;
        }
        if partitions.len() <= *left {
            *left -= partitions.len();
            kept.insert(*topic, partitions.clone());
            continue;
        }
        let head = std::mem::take(left);
        if head > 0 {
            kept.insert(*topic, partitions.iter().copied().take(head).collect());
        }
        free.extend(partitions.iter().skip(head).map(|partition| (*topic, *partition)));
    }
    kept
}

/// Partitions of the topics that are nobody's target.
fn unassigned(input: &AssignorInput<'_>) -> Vec<(Uuid, i32)> {
    let topics = &input.members[0].subscribed;
    let mut taken: BTreeMap<Uuid, Vec<bool>> = BTreeMap::new();
    for topic in topics.iter() {
        taken.insert(*topic, vec![false; size_of(&input.topics, topic) as usize]);
    }
    for member in &input.members {
        for (topic, partitions) in member.target {
            let Some(taken) = taken.get_mut(topic) else { continue };
            for partition in partitions {
                if let Some(taken) = taken.get_mut(*partition as usize) {
                    *taken = true;
                }
            }
        }
    }
    let mut free = Vec::new();
    for topic in topics.iter() {
        for (partition, taken) in taken[topic].iter().enumerate() {
            if !taken {
                free.push((*topic, partition as i32));
            }
        }
    }
    free
}
