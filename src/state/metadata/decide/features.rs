//! Changing the finalised levels of features (KIP-584): Kafka's `FeatureControlManager`.

use std::collections::BTreeMap;
use std::fmt;

use wire::generated::config_record::ConfigRecord;
use wire::generated::feature_level_record::FeatureLevelRecord;
use wire::generated::metadata_record::MetadataRecord;
use wire::generated::no_op_record::NoOpRecord;

use super::Decision;
use crate::metadata::features::{
    ELIGIBLE_LEADER_REPLICAS, KRAFT_VERSION, Levels, METADATA_VERSION, loses_metadata, supported_features,
};
use crate::metadata::{Image, ResourceType};

const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
/// `eligible.leader.replicas.version` 1 needs metadata.version 4.0-IV1.
const ELR_METADATA_VERSION: i16 = 23;

/// What a level may do to what was finalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeType {
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
}

impl UpgradeType {
    /// Kafka's `FeatureUpdate.UpgradeType`; `None` for a number that it does not have.
    pub fn from_id(id: i8) -> Option<Self> {
        Some(match id {
            1 => Self::Upgrade,
            2 => Self::SafeDowngrade,
            3 => Self::UnsafeDowngrade,
            _ => return None,
        })
    }
}

/// One feature of UpdateFeatures. `None` is an upgrade type that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureUpdate {
    pub name: String,
    pub level: i16,
    pub upgrade_type: Option<UpgradeType>,
}

/// What the decision has to know beside the image.
#[derive(Debug, Clone, Copy)]
pub struct FeatureRules {
    pub levels: Levels,
    /// The voters can be written into the metadata log: their addresses are known.
    pub voters_have_addresses: bool,
    /// What a broker's file says about `min.insync.replicas`: the cluster's when eligible leader replicas are turned on.
    pub min_insync_replicas: i32,
}

/// What was found right, beside the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeaturesUpdated {
    /// The level that `kraft.version` goes to. The quorum writes its own records for that, before the others.
    pub kraft_version: Option<i16>,
}

/// Why a level is not changed; one feature's error refuses the whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureError {
    pub name: String,
    pub level: i16,
    pub why: FeatureRefusal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureRefusal {
    UpgradeType,
    Negative,
    Unknown,
    NotSupported {
        min: i16,
        max: i16,
    },
    /// Lower than now, without being called a downgrade.
    IsDowngrade(i16),
    /// Higher than now, though called a downgrade.
    IsUpgrade(i16),
    /// Records of the newer metadata.version would have no place.
    LosesMetadata(i16),
    /// The voters do not leave the metadata log again.
    VotersStay,
    /// The voters stand in `controller.quorum.voters`, and have no address that could stand in the log.
    NoAddresses,
    /// Needs another feature at this level.
    Needs(&'static str, i16),
}

impl fmt::Display for FeatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} can't be set to {}: ", self.name, self.level)?;
        match &self.why {
            FeatureRefusal::UpgradeType => f.write_str("upgrade types are 1 (upgrade), 2 and 3 (downgrades)"),
            FeatureRefusal::Negative => f.write_str("levels begin at 0"),
            FeatureRefusal::Unknown => f.write_str("the feature is not known"),
            FeatureRefusal::NotSupported { min, max } => write!(f, "levels {min} to {max} are supported"),
            FeatureRefusal::IsDowngrade(now) => write!(f, "it is {now} now, and the request is for an upgrade"),
            FeatureRefusal::IsUpgrade(now) => write!(f, "it is {now} now, and the request is for a downgrade"),
            FeatureRefusal::LosesMetadata(now) => write!(f, "metadata that {now} brought would be lost"),
            FeatureRefusal::VotersStay => f.write_str("it can't go down"),
            FeatureRefusal::NoAddresses => f.write_str("the voters have no listener: see controller.listener.names"),
            FeatureRefusal::Needs(feature, level) => write!(f, "it needs {feature} at {level} or more"),
        }
    }
}

impl std::error::Error for FeatureError {}

/// New levels for features, all or none.
pub fn update_features(
    image: &Image,
    updates: &[FeatureUpdate],
    rules: FeatureRules,
) -> Decision<Result<FeaturesUpdated, FeatureError>> {
    // Of a feature that is named twice the last word counts.
    let updates: BTreeMap<&str, &FeatureUpdate> = updates.iter().map(|it| (it.name.as_str(), it)).collect();
    let mut records = Vec::new();
    for (name, update) in &updates {
        match update_feature(image, update, &updates, rules) {
            Ok(record) => records.extend(record),
            Err(why) => {
                let error = FeatureError { name: (*name).to_owned(), level: update.level, why };
                return Decision { records: Vec::new(), answers: Err(error) };
            }
        }
    }
    if updates.get(ELIGIBLE_LEADER_REPLICAS).is_some_and(|update| update.level > 0) {
        let mut safety = elr_records(image, rules.min_insync_replicas);
        safety.append(&mut records);
        records = safety;
    }
    let kraft_version = updates.get(KRAFT_VERSION).map(|update| update.level);
    let kraft_version = kraft_version.filter(|level| *level > image.kraft_version());
    Decision { records, answers: Ok(FeaturesUpdated { kraft_version }) }
}

/// The record of one new level; none where nothing has to be written.
fn update_feature(
    image: &Image,
    update: &FeatureUpdate,
    updates: &BTreeMap<&str, &FeatureUpdate>,
    rules: FeatureRules,
) -> Result<Option<MetadataRecord>, FeatureRefusal> {
    let (name, level) = (update.name.as_str(), update.level);
    let upgrade_type = update.upgrade_type.ok_or(FeatureRefusal::UpgradeType)?;
    let now = if name == KRAFT_VERSION { image.kraft_version() } else { image.feature(name) };
    if level < 0 {
        return Err(FeatureRefusal::Negative);
    }
    check_supported(name, level, rules.levels)?;
    match upgrade_type {
        UpgradeType::Upgrade if level < now => return Err(FeatureRefusal::IsDowngrade(now)),
        UpgradeType::SafeDowngrade | UpgradeType::UnsafeDowngrade if level > now => {
            return Err(FeatureRefusal::IsUpgrade(now));
        }
        _ => {}
    }
    if name == KRAFT_VERSION {
        return update_kraft_version(level, now, upgrade_type, rules.voters_have_addresses);
    }
    if name == METADATA_VERSION && level < now && loses_metadata(now, level) {
        return Err(FeatureRefusal::LosesMetadata(now));
    }
    if name == ELIGIBLE_LEADER_REPLICAS && level > 0 {
        let proposed = updates.get(METADATA_VERSION).map_or(image.metadata_version(), |update| update.level);
        if proposed < ELR_METADATA_VERSION {
            return Err(FeatureRefusal::Needs(METADATA_VERSION, ELR_METADATA_VERSION));
        }
    }
    Ok(Some(FeatureLevelRecord { name: name.to_owned(), feature_level: level }.into()))
}

fn check_supported(name: &str, level: i16, levels: Levels) -> Result<(), FeatureRefusal> {
    let supported = supported_features(levels).into_iter().find(|(known, ..)| *known == name);
    match supported {
        None => Err(FeatureRefusal::Unknown),
        Some((_, min, max)) if !(min..=max).contains(&level) => Err(FeatureRefusal::NotSupported { min, max }),
        Some(_) => Ok(()),
    }
}

/// The quorum keeps this level. Here it leaves a record to wait for, as in Kafka's controller, changed or not.
fn update_kraft_version(
    level: i16,
    now: i16,
    upgrade_type: UpgradeType,
    voters_have_addresses: bool,
) -> Result<Option<MetadataRecord>, FeatureRefusal> {
    match upgrade_type {
        UpgradeType::Upgrade if level == now || voters_have_addresses => Ok(Some(NoOpRecord {}.into())),
        UpgradeType::Upgrade => Err(FeatureRefusal::NoAddresses),
        _ if level == now => Ok(None),
        _ => Err(FeatureRefusal::VotersStay),
    }
}

/// Who may lead is judged by one `min.insync.replicas` for the whole cluster (KIP-966): it is written down, and those of
/// single brokers go.
fn elr_records(image: &Image, min_insync_replicas: i32) -> Vec<MetadataRecord> {
    let config = |broker: &str, value: Option<String>| -> MetadataRecord {
        let (resource_type, resource_name) = (ResourceType::Broker.id(), broker.to_owned());
        ConfigRecord { resource_type, resource_name, name: MIN_INSYNC_REPLICAS.to_owned(), value }.into()
    };
    let mut records = Vec::new();
    if image.config(ResourceType::Broker, "", MIN_INSYNC_REPLICAS).is_none() {
        records.push(config("", Some(min_insync_replicas.to_string())));
    }
    for (resource, configs) in image.config_resources() {
        let of_broker = resource.kind == ResourceType::Broker && !resource.name.is_empty();
        if of_broker && configs.contains_key(MIN_INSYNC_REPLICAS) {
            records.push(config(&resource.name, None));
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::Cluster;

    const RULES: FeatureRules =
        FeatureRules { levels: Levels::Stable, voters_have_addresses: false, min_insync_replicas: 2 };

    fn update(name: &str, level: i16, upgrade_type: UpgradeType) -> FeatureUpdate {
        FeatureUpdate { name: name.to_owned(), level, upgrade_type: Some(upgrade_type) }
    }

    #[test]
    fn levels_move_as_they_are_called() {
        use UpgradeType::*;
        let mut c = Cluster::with_brokers(&[1]);
        let said = |c: &Cluster, updates: &[FeatureUpdate]| match update_features(c.image(), updates, RULES).answers {
            Ok(_) => "fine".to_owned(),
            Err(error) => format!("{:?}", error.why),
        };
        let say = |c: &Cluster, name, level, kind| said(c, &[update(name, level, kind)]);
        assert_eq!(say(&c, "transaction.version", 1, Upgrade), "IsDowngrade(2)");
        assert_eq!(say(&c, "transaction.version", 1, SafeDowngrade), "fine");
        assert_eq!(say(&c, "transaction.version", 3, Upgrade), "NotSupported { min: 0, max: 2 }");
        assert_eq!(say(&c, "transaction.version", -1, Upgrade), "Negative");
        assert_eq!(say(&c, "no.such", 1, Upgrade), "Unknown");
        assert_eq!(say(&c, "metadata.version", 29, SafeDowngrade), "LosesMetadata(30)");
        assert_eq!(say(&c, "metadata.version", 29, UnsafeDowngrade), "LosesMetadata(30)");
        assert_eq!(say(&c, "metadata.version", 31, Upgrade), "NotSupported { min: 7, max: 30 }");
        assert_eq!(say(&c, "metadata.version", 30, Upgrade), "fine");
        assert_eq!(say(&c, "kraft.version", 1, Upgrade), "NoAddresses");
        assert_eq!(say(&c, "kraft.version", 0, SafeDowngrade), "fine");
        let unknown = FeatureUpdate { upgrade_type: None, ..update("group.version", 1, Upgrade) };
        assert_eq!(said(&c, &[unknown]), "UpgradeType");

        // One refusal refuses all.
        let both = [update("group.version", 0, SafeDowngrade), update("share.version", 0, Upgrade)];
        assert_eq!(said(&c, &both), "IsDowngrade(1)");
        assert_eq!(update_features(c.image(), &both, RULES).records, []);

        let decision = update_features(c.image(), &[update("transaction.version", 0, SafeDowngrade)], RULES);
        c.write(decision.records);
        assert_eq!(c.image().feature("transaction.version"), 0);
        assert_eq!(say(&c, "transaction.version", 1, SafeDowngrade), "IsUpgrade(0)");
        assert_eq!(say(&c, "transaction.version", 2, Upgrade), "fine");
    }

    #[test]
    fn the_voters_move_into_the_log_and_stay_there() {
        let mut c = Cluster::with_brokers(&[1]);
        let rules = FeatureRules { voters_have_addresses: true, ..RULES };
        let updated = |c: &Cluster, level, kind| {
            let decision = update_features(c.image(), &[update(KRAFT_VERSION, level, kind)], rules);
            let names: Vec<_> = decision.records.iter().map(MetadataRecord::name).collect();
            (decision.answers.map(|updated| updated.kraft_version).map_err(|error| error.why), names)
        };
        assert_eq!(updated(&c, 0, UpgradeType::Upgrade), (Ok(None), vec!["NoOpRecord"]));
        assert_eq!(updated(&c, 1, UpgradeType::Upgrade), (Ok(Some(1)), vec!["NoOpRecord"]));
        c.builder.set_kraft_version(1);
        assert_eq!(updated(&c, 1, UpgradeType::Upgrade), (Ok(None), vec!["NoOpRecord"]));
        assert_eq!(updated(&c, 0, UpgradeType::SafeDowngrade), (Err(FeatureRefusal::VotersStay), vec![]));
    }

    #[test]
    fn eligible_leader_replicas_bring_one_min_insync_replicas() {
        let elr = [update(ELIGIBLE_LEADER_REPLICAS, 1, UpgradeType::Upgrade)];
        let c = Cluster::with_brokers(&[1]);
        let before = c.image();
        let records = update_features(before, &elr, RULES).records;
        let names: Vec<_> = records.iter().map(MetadataRecord::name).collect();
        let is_set = before.config(ResourceType::Broker, "", MIN_INSYNC_REPLICAS).is_some();
        let wanted: &[&str] = if is_set { &["FeatureLevelRecord"] } else { &["ConfigRecord", "FeatureLevelRecord"] };
        assert_eq!(names, wanted);
    }
}
