//! The deadlines of a group's members. They are not recorded: after a restart every session begins anew.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::timers::{Deadline, Due, Slot, Timer, Timers};

/// The deadlines of one member.
#[derive(Debug, Default)]
struct Clock {
    session: Deadline,
    revocation: Deadline,
    /// The member epoch that it has to leave until then.
    revocation_epoch: i32,
    rejoin: Deadline,
    sync: Deadline,
}

#[derive(Debug)]
pub(super) struct Clocks {
    group: Arc<str>,
    members: HashMap<Arc<str>, Clock>,
}

/// Why a member is taken out.
#[derive(Debug, PartialEq)]
pub(super) enum Ran {
    Out,
    /// Only if it still has this epoch.
    OutAtEpoch(i32),
}

impl Clocks {
    pub(super) fn new(group: Arc<str>) -> Self {
        Self { group, members: HashMap::new() }
    }

    /// A member was heard of.
    pub(super) fn session(&mut self, timers: &mut Timers, member: &Arc<str>, at_ms: u64) {
        self.set(timers, member, Due::Session(Arc::clone(member)), at_ms);
    }

    pub(super) fn revocation(&mut self, timers: &mut Timers, member: &Arc<str>, epoch: i32, at_ms: u64) {
        self.clock(member).revocation_epoch = epoch;
        self.set(timers, member, Due::Revocation(Arc::clone(member)), at_ms);
    }

    pub(super) fn end_revocation(&mut self, timers: &mut Timers, member: &str) {
        if let Some(clock) = self.members.get_mut(member) {
            timers.cancel(&mut clock.revocation);
        }
    }

    /// A classic member was told to rejoin. It is not put off by telling it again.
    pub(super) fn rejoin(&mut self, timers: &mut Timers, member: &Arc<str>, at_ms: u64) {
        if !self.clock(member).rejoin.is_set() {
            self.set(timers, member, Due::Rejoin(Arc::clone(member)), at_ms);
        }
    }

    /// A classic member rejoined, and has to sync next.
    pub(super) fn joined(&mut self, timers: &mut Timers, member: &Arc<str>, sync_at_ms: u64) {
        timers.cancel(&mut self.clock(member).rejoin);
        self.set(timers, member, Due::MemberSync(Arc::clone(member)), sync_at_ms);
    }

    pub(super) fn synced(&mut self, timers: &mut Timers, member: &str) {
        if let Some(clock) = self.members.get_mut(member) {
            timers.cancel(&mut clock.sync);
        }
    }

    pub(super) fn remove(&mut self, timers: &mut Timers, member: &str) {
        if let Some(mut clock) = self.members.remove(member) {
            clock.cancel(timers);
        }
    }

    pub(super) fn clear(&mut self, timers: &mut Timers) {
        for (_, mut clock) in self.members.drain() {
            clock.cancel(timers);
        }
    }

    /// Whether what was queued as `due` has really come, and for whom.
    pub(super) fn fired(&mut self, timers: &mut Timers, slot: Slot, due: &Due, now_ms: u64) -> Option<(Arc<str>, Ran)> {
        let (Due::Session(member) | Due::Revocation(member) | Due::Rejoin(member) | Due::MemberSync(member)) = due
        else {
            return None;
        };
        let clock = self.members.get_mut(member)?;
        let timer = Timer { group: Arc::clone(&self.group), what: due.clone() };
        if !timers.fires(clock.deadline(due)?, slot, &timer, now_ms) {
            return None;
        }
        let ran = if matches!(due, Due::Revocation(_)) { Ran::OutAtEpoch(clock.revocation_epoch) } else { Ran::Out };
        Some((Arc::clone(member), ran))
    }

    fn set(&mut self, timers: &mut Timers, member: &Arc<str>, due: Due, at_ms: u64) {
        let group = Arc::clone(&self.group);
        if let Some(deadline) = self.clock(member).deadline(&due) {
            timers.set(deadline, at_ms, || Timer { group, what: due });
        }
    }

    fn clock(&mut self, member: &Arc<str>) -> &mut Clock {
        self.members.entry(Arc::clone(member)).or_default()
    }
}

impl Clock {
    fn deadline(&mut self, due: &Due) -> Option<&mut Deadline> {
        match due {
            Due::Session(_) => Some(&mut self.session),
            Due::Revocation(_) => Some(&mut self.revocation),
            Due::Rejoin(_) => Some(&mut self.rejoin),
            Due::MemberSync(_) => Some(&mut self.sync),
            _ => None,
        }
    }

    fn cancel(&mut self, timers: &mut Timers) {
        for deadline in [&mut self.session, &mut self.revocation, &mut self.rejoin, &mut self.sync] {
            timers.cancel(deadline);
        }
    }
}
