//! Who may commit and fetch offsets: members at their epoch, and nobody in their name (`ConsumerGroup.validateOffset*`).

use super::super::groups::Turn;
use super::super::{Commit, CommitPartition, Fetch, GroupError};
use super::Group;
use super::member::Member;

impl Group {
    /// Whether offsets may be committed; an error is of the whole request. Partitions whose metadata is too large are
    /// refused by the caller, and are not looked at here.
    pub(in crate::group) fn check_commit(
        &mut self,
        turn: &mut Turn<'_, '_>,
        commit: &Commit,
    ) -> Result<(), GroupError> {
        // Without members it may be an operator's tool, or a consumer that manages its partitions itself.
        if commit.generation < 0 && self.is_empty() {
            return Ok(());
        }
        let member = self.state.members.get(&*commit.member).ok_or(GroupError::UnknownMember)?;
        if member.about.classic.is_none() && !commit.takes_new_errors {
            return Err(GroupError::UnsupportedVersion);
        }
        if commit.generation == member.current.epoch {
            return Ok(());
        }
        if commit.generation > member.current.epoch {
            return Err(stale(member));
        }
        // The member moved on while the commit was under way. It still had what it was given at that epoch or before.
        let settings = turn.cx.settings;
        let is_looked_at =
            |partition: &&CommitPartition| partition.metadata.encode_utf16().count() <= settings.offset_metadata_max;
        for topic in &commit.topics {
            let named = || turn.cx.image.topic(&topic.name).map_or(topic.id, |topic| topic.id);
            let id = if topic.id == wire::Uuid::ZERO { named() } else { topic.id };
            for partition in topic.partitions.iter().filter(is_looked_at) {
                let assigned = member.current.assignment_epoch(&id, partition.index);
                if assigned.is_none_or(|assigned| commit.generation < assigned) {
                    return Err(stale(member));
                }
            }
        }
        Ok(())
    }

    pub(in crate::group) fn check_fetch(&self, fetch: &Fetch) -> Result<(), GroupError> {
        let id = match &fetch.member {
            None if fetch.member_epoch < 0 => return Ok(()),
            None => return Err(GroupError::UnknownMember),
            Some(id) => id,
        };
        let member = self.state.members.get(&**id).ok_or(GroupError::UnknownMember)?;
        if fetch.member_epoch == member.current.epoch { Ok(()) } else { Err(stale(member)) }
    }
}

/// A classic member takes its epoch for a generation.
fn stale(member: &Member) -> GroupError {
    if member.about.classic.is_some() { GroupError::IllegalGeneration } else { GroupError::StaleMemberEpoch }
}
