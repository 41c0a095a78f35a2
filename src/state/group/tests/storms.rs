//! Anything, in any order: what holds all the same.

use super::*;
use crate::testing::cases;
use proptest::prelude::*;

/// What the members of a storm know, and what was promised to them.
struct Storm {
    shell: Shell,
    /// Ids that were heard of, and the instance where it is one's.
    ids: Vec<(String, Option<String>)>,
    /// Who was told to assign in each generation.
    leaders: BTreeMap<i32, String>,
    generation: i32,
    syncs: BTreeMap<Waiting, i32>,
    committed: BTreeMap<i32, i64>,
}

fn storm() -> Storm {
    Storm {
        shell: Shell::new(),
        ids: Vec::new(),
        leaders: BTreeMap::new(),
        generation: 0,
        syncs: BTreeMap::new(),
        committed: BTreeMap::new(),
    }
}

impl Storm {
    fn step(&mut self, (what, who, number): (u8, u8, u8)) {
        let (id, instance) = match self.ids.len() {
            0 => ("nobody".into(), None),
            count => self.ids[usize::from(who) % count].clone(),
        };
        let name = format!("c{}", who % 4);
        let generation = self.generation - i32::from(number.is_multiple_of(5));
        match what {
            0 => drop(self.shell.join(Join { takes_member_id: !number.is_multiple_of(3), ..join(&name) })),
            1 => {
                let instance = Some(format!("i{}", who % 3));
                self.shell.join(Join { instance, takes_skipping: true, ..join(&name) });
            }
            2 | 3 => {
                let topics: &[&str] = if number.is_multiple_of(4) { &["t", "u"] } else { &["t"] };
                let protocols = vec![("range".into(), subscription(topics))];
                self.shell.join(Join { instance, protocols, takes_skipping: true, ..rejoin(&id) });
            }
            4..=6 => self.sync(generation, &id, instance),
            7 => self.heartbeat(generation, &id),
            8 => self.leave(&id, instance),
            9 => self.commit(generation, &id, number),
            10 => self.shell.pass(u64::from(number) * 20),
            11 => self.shell.pass(u64::from(number) * 300),
            12 => self.delete(),
            13 => self.shell.event(|groups, cx| groups.expire_offsets(cx)),
            _ => self.restart(),
        }
        self.hear();
        self.check();
    }

    /// Everybody assigns as if it led; what each gets says of which generation it is.
    fn sync(&mut self, generation: i32, id: &str, instance: Option<String>) {
        let word = generation.to_string();
        let ids: Vec<(&str, &str)> = self.ids.iter().map(|(id, _)| (id.as_str(), word.as_str())).collect();
        let waiting = self.shell.sync(Sync { instance, ..sync(generation, id, &ids) });
        self.syncs.insert(waiting, generation);
    }

    fn heartbeat(&mut self, generation: i32, id: &str) {
        let said = self.shell.heartbeat(generation, id);
        assert!(said != "ok" || generation == self.generation, "a member of two generations");
    }

    fn leave(&mut self, id: &str, instance: Option<String>) {
        let members = vec![LeavingMember { member: id.into(), instance, reason: None }];
        self.shell.now(Request::Leave(Leave { members, ..leave(&[]) }));
    }

    fn commit(&mut self, generation: i32, id: &str, number: u8) {
        let offset = self.shell.asked as i64;
        let by_nobody = number.is_multiple_of(2);
        let mut request = if by_nobody { commit(-1, "", offset) } else { commit(generation, id, offset) };
        let index = i32::from(number % 3);
        request.topics[0].partitions[0].index = index;
        if self.shell.commit(request) == format!("t-{index}") {
            self.committed.insert(index, offset);
        }
    }

    fn delete(&mut self) {
        if self.shell.now(Request::Delete { group: G.into() }) == "ok" {
            self.committed.clear();
        }
    }

    /// Generations that were not written are forgotten, with what was said in them.
    fn restart(&mut self) {
        self.shell.restart();
        self.leaders.clear();
        self.syncs.clear();
        self.generation = 0;
    }

    /// Takes the answers that came.
    fn hear(&mut self) {
        for (waiting, reply) in std::mem::take(&mut self.shell.answers) {
            match reply {
                Reply::Joined(joined) => self.hear_joined(joined),
                Reply::Synced(Ok(synced)) => {
                    let word = String::from_utf8(synced.assignment).expect("a number");
                    assert!(word.is_empty() || word == self.syncs[&waiting].to_string(), "of another generation");
                }
                _ => {}
            }
        }
    }

    fn hear_joined(&mut self, joined: Joined) {
        let is_id = joined.error.is_none() || joined.error == Some(GroupError::MemberIdRequired);
        if is_id && !self.ids.iter().any(|(id, _)| *id == joined.member) {
            let instance = joined.member.starts_with('i').then(|| joined.member[..2].to_owned());
            self.ids.push((joined.member.clone(), instance));
        }
        if joined.error.is_none() && !joined.members.is_empty() && !joined.skip_assignment {
            let leader = self.leaders.entry(joined.generation).or_insert_with(|| joined.member.clone());
            assert_eq!(*leader, joined.member, "two leaders of generation {}", joined.generation);
            assert!(joined.members.iter().any(|member| member.member == joined.leader));
        }
    }

    fn check(&mut self) {
        match self.shell.groups.generation_of(G) {
            Some(generation) => {
                assert!(generation >= self.generation, "the generation went back");
                self.generation = generation;
            }
            None => {
                self.generation = 0;
                self.leaders.clear();
            }
        }
        let expected: Vec<String> =
            self.committed.iter().map(|(index, offset)| format!("t-{index} {offset} 5 \"m\"")).collect();
        assert_eq!(self.shell.fetch(None), expected.join(", "));
        self.check_log();
    }

    /// What is read back from the log is what is here, as far as it was settled.
    fn check_log(&self) {
        let (live, read) = (&self.shell.groups, replayed(&self.shell.log));
        assert_eq!(live.offsets, read.offsets);
        assert_eq!(live.groups.len(), read.groups.len());
        let (Some(groups::Group::Classic(live)), Some(groups::Group::Classic(read))) =
            (live.groups.get(G), read.groups.get(G))
        else {
            return;
        };
        assert!(read.generation <= live.generation);
        if ["Stable", "Empty"].contains(&self.shell.state()) {
            let (mut live, mut read) = (live.value(), read.value());
            if self.shell.state() == "Stable" {
                // Since when it is stable is not written.
                (live.current_state_timestamp, read.current_state_timestamp) = (0, 0);
            }
            assert_eq!(live, read);
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn groups_hold_what_they_promise(steps in prop::collection::vec((0..15_u8, any::<u8>(), any::<u8>()), 1..120)) {
        let mut storm = storm();
        for step in steps {
            storm.step(step);
        }
        // Whoever waits is answered when all sessions and rebalances are over.
        storm.shell.pass(3_600_000);
        storm.hear();
        prop_assert!(storm.shell.open.is_empty());
        prop_assert_eq!(storm.shell.groups.next_deadline_ms(), None);
        storm.check();
    }
}
