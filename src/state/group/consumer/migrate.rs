//! A classic group of consumers becomes a consumer group when the first member of the new protocol joins, and turns back
//! when the last one goes (KIP-848).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::groups::Turn;
use super::super::migration::{Fate, MigratingMember, Migration};
use super::super::timers::Timers;
use super::super::{Cx, GroupError, Record};
use super::assignor::Partitions;
use super::classic_member::classic_metadata;
use super::hash::metadata_hash;
use super::member::{About, Current, Member, MemberState, Owned};
use super::records::Records;
use super::{Group, protocol, timeout};

impl Group {
    /// The group that a classic group becomes, and its records, which come after the classic group's tombstone. What its
    /// members have is taken for their target, so that nothing moves for the change alone.
    pub(in crate::group) fn upgrade(
        cx: &mut Cx<'_>,
        timers: &mut Timers,
        migration: &Migration,
    ) -> Result<(Self, Vec<Record>), GroupError> {
        let mut upgraded = Vec::with_capacity(migration.members.len());
        for member in &migration.members {
            upgraded.push((&member.member, upgraded_member(cx, migration, member)?));
        }
        let mut group = Self::new(Arc::clone(&migration.group));
        let mut records = Vec::new();
        let id = Arc::clone(&group.id);
        let make = Records(&id);
        for (id, (about, _)) in &upgraded {
            group.write(&mut records, make.member(id, about));
        }
        let hash = metadata_hash(group.state.subscriptions.topics(), cx.image);
        group.write(&mut records, make.group(migration.generation, hash));
        for (id, (_, partitions)) in &upgraded {
            group.write(&mut records, make.target(id, partitions));
        }
        group.write(&mut records, make.target_epoch(migration.generation, 0));
        for (id, (_, partitions)) in &upgraded {
            group.write(&mut records, make.current(id, &settled(migration.generation, partitions)));
        }
        for member in &migration.members {
            let until_ms = cx.now_ms + timeout(member.session_timeout_ms);
            group.clocks.session(timers, &member.member, until_ms);
        }
        Ok((group, records))
    }

    pub(super) fn may_downgrade_without(&self, cx: &Cx<'_>, leaving: &BTreeSet<&Arc<str>>) -> bool {
        let is_classic =
            |id: &&&Arc<str>| self.state.members.get(**id).is_some_and(|member| member.about.classic.is_some());
        let leaving_classic = leaving.iter().filter(is_classic).count();
        let staying = self.state.members.len() - leaving.len();
        staying > 0
            && self.state.classic_members() - leaving_classic == staying
            && cx.settings.consumer_migration.allows_downgrade()
            && staying <= cx.settings.members_max
    }

    /// Whether the last member of the new protocol is one that comes back with the old one now.
    pub(super) fn may_downgrade_when_replaced(&self, cx: &Cx<'_>, instance: Option<&str>) -> bool {
        let replaced = instance.and_then(|instance| self.state.member_of_instance(instance));
        replaced.and_then(|id| self.state.members.get(id)).is_some_and(|member| member.about.classic.is_none())
            && self.state.classic_members() + 1 == self.state.members.len()
            && cx.settings.consumer_migration.allows_downgrade()
            && self.state.members.len() <= cx.settings.members_max
    }

    pub(super) fn downgrade(&mut self, turn: &mut Turn<'_, '_>, leaving: &BTreeSet<&Arc<str>>) -> Fate {
        self.convert(turn, self.state.epoch, true, |id| !leaving.contains(id))
    }

    pub(super) fn downgrade_replaced(&mut self, turn: &mut Turn<'_, '_>, generation: i32, rebalance: bool) -> Fate {
        self.convert(turn, generation, rebalance, |_| true)
    }

    fn convert(
        &mut self,
        turn: &mut Turn<'_, '_>,
        generation: i32,
        rebalance: bool,
        stays: impl Fn(&Arc<str>) -> bool,
    ) -> Fate {
        let members = self.state.members.iter().filter(|(id, _)| stays(id));
        let members = members.filter_map(|(id, member)| self.downgraded_member(turn.cx, id, member)).collect();
        self.tombstones(&mut turn.effects.records);
        self.clocks.clear(turn.timers);
        Fate::Downgrades { migration: Migration { group: Arc::clone(&self.id), generation, members }, rebalance }
    }

    fn downgraded_member(&self, cx: &Cx<'_>, id: &Arc<str>, member: &Member) -> Option<MigratingMember> {
        let about = &member.about;
        let classic = about.classic.as_ref()?;
        let (_, metadata) = about.classic_protocol()?;
        let target = self.state.targets.get(id).into_iter().flatten();
        let target = target.map(|(topic, partitions)| (topic, partitions.iter().copied().collect()));
        let protocols = classic.supported_protocols.iter();
        Some(MigratingMember {
            member: Arc::clone(id),
            instance: about.instance.clone(),
            client: about.client.clone(),
            session_timeout_ms: classic.session_timeout_ms,
            rebalance_timeout_ms: about.rebalance_timeout_ms,
            protocols: protocols.map(|protocol| (protocol.name.clone(), protocol.metadata.clone())).collect(),
            assignment: protocol::encode_assignment(target, metadata, cx.image).unwrap_or_default(),
        })
    }
}

fn upgraded_member(cx: &Cx<'_>, of: &Migration, member: &MigratingMember) -> Result<(About, Partitions), GroupError> {
    let refuse = |why: &str| {
        let text = format!("Cannot upgrade classic group {} to consumer group because {why}.", of.group);
        GroupError::GroupIdNotFound(text)
    };
    let malformed = || refuse("the embedded consumer protocol is malformed");
    let mut partitions = Partitions::new();
    // A member that joined and never synced has nothing.
    if !member.assignment.is_empty() {
        let assignment = protocol::assignment(&member.assignment).map_err(|_| malformed())?;
        if assignment.user_data.as_ref().is_some_and(|data| !data.is_empty()) {
            return Err(refuse(
                "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default \
                 assignor before re-attempting the upgrade",
            ));
        }
        partitions = protocol::partitions_of(&assignment, cx.image);
    }
    let (_, metadata) = member.protocols.first().ok_or_else(malformed)?;
    let subscription = protocol::subscription(metadata).map_err(|_| malformed())?;
    let about = About {
        instance: member.instance.clone(),
        rack: subscription.rack_id.filter(|rack| !rack.is_empty()),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        client: member.client.clone(),
        topics: subscription.topics.into_iter().collect(),
        classic: Some(classic_metadata(member.session_timeout_ms, &member.protocols)),
        ..About::default()
    };
    Ok((about, partitions))
}

fn settled(generation: i32, partitions: &Partitions) -> Current {
    let mut assigned = Owned::new();
    for (topic, partitions) in partitions {
        assigned.insert(*topic, partitions.iter().map(|partition| (*partition, generation)).collect());
    }
    let state = MemberState::Stable;
    Current { epoch: generation, previous_epoch: generation, state, assigned, revoking: Owned::new() }
}
