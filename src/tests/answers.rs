//! Every API that is offered gets an answer that can be read, in every version, on both kinds of listeners.

use std::net::{SocketAddr, TcpListener};

use crate::broker::{Broker, is_control};
use crate::raw::{Connection, Outcome, decode};
use wire::codec::Encoder;
use wire::generated::api_versions_response::ApiVersionsResponse;
use wire::{ApiKey, recode};

/// Produce's default is `acks=0`, which gets no answer.
const UNANSWERED: [ApiKey; 1] = [ApiKey::Produce];

#[test]
fn every_api_of_the_brokers_listener_answers() {
    if is_control() {
        return;
    }
    let broker = Broker::start();
    let offered = check(&mut || broker.connect());
    assert!(offered > 60, "{offered} APIs");
    broker.assert_goes_on("a request of every API");
}

#[test]
fn every_api_of_the_controllers_listener_answers() {
    if is_control() {
        return;
    }
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a free port");
    let (broker_port, controller): (SocketAddr, SocketAddr) = (free(), free());
    let listeners = format!("PLAINTEXT://{broker_port},CONTROLLER://{controller}");
    let broker = Broker::at(broker_port, &[&format!("listeners={listeners}"), "controller.listener.names=CONTROLLER"]);
    let connect = || Connection::try_open(controller).expect("the controller's listener is open");
    let offered = check(&mut || connect());
    assert!(offered > 30, "{offered} APIs");
    // What a broker's listener alone has closes the connection.
    assert_eq!(call(&mut connect(), ApiKey::Metadata, 1), Outcome::Closed);
    broker.assert_goes_on("a request of every API to the controller's listener");
}

/// Asks every API of ApiVersions in every version, and counts them.
fn check(connect: &mut dyn FnMut() -> Connection) -> usize {
    let mut connection = connect();
    let body = call(&mut connection, ApiKey::ApiVersions, 2).answer("ApiVersions");
    let offered = decode::<ApiVersionsResponse<'_>>(&body, 2).api_keys;
    for one in &offered {
        let key = ApiKey::from_i16(one.api_key).expect("a key of Kafka's");
        for version in one.min_version.max(key.versions().0)..=one.max_version {
            if UNANSWERED.contains(&key) {
                continue;
            }
            let what = format!("{} version {version}", key.name());
            let frame = call(&mut connection, key, version).answer(&what);
            let body = &frame[usize::from(key.response_header_version(version) > 0)..];
            let schema = recode::find(&format!("{}Response", key.name())).expect("every API has a response");
            let mut again = Encoder::new();
            (schema.recode)(body, version, version, &mut again).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
    offered.len()
}

/// A request with nothing but defaults.
fn call(connection: &mut Connection, key: ApiKey, version: i16) -> Outcome {
    let mut e = Encoder::new();
    e.begin_frame();
    e.i16(key as i16);
    e.i16(version);
    e.i32(7);
    e.i16(-1);
    if key.request_header_version(version) > 1 {
        e.i8(0);
    }
    let schema = recode::find(&format!("{}Request", key.name())).expect("every API has a request");
    (schema.default)(version, &mut e);
    e.end_frame();
    if connection.send(&e.buf) { connection.receive() } else { Outcome::Closed }
}
