//! One producer: an accumulator by partition, and requests in flight.

use std::collections::VecDeque;
use std::net::SocketAddr;

use mio::{Registry, Token};
use wire::generated::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use wire::generated::produce_response::ProduceResponse;
use wire::records::{BatchBuilder, Scratch};
use wire::{ApiKey, Records, Uuid};

use super::{Args, Tally};
use crate::client::accepted;
use crate::failure::Failure;
use crate::measure::Clock;
use crate::pipe::Pipe;
use crate::protocol;

/// An answer for a few dozen partitions is never longer.
const ANSWER_SIZE_MAX: usize = 64 << 10;

/// What all producers do.
pub(super) struct Plan {
    topic_id: Uuid,
    acks: i16,
    partitions: usize,
    producers: usize,
    /// Between two records of all producers together; 0: always due.
    interval_ns: f64,
    linger_ns: u64,
    records_max: u64,
    in_flight_max: usize,
    keyed: bool,
    value: Vec<u8>,
}

impl Plan {
    pub(super) fn new(args: &Args, topic_id: Uuid) -> Plan {
        Plan {
            topic_id,
            acks: args.acks,
            partitions: args.partitions,
            producers: args.producers,
            interval_ns: if args.rate > 0.0 { 1e9 / args.rate } else { 0.0 },
            linger_ns: (args.linger_ms * 1e6) as u64,
            records_max: args.records_per_request as u64,
            in_flight_max: args.in_flight,
            keyed: args.keyed,
            value: (0..args.record_size).map(|n| (n * 167 % 251) as u8).collect(),
        }
    }
}

pub(super) struct Producer {
    pipe: Pipe,
    number: usize,
    /// Records sent.
    pub(super) sent: u64,
    requests: i32,
    /// When the records of each unanswered request were due.
    in_flight: VecDeque<Vec<u64>>,
    random: u64,
    batches: Vec<Option<BatchBuilder>>,
}

impl Producer {
    pub(super) fn connect(
        leader: SocketAddr,
        registry: &Registry,
        token: Token,
        number: usize,
        plan: &Plan,
    ) -> Result<Producer, Failure> {
        let pipe = Pipe::connect(leader, registry, token, ANSWER_SIZE_MAX)?;
        let random = 0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1);
        let batches = vec![None; plan.partitions];
        Ok(Producer { pipe, number, sent: 0, requests: 0, in_flight: VecDeque::new(), random, batches })
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Sends what was due up to `until`, as far as requests in flight allow.
    pub(super) fn send_due(&mut self, plan: &Plan, until: u64, clock: Clock) -> Result<(), Failure> {
        while self.in_flight.len() < plan.in_flight_max {
            let oldest = self.due_ns(plan, 0).unwrap_or(until);
            let mut count = 0;
            while count < plan.records_max && self.due_ns(plan, count).is_none_or(|due| due < until) {
                count += 1;
            }
            if count == 0 || (count < plan.records_max && oldest + plan.linger_ns > until) {
                return Ok(());
            }
            self.send(plan, count, clock)?;
            if plan.interval_ns == 0.0 && self.in_flight.len() == plan.in_flight_max {
                return Ok(());
            }
        }
        Ok(())
    }

    /// When the `ahead`th record from now is due; None: at any time.
    fn due_ns(&self, plan: &Plan, ahead: u64) -> Option<u64> {
        let index = (self.sent + ahead) * plan.producers as u64 + self.number as u64;
        (plan.interval_ns > 0.0).then_some((index as f64 * plan.interval_ns) as u64)
    }

    fn send(&mut self, plan: &Plan, count: u64, clock: Clock) -> Result<(), Failure> {
        let now = clock.ns();
        let mut dues = Vec::with_capacity(count as usize);
        let mut value = plan.value.clone();
        for ahead in 0..count {
            let due = self.due_ns(plan, ahead).unwrap_or(now);
            value[..8].copy_from_slice(&due.to_be_bytes());
            value[8..16].copy_from_slice(&now.to_be_bytes());
            let key = plan.keyed.then(|| self.next_random());
            let partition = key.map_or(self.number, |key| (key >> 32) as usize) % plan.partitions;
            let batch = self.batches[partition].get_or_insert_with(|| BatchBuilder::new(0));
            let key = key.map(u64::to_be_bytes);
            let pushed = batch.push((now / 1_000_000) as i64, key.as_ref().map(<[u8; 8]>::as_slice), Some(&value), &[]);
            pushed.map_err(|_| Failure::Setup("a batch can't be as large as that".to_owned()))?;
            dues.push(due);
        }
        let mut frame = self.request(plan);
        frame[protocol::CORRELATION_AT..][..4].copy_from_slice(&self.requests.to_be_bytes());
        self.requests = self.requests.wrapping_add(1);
        self.sent += count;
        self.in_flight.push_back(dues);
        self.pipe.send(&frame)
    }

    fn request(&mut self, plan: &Plan) -> Vec<u8> {
        let mut scratch = Scratch::new();
        let built = self.batches.iter_mut().enumerate();
        let built = built.filter_map(|(n, batch)| Some((n as i32, batch.take()?.finish(&mut scratch))));
        let built: Vec<(i32, Vec<u8>)> = built.collect();
        let data =
            built.iter().map(|(index, batch)| PartitionProduceData { index: *index, records: Records::Bytes(batch) });
        let topic = TopicProduceData { topic_id: plan.topic_id, partition_data: data.collect(), ..Default::default() };
        let request =
            ProduceRequest { acks: plan.acks, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
        protocol::frame(protocol::PRODUCE, &request)
    }

    fn next_random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn receive(&mut self, scratch: &mut [u8], clock: Clock, tally: &mut Tally) -> Result<(), Failure> {
        let Producer { pipe, in_flight, .. } = self;
        pipe.flush()?;
        pipe.receive(scratch, |answer| {
            let now = clock.ns();
            let answer: ProduceResponse<'_> = protocol::answer(ApiKey::Produce, protocol::PRODUCE, answer)?;
            for partition in answer.responses.iter().flat_map(|topic| &topic.partition_responses) {
                accepted("Produce", partition.error_code)?;
            }
            let dues = in_flight.pop_front().ok_or(Failure::Malformed("an answer to nothing"))?;
            dues.iter().for_each(|due| tally.acknowledged(*due, now));
            Ok(())
        })
    }
}
