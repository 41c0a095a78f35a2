//! `cargo bench`: the pieces of produce and fetch, each alone. Wall time gates nothing; `cargo x instructions` does.

mod fixtures;
mod logs;
mod mesh;
mod records;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    hot_path,
    records::checksum,
    records::walk,
    records::stamping,
    records::headers,
    records::produce,
    logs::joined_append,
    logs::lookup,
    logs::fetch_plan,
    mesh::mesh
);
criterion_main!(hot_path);
