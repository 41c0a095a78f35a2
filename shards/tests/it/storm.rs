//! Many connections that do everything at once, in a seeded order, with few lent buffers; every answer is compared.
//! `STORM_ROUND=n` makes another storm.

use std::fs;
use std::io::Write;
use std::sync::atomic::Ordering;

use crate::files::Dir;
use crate::service::{Client, Server, Setup, frame};

struct Seeded(u64);

impl Seeded {
    /// xorshift64*.
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        let start = self.next(256);
        (0..len).map(|at| (at * 7 + at / 509 + start) as u8).collect()
    }
}

/// One conversation: requests are pipelined while their answers are read.
fn converse(mut client: Client, file: &[u8], seeded: &mut Seeded) {
    let mut requests = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..1 + seeded.next(20) {
        match seeded.next(10) {
            0 => requests.extend(frame(b'z', &seeded.next(5).to_be_bytes())),
            1..3 => {
                let position = seeded.next(file.len() as u64);
                let len = seeded.next(file.len() as u64 - position + 1);
                requests.extend(frame(b'f', &[position.to_be_bytes(), len.to_be_bytes()].concat()));
                answers.push(file[position as usize..(position + len) as usize].to_vec());
            }
            kind => {
                let most = if kind == 9 { 400_000 } else { 3000 };
                let len = seeded.next(most);
                let payload = seeded.bytes(len);
                requests.extend(frame(b'e', &payload));
                answers.push(payload);
            }
        }
    }
    let finishes = seeded.next(4) == 0;
    if finishes {
        requests.extend(frame(b'q', b"bye"));
        answers.push(b"bye".to_vec());
    }
    let leaves_early = seeded.next(8) == 0;
    let mut cuts: Vec<usize> = (0..seeded.next(6)).map(|_| seeded.next(requests.len() as u64 + 1) as usize).collect();
    cuts.push(requests.len());
    cuts.sort_unstable();
    let mut writer = client.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let mut from = 0;
        for to in cuts {
            if writer.write_all(&requests[from..to]).is_err() {
                return;
            }
            from = to;
        }
    });
    let wanted = if leaves_early { answers.len() / 2 } else { answers.len() };
    for answer in &answers[..wanted] {
        assert!(client.receive() == *answer);
    }
    if leaves_early {
        let _ = client.stream.shutdown(std::net::Shutdown::Both);
    }
    drop(client);
    writing.join().unwrap();
}

#[test]
fn a_storm_is_weathered() {
    let dir = Dir::new("storm");
    let path = dir.0.join("data");
    let file = Seeded(77).bytes(900_000);
    fs::write(&path, &file).unwrap();
    let setup = Setup { shards: 2, file: Some(path), plan: |plan| plan.buffer_count = 4, ..Setup::default() };
    let mut server = Server::start(setup);
    let round: u64 = std::env::var("STORM_ROUND").map_or(0, |round| round.parse().unwrap());
    std::thread::scope(|scope| {
        for thread in 1..9u64 {
            let (server, file) = (&server, &file);
            scope.spawn(move || {
                let mut seeded = Seeded(round * 8 + thread);
                for _ in 0..40 {
                    converse(server.connect(), file, &mut seeded);
                }
            });
        }
    });
    server.until(|seen| seen.closed.load(Ordering::Relaxed) == 320);
    server.stop();
}
