//! DescribeCluster (key 60, KIP-700, KIP-919): the cluster's id and its brokers.

use wire::ErrorCode;
use wire::generated::describe_cluster_request::DescribeClusterRequest;
use wire::generated::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};

use super::metadata::{ALL_CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED, brokers};
use super::{Api, Context, ReplyTo};
use crate::net::Outcome;

/// The kind of endpoints that a broker's listener knows.
const BROKERS: i8 = 1;

pub(super) fn handle(api: &Api, cx: &Context, _to: ReplyTo) -> Result<Outcome, String> {
    let request: DescribeClusterRequest = cx.decode()?;
    if request.endpoint_type != BROKERS {
        let controllers = request.endpoint_type == 2;
        let (code, text) = if controllers {
            (ErrorCode::MismatchedEndpointType, "this is a listener of brokers, not of controllers")
        } else {
            (ErrorCode::UnsupportedEndpointType, "endpoint types are 1 (brokers) and 2 (controllers)")
        };
        let (error_code, error_message) = (code as i16, Some(text.into()));
        return Ok(Outcome::Reply(cx.reply(&DescribeClusterResponse { error_code, error_message, ..Default::default() })));
    }
    let image = api.router.image();
    let described = brokers(api, cx, &image).into_iter().map(|broker| DescribeClusterBroker {
        broker_id: broker.node_id,
        host: broker.host,
        port: broker.port,
        rack: broker.rack,
        is_fenced: false,
    });
    let operations = request.include_cluster_authorized_operations;
    let response = DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: image.cluster_id().to_owned().into(),
        controller_id: api.settings.node_id,
        brokers: described.collect(),
        cluster_authorized_operations: if operations { ALL_CLUSTER_OPERATIONS } else { OPERATIONS_NOT_ASKED },
        ..Default::default()
    };
    Ok(Outcome::Reply(cx.reply(&response)))
}
