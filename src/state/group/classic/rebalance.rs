//! The round from one generation to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::groups::Turn;
use super::super::timers::Slot;
use super::super::{GroupError, Joined, Reply};
use super::{Due, Group, Initial, State, timer};

impl Group {
    /// Something changed. If members are not joining anyway, they have to.
    pub(super) fn rebalance_or_complete_join(&mut self, turn: &mut Turn<'_, '_>) {
        if self.state == State::PreparingRebalance {
            self.maybe_complete_join(turn);
        } else {
            self.prepare_rebalance(turn);
        }
    }

    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_, '_>) {
        if self.state == State::CompletingRebalance {
            self.members.values_mut().for_each(|member| member.assignment = Vec::new());
            self.answer_syncs(turn, Some(&GroupError::RebalanceInProgress));
        }
        self.unsynced.clear();
        turn.timers.cancel(&mut self.sync_deadline);

        let is_initial = self.is_empty();
        self.enter(turn, State::PreparingRebalance);
        if is_initial {
            let delay_ms = turn.cx.settings.initial_rebalance_delay_ms;
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            self.initial = Some(Initial { delay_ms, remaining_ms });
            self.set_join_deadline(turn, delay_ms);
        } else if self.has_all_joined() {
            self.complete_join(turn);
        } else {
            self.set_join_deadline(turn, self.rebalance_timeout_ms());
        }
    }

    /// If all are there. The first rebalance waits for its time all the same.
    pub(super) fn maybe_complete_join(&mut self, turn: &mut Turn<'_, '_>) {
        if self.state == State::PreparingRebalance && self.initial.is_none() && self.has_all_joined() {
            self.complete_join(turn);
        }
    }

    pub(super) fn expire_join(&mut self, turn: &mut Turn<'_, '_>) {
        match self.initial {
            Some(Initial { delay_ms, remaining_ms }) if self.grew && remaining_ms != 0 => {
                self.grew = false;
                let next_ms = turn.cx.settings.initial_rebalance_delay_ms.min(remaining_ms);
                let remaining_ms = remaining_ms.saturating_sub(delay_ms).max(0);
                self.initial = Some(Initial { delay_ms: next_ms, remaining_ms });
                self.set_join_deadline(turn, next_ms);
            }
            _ => self.complete_join(turn),
        }
    }

    /// Nobody is waited for any longer. Dynamic members who did not join are out; static ones stay until their session is
    /// over.
    fn complete_join(&mut self, turn: &mut Turn<'_, '_>) {
        turn.timers.cancel(&mut self.join_deadline);
        let is_missing = |member: &super::Member| member.joining.is_none() && member.instance.is_none();
        let missing: Vec<Arc<str>> =
            self.members.iter().filter(|(_, member)| is_missing(member)).map(|(id, _)| Arc::clone(id)).collect();
        for id in &missing {
            self.remove(turn, id);
        }
        if !self.elect_leader() && !self.members.is_empty() {
            // Nobody joined, and only static members are left: their sessions decide.
            return self.set_join_deadline(turn, self.rebalance_timeout_ms());
        }
        self.next_generation(turn);
    }

    /// The leader stays if it joined. Otherwise somebody who did; `false`: nobody.
    fn elect_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members.get(leader).is_some_and(|member| member.joining.is_some()) {
            return true;
        }
        match self.members.iter().find(|(_, member)| member.joining.is_some()) {
            Some((id, _)) => {
                self.leader = Some(Arc::clone(id));
                true
            }
            None => false,
        }
    }

    fn next_generation(&mut self, turn: &mut Turn<'_, '_>) {
        self.generation = self.generation.wrapping_add(1);
        self.unsynced.clear();
        self.protocol = self.select_protocol();
        self.topics = self.subscribed_topics();
        if self.members.is_empty() {
            self.enter(turn, State::Empty);
            return self.record(turn);
        }
        self.enter(turn, State::CompletingRebalance);
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            self.answer_join(turn, &id);
            self.restart_session(turn, &id);
            self.unsynced.insert(id);
        }
        self.set_sync_deadline(turn, self.rebalance_timeout_ms());
    }

    fn answer_join(&mut self, turn: &mut Turn<'_, '_>, id: &Arc<str>) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.is_new = false;
        if let Some(waiting) = member.joining.take() {
            self.joining_count -= 1;
            let members = if self.is_leader(id) { self.joined_members() } else { Vec::new() };
            turn.reply(waiting, Reply::Joined(Joined { members, ..self.joined(id) }));
        }
    }

    /// Of the protocols that all members support, the one that most of them prefer.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let by_all = |name: &str| self.supported.get(name) == Some(&self.members.len());
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| by_all(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.into())
    }

    /// Some members did not sync in time.
    pub(super) fn expire_sync(&mut self, turn: &mut Turn<'_, '_>) {
        for id in std::mem::take(&mut self.unsynced) {
            self.remove(turn, &id);
        }
        self.prepare_rebalance(turn);
    }

    pub(super) fn expire_session(&mut self, turn: &mut Turn<'_, '_>, slot: Slot, id: &Arc<str>) {
        let key = timer(&self.id, Due::Session(Arc::clone(id)));
        if let Some(session) = self.pending.get_mut(id) {
            if turn.timers.fires(session, slot, &key, turn.cx.now_ms) {
                self.remove(turn, id);
                self.complete_join_of_rest(turn);
            }
        } else if let Some(member) = self.members.get_mut(id)
            && turn.timers.fires(&mut member.session, slot, &key, turn.cx.now_ms)
            && !member.is_excused()
        {
            self.remove(turn, id);
            match self.state {
                State::Stable | State::CompletingRebalance => self.rebalance_or_complete_join(turn),
                State::PreparingRebalance | State::Empty => self.complete_join_of_rest(turn),
            }
        }
    }

    /// Somebody who was waited for is gone.
    fn complete_join_of_rest(&mut self, turn: &mut Turn<'_, '_>) {
        if self.state == State::PreparingRebalance && self.has_all_joined() {
            self.complete_join(turn);
        }
    }

    pub(super) fn enter(&mut self, turn: &mut Turn<'_, '_>, state: State) {
        self.state = state;
        self.since_ms = turn.cx.wall_ms;
        self.initial = None;
    }
}
