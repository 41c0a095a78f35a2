//! New partitions: where they go, and adding some to a topic.

use std::collections::BTreeMap;
use std::fmt;

use wire::Uuid;
use wire::generated::metadata_record::MetadataRecord;

use super::{Decision, RECORDS_PER_REQUEST_MAX, RequestTooLarge};
use crate::metadata::placement::{PlacementError, place_replicas};
use crate::metadata::snapshot::partition_record;
use crate::metadata::{Image, Partition};

/// Why replicas that were assigned by hand are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignmentError {
    DuplicatePartition(i32),
    /// The indexes do not go 0, 1, 2, ...
    NotConsecutive(i32),
    /// A partition without replicas.
    Empty(i32),
    UnknownBroker(i32),
    DuplicateBroker(i32),
    /// Not as many replicas as the other partitions have.
    ReplicationFactor {
        partition: i32,
        replicas: usize,
        expected: usize,
    },
    NoActiveBroker(i32),
    /// Not one assignment for each new partition.
    Count {
        assignments: usize,
        partitions: usize,
    },
}

impl fmt::Display for AssignmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicatePartition(index) => write!(f, "partition {index} is assigned more than once"),
            Self::NotConsecutive(index) => write!(f, "partition {index} does not follow the partitions before it"),
            Self::Empty(index) => write!(f, "partition {index} is assigned to no broker"),
            Self::UnknownBroker(id) => write!(f, "broker {id} is not registered"),
            Self::DuplicateBroker(id) => write!(f, "broker {id} is assigned more than one replica of a partition"),
            Self::ReplicationFactor { partition, replicas, expected } => {
                write!(f, "partition {partition} has {replicas} replicas, the others have {expected}")
            }
            Self::NoActiveBroker(index) => write!(f, "every broker of partition {index} is fenced or shutting down"),
            Self::Count { assignments, partitions } => {
                write!(f, "there are {assignments} assignments for {partitions} new partitions")
            }
        }
    }
}

impl std::error::Error for AssignmentError {}

/// A topic that is to have more partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartitions {
    pub topic: String,
    /// How many it is to have in total.
    pub count: i32,
    /// The replicas of each new partition.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// Why a topic does not get more partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreatePartitionsError {
    Duplicate,
    UnknownTopic,
    /// The topic has as many or more.
    NotMore {
        count: i32,
        current: usize,
    },
    Assignment(AssignmentError),
    Placement(PlacementError),
}

impl fmt::Display for CreatePartitionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate => f.write_str("the request names the topic more than once"),
            Self::UnknownTopic => f.write_str("there is no topic of this name"),
            Self::NotMore { count, current } => {
                write!(f, "the topic has {current} partitions, {count} is not more than that")
            }
            Self::Assignment(error) => error.fmt(f),
            Self::Placement(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CreatePartitionsError {}

/// What became of each topic, by name.
pub type CreatePartitionsAnswers = Vec<(String, Result<(), CreatePartitionsError>)>;

/// Adds partitions to those of the topics that can have more. Names that stand once in the request are answered in its
/// order, then those that stand there more often. For validate_only the caller drops the records.
pub fn create_partitions(
    image: &Image,
    topics: &[NewPartitions],
) -> Result<Decision<CreatePartitionsAnswers>, RequestTooLarge> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in topics {
        *times.entry(&topic.topic).or_default() += 1;
    }
    let (mut records, mut answers) = (Vec::new(), Vec::new());
    for topic in topics.iter().filter(|topic| times.get(topic.topic.as_str()) == Some(&1)) {
        let current = image.topic(&topic.topic).map_or(0, |found| found.partitions.len());
        let more = usize::try_from(topic.count).unwrap_or(0).saturating_sub(current);
        if image.topic(&topic.topic).is_some() && more > RECORDS_PER_REQUEST_MAX - records.len() {
            return Err(RequestTooLarge);
        }
        answers.push((topic.topic.clone(), add_partitions(image, topic, &mut records)));
    }
    let duplicates = times.into_iter().filter(|(_, times)| *times > 1);
    answers.extend(duplicates.map(|(name, _)| (name.to_owned(), Err(CreatePartitionsError::Duplicate))));
    Ok(Decision { records, answers })
}

fn add_partitions(
    image: &Image,
    asked: &NewPartitions,
    records: &mut Vec<MetadataRecord>,
) -> Result<(), CreatePartitionsError> {
    let topic = image.topic(&asked.topic).ok_or(CreatePartitionsError::UnknownTopic)?;
    let current = topic.partitions.len();
    let total = usize::try_from(asked.count).unwrap_or(0);
    if total <= current {
        return Err(CreatePartitionsError::NotMore { count: asked.count, current });
    }
    let factor = topic.partitions.first().map_or(1, |first| first.replicas.len());
    let replicas = match &asked.assignments {
        Some(assignments) if assignments.len() != total - current => {
            let error = AssignmentError::Count { assignments: assignments.len(), partitions: total - current };
            return Err(CreatePartitionsError::Assignment(error));
        }
        Some(assignments) => {
            assign_by_hand(image, current, assignments, Some(factor)).map_err(CreatePartitionsError::Assignment)?;
            assignments.clone()
        }
        None => {
            let start = current.wrapping_add(topic.id.0 as usize);
            assign(image, total - current, factor as i32, start).map_err(CreatePartitionsError::Placement)?
        }
    };
    add_partition_records(image, topic.id, current, replicas, records);
    Ok(())
}

/// Replicas that the controller chooses; each partition has one that is up.
pub(super) fn assign(image: &Image, count: usize, factor: i32, start: usize) -> Result<Vec<Vec<i32>>, PlacementError> {
    place_replicas(image, count, factor, start)
}

/// Checks replicas that the request chose: `first` is the index of the first of these partitions.
pub(super) fn assign_by_hand(
    image: &Image,
    first: usize,
    partitions: &[Vec<i32>],
    factor: Option<usize>,
) -> Result<(), AssignmentError> {
    let expected = factor.or(partitions.first().map(Vec::len)).unwrap_or(0);
    for (replicas, index) in partitions.iter().zip(first as i32..) {
        if replicas.is_empty() {
            return Err(AssignmentError::Empty(index));
        }
        for (place, id) in replicas.iter().enumerate() {
            if image.broker(*id).is_none() {
                return Err(AssignmentError::UnknownBroker(*id));
            }
            if replicas[..place].contains(id) {
                return Err(AssignmentError::DuplicateBroker(*id));
            }
        }
        if replicas.len() != expected {
            return Err(AssignmentError::ReplicationFactor { partition: index, replicas: replicas.len(), expected });
        }
        if !replicas.iter().any(|id| is_active(image, *id)) {
            return Err(AssignmentError::NoActiveBroker(index));
        }
    }
    Ok(())
}

/// The records of new partitions: in sync are the replicas that are up, the first of them leads.
pub(super) fn add_partition_records(
    image: &Image,
    topic_id: Uuid,
    first: usize,
    partitions: Vec<Vec<i32>>,
    records: &mut Vec<MetadataRecord>,
) {
    records.reserve(partitions.len());
    for (replicas, index) in partitions.into_iter().zip(first as i32..) {
        let isr: Vec<i32> = replicas.iter().copied().filter(|id| is_active(image, *id)).collect();
        let directory = |id: &i32| image.broker(*id).map_or(Uuid::MIGRATING_DIR, |broker| broker.default_dir());
        let partition = Partition {
            directories: replicas.iter().map(directory).collect(),
            leader: isr.first().copied().unwrap_or(-1),
            replicas,
            isr,
            ..Partition::absent()
        };
        records.push(partition_record(topic_id, index, &partition).into());
    }
}

fn is_active(image: &Image, id: i32) -> bool {
    image.broker(id).is_some_and(|broker| broker.is_active())
}
