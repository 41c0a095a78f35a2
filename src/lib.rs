//! ringmill

pub mod config;
