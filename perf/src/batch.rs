//! Record batches as a producer writes them, and where in them a stamp can be patched.

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
pub(crate) fn seal(batch: &mut [u8]) {
    let crc = crc32c(&batch[CRC_FROM..]);
    batch[17..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
}

/// Where the value starts in an uncompressed batch of one record: nothing but the count of its headers follows it.
pub(crate) fn value_at(batch: &[u8], value_size: usize) -> usize {
    batch.len().saturating_sub(1 + value_size)
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
    fn a_patched_and_sealed_batch_is_whole() {
        for size in [16, 63, 64, 100, 1024, 8192, 70_000] {
            let mut bytes = build(1, size, 7, Codec::None).unwrap();
            let at = value_at(&bytes, size);
            bytes[at..at + 16].copy_from_slice(b"0123456789abcdef");
            seal(&mut bytes);
            let (batch, rest) = Batch::first(&bytes).unwrap();
            assert!(rest.is_empty() && batch.crc_matches());
            let mut scratch = Scratch::new();
            let record = batch.records(&mut scratch, 1 << 20).unwrap().next().unwrap().unwrap();
            assert!(record.value.unwrap().starts_with(b"0123456789abcdef"), "value of {size} bytes");
        }
    }

    #[test]
    fn codecs_have_something_to_do() {
        let plain = build(64, 1024, 7, Codec::None).unwrap();
        let packed = build(64, 1024, 7, Codec::Zstd).unwrap();
        assert!(packed.len() < plain.len() * 2 / 3);
    }
}
