//! `uniform` where members subscribe to different topics (Kafka's `UniformHeterogeneousAssignmentBuilder`).
//!
//! First everybody keeps what it still subscribes to; then what nobody has goes to the least loaded subscribers of its
//! topic; then, topic by topic, partitions move from the most to the least loaded subscribers, for as long as that helps.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use wire::Uuid;

use super::{AssignorInput, Partitions, size_of};

/// Moving within one topic unbalances others, so all topics are gone through again, but not for ever.
const ROUNDS_MAX: usize = 16;

const NOBODY: usize = usize::MAX;

struct Topic {
    id: Uuid,
    /// Indexes of members, ascending.
    subscribers: Vec<usize>,
    /// The member that each partition goes to.
    owners: Vec<usize>,
}

struct Plan {
    /// Those first that are the hardest to spread.
    topics: Vec<Topic>,
    /// How many partitions each member has, of all topics.
    loads: Vec<usize>,
}

pub(super) fn assign(input: &AssignorInput<'_>) -> Vec<Partitions> {
    let mut plan = Plan::new(input);
    plan.assign_unowned();
    plan.balance();
    let mut assignment = vec![Partitions::new(); input.members.len()];
    for topic in &plan.topics {
        for (partition, owner) in topic.owners.iter().enumerate() {
            if let Some(assignment) = assignment.get_mut(*owner) {
                assignment.entry(topic.id).or_default().insert(partition as i32);
            }
        }
    }
    assignment
}

impl Plan {
    fn new(input: &AssignorInput<'_>) -> Self {
        let mut topics: BTreeMap<Uuid, Topic> = BTreeMap::new();
        for (index, member) in input.members.iter().enumerate() {
            for id in member.subscribed.iter() {
                let owners = || vec![NOBODY; size_of(&input.topics, id) as usize];
                let topic =
                    topics.entry(*id).or_insert_with(|| Topic { id: *id, subscribers: vec![], owners: owners() });
                topic.subscribers.push(index);
            }
        }
        let mut loads = vec![0; input.members.len()];
        for (index, member) in input.members.iter().enumerate() {
            for (id, partitions) in member.target {
                if member.subscribed.binary_search(id).is_err() {
                    continue;
                }
                let Some(topic) = topics.get_mut(id) else { continue };
                for partition in partitions {
                    if let Some(owner) = topic.owners.get_mut(*partition as usize)
                        && *owner == NOBODY
                    {
                        *owner = index;
                        loads[index] += 1;
                    }
                }
            }
        }
        let mut topics: Vec<Topic> = topics.into_values().collect();
        topics.sort_by(harder);
        Self { topics, loads }
    }

    fn assign_unowned(&mut self) {
        for topic in &mut self.topics {
            if !topic.owners.contains(&NOBODY) {
                continue;
            }
            let mut ladder = Ladder::new(&topic.subscribers, &self.loads);
            for owner in topic.owners.iter_mut().filter(|owner| **owner == NOBODY) {
                *owner = ladder.least_loaded(&self.loads);
                self.loads[*owner] += 1;
            }
        }
    }

    /// Ends when a whole round has moved nothing.
    fn balance(&mut self) {
        let mut shared: Vec<&mut Topic> = self.topics.iter_mut().filter(|topic| topic.subscribers.len() >= 2).collect();
        let mut last_moved = None;
        for _ in 0..ROUNDS_MAX {
            for (index, topic) in shared.iter_mut().enumerate() {
                if last_moved == Some(index) {
                    return;
                }
                if balance_topic(topic, &mut self.loads) || last_moved.is_none() {
                    last_moved = Some(index);
                }
            }
        }
    }
}

/// More partitions for each subscriber come first, then fewer subscribers, then the id as Java compares it.
fn harder(a: &Topic, b: &Topic) -> Ordering {
    let per_subscriber = |topic: &Topic| topic.owners.len() as f64 / topic.subscribers.len() as f64;
    (per_subscriber(b).total_cmp(&per_subscriber(a)))
        .then(a.subscribers.len().cmp(&b.subscribers.len()))
        .then(signed(a.id).cmp(&signed(b.id)))
}

/// Java has signed longs only.
fn signed(id: Uuid) -> (i64, i64) {
    ((id.0 >> 64) as i64, id.0 as i64)
}

/// Moves partitions of one topic from its most to its least loaded subscribers. Whether any moved.
fn balance_topic(topic: &mut Topic, loads: &mut [usize]) -> bool {
    let mut ladder = Ladder::new(&topic.subscribers, loads);
    if ladder.is_level(loads) {
        return false;
    }
    let mut owned: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (partition, owner) in topic.owners.iter().enumerate() {
        owned.entry(*owner).or_default().push(partition);
    }
    let mut moved = false;
    while !ladder.is_balanced() {
        let Some(partition) = ladder.most_loaded_gives(loads, &mut owned) else { break };
        let to = ladder.least_loaded(loads);
        if ladder.is_balanced() {
            break;
        }
        loads[topic.owners[partition]] -= 1;
        loads[to] += 1;
        topic.owners[partition] = to;
        moved = true;
    }
    moved
}

/// The subscribers of a topic by load. From the lower end partitions are given, one to each of the lowest step until the
/// step is as high as the next; from the upper end they are taken in the same way.
struct Ladder {
    /// Members, the least loaded first.
    members: Vec<usize>,
    low: Step,
    high: Step,
}

/// Members `start..end` of the ladder, which are as loaded as `level` says, but for those that had their turn since.
struct Step {
    start: usize,
    end: usize,
    level: i64,
    /// How many of them are still to have their turn.
    turns: usize,
}

impl Ladder {
    /// `subscribers` is not empty.
    fn new(subscribers: &[usize], loads: &[usize]) -> Self {
        let mut members = subscribers.to_vec();
        members.sort_by_key(|member| (loads[*member], *member));
        let count = members.len();
        let (least, most) = (loads[members[0]] as i64, loads[members[count - 1]] as i64);
        Self {
            members,
            low: Step { start: 0, end: 0, level: least - 1, turns: 0 },
            high: Step { start: count, end: count, level: most + 1, turns: 0 },
        }
    }

    fn is_level(&self, loads: &[usize]) -> bool {
        loads[self.members[self.members.len() - 1]] - loads[self.members[0]] <= 1
    }

    fn is_balanced(&self) -> bool {
        self.high.level - self.low.level <= 1
    }

    /// Who gets the next partition.
    fn least_loaded(&mut self, loads: &[usize]) -> usize {
        let low = &mut self.low;
        if low.turns == 0 {
            low.level += 1;
            while low.end < self.members.len() && loads[self.members[low.end]] as i64 == low.level {
                low.end += 1;
            }
            low.turns = low.end;
        }
        low.turns -= 1;
        self.members[low.end - 1 - low.turns]
    }

    /// The partition that the most loaded member has to give, of those in `owned`. Who has none is left out from then on.
    fn most_loaded_gives(&mut self, loads: &[usize], owned: &mut BTreeMap<usize, Vec<usize>>) -> Option<usize> {
        loop {
            let index = self.most_loaded(loads)?;
            let member = self.members[index];
            if let Some(partition) = owned.get_mut(&member).and_then(Vec::pop) {
                return Some(partition);
            }
            self.members.swap(index, self.high.end - 1);
            self.high.end -= 1;
        }
    }

    fn most_loaded(&mut self, loads: &[usize]) -> Option<usize> {
        let high = &mut self.high;
        if high.turns == 0 {
            if high.end <= high.start && high.start > 0 {
                // All of the step were left out. The next one is wherever the next member is.
                high.level = loads[self.members[high.start - 1]] as i64;
            } else {
                high.level -= 1;
            }
            while high.start > 0 && loads[self.members[high.start - 1]] as i64 == high.level {
                high.start -= 1;
            }
            high.turns = high.end.saturating_sub(high.start);
            if high.turns == 0 {
                return None;
            }
        }
        high.turns -= 1;
        Some(high.start + high.turns)
    }
}
