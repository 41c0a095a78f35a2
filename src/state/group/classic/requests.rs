//! SyncGroup, Heartbeat, LeaveGroup, and what a commit has to be checked for.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::groups::Turn;
use super::super::{Commit, GroupError, Heartbeat, Leave, LeavingMember, LeftMember, Reply, Sync, Synced, Waiting};
use super::{CONSUMER, Group, State};

impl Group {
    /// Answers now or when the leader has synced.
    pub(crate) fn sync(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, sync: Sync) {
        if let Err(error) = self.check_sync(&sync) {
            return turn.reply(waiting, Reply::Synced(Err(error)));
        }
        match self.state {
            State::PreparingRebalance => turn.reply(waiting, Reply::Synced(Err(GroupError::RebalanceInProgress))),
            State::CompletingRebalance => self.sync_rebalance(turn, waiting, sync),
            State::Stable => {
                self.forget_unsynced(turn, &sync.member);
                let assignment = self.members.get(&*sync.member).map(|member| member.assignment.clone());
                turn.reply(waiting, Reply::Synced(Ok(self.synced(assignment.unwrap_or_default()))));
            }
            State::Empty => turn.reply(waiting, Reply::Synced(Err(GroupError::UnknownMember))),
        }
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), GroupError> {
        let differs = |said: &Option<String>, own: &Option<String>| said.is_some() && own.is_some() && said != own;
        self.check_member(&sync.member, sync.instance.as_deref())?;
        if sync.generation != self.generation {
            Err(GroupError::IllegalGeneration)
        } else if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            Err(GroupError::InconsistentProtocol)
        } else {
            Ok(())
        }
    }

    /// All wait for the leader, whose word makes the group stable. Who gets nothing from it gets an empty assignment.
    fn sync_rebalance(&mut self, turn: &mut Turn<'_, '_>, waiting: Waiting, sync: Sync) {
        let Some(member) = self.members.get_mut(&*sync.member) else { return };
        if let Some(earlier) = member.syncing.replace(waiting) {
            turn.reply(earlier, Reply::Synced(Err(GroupError::RebalanceInProgress)));
        }
        self.forget_unsynced(turn, &sync.member);
        if !self.is_leader(&sync.member) {
            return;
        }
        let mut assignments: HashMap<String, Vec<u8>> = sync.assignments.into_iter().collect();
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(&**id).unwrap_or_default();
        }
        self.record(turn);
        self.answer_syncs(turn, None);
        self.enter(turn, State::Stable);
    }

    fn forget_unsynced(&mut self, turn: &mut Turn<'_, '_>, member: &str) {
        self.unsynced.remove(member);
        if self.unsynced.is_empty() {
            turn.timers.cancel(&mut self.sync_deadline);
        }
    }

    /// Answers the syncs that wait. Sessions begin anew: one that ran out meanwhile was let pass.
    pub(super) fn answer_syncs(&mut self, turn: &mut Turn<'_, '_>, error: Option<&GroupError>) {
        let waiting: Vec<(Arc<str>, Waiting)> = self
            .members
            .iter_mut()
            .filter_map(|(id, member)| member.syncing.take().map(|waiting| (Arc::clone(id), waiting)))
            .collect();
        for (id, waiting) in waiting {
            let result = match error {
                Some(error) => Err(error.clone()),
                None => Ok(self.synced(self.members[&id].assignment.clone())),
            };
            turn.reply(waiting, Reply::Synced(result));
            self.restart_session(turn, &id);
        }
    }

    fn synced(&self, assignment: Vec<u8>) -> Synced {
        Synced { protocol_type: self.protocol_type.clone(), protocol: self.protocol.clone(), assignment }
    }

    pub(crate) fn heartbeat(&mut self, turn: &mut Turn<'_, '_>, heartbeat: &Heartbeat) -> Result<(), GroupError> {
        self.check_member(&heartbeat.member, heartbeat.instance.as_deref())?;
        if heartbeat.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        match self.state {
            State::Empty => Err(GroupError::UnknownMember),
            State::PreparingRebalance => {
                self.restart_session(turn, &heartbeat.member);
                Err(GroupError::RebalanceInProgress)
            }
            State::CompletingRebalance | State::Stable => {
                self.restart_session(turn, &heartbeat.member);
                Ok(())
            }
        }
    }

    pub(crate) fn leave(&mut self, turn: &mut Turn<'_, '_>, leave: Leave) -> Vec<LeftMember> {
        let mut left = Vec::with_capacity(leave.members.len());
        for leaving in leave.members {
            let error = self.leave_one(turn, &leaving).err();
            left.push(LeftMember { member: leaving.member, instance: leaving.instance, error });
        }
        if left.iter().any(|member| member.error.is_none()) {
            match self.state {
                State::Stable | State::CompletingRebalance => self.prepare_rebalance(turn),
                State::PreparingRebalance => self.maybe_complete_join(turn),
                State::Empty => {}
            }
        }
        left
    }

    /// An administrator names static members by their instance alone.
    fn leave_one(&mut self, turn: &mut Turn<'_, '_>, leaving: &LeavingMember) -> Result<(), GroupError> {
        if leaving.member.is_empty() {
            let known = leaving.instance.as_deref().and_then(|instance| self.instances.get(instance)).cloned();
            self.remove(turn, &known.ok_or(GroupError::UnknownMember)?);
        } else {
            if !self.pending.contains_key(&*leaving.member) {
                self.check_member(&leaving.member, leaving.instance.as_deref())?;
            }
            self.remove(turn, &leaving.member);
        }
        Ok(())
    }

    /// Whether offsets may be committed. A member that commits was heard of. Without a generation, somebody commits who
    /// is no member, an administrator perhaps, and may as long as there are none.
    pub(crate) fn check_commit(&mut self, turn: &mut Turn<'_, '_>, commit: &Commit) -> Result<(), GroupError> {
        if commit.generation < 0 && self.is_empty() {
            return Ok(());
        }
        if commit.generation < 0 && commit.member.is_empty() && commit.instance.is_none() {
            return Err(GroupError::UnknownMember);
        }
        self.check_member(&commit.member, commit.instance.as_deref())?;
        if commit.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        self.restart_session(turn, &commit.member);
        Ok(())
    }

    /// Whether offsets may be deleted: of consumers it is known what they subscribe to, of others not.
    pub(crate) fn check_delete_offsets(&self) -> Result<(), GroupError> {
        if self.is_empty() || self.uses_consumer_protocol() { Ok(()) } else { Err(GroupError::NonEmptyGroup) }
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }
}
