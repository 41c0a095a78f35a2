//! Members of groups that join at once, each over a connection of its own, until every group has settled.

use std::net::SocketAddr;
use std::time::Duration;

use mio::{Events, Poll, Token};

use crate::failure::{Doing, Failure};
use crate::lanes::poll_once;
use crate::measure::Clock;
use crate::member::{Member, Share};
use crate::pipe::Pipe;

/// The leader of a group of hundreds is told about them in less.
const ANSWER_SIZE_MAX: usize = 64 << 10;

/// Groups of one size over topics with one number of partitions.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) members: usize,
    pub(crate) partitions: usize,
}

impl Shape {
    /// Whether one group's members agree: one generation, every partition with one of them, nobody with two more than another.
    fn is_settled(self, shares: &[Option<&Share>]) -> bool {
        let mut taken = vec![false; self.partitions];
        let fair = self.partitions / self.members..=self.partitions.div_ceil(self.members);
        let generation = shares.first().copied().flatten().map(|share| share.generation);
        for share in shares {
            let Some(share) = share else { return false };
            if Some(share.generation) != generation || !fair.contains(&share.partitions.len()) {
                return false;
            }
            for partition in &share.partitions {
                match taken.get_mut(*partition as usize) {
                    Some(taken) if !*taken => *taken = true,
                    _ => return false,
                }
            }
        }
        shares.len() == self.members && taken.iter().all(|taken| *taken)
    }
}

/// What it took.
pub(crate) struct Settled {
    pub(crate) elapsed_ns: u64,
    /// When the first member had its share.
    pub(crate) first_share_ns: u64,
    pub(crate) requests: u64,
}

pub(crate) struct Gathering {
    shape: Shape,
    poll: Poll,
    seats: Vec<Seat>,
}

struct Seat {
    member: Member,
    pipe: Pipe,
    /// When its next request goes out; None while one is unanswered.
    due_ns: Option<u64>,
}

impl Gathering {
    /// `members`: those of the first group, of the second, and so on.
    pub(crate) fn connect(address: SocketAddr, shape: Shape, members: Vec<Member>) -> Result<Gathering, Failure> {
        let poll = Poll::new().doing("create a poll")?;
        let mut seats = Vec::with_capacity(members.len());
        for (n, member) in members.into_iter().enumerate() {
            let pipe = Pipe::connect(address, poll.registry(), Token(n), ANSWER_SIZE_MAX)?;
            seats.push(Seat { member, pipe, due_ns: Some(0) });
        }
        Ok(Gathering { shape, poll, seats })
    }

    /// The clock starts with the first request.
    pub(crate) fn settle(&mut self, timeout: Duration) -> Result<Settled, Failure> {
        let mut events = Events::with_capacity(self.seats.len());
        let mut scratch = vec![0; ANSWER_SIZE_MAX];
        let mut seen = Settled { elapsed_ns: 0, first_share_ns: 0, requests: 0 };
        let clock = Clock::start();
        loop {
            for seat in &mut self.seats {
                seen.requests += u64::from(seat.send_if_due(clock.ns())?);
            }
            let wait = self.wait(clock.ns());
            poll_once(&mut self.poll, &mut events, wait)?;
            for event in &events {
                let seat = &mut self.seats[event.token().0];
                seat.pipe.flush()?;
                if !seat.receive(&mut scratch, clock)? {
                    continue;
                }
                if seen.first_share_ns == 0 {
                    seen.first_share_ns = clock.ns();
                }
                if self.is_settled() {
                    return Ok(Settled { elapsed_ns: clock.ns(), ..seen });
                }
            }
            if clock.ns() > timeout.as_nanos() as u64 {
                return Err(self.unsettled(timeout));
            }
        }
    }

    /// Until a request is due, and never long.
    fn wait(&self, now: u64) -> Duration {
        let next = self.seats.iter().filter_map(|seat| seat.due_ns).min();
        let wait = next.map_or(Duration::MAX, |due| Duration::from_nanos(due.saturating_sub(now)));
        wait.min(Duration::from_millis(100))
    }

    fn is_settled(&self) -> bool {
        let shares: Vec<Option<&Share>> = self.seats.iter().map(|seat| seat.member.share()).collect();
        shares.chunks(self.shape.members).all(|group| self.shape.is_settled(group))
    }

    fn unsettled(&self, timeout: Duration) -> Failure {
        let shares: Vec<&Share> = self.seats.iter().filter_map(|seat| seat.member.share()).collect();
        let least = shares.iter().map(|share| share.generation).min().unwrap_or_default();
        let most = shares.iter().map(|share| share.generation).max().unwrap_or_default();
        let partitions: usize = shares.iter().map(|share| share.partitions.len()).sum();
        Failure::Setup(format!(
            "not settled after {timeout:?}: {} of {} members have a share, {partitions} partitions together, generations {least} to {most}",
            shares.len(),
            self.seats.len()
        ))
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.seats.iter().map(|seat| &seat.member)
    }
}

impl Seat {
    /// Whether it sent.
    fn send_if_due(&mut self, now: u64) -> Result<bool, Failure> {
        if self.due_ns.is_none_or(|due| due > now) {
            return Ok(false);
        }
        self.due_ns = None;
        self.pipe.send(&self.member.request())?;
        Ok(true)
    }

    /// Whether an answer left the member with a share.
    fn receive(&mut self, scratch: &mut [u8], clock: Clock) -> Result<bool, Failure> {
        let Seat { member, pipe, due_ns } = self;
        let mut is_answered = false;
        pipe.receive(scratch, |answer| {
            if due_ns.is_some() {
                return Err(Failure::Malformed("an answer to nothing"));
            }
            let wait = member.answered(answer)?;
            *due_ns = Some(clock.ns() + wait.as_nanos() as u64);
            is_answered = true;
            Ok(())
        })?;
        Ok(is_answered && member.share().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(generation: i32, partitions: &[i32]) -> Share {
        Share { generation, partitions: partitions.to_vec() }
    }

    fn is_settled(shares: &[Share]) -> bool {
        let shares: Vec<Option<&Share>> = shares.iter().map(Some).collect();
        Shape { members: 2, partitions: 3 }.is_settled(&shares)
    }

    #[test]
    fn a_group_is_settled_when_everybody_agrees() {
        assert!(is_settled(&[share(4, &[2, 0]), share(4, &[1])]));
        assert!(!is_settled(&[share(4, &[2, 0]), share(3, &[1])]), "two generations");
        assert!(!is_settled(&[share(4, &[2, 0]), share(4, &[2])]), "one partition twice");
        assert!(!is_settled(&[share(4, &[0]), share(4, &[1])]), "one partition with nobody");
        assert!(!is_settled(&[share(4, &[0, 1, 2]), share(4, &[])]), "one has all");
        assert!(!is_settled(&[share(4, &[0, 1]), share(4, &[3])]), "no such partition");
        assert!(!is_settled(&[share(4, &[0, 1, 2])]), "one is missing");
        let one = share(4, &[0, 1]);
        assert!(!Shape { members: 2, partitions: 3 }.is_settled(&[Some(&one), None]), "one has not joined");
    }
}
