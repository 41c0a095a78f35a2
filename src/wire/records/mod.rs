//! Record batches, format v2 (KIP-98): views over bytes, the walk over their records, building, checksums and codecs.
//!
//! A batch is 61 bytes of header ([`BatchHeader`]) and its records, compressed as one stream or plain. Everything here
//! works on bytes the caller holds; what must be decompressed goes through buffers kept in a [`Scratch`], and no
//! function writes more than the limit it was given.
//!
//! Produce: [`Batch::first`] -> [`Batch::crc_matches`] -> [`scan`] -> [`stamp`]. Recovery and look-ups: [`Batches`],
//! [`BatchHeader::parse`], [`find_timestamp`]. Whoever needs keys and values: [`Batch::records`].

mod batch;
mod builder;
mod codec;
mod header;
mod record;
mod scan;
mod scratch;
mod stamp;
mod varint;

#[cfg(test)]
mod tests;

pub use batch::{Batch, Batches};
pub use builder::{BatchBuilder, BuildError, ControlRecordType, control_record_type, recompress};
pub use codec::{Codec, CodecError, compress, decompress};
pub use header::{Attributes, BatchError, BatchHeader, HEADER_SIZE, LENGTH_OVERHEAD, TimestampType};
pub use record::{Header, Headers, Record, RecordError, RecordIter};
pub use scan::{Scan, find_timestamp, scan};
pub use scratch::Scratch;
pub use stamp::{Head, Stamp, stamp};

/// Timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = -1;
/// Producer id of a batch that is not idempotent.
pub const NO_PRODUCER_ID: i64 = -1;
/// Sequence of a batch that is not idempotent, and of control batches.
pub const NO_SEQUENCE: i32 = -1;

/// CRC-32C (Castagnoli) of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    ::crc32c::crc32c(bytes)
}
