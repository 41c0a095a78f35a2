//! GetTelemetrySubscriptions (key 71, KIP-714): which metrics a client shall push, and how often.

use state::telemetry::COMPRESSION_TYPES;
use wire::generated::get_telemetry_subscriptions_response::GetTelemetrySubscriptionsResponse;
use wire::messages::GetTelemetrySubscriptionsRequest;

use super::push_telemetry::{NOT_RECEIVED, code, with_caller};
use super::{Api, Context, ReplyTo};
use crate::net::Outcome;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: GetTelemetrySubscriptionsRequest = cx.decode()?;
    let Some(telemetry) = &api.telemetry else { return Err(NOT_RECEIVED.into()) };
    let telemetry_max_bytes = i32::try_from(api.settings.telemetry_max_bytes).unwrap_or(i32::MAX);
    let reply = with_caller(cx, to, |caller| {
        telemetry.ask(caller, request.client_instance_id, |client_instance_id, asked| {
            cx.reply(&GetTelemetrySubscriptionsResponse {
                client_instance_id,
                subscription_id: asked.subscription_id,
                accepted_compression_types: COMPRESSION_TYPES.to_vec(),
                push_interval_ms: i32::try_from(asked.push_interval_ms).unwrap_or(i32::MAX),
                telemetry_max_bytes,
                delta_temporality: true,
                requested_metrics: asked.metrics.into_iter().map(Into::into).collect(),
                ..Default::default()
            })
        })
    })?;
    let refused =
        |error| cx.reply(&GetTelemetrySubscriptionsResponse { error_code: code(error), ..Default::default() });
    Ok(Outcome::Reply(reply.unwrap_or_else(refused)))
}
