//! The service under test. A request is a frame: four bytes of length, one byte that says what to do, and the rest.
//! Each answer is a frame too.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shards::{Chunk, Core, File, Lane, Out, Part, Plan, Running, Seating, Service, ShardId, SocketId};

/// How much of what follows a large frame may come with it.
const ROOM_AHEAD: usize = 1 << 20;

/// What one shard asks another.
pub(crate) enum Call {
    Ping { socket: SocketId, number: u32 },
    Pong { socket: SocketId, number: u32 },
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) accepted: AtomicUsize,
    pub(crate) closed: AtomicUsize,
    pub(crate) largest_queue: AtomicUsize,
    pub(crate) stopping: AtomicUsize,
}

pub(crate) struct TestService {
    core: Core<Call>,
    seen: Arc<Seen>,
    file: Option<File>,
    partial: RefCell<HashMap<SocketId, Vec<u8>>>,
    pongs: RefCell<HashMap<SocketId, (u32, u32)>>,
    /// Appends under way, by token.
    appends: RefCell<HashMap<u64, (SocketId, u64)>>,
    appended: RefCell<u64>,
    next_token: RefCell<u64>,
}

pub(crate) struct Setup {
    pub(crate) shards: usize,
    pub(crate) file: Option<PathBuf>,
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) plan: fn(&mut Plan),
}

impl Default for Setup {
    fn default() -> Self {
        Self { shards: 1, file: None, directories: Vec::new(), plan: |_| {} }
    }
}

pub(crate) struct Server {
    pub(crate) running: Option<Running>,
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
}

impl Server {
    pub(crate) fn start(setup: Setup) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Mutex::new(Some(listener));
        let seen = Arc::new(Seen::default());
        let mut plan = Plan::new(shards::topology::choose(Some(setup.shards)));
        plan.directories = setup.directories;
        (setup.plan)(&mut plan);
        let (shared, path) = (Arc::clone(&seen), setup.file);
        let running = shards::run(plan, move |core: Core<Call>| {
            if core.id() == ShardId(0) {
                core.listen(listener.lock().unwrap().take().unwrap(), 7, Seating::Any);
            }
            let open = |path: &PathBuf| File::open(path, OpenOptions::new().read(true).write(true).create(true));
            let file = path.as_ref().map(open).transpose().map_err(|error| error.to_string())?;
            Ok(Rc::new(TestService::new(core, Arc::clone(&shared), file)))
        });
        Server { running: Some(running.unwrap()), address, seen }
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
        Client { stream }
    }

    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
            running.join().unwrap();
            assert_eq!(self.seen.accepted.load(Ordering::Relaxed), self.seen.closed.load(Ordering::Relaxed));
        }
    }

    /// Waits for a condition that needs no further input; panics after half a minute.
    pub(crate) fn until(&self, condition: impl Fn(&Seen) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !condition(&self.seen) {
            assert!(Instant::now() < end, "waited in vain");
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

impl Client {
    pub(crate) fn send(&mut self, what: u8, payload: &[u8]) {
        self.stream.write_all(&frame(what, payload)).unwrap();
    }

    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).unwrap();
        let mut body = vec![0; u32::from_be_bytes(head) as usize];
        self.stream.read_exact(&mut body).unwrap();
        body
    }

    pub(crate) fn ask(&mut self, what: u8, payload: &[u8]) -> Vec<u8> {
        self.send(what, payload);
        self.receive()
    }
}

pub(crate) fn frame(what: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = ((payload.len() + 1) as u32).to_be_bytes().to_vec();
    frame.push(what);
    frame.extend_from_slice(payload);
    frame
}

impl TestService {
    fn new(core: Core<Call>, seen: Arc<Seen>, file: Option<File>) -> Self {
        Self {
            core,
            seen,
            file,
            partial: RefCell::default(),
            pongs: RefCell::default(),
            appends: RefCell::default(),
            appended: RefCell::default(),
            next_token: RefCell::default(),
        }
    }

    fn answer(&self, socket: SocketId, body: &[u8]) {
        let mut out = (body.len() as u32).to_be_bytes().to_vec();
        out.extend_from_slice(body);
        self.core.send(socket, Out::Bytes(out));
    }

    fn frame(&self, socket: SocketId, what: u8, payload: &[u8]) {
        let number = |at: usize| u64::from_be_bytes(payload[at..at + 8].try_into().unwrap());
        match what {
            b'e' => self.answer(socket, payload),
            b's' => self.answer(socket, &self.core.id().0.to_be_bytes()),
            b'f' => self.send_file(socket, number(0), number(8)),
            b'n' => self.answer(socket, &vec![b'n'; number(0) as usize]),
            b'p' => {
                let count = number(0) as u32;
                self.pongs.borrow_mut().insert(socket, (count, 0));
                for number in 0..count {
                    let to = ShardId((number % u32::from(self.core.count())) as u16);
                    self.core.call(to, Lane::Request, Call::Ping { socket, number });
                }
            }
            b'a' => self.append(socket, payload),
            b't' => self.task(socket),
            b'z' => self.pause_for(socket, Duration::from_millis(number(0))),
            b'q' => {
                self.answer(socket, payload);
                self.core.finish(socket);
            }
            b'x' => self.core.close(socket),
            b'!' => panic!("asked for by a test"),
            other => panic!("request {other}"),
        }
        self.seen.largest_queue.fetch_max(self.core.queued_bytes(socket), Ordering::Relaxed);
    }

    fn send_file(&self, socket: SocketId, position: u64, len: u64) {
        self.core.send(socket, Out::Bytes((len as u32).to_be_bytes().to_vec()));
        let file = self.file.clone().unwrap();
        self.core.send(socket, Out::File { file, position, len });
    }

    fn append(&self, socket: SocketId, payload: &[u8]) {
        let chunk = Chunk::from(payload.to_vec());
        let mut parts = vec![Part::small(b"<"), Part::small(b"")];
        for at in 0..payload.len().min(200) {
            parts.push(Part::Chunk(chunk.slice(at..at + 1)));
        }
        parts.push(Part::Chunk(chunk.slice(payload.len().min(200)..payload.len())));
        parts.push(Part::small(b">"));
        let token = self.next_token.replace_with(|token| *token + 1);
        let position = self.appended.replace_with(|end| *end + payload.len() as u64 + 2);
        let file = self.file.as_ref().unwrap();
        match self.core.files().append(file, position, parts, token) {
            Some(result) => self.answer(socket, if result.is_ok() { b"inline" } else { b"failed" }),
            None => drop(self.appends.borrow_mut().insert(token, (socket, position))),
        }
    }

    /// Reads, syncs, sleeps and works on another thread, beside the service.
    fn task(&self, socket: SocketId) {
        let (core, file) = (self.core.clone(), self.file.clone().unwrap());
        self.core.spawn(async move {
            let start = Instant::now();
            core.files().write_back(&file, 0, 1 << 20);
            let read = core.files().read(&file, 1, 1 << 20).await.unwrap();
            core.files().sync_data(&file).await.unwrap();
            core.sleep(Duration::from_millis(20)).await;
            let name = core.files().blocking(|| std::thread::current().name().map(String::from)).await;
            assert!(start.elapsed() >= Duration::from_millis(20));
            assert_eq!(name.as_deref(), Some("worker"));
            let mut out = (read.len() as u32).to_be_bytes().to_vec();
            out.extend_from_slice(&read);
            core.send(socket, Out::Bytes(out));
        });
    }

    fn pause_for(&self, socket: SocketId, time: Duration) {
        self.core.pause(socket);
        let core = self.core.clone();
        self.core.spawn(async move {
            core.sleep(time).await;
            core.resume(socket);
        });
    }
}

impl Service for TestService {
    type Call = Call;

    fn accepted(&self, _: SocketId, listener: usize, peer: SocketAddr, local: SocketAddr) {
        assert!(listener == 7 && peer.port() != local.port() && peer.ip().is_loopback());
        self.seen.accepted.fetch_add(1, Ordering::Relaxed);
    }

    fn received(&self, socket: SocketId, chunk: Chunk) {
        assert!(!chunk.is_empty());
        let mut bytes = self.partial.borrow_mut().remove(&socket).unwrap_or_default();
        bytes.extend_from_slice(&chunk);
        let mut rest = &bytes[..];
        while rest.len() >= 4 {
            let len = 4 + u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            if rest.len() < len {
                // Every other one takes what follows it, too.
                let mut buf = Vec::with_capacity(len + len % 2 * ROOM_AHEAD);
                buf.extend_from_slice(rest);
                self.core.receive_into(socket, buf, len);
                return;
            }
            self.frame(socket, rest[4], &rest[5..len]);
            rest = &rest[len..];
        }
        if !rest.is_empty() {
            self.partial.borrow_mut().insert(socket, rest.to_vec());
        }
    }

    fn closed(&self, socket: SocketId) {
        self.seen.closed.fetch_add(1, Ordering::Relaxed);
        self.partial.borrow_mut().remove(&socket);
        self.pongs.borrow_mut().remove(&socket);
        assert_eq!(self.core.queued_bytes(socket), 0);
    }

    fn sent(&self, socket: SocketId) {
        assert_eq!(self.core.queued_bytes(socket), 0);
    }

    fn called(&self, from: ShardId, call: Call) {
        match call {
            Call::Ping { socket, number } => self.core.call(from, Lane::Reply, Call::Pong { socket, number }),
            Call::Pong { socket, number } => {
                let mut pongs = self.pongs.borrow_mut();
                let Some((count, seen)) = pongs.get_mut(&socket) else { return };
                *seen += 1;
                assert!(number < *count && *seen <= *count);
                if seen == count {
                    self.answer(socket, &count.to_be_bytes());
                    pongs.remove(&socket);
                }
            }
        }
    }

    fn written(&self, token: u64, result: std::io::Result<()>) {
        let (socket, _) = self.appends.borrow_mut().remove(&token).expect("a token comes back once");
        self.answer(socket, if result.is_ok() { b"ring" } else { b"failed" });
    }

    fn settle(&self) {}

    fn stopping(&self) {
        self.seen.stopping.fetch_add(1, Ordering::Relaxed);
        self.core.stopped();
    }
}
