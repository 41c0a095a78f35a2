//! Many connections that repeat one request each, a fixed number of them in flight, on one thread.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::Value;

use crate::batch;
use crate::client::accepted;
use crate::failure::{Doing, Failure};
use crate::measure::{Clock, Latencies, Timeline};
use crate::processes::Usage;
use crate::protocol;
use crate::replies::Replies;

/// How the answers to a load's requests are read.
#[derive(Clone, Copy)]
pub(crate) struct Api {
    pub(crate) name: &'static str,
    /// An answer's head, from its correlation id on.
    pub(crate) read: fn(&[u8]) -> Result<Answer, Failure>,
}

/// What a load looks at in an answer.
pub(crate) struct Answer {
    pub(crate) correlation_id: i32,
    pub(crate) error_code: i16,
    /// The base offset of what was produced; 0 where there is none.
    pub(crate) offset: i64,
}

/// How long a load goes on, and whose CPU time it counts.
pub(crate) struct Limits {
    /// Seconds that are not measured
    pub(crate) ramp: f64,
    /// Measured seconds at most
    pub(crate) duration: f64,
    /// Measured requests at most
    pub(crate) count: u64,
    pub(crate) watch_pid: Option<u32>,
}

/// When requests are due: request `m` of lane `n` of `lanes` at `(m * lanes + n) * interval`.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    interval_ns: f64,
    lanes: usize,
}

impl Schedule {
    /// `rate`: of all lanes together, a second.
    pub(crate) fn new(rate: f64, lanes: usize) -> Schedule {
        Schedule { interval_ns: 1e9 / rate, lanes }
    }

    fn intended_ns(self, lane: usize, request: u64) -> u64 {
        ((request as f64 * self.lanes as f64 + lane as f64) * self.interval_ns) as u64
    }
}

pub(crate) struct Load {
    poll: Poll,
    lanes: Vec<Lane>,
    api: Api,
    clock: Clock,
    schedule: Option<Schedule>,
}

/// What the measured part gave.
pub(crate) struct Measured {
    pub(crate) answered: u64,
    pub(crate) elapsed_ns: u64,
    pub(crate) service: Latencies,
    pub(crate) response: Latencies,
    pub(crate) timeline: Value,
    pub(crate) usage: Value,
    pub(crate) last_offset: i64,
}

impl Load {
    /// `rate`: requests per second over all connections, open loop; without it as fast as answers come.
    pub(crate) fn new(api: Api, mut lanes: Vec<Lane>, rate: Option<f64>) -> Result<Load, Failure> {
        let poll = Poll::new().doing("create a poll")?;
        for (n, lane) in lanes.iter_mut().enumerate() {
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut lane.stream, Token(n), both).doing("register a socket")?;
        }
        let schedule = rate.map(|rate| Schedule::new(rate, lanes.len()));
        Ok(Load { poll, lanes, api, clock: Clock::start(), schedule })
    }

    pub(crate) fn run(mut self, limits: &Limits) -> Result<Measured, Failure> {
        let mut events = Events::with_capacity(self.lanes.len());
        let mut scratch = vec![0; 256 << 10];
        let ramp_ns = (limits.ramp * 1e9) as u64;
        let duration_ns = (limits.duration * 1e9) as u64;
        let end_ns = ramp_ns + duration_ns;
        let mut tally = Tally::new(duration_ns);
        let mut began: Option<(u64, Usage)> = None;
        self.release_all(self.clock.ns())?;
        loop {
            // Open loop spins: a timer's slack must not become the broker's latency.
            let wait = if self.schedule.is_some() { Duration::ZERO } else { Duration::from_millis(10) };
            poll_once(&mut self.poll, &mut events, wait)?;
            let mut now = self.clock.ns();
            for event in &events {
                let n = event.token().0;
                let lane = &mut self.lanes[n];
                if event.is_readable() || event.is_read_closed() {
                    now = self.clock.ns();
                    lane.receive(self.api, &mut scratch, now, &mut tally)?;
                    lane.release(self.clock.ns(), n, self.schedule);
                }
                lane.flush()?;
            }
            if self.schedule.is_some() {
                self.release_all(now)?;
            }
            match &began {
                None if now >= ramp_ns => {
                    tally.restart(now);
                    began = Some((now, Usage::start(limits.watch_pid)));
                }
                Some((start, usage)) if now >= end_ns || tally.answered >= limits.count => {
                    return Ok(tally.finish(now - start, usage.finish()));
                }
                _ => {}
            }
        }
    }

    fn release_all(&mut self, now: u64) -> Result<(), Failure> {
        for (n, lane) in self.lanes.iter_mut().enumerate() {
            lane.release(now, n, self.schedule);
            lane.flush()?;
        }
        Ok(())
    }
}

pub(crate) fn poll_once(poll: &mut Poll, events: &mut Events, wait: Duration) -> Result<(), Failure> {
    match poll.poll(events, Some(wait)) {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        other => other.doing("wait for sockets"),
    }
}

pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) service: Latencies,
    pub(crate) response: Latencies,
    timeline: Timeline,
    from_ns: u64,
    last_offset: i64,
}

impl Tally {
    pub(crate) fn new(duration_ns: u64) -> Tally {
        let (service, response, timeline) = (Latencies::new(), Latencies::new(), Timeline::new(duration_ns));
        Tally { answered: 0, service, response, timeline, from_ns: 0, last_offset: -1 }
    }

    /// The ramp is over.
    pub(crate) fn restart(&mut self, now: u64) {
        self.answered = 0;
        self.service.clear();
        self.response.clear();
        self.timeline.clear();
        self.from_ns = now;
    }

    fn record(&mut self, intended_ns: u64, sent_ns: u64, now: u64) {
        self.answered += 1;
        self.service.record(now - sent_ns);
        self.response.record(now - intended_ns);
        self.timeline.record(intended_ns.saturating_sub(self.from_ns), now - intended_ns);
    }

    fn finish(self, elapsed_ns: u64, usage: Value) -> Measured {
        let Tally { answered, service, response, timeline, last_offset, .. } = self;
        Measured { answered, elapsed_ns, service, response, timeline: timeline.value(), usage, last_offset }
    }
}

/// What an idempotent producer writes into each batch anew.
pub(crate) struct Sequence {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// Where the batch stands in the frame.
    pub(crate) batch: std::ops::Range<usize>,
    pub(crate) records: usize,
}

/// One connection. Request `m` lives in slot `m % slots`, so what is to be written is always one or two runs of bytes.
pub(crate) struct Lane {
    pub(crate) stream: TcpStream,
    replies: Replies,
    sequence: Option<Sequence>,
    slots: Vec<u8>,
    frame_size: usize,
    in_flight: u64,
    intended_ns: Vec<u64>,
    sent_ns: Vec<u64>,
    released: u64,
    answered: u64,
    written_bytes: u64,
}

impl Lane {
    /// `frames`: sent in turns; of one size, and at least one.
    pub(crate) fn connect(address: SocketAddr, frames: &[Vec<u8>], in_flight: usize) -> Result<Lane, Failure> {
        let stream = std::net::TcpStream::connect(address).doing("connect")?;
        stream.set_nodelay(true).doing("set TCP_NODELAY")?;
        stream.set_nonblocking(true).doing("set O_NONBLOCK")?;
        let slots = in_flight.next_multiple_of(frames.len());
        Ok(Lane {
            stream: TcpStream::from_std(stream),
            replies: Replies::new(protocol::HEAD_MAX),
            sequence: None,
            slots: frames.concat().repeat(in_flight.div_ceil(frames.len())),
            frame_size: frames[0].len(),
            in_flight: in_flight as u64,
            intended_ns: vec![0; slots],
            sent_ns: vec![0; slots],
            released: 0,
            answered: 0,
            written_bytes: 0,
        })
    }

    pub(crate) fn idempotent(mut self, sequence: Sequence) -> Lane {
        self.sequence = Some(sequence);
        self
    }

    /// Fills free slots with what is due.
    pub(crate) fn release(&mut self, now: u64, lane: usize, schedule: Option<Schedule>) {
        let slots = self.sent_ns.len() as u64;
        while self.released - self.answered < self.in_flight {
            let intended = schedule.map_or(now, |s| s.intended_ns(lane, self.released));
            if intended > now {
                return;
            }
            let slot = (self.released % slots) as usize;
            self.intended_ns[slot] = intended;
            self.sent_ns[slot] = now;
            let at = slot * self.frame_size + protocol::CORRELATION_AT;
            self.slots[at..at + 4].copy_from_slice(&(self.released as i32).to_be_bytes());
            if let Some(sequence) = &self.sequence {
                let frame = &mut self.slots[slot * self.frame_size..][..self.frame_size];
                let batch = &mut frame[sequence.batch.clone()];
                let first = (self.released * sequence.records as u64) & i32::MAX as u64;
                batch::number(batch, sequence.producer_id, sequence.producer_epoch, first as i32);
            }
            self.released += 1;
        }
    }

    /// Writes until everything released is written or the socket is full.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let ring = self.slots.len() as u64;
        while self.written_bytes < self.released * self.frame_size as u64 {
            let start = self.written_bytes % ring;
            let end = ring.min(start + self.released * self.frame_size as u64 - self.written_bytes);
            match self.stream.write(&self.slots[start as usize..end as usize]) {
                Ok(count) => self.written_bytes += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::Io("send requests", error)),
            }
        }
        Ok(())
    }

    /// Reads what is there. A read that does not fill the buffer has emptied the socket, so no second call is needed.
    pub(crate) fn receive(&mut self, api: Api, scratch: &mut [u8], now: u64, tally: &mut Tally) -> Result<(), Failure> {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return Err(Failure::Malformed("the broker closed the connection")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::Io("receive answers", error)),
            };
            let Lane { replies, answered, sent_ns, intended_ns, .. } = self;
            replies.feed(&scratch[..count], |head, _| {
                let answer = (api.read)(head)?;
                if answer.correlation_id != *answered as i32 {
                    return Err(Failure::Malformed("answers out of order"));
                }
                accepted(api.name, answer.error_code)?;
                let slot = (*answered % sent_ns.len() as u64) as usize;
                *answered += 1;
                tally.record(intended_ns[slot], sent_ns[slot], now);
                tally.last_offset = answer.offset;
                Ok(())
            })?;
            if count < scratch.len() {
                return Ok(());
            }
        }
    }
}
