use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::service::{Server, Setup, frame};

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 31 + seed * 7 + at / 251) % 256) as u8).collect()
}

#[test]
fn small_frames_come_back() {
    let server = Server::start(Setup::default());
    let mut client = server.connect();
    for seed in 0..200 {
        let payload = pattern(seed * 3, seed);
        assert_eq!(client.ask(b'e', &payload), payload);
    }
}

#[test]
fn pipelined_frames_come_back_in_order() {
    let server = Server::start(Setup::default());
    let mut client = server.connect();
    let payloads: Vec<Vec<u8>> = (0..500).map(|seed| pattern(seed * 7 % 3000, seed)).collect();
    let all: Vec<u8> = payloads.iter().flat_map(|payload| frame(b'e', payload)).collect();
    let mut writer = client.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&all).unwrap());
    for payload in payloads {
        assert_eq!(client.receive(), payload);
    }
    writing.join().unwrap();
}

#[test]
fn large_frames_go_straight_into_one_vector() {
    let server = Server::start(Setup::default());
    let mut client = server.connect();
    // Large and small in turn, so that the socket changes its way of receiving and back.
    for round in 0..6 {
        for len in [1 << 20, 70_000, 3 << 20, 40_000 + round] {
            let payload = pattern(len, len);
            let mut writer = client.stream.try_clone().unwrap();
            let all = [frame(b'e', &payload), frame(b'e', b"behind it")].concat();
            let writing = std::thread::spawn(move || writer.write_all(&all).unwrap());
            assert!(client.receive() == payload, "{len} bytes");
            assert_eq!(client.receive(), b"behind it");
            writing.join().unwrap();
        }
        for seed in 0..20 {
            assert_eq!(client.ask(b'e', &pattern(seed, seed)), pattern(seed, seed));
        }
    }
}

#[test]
fn what_follows_a_large_frame_may_come_with_it() {
    let server = Server::start(Setup::default());
    // More connections than may all receive ahead at a time.
    let mut clients: Vec<_> = (0..24).map(|_| server.connect()).collect();
    let payloads: Vec<Vec<u8>> = (0..20).map(|seed| pattern(40_000 + 7_001 * seed, seed)).collect();
    let all: Vec<u8> = payloads.iter().flat_map(|payload| frame(b'e', payload)).collect();
    std::thread::scope(|scope| {
        for client in &mut clients {
            let mut writer = client.stream.try_clone().unwrap();
            let all = &all;
            scope.spawn(move || writer.write_all(all).unwrap());
        }
        for client in &mut clients {
            for payload in &payloads {
                assert!(client.receive() == *payload);
            }
        }
    });
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let server = Server::start(Setup::default());
    let mut client = server.connect();
    for byte in frame(b'e', b"slowly") {
        client.stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(client.receive(), b"slowly");
}

#[test]
fn more_connections_than_lent_buffers_are_served() {
    let server = Server::start(Setup { plan: |plan| plan.buffer_count = 2, ..Setup::default() });
    let mut clients: Vec<_> = (0..64).map(|_| server.connect()).collect();
    for round in 0..10 {
        for client in &mut clients {
            client.send(b'e', &pattern(9000, round));
        }
        for client in &mut clients {
            assert_eq!(client.receive(), pattern(9000, round));
        }
    }
}

#[test]
fn a_peer_that_has_shut_its_sending_side_gets_its_answer() {
    let server = Server::start(Setup::default());
    let mut client = server.connect();
    let payload = pattern(4 << 20, 1);
    let mut writer = client.stream.try_clone().unwrap();
    let sent = frame(b'e', &payload);
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert!(client.receive() == payload);
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    writing.join().unwrap();
    server.until(|seen| seen.closed.load(Ordering::Relaxed) == 1);
}

#[test]
fn a_peer_that_resets_is_closed() {
    let server = Server::start(Setup::default());
    for with_output in [false, true] {
        let mut client = server.connect();
        client.ask(b'e', b"hello");
        if with_output {
            client.send(b'n', &(64u64 << 20).to_be_bytes());
            client.stream.read_exact(&mut [0; 4]).unwrap();
        }
        reset_on_close(&client.stream);
    }
    server.until(|seen| seen.closed.load(Ordering::Relaxed) == 2);
}

fn reset_on_close(stream: &std::net::TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option's value lives through the call and has the given size.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as u32,
        )
    };
    assert_eq!(result, 0);
}

#[test]
fn a_slow_reader_gets_everything_and_holds_up_nobody() {
    let server = Server::start(Setup::default());
    let mut slow = server.connect();
    let len = 48 << 20;
    for _ in 0..2 {
        slow.send(b'n', &(len as u64).to_be_bytes());
    }
    let mut quick = server.connect();
    for seed in 0..50 {
        assert_eq!(quick.ask(b'e', &pattern(100, seed)), pattern(100, seed));
    }
    assert!(server.seen.largest_queue.load(Ordering::Relaxed) >= len);
    for _ in 0..2 {
        let body = slow.receive();
        assert!(body.len() == len && body.iter().all(|byte| *byte == b'n'));
    }
}

#[test]
fn a_paused_socket_delivers_nothing_until_it_is_resumed() {
    let server = Server::start(Setup::default());
    let mut client = server.connect();
    let start = std::time::Instant::now();
    client.stream.write_all(&[frame(b'z', &50u64.to_be_bytes()), frame(b'e', b"same chunk")].concat()).unwrap();
    // What came in one chunk with the request to pause was delivered already.
    assert_eq!(client.receive(), b"same chunk");
    client.send(b'e', &pattern(1 << 20, 3));
    assert!(client.receive() == pattern(1 << 20, 3));
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[test]
fn finish_sends_what_is_queued_and_close_does_not() {
    let server = Server::start(Setup::default());
    let mut client = server.connect();
    let payload = pattern(2 << 20, 9);
    client.send(b'q', &payload);
    assert!(client.receive() == payload);
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    drop(client);

    let mut client = server.connect();
    client.send(b'x', b"");
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    server.until(|seen| seen.closed.load(Ordering::Relaxed) == 2);
}

#[test]
fn input_behind_a_finished_connection_does_not_destroy_the_last_answer() {
    let server = Server::start(Setup::default());
    let mut client = server.connect();
    let payload = pattern(1 << 20, 2);
    let mut writer = client.stream.try_clone().unwrap();
    let all = [frame(b'q', &payload), frame(b'e', &pattern(4 << 20, 4))].concat();
    let writing = std::thread::spawn(move || writer.write_all(&all));
    assert!(client.receive() == payload);
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    writing.join().unwrap().unwrap();
}

#[test]
fn a_finished_connection_whose_peer_stays_ends_by_itself() {
    let server = Server::start(Setup::default());
    let mut client = server.connect();
    client.ask(b'q', b"bye");
    server.until(|seen| seen.closed.load(Ordering::Relaxed) == 1);
}

#[test]
fn thousands_of_connections_come_and_go() {
    let mut server = Server::start(Setup { shards: 2, ..Setup::default() });
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let address = server.address;
            std::thread::spawn(move || {
                for round in 0..500 {
                    let mut stream = std::net::TcpStream::connect(address).unwrap();
                    if round % 3 == 0 {
                        continue;
                    }
                    stream.write_all(&frame(b'e', &[thread; 30])).unwrap();
                    if round % 3 == 1 {
                        let mut answer = [0; 34];
                        stream.read_exact(&mut answer).unwrap();
                        assert_eq!(answer[4..], [thread; 30]);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // A connection that was reset before it was taken has no peer and is not announced.
    server.until(|seen| seen.closed.load(Ordering::Relaxed) == seen.accepted.load(Ordering::Relaxed));
    server.stop();
    assert!(server.seen.accepted.load(Ordering::Relaxed) >= 1000);
}

#[test]
fn connections_are_spread_over_the_shards() {
    let server = Server::start(Setup { shards: 3, ..Setup::default() });
    let mut clients: Vec<_> = (0..9).map(|_| server.connect()).collect();
    let mut counts = [0; 3];
    for client in &mut clients {
        let shard = client.ask(b's', b"");
        counts[usize::from(u16::from_be_bytes([shard[0], shard[1]]))] += 1;
    }
    assert_eq!(counts, [3, 3, 3]);
}
