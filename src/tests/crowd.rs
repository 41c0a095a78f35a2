//! Many connections, and such as never read or never finish.

use crate::batches::{Batch, record};
use crate::broker::{Broker, is_control};
use crate::raw::{self, Bytes, Connection, Outcome};
use crate::topics;

/// Apache Kafka reserves what was announced and runs out of heap.
#[test]
fn announcements_cost_nothing() {
    if is_control() {
        return;
    }
    let broker = Broker::start();
    let before = broker.resident_peak();
    let mut crowd: Vec<Connection> = (0..300).map(|_| broker.connect()).collect();
    for connection in &mut crowd {
        connection.send(&Bytes::new().i32(100 << 20).i8(0).0);
    }
    broker.assert_goes_on("300 announcements of 100 MiB");
    // One of them sends on: what was announced is still taken, or the connection ends.
    let grown = broker.resident_peak() - before;
    assert!(grown < 64 << 20, "300 announcements of 100 MiB cost {} MiB", grown >> 20);
    drop(crowd);
    broker.assert_goes_on("their end");
}

/// Frames of several MiB that arrive at once are either taken or wait for their turn, within a budget.
#[test]
fn large_frames_wait_for_their_turn() {
    if is_control() {
        return;
    }
    let broker = Broker::start();
    let body = vec![0; 90 << 20];
    let frame = raw::request(raw::METADATA, 1, 7, &body);
    let mut crowd: Vec<Connection> = (0..8).map(|_| broker.connect()).collect();
    std::thread::scope(|scope| {
        for connection in &mut crowd {
            scope.spawn(|| {
                // A prefix, so that each stays open with most of its frame in the broker's hands or in the socket's.
                connection.finish_after(&frame[..frame.len() - 1]);
            });
        }
    });
    broker.assert_goes_on("frames of 90 MiB");
    let peak = broker.resident_peak();
    assert!(peak < 512 << 20, "eight frames of 90 MiB cost {} MiB", peak >> 20);
}

impl Connection {
    /// Sends as much as the other side takes.
    fn finish_after(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(1 << 20) {
            if !self.send(chunk) {
                return;
            }
        }
    }
}

/// A client that asks for much and reads nothing is not served from memory without end.
#[test]
fn a_client_that_never_reads_costs_little() {
    let broker = Broker::start();
    let topic = topics::create(&broker, 1);
    let records = Batch::of(1, record(0, None, Some(&[7; 900_000]))).bytes();
    let place = Bytes::new().i16(-1).i16(-1).i32(10_000).i32(1).string(&topic).i32(1).i32(0);
    let body = place.i32(records.len() as i32).raw(&records);
    broker.connect().call(raw::PRODUCE, 8, &body).answer("Produce");
    let before = broker.resident();
    let fetch = Bytes::new().i32(-1).i32(0).i32(0).i32(1 << 20).i8(0);
    let fetch = fetch.i32(1).string(&topic).i32(1).i32(0).i64(0).i32(1 << 20);
    let many: Vec<u8> = (0..500).flat_map(|i| raw::request(raw::FETCH, 4, i, &fetch.0)).collect();
    let mut crowd: Vec<Connection> = (0..4).map(|_| broker.connect()).collect();
    for connection in &mut crowd {
        connection.send(&many);
    }
    broker.assert_goes_on("clients that never read");
    let grown = broker.resident().saturating_sub(before);
    assert!(is_control() || grown < 128 << 20, "answers that nobody reads cost {} MiB", grown >> 20);
    // One of them begins to read: nothing was lost, and the order is kept.
    for i in 0..500 {
        let answer = crowd[0].receive();
        assert!(matches!(&answer, Outcome::Answer(body) if body.len() > 900_000), "answer {i}: not one of 900 kB");
    }
}

#[test]
fn connections_that_come_and_go_leave_nothing() {
    let broker = Broker::start();
    for round in 0..500 {
        let mut connection = broker.connect();
        match round % 4 {
            0 => {}
            1 => drop(connection.send(&[0, 0])),
            2 => drop(connection.send(&raw::request(raw::METADATA, 1, 1, &[0xff; 4]))),
            _ => assert!(connection.is_served()),
        }
    }
    broker.assert_goes_on("500 short connections");
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).expect("the broker runs").count();
    assert!(is_control() || descriptors < 200, "{descriptors} descriptors are open");
}
