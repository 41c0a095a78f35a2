//! Changing configurations (KIP-339 and the older AlterConfigs).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wire::generated::clear_elr_record::ClearElrRecord;
use wire::generated::config_record::ConfigRecord;
use wire::generated::metadata_record::MetadataRecord;

use super::{Decision, RequestTooLarge, check_count};
use crate::metadata::{ConfigResource, Configs, Image, ResourceType};

/// Longest value, in bytes: more does not fit a record.
const VALUE_BYTES_MAX: usize = i16::MAX as usize;
const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// What is known of configuration keys; given by whoever knows them.
pub trait ConfigRules {
    /// Whether the value is a list, to which something can be appended.
    fn is_list(&self, kind: ResourceType, key: &str) -> bool;
    /// What a key is worth when nothing is set for the resource; appending begins with it.
    fn default_value(&self, kind: ResourceType, key: &str) -> Option<String>;
    /// Whether a resource may have these configurations. `before` is what it had.
    fn validate(&self, resource: &ConfigResource, configs: &Configs, before: &Configs) -> Result<(), ConfigRefusal>;
}

/// Why configurations may not stand, in words for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigRefusal {
    /// A name or a value that can't be.
    Config(String),
    /// A change that can't be asked for.
    Request(String),
}

impl fmt::Display for ConfigRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Config(text) | Self::Request(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for ConfigRefusal {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpType {
    Set,
    Delete,
    Append,
    Subtract,
}

impl OpType {
    /// Kafka's `AlterConfigOp.OpType`; `None` for a number that it does not have.
    pub fn from_id(id: i8) -> Option<Self> {
        Some(match id {
            0 => Self::Set,
            1 => Self::Delete,
            2 => Self::Append,
            3 => Self::Subtract,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterOp {
    pub name: String,
    pub op: OpType,
    pub value: Option<String>,
}

/// One resource of IncrementalAlterConfigs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterResource {
    pub resource: ConfigResource,
    pub ops: Vec<AlterOp>,
}

/// One resource of AlterConfigs: everything that it is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterConfigs {
    pub resource: ConfigResource,
    pub configs: Vec<(String, Option<String>)>,
}

/// Why the configurations of a resource are not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterConfigError {
    DuplicateResource,
    DuplicateKey(String),
    NullValues(Vec<String>),
    UnsupportedType(ResourceType),
    /// A broker's resource is named by its id.
    BrokerName(String),
    UnknownBroker(i32),
    UnknownTopic(String),
    /// Appending to or subtracting from something that is no list.
    NotAList(String),
    /// Not allowed while eligible leader replicas are on: `min.insync.replicas` of one broker, or none for all.
    MinInsyncReplicas,
    /// What the configuration rules say.
    Refused(ConfigRefusal),
}

impl fmt::Display for AlterConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateResource => f.write_str("the request names the resource more than once"),
            Self::DuplicateKey(key) => write!(f, "the request names {key} more than once"),
            Self::NullValues(keys) => write!(f, "null is no value for {}", keys.join(", ")),
            Self::UnsupportedType(kind) => write!(f, "resources of type {} have no configurations here", kind.id()),
            Self::BrokerName(name) => write!(f, "{name:?} is not the id of a broker"),
            Self::UnknownBroker(id) => write!(f, "broker {id} is not registered"),
            Self::UnknownTopic(name) => write!(f, "there is no topic {name}"),
            Self::NotAList(key) => write!(f, "{key} is not a list"),
            Self::MinInsyncReplicas => {
                f.write_str("with eligible leader replicas, min.insync.replicas is set for all brokers together")
            }
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for AlterConfigError {}

/// What became of each resource, in the order of the request.
pub type AlterConfigAnswers = Vec<Result<(), AlterConfigError>>;

/// Changes single values. For validate_only the caller drops the records.
pub fn incremental_alter_configs(
    image: &Image,
    resources: &[AlterResource],
    rules: &dyn ConfigRules,
) -> Result<Decision<AlterConfigAnswers>, RequestTooLarge> {
    let repeated = repeated(resources.iter().map(|it| &it.resource));
    alter(resources, |it, records| {
        check_resource(image, &it.resource, &repeated)?;
        let changes = changes(image, it, rules)?;
        apply(image, &it.resource, changes, rules, records)
    })
}

/// Replaces all values of each resource: what is not named goes back to its default.
pub fn alter_configs(
    image: &Image,
    resources: &[AlterConfigs],
    rules: &dyn ConfigRules,
) -> Result<Decision<AlterConfigAnswers>, RequestTooLarge> {
    let repeated = repeated(resources.iter().map(|it| &it.resource));
    alter(resources, |it, records| {
        check_resource(image, &it.resource, &repeated)?;
        check_keys(it.configs.iter().map(|(name, value)| (name, value.is_none())))?;
        let mut changes: Changes = it.configs.iter().cloned().collect();
        for key in image.configs(it.resource.kind, &it.resource.name).into_iter().flat_map(BTreeMap::keys) {
            changes.entry(key.clone()).or_insert(None);
        }
        apply(image, &it.resource, changes, rules, records)
    })
}

/// New values by key; `None` removes.
type Changes = BTreeMap<String, Option<String>>;

fn alter<T>(
    resources: &[T],
    mut one: impl FnMut(&T, &mut Vec<MetadataRecord>) -> Result<(), AlterConfigError>,
) -> Result<Decision<AlterConfigAnswers>, RequestTooLarge> {
    let (mut records, mut answers) = (Vec::new(), Vec::new());
    for resource in resources {
        answers.push(one(resource, &mut records));
        check_count(&records)?;
    }
    Ok(Decision { records, answers })
}

fn repeated<'a>(resources: impl Iterator<Item = &'a ConfigResource>) -> BTreeSet<&'a ConfigResource> {
    let mut seen = BTreeSet::new();
    resources.filter(|resource| !seen.insert(*resource)).collect()
}

fn check_resource(
    image: &Image,
    resource: &ConfigResource,
    repeated: &BTreeSet<&ConfigResource>,
) -> Result<(), AlterConfigError> {
    if repeated.contains(resource) {
        return Err(AlterConfigError::DuplicateResource);
    }
    match resource.kind {
        ResourceType::Topic if image.topic(&resource.name).is_none() => {
            Err(AlterConfigError::UnknownTopic(resource.name.clone()))
        }
        ResourceType::Broker if !resource.name.is_empty() => {
            let id: i32 = resource.name.parse().map_err(|_| AlterConfigError::BrokerName(resource.name.clone()))?;
            image.broker(id).map(|_| ()).ok_or(AlterConfigError::UnknownBroker(id))
        }
        ResourceType::Topic | ResourceType::Broker | ResourceType::Group | ResourceType::ClientMetrics => Ok(()),
        kind @ (ResourceType::BrokerLogger | ResourceType::Other(_)) => Err(AlterConfigError::UnsupportedType(kind)),
    }
}

/// Keys of one resource, and whether their value is null without being allowed to.
fn check_keys<'a>(keys: impl Iterator<Item = (&'a String, bool)>) -> Result<(), AlterConfigError> {
    let (mut seen, mut nulls) = (BTreeSet::new(), Vec::new());
    for (key, null) in keys {
        if !seen.insert(key) {
            return Err(AlterConfigError::DuplicateKey(key.clone()));
        }
        if null {
            nulls.push(key.clone());
        }
    }
    if nulls.is_empty() { Ok(()) } else { Err(AlterConfigError::NullValues(nulls)) }
}

fn changes(image: &Image, it: &AlterResource, rules: &dyn ConfigRules) -> Result<Changes, AlterConfigError> {
    check_keys(it.ops.iter().map(|op| (&op.name, op.value.is_none() && op.op != OpType::Delete)))?;
    let (kind, name) = (it.resource.kind, it.resource.name.as_str());
    let mut changes = Changes::new();
    for op in &it.ops {
        let value = op.value.as_deref().unwrap_or_default();
        let value = match op.op {
            OpType::Set => Some(value.to_owned()),
            OpType::Delete => None,
            OpType::Append | OpType::Subtract => {
                if !rules.is_list(kind, &op.name) {
                    return Err(AlterConfigError::NotAList(op.name.clone()));
                }
                let current = image.config(kind, name, &op.name).map(str::to_owned);
                let current = current.or_else(|| rules.default_value(kind, &op.name)).unwrap_or_default();
                Some(edit_list(&current, value, op.op == OpType::Append))
            }
        };
        changes.insert(op.name.clone(), value);
    }
    Ok(changes)
}

/// Appending leaves out what is there; subtracting takes the first of equal elements.
fn edit_list(current: &str, values: &str, append: bool) -> String {
    let mut list: Vec<&str> = current.split(',').filter(|element| !element.is_empty()).collect();
    for value in values.split(',') {
        match list.iter().position(|element| *element == value) {
            None if append => list.push(value),
            Some(place) if !append => {
                list.remove(place);
            }
            _ => {}
        }
    }
    list.join(",")
}

fn apply(
    image: &Image,
    resource: &ConfigResource,
    changes: Changes,
    rules: &dyn ConfigRules,
    records: &mut Vec<MetadataRecord>,
) -> Result<(), AlterConfigError> {
    let before = image.configs(resource.kind, &resource.name).cloned().unwrap_or_default();
    let mut after = before.clone();
    let (mut news, mut clear_elr) = (Vec::new(), false);
    for (name, value) in changes {
        // Brokers load a value again that was set again: the record is written all the same.
        if before.get(&name) == value.as_ref() && resource.kind != ResourceType::Broker {
            continue;
        }
        if name == MIN_INSYNC_REPLICAS && image.has_elr() {
            check_min_insync_replicas(resource, value.is_none())?;
            clear_elr = true;
        }
        match &value {
            Some(value) => {
                check_value_size(value).map_err(|words| AlterConfigError::Refused(ConfigRefusal::Config(words)))?;
                after.insert(name.clone(), value.clone());
            }
            None => {
                after.remove(&name);
            }
        }
        let (resource_type, resource_name) = (resource.kind.id(), resource.name.clone());
        news.push(ConfigRecord { resource_type, resource_name, name, value }.into());
    }
    rules.validate(resource, &after, &before).map_err(AlterConfigError::Refused)?;
    records.append(&mut news);
    if clear_elr {
        // Who may lead was judged by the old number (KIP-966).
        let topic = resource.kind == ResourceType::Topic;
        let topic_name = if topic { resource.name.clone() } else { String::new() };
        records.push(ClearElrRecord { topic_name }.into());
    }
    Ok(())
}

fn check_min_insync_replicas(resource: &ConfigResource, removed: bool) -> Result<(), AlterConfigError> {
    let of_brokers = resource.kind == ResourceType::Broker;
    if of_brokers && (!resource.name.is_empty() || removed) {
        return Err(AlterConfigError::MinInsyncReplicas);
    }
    Ok(())
}

pub(super) fn check_value_size(value: &str) -> Result<(), String> {
    if value.len() <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(format!("a value of {} bytes is longer than {VALUE_BYTES_MAX}", value.len()))
}
