//! In which of its log directories a broker's replicas lie (KIP-858; `ReplicationControlManager.handleAssignReplicasToDirs`).

use wire::Uuid;
use wire::generated::metadata_record::MetadataRecord;
use wire::generated::partition_change_record::PartitionChangeRecord;

use super::{Decision, RequestTooLarge, check_count};
use crate::metadata::Image;

/// A replica of a broker, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssignedDirectory {
    pub topic_id: Uuid,
    pub partition: i32,
    pub directory: Uuid,
}

/// Notes where replicas of `broker_id` lie. Answered for each: whether the metadata says so then; not where there is no such
/// replica, or the broker has no such directory.
pub fn assign_directories(
    image: &Image,
    broker_id: i32,
    assigned: &[AssignedDirectory],
) -> Result<Decision<Vec<bool>>, RequestTooLarge> {
    let mut records = Vec::new();
    let mut note = |one: &AssignedDirectory| {
        let change = change(image, broker_id, *one);
        let is_known = change.is_some();
        records.extend(change.flatten());
        is_known
    };
    let answers = assigned.iter().map(&mut note).collect();
    check_count(&records)?;
    Ok(Decision { records, answers })
}

/// `Some(None)`: the metadata says so already.
fn change(image: &Image, broker_id: i32, assigned: AssignedDirectory) -> Option<Option<MetadataRecord>> {
    let AssignedDirectory { topic_id, partition: partition_id, directory } = assigned;
    let partition = image.topic_by_id(&topic_id)?.partition(partition_id)?;
    let at = partition.replicas.iter().position(|replica| *replica == broker_id)?;
    image.broker(broker_id)?.log_dirs.contains(&directory).then_some(())?;
    let mut directories = partition.directories.clone();
    if std::mem::replace(directories.get_mut(at)?, directory) == directory {
        return Some(None);
    }
    let record = PartitionChangeRecord { topic_id, partition_id, directories: Some(directories), ..Default::default() };
    Some(Some(record.into()))
}
