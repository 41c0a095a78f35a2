//! Bytes and words: the messages and record batches of the Apache Kafka protocol. No I/O.
//!
//! - [`codec`]: primitive types, arrays, tagged fields; every count bounded by the bytes that remain
//! - [`header`], [`error_code`], [`uuid`]: what every request and response shares
//! - [`generated`]: the messages and records of Apache Kafka 4.3.1, and [`api`], the table of APIs; by `cargo x codegen`
//! - [`produce_walk`], [`fetch_walk`], [`produce_answer`]: the hot requests, read in place, and a hot answer, written in place
//! - [`records`]: record batches as views over bytes
#![forbid(unsafe_code)]

pub mod codec;
pub mod error_code;
pub mod fetch_walk;
pub mod generated;
pub mod header;
pub mod produce_answer;
pub mod produce_walk;
pub mod records;
pub mod uuid;
pub mod walk;

#[cfg(test)]
mod oracle;

pub use codec::{Bytes, DecodeError, Decoder, Encoder, Message, Records, Request, Splice, Str};
pub use error_code::ErrorCode;
pub use generated::api::ApiKey;
pub use generated::coordinator_record;
pub use generated::messages;
pub use generated::metadata_record::{self, MetadataRecord};
pub use generated::{api, recode};
pub use uuid::Uuid;
