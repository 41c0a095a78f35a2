//! What a batch costs before it is appended: checksum, walk, stamp; and a Produce request read in place.

use crate::fixtures::{SCAN_LIMIT, batch, produce_request, view};
use criterion::{BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use wire::generated::produce_request::ProduceRequest;
use wire::produce_walk::ProduceWalk;
use wire::records::{Batches, Codec, Scratch, Stamp, scan, stamp};
use wire::{Decoder, Message};

/// Records in a batch and bytes of each value: one small record, a typical producer's batch, many tiny ones.
const SHAPES: [(usize, usize); 3] = [(1, 1024), (64, 1024), (1000, 16)];
pub(crate) fn checksum(c: &mut Criterion) {
    let mut group = c.benchmark_group("crc");
    for (records, value_size) in SHAPES {
        let bytes = batch(records, value_size, Codec::None);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(format!("{records}x{value_size}")), &bytes, |b, bytes| {
            b.iter(|| view(black_box(bytes)).crc_matches());
        });
    }
}

pub(crate) fn walk(c: &mut Criterion) {
    let mut group = c.benchmark_group("scan");
    for (records, value_size) in SHAPES {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            let bytes = batch(records, value_size, codec);
            let mut scratch = Scratch::new();
            group.throughput(Throughput::Elements(records as u64));
            group.bench_with_input(
                BenchmarkId::new(codec.name(), format!("{records}x{value_size}")),
                &bytes,
                |b, bytes| {
                    b.iter(|| scan(&view(black_box(bytes)), &mut scratch, SCAN_LIMIT).expect("the batch is sound"));
                },
            );
        }
    }
}

/// A stamp of offset and leader epoch leaves the CRC as it is; one of a time makes a new one over the whole batch.
pub(crate) fn stamping(c: &mut Criterion) {
    let mut group = c.benchmark_group("stamp");
    let bytes = batch(64, 1024, Codec::None);
    for (name, append_time) in [("create_time", None), ("append_time", Some(1))] {
        let with = Stamp { base_offset: 1 << 33, leader_epoch: 7, append_time, max_timestamp: None };
        group.bench_function(name, |b| {
            b.iter(|| {
                let batch = view(black_box(&bytes));
                stamp(&batch.header, batch.bytes, with)
            });
        });
    }
}

/// What recovery and look-ups do to a segment: from header to header.
pub(crate) fn headers(c: &mut Criterion) {
    let mut group = c.benchmark_group("batches");
    let bytes = batch(1, 1024, Codec::None).repeat(1024);
    group.throughput(Throughput::Elements(1024));
    group.bench_function("1024 headers", |b| b.iter(|| Batches::new(black_box(&bytes)).count()));
}

pub(crate) fn produce(c: &mut Criterion) {
    let mut group = c.benchmark_group("produce_request");
    let bytes = batch(1, 1024, Codec::None);
    for partitions in [1, 100] {
        let body = produce_request(partitions, &bytes);
        group.throughput(Throughput::Elements(partitions as u64));
        group.bench_with_input(BenchmarkId::new("walk", partitions), &body, |b, body| {
            b.iter(|| {
                ProduceWalk::new(Decoder::new(black_box(body)), ProduceRequest::MAX_VERSION).expect("it is sound")
            });
        });
        group.bench_with_input(BenchmarkId::new("decode", partitions), &body, |b, body| {
            let decode = || ProduceRequest::decode(&mut Decoder::new(black_box(body)), ProduceRequest::MAX_VERSION);
            b.iter(|| decode().expect("it is sound"));
        });
    }
}
