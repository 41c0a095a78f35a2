//! Listeners: where to listen, what clients are told, and the protocol of each.

use std::collections::BTreeMap;

use super::problem::Problem;
use super::properties::Properties;

/// One address of this broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// In capitals, as Kafka normalises it.
    pub name: String,
    /// Host to listen on; empty for every interface.
    pub host: String,
    /// Port to listen on; 0 lets the kernel choose.
    pub port: u16,
    /// What clients are told, unless this listener is not advertised.
    pub advertised: Option<Advertised>,
    /// With direct addressing: the second shard's port, from which those of the others count up; 0 lets the kernel choose
    /// each.
    pub shard_port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    pub host: String,
    /// 0 until the listener is bound, where `port` is 0.
    pub port: u16,
    /// With direct addressing: the ports of the second shard and those after it, once they are bound.
    pub shard_ports: Vec<u16>,
}

/// The broker's listeners and the controller's, each in the order of `listeners`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listeners {
    pub broker: Vec<Listener>,
    pub controller: Vec<Listener>,
    pub inter_broker: String,
}

/// Whom a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Broker,
    Controller,
}

impl Listeners {
    /// Whom the listener of this index is for: the brokers' come first, then the controllers'.
    pub fn side(&self, index: usize) -> Side {
        if index < self.broker.len() { Side::Broker } else { Side::Controller }
    }
}

const FORM: &str = "name://host:port is wanted, for example PLAINTEXT://127.0.0.1:9092";

/// Reads every key that speaks of listeners. `hostname` is what an empty host is advertised as.
pub(super) fn resolve(properties: &Properties, hostname: &str, problems: &mut Vec<Problem>) -> Listeners {
    let controller_names: Vec<String> =
        items(properties.get("controller.listener.names").unwrap_or("")).map(str::to_uppercase).collect();
    let listeners = endpoints(properties, "listeners", "PLAINTEXT://:9092", problems);
    let advertised = match properties.get("advertised.listeners") {
        Some(text) if !text.is_empty() => endpoints(properties, "advertised.listeners", "", problems),
        _ => listeners.clone(),
    };
    check_protocols(properties, &controller_names, &listeners, problems);
    check_distinct(properties, &listeners, problems);
    let mut found = Listeners::default();
    for (name, host, port) in &listeners {
        let is_controllers = controller_names.contains(name);
        let own = (name.clone(), host.clone(), *port);
        let told = advertised.iter().find(|told| told.0 == *name).or(is_controllers.then_some(&own));
        let advertised = told.map(|(_, host, port)| Advertised {
            host: if host.is_empty() { hostname.into() } else { host.clone() },
            port: *port,
            shard_ports: Vec::new(),
        });
        let listener = Listener { name: name.clone(), host: host.clone(), port: *port, advertised, shard_port: None };
        if is_controllers { &mut found.controller } else { &mut found.broker }.push(listener);
    }
    check_advertised(properties, &found, &advertised, &listeners, problems);
    found.inter_broker = inter_broker(properties, &found, problems);
    found
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

type Endpoint = (String, String, u16);

fn endpoints(properties: &Properties, key: &str, standard: &str, problems: &mut Vec<Problem>) -> Vec<Endpoint> {
    let mut found = Vec::new();
    for item in items(properties.get(key).unwrap_or(standard)) {
        match endpoint(item) {
            Some(endpoint) => found.push(endpoint),
            None => problems.push(properties.error(key, format!("{item} in {key} is no listener"), FORM)),
        }
    }
    found
}

/// `name://host:port`; the host may be empty, an IPv6 address stands in brackets.
fn endpoint(text: &str) -> Option<Endpoint> {
    let (name, rest) = text.split_once("://")?;
    let (host, port) = rest.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let good = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-%._:".contains(&byte));
    if name.trim().is_empty() || !good {
        return None;
    }
    Some((name.trim().to_uppercase(), host.into(), port.parse().ok()?))
}

/// Every listener must be PLAINTEXT: one that promises TLS or SASL and gives neither would be a hole.
fn check_protocols(
    properties: &Properties,
    controller_names: &[String],
    listeners: &[Endpoint],
    problems: &mut Vec<Problem>,
) {
    let key = "listener.security.protocol.map";
    let mut protocols = BTreeMap::new();
    for item in items(
        properties.get(key).unwrap_or("PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"),
    ) {
        match item.split_once(':') {
            Some((name, protocol)) => protocols.insert(name.trim().to_uppercase(), protocol.trim().to_uppercase()),
            None => {
                problems.push(properties.error(
                    key,
                    format!("{item} in {key} is no mapping"),
                    "name:protocol is wanted",
                ));
                continue;
            }
        };
    }
    for (name, ..) in listeners {
        // With the default map a controller's listener is plain (KIP-1143's rule for controllers).
        let implied = properties.get(key).is_none() && controller_names.contains(name);
        match protocols.get(name).map(String::as_str) {
            Some("PLAINTEXT") => {}
            Some(protocol) => problems.push(properties.error(
                if properties.get(key).is_some() { key } else { "listeners" },
                format!("listener {name} asks for {protocol}, which is not served yet"),
                "only PLAINTEXT is; to open it without would leave it unprotected",
            )),
            None if implied => {}
            None => problems.push(properties.error(
                "listeners",
                format!("listener {name} has no security protocol"),
                format!("add {name}:PLAINTEXT to {key}"),
            )),
        }
    }
}

fn check_distinct(properties: &Properties, listeners: &[Endpoint], problems: &mut Vec<Problem>) {
    for (at, (name, host, port)) in listeners.iter().enumerate() {
        let others = &listeners[..at];
        if others.iter().any(|other| other.0 == *name) {
            let what = format!("listener {name} is there twice");
            problems.push(properties.error("listeners", what, "each needs a name of its own"));
        }
        // One port may serve an IPv4 and an IPv6 address.
        let clash = |other: &&Endpoint| other.2 == *port && *port != 0 && other.1.contains(':') == host.contains(':');
        if others.iter().any(|other| clash(&other)) {
            let what = format!("port {port} is there twice");
            problems.push(properties.error("listeners", what, "each listener needs a port of its own"));
        }
    }
}

fn check_advertised(
    properties: &Properties,
    found: &Listeners,
    advertised: &[Endpoint],
    listeners: &[Endpoint],
    problems: &mut Vec<Problem>,
) {
    let key = if properties.get("advertised.listeners").is_some() { "advertised.listeners" } else { "listeners" };
    if found.broker.is_empty() {
        let what = "no listener is left for clients: all of listeners stand in controller.listener.names";
        problems.push(properties.error("listeners", what, "add one, for example PLAINTEXT://127.0.0.1:9092"));
    } else if found.broker.iter().all(|listener| listener.advertised.is_none()) {
        problems.push(properties.error(key, "no client listener is advertised", "name one of listeners here"));
    }
    for (name, host, _) in advertised {
        if host == "0.0.0.0" {
            let help = "name the address clients shall use in advertised.listeners";
            problems.push(properties.error(key, format!("{name} would tell clients to connect to 0.0.0.0"), help));
        }
        if !listeners.iter().any(|listener| listener.0 == *name) {
            let help = "every advertised listener must stand in listeners";
            problems.push(properties.error(key, format!("{name} is advertised but not in listeners"), help));
        }
    }
}

fn inter_broker(properties: &Properties, found: &Listeners, problems: &mut Vec<Problem>) -> String {
    let key = "inter.broker.listener.name";
    let told: Vec<&str> =
        found.broker.iter().filter(|one| one.advertised.is_some()).map(|one| one.name.as_str()).collect();
    let name = match properties.get(key) {
        Some(name) if !name.is_empty() => name.to_uppercase(),
        // Kafka wants a listener called PLAINTEXT here; a node alone speaks with nobody, so any will do.
        _ if told.contains(&"PLAINTEXT") => "PLAINTEXT".into(),
        _ => told.first().copied().unwrap_or("PLAINTEXT").into(),
    };
    if !told.is_empty() && !told.contains(&name.as_str()) {
        let what = format!("{name} is no advertised listener");
        problems.push(properties.error(key, what, format!("one of: {}", told.join(", "))));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        let properties = Properties::parse("s", text.as_bytes()).unwrap();
        let mut problems = Vec::new();
        let found = resolve(&properties, "box", &mut problems);
        if !problems.is_empty() {
            return problems.iter().map(|problem| problem.what.clone()).collect::<Vec<_>>().join("; ");
        }
        let say = |listener: &Listener| {
            let told = listener.advertised.as_ref().map(|told| format!(" as {}:{}", told.host, told.port));
            format!("{}={}:{}{}", listener.name, listener.host, listener.port, told.unwrap_or_default())
        };
        let all: Vec<String> = found.broker.iter().map(say).collect();
        format!(
            "{} | {} | {}",
            all.join(" "),
            found.controller.iter().map(say).collect::<Vec<_>>().join(" "),
            found.inter_broker
        )
    }

    #[test]
    fn listeners_are_read() {
        assert_eq!(check(""), "PLAINTEXT=:9092 as box:9092 |  | PLAINTEXT");
        assert_eq!(
            check("listeners=plaintext://127.0.0.1:9092, CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER"),
            "PLAINTEXT=127.0.0.1:9092 as 127.0.0.1:9092 | CONTROLLER=:9093 as box:9093 | PLAINTEXT"
        );
        assert_eq!(
            check(
                "listeners=A://[::1]:1\nlistener.security.protocol.map=A:PLAINTEXT\nadvertised.listeners=A://far.example:99"
            ),
            "A=::1:1 as far.example:99 |  | A"
        );
        assert_eq!(
            check("listeners=PLAINTEXT://[::]:1,PLAINTEXT2://x:1"),
            "listener PLAINTEXT2 has no security protocol"
        );
    }

    #[test]
    fn what_can_not_be_served_is_refused() {
        assert_eq!(check("listeners=SSL://:9092"), "listener SSL asks for SSL, which is not served yet");
        assert_eq!(
            check("listeners=B://:9092\nlistener.security.protocol.map=B:SASL_PLAINTEXT"),
            "listener B asks for SASL_PLAINTEXT, which is not served yet"
        );
        assert_eq!(check("listeners=PLAINTEXT://0.0.0.0:9092"), "PLAINTEXT would tell clients to connect to 0.0.0.0");
        assert_eq!(
            check("listeners=PLAINTEXT:9092"),
            "PLAINTEXT:9092 in listeners is no listener; no listener is left for clients: all of listeners stand in controller.listener.names"
        );
        assert_eq!(
            check("listeners=PLAINTEXT://a:1,PLAINTEXT://b:1"),
            "listener PLAINTEXT is there twice; port 1 is there twice"
        );
        assert_eq!(check("inter.broker.listener.name=X"), "X is no advertised listener");
        assert_eq!(
            check("advertised.listeners=X://a:1"),
            "no client listener is advertised; X is advertised but not in listeners"
        );
        assert_eq!(
            check("listeners=PLAINTEXT://h:70000\nadvertised.listeners=PLAINTEXT://h:1"),
            "PLAINTEXT://h:70000 in listeners is no listener; no listener is left for clients: all of listeners stand in controller.listener.names; PLAINTEXT is advertised but not in listeners"
        );
    }
}
