//! Groups of the classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup (Kafka's `ClassicGroup`).
//!
//! A group goes round: something changes and it prepares a rebalance, in which its members join anew; when they have, or
//! the time is over, it has a new generation and completes the rebalance, in which one of them, the leader, says what
//! each gets; then it is stable. What members say of themselves is opaque, so eager and cooperative assignors are the
//! same to it.
//!
//! - here: what a group is; [`join`], [`requests`]: what members ask; [`rebalance`]: the round itself
//! - [`record`]: the group as a record, and as what it may become; [`show`]: as clients may see it
//!
//! What a group takes: its members are at most `group.max.size`, and what each says is no larger than a request. Ids that
//! were given out and not used (KIP-394) are kept for a session timeout.

mod join;
mod member;
mod rebalance;
mod record;
mod requests;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::groups::Turn;
use super::timers::{Deadline, Due, Slot, Timer, Timers};
use super::{Effects, GroupError, Joined, JoinedMember, Reply, Waiting};
use member::Member;
pub(super) use record::created_record;
pub(super) use show::Expiry;

/// What consumers call their protocol.
const CONSUMER: &str = "consumer";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Without members: offsets only, or ids that were given out.
    Empty,
    /// Members join.
    PreparingRebalance,
    /// They have, and the leader is to say what each gets.
    CompletingRebalance,
    Stable,
}

/// The first rebalance of an empty group waits for more members, a while after each, all in all as long as they allow.
#[derive(Debug, Clone, Copy)]
struct Initial {
    delay_ms: i32,
    remaining_ms: i32,
}

#[derive(Debug)]
pub(super) struct Group {
    id: Arc<str>,
    state: State,
    /// Since when, by the wall clock; -1: not known.
    since_ms: i64,
    /// While the rebalance that is prepared is the first one.
    initial: Option<Initial>,
    /// Somebody came while the first rebalance was prepared.
    grew: bool,
    protocol_type: Option<String>,
    protocol: Option<String>,
    pub(super) generation: i32,
    leader: Option<Arc<str>>,
    /// By id, so that the same events give the same effects.
    members: BTreeMap<Arc<str>, Member>,
    /// Static members: the id of each instance.
    instances: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids that were given out and did not come back yet.
    pending: BTreeMap<Arc<str>, Deadline>,
    /// Those of this generation who did not sync yet.
    unsynced: BTreeSet<Arc<str>>,
    /// How many members have a join that waits.
    joining_count: usize,
    /// How many members support each protocol.
    supported: BTreeMap<String, usize>,
    /// What members of a group of consumers subscribe to; `None` where they do not say it in a way that is understood.
    topics: Option<BTreeSet<String>>,
    join_deadline: Deadline,
    sync_deadline: Deadline,
}

impl Group {
    pub(super) fn new(id: Arc<str>, wall_ms: i64) -> Self {
        Self {
            id,
            state: State::Empty,
            since_ms: wall_ms,
            initial: None,
            grew: false,
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            joining_count: 0,
            supported: BTreeMap::new(),
            topics: None,
            join_deadline: Deadline::default(),
            sync_deadline: Deadline::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// Nothing but a place for offsets that somebody commits without being a member.
    pub(super) fn is_simple(&self) -> bool {
        self.protocol_type.is_none() && self.is_empty() && self.pending.is_empty()
    }

    /// The log was replayed: the members have a session timeout from now on. A group that is larger than it may be is
    /// made to join anew, so that the last ones find no room.
    pub(super) fn loaded(&mut self, turn: &mut Turn<'_, '_>) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in &ids {
            self.restart_session(turn, id);
        }
        if self.members.len() > turn.cx.settings.members_max {
            self.prepare_rebalance(turn);
        }
    }

    pub(super) fn expire(&mut self, turn: &mut Turn<'_, '_>, slot: Slot, what: &Due) {
        match what {
            Due::Session(member) => self.expire_session(turn, slot, member),
            Due::Join => {
                if turn.timers.fires(&mut self.join_deadline, slot, &timer(&self.id, Due::Join), turn.cx.now_ms) {
                    self.expire_join(turn);
                }
            }
            Due::Sync => {
                if turn.timers.fires(&mut self.sync_deadline, slot, &timer(&self.id, Due::Sync), turn.cx.now_ms) {
                    self.expire_sync(turn);
                }
            }
            Due::Revocation(_) | Due::Rejoin(_) | Due::MemberSync(_) | Due::Regexes => {}
        }
    }

    /// Before the group is dropped.
    pub(super) fn cancel_timers(&mut self, timers: &mut Timers) {
        timers.cancel(&mut self.join_deadline);
        timers.cancel(&mut self.sync_deadline);
        self.members.values_mut().for_each(|member| timers.cancel(&mut member.session));
        self.pending.values_mut().for_each(|session| timers.cancel(session));
    }

    /// Everybody who waits is told, as the group is no more.
    pub(super) fn dismiss(&mut self, effects: &mut Effects, error: &GroupError) {
        for (id, member) in &mut self.members {
            if let Some(waiting) = member.joining.take() {
                let joined = Joined { member: id.as_ref().into(), ..Joined::refused(error.clone()) };
                effects.replies.push((waiting, Reply::Joined(joined)));
            }
            if let Some(waiting) = member.syncing.take() {
                effects.replies.push((waiting, Reply::Synced(Err(error.clone()))));
            }
        }
        self.joining_count = 0;
    }

    /// Whether `member`, or who it says it is an instance of, may speak for the group.
    fn check_member(&self, member: &str, instance: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(GroupError::UnknownMember),
                Some(known) if **known != *member => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(GroupError::UnknownMember) }
    }

    fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    fn has_all_joined(&self) -> bool {
        self.members.len() == self.joining_count && self.pending.is_empty()
    }

    /// The longest that any member allows.
    fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    fn add(&mut self, timers: &mut Timers, id: &Arc<str>, protocol_type: &str, member: Member) {
        if let Some(instance) = &member.instance {
            self.instances.insert(Arc::clone(instance), Arc::clone(id));
        }
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.into());
        }
        self.leader.get_or_insert_with(|| Arc::clone(id));
        self.count_protocols(&member);
        if let Some(mut session) = self.pending.remove(id) {
            timers.cancel(&mut session);
        }
        self.joining_count += usize::from(member.joining.is_some());
        self.members.insert(Arc::clone(id), member);
    }

    /// Takes a member, or an id that was given out, from the group. The caller says what becomes of the rebalance. A
    /// member that waits is told that it is not known.
    fn remove(&mut self, turn: &mut Turn<'_, '_>, id: &str) {
        if let Some(mut member) = self.members.remove(id) {
            turn.timers.cancel(&mut member.session);
            self.uncount_protocols(&member);
            if let Some(instance) = &member.instance {
                self.instances.remove(instance);
            }
            if let Some(waiting) = member.joining.take() {
                self.joining_count -= 1;
                turn.reply(waiting, Reply::Joined(Joined::refused(GroupError::UnknownMember)));
            }
            if let Some(waiting) = member.syncing.take() {
                turn.reply(waiting, Reply::Synced(Err(GroupError::UnknownMember)));
            }
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        if let Some(mut session) = self.pending.remove(id) {
            turn.timers.cancel(&mut session);
        }
        self.unsynced.remove(id);
    }

    /// The member's join waits from now on. One that it sent before, over a connection that it lost perhaps, is answered.
    fn park_join(&mut self, turn: &mut Turn<'_, '_>, id: &str, waiting: Waiting) {
        let Some(member) = self.members.get_mut(id) else { return };
        match member.joining.replace(waiting) {
            None => self.joining_count += 1,
            Some(earlier) => {
                let joined = Joined { member: id.into(), ..Joined::refused(GroupError::RebalanceInProgress) };
                turn.reply(earlier, Reply::Joined(joined));
            }
        }
    }

    fn count_protocols(&mut self, member: &Member) {
        for name in member.protocol_names() {
            match self.supported.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(self.supported.insert(name.into(), 1)),
            }
        }
    }

    fn uncount_protocols(&mut self, member: &Member) {
        for name in member.protocol_names() {
            let Some(count) = self.supported.get_mut(name) else { continue };
            *count -= 1;
            if *count == 0 {
                self.supported.remove(name);
            }
        }
    }

    /// The member was heard of.
    fn restart_session(&mut self, turn: &mut Turn<'_, '_>, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            let at_ms = after(turn.cx.now_ms, member.session_timeout_ms);
            turn.timers.set(&mut member.session, at_ms, || timer(&self.id, Due::Session(id.into())));
        }
    }

    fn set_session(&mut self, turn: &mut Turn<'_, '_>, id: &Arc<str>, timeout_ms: i32) {
        if let Some(member) = self.members.get_mut(id) {
            let at_ms = after(turn.cx.now_ms, timeout_ms);
            turn.timers.set(&mut member.session, at_ms, || timer(&self.id, Due::Session(Arc::clone(id))));
        }
    }

    fn set_join_deadline(&mut self, turn: &mut Turn<'_, '_>, delay_ms: i32) {
        let at_ms = after(turn.cx.now_ms, delay_ms);
        turn.timers.set(&mut self.join_deadline, at_ms, || timer(&self.id, Due::Join));
    }

    fn set_sync_deadline(&mut self, turn: &mut Turn<'_, '_>, delay_ms: i32) {
        let at_ms = after(turn.cx.now_ms, delay_ms);
        turn.timers.set(&mut self.sync_deadline, at_ms, || timer(&self.id, Due::Sync));
    }

    /// Everybody, as the leader is told.
    fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| JoinedMember {
            member: id.as_ref().into(),
            instance: member.instance.as_deref().map(Into::into),
            metadata: member.metadata(protocol).to_vec(),
        });
        members.collect()
    }
}

impl Joined {
    /// Without the member's id.
    pub(super) fn refused(error: GroupError) -> Self {
        Self { error: Some(error), generation: -1, ..Self::default() }
    }
}

fn timer(group: &Arc<str>, what: Due) -> Timer {
    Timer { group: Arc::clone(group), what }
}

fn after(now_ms: u64, delay_ms: i32) -> u64 {
    now_ms.saturating_add(u64::try_from(delay_ms).unwrap_or(0))
}
