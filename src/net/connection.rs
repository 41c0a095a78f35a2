//! One client connection: frames in, replies out in the order of the requests.
//!
//! Apache Kafka handles one request of a connection at a time. Produce requests may overlap here, because their order
//! is fixed when they are read and their replies wait for each other; anything else has the connection to itself, so
//! that a parked fetch holds back what comes after it, as clients expect.

use std::collections::VecDeque;
use std::net::SocketAddr;

use shards::{Chunk, Out};
use smallvec::{SmallVec, smallvec};

use super::frames::{Cut, FrameError, Framer};

/// Requests of one connection that may wait for their replies at once. Clients use 5; more is a tool or a mistake.
const OUTSTANDING_MAX: usize = 256;

/// Requests of one connection that are handled in one wake, and bytes queued for it in one, before the others have their
/// turn: so many that a client which keeps the usual few requests in flight never notices.
const WAKE_REQUESTS_MAX: usize = 64;
const WAKE_OUTPUT_BYTES_MAX: u64 = 1024 * 1024;

/// The place of a request in its connection's order of replies.
pub(crate) type Sequence = u64;

/// A complete response, in the pieces it is sent in.
#[derive(Debug)]
pub struct Reply(pub SmallVec<[Out; 1]>);

impl Reply {
    pub fn bytes(frame: Vec<u8>) -> Self {
        Self(smallvec![Out::Bytes(frame)])
    }

    /// The frame of a response without file ranges.
    pub fn into_bytes(self) -> Vec<u8> {
        let bytes = self.0.into_iter().filter_map(|out| if let Out::Bytes(bytes) = out { Some(bytes) } else { None });
        bytes.flatten().collect()
    }
}

/// How far a request got when its handler returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Running {
    /// A reply comes later; more produce requests may be read meanwhile.
    Overlapping,
    /// A reply comes later; nothing else is read until then.
    Alone,
}

/// What the current wake did for a connection.
#[derive(Debug, Default)]
struct Wake {
    at_ns: u64,
    requests: usize,
    output_bytes: u64,
}

pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    pub(crate) listener: usize,
    framer: Framer,
    /// Input that came while a request had the connection to itself.
    backlog: VecDeque<Chunk>,
    backlog_bytes: usize,
    replies: VecDeque<Option<Reply>>,
    first: Sequence,
    alone: bool,
    pub(crate) reading_paused: bool,
    /// It had its share of a wake and goes on in the next.
    pub(crate) put_off: bool,
    pub(crate) closing: bool,
    wake: Wake,
    /// When the last whole request arrived or the last reply left, for `connections.max.idle.ms`.
    pub(crate) active_at_ns: u64,
}

impl Connection {
    pub(crate) fn new(peer: SocketAddr, listener: usize, frame_size_max: usize, now_ns: u64) -> Self {
        Self {
            peer,
            listener,
            framer: Framer::new(frame_size_max),
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            replies: VecDeque::new(),
            first: 0,
            alone: false,
            reading_paused: false,
            put_off: false,
            closing: false,
            wake: Wake::default(),
            active_at_ns: now_ns,
        }
    }

    /// Takes what the socket delivered.
    pub(crate) fn feed(&mut self, chunk: Chunk) {
        if self.backlog.is_empty() && !self.framer.has_input() && !self.is_held() {
            self.framer.feed(chunk);
        } else {
            // A copy of what is borrowed, because the ring's buffers are few and this may stay for as long as a fetch is parked.
            self.backlog_bytes += chunk.len();
            self.backlog.push_back(if chunk.is_borrowed() { Chunk::from(chunk.to_vec()) } else { chunk });
        }
    }

    /// Whether the wake of `now_ns` (one value for each wake) has done its share for this connection.
    pub(crate) fn had_its_share(&mut self, now_ns: u64) -> bool {
        if self.wake.at_ns != now_ns {
            self.wake = Wake { at_ns: now_ns, ..Wake::default() };
        }
        self.wake.requests >= WAKE_REQUESTS_MAX || self.wake.output_bytes >= WAKE_OUTPUT_BYTES_MAX
    }

    /// The next frame that may be handled now.
    pub(crate) fn next(&mut self) -> Result<Cut, FrameError> {
        loop {
            if self.is_held() {
                return Ok(Cut::Hungry);
            }
            match self.framer.next()? {
                Cut::Hungry => {}
                cut => {
                    self.wake.requests += usize::from(matches!(cut, Cut::Frame(_)));
                    return Ok(cut);
                }
            }
            let Some(chunk) = self.backlog.pop_front() else { return Ok(Cut::Hungry) };
            self.backlog_bytes -= chunk.len();
            self.framer.feed(chunk);
        }
    }

    /// True while what was read must wait for replies.
    pub(crate) fn is_held(&self) -> bool {
        self.alone || self.closing || self.replies.len() >= OUTSTANDING_MAX
    }

    /// True if a produce request is the only kind that may start now.
    pub(crate) fn has_outstanding(&self) -> bool {
        !self.replies.is_empty()
    }

    pub(crate) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty() || self.framer.has_input()
    }

    pub(crate) fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// Puts a frame back that may not start yet; it is the next one again once the replies before it have left.
    pub(crate) fn hold_back(&mut self, frame: &Chunk) {
        let mut bytes = Vec::with_capacity(frame.len() + 4);
        bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        bytes.extend_from_slice(frame);
        if let Some(rest) = self.framer.take_input() {
            self.backlog_bytes += rest.len();
            self.backlog.push_front(Chunk::from(rest.to_vec()));
        }
        self.backlog_bytes += bytes.len();
        self.backlog.push_front(Chunk::from(bytes));
        self.alone = true;
    }

    /// Reserves the place of a request whose reply comes later.
    pub(crate) fn reserve(&mut self, running: Running) -> Sequence {
        self.replies.push_back(None);
        self.alone |= running == Running::Alone;
        self.first + self.replies.len() as u64 - 1
    }

    /// The sequence that the next reserved request will have.
    pub(crate) fn next_sequence(&self) -> Sequence {
        self.first + self.replies.len() as u64
    }

    /// Notes a reply, and hands out those that may leave now.
    pub(crate) fn settle(&mut self, sequence: Sequence, reply: Reply, send: &mut dyn FnMut(Out)) {
        let Some(place) = sequence.checked_sub(self.first).and_then(|i| self.replies.get_mut(i as usize)) else {
            return;
        };
        *place = Some(reply);
        while matches!(self.replies.front(), Some(Some(_))) {
            let Some(Some(reply)) = self.replies.pop_front() else { break };
            self.first += 1;
            for out in reply.0 {
                self.wake.output_bytes += out.len();
                send(out);
            }
        }
        if self.replies.is_empty() {
            self.alone = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        Connection::new("127.0.0.1:1".parse().unwrap(), 0, 1 << 20, 0)
    }

    fn framed(bodies: &[&str]) -> Chunk {
        let mut bytes = Vec::new();
        for body in bodies {
            bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
            bytes.extend_from_slice(body.as_bytes());
        }
        Chunk::from(bytes)
    }

    fn next(connection: &mut Connection) -> Option<Chunk> {
        match connection.next().unwrap() {
            Cut::Frame(frame) => Some(frame),
            Cut::Hungry => None,
            Cut::Receive { .. } => panic!("the frames are small"),
        }
    }

    fn text(frame: Option<Chunk>) -> Option<String> {
        frame.map(|frame| String::from_utf8(frame.to_vec()).unwrap())
    }

    /// Settles a request and gives the replies that left.
    fn settle(connection: &mut Connection, sequence: Sequence, reply: &str) -> Vec<String> {
        let mut sent = Vec::new();
        connection.settle(sequence, Reply::bytes(reply.into()), &mut |out| match out {
            Out::Bytes(bytes) => sent.push(String::from_utf8(bytes).unwrap()),
            Out::File { .. } => panic!("no file was replied"),
        });
        sent
    }

    #[test]
    fn replies_leave_in_the_order_of_the_requests() {
        let mut c = connection();
        c.feed(framed(&["a", "b", "c"]));
        let sequences: Vec<Sequence> = (0..3)
            .map(|_| {
                assert!(next(&mut c).is_some());
                c.reserve(Running::Overlapping)
            })
            .collect();
        assert!(settle(&mut c, sequences[2], "C").is_empty());
        assert!(settle(&mut c, sequences[1], "B").is_empty());
        assert_eq!(settle(&mut c, sequences[0], "A"), ["A", "B", "C"]);
        assert!(!c.has_outstanding());
        // A reply that comes twice, or to a request that was never made, changes nothing.
        assert!(settle(&mut c, sequences[0], "A").is_empty());
        assert!(settle(&mut c, 99, "?").is_empty());
    }

    #[test]
    fn a_request_alone_holds_back_what_comes_after_it() {
        let mut c = connection();
        c.feed(framed(&["fetch", "next"]));
        assert_eq!(text(next(&mut c)).as_deref(), Some("fetch"));
        let fetch = c.reserve(Running::Alone);
        assert_eq!(text(next(&mut c)), None);
        c.feed(framed(&["later"]));
        assert_eq!(text(next(&mut c)), None);
        assert!(c.has_backlog());
        assert_eq!(settle(&mut c, fetch, "F"), ["F"]);
        assert_eq!(text(next(&mut c)).as_deref(), Some("next"));
        assert_eq!(text(next(&mut c)).as_deref(), Some("later"));
        assert_eq!(text(next(&mut c)), None);
    }

    #[test]
    fn what_may_not_overlap_waits_and_comes_again_first() {
        let mut c = connection();
        c.feed(framed(&["produce", "metadata", "produce 2"]));
        assert!(next(&mut c).is_some());
        let produce = c.reserve(Running::Overlapping);
        let metadata = next(&mut c).unwrap();
        c.hold_back(&metadata);
        c.feed(framed(&["produce 3"]));
        assert_eq!(text(next(&mut c)), None);
        assert_eq!(settle(&mut c, produce, "P"), ["P"]);
        for expected in ["metadata", "produce 2", "produce 3"] {
            assert_eq!(text(next(&mut c)).as_deref(), Some(expected));
        }
        assert_eq!(c.backlog_bytes(), 0);
    }

    #[test]
    fn a_wake_does_so_much_for_a_connection_and_no_more() {
        let mut c = connection();
        c.feed(framed(&vec!["r"; 3 * WAKE_REQUESTS_MAX]));
        for wake in 1..=3 {
            let mut handled = 0;
            while !c.had_its_share(wake) {
                assert!(next(&mut c).is_some());
                let sequence = c.reserve(Running::Overlapping);
                settle(&mut c, sequence, "R");
                handled += 1;
            }
            assert_eq!(handled, WAKE_REQUESTS_MAX);
        }
        assert!(next(&mut c).is_none());

        c.feed(framed(&["r", "r"]));
        assert!(!c.had_its_share(4) && next(&mut c).is_some());
        let sequence = c.reserve(Running::Overlapping);
        settle(&mut c, sequence, &"R".repeat(WAKE_OUTPUT_BYTES_MAX as usize));
        assert!(c.had_its_share(4) && !c.had_its_share(5));
    }

    #[test]
    fn too_many_outstanding_requests_hold_back_the_rest() {
        let mut c = connection();
        let bodies = vec!["p"; OUTSTANDING_MAX + 1];
        c.feed(framed(&bodies));
        let mut first = None;
        while next(&mut c).is_some() {
            let sequence = c.reserve(Running::Overlapping);
            first.get_or_insert(sequence);
        }
        assert!(c.is_held());
        settle(&mut c, first.unwrap(), "P");
        assert!(next(&mut c).is_some());
    }
}
