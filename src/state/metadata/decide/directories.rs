//! In which of its log directories a broker's replicas lie (KIP-858;
//! `ReplicationControlManager.handleAssignReplicasToDirs`).

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

/// Notes where replicas of `broker_id` lie. Answered for each: whether the metadata says so then; not where there is no
/// such replica, or the broker has no such directory.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::decide::{Registration, register_broker};
    use crate::metadata::tests::{Cluster, registration, topic};

    #[test]
    fn a_broker_says_in_which_directories_its_replicas_lie() {
        let mut c = Cluster::with_brokers(&[1, 2]);
        c.create(&[topic("a", 2, 2)]);
        let topic_id = c.image().topic("a").unwrap().id;
        let (first, second, foreign) = (Uuid(701), Uuid(801), Uuid(702));
        let both = Registration { log_dirs: vec![first, second], ..registration(1) };
        let registered = register_broker(c.image(), both, 0).unwrap();
        c.write(registered.records);

        let before = c.image().topic("a").unwrap().partitions.clone();
        let at = |partition, directory| AssignedDirectory { topic_id, partition, directory };
        let elsewhere = AssignedDirectory { topic_id: Uuid(5), ..at(0, first) };
        let asked = [at(0, first), at(1, second), at(1, foreign), at(2, first), elsewhere];
        let decision = assign_directories(c.image(), 1, &asked).unwrap();
        assert_eq!(decision.answers, [true, true, false, false, false]);
        assert!(matches!(decision.records[..], [MetadataRecord::PartitionChange(_)]));
        c.write(decision.records);
        let after = &c.image().topic("a").unwrap().partitions;
        assert_eq!(after[0], before[0]);
        assert_eq!((after[1].directory_of(1), after[1].directory_of(2)), (Some(second), Some(foreign)));
        assert_eq!(after[1].leader_epoch, before[1].leader_epoch);
    }
}
