//! DescribeCluster (key 60, KIP-700, KIP-919): the cluster's id and its brokers, or on a controller's
//! listener its controllers.

use wire::ErrorCode;
use wire::generated::describe_cluster_request::DescribeClusterRequest;
use wire::generated::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};
use wire::generated::metadata_response::MetadataResponseBroker;

use super::metadata::{ALL_CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED, nodes};
use super::{Api, Context, ReplyTo};
use crate::config::listener::Side;
use crate::net::Outcome;

/// The kinds of endpoints.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) fn handle(api: &Api, cx: &Context, _to: ReplyTo) -> Result<Outcome, String> {
    let request: DescribeClusterRequest = cx.decode()?;
    let served = match cx.side {
        Side::Broker => BROKERS,
        Side::Controller => CONTROLLERS,
    };
    if request.endpoint_type != served {
        let (error_code, text) = refusal(request.endpoint_type, cx.side);
        let error_message = Some(text.into());
        let response = DescribeClusterResponse { error_code, error_message, ..Default::default() };
        return Ok(Outcome::Reply(cx.reply(&response)));
    }
    let image = api.router.image();
    let nodes = match cx.side {
        Side::Broker => nodes(api, cx, &image).into_iter().map(described).collect(),
        Side::Controller => controllers(api, cx),
    };
    let operations = request.include_cluster_authorized_operations;
    let response = DescribeClusterResponse {
        endpoint_type: served,
        cluster_id: image.cluster_id().to_owned().into(),
        controller_id: api.settings.node_id,
        brokers: nodes,
        cluster_authorized_operations: if operations { ALL_CLUSTER_OPERATIONS } else { OPERATIONS_NOT_ASKED },
        ..Default::default()
    };
    Ok(Outcome::Reply(cx.reply(&response)))
}

fn refusal(asked: i8, side: Side) -> (i16, &'static str) {
    match (asked, side) {
        (CONTROLLERS, Side::Broker) => {
            (ErrorCode::MismatchedEndpointType as i16, "this is a listener of brokers, not of controllers")
        }
        (BROKERS, Side::Controller) => {
            (ErrorCode::MismatchedEndpointType as i16, "this is a listener of controllers, not of brokers")
        }
        _ => (ErrorCode::UnsupportedEndpointType as i16, "endpoint types are 1 (brokers) and 2 (controllers)"),
    }
}

fn described(broker: MetadataResponseBroker<'static>) -> DescribeClusterBroker<'static> {
    DescribeClusterBroker {
        broker_id: broker.node_id,
        host: broker.host,
        port: broker.port,
        rack: broker.rack,
        is_fenced: false,
    }
}

/// The controllers as seen on the controller's listener that was asked: this node (KIP-919).
fn controllers(api: &Api, cx: &Context) -> Vec<DescribeClusterBroker<'static>> {
    let listeners = &api.settings.listeners;
    let asked = listeners.controller.get(cx.listener - listeners.broker.len());
    let told = asked.and_then(|listener| listener.advertised.as_ref());
    let node = told.map(|told| DescribeClusterBroker {
        broker_id: api.settings.node_id,
        host: told.host.clone().into(),
        port: told.port.into(),
        ..Default::default()
    });
    node.into_iter().collect()
}
