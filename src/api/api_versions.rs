//! ApiVersions (key 18, KIP-35, KIP-511, KIP-584): what this broker answers, and its features.

use wire::ErrorCode;
use wire::codec::Decoder;
use wire::generated::api_versions_request::ApiVersionsRequest;
use wire::generated::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use wire::{ApiKey, Message};

use super::table::{self, Entry};
use super::{Api, Context, ReplyTo, open_response};
use crate::config::listener::Side;
use crate::controller::levels;
use crate::net::{Outcome, Reply};

pub(super) fn handle(api: &Api, cx: &Context, to: ReplyTo) -> Result<Outcome, String> {
    let request: ApiVersionsRequest<'_> = cx.decode()?;
    if cx.version >= 3 && !(is_software(&request.client_software_name) && is_software(&request.client_software_version))
    {
        let response = ApiVersionsResponse { error_code: ErrorCode::InvalidRequest as i16, ..Default::default() };
        return Ok(Outcome::Reply(cx.reply(&response)));
    }
    if let Some(telemetry) = &api.telemetry {
        telemetry.introduced(to.socket, &request.client_software_name, &request.client_software_version);
    }
    let image = api.router.image();
    let kraft = [("kraft.version", image.kraft_version())];
    let response = ApiVersionsResponse {
        api_keys: offered(api, cx.side),
        supported_features: supported(api, cx.version),
        finalized_features_epoch: image.version(),
        finalized_features: image.features().chain(kraft).filter(|(_, level)| *level > 0).map(finalized).collect(),
        ..Default::default()
    };
    Ok(Outcome::Reply(cx.reply(&response)))
}

fn offered(api: &Api, side: Side) -> Vec<ApiVersion> {
    let entries = table::offered(side).filter(|entry| api.offers(entry));
    entries.map(|entry| advertised(entry, api.offers_unstable())).collect()
}

/// The answer to a version that is newer than ours: version 0, with the range of ApiVersions alone, so that the client
/// can ask again (KIP-511). Nothing behind the correlation id is read.
pub(super) fn unsupported(frame: &[u8]) -> Outcome {
    let mut d = Decoder::new(frame);
    let correlation_id = d.skip(4).and_then(|()| d.i32());
    let Ok(correlation_id) = correlation_id else { return Outcome::Close("a request shorter than its header".into()) };
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion as i16,
        api_keys: table::find(Side::Broker, ApiKey::ApiVersions as i16)
            .map(|entry| advertised(entry, false))
            .into_iter()
            .collect(),
        ..Default::default()
    };
    let mut e = open_response(ApiKey::ApiVersions, 0, correlation_id);
    response.encode(&mut e, 0);
    e.end_frame();
    Outcome::Reply(Reply::bytes(e.buf))
}

fn advertised(entry: &Entry, unstable: bool) -> ApiVersion {
    let (min, max) = entry.versions(|| unstable);
    // Older librdkafka turns features off unless it sees Produce from 0 on (KAFKA-18659).
    let min = if entry.key == ApiKey::Produce { 0 } else { min };
    ApiVersion { api_key: entry.key as i16, min_version: min, max_version: max }
}

fn supported(api: &Api, version: i16) -> Vec<SupportedFeatureKey<'static>> {
    let features = state::metadata::supported_features(levels(&api.settings.said)).into_iter();
    // Clients before version 4 can't read a feature whose lowest level is 0 (KAFKA-17492).
    let readable = features.filter(|(_, min, _)| version >= 4 || *min > 0);
    let keys =
        readable.map(|(name, min, max)| SupportedFeatureKey { name: name.into(), min_version: min, max_version: max });
    keys.collect()
}

fn finalized((name, level): (&str, i16)) -> FinalizedFeatureKey<'static> {
    FinalizedFeatureKey { name: name.to_owned().into(), max_version_level: level, min_version_level: level }
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_software(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::is_software;

    #[test]
    fn software_names_are_checked() {
        for good in ["a", "apache-kafka-java", "4.3.1", "a.b", "librdkafka2"] {
            assert!(is_software(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "a_b", "ü"] {
            assert!(!is_software(bad), "{bad}");
        }
    }
}
