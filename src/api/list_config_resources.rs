//! ListConfigResources (key 74, KIP-714, KIP-1142): what has, or could have, configurations of its own.

use state::metadata::ResourceType;
use wire::ErrorCode;
use wire::generated::list_config_resources_response::{ConfigResource, ListConfigResourcesResponse};
use wire::messages::ListConfigResourcesRequest;

use super::describe_configs::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use super::metadata::nodes;
use super::{Api, Context};
use crate::net::Reply;

/// Version 0 knows client metrics only.
pub(super) fn handle(api: &Api, cx: &Context) -> Result<Reply, String> {
    let request: ListConfigResourcesRequest = cx.decode()?;
    let known: &[i8] =
        if cx.version == 0 { &[CLIENT_METRICS] } else { &[GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC] };
    if request.resource_types.iter().any(|kind| !known.contains(kind)) {
        let error_code = ErrorCode::UnsupportedVersion as i16;
        return Ok(cx.reply(&ListConfigResourcesResponse { error_code, ..Default::default() }));
    }
    let image = api.router.image();
    let mut found = Vec::new();
    for kind in known.iter().filter(|kind| request.resource_types.is_empty() || request.resource_types.contains(kind)) {
        let resource = |name: &str| ConfigResource { resource_name: name.to_owned().into(), resource_type: *kind };
        match *kind {
            TOPIC => found.extend(image.topics().map(|topic| resource(&topic.name))),
            BROKER | BROKER_LOGGER => {
                found.extend(nodes(api, cx, &image).iter().map(|node| resource(&node.node_id.to_string())));
            }
            _ => {
                let configured = image.config_resources().map(|(resource, _)| resource);
                let of_kind = configured.filter(|one| one.kind == ResourceType::from_id(*kind));
                found.extend(of_kind.map(|one| resource(&one.name)));
            }
        }
    }
    Ok(cx.reply(&ListConfigResourcesResponse { config_resources: found, ..Default::default() }))
}
