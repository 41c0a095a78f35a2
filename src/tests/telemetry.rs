//! Metrics of clients (KIP-714): not asked for unless a setting says so; then asked for, taken in their turn, and counted.

use std::time::{Duration, Instant};

use crate::broker::{Broker, is_control};
use crate::raw::{Connection, Outcome, ask, decode, frame};
use wire::codec::Encoder;
use wire::generated::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse,
    IncrementalAlterConfigsResponse, PushTelemetryRequest, PushTelemetryResponse,
};
use wire::records::{Codec, Scratch, compress};
use wire::{ApiKey, ErrorCode, Uuid};

const NONE: i16 = ErrorCode::None as i16;
const CLIENT_METRICS: i8 = 16;
const SOFTWARE: &str = "tests-of-ringmill";
const PUSH_BYTES_MAX: usize = 10_000;

/// A connection whose software has a name.
fn connect(broker: &Broker) -> Connection {
    let mut connection = broker.connect();
    let request = ApiVersionsRequest { client_software_name: SOFTWARE.into(), client_software_version: "1".into() };
    let body = ask(&mut connection, &request, 3);
    assert_eq!(decode::<ApiVersionsResponse<'_>>(&body, 3).error_code, NONE);
    connection
}

/// The keys of telemetry that ApiVersions tells.
fn told(broker: &Broker) -> Vec<i16> {
    let body = ask(&mut broker.connect(), &ApiVersionsRequest::default(), 2);
    let keys = decode::<ApiVersionsResponse<'_>>(&body, 2).api_keys;
    keys.iter().map(|one| one.api_key).filter(|key| [71, 72].contains(key)).collect()
}

fn subscribe(broker: &Broker, name: &str, configs: &[(&str, Option<&str>)]) {
    let config = |(name, value): &(&str, Option<&str>)| AlterableConfig {
        name: (*name).to_owned().into(),
        config_operation: i8::from(value.is_none()),
        value: value.map(|value| value.to_owned().into()),
    };
    let resource = AlterConfigsResource {
        resource_type: CLIENT_METRICS,
        resource_name: name.into(),
        configs: configs.iter().map(config).collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let body = ask(&mut broker.connect(), &request, 1);
    assert_eq!(decode::<IncrementalAlterConfigsResponse<'_>>(&body, 1).responses[0].error_code, NONE);
}

fn get(connection: &mut Connection, id: Uuid) -> GetTelemetrySubscriptionsResponse<'static> {
    let body = ask(connection, &GetTelemetrySubscriptionsRequest { client_instance_id: id }, 0);
    let response: GetTelemetrySubscriptionsResponse<'_> = decode(&body, 0);
    let requested_metrics = response.requested_metrics.iter().map(|one| one.to_string().into()).collect();
    GetTelemetrySubscriptionsResponse { requested_metrics, ..response }
}

fn push(connection: &mut Connection, request: &PushTelemetryRequest<'_>) -> i16 {
    decode::<PushTelemetryResponse>(&ask(connection, request, 0), 0).error_code
}

/// Asks until the interval is over.
fn push_in_time(connection: &mut Connection, request: &PushTelemetryRequest<'_>) -> i16 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let code = push(connection, request);
        if code != ErrorCode::ThrottlingQuotaExceeded as i16 {
            return code;
        }
        assert!(Instant::now() < deadline, "the interval is never over");
    }
}

fn compressed(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(codec, codec.default_level(), bytes, &mut Scratch::default(), &mut out);
    out
}

fn counting() -> Broker {
    let max = format!("telemetry.max.bytes={PUSH_BYTES_MAX}");
    Broker::with(&["ringmill.client.telemetry=count", "ringmill.shards=1", &max])
}

#[test]
fn telemetry_is_offered_where_it_is_counted() {
    if is_control() {
        return;
    }
    let broker = Broker::start();
    assert_eq!(told(&broker), []);
    let mut connection = broker.connect();
    assert!(connection.send(&frame(&GetTelemetrySubscriptionsRequest::default(), 0)));
    assert_eq!(connection.receive(), Outcome::Closed);
    assert_eq!(told(&counting()), [71, 72]);
}

#[test]
fn a_client_is_asked_and_what_it_pushes_is_counted() {
    if is_control() {
        return;
    }
    let broker = counting();
    let mut connection = connect(&broker);
    // Nothing is subscribed to: the client is asked for nothing, and told to come again in five minutes.
    let first = get(&mut connection, Uuid::ZERO);
    assert_eq!((first.error_code, first.push_interval_ms, first.requested_metrics.len()), (NONE, 300_000, 0));
    assert_eq!(get(&mut connection, first.client_instance_id).error_code, ErrorCode::ThrottlingQuotaExceeded as i16);

    let software = format!("client_software_name={SOFTWARE}, client_id=tests, client_source_address=127.*");
    let fast = [("metrics", Some("org.apache.kafka.a.")), ("interval.ms", Some("100")), ("match", Some(&*software))];
    subscribe(&broker, "ours", &fast);
    subscribe(&broker, "others", &[("metrics", Some("*")), ("match", Some("client_software_name=librdkafka"))]);
    let asked = get(&mut connection, first.client_instance_id);
    assert_eq!((asked.error_code, asked.push_interval_ms), (NONE, 100));
    assert_eq!((asked.client_instance_id, asked.telemetry_max_bytes), (first.client_instance_id, 10_000));
    assert_eq!(asked.accepted_compression_types, [4, 3, 1, 2]);
    assert_eq!(asked.requested_metrics, ["org.apache.kafka.a."]);
    assert!(asked.delta_temporality && asked.subscription_id != first.subscription_id);

    let metrics = vec![7; PUSH_BYTES_MAX];
    let request = PushTelemetryRequest {
        client_instance_id: asked.client_instance_id,
        subscription_id: asked.subscription_id,
        ..Default::default()
    };
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bytes = compressed(codec, &metrics);
        let one = PushTelemetryRequest { compression_type: codec as i8, metrics: (&*bytes).into(), ..request.clone() };
        assert_eq!(push_in_time(&mut connection, &one), NONE, "{codec}");
    }
    refusals(&mut connection, &request);
    let last = PushTelemetryRequest { terminating: true, ..request.clone() };
    assert_eq!(push(&mut connection, &last), NONE);
    assert_eq!(push(&mut connection, &last), ErrorCode::InvalidRequest as i16);

    // With the subscription gone the client is new, and asked for nothing.
    subscribe(&broker, "ours", &[("metrics", None), ("interval.ms", None), ("match", None)]);
    assert_eq!(get(&mut connection, first.client_instance_id).subscription_id, first.subscription_id);
    let deadline = Instant::now() + Duration::from_secs(90);
    while !broker.log().contains("plugin-export=5 plugin-export-bytes=50000 plugin-error=2 ") {
        assert!(Instant::now() < deadline, "what was pushed is not told of\n{}", broker.log());
        std::thread::yield_now();
    }
}

/// Pushes that are refused, each for a reason of its own.
fn refusals(connection: &mut Connection, request: &PushTelemetryRequest<'_>) {
    let bomb = compressed(Codec::Zstd, &vec![0; 64 << 20]);
    let large = vec![0; PUSH_BYTES_MAX + 1];
    let zstd = |metrics: &'static [u8]| PushTelemetryRequest {
        compression_type: 4,
        metrics: metrics.into(),
        ..request.clone()
    };
    let cases = [
        (PushTelemetryRequest { client_instance_id: Uuid::ZERO, ..request.clone() }, ErrorCode::InvalidRequest),
        (PushTelemetryRequest { client_instance_id: Uuid(1), ..request.clone() }, ErrorCode::InvalidRequest),
        (
            PushTelemetryRequest { subscription_id: request.subscription_id ^ 1, ..request.clone() },
            ErrorCode::UnknownSubscriptionId,
        ),
        (
            PushTelemetryRequest { compression_type: 5, metrics: (&[1][..]).into(), ..request.clone() },
            ErrorCode::UnsupportedCompressionType,
        ),
        (
            PushTelemetryRequest { compression_type: -1, metrics: (&[1][..]).into(), ..request.clone() },
            ErrorCode::UnsupportedCompressionType,
        ),
        (PushTelemetryRequest { metrics: (&*large).into(), ..request.clone() }, ErrorCode::TelemetryTooLarge),
        (PushTelemetryRequest { metrics: (&*bomb).into(), ..zstd(&[]) }, ErrorCode::InvalidRecord),
        (zstd(b"no zstd at all"), ErrorCode::InvalidRecord),
    ];
    for (request, expected) in cases {
        assert_eq!(push_in_time(connection, &request), expected as i16, "{expected:?}");
    }
}

/// More clients than are remembered, names of software beyond reason, and half requests.
#[test]
fn a_crowd_of_clients_costs_little() {
    if is_control() {
        return;
    }
    let broker = counting();
    subscribe(&broker, "all", &[("metrics", Some("*")), ("match", Some("client_id=t.*"))]);
    let before = broker.resident();
    let mut connection = connect(&broker);
    let long = "s".repeat(1 << 20);
    let request = ApiVersionsRequest {
        client_software_name: long.as_str().into(),
        client_software_version: long.as_str().into(),
    };
    for _ in 0..20 {
        ask(&mut connection, &request, 3);
    }
    for _ in 0..200 {
        let frames: Vec<u8> = (0..100).flat_map(|_| frame(&GetTelemetrySubscriptionsRequest::default(), 0)).collect();
        assert!(connection.send(&frames));
        (0..100).for_each(|_| drop(connection.receive().answer("GetTelemetrySubscriptions")));
    }
    for key in [ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry] {
        let mut e = Encoder::new();
        e.begin_frame();
        [key as i16, 0, 0, 7, -1].into_iter().for_each(|number| e.i16(number));
        e.i8(0);
        e.end_frame();
        let mut connection = broker.connect();
        assert!(connection.send(&e.buf));
        assert_eq!(connection.receive(), Outcome::Closed, "{}", key.name());
    }
    broker.assert_goes_on("a crowd of clients");
    assert!(broker.resident() < before + (32 << 20), "{} bytes", broker.resident() - before);
}
