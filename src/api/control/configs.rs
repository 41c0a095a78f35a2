//! IncrementalAlterConfigs (key 44, KIP-339) and AlterConfigs (key 33): dynamic settings of topics, brokers, groups and
//! subscriptions to clients' metrics, and levels of loggers.

use state::metadata::decide::{
    AlterConfigAnswers, AlterConfigError, AlterConfigs, AlterOp, AlterResource, ConfigRefusal, OpType,
};
use state::metadata::{ConfigResource, ResourceType};
use wire::ErrorCode;
use wire::generated::alter_configs_request::AlterConfigsRequest;
use wire::generated::alter_configs_response::{AlterConfigsResourceResponse, AlterConfigsResponse};
use wire::generated::incremental_alter_configs_request::{self as incremental, IncrementalAlterConfigsRequest};
use wire::generated::incremental_alter_configs_response::{
    AlterConfigsResourceResponse as IncrementalResult, IncrementalAlterConfigsResponse,
};

use super::{loggers, request_error};
use crate::api::nodes::Nodes;
use crate::api::{Api, Context};
use crate::controller::RequestError;

pub(super) type Answered = (ErrorCode, Option<String>);

pub(super) async fn run_incremental(api: &Api, cx: &Context) -> Result<Vec<u8>, String> {
    let request: IncrementalAlterConfigsRequest<'_> = cx.decode()?;
    let mut resources = Vec::with_capacity(request.resources.len());
    let mut unknown_op = false;
    for one in &request.resources {
        let ops: Option<Vec<AlterOp>> = one.configs.iter().map(op).collect();
        unknown_op |= ops.is_none();
        resources.push(AlterResource {
            resource: resource(api.nodes, one.resource_type, &one.resource_name),
            ops: ops.unwrap_or_default(),
        });
    }
    let answers = if unknown_op {
        let text = "operations are 0 (set), 1 (delete), 2 (append) and 3 (subtract)";
        vec![(ErrorCode::InvalidRequest, Some(text.to_owned())); resources.len()]
    } else {
        let of_loggers = |one: &AlterResource| one.resource.kind == ResourceType::BrokerLogger;
        let (loggers, kept): (Vec<_>, Vec<_>) = resources.into_iter().partition(of_loggers);
        let validate = request.validate_only;
        let mut leveled = loggers::alter(&loggers, api.settings.node_id, validate).into_iter();
        let altered = api.controller().with(|controller| controller.incremental_alter_configs(&kept, validate));
        api.publish().await;
        let mut altered = answered(altered, kept.len()).into_iter();
        let in_order = request.resources.iter().filter_map(|one| match ResourceType::from_id(one.resource_type) {
            ResourceType::BrokerLogger => leveled.next(),
            _ => altered.next(),
        });
        in_order.collect()
    };
    let responses = request.resources.iter().zip(answers).map(|(one, (code, text))| IncrementalResult {
        error_code: code as i16,
        error_message: text.map(Into::into),
        resource_type: one.resource_type,
        resource_name: one.resource_name.as_ref().into(),
    });
    let response = IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() };
    Ok(cx.reply(&response).into_bytes())
}

pub(super) async fn run_legacy(api: &Api, cx: &Context) -> Result<Vec<u8>, String> {
    let request: AlterConfigsRequest<'_> = cx.decode()?;
    let resources: Vec<AlterConfigs> = request
        .resources
        .iter()
        .map(|one| AlterConfigs {
            resource: resource(api.nodes, one.resource_type, &one.resource_name),
            configs: one
                .configs
                .iter()
                .map(|one| (one.name.to_string(), one.value.as_deref().map(str::to_owned)))
                .collect(),
        })
        .collect();
    let altered = api.controller().with(|controller| controller.alter_configs(&resources, request.validate_only));
    api.publish().await;
    let answers = answered(altered, resources.len());
    let responses = request.resources.iter().zip(answers).map(|(one, (code, text))| AlterConfigsResourceResponse {
        error_code: code as i16,
        error_message: text.map(Into::into),
        resource_type: one.resource_type,
        resource_name: one.resource_name.as_ref().into(),
    });
    let response = AlterConfigsResponse { responses: responses.collect(), ..Default::default() };
    Ok(cx.reply(&response).into_bytes())
}

/// A shard has the settings of its broker.
fn resource(nodes: Nodes, kind: i8, name: &str) -> ConfigResource {
    let kind = ResourceType::from_id(kind);
    let of_node = matches!(kind, ResourceType::Broker | ResourceType::BrokerLogger);
    let node = name.parse().ok().filter(|_| of_node);
    match node.map(|node: i32| (node, nodes.broker_of(node))) {
        Some((node, broker)) if broker != node => ConfigResource::new(kind, broker.to_string()),
        _ => ConfigResource::new(kind, name),
    }
}

fn op(config: &incremental::AlterableConfig<'_>) -> Option<AlterOp> {
    Some(AlterOp {
        name: config.name.to_string(),
        op: OpType::from_id(config.config_operation)?,
        value: config.value.as_deref().map(str::to_owned),
    })
}

fn answered(altered: Result<AlterConfigAnswers, RequestError>, count: usize) -> Vec<Answered> {
    match altered {
        Ok(answers) => {
            let each = answers.into_iter().map(|answer| match answer {
                Ok(()) => (ErrorCode::None, None),
                Err(error) => (code(&error), Some(error.to_string())),
            });
            each.collect()
        }
        Err(error) => {
            let (code, text) = request_error(&error);
            vec![(code, Some(text)); count]
        }
    }
}

fn code(error: &AlterConfigError) -> ErrorCode {
    match error {
        AlterConfigError::UnknownTopic(_) => ErrorCode::UnknownTopicOrPartition,
        AlterConfigError::NotAList(_)
        | AlterConfigError::Refused(ConfigRefusal::Config(_))
        | AlterConfigError::MinInsyncReplicas => ErrorCode::InvalidConfig,
        AlterConfigError::DuplicateResource
        | AlterConfigError::Refused(ConfigRefusal::Request(_))
        | AlterConfigError::UnknownBroker(_)
        | AlterConfigError::DuplicateKey(_)
        | AlterConfigError::NullValues(_)
        | AlterConfigError::UnsupportedType(_)
        | AlterConfigError::BrokerName(_) => ErrorCode::InvalidRequest,
    }
}
