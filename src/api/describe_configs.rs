//! DescribeConfigs (key 32, KIP-133, KIP-226): the settings of topics, groups and subscriptions, of this broker and
//! its loggers, with where each value comes from.

use state::metadata::{Image, ResourceType};
use wire::ErrorCode;
use wire::generated::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use wire::generated::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::{Api, Context, ReplyTo};
use crate::config::client_metrics;
use crate::config::describe::{self, Described};
use crate::config::layers::{Layers, Map};
use crate::metrics::log;
use crate::net::Outcome;

/// Kinds of resources (`ConfigResource.Type`).
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

type Refusal = (ErrorCode, String);

pub(super) fn handle(api: &Api, cx: &Context, _to: ReplyTo) -> Result<Outcome, String> {
    let request: DescribeConfigsRequest<'_> = cx.decode()?;
    let image = api.router.image();
    let results = request.resources.iter().map(|resource| {
        let described = describe(api, &image, resource);
        let (code, text, configs) = match described {
            Ok(configs) => (ErrorCode::None, None, configs),
            Err((code, text)) => (code, Some(text.into()), Vec::new()),
        };
        DescribeConfigsResult {
            error_code: code as i16,
            error_message: text,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.to_string().into(),
            configs: configs.into_iter().map(|one| result(one, &request)).collect(),
        }
    });
    let response = DescribeConfigsResponse { results: results.collect(), ..Default::default() };
    Ok(Outcome::Reply(cx.reply(&response)))
}

fn describe(api: &Api, image: &Image, resource: &DescribeConfigsResource<'_>) -> Result<Vec<Described>, Refusal> {
    let name = resource.resource_name.as_ref();
    let keys: Option<Vec<&str>> =
        resource.configuration_keys.as_ref().map(|keys| keys.iter().map(AsRef::as_ref).collect());
    let wanted = keys.as_deref();
    let layers = &Layers::of(&api.settings, image);
    match resource.resource_type {
        TOPIC if !state::metadata::is_valid_topic_name(name) => {
            Err((ErrorCode::InvalidTopicException, format!("{name:?} is not a topic name")))
        }
        TOPIC if image.topic(name).is_none() => {
            Err((ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name}")))
        }
        TOPIC => Ok(describe::topic(layers, image.topic_configs(name).unwrap_or(&Map::new()), wanted)),
        BROKER if name.is_empty() => Ok(describe::cluster(layers, wanted)),
        BROKER if is_own(api, name) => Ok(describe::broker(layers, wanted)),
        BROKER => {
            let text = format!("broker {name:?} was asked of broker {}", api.settings.node_id);
            Err((ErrorCode::InvalidRequest, text))
        }
        GROUP | CLIENT_METRICS if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "the resource has to be named".to_owned()))
        }
        GROUP => Ok(describe::group(layers, image.configs(ResourceType::Group, name).unwrap_or(&Map::new()), wanted)),
        CLIENT_METRICS => {
            let overrides = image.configs(ResourceType::ClientMetrics, name);
            Ok(client_metrics::describe(overrides.unwrap_or(&Map::new()), wanted))
        }
        BROKER_LOGGER if is_own(api, name) => {
            Ok(describe::loggers(log::loggers().map(|(name, level)| (name, level.name())), wanted))
        }
        BROKER_LOGGER => {
            let text = format!("loggers of {name:?} were asked of broker {}", api.settings.node_id);
            Err((ErrorCode::InvalidRequest, text))
        }
        kind => Err((ErrorCode::InvalidRequest, format!("unknown resource type {kind}"))),
    }
}

/// Whether a resource is this broker. What is set for it counts for all of its shards, whichever of them is named.
fn is_own(api: &Api, name: &str) -> bool {
    name.parse().is_ok_and(|node| api.nodes.is_own(node))
}

fn result(one: Described, request: &DescribeConfigsRequest<'_>) -> DescribeConfigsResourceResult<'static> {
    let synonyms = one.synonyms.into_iter().map(|synonym| DescribeConfigsSynonym {
        name: synonym.name.into(),
        value: synonym.value.map(Into::into),
        source: synonym.source as i8,
    });
    DescribeConfigsResourceResult {
        name: one.name.into(),
        value: one.value.map(Into::into),
        read_only: one.read_only,
        config_source: one.source as i8,
        is_sensitive: one.sensitive,
        synonyms: if request.include_synonyms { synonyms.collect() } else { Vec::new() },
        config_type: one.kind,
        documentation: one.doc.filter(|_| request.include_documentation).map(Into::into),
    }
}
