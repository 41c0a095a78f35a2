//! The requests that change metadata: decided by `state`, written here. Each method returns what to answer; the image
//! that contains the change is [`Controller::image`] afterwards, and it is synced.

use std::fmt;

use state::metadata::Image;
use state::metadata::decide::{
    self, AlterConfigAnswers, AlterConfigs, AlterQuotas, AlterQuotasAnswers, AlterResource, AssignedDirectory,
    CreatePartitionsAnswers, CreateTopic, CreateTopicAnswers, Decision, DeleteTopic, DeletedTopic, FeatureError,
    FeatureRules, FeatureUpdate, FeaturesUpdated, NewPartitions, ProducerIdError, RequestTooLarge, TopicDefaults,
    UnregisterError,
};
use wire::{MetadataRecord, Uuid};

use super::rules::Rules;
use super::{Controller, ControllerError, levels};

/// Why a request as a whole came to nothing.
#[derive(Debug)]
pub enum RequestError {
    /// It asks for more than one request may (Kafka: POLICY_VIOLATION).
    TooLarge(RequestTooLarge),
    ProducerIds(ProducerIdError),
    /// The metadata log failed: the node has to stop.
    Controller(ControllerError),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(error) => error.fmt(f),
            Self::ProducerIds(error) => error.fmt(f),
            Self::Controller(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {}

impl From<RequestTooLarge> for RequestError {
    fn from(error: RequestTooLarge) -> Self {
        Self::TooLarge(error)
    }
}

impl From<ControllerError> for RequestError {
    fn from(error: ControllerError) -> Self {
        Self::Controller(error)
    }
}

type Answer<T> = Result<T, RequestError>;

impl Controller {
    /// CreateTopics, and the creation of topics that a client merely asked for.
    pub fn create_topics(&mut self, topics: &[CreateTopic], validate_only: bool) -> Answer<CreateTopicAnswers> {
        let defaults =
            TopicDefaults { num_partitions: self.num_partitions, replication_factor: self.default_replication_factor };
        let start = self.chance.bits()? as usize;
        let (chance, mut failed) = (&mut self.chance, None);
        let mut new_id = || {
            chance.uuid().unwrap_or_else(|error| {
                failed = Some(error);
                Uuid::ZERO
            })
        };
        let rules = Rules::new(&self.said, &self.image, self.node_id);
        let decision = decide::create_topics(&self.image, topics, defaults, &rules, &mut new_id, start)?;
        match failed {
            Some(error) => Err(error.into()),
            None => self.carry_out(decision, validate_only),
        }
    }

    pub fn delete_topics(&mut self, topics: &[DeleteTopic]) -> Answer<Vec<DeletedTopic>> {
        let decision = decide::delete_topics(&self.image, topics)?;
        self.carry_out(decision, false)
    }

    pub fn create_partitions(
        &mut self,
        topics: &[NewPartitions],
        validate_only: bool,
    ) -> Answer<CreatePartitionsAnswers> {
        let decision = decide::create_partitions(&self.image, topics)?;
        self.carry_out(decision, validate_only)
    }

    pub fn incremental_alter_configs(
        &mut self,
        resources: &[AlterResource],
        validate_only: bool,
    ) -> Answer<AlterConfigAnswers> {
        let decision = decide::incremental_alter_configs(&self.image, resources, &self.rules(&self.image))?;
        self.carry_out(decision, validate_only)
    }

    pub fn alter_configs(&mut self, resources: &[AlterConfigs], validate_only: bool) -> Answer<AlterConfigAnswers> {
        let decision = decide::alter_configs(&self.image, resources, &self.rules(&self.image))?;
        self.carry_out(decision, validate_only)
    }

    /// New levels for features, all or none.
    pub fn update_features(
        &mut self,
        updates: &[FeatureUpdate],
        validate_only: bool,
    ) -> Answer<Result<FeaturesUpdated, FeatureError>> {
        let rules = FeatureRules {
            levels: levels(&self.said),
            voters_have_addresses: !self.voters.is_empty(),
            min_insync_replicas: self.said_min_insync_replicas(),
        };
        let decision = decide::update_features(&self.image, updates, rules);
        if !validate_only && decision.answers.as_ref().is_ok_and(|updated| updated.kraft_version.is_some()) {
            self.stage_voters()?;
        }
        self.carry_out(decision, validate_only)
    }

    pub fn alter_client_quotas(
        &mut self,
        alterations: &[AlterQuotas],
        validate_only: bool,
    ) -> Answer<AlterQuotasAnswers> {
        let decision = decide::alter_client_quotas(&self.image, alterations)?;
        self.carry_out(decision, validate_only)
    }

    /// In which directories replicas of this node lie; for each, whether the metadata says so now.
    pub fn assign_directories(&mut self, assigned: &[AssignedDirectory]) -> Answer<Vec<bool>> {
        let decision = decide::assign_directories(&self.image, self.node_id, assigned)?;
        self.carry_out(decision, false)
    }

    /// Forgets a broker that is gone.
    pub fn unregister_broker(&mut self, broker_id: i32) -> Answer<Result<(), UnregisterError>> {
        let (records, answers) = match decide::unregister_broker(&self.image, broker_id, self.node_id) {
            Ok(records) => (records, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        self.carry_out(Decision { records, answers }, false)
    }

    /// A block of producer ids that nobody else gets: the first, and how many.
    pub fn allocate_producer_ids(&mut self) -> Answer<(i64, i64)> {
        let decision = decide::allocate_producer_ids(&self.image, self.node_id, self.broker_epoch);
        let block = self.carry_out(decision.map_err(RequestError::ProducerIds)?, false)?;
        Ok((block.first, block.count))
    }

    fn rules<'a>(&'a self, image: &'a Image) -> Rules<'a> {
        Rules::new(&self.said, image, self.node_id)
    }

    fn carry_out<T>(&mut self, mut decision: Decision<T>, validate_only: bool) -> Answer<T> {
        self.place(&mut decision.records);
        let records: &[MetadataRecord] = if validate_only { &[] } else { &decision.records };
        self.commit(records)?;
        Ok(decision.answers)
    }
}
