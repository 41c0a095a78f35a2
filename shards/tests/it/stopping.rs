use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shards::{Core, Plan, StartError};

use crate::service::{Call, Server, Setup, TestService, frame};

#[test]
fn a_stop_under_load_is_clean() {
    let mut server = Server::start(Setup { shards: 2, ..Setup::default() });
    let enough = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..8)
        .map(|thread: usize| {
            let (mut stream, enough) = (server.connect().stream, Arc::clone(&enough));
            std::thread::spawn(move || {
                // As many as the service, which refuses nothing, can have waiting.
                let (request, count) = match thread % 4 {
                    0 => (frame(b'e', &[1; 100]), 100_000),
                    1 => (frame(b'e', &vec![1; 200_000]), 300),
                    2 => (frame(b'p', &300u64.to_be_bytes()), 300),
                    _ => (frame(b'n', &5_000_000u64.to_be_bytes()), 20),
                };
                let mut buf = vec![0; 64 << 10];
                let mut writer = stream.try_clone().unwrap();
                let writing = std::thread::spawn(move || (0..count).all(|_| writer.write_all(&request).is_ok()));
                let mut total = 0;
                while let Ok(count) = stream.read(&mut buf) {
                    total += count;
                    if count == 0 {
                        break;
                    }
                    if total > 100_000 {
                        enough.store(true, Ordering::Relaxed);
                    }
                }
                let _ = stream.shutdown(std::net::Shutdown::Both);
                writing.join().unwrap();
            })
        })
        .collect();
    server.until(|_| enough.load(Ordering::Relaxed));
    server.stop();
    assert_eq!(server.seen.stopping.load(Ordering::Relaxed), 2);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_panic_on_one_shard_ends_all() {
    let mut server = Server::start(Setup { shards: 3, ..Setup::default() });
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    clients[1].ask(b'e', &[1; 100_000]);
    clients[1].send(b'!', b"");
    let outcome = server.running.take().unwrap().join();
    assert!(outcome.as_ref().is_err_and(|reason| reason.contains("panicked")), "{outcome:?}");
    for client in &mut clients {
        assert!(matches!(client.stream.read(&mut [0]), Ok(0) | Err(_)));
    }
}

#[test]
fn a_service_that_cannot_be_made_is_the_answer() {
    let plan = Plan::new(shards::topology::choose(Some(3)));
    let result = shards::run(plan, |core: Core<Call>| {
        if core.id().0 == 1 { Err::<Rc<TestService>, _>("no such directory".to_string()) } else { Err("also".into()) }
    });
    assert!(matches!(result.err(), Some(StartError::Service(_))));
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let mut plan = Plan::new(vec![0]);
    plan.directories.push("/nowhere/at/all".into());
    let result = shards::run(plan, |_: Core<Call>| Err::<Rc<TestService>, _>(String::new()));
    assert!(result.err().unwrap().to_string().contains("/nowhere/at/all"));
}

#[test]
fn idle_shards_sleep() {
    let server = Server::start(Setup { shards: 2, ..Setup::default() });
    server.connect().ask(b'e', b"awake");
    let running = server.running.as_ref().unwrap();
    let turns = || -> u64 { (0..2).map(|shard| running.counters(shards::ShardId(shard)).unwrap().turns).sum() };
    let before = turns();
    std::thread::sleep(Duration::from_millis(200));
    assert!(turns() - before < 20, "{} turns in 200 ms without work", turns() - before);
}
