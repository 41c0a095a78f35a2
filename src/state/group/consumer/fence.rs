//! Members are taken out: they left, were silent for too long, or did not give up their partitions in time.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::groups::Turn;
use super::super::migration::Fate;
use super::Group;
use super::hash::metadata_hash;
use super::records::Records;

impl Group {
    /// Their partitions are free at once. The next heartbeat of another member finds that a new target is due.
    pub(super) fn fence(&mut self, turn: &mut Turn<'_, '_>, ids: &[Arc<str>]) -> Fate {
        let ids: BTreeSet<&Arc<str>> = ids.iter().filter(|id| self.state.members.contains_key(*id)).collect();
        if ids.is_empty() {
            return Fate::Stays;
        }
        if self.may_downgrade_without(turn.cx, &ids) {
            return self.downgrade(turn, &ids);
        }
        let mut regexes = BTreeSet::new();
        for id in ids {
            if let Some(member) = self.state.members.get(id) {
                regexes.insert(member.about.regex.clone());
            }
            self.remove(turn, id);
        }
        regexes.retain(|regex| !regex.is_empty() && self.state.subscriptions.members_of(regex) == 0);
        for regex in regexes {
            let record = Records(&self.id).no_regex(&regex);
            self.write(&mut turn.effects.records, record);
        }
        let hash = metadata_hash(self.state.subscriptions.topics(), turn.cx.image);
        let record = Records(&self.id).group(self.state.epoch + 1, hash);
        self.write(&mut turn.effects.records, record);
        Fate::Stays
    }
}
