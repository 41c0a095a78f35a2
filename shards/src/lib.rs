//! Cores: executors, rings, sockets, files and the mesh between them. Knows no Kafka.
//!
//! In reading order: a [`Service`] is served by a shard; [`run()`] starts one shard per core; each has a driver (driver.rs)
//! that takes completions out of its data ring (ring.rs), delivers them, lets the service settle, sends, and sleeps. A
//! service reaches its shard through its [`Core`]. Sockets: sockets.rs, receiving.rs, sending.rs, listeners.rs, buffers.rs.
//! Files: [`Files`], [`File`]. Other shards: mesh.rs, shared.rs.

pub mod admission;
mod at_once;
mod buffers;
mod chunk;
mod clock;
mod core;
mod counters;
mod driver;
mod file;
mod files;
mod host;
mod ids;
mod listeners;
mod memory;
mod mesh;
mod patience;
mod probe;
mod receiving;
mod ring;
mod run;
mod sending;
mod service;
mod shard;
mod shared;
mod socket;
mod sockets;
mod start_error;
mod sys;
mod tasks;
pub mod topology;
mod workers;

pub use crate::at_once::{Cold, at_once};
pub use crate::chunk::Chunk;
pub use crate::core::Core;
pub use crate::counters::Counters;
pub use crate::file::File;
pub use crate::files::{Files, WriteMode};
pub use crate::host::{
    DESCRIPTOR_HELP, StopSignals, dirty_bytes, disk_space, is_descriptor_shortage, raise_open_files, sync_file_system,
};
pub use crate::ids::{Nanos, ShardId, SocketId};
pub use crate::run::{Plan, Running, Stopper, fatal, run};
pub use crate::service::{Lane, Out, Part, Seating, Service};
pub use crate::start_error::{Facts, StartError};
