//! PushTelemetry (key 72, KIP-714): a client's metrics, as OpenTelemetry writes them. They are counted, not looked into.

use state::telemetry::{Push, TelemetryError};
use wire::ErrorCode;
use wire::generated::push_telemetry_request::PushTelemetryRequest;
use wire::messages::PushTelemetryResponse;

use super::{Api, Context, ReplyTo};
use crate::net::Outcome;
use crate::telemetry::Caller;

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: PushTelemetryRequest<'_> = cx.decode()?;
    let Some(telemetry) = &api.telemetry else { return Err(NOT_RECEIVED.into()) };
    let push = Push {
        instance: request.client_instance_id,
        subscription_id: request.subscription_id,
        terminating: request.terminating,
        compression_type: request.compression_type,
        bytes: request.metrics.len(),
    };
    let result = with_caller(cx, to, |caller| telemetry.push(caller, &push, &request.metrics))?;
    let error_code = result.map_or_else(code, |()| 0);
    Ok(Outcome::Reply(cx.reply(&PushTelemetryResponse { error_code, ..Default::default() })))
}

/// Why a connection is closed that asks for what is not offered.
pub(super) const NOT_RECEIVED: &str = "telemetry is not received here (ringmill.client.telemetry)";

/// Runs `each` with who sent the request.
pub(super) fn with_caller<T>(cx: &Context, to: ReplyTo, each: impl FnOnce(&Caller<'_>) -> T) -> Result<T, String> {
    let peer = cx.peer.ok_or("telemetry comes from a connection")?;
    let (client_id, address) = (cx.client_id(), cx.client_address());
    let caller = Caller { socket: to.socket, client_id: client_id.as_deref(), peer, address: &address };
    Ok(each(&caller))
}

pub(super) fn code(error: TelemetryError) -> i16 {
    let code = match error {
        TelemetryError::InvalidRequest => ErrorCode::InvalidRequest,
        TelemetryError::Throttled => ErrorCode::ThrottlingQuotaExceeded,
        TelemetryError::UnknownSubscription => ErrorCode::UnknownSubscriptionId,
        TelemetryError::UnsupportedCompression => ErrorCode::UnsupportedCompressionType,
        TelemetryError::TooLarge => ErrorCode::TelemetryTooLarge,
        TelemetryError::InvalidRecord => ErrorCode::InvalidRecord,
    };
    code as i16
}
