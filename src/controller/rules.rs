//! What `state` asks about configurations, answered from the settings and the image.

use state::metadata::decide::{ConfigRefusal, ConfigRules};
use state::metadata::{ConfigResource, Configs, Image, ResourceType};

use crate::config::alter::{self, Refusal, Resource};
use crate::config::layers::{Layers, Map};
use crate::config::{client_metrics, group_bounds, keys};

/// The rules as of one image.
pub(super) struct Rules<'a> {
    layers: Layers<'a>,
}

/// Nothing was set.
pub(super) static NONE: Map = Map::new();

impl<'a> Rules<'a> {
    pub(super) fn new(said: &'a Map, image: &'a Image, node_id: i32) -> Self {
        Self { layers: Layers::of_node(said, image, node_id) }
    }
}

impl ConfigRules for Rules<'_> {
    fn is_list(&self, kind: ResourceType, key: &str) -> bool {
        if kind == ResourceType::ClientMetrics {
            return client_metrics::is_list(key);
        }
        resource(kind).is_some_and(|kind| alter::is_list(kind, key))
    }

    fn default_value(&self, kind: ResourceType, key: &str) -> Option<String> {
        if kind == ResourceType::ClientMetrics {
            return client_metrics::standard_text(key).map(Into::into);
        }
        let key = match kind {
            ResourceType::Topic => keys::topic(key)?,
            ResourceType::Broker => keys::broker(key)?,
            ResourceType::Group => keys::group(key)?,
            _ => return None,
        };
        key.standard_text().map(Into::into)
    }

    fn validate(&self, resource: &ConfigResource, configs: &Configs, _before: &Configs) -> Result<(), ConfigRefusal> {
        let checked = match resource.kind {
            ResourceType::Topic => alter::topic(&self.layers, configs),
            ResourceType::Broker => alter::broker(&self.layers, configs, !resource.name.is_empty()),
            ResourceType::Group => group(&self.layers, &resource.name, configs),
            ResourceType::ClientMetrics => client_metrics::check(&resource.name, configs),
            _ => Ok(()),
        };
        checked.map_err(|refusal| match refusal {
            Refusal::Config(words) => ConfigRefusal::Config(words),
            Refusal::Request(words) => ConfigRefusal::Request(words),
        })
    }
}

fn group(layers: &Layers<'_>, name: &str, configs: &Configs) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::Request("a group has to be named".into()));
    }
    alter::group(configs)?;
    group_bounds::check(layers, configs)
}

fn resource(kind: ResourceType) -> Option<Resource> {
    match kind {
        ResourceType::Topic => Some(Resource::Topic),
        ResourceType::Broker => Some(Resource::Broker),
        ResourceType::Group => Some(Resource::Group),
        _ => None,
    }
}
