use crate::service::{Server, Setup};

#[test]
fn calls_cross_and_return() {
    let server = Server::start(Setup { shards: 2, ..Setup::default() });
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for count in [1u64, 2, 100, 5000] {
        for client in &mut clients {
            client.send(b'p', &count.to_be_bytes());
        }
        for client in &mut clients {
            assert_eq!(client.receive(), (count as u32).to_be_bytes());
        }
    }
}

#[test]
fn a_flood_larger_than_the_rings_arrives_whole() {
    let server = Server::start(Setup { shards: 4, ..Setup::default() });
    let mut client = server.connect();
    assert_eq!(client.ask(b'p', &200_000u64.to_be_bytes()), 200_000u32.to_be_bytes());
}

#[test]
fn parked_shards_wake_each_other() {
    let server = Server::start(Setup { shards: 2, ..Setup::default() });
    let mut client = server.connect();
    for _ in 0..2000 {
        assert_eq!(client.ask(b'p', &2u64.to_be_bytes()), 2u32.to_be_bytes());
    }
}

#[test]
fn spinning_shards_serve_too() {
    let server = Server::start(Setup {
        shards: 2,
        plan: |plan| plan.spin = std::time::Duration::from_micros(50),
        ..Setup::default()
    });
    let mut client = server.connect();
    for _ in 0..500 {
        assert_eq!(client.ask(b'p', &2u64.to_be_bytes()), 2u32.to_be_bytes());
    }
}
