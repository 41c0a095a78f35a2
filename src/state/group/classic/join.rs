//! JoinGroup.

use std::sync::Arc;

use super::super::groups::Turn;
use super::super::{GroupError, Join, Joined, Reply, Waiting};
use super::member::Member;
use super::{Due, Group, State, after, timer};

/// A new member does not know its id and cannot heartbeat while its join waits, so that nobody would notice if it were
/// gone. After this time it has to ask again.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1000;

impl Group {
    pub(crate) fn join(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, join: Join) {
        if !self.has_room_for(turn, &join.member) {
            self.remove(turn, &join.member);
            refuse(turn, waiting, "", GroupError::GroupMaxSizeReached);
        } else if !self.supports(&join) {
            refuse(turn, waiting, &join.member, GroupError::InconsistentProtocol);
        } else if join.member.is_empty() {
            self.join_new(turn, waiting, join);
        } else {
            self.join_known(turn, waiting, join);
        }
    }

    /// While members join, those who did are counted and not those who may: after the size was lowered, the last ones to
    /// come find no room.
    fn has_room_for(&self, turn: &Turn<'_, '_>, member: &str) -> bool {
        let members_max = turn.cx.settings.members_max;
        let known = self.members.get(member);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                known.is_some_and(|member| member.joining.is_some()) || self.joining_count < members_max
            }
            State::CompletingRebalance | State::Stable => known.is_some() || self.members.len() < members_max,
        }
    }

    /// Whether a member of these protocols has one in common with all others.
    fn supports(&self, join: &Join) -> bool {
        if self.is_empty() {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        let by_all = |name: &str| self.supported.get(name).copied().unwrap_or(0) == self.members.len();
        self.protocol_type.as_ref() == Some(&join.protocol_type) && join.protocols.iter().any(|(name, _)| by_all(name))
    }

    fn join_new(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, join: Join) {
        let prefix = join.instance.as_deref().unwrap_or(&join.client.id);
        let id: Arc<str> = format!("{prefix}-{}", java_text((turn.cx.chance)().0)).into();
        let known = join.instance.as_deref().and_then(|instance| self.instances.get(instance)).cloned();
        if let Some(known) = known {
            self.replace_static(turn, waiting, join, &known, &id);
        } else if join.instance.is_none() && join.takes_member_id {
            let session = self.pending.entry(Arc::clone(&id)).or_default();
            let at_ms = after(turn.cx.now_ms, join.session_timeout_ms);
            turn.timers.set(session, at_ms, || timer(&self.id, Due::Session(Arc::clone(&id))));
            refuse(turn, waiting, &id, GroupError::MemberIdRequired);
        } else {
            self.add_joining(turn, waiting, join, &id);
        }
    }

    fn join_known(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, join: Join) {
        if self.pending.contains_key(&*join.member) {
            // Ids are given out to dynamic members only.
            if join.instance.is_some() {
                return refuse(turn, waiting, &join.member, GroupError::UnknownMember);
            }
            let id = Arc::from(join.member.as_str());
            return self.add_joining(turn, waiting, join, &id);
        }
        if let Err(error) = self.check_member(&join.member, join.instance.as_deref()) {
            return refuse(turn, waiting, &join.member, error);
        }
        let is_same = self.members.get(&*join.member).is_some_and(|member| member.protocols == join.protocols);
        let is_leader = self.is_leader(&join.member);
        match self.state {
            // A group without members knows none.
            State::Empty => refuse(turn, waiting, &join.member, GroupError::UnknownMember),
            // Perhaps it did not hear the answer.
            State::CompletingRebalance if is_same => self.tell_generation(turn, waiting, &join.member, is_leader),
            // It may sync and gets what it has. The leader rejoins because something else has changed, as the topics.
            State::Stable if is_same && !is_leader => self.tell_generation(turn, waiting, &join.member, false),
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                let id = join.member.clone();
                self.update(&id, join);
                self.park_join(turn, &id, waiting);
                self.rebalance_or_complete_join(turn);
            }
        }
    }

    fn tell_generation(&self, turn: &mut Turn<'_, '_>, waiting: Waiting, member: &str, with_members: bool) {
        let members = if with_members { self.joined_members() } else { Vec::new() };
        turn.reply(waiting, Reply::Joined(Joined { members, ..self.joined(member) }));
    }

    /// The answer to a member of this generation.
    pub(super) fn joined(&self, member: &str) -> Joined {
        Joined {
            error: None,
            member: member.into(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.as_deref().unwrap_or_default().into(),
            skip_assignment: false,
            members: Vec::new(),
        }
    }

    fn add_joining(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, mut join: Join, id: &Arc<str>) {
        if self.initial.is_some() {
            self.grew = true;
        }
        let member = Member { joining: Some(waiting), ..Member::of_join(&mut join) };
        self.add(turn.timers, id, &join.protocol_type, member);
        self.set_session(turn, id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance_or_complete_join(turn);
    }

    /// What a member says of itself now.
    fn update(&mut self, id: &str, join: Join) {
        let Some(mut member) = self.members.remove(id) else { return };
        self.uncount_protocols(&member);
        member.protocols = join.protocols;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        self.count_protocols(&member);
        self.members.insert(id.into(), member);
    }

    /// A static member that is back under a new id (KIP-345). In a stable group it takes over what it had, without a
    /// rebalance, if that makes no other protocol the best one.
    fn replace_static(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, join: Join, old: &Arc<str>, id: &Arc<str>) {
        let leader_before = self.leader.clone();
        let takes_skipping = join.takes_skipping;
        self.rename(turn, old, id);
        self.restart_session(turn, id);
        self.update(id, join);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol => {
                self.record(turn);
                let is_leader = self.is_leader(id);
                let mut joined = self.joined(id);
                if takes_skipping {
                    joined.skip_assignment = is_leader;
                    joined.members = if is_leader { self.joined_members() } else { Vec::new() };
                } else {
                    // Under its old id: it shall not take itself for the leader, and assign, when nobody joins.
                    joined.leader = leader_before.as_deref().unwrap_or_default().into();
                }
                turn.reply(waiting, Reply::Joined(joined));
            }
            State::Stable => {
                self.park_join(turn, id, waiting);
                self.rebalance_or_complete_join(turn);
            }
            // The leader may assign for the old id already.
            State::CompletingRebalance => {
                self.park_join(turn, id, waiting);
                self.prepare_rebalance(turn);
            }
            State::PreparingRebalance | State::Empty => {
                self.park_join(turn, id, waiting);
                self.maybe_complete_join(turn);
            }
        }
    }

    /// The member has another id from now on. Who waits under the old one is fenced.
    fn rename(&mut self, turn: &mut Turn<'_, '_>, old: &Arc<str>, id: &Arc<str>) {
        let Some(mut member) = self.members.remove(old) else { return };
        turn.timers.cancel(&mut member.session);
        if let Some(waiting) = member.joining.take() {
            self.joining_count -= 1;
            refuse(turn, waiting, old, GroupError::FencedInstanceId);
        }
        if let Some(waiting) = member.syncing.take() {
            turn.reply(waiting, Reply::Synced(Err(GroupError::FencedInstanceId)));
        }
        member.is_new = false;
        if let Some(instance) = &member.instance {
            self.instances.insert(Arc::clone(instance), Arc::clone(id));
        }
        if self.is_leader(old) {
            self.leader = Some(Arc::clone(id));
        }
        // It is waited for under the id that it has.
        if self.unsynced.remove(old) {
            self.unsynced.insert(Arc::clone(id));
        }
        self.members.insert(Arc::clone(id), member);
    }
}

fn refuse(turn: &mut Turn<'_, '_>, waiting: Waiting, member: &str, error: GroupError) {
    turn.reply(waiting, Reply::Joined(Joined { member: member.into(), ..Joined::refused(error) }));
}

/// As `java.util.UUID` writes it.
fn java_text(id: u128) -> String {
    let hex = format!("{id:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
