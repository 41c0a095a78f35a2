//! Measures the data ring: a server that answers each framed request with a small reply, and a client on another core.
//!
//! `echo [CONNECTIONS DEPTH REQUEST_BYTES SECONDS [SPIN_US [RATE [FILE_BYTES]]]]`, e.g. `echo 32 5 1024 5`. The server is
//! pinned to core 0, the client to core 1. With RATE the client keeps to that many requests per second in all, to look at
//! idle wakes. With FILE_BYTES each reply also carries that much of a file.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use shards::{Chunk, Core, File, Out, Plan, Seating, Service, ShardId, SocketId};

const REPLY: usize = 64;
/// Rests of frames at least this large are received straight into one vector.
const LARGE: usize = 32 << 10;

struct Echo {
    core: Core<()>,
    partial: RefCell<HashMap<SocketId, Vec<u8>>>,
    file: File,
    file_bytes: u64,
}

impl Service for Echo {
    type Call = ();

    fn accepted(&self, _: SocketId, _: usize, _: SocketAddr, _: SocketAddr) {}

    fn received(&self, socket: SocketId, chunk: Chunk) {
        let mut partial = self.partial.borrow_mut();
        let joined = partial.remove(&socket).map(|mut rest| {
            rest.extend_from_slice(&chunk);
            rest
        });
        let mut bytes: &[u8] = joined.as_deref().unwrap_or(&chunk);
        while bytes.len() >= 4 {
            let len = 4 + u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
            if bytes.len() < len {
                if len - bytes.len() >= LARGE {
                    self.core.receive_into(socket, bytes.to_vec(), len);
                    return;
                }
                break;
            }
            bytes = &bytes[len..];
            self.core.send(socket, Out::Bytes(vec![7; REPLY]));
            if self.file_bytes > 0 {
                self.core.send(socket, Out::File { file: self.file.clone(), position: 100, len: self.file_bytes });
            }
        }
        if !bytes.is_empty() {
            partial.insert(socket, bytes.to_vec());
        }
    }

    fn closed(&self, socket: SocketId) {
        self.partial.borrow_mut().remove(&socket);
    }

    fn sent(&self, _: SocketId) {}
    fn called(&self, _: ShardId, (): ()) {}
    fn written(&self, _: u64, _: std::io::Result<()>) {}
    fn settle(&self) {}

    fn stopping(&self) {
        self.core.stopped();
    }
}

struct Connection {
    stream: TcpStream,
    /// Reply bytes that came, of the reply being read.
    got: usize,
    /// Request bytes still to be written.
    owed: usize,
    sent_at: std::collections::VecDeque<Instant>,
}

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|arg| arg.parse().expect("a number")).collect();
    let get = |index: usize, default| args.get(index).copied().unwrap_or(default);
    let (connections, depth, bytes) = (get(0, 32), get(1, 5), get(2, 1024));
    let (seconds, spin, rate, file_bytes) = (get(3, 5), get(4, 0), get(5, 0), get(6, 0));
    let path = std::env::temp_dir().join(format!("shards-echo-{}", std::process::id()));
    std::fs::write(&path, vec![5; file_bytes as usize + 100]).unwrap();
    let file = File::open_read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = std::sync::Mutex::new(Some(listener));
    let mut plan = Plan::new(vec![0]);
    plan.spin = Duration::from_micros(spin);
    let began = Instant::now();
    let running = shards::run(plan, move |core| {
        core.listen(listener.lock().unwrap().take().unwrap(), 0, Seating::Any);
        Ok(Rc::new(Echo { core, partial: RefCell::default(), file: file.clone(), file_bytes }))
    })
    .unwrap_or_else(|error| shards::fatal(error));

    println!("started in {:?}", began.elapsed());

    let cpu = cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID);
    let client = std::thread::spawn(move || {
        client(address, connections, depth, bytes as usize, seconds, rate, REPLY + file_bytes as usize)
    });
    let (count, mut latencies, client_cpu) = client.join().unwrap();
    let server_cpu = cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID) - cpu - client_cpu;
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_micros();
    let gib = |bytes: u64| bytes as f64 / seconds as f64 / (1u64 << 30) as f64;
    println!(
        "{} req/s, {:.2} GiB/s in, {:.2} GiB/s out, p50 {} us, p99 {} us, p99.9 {} us; cpu per request: server {:.2} us, client {:.2} us",
        count / seconds,
        gib(count * bytes),
        gib(count * (REPLY as u64 + file_bytes)),
        at(0.5),
        at(0.99),
        at(0.999),
        server_cpu.as_secs_f64() * 1e6 / count as f64,
        client_cpu.as_secs_f64() * 1e6 / count as f64
    );
    println!("{:?}", running.counters(ShardId(0)).unwrap());
    running.stop();
    running.join().unwrap();
}

#[allow(clippy::too_many_arguments, reason = "a list of what the command line says")]
fn client(
    address: SocketAddr,
    connections: u64,
    depth: u64,
    bytes: usize,
    seconds: u64,
    rate: u64,
    reply: usize,
) -> (u64, Vec<Duration>, Duration) {
    pin(1);
    let mut frame = vec![1u8; bytes];
    frame[..4].copy_from_slice(&(bytes as u32 - 4).to_be_bytes());
    let mut all: Vec<Connection> = (0..connections)
        .map(|_| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_nonblocking(true).unwrap();
            Connection { stream, got: 0, owed: 0, sent_at: Default::default() }
        })
        .collect();
    // SAFETY: epoll calls with descriptors that stay open and an event array of the given length.
    let epoll = unsafe { libc::epoll_create1(0) };
    for (index, connection) in all.iter().enumerate() {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
        // SAFETY: as above.
        unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, connection.stream.as_raw_fd(), &mut event) };
    }
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let (mut count, mut latencies, mut issued) = (0, Vec::new(), 0u64);
    if rate == 0 {
        for connection in &mut all {
            for _ in 0..depth {
                issue(connection, &frame);
            }
        }
    }
    let mut buf = vec![0u8; 256 << 10];
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; connections as usize];
    while Instant::now() < end {
        if rate > 0 {
            let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
            while issued < due {
                let index = (issued % connections) as usize;
                issue(&mut all[index], &frame);
                issued += 1;
            }
        }
        let wait = if rate > 0 { 0 } else { 100 };
        // SAFETY: as above.
        let ready = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as i32, wait) };
        for event in &events[..ready.max(0) as usize] {
            let connection = &mut all[event.u64 as usize];
            let done = read(connection, &mut buf, reply, &mut latencies);
            count += done;
            if rate == 0 {
                for _ in 0..done {
                    connection.sent_at.push_back(Instant::now());
                }
                connection.owed += done as usize * frame.len();
                push(connection, &frame);
            }
        }
        if bytes > 64 << 10 {
            for connection in all.iter_mut().filter(|connection| connection.owed > 0) {
                push(connection, &frame);
            }
        }
    }
    (count, latencies, cpu_time(libc::CLOCK_THREAD_CPUTIME_ID))
}

fn issue(connection: &mut Connection, frame: &[u8]) {
    connection.sent_at.push_back(Instant::now());
    connection.owed += frame.len();
    push(connection, frame);
}

fn push(connection: &mut Connection, frame: &[u8]) {
    while connection.owed > 0 {
        let at = (frame.len() - connection.owed % frame.len()) % frame.len();
        let result = if at == 0 && connection.owed > frame.len() && frame.len() < 8192 {
            let many = frame.repeat(connection.owed / frame.len());
            connection.stream.write(&many)
        } else {
            connection.stream.write(&frame[at..])
        };
        match result {
            Ok(count) => connection.owed -= count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn read(connection: &mut Connection, buf: &mut [u8], reply: usize, latencies: &mut Vec<Duration>) -> u64 {
    let count = match connection.stream.read(buf) {
        Ok(0) => panic!("the server hung up"),
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    };
    connection.got += count;
    let done = connection.got / reply;
    connection.got %= reply;
    for _ in 0..done {
        if let Some(at) = connection.sent_at.pop_front() {
            latencies.push(at.elapsed());
        }
    }
    done as u64
}

fn pin(core: usize) {
    // SAFETY: a zeroed set is an empty set; the calls read and write it alone.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
}

fn cpu_time(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the result.
    unsafe { libc::clock_gettime(clock, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
