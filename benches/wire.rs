//! What a batch costs before it is appended: checksum, walk, stamp; and a Produce request read in place.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use wire::generated::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use wire::produce_walk::ProduceWalk;
use wire::records::{Batch, BatchBuilder, Batches, Codec, Scratch, Stamp, scan, stamp};
use wire::{Decoder, Encoder, Message, Records, Uuid};

/// Records in a batch and bytes of each value: one small record, a typical producer's batch, many tiny ones.
const SHAPES: [(usize, usize); 3] = [(1, 1024), (64, 1024), (1000, 16)];
const SCAN_LIMIT: usize = 16 << 20;

fn batch(records: usize, value_size: usize, codec: Codec) -> Vec<u8> {
    let value: Vec<u8> = (0..value_size).map(|i| b"0123456789abcdef"[(i * i + 7) % 16]).collect();
    let mut builder = BatchBuilder::new(0).codec(codec, codec.default_level());
    for _ in 0..records {
        builder.push(1, Some(b"key"), Some(&value), &[]).expect("the batch is small");
    }
    builder.finish(&mut Scratch::new())
}

fn view(bytes: &[u8]) -> Batch<'_> {
    Batch::first(bytes).expect("the batch is whole").0
}

fn checksum(c: &mut Criterion) {
    let mut group = c.benchmark_group("crc");
    for (records, value_size) in SHAPES {
        let bytes = batch(records, value_size, Codec::None);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(format!("{records}x{value_size}")), &bytes, |b, bytes| {
            b.iter(|| view(black_box(bytes)).crc_matches());
        });
    }
}

fn walk(c: &mut Criterion) {
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
fn stamping(c: &mut Criterion) {
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
fn headers(c: &mut Criterion) {
    let mut group = c.benchmark_group("batches");
    let bytes = batch(1, 1024, Codec::None).repeat(1024);
    group.throughput(Throughput::Elements(1024));
    group.bench_function("1024 headers", |b| b.iter(|| Batches::new(black_box(&bytes)).count()));
}

fn produce_request(c: &mut Criterion) {
    let mut group = c.benchmark_group("produce_request");
    let bytes = batch(1, 1024, Codec::None);
    for partitions in [1, 100] {
        let data = |index| PartitionProduceData { index, records: Records::Bytes(&bytes) };
        let partition_data = (0..partitions).map(data).collect();
        let topic = TopicProduceData { topic_id: Uuid(7), partition_data, ..Default::default() };
        let request = ProduceRequest { acks: 1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() };
        let mut e = Encoder::new();
        request.encode(&mut e, ProduceRequest::MAX_VERSION);
        group.throughput(Throughput::Elements(partitions as u64));
        group.bench_with_input(BenchmarkId::new("walk", partitions), &e.buf, |b, body| {
            b.iter(|| {
                ProduceWalk::new(Decoder::new(black_box(body)), ProduceRequest::MAX_VERSION).expect("it is sound")
            });
        });
        group.bench_with_input(BenchmarkId::new("decode", partitions), &e.buf, |b, body| {
            let decode = || ProduceRequest::decode(&mut Decoder::new(black_box(body)), ProduceRequest::MAX_VERSION);
            b.iter(|| decode().expect("it is sound"));
        });
    }
}

criterion_group!(benches, checksum, walk, stamping, headers, produce_request);
criterion_main!(benches);
