//! What follows from what members say: the group's epoch, its target, and a member's next step towards that.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use wire::Uuid;

use super::super::Cx;
use super::super::groups::Turn;
use super::super::timers::{Due, Timer};
use super::assignor::{Assignor, AssignorInput, AssignorMember, Partitions};
use super::hash::metadata_hash;
use super::member::{About, MemberState};
use super::reconcile::Step;
use super::records::Records;
use super::subscriptions::Resolved;
use super::{Group, configs, regex, timeout};

/// So long the topics are taken to be as they were, unless somebody says otherwise (`METADATA_REFRESH_INTERVAL_MS`).
const REFRESH_INTERVAL_MS: u64 = i32::MAX as u64;

/// The least time between two looks at all regexes of a group (`REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`).
const REGEX_REFRESH_MIN_MS: i64 = 10_000;

/// What a member subscribes to now and did not before, or the other way round.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Changed {
    topics: bool,
    regex: RegexChange,
}

/// What a member's regex is to the group (`UpdateRegularExpressionStatus`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum RegexChange {
    #[default]
    Same,
    /// Nobody else in the group has it.
    New,
    /// Others have it, and it was not looked at yet.
    Unresolved,
    /// The group knows which topics it matches, or there is none any more.
    Resolved,
}

impl Changed {
    pub(super) fn any(self) -> bool {
        self.topics || self.regex != RegexChange::Same
    }

    /// Whether the target has to be computed anew now. With a regex that was not looked at it will be soon.
    fn bumps(self) -> bool {
        self.topics || self.regex == RegexChange::Resolved
    }
}

/// How the regexes of a group stood before a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Regexes {
    any: bool,
    resolved: usize,
    /// The last look at them: the wall clock, and the metadata that was looked at.
    looked_ms: Option<i64>,
    version: i64,
}

impl Group {
    /// A member, new or not, now says this of itself.
    pub(super) fn set_about(&mut self, turn: &mut Turn<'_, '_>, id: &Arc<str>, about: About) -> Changed {
        let nothing = About::default();
        let old = self.state.members.get(id).map_or(&nothing, |member| &member.about);
        let changed =
            Changed { topics: old.topics != about.topics, regex: self.regex_change(&old.regex, &about.regex) };
        let old_regex = old.regex.clone();
        let group = Arc::clone(&self.id);
        let make = Records(&group);
        self.write(&mut turn.effects.records, make.member(id, &about));
        let is_gone = !old_regex.is_empty() && self.state.subscriptions.members_of(&old_regex) == 0;
        if changed.regex != RegexChange::Same && is_gone {
            self.write(&mut turn.effects.records, make.no_regex(&old_regex));
        }
        changed
    }

    fn regex_change(&self, old: &str, new: &str) -> RegexChange {
        let subscriptions = &self.state.subscriptions;
        if old == new {
            RegexChange::Same
        } else if new.is_empty() {
            RegexChange::Resolved
        } else if subscriptions.members_of(new) == 0 {
            RegexChange::New
        } else if subscriptions.resolved().contains_key(new) {
            RegexChange::Resolved
        } else {
            RegexChange::Unresolved
        }
    }

    /// Before a request changes anything: see [`refresh`](Self::refresh).
    pub(super) fn regexes(&self) -> Regexes {
        let subscriptions = &self.state.subscriptions;
        let resolved = || subscriptions.resolved().values();
        Regexes {
            any: subscriptions.regexes().next().is_some(),
            resolved: subscriptions.resolved().len(),
            looked_ms: resolved().map(|resolved| resolved.timestamp_ms).min(),
            version: resolved().map(|resolved| resolved.version).min().unwrap_or(0),
        }
    }

    /// Moves the group to its next epoch if the member's subscription changed, or what topics there are. `before` is how
    /// its regexes stood.
    pub(super) fn refresh(&mut self, turn: &mut Turn<'_, '_>, changed: Changed, before: Regexes) {
        if self.are_regexes_due(turn.cx, changed, before) {
            let group = Arc::clone(&self.id);
            turn.timers.set(&mut self.regexes_due, turn.cx.now_ms, || Timer { group, what: Due::Regexes });
        }
        let mut bumps = changed.bumps();
        if !bumps && turn.cx.now_ms < self.refresh_at_ms {
            return;
        }
        let hash = metadata_hash(self.state.subscriptions.topics(), turn.cx.image);
        bumps |= hash != self.state.metadata_hash;
        if bumps {
            let record = Records(&self.id).group(self.state.epoch + 1, hash);
            self.write(&mut turn.effects.records, record);
        }
        self.refresh_at_ms = turn.cx.now_ms + REFRESH_INTERVAL_MS;
    }

    /// Whether all regexes are to be looked at: one is new, there are new topics, or the last look is long ago.
    fn are_regexes_due(&self, cx: &Cx<'_>, changed: Changed, before: Regexes) -> bool {
        let is_new = changed.regex == RegexChange::New;
        if self.regexes_due.is_set() || !(is_new || before.any) {
            return false;
        }
        let since_ms = before.looked_ms.map_or(i64::MAX, |looked_ms| cx.wall_ms.saturating_sub(looked_ms));
        let count = self.state.subscriptions.regexes().count();
        let is_due = is_new
            || count != before.resolved
            || before.version < self.topics_version
            || since_ms > i64::from(cx.settings.consumer_regex_refresh_ms);
        is_due && since_ms > REGEX_REFRESH_MIN_MS && count > 0
    }

    /// Looks at all regexes (`handleRegularExpressionsResult`). Where one matches other topics now, the group moves on.
    pub(super) fn look_at_regexes(&mut self, turn: &mut Turn<'_, '_>) {
        let regexes: Vec<String> = self.state.subscriptions.regexes().map(str::to_owned).collect();
        let group = Arc::clone(&self.id);
        let make = Records(&group);
        let mut bumps = false;
        for pattern in regexes {
            let resolved = Resolved {
                topics: regex::matching(&pattern, turn.cx.image),
                version: turn.cx.image.version(),
                timestamp_ms: turn.cx.wall_ms,
            };
            let old = self.state.subscriptions.resolved().get(&pattern);
            bumps |= old.map_or(!resolved.topics.is_empty(), |old| old.topics != resolved.topics);
            self.write(&mut turn.effects.records, make.regex(&pattern, &resolved));
        }
        let hash = metadata_hash(self.state.subscriptions.topics(), turn.cx.image);
        if bumps || hash != self.state.metadata_hash {
            self.write(&mut turn.effects.records, make.group(self.state.epoch + 1, hash));
            self.refresh_at_ms = turn.cx.now_ms + REFRESH_INTERVAL_MS;
        }
    }

    /// Computes the target of the group's epoch, all members at once, unless the last one is too recent.
    pub(super) fn assign_if_due(&mut self, turn: &mut Turn<'_, '_>) {
        if self.state.assignment_epoch >= self.state.epoch {
            return;
        }
        let interval_ms = i64::from(configs::assignment_interval_ms(&self.id, turn.cx.image, turn.cx.settings));
        let at_ms = self.state.assigned_at_ms;
        if at_ms != 0 && interval_ms != 0 && turn.cx.wall_ms < at_ms.saturating_add(interval_ms) {
            return;
        }
        let targets = self.next_targets(turn.cx);
        let group = Arc::clone(&self.id);
        let make = Records(&group);
        let records = &mut turn.effects.records;
        for (id, target) in targets {
            if self.state.targets.get(&id) != Some(&target) {
                self.write(records, make.target(&id, &target));
            }
        }
        self.write(records, make.target_epoch(self.state.epoch, turn.cx.wall_ms));
    }

    fn next_targets(&self, cx: &Cx<'_>) -> Vec<(Arc<str>, Partitions)> {
        let state = &self.state;
        let assignors = &cx.settings.consumer_assignors;
        let name = state.preferred_assignor(assignors).or(assignors.first().map(String::as_str)).unwrap_or("uniform");
        let assignor = Assignor::by_name(name).unwrap_or(Assignor::Uniform);

        let mut topics = BTreeMap::new();
        for topic in state.subscriptions.topics().filter_map(|name| cx.image.topic(name)) {
            topics.insert(topic.id, topic.partitions.len() as i32);
        }
        let homogeneous = state.subscriptions.is_homogeneous(state.members.len());
        let all: Rc<[Uuid]> = topics.keys().copied().collect();
        let nothing = Partitions::new();
        let mut members = Vec::with_capacity(state.members.len());
        for (id, member) in &state.members {
            let subscribed = || self.subscribed(cx, &member.about).into_iter().collect();
            members.push(AssignorMember {
                id,
                instance: member.about.instance.as_deref(),
                subscribed: if homogeneous { Rc::clone(&all) } else { subscribed() },
                target: state.targets.get(id).unwrap_or(&nothing),
            });
        }
        let targets = assignor.assign(&AssignorInput { members, homogeneous, topics });
        state.members.keys().cloned().zip(targets).collect()
    }

    /// Ids of the topics that a member subscribes to and that exist.
    fn subscribed(&self, cx: &Cx<'_>, about: &About) -> BTreeSet<Uuid> {
        let names = self.state.subscriptions.names_of(about);
        names.filter_map(|name| cx.image.topic(name)).map(|topic| topic.id).collect()
    }

    /// Moves a member on, as far as its target and the others let it. Whether its assignment is another one now.
    pub(super) fn reconcile(
        &mut self,
        turn: &mut Turn<'_, '_>,
        id: &Arc<str>,
        subscription_changed: bool,
        owned: Option<&[(Uuid, Vec<i32>)]>,
    ) -> bool {
        let state = &self.state;
        let Some(member) = state.members.get(id) else { return false };
        if !subscription_changed && member.current.is_reconciled_to(state.assignment_epoch) {
            return false;
        }
        let nothing = Partitions::new();
        let step = Step {
            current: &member.current,
            subscribed: self.subscribed(turn.cx, &member.about),
            subscription_changed,
            target_epoch: state.assignment_epoch,
            target: state.targets.get(id).unwrap_or(&nothing),
            owned,
            is_taken: &|topic, partition| state.owner(topic, partition).is_some_and(|owner| owner != &**id),
        };
        let Ok(next) = step.next() else { return false };
        if next == member.current {
            return false;
        }
        let moved = next.assigned != member.current.assigned;
        let until_ms = turn.cx.now_ms + timeout(member.about.rebalance_timeout_ms);
        let is_classic = member.about.classic.is_some();
        let record = Records(&self.id).current(id, &next);
        self.write(&mut turn.effects.records, record);
        // Classic members are told to rejoin, and that has a deadline of its own.
        if !is_classic && next.state == MemberState::UnrevokedPartitions {
            self.clocks.revocation(turn.timers, id, next.epoch, until_ms);
        } else if !is_classic {
            self.clocks.end_revocation(turn.timers, id);
        }
        moved
    }
}
