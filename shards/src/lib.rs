//! Cores: executors, rings, sockets, files and the mesh between them. Knows no Kafka.

mod buffers;
mod chunk;
mod core;
mod file;
mod files;
mod ids;
mod memory;
mod run;
mod service;
mod start_error;
mod sys;
pub mod topology;

pub use crate::chunk::Chunk;
pub use crate::core::Core;
pub use crate::file::File;
pub use crate::files::{Files, WriteMode};
pub use crate::ids::{Nanos, ShardId, SocketId};
pub use crate::run::{Plan, Running, fatal, run};
pub use crate::service::{Lane, Out, Part, Service};
pub use crate::start_error::StartError;
