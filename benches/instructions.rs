//! What the hot path costs in instructions, for callgrind: the same number on a busy machine and on a quiet one.
//!
//! `instructions` names the workloads; `instructions NAME` sets one up and runs it [`TIMES`] times inside of `counted`, which is what
//! callgrind collects. `cargo x instructions` runs them all and compares with `benches/instructions.txt`.

mod fixtures;

use fixtures::{SCAN_LIMIT, TempLog, batch, fetch_request, long_log, produce_request, view};
use std::hint::black_box;
use wire::fetch_walk::FetchWalk;
use wire::generated::fetch_request::FetchRequest;
use wire::generated::produce_request::ProduceRequest;
use wire::generated::produce_response::PartitionProduceResponse;
use wire::produce_answer::ProduceAnswer;
use wire::produce_walk::ProduceWalk;
use wire::records::{Batches, Codec, Scratch, Stamp, scan, stamp};
use wire::{Decoder, Encoder, Message, Uuid};

/// How often a workload runs; `cargo x instructions` divides by it.
const TIMES: usize = 100;
/// Of batches in the log that is read.
const HUNDREDS: i64 = 200;

type Work = Box<dyn FnMut()>;

/// What makes a workload.
type Make = fn() -> Work;

/// Each by its name.
const WORKLOADS: &[(&str, Make)] = &[
    ("crc-64x1024", || {
        let bytes = batch(64, 1024, Codec::None);
        Box::new(move || assert!(view(black_box(&bytes)).crc_matches()))
    }),
    ("scan-1x1024", || scanning(1, 1024, Codec::None)),
    ("scan-64x1024", || scanning(64, 1024, Codec::None)),
    ("scan-64x1024-lz4", || scanning(64, 1024, Codec::Lz4)),
    ("scan-64x1024-zstd", || scanning(64, 1024, Codec::Zstd)),
    ("stamp-64x1024", || {
        let bytes = batch(64, 1024, Codec::None);
        let with = Stamp { base_offset: 1 << 33, leader_epoch: 7, append_time: None, max_timestamp: None };
        Box::new(move || {
            let batch = view(black_box(&bytes));
            black_box(stamp(&batch.header, batch.bytes, with));
        })
    }),
    ("walk-1024-headers", || {
        let bytes = batch(1, 1024, Codec::None).repeat(1024);
        Box::new(move || assert_eq!(Batches::new(black_box(&bytes)).count(), 1024))
    }),
    ("produce-walk-100", || {
        let body = produce_request(100, &batch(1, 1024, Codec::None));
        Box::new(move || {
            let walk = ProduceWalk::new(Decoder::new(black_box(&body)), ProduceRequest::MAX_VERSION);
            black_box(walk.expect("it is sound"));
        })
    }),
    ("produce-decode-100", || {
        let body = produce_request(100, &batch(1, 1024, Codec::None));
        Box::new(move || {
            let request = ProduceRequest::decode(&mut Decoder::new(black_box(&body)), ProduceRequest::MAX_VERSION);
            black_box(request.expect("it is sound"));
        })
    }),
    ("produce-answer-1", || {
        Box::new(|| {
            let mut e = Encoder::with_capacity(128);
            let mut answer = ProduceAnswer::begin(&mut e, ProduceRequest::MAX_VERSION, 1);
            let done = PartitionProduceResponse { base_offset: black_box(1 << 33), ..Default::default() };
            answer.topic("t", Uuid::ZERO, [done].into_iter());
            answer.finish(0);
            black_box(e.buf);
        })
    }),
    ("fetch-walk-100", || {
        let body = fetch_request(100);
        Box::new(move || {
            let walk = FetchWalk::new(Decoder::new(black_box(&body)), FetchRequest::MAX_VERSION).expect("it is sound");
            black_box(walk.topics().flat_map(|topic| topic.partitions).count());
        })
    }),
    ("append-1", || appending(1)),
    ("append-64-joined", || appending(64)),
    ("plan-read-newest", || {
        let temporary = long_log(HUNDREDS);
        let end = temporary.log.log_end_offset();
        Box::new(move || {
            black_box(temporary.log.plan_read(black_box(end - 1), end, 1 << 20, true).expect("it is there"));
        })
    }),
    ("plan-read-old", || {
        let temporary = long_log(HUNDREDS);
        let end = temporary.log.log_end_offset();
        let mut offset = 0;
        Box::new(move || {
            offset = (offset + 7919) % (end - 10_000);
            black_box(temporary.log.plan_read(offset, end, 1 << 20, true).expect("it is there"));
        })
    }),
    ("offset-for-timestamp", || {
        let temporary = long_log(HUNDREDS);
        Box::new(move || {
            black_box(temporary.log.offset_for_timestamp(black_box(100)).expect("the index is sound"));
        })
    }),
];

fn scanning(records: usize, value_size: usize, codec: Codec) -> Work {
    let bytes = batch(records, value_size, codec);
    let mut scratch = Scratch::new();
    Box::new(move || {
        black_box(scan(&view(black_box(&bytes)), &mut scratch, SCAN_LIMIT).expect("the batch is sound"));
    })
}

fn appending(copies: usize) -> Work {
    let mut temporary = TempLog::create("append");
    let bytes = batch(1, 1024, Codec::None);
    Box::new(move || temporary.append(&bytes, copies))
}

/// Collected by its name: neither inlined nor generic.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    (0..TIMES).for_each(|_| work());
}

fn main() {
    // Cargo passes --bench; anything else is a name.
    let Some(name) = std::env::args().skip(1).find(|arg| !arg.starts_with('-')) else {
        WORKLOADS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let known = WORKLOADS.iter().find(|(known, _)| *known == name);
    let mut work = known.expect("one of the workloads that are listed without a name").1();
    work(); // what happens once is not the hot path
    counted(black_box(&mut *work));
}
