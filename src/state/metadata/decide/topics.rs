//! Creating and deleting topics.

use std::collections::BTreeMap;
use std::fmt;

use wire::Uuid;
use wire::generated::config_record::ConfigRecord;
use wire::generated::metadata_record::MetadataRecord;
use wire::generated::remove_topic_record::RemoveTopicRecord;
use wire::generated::topic_record::TopicRecord;

use super::configs::{ConfigRules, check_value_size};
use super::partitions::{AssignmentError, add_partition_records, assign, assign_by_hand};
use super::{Decision, RECORDS_PER_REQUEST_MAX, RequestTooLarge, check_count};
use crate::metadata::names::{self, CLUSTER_METADATA_TOPIC, TopicNameError, check_topic_name};
use crate::metadata::placement::PlacementError;
use crate::metadata::{ConfigResource, Configs, Image, ResourceType};

/// A topic to be created, as CreateTopics asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTopic {
    pub name: String,
    /// -1: the default; also when `assignments` are given.
    pub num_partitions: i32,
    /// -1: the default; also when `assignments` are given.
    pub replication_factor: i16,
    /// Partition index and its replicas, the preferred leader first. Empty: the controller places them.
    pub assignments: Vec<(i32, Vec<i32>)>,
    pub configs: Vec<(String, Option<String>)>,
}

/// What -1 means: `num.partitions` and `default.replication.factor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicDefaults {
    pub num_partitions: i32,
    pub replication_factor: i16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedTopic {
    pub id: Uuid,
    pub num_partitions: i32,
    pub replication_factor: i16,
}

/// Why a topic is not created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateTopicError {
    /// The request names it more than once.
    Duplicate,
    /// The topic of the metadata log.
    Reserved,
    Exists,
    Name(TopicNameError),
    /// Differs from an existing topic only in dots and underscores.
    Similar(String),
    NullConfigs(Vec<String>),
    /// What the configuration rules say.
    Config(String),
    /// Assignments were given together with a partition count or a replication factor.
    CountsWithAssignments,
    NumPartitions(i32),
    ReplicationFactor(i16),
    Placement(PlacementError),
    Assignment(AssignmentError),
}

impl fmt::Display for CreateTopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate => f.write_str("the request names the topic more than once"),
            Self::Reserved => f.write_str("the topic of the metadata log cannot be created"),
            Self::Exists => f.write_str("the topic already exists"),
            Self::Name(error) => error.fmt(f),
            Self::Similar(other) => write!(f, "the name differs from {other} only in dots and underscores"),
            Self::NullConfigs(names) => write!(f, "null is no value for {}", names.join(", ")),
            Self::Config(text) => f.write_str(text),
            Self::CountsWithAssignments => {
                f.write_str("with replica assignments, partition count and replication factor have to be -1")
            }
            Self::NumPartitions(count) => write!(f, "the partition count {count} is neither above 0 nor -1"),
            Self::ReplicationFactor(factor) => write!(f, "the replication factor {factor} is neither above 0 nor -1"),
            Self::Placement(error) => error.fmt(f),
            Self::Assignment(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CreateTopicError {}

/// What became of each topic, by name.
pub type CreateTopicAnswers = Vec<(String, Result<CreatedTopic, CreateTopicError>)>;

/// Creates those of the topics that can be created. The answers hold each name once: names that stand once in the
/// request in its order, then those that stand there more often. For a request that only wants to know (validate_only)
/// the records are dropped by the caller.
///
/// `new_id` gives topic ids that were never used; `start` is chance, for the placement of replicas.
pub fn create_topics(
    image: &Image,
    topics: &[CreateTopic],
    defaults: TopicDefaults,
    rules: &dyn ConfigRules,
    new_id: &mut dyn FnMut() -> Uuid,
    start: usize,
) -> Result<Decision<CreateTopicAnswers>, RequestTooLarge> {
    check_partition_count(topics, defaults)?;
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in topics {
        *times.entry(&topic.name).or_default() += 1;
    }
    let (mut records, mut answers) = (Vec::new(), Vec::new());
    for topic in topics.iter().filter(|topic| times.get(topic.name.as_str()) == Some(&1)) {
        let created = create_topic(image, topic, defaults, rules, new_id, start, &mut records);
        answers.push((topic.name.clone(), created));
        check_count(&records)?;
    }
    let duplicates = times.into_iter().filter(|(_, times)| *times > 1);
    answers.extend(duplicates.map(|(name, _)| (name.to_owned(), Err(CreateTopicError::Duplicate))));
    Ok(Decision { records, answers })
}

/// Counts before any partition is made.
fn check_partition_count(topics: &[CreateTopic], defaults: TopicDefaults) -> Result<(), RequestTooLarge> {
    let count = |topic: &CreateTopic| {
        let asked = if topic.num_partitions == -1 { defaults.num_partitions } else { topic.num_partitions };
        if topic.assignments.is_empty() { asked.max(0) as usize } else { topic.assignments.len() }
    };
    let total = topics.iter().map(count).fold(0usize, usize::saturating_add);
    if total > RECORDS_PER_REQUEST_MAX { Err(RequestTooLarge) } else { Ok(()) }
}

fn create_topic(
    image: &Image,
    topic: &CreateTopic,
    defaults: TopicDefaults,
    rules: &dyn ConfigRules,
    new_id: &mut dyn FnMut() -> Uuid,
    start: usize,
    records: &mut Vec<MetadataRecord>,
) -> Result<CreatedTopic, CreateTopicError> {
    check_name(image, &topic.name)?;
    let configs = check_configs(topic, rules)?;
    let replicas = place(image, topic, defaults, start)?;
    let id = new_id();
    records.push(TopicRecord { name: topic.name.clone(), topic_id: id }.into());
    for (name, value) in configs {
        let (resource_type, resource_name) = (ResourceType::Topic.id(), topic.name.clone());
        records.push(ConfigRecord { resource_type, resource_name, name, value: Some(value) }.into());
    }
    let created = CreatedTopic {
        id,
        num_partitions: replicas.len() as i32,
        replication_factor: replicas.first().map_or(0, |first| first.len() as i16),
    };
    add_partition_records(image, id, 0, replicas, records);
    Ok(created)
}

fn check_name(image: &Image, name: &str) -> Result<(), CreateTopicError> {
    if name == CLUSTER_METADATA_TOPIC {
        return Err(CreateTopicError::Reserved);
    }
    if image.topic(name).is_some() {
        return Err(CreateTopicError::Exists);
    }
    check_topic_name(name).map_err(CreateTopicError::Name)?;
    let unified = names::unified(name);
    match unified.and_then(|unified| image.similar_names.get(&unified)) {
        Some(other) => Err(CreateTopicError::Similar(other.to_string())),
        None => Ok(()),
    }
}

/// The last of several values for one key counts.
fn check_configs(topic: &CreateTopic, rules: &dyn ConfigRules) -> Result<Configs, CreateTopicError> {
    let nulls = topic.configs.iter().filter(|(_, value)| value.is_none());
    let nulls: Vec<String> = nulls.map(|(name, _)| name.clone()).collect();
    if !nulls.is_empty() {
        return Err(CreateTopicError::NullConfigs(nulls));
    }
    let configs: Configs =
        topic.configs.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
    if configs.is_empty() {
        return Ok(configs);
    }
    configs.values().try_for_each(|value| check_value_size(value)).map_err(CreateTopicError::Config)?;
    let resource = ConfigResource::topic(&topic.name);
    let checked = rules.validate(&resource, &configs, &Configs::new());
    checked.map_err(|refusal| CreateTopicError::Config(refusal.to_string()))?;
    Ok(configs)
}

fn place(
    image: &Image,
    topic: &CreateTopic,
    defaults: TopicDefaults,
    start: usize,
) -> Result<Vec<Vec<i32>>, CreateTopicError> {
    if !topic.assignments.is_empty() {
        if topic.replication_factor != -1 || topic.num_partitions != -1 {
            return Err(CreateTopicError::CountsWithAssignments);
        }
        return assign_by_index(image, &topic.assignments).map_err(CreateTopicError::Assignment);
    }
    let factor = match topic.replication_factor {
        -1 => defaults.replication_factor,
        factor if factor > 0 => factor,
        factor => return Err(CreateTopicError::ReplicationFactor(factor)),
    };
    let count = match topic.num_partitions {
        -1 => defaults.num_partitions,
        count if count > 0 => count,
        count => return Err(CreateTopicError::NumPartitions(count)),
    };
    assign(image, count.max(0) as usize, i32::from(factor), start).map_err(CreateTopicError::Placement)
}

/// Partitions may come in any order, but without gaps.
fn assign_by_index(image: &Image, assignments: &[(i32, Vec<i32>)]) -> Result<Vec<Vec<i32>>, AssignmentError> {
    let mut by_index: BTreeMap<i32, &Vec<i32>> = BTreeMap::new();
    for (index, replicas) in assignments {
        if by_index.insert(*index, replicas).is_some() {
            return Err(AssignmentError::DuplicatePartition(*index));
        }
    }
    if let Some((index, _)) = by_index.keys().zip(0..).find(|(index, expected)| **index != *expected) {
        return Err(AssignmentError::NotConsecutive(*index));
    }
    let replicas: Vec<Vec<i32>> = by_index.into_values().cloned().collect();
    assign_by_hand(image, 0, &replicas, None)?;
    Ok(replicas)
}

/// A topic to be deleted: by name or by id, not both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteTopic {
    pub name: Option<String>,
    pub id: Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteTopicError {
    NeitherNameNorId,
    NameAndId,
    DuplicateName,
    DuplicateId,
    /// The topic is named by name and by id.
    NameOfId,
    UnknownName,
    UnknownId,
}

impl fmt::Display for DeleteTopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeitherNameNorId => "neither the name nor the id of a topic is given",
            Self::NameAndId => "both the name and the id of a topic are given",
            Self::DuplicateName | Self::DuplicateId | Self::NameOfId => "the request names the topic more than once",
            Self::UnknownName => "there is no topic of this name",
            Self::UnknownId => "there is no topic with this id",
        })
    }
}

impl std::error::Error for DeleteTopicError {}

/// What became of one topic. Both name and id are there when it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedTopic {
    pub name: Option<String>,
    pub id: Uuid,
    pub result: Result<(), DeleteTopicError>,
}

/// Deletes those of the topics that can be deleted. A topic that is named more than once is answered for once, with an
/// error, and stays.
pub fn delete_topics(image: &Image, topics: &[DeleteTopic]) -> Result<Decision<Vec<DeletedTopic>>, RequestTooLarge> {
    let mut times: BTreeMap<(Option<&str>, Uuid), usize> = BTreeMap::new();
    for topic in topics {
        *times.entry((topic.name.as_deref(), topic.id)).or_default() += 1;
    }
    let mut answers = Vec::new();
    let mut found: BTreeMap<Uuid, DeletedTopic> = BTreeMap::new();
    for ((name, id), times) in times {
        match find(image, name, id, times) {
            Err(error) => answers.push(DeletedTopic { name: name.map(str::to_owned), id, result: Err(error) }),
            // Once by name and once by id.
            Ok((_, id)) if found.contains_key(&id) => {
                found.entry(id).and_modify(|answer| answer.result = Err(DeleteTopicError::NameOfId));
            }
            Ok((name, id)) => {
                found.insert(id, DeletedTopic { name: Some(name), id, result: Ok(()) });
            }
        }
    }
    let chosen = found.values().filter(|answer| answer.result.is_ok());
    let records: Vec<MetadataRecord> = chosen.map(|answer| RemoveTopicRecord { topic_id: answer.id }.into()).collect();
    check_count(&records)?;
    answers.extend(found.into_values());
    Ok(Decision { records, answers })
}

fn find(image: &Image, name: Option<&str>, id: Uuid, times: usize) -> Result<(String, Uuid), DeleteTopicError> {
    let topic = match (name, id) {
        (None, Uuid::ZERO) => return Err(DeleteTopicError::NeitherNameNorId),
        (Some(_), Uuid::ZERO) if times > 1 => return Err(DeleteTopicError::DuplicateName),
        (None, _) if times > 1 => return Err(DeleteTopicError::DuplicateId),
        (Some(name), Uuid::ZERO) => image.topic(name).ok_or(DeleteTopicError::UnknownName)?,
        (None, id) => image.topic_by_id(&id).ok_or(DeleteTopicError::UnknownId)?,
        (Some(_), _) => return Err(DeleteTopicError::NameAndId),
    };
    Ok((topic.name.to_string(), topic.id))
}
