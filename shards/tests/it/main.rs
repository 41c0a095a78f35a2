//! Shards seen from outside: real sockets, files and threads.

mod files;
mod mesh;
mod service;
mod sockets;
mod stopping;
mod storm;
