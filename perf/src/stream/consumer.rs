//! One consumer: long polls over its partitions, and what the stamps in them tell.

use std::net::SocketAddr;

use mio::{Registry, Token};
use wire::generated::fetch_request::{FetchPartition, FetchTopic};
use wire::generated::fetch_response::FetchResponse;
use wire::records::{Batches, Scratch};
use wire::{ApiKey, Uuid};

use super::Tally;
use crate::client::accepted;
use crate::failure::Failure;
use crate::measure::Clock;
use crate::pipe::Pipe;
use crate::protocol::{self, Wanted};

/// A fetch answer never holds many more bytes of records than this.
const FETCH_SIZE_MAX: usize = 1 << 20;
const BATCH_SIZE_MAX: usize = 16 << 20;

pub(super) struct Consumer {
    pipe: Pipe,
    topic_id: Uuid,
    max_wait_ms: i32,
    /// The next offset of each partition that is this consumer's.
    positions: Vec<(i32, i64)>,
    pub(super) received: u64,
}

impl Consumer {
    pub(super) fn connect(
        leader: SocketAddr,
        registry: &Registry,
        token: Token,
        topic_id: Uuid,
        partitions: impl Iterator<Item = usize>,
        max_wait_ms: i32,
    ) -> Result<Consumer, Failure> {
        // Answers are small or a good part of this; the head is all of it.
        let pipe = Pipe::connect(leader, registry, token, 2 * FETCH_SIZE_MAX)?;
        let positions = partitions.map(|partition| (partition as i32, 0)).collect();
        Ok(Consumer { pipe, topic_id, max_wait_ms, positions, received: 0 })
    }

    pub(super) fn ask(&mut self) -> Result<(), Failure> {
        if self.positions.is_empty() {
            return Ok(());
        }
        let wanted = Wanted { max_wait_ms: self.max_wait_ms, max_bytes: FETCH_SIZE_MAX as i32 };
        let mut request = protocol::fetch_request(self.topic_id, 0, 0, &wanted);
        let partitions = self.positions.iter().map(|(partition, offset)| FetchPartition {
            partition: *partition,
            current_leader_epoch: -1,
            fetch_offset: *offset,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: FETCH_SIZE_MAX as i32,
            ..Default::default()
        });
        request.topics =
            vec![FetchTopic { topic_id: self.topic_id, partitions: partitions.collect(), ..Default::default() }];
        self.pipe.send(&protocol::frame(protocol::FETCH, &request))
    }

    pub(super) fn receive(&mut self, scratch: &mut [u8], clock: Clock, tally: &mut Tally) -> Result<(), Failure> {
        let Consumer { pipe, positions, received, .. } = self;
        pipe.flush()?;
        let mut is_answered = false;
        pipe.receive(scratch, |answer| {
            let now = clock.ns();
            is_answered = true;
            let answer: FetchResponse<'_> = protocol::answer(ApiKey::Fetch, protocol::FETCH, answer)?;
            accepted("Fetch", answer.error_code)?;
            for partition in answer.responses.iter().flat_map(|topic| &topic.partitions) {
                accepted("Fetch", partition.error_code)?;
                let position = positions.iter_mut().find(|(index, _)| *index == partition.partition_index);
                let (_, offset) = position.ok_or(Failure::Malformed("a partition that was not asked for"))?;
                *received += read(partition.records.bytes().unwrap_or_default(), offset, now, tally)?;
            }
            Ok(())
        })?;
        if is_answered { self.ask() } else { Ok(()) }
    }
}

/// Reads every record from `offset` on, which moves; gives their count.
fn read(records: &[u8], offset: &mut i64, now: u64, tally: &mut Tally) -> Result<u64, Failure> {
    let mut scratch = Scratch::new();
    let mut count = 0;
    for batch in Batches::new(records) {
        let batch = batch?;
        if batch.header.base_offset != *offset {
            return Err(Failure::Malformed("an offset is missing or came twice"));
        }
        let records = batch.records(&mut scratch, BATCH_SIZE_MAX);
        for record in records.map_err(|_| Failure::Malformed("records of a batch"))? {
            let record = record.map_err(|_| Failure::Malformed("a record"))?;
            let value = record.value.unwrap_or_default();
            tally.received(stamp(value, 0), stamp(value, 8), now);
            count += 1;
        }
        *offset = batch.header.next_offset();
    }
    Ok(count)
}

fn stamp(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |stamp| u64::from_be_bytes(*stamp))
}
