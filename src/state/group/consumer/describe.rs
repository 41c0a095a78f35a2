//! What ConsumerGroupDescribe and ListGroups show.

use wire::Uuid;

use super::super::{Cx, DescribedConsumerGroup, DescribedConsumerMember, ListedGroup};
use super::Group;
use super::member::Member;
use crate::metadata::Image;

impl Group {
    /// Its members by id. Topics that are gone are left out of what they have.
    pub(in crate::group) fn describe(&self, cx: &Cx<'_>) -> DescribedConsumerGroup {
        let assignors = &cx.settings.consumer_assignors;
        let assignor = self.state.preferred_assignor(assignors).or(assignors.first().map(String::as_str));
        DescribedConsumerGroup {
            state: self.state_name(),
            epoch: self.state.epoch,
            assignment_epoch: self.state.assignment_epoch,
            assignor: assignor.unwrap_or_default().into(),
            members: self.state.members.iter().map(|(id, member)| self.described(id, member, cx.image)).collect(),
        }
    }

    pub(in crate::group) fn listed(&self) -> ListedGroup {
        ListedGroup {
            group: self.id.as_ref().into(),
            protocol_type: super::protocol::PROTOCOL_TYPE.into(),
            state: self.state_name(),
            kind: "Consumer",
        }
    }

    fn state_name(&self) -> &'static str {
        let is_reconciled = |member: &Member| member.current.is_reconciled_to(self.state.assignment_epoch);
        if self.is_empty() {
            "Empty"
        } else if self.state.epoch > self.state.assignment_epoch {
            "Assigning"
        } else if self.state.members.values().all(is_reconciled) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    fn described(&self, id: &str, member: &Member, image: &Image) -> DescribedConsumerMember {
        let Member { about, current } = member;
        let mut has = current.assigned.clone();
        for (topic, partitions) in &current.revoking {
            has.entry(*topic).or_default().extend(partitions);
        }
        let exists = |topic: &Uuid| image.topic_name(topic).is_some();
        let target = self.state.targets.get(id).into_iter().flatten();
        DescribedConsumerMember {
            member: id.into(),
            instance: about.instance.as_deref().map(str::to_owned),
            rack: about.rack.clone(),
            epoch: current.epoch,
            client: about.client.clone(),
            topics: about.topics.iter().cloned().collect(),
            regex: Some(about.regex.clone()),
            assignment: super::member::listed(&has).into_iter().filter(|(topic, _)| exists(topic)).collect(),
            target: target
                .filter(|(topic, _)| exists(topic))
                .map(|(topic, partitions)| (*topic, partitions.iter().copied().collect()))
                .collect(),
            is_classic: about.classic.is_some(),
        }
    }
}
