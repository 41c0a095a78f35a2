//! What shards take from the machine: alone in its process, so that nobody else's descriptors and pages are counted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use shards::{Chunk, Core, Out, Plan, Running, Seating, Service, ShardId, SocketId};

struct Echo {
    core: Core<()>,
}

impl Service for Echo {
    type Call = ();

    fn accepted(&self, _: SocketId, _: usize, _: SocketAddr, _: SocketAddr) {}

    fn received(&self, socket: SocketId, chunk: Chunk) {
        self.core.send(socket, Out::Bytes(chunk.to_vec()));
    }

    fn closed(&self, _: SocketId) {}
    fn sent(&self, _: SocketId) {}
    fn called(&self, _: ShardId, (): ()) {}
    fn written(&self, _: u64, _: std::io::Result<()>) {}
    fn settle(&self) {}

    fn stopping(&self) {
        self.core.stopped();
    }
}

fn start() -> (Running, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Mutex::new(Some(listener));
    let running = shards::run(Plan::new(shards::topology::choose(Some(2))), move |core| {
        if core.id() == ShardId(0) {
            core.listen(listener.lock().unwrap().take().unwrap(), 0, Seating::Any);
        }
        Ok(Rc::new(Echo { core }))
    });
    (running.unwrap(), address)
}

fn echo(stream: &mut TcpStream) {
    let mut answer = [0; 5];
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// One test, in order: what is counted belongs to the whole process.
#[test]
fn shards_are_modest_and_give_everything_back() {
    let (running, address) = start();
    echo(&mut TcpStream::connect(address).unwrap());
    let resident = resident_kib();
    println!("two idle shards: {resident} KiB resident");
    assert!(resident < 30 << 10, "{resident} KiB");
    let cpu = cpu_time();
    std::thread::sleep(Duration::from_millis(500));
    let used = cpu_time() - cpu;
    assert!(used < Duration::from_millis(10), "two idle shards used {used:?} of 500 ms");
    running.stop();
    running.join().unwrap();

    // Rings are torn down by the kernel a little after their descriptors closed.
    let before = descriptors();
    for round in 0..5 {
        let (running, address) = start();
        let mut streams: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
        streams.iter_mut().for_each(echo);
        let open = descriptors();
        streams.truncate(25);
        until("connections close on both sides", || descriptors() <= open - 50);
        if round % 2 == 0 {
            drop(streams);
        }
        running.stop();
        running.join().unwrap();
    }
    // glommio 0.9 keeps one event descriptor of every executor that ended; a process ends its executors once.
    until("all descriptors are given back", || descriptors() <= before + 5 * 2);

    accepting_survives_a_lack_of_descriptors();
}

fn accepting_survives_a_lack_of_descriptors() {
    let (running, address) = start();
    let mut first = TcpStream::connect(address).unwrap();
    echo(&mut first);
    let mut waiting = TcpStream::connect(address).unwrap();
    echo(&mut waiting);
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid place for the result.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    let mut hogs = Vec::new();
    let low = libc::rlimit { rlim_cur: descriptors() as u64 + 20, ..limit };
    // SAFETY: a valid limit.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &low) };
    while let Ok(hog) = std::fs::File::open("/dev/null") {
        hogs.push(hog);
    }
    hogs.pop();
    // The one free descriptor is the client's; there is none left for the server's end.
    let mut late = TcpStream::connect(address).unwrap();
    let cpu = cpu_time();
    echo(&mut first);
    std::thread::sleep(Duration::from_millis(250));
    let used = cpu_time() - cpu;
    assert!(used < Duration::from_millis(50), "used {used:?} while it could not accept");
    hogs.clear();
    echo(&mut late);
    echo(&mut waiting);
    // SAFETY: a valid limit.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    running.stop();
    running.join().unwrap();
}
