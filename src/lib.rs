//! ringmill: a broker for clients of Apache Kafka, one shard per core. The codemap in miniature, in reading order;
//! docs/ARCHITECTURE.md tells the path of a produce and of a fetch through these rooms.
#![forbid(unsafe_code)]

pub mod start;

pub mod shard;

pub mod net;

pub mod api;

pub mod controller;

pub mod groups;

pub mod telemetry;

pub mod route;

pub mod partition;

pub mod log;

pub mod calls;
mod chance;
mod tickets;

pub mod config;
pub mod metrics;

pub mod cli;
