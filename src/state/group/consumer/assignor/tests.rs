use std::time::Instant;

use super::*;

/// The same numbers for the same seed.
pub(in crate::group::consumer) struct Random(pub(in crate::group::consumer) u64);

impl Random {
    pub(in crate::group::consumer) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(in crate::group::consumer) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A group to assign for: members with instance, topics and target.
#[derive(Debug, Clone)]
pub(in crate::group::consumer) struct Case {
    assignor: Assignor,
    pub(in crate::group::consumer) homogeneous: bool,
    topics: TopicSizes,
    members: BTreeMap<String, (Option<String>, BTreeSet<Uuid>, Partitions)>,
}

impl Case {
    /// Topics have small ids: then the sets that Java walks are in the order of the ids, and its result is determined.
    pub(in crate::group::consumer) fn random(random: &mut Random) -> Self {
        let topics: TopicSizes =
            (1..=1 + random.below(8)).map(|id| (Uuid(u128::from(id)), 1 + random.below(9) as i32)).collect();
        let homogeneous = random.below(2) == 0;
        let mut members = BTreeMap::new();
        for _ in 0..1 + random.below(9) {
            let id = format!("m{}", random.below(100));
            let instance = (random.below(3) == 0).then(|| format!("i{}-{id}", random.below(100)));
            let wants = |_: &&Uuid| homogeneous || random.below(2) == 0;
            let subscribed: BTreeSet<Uuid> = topics.keys().filter(wants).copied().collect();
            members.insert(id, (instance, subscribed, Partitions::new()));
        }
        // Targets as an earlier assignment may have left them: of other topics, too, and not of all partitions.
        let ids: Vec<String> = members.keys().cloned().collect();
        let skew = 1 + random.below(ids.len() as u64);
        for (topic, size) in topics.iter().map(|(topic, size)| (*topic, *size)).chain([(Uuid(9), 2)]) {
            for partition in 0..size {
                if random.below(3) > 0 {
                    let member = &ids[random.below(skew) as usize];
                    let target = &mut members.get_mut(member).expect("a member").2;
                    target.entry(topic).or_default().insert(partition);
                }
            }
        }
        let assignor = if random.below(3) == 0 { Assignor::Range } else { Assignor::Uniform };
        Self { assignor, homogeneous, topics, members }
    }

    fn assign(&self) -> Vec<Partitions> {
        let member =
            |(id, (instance, subscribed, target)): (&'_ String, &'_ (Option<String>, BTreeSet<Uuid>, Partitions))| {
                (id.clone(), instance.clone(), subscribed.iter().copied().collect::<Rc<[Uuid]>>(), target.clone())
            };
        let owned: Vec<_> = self.members.iter().map(member).collect();
        let members = owned.iter().map(|(id, instance, subscribed, target)| AssignorMember {
            id,
            instance: instance.as_deref(),
            subscribed: Rc::clone(subscribed),
            target,
        });
        let input =
            AssignorInput { members: members.collect(), homogeneous: self.homogeneous, topics: self.topics.clone() };
        self.assignor.assign(&input)
    }

    /// What each member gets, as the oracle says it.
    pub(in crate::group::consumer) fn answer(&self) -> String {
        let texts = self.members.keys().zip(self.assign()).map(|(id, given)| format!("{id}:{}", text(&given)));
        texts.collect::<Vec<_>>().join(" ")
    }

    /// The question to the oracle.
    pub(in crate::group::consumer) fn line(&self) -> String {
        let assignor = if self.assignor == Assignor::Range { "range" } else { "uniform" };
        let kind = if self.homogeneous { "homogeneous" } else { "heterogeneous" };
        let sizes: Vec<String> = self.topics.iter().map(|(topic, size)| format!("{}:{size}", topic.0)).collect();
        let member =
            |(id, (instance, subscribed, target)): (&String, &(Option<String>, BTreeSet<Uuid>, Partitions))| {
                let topics: Vec<String> = subscribed.iter().map(|topic| topic.0.to_string()).collect();
                let instance = instance.as_deref().unwrap_or_default();
                format!("{id};{instance};{};{}", topics.join(","), text(target))
            };
        let members: Vec<String> = self.members.iter().map(member).collect();
        format!("{assignor}\t{kind}\t{}\t{}", sizes.join(","), members.join(" "))
    }
}

fn text(partitions: &Partitions) -> String {
    let topic = |(topic, partitions): (&Uuid, &BTreeSet<i32>)| {
        let partitions: Vec<String> = partitions.iter().map(i32::to_string).collect();
        format!("{}={}", topic.0, partitions.join(","))
    };
    partitions.iter().map(topic).collect::<Vec<_>>().join("+")
}

fn loads(given: &[Partitions]) -> Vec<usize> {
    given.iter().map(|given| given.values().map(BTreeSet::len).sum()).collect()
}

/// A group of members `m000` and so on without targets.
fn group(assignor: Assignor, sizes: &[i32], members: usize, homogeneous: bool) -> Case {
    let topics: TopicSizes = sizes.iter().enumerate().map(|(index, size)| (Uuid(index as u128 + 1), *size)).collect();
    let all: BTreeSet<Uuid> = topics.keys().copied().collect();
    let member = |index: usize| (format!("m{index:03}"), (None, all.clone(), Partitions::new()));
    Case { assignor, homogeneous, topics, members: (0..members).map(member).collect() }
}

#[test]
fn every_partition_goes_to_one_subscriber() {
    let mut random = Random(3);
    for _ in 0..2_000 {
        let case = Case::random(&mut random);
        let given = case.assign();
        let mut seen = BTreeSet::new();
        for ((_, (_, subscribed, _)), given) in case.members.iter().zip(&given) {
            for (topic, partitions) in given {
                assert!(subscribed.contains(topic) && !partitions.is_empty());
                assert!(partitions.iter().all(|partition| seen.insert((*topic, *partition))));
            }
        }
        let wanted: BTreeSet<&Uuid> = case.members.values().flat_map(|(_, subscribed, _)| subscribed).collect();
        let expected: i32 = wanted.iter().map(|topic| case.topics[topic]).sum();
        assert_eq!(seen.len(), expected as usize, "{}", case.line());
    }
}

#[test]
fn uniform_is_even_and_moves_no_more_than_it_has_to() {
    let mut random = Random(4);
    for _ in 0..2_000 {
        let mut case = Case::random(&mut random);
        case.assignor = Assignor::Uniform;
        let given = case.assign();
        let loads = loads(&given);
        if case.homogeneous {
            assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{}", case.line());
        }
        // Once more, from there: nothing moves.
        for (member, given) in case.members.values_mut().zip(&given) {
            member.2 = given.clone();
        }
        assert_eq!(case.assign(), given, "{}", case.line());
    }
}

#[test]
fn range_gives_the_same_range_of_each_topic() {
    let case = group(Assignor::Range, &[5, 5], 3, true);
    assert_eq!(case.answer(), "m000:1=0,1+2=0,1 m001:1=2,3+2=2,3 m002:1=4+2=4");
}

#[test]
fn range_puts_static_members_first_by_instance() {
    let mut case = group(Assignor::Range, &[4], 4, true);
    case.members.get_mut("m003").unwrap().0 = Some("a".into());
    case.members.get_mut("m001").unwrap().0 = Some("b".into());
    assert_eq!(case.answer(), "m000:1=2 m001:1=1 m002:1=3 m003:1=0");
}

#[test]
fn a_thousand_members_and_two_thousand_partitions_are_a_matter_of_milliseconds() {
    for (homogeneous, assignor) in [(true, Assignor::Uniform), (false, Assignor::Uniform), (true, Assignor::Range)] {
        let mut case = group(assignor, &[100; 20], 1_000, homogeneous);
        let begin = Instant::now();
        let given = case.assign();
        println!("{assignor:?}, homogeneous {homogeneous}: {:?}", begin.elapsed());
        assert_eq!(loads(&given).iter().sum::<usize>(), 2_000);
        // One more comes: it gets its part, and only that moves.
        for (member, given) in case.members.values_mut().zip(given) {
            member.2 = given;
        }
        let newcomer = case.members["m000"].clone();
        case.members.insert("n".into(), (None, newcomer.1, Partitions::new()));
        let begin = Instant::now();
        case.assign();
        println!("  and again with one more: {:?}", begin.elapsed());
        // Far above what it takes, for slow and busy machines: it is not quadratic.
        assert!(begin.elapsed().as_millis() < 5_000);
    }
}
