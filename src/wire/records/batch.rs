//! A whole batch as a view over bytes, and several of them in a row.

use super::header::{BatchError, BatchHeader, CRC_START, HEADER_SIZE};
use super::record::RecordIter;
use super::scratch::Scratch;
use super::{RecordError, crc32c};

/// Exactly one whole batch: `bytes` is as long as the header says. The CRC has not been compared.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub header: BatchHeader,
    pub bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch at the start of `bytes` and what follows it.
    pub fn first(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BatchError> {
        let header = BatchHeader::parse(bytes)?;
        match bytes.split_at_checked(header.size()) {
            Some((batch, rest)) => Ok((Self { header, bytes: batch }, rest)),
            None => Err(BatchError::Torn { need: header.size(), have: bytes.len() }),
        }
    }

    /// Whether the bytes are those the CRC was made of. Base offset, length, leader epoch and magic are not under it.
    pub fn crc_matches(&self) -> bool {
        crc32c(&self.bytes[CRC_START..]) == self.header.crc
    }

    /// The records as they stand in the batch, compressed or not.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_SIZE..]
    }

    /// Walks the records: those of an uncompressed batch in place, others after decompressing them into `scratch`.
    ///
    /// Errors: an unknown codec, damaged compressed data, or more than `limit` bytes of records.
    pub fn records<'s>(&'s self, scratch: &'s mut Scratch, limit: usize) -> Result<RecordIter<'s>, RecordError> {
        RecordIter::new(self, scratch, limit)
    }
}

/// Consecutive batches in a byte range. Ends before a batch of which only a part is there ([`Batches::rest`] tells) and
/// yields one error, then nothing more, at bytes that are no batch.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
    failed: bool,
}

impl<'a> Batches<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, failed: false }
    }

    /// The bytes behind the last batch yielded; at the end, the torn tail or the bytes that are no batch.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        match Batch::first(self.rest) {
            Ok((batch, rest)) => {
                self.rest = rest;
                Some(Ok(batch))
            }
            Err(BatchError::Torn { .. }) => None,
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}
