//! Changing the quotas of clients (KIP-546): Kafka's `ClientQuotaControlManager`. They are kept and described; nothing
//! here slows anybody down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wire::generated::client_quota_record::{ClientQuotaRecord, EntityData};
use wire::generated::metadata_record::MetadataRecord;

use super::{Decision, RequestTooLarge, check_count};
use crate::metadata::{Image, QuotaEntity};

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// The types that an entity is made of, as far as quotas know them.
pub const fn quota_entity_types() -> [&'static str; 3] {
    [USER, CLIENT_ID, IP]
}

/// What numbers a quota takes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Whole { max: f64 },
    Any,
}

const OF_CLIENTS: [(&str, Kind); 4] = [
    ("consumer_byte_rate", Kind::Whole { max: i64::MAX as f64 }),
    ("controller_mutation_rate", Kind::Any),
    ("producer_byte_rate", Kind::Whole { max: i64::MAX as f64 }),
    ("request_percentage", Kind::Any),
];
const OF_ADDRESSES: [(&str, Kind); 1] = [("connection_creation_rate", Kind::Whole { max: i32::MAX as f64 })];

/// An entity as it was asked for: type and name of each part.
pub type AskedEntity = Vec<(String, Option<String>)>;

/// What is to become of one entity's quotas; no value removes one.
#[derive(Debug, Clone, PartialEq)]
pub struct AlterQuotas {
    pub entity: AskedEntity,
    pub ops: Vec<(String, Option<f64>)>,
}

/// Why the quotas of an entity are not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaError {
    DuplicateEntity,
    DuplicateKey(String),
    EmptyEntity,
    DuplicateType(String),
    UnknownType(String),
    EmptyName(String),
    /// An address stands for itself.
    IpWithOthers,
    NotAnAddress(String),
    UnknownKey(String),
    NotPositive(String),
    TooLarge(String),
    Fraction(String),
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateEntity => f.write_str("the request names the entity more than once"),
            Self::DuplicateKey(key) => write!(f, "the request names {key} more than once"),
            Self::EmptyEntity => f.write_str("the entity has no part"),
            Self::DuplicateType(kind) => write!(f, "the entity has more than one {kind}"),
            Self::UnknownType(kind) => write!(f, "{kind:?} is no kind of entity that has quotas"),
            Self::EmptyName(kind) => write!(f, "the {kind} has an empty name"),
            Self::IpWithOthers => f.write_str("an ip stands alone, without user or client-id"),
            Self::NotAnAddress(name) => write!(f, "{name:?} is not an IP address"),
            Self::UnknownKey(key) => write!(f, "{key} is no quota of this entity"),
            Self::NotPositive(key) => write!(f, "{key} must be above 0"),
            Self::TooLarge(key) => write!(f, "the value of {key} is too large"),
            Self::Fraction(key) => write!(f, "{key} must be a whole number"),
        }
    }
}

impl std::error::Error for QuotaError {}

/// What became of each entity, in the order of the request.
pub type AlterQuotasAnswers = Vec<Result<(), QuotaError>>;

/// Sets and removes quotas. For validate_only the caller drops the records.
pub fn alter_client_quotas(
    image: &Image,
    alterations: &[AlterQuotas],
) -> Result<Decision<AlterQuotasAnswers>, RequestTooLarge> {
    let (mut records, mut answers, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for alteration in alterations {
        let mut sorted = alteration.entity.clone();
        sorted.sort();
        let altered = if seen.insert(sorted) { alter(image, alteration) } else { Err(QuotaError::DuplicateEntity) };
        answers.push(altered.map(|mut more| records.append(&mut more)));
        check_count(&records)?;
    }
    Ok(Decision { records, answers })
}

fn alter(image: &Image, alteration: &AlterQuotas) -> Result<Vec<MetadataRecord>, QuotaError> {
    let mut ops = BTreeMap::new();
    for (key, value) in &alteration.ops {
        if ops.insert(key, *value).is_some() {
            return Err(QuotaError::DuplicateKey(key.clone()));
        }
    }
    let entity = check_entity(&alteration.entity)?;
    let kinds: &[(&str, Kind)] = if entity[0].0 == IP { &OF_ADDRESSES } else { &OF_CLIENTS };
    let parts = entity.iter().map(|(kind, name)| EntityData { entity_type: kind.clone(), entity_name: name.clone() });
    let parts: Vec<EntityData> = parts.collect();
    let mut records = Vec::new();
    for (key, value) in ops {
        let before = image.quota(&entity, key);
        if let Some(value) = value {
            check_value(kinds, key, value)?;
        }
        if before == value {
            continue;
        }
        let (remove, value) = (value.is_none(), value.unwrap_or_default());
        records.push(ClientQuotaRecord { entity: parts.clone(), key: key.clone(), value, remove }.into());
    }
    Ok(records)
}

fn check_entity(asked: &AskedEntity) -> Result<QuotaEntity, QuotaError> {
    if asked.is_empty() {
        return Err(QuotaError::EmptyEntity);
    }
    let mut entity = asked.clone();
    entity.sort();
    for (index, (kind, name)) in entity.iter().enumerate() {
        if !quota_entity_types().contains(&kind.as_str()) {
            return Err(QuotaError::UnknownType(kind.clone()));
        }
        if index > 0 && entity[index - 1].0 == *kind {
            return Err(QuotaError::DuplicateType(kind.clone()));
        }
        if name.as_deref() == Some("") {
            return Err(QuotaError::EmptyName(kind.clone()));
        }
    }
    let ip = entity.iter().find(|(kind, _)| kind == IP);
    match ip {
        Some(_) if entity.len() > 1 => Err(QuotaError::IpWithOthers),
        // Kafka would also ask the name service, whose answer may be another one tomorrow.
        Some((_, Some(name))) if name.parse::<std::net::IpAddr>().is_err() && name != "localhost" => {
            Err(QuotaError::NotAnAddress(name.clone()))
        }
        _ => Ok(entity),
    }
}

fn check_value(kinds: &[(&str, Kind)], key: &str, value: f64) -> Result<(), QuotaError> {
    let (_, kind) =
        kinds.iter().find(|(known, _)| *known == key).ok_or_else(|| QuotaError::UnknownKey(key.to_owned()))?;
    if value.is_nan() || value <= 0.0 {
        return Err(QuotaError::NotPositive(key.to_owned()));
    }
    match kind {
        Kind::Whole { max } if value > *max => Err(QuotaError::TooLarge(key.to_owned())),
        Kind::Whole { .. } if (value % 1.0).abs() > 1e-6 => Err(QuotaError::Fraction(key.to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::Cluster;

    fn quotas(entity: &[(&str, Option<&str>)], ops: &[(&str, Option<f64>)]) -> AlterQuotas {
        AlterQuotas {
            entity: entity.iter().map(|(kind, name)| (kind.to_string(), name.map(str::to_owned))).collect(),
            ops: ops.iter().map(|(key, value)| (key.to_string(), *value)).collect(),
        }
    }

    #[test]
    fn quotas_are_set_and_removed() {
        let mut c = Cluster::with_brokers(&[1]);
        let ann = [("user", Some("ann"))];
        let set = quotas(&ann, &[("producer_byte_rate", Some(1024.0)), ("consumer_byte_rate", None)]);
        let decision = alter_client_quotas(c.image(), std::slice::from_ref(&set)).unwrap();
        assert_eq!((decision.records.len(), decision.answers.as_slice()), (1, &[Ok(())][..]));
        c.write(decision.records);
        let entity: QuotaEntity = vec![("user".to_owned(), Some("ann".to_owned()))];
        assert_eq!(c.image().quota(&entity, "producer_byte_rate"), Some(1024.0));
        // What is so already needs no record.
        assert_eq!(alter_client_quotas(c.image(), &[set]).unwrap().records, []);
        let removed = alter_client_quotas(c.image(), &[quotas(&ann, &[("producer_byte_rate", None)])]).unwrap();
        c.write(removed.records);
        assert_eq!(c.image().quotas().count(), 0);
    }

    #[test]
    fn refusals() {
        let c = Cluster::with_brokers(&[1]);
        let said = |entity: &[(&str, Option<&str>)], ops: &[(&str, Option<f64>)]| {
            let answers = alter_client_quotas(c.image(), &[quotas(entity, ops)]).unwrap().answers;
            answers[0].as_ref().map_or_else(|error| format!("{error:?}"), |()| "fine".to_owned())
        };
        let user = [("user", None)];
        assert_eq!(said(&user, &[("request_percentage", Some(0.5))]), "fine");
        assert_eq!(said(&user, &[("producer_byte_rate", Some(0.5))]), "Fraction(\"producer_byte_rate\")");
        assert_eq!(said(&user, &[("producer_byte_rate", Some(0.0))]), "NotPositive(\"producer_byte_rate\")");
        assert_eq!(said(&user, &[("request_percentage", Some(f64::NAN))]), "NotPositive(\"request_percentage\")");
        assert_eq!(said(&user, &[("connection_creation_rate", Some(1.0))]), "UnknownKey(\"connection_creation_rate\")");
        assert_eq!(
            said(&[("ip", Some("127.0.0.1"))], &[("connection_creation_rate", Some(3e9))]).split('(').next(),
            Some("TooLarge")
        );
        assert_eq!(said(&[("ip", Some("here"))], &[]), "NotAnAddress(\"here\")");
        assert_eq!(said(&[("ip", None), ("user", None)], &[]), "IpWithOthers");
        assert_eq!(said(&[("user", None), ("user", Some("a"))], &[]), "DuplicateType(\"user\")");
        assert_eq!(said(&[("shoe", None)], &[]), "UnknownType(\"shoe\")");
        assert_eq!(said(&[], &[]), "EmptyEntity");
        assert_eq!(
            said(&user, &[("request_percentage", None), ("request_percentage", None)]),
            "DuplicateKey(\"request_percentage\")"
        );
        let twice = [quotas(&user, &[]), quotas(&user, &[])];
        assert_eq!(alter_client_quotas(c.image(), &twice).unwrap().answers[1], Err(QuotaError::DuplicateEntity));
    }
}
