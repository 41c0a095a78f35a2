//! What a log costs beside its bytes: batches of one wake joined into one write, look-ups in an index, the plan of a read.

use crate::fixtures::{TempLog, batch, fetch_request, long_log};
use criterion::{BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use wire::Decoder;
use wire::Message;
use wire::fetch_walk::FetchWalk;
use wire::generated::fetch_request::FetchRequest;
use wire::records::Codec;

/// Of batches of 1 KiB in the log that is read: some 10,000 entries of its index.
const HUNDREDS: i64 = 500;

/// As many batches of 1 KiB as one wake brings; the write is the kernel's and the page cache's part of it.
pub(crate) fn joined_append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    let bytes = batch(1, 1024, Codec::None);
    for copies in [1, 8, 64] {
        let mut temporary = TempLog::create("append");
        group.throughput(Throughput::Elements(copies as u64));
        group.bench_function(BenchmarkId::new("joined", copies), |b| b.iter(|| temporary.append(&bytes, copies)));
    }
}

pub(crate) fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup");
    let temporary = long_log(HUNDREDS);
    let end = temporary.log.log_end_offset();
    // Newest: what was appended last is remembered. Old: through the index, and the header of the batch there.
    let mut offset = 0;
    group.bench_function("plan_read old", |b| {
        b.iter(|| {
            offset = (offset + 7919) % (end - 10_000);
            temporary.log.plan_read(black_box(offset), end, 1 << 20, true).expect("it is there")
        });
    });
    group.bench_function("plan_read newest", |b| {
        b.iter(|| temporary.log.plan_read(black_box(end - 1), end, 1 << 20, true).expect("it is there"));
    });
    group.bench_function("offset_for_timestamp", |b| {
        b.iter(|| temporary.log.offset_for_timestamp(black_box(250)).expect("the index is sound"));
    });
}

/// A fetch of many partitions as far as it is the same for every one: walk the request, plan the read.
pub(crate) fn fetch_plan(c: &mut Criterion) {
    let mut group = c.benchmark_group("fetch");
    let temporary = long_log(HUNDREDS);
    let end = temporary.log.log_end_offset();
    for partitions in [1, 100] {
        let body = fetch_request(partitions);
        group.throughput(Throughput::Elements(partitions as u64));
        group.bench_function(BenchmarkId::new("plan", partitions), |b| {
            b.iter(|| {
                let walk =
                    FetchWalk::new(Decoder::new(black_box(&body)), FetchRequest::MAX_VERSION).expect("it is sound");
                let partitions = walk.topics().flat_map(|topic| topic.partitions);
                let plan = |_| temporary.log.plan_read(end - 1, end, 1 << 20, true).expect("it is there").len;
                partitions.map(plan).sum::<u64>()
            });
        });
        group.bench_function(BenchmarkId::new("decode", partitions), |b| {
            b.iter(|| {
                FetchRequest::decode(&mut Decoder::new(black_box(&body)), FetchRequest::MAX_VERSION)
                    .expect("it is sound")
            });
        });
    }
}
