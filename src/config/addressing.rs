//! Direct addressing (`ringmill.addressing=direct`): each shard is a node of its own to clients, with a port of its own on
//! every advertised listener. Here: how it is asked for, and which ports that makes.

use std::collections::BTreeMap;

use super::listener::{Listener, Listeners};
use super::problem::Problem;
use super::properties::Properties;

/// How a client finds the core that owns a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Addressing {
    /// The broker is one node. Any shard takes any request, and asks the owners through the mesh.
    #[default]
    Mesh,
    /// Each shard is a node. Any of them still takes any request.
    Direct,
}

/// How far the node ids of neighbouring shards lie apart. That of the first shard is `node.id`, which has to be smaller, so
/// that brokers 0 to 999 of a cluster never meet each other's shards.
pub const NODE_ID_STEP: i32 = 1000;

const ADDRESSING: &str = "ringmill.addressing";
const PORTS: &str = "ringmill.addressing.ports";

/// Reads the keys above, and notes in `listeners` where shards get ports.
pub(super) fn resolve(properties: &Properties, listeners: &mut Listeners, problems: &mut Vec<Problem>) -> Addressing {
    let first_ports = first_ports(properties, listeners, problems);
    if properties.get(ADDRESSING) != Some("direct") {
        return Addressing::Mesh;
    }
    let node_id = properties.get("node.id").or(properties.get("broker.id")).and_then(|id| id.parse::<i32>().ok());
    if let Some(node_id) = node_id.filter(|id| *id >= NODE_ID_STEP) {
        let what =
            format!("node {node_id} can't be addressed directly: ids from {NODE_ID_STEP} on are those of shards");
        problems.push(properties.error(ADDRESSING, what, format!("a node.id below {NODE_ID_STEP}, or mesh")));
    }
    for listener in &mut listeners.broker {
        let Some(advertised) = &listener.advertised else { continue };
        let next = if listener.port == 0 { 0 } else { listener.port.saturating_add(1) };
        let first = first_ports.get(&listener.name).copied().unwrap_or(next);
        if first == 0 && advertised.port != listener.port {
            let what =
                format!("{} is advertised with another port than it has, so its shards' must be known", listener.name);
            problems.push(properties.error(
                PORTS,
                what,
                format!("{}:PORT, with the second shard's port", listener.name),
            ));
        }
        listener.shard_port = Some(first);
    }
    Addressing::Direct
}

/// What `ringmill.addressing.ports` says: listener and port, parted by a colon.
fn first_ports(properties: &Properties, listeners: &Listeners, problems: &mut Vec<Problem>) -> BTreeMap<String, u16> {
    let mut found = BTreeMap::new();
    let text = properties.get(PORTS).unwrap_or("");
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let parts = item.split_once(':').map(|(name, port)| (name.trim().to_uppercase(), port.trim().parse::<u16>()));
        let Some((name, Ok(port))) = parts else {
            problems.push(properties.error(
                PORTS,
                format!("{item} is no listener with a port"),
                "LISTENER:PORT is wanted",
            ));
            continue;
        };
        if !listeners.broker.iter().any(|listener| listener.name == name && listener.advertised.is_some()) {
            let help = "one of listeners that is advertised and not a controller's";
            problems.push(properties.error(PORTS, format!("{name} is no listener that shards listen on"), help));
        }
        found.insert(name, port);
    }
    found
}

/// One socket to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint<'a> {
    pub listener: &'a Listener,
    /// The listener's number, see [`Listeners::side`].
    pub number: usize,
    /// The shard whose own it is; `None`: any takes its connections.
    pub shard: Option<u16>,
    /// 0 lets the kernel choose.
    pub port: u16,
}

/// Every socket to listen on, in the order of the listeners' numbers; of one listener the first shard's comes first.
///
/// Errors: two of them would have the same port, or one none that exists.
pub fn endpoints(listeners: &Listeners, shards: u16) -> Result<Vec<Endpoint<'_>>, String> {
    let mut all = Vec::new();
    for (number, listener) in listeners.broker.iter().chain(&listeners.controller).enumerate() {
        let shard = listener.shard_port.map(|_| 0);
        all.push(Endpoint { listener, number, shard, port: listener.port });
        let Some(first) = listener.shard_port else { continue };
        for shard in 1..shards {
            let port = if first == 0 { Some(0) } else { first.checked_add(shard - 1) };
            let port = port.ok_or_else(|| format!("listener {}: shard {shard} has no port left", listener.name))?;
            all.push(Endpoint { listener, number, shard: Some(shard), port });
        }
    }
    let mut taken: BTreeMap<(bool, u16), Endpoint<'_>> = BTreeMap::new();
    for one in all.iter().filter(|one| one.port != 0) {
        // One port may serve an IPv4 and an IPv6 address.
        if let Some(other) = taken.insert((one.listener.host.contains(':'), one.port), *one) {
            return Err(if one.shard > Some(0) { clash(one, &other) } else { clash(&other, one) });
        }
    }
    Ok(all)
}

fn clash(one: &Endpoint<'_>, other: &Endpoint<'_>) -> String {
    let (name, shard, port) = (&one.listener.name, one.shard.unwrap_or(0), one.port);
    format!(
        "listener {name}: shard {shard} would listen on port {port}, which listener {} has; {PORTS}={name}:PORT gives the \
         second shard and those after it other ports",
        other.listener.name
    )
}

impl Listener {
    /// Notes the port that a further shard's socket was bound to, shard after shard.
    ///
    /// Errors: what clients would have to be told is no port.
    pub fn shard_bound(&mut self, port: u16) -> Result<(), String> {
        let (own, name) = (i32::from(self.port), &self.name);
        let Some(advertised) = &mut self.advertised else { return Ok(()) };
        // Whoever maps ports maps the range: what is told lies as far from the advertised port as the shard's from ours.
        let told = i32::from(advertised.port) + i32::from(port) - own;
        let told = u16::try_from(told).ok().filter(|told| *told > 0);
        advertised.shard_ports.push(told.ok_or_else(|| {
            format!(
                "listener {name}: port {port} of a shard can't be advertised as far from {} as from {own}",
                advertised.port
            )
        })?);
        Ok(())
    }

    /// Where it listens, for people; with direct addressing also the ports of the further shards.
    pub fn address(&self) -> String {
        let mut text = format!("{}:{}", self.host, self.port);
        if let Some(advertised) = &self.advertised {
            let own = |told: &u16| i32::from(*told) - i32::from(advertised.port) + i32::from(self.port);
            text.extend(advertised.shard_ports.iter().map(|told| format!(" and {}", own(told))));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::listener;
    use super::*;

    fn listeners(text: &str) -> (Listeners, String) {
        let text = format!(
            "controller.listener.names=CONTROLLER\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT,CONTROLLER:PLAINTEXT\n{text}"
        );
        let properties = Properties::parse("s", text.as_bytes()).unwrap();
        let mut problems = Vec::new();
        let mut found = listener::resolve(&properties, "box", &mut problems);
        resolve(&properties, &mut found, &mut problems);
        (found, problems.iter().map(|problem| problem.what.clone()).collect::<Vec<_>>().join("; "))
    }

    /// The ports of three shards; each `name:port`, with the shard where it is one's own.
    fn ports(text: &str) -> String {
        let (listeners, problems) = listeners(text);
        if !problems.is_empty() {
            return problems;
        }
        let say = |one: &Endpoint<'_>| {
            let shard = one.shard.map_or(String::new(), |shard| format!("/{shard}"));
            format!("{}:{}{shard}", one.listener.name, one.port)
        };
        match endpoints(&listeners, 3) {
            Ok(all) => all.iter().map(say).collect::<Vec<_>>().join(" "),
            Err(why) => why,
        }
    }

    #[test]
    fn each_shard_has_a_port_on_each_advertised_listener() {
        let both = "listeners=A://:9092,B://:9192,CONTROLLER://:9093\nringmill.addressing=";
        assert_eq!(ports(&format!("{both}mesh")), "A:9092 B:9192 CONTROLLER:9093");
        assert_eq!(
            ports(&format!("{both}direct\nringmill.addressing.ports=A:9100")),
            "A:9092/0 A:9100/1 A:9101/2 B:9192/0 B:9193/1 B:9194/2 CONTROLLER:9093"
        );
        assert_eq!(
            ports("listeners=A://:9092,B://:9192\nadvertised.listeners=B://far:9192\nringmill.addressing=direct"),
            "A:9092 B:9192/0 B:9193/1 B:9194/2"
        );
        assert_eq!(ports("listeners=A://:0\nringmill.addressing=direct"), "A:0/0 A:0/1 A:0/2");
    }

    #[test]
    fn ports_that_are_taken_or_do_not_exist_are_told() {
        let direct = "ringmill.addressing=direct\nlisteners=A://:9092";
        assert!(ports(&format!("{direct},CONTROLLER://:9093")).starts_with(
            "listener A: shard 1 would listen on port 9093, which listener CONTROLLER has; ringmill.addressing.ports=A:PORT"
        ));
        assert!(ports(&format!("{direct},B://:9094")).starts_with("listener A: shard 2 would listen on port 9094"));
        assert_eq!(ports(&format!("{direct},B://[::1]:9094")), "A:9092/0 A:9093/1 A:9094/2 B:9094/0 B:9095/1 B:9096/2");
        assert_eq!(ports("ringmill.addressing=direct\nlisteners=A://:65534"), "listener A: shard 2 has no port left");
        for (ports_of, what) in [
            ("9100", "9100 is no listener with a port"),
            ("A:many", "A:many is no listener with a port"),
            ("CONTROLLER:9100", "CONTROLLER is no listener that shards listen on"),
        ] {
            assert_eq!(ports(&format!("{direct},CONTROLLER://:9200\nringmill.addressing.ports={ports_of}")), what);
        }
        assert_eq!(
            ports("ringmill.addressing=direct\nlisteners=A://:0\nadvertised.listeners=A://far:9092"),
            "A is advertised with another port than it has, so its shards' must be known"
        );
        let high = ports(&format!("{direct}\nnode.id=1000"));
        assert_eq!(high, "node 1000 can't be addressed directly: ids from 1000 on are those of shards");
    }

    #[test]
    fn a_range_that_is_mapped_is_told_as_mapped() {
        let text = "ringmill.addressing=direct\nlisteners=A://:9092\nadvertised.listeners=A://far:19092\n\
                    ringmill.addressing.ports=A:9100";
        let (mut found, problems) = listeners(text);
        assert_eq!(problems, "");
        let one = &mut found.broker[0];
        assert_eq!((one.shard_bound(9100), one.shard_bound(9101)), (Ok(()), Ok(())));
        assert_eq!(one.advertised.as_ref().unwrap().shard_ports, [19100, 19101]);
        assert_eq!(one.address(), ":9092 and 9100 and 9101");
        assert!(one.shard_bound(65_535).is_err());
    }
}
