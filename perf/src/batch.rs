//! Record batches as a producer writes them.

use wire::records::{BatchBuilder, Codec, Scratch, crc32c};

use crate::failure::Failure;

/// The CRC covers everything from here to the end.
const CRC_FROM: usize = 21;

/// `count` records without key and headers whose value is `value_size` bytes, all of `timestamp_ms`.
///
/// Values are random hexadecimal digits where a codec has something to do, and random bytes where there is none.
pub(crate) fn build(count: usize, value_size: usize, timestamp_ms: i64, codec: Codec) -> Result<Vec<u8>, Failure> {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut builder = BatchBuilder::new(0).codec(codec, codec.default_level());
    for _ in 0..count {
        let mut value = noise.bytes(value_size);
        if codec != Codec::None {
            value.iter_mut().for_each(|byte| *byte = b"0123456789abcdef"[usize::from(*byte & 15)]);
        }
        let pushed = builder.push(timestamp_ms, None, Some(&value), &[]);
        pushed.map_err(|_| Failure::Setup("a batch can't be as large as that".to_owned()))?;
    }
    Ok(builder.finish(&mut Scratch::new()))
}

/// Writes the CRC of a batch whose covered bytes were changed.
fn seal(batch: &mut [u8]) {
    let crc = crc32c(&batch[CRC_FROM..]);
    batch[17..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
}

/// Makes a batch the next one of an idempotent producer: `first` is the sequence of its first record.
pub(crate) fn number(batch: &mut [u8], producer_id: i64, producer_epoch: i16, first: i32) {
    batch[43..51].copy_from_slice(&producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&producer_epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&first.to_be_bytes());
    seal(batch);
}

/// xorshift64*: the same bytes in every run.
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            bytes.extend_from_slice(&self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::records::Batch;

    #[test]
    fn a_numbered_batch_is_an_idempotent_producers() {
        let mut bytes = build(3, 100, 7, Codec::None).unwrap();
        number(&mut bytes, 4000, 2, 9);
        let (batch, _) = Batch::first(&bytes).unwrap();
        assert!(batch.crc_matches() && batch.header.has_producer_id());
        let header = batch.header;
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (4000, 2, 9));
        assert_eq!(header.last_sequence(), 11);
    }

    #[test]
    fn codecs_have_something_to_do() {
        let plain = build(64, 1024, 7, Codec::None).unwrap();
        let packed = build(64, 1024, 7, Codec::Zstd).unwrap();
        assert!(packed.len() < plain.len() * 2 / 3);
    }
}
