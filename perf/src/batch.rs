//! Record batches (magic 2) as a producer writes them, and where in them a stamp can be patched.

/// Bytes before the first record of a batch.
pub(crate) const HEADER_SIZE: usize = 61;
/// The CRC covers everything from here to the end.
const CRC_FROM: usize = 21;

/// `count` records without key and headers whose value is `value_size` bytes that do not compress. Timestamps are `timestamp_ms`,
/// offsets and sequence are those of a producer without idempotence.
pub(crate) fn build(count: usize, value_size: usize, timestamp_ms: i64) -> Vec<u8> {
    let mut batch = vec![0; HEADER_SIZE];
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for delta in 0..count {
        let mut body = vec![0]; // attributes
        varint(&mut body, 0); // timestamp delta
        varint(&mut body, delta as i64);
        varint(&mut body, -1); // no key
        varint(&mut body, value_size as i64);
        noise.fill(&mut body, value_size);
        varint(&mut body, 0); // no headers
        varint(&mut batch, body.len() as i64);
        batch.extend_from_slice(&body);
    }
    let length = (batch.len() - 12) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[12..16].copy_from_slice(&(-1i32).to_be_bytes()); // leader epoch: the broker's
    batch[16] = 2;
    batch[23..27].copy_from_slice(&(count as i32 - 1).to_be_bytes());
    batch[27..35].copy_from_slice(&timestamp_ms.to_be_bytes());
    batch[35..43].copy_from_slice(&timestamp_ms.to_be_bytes());
    batch[43..51].copy_from_slice(&(-1i64).to_be_bytes()); // producer id
    batch[51..53].copy_from_slice(&(-1i16).to_be_bytes()); // producer epoch
    batch[53..57].copy_from_slice(&(-1i32).to_be_bytes()); // base sequence
    batch[57..61].copy_from_slice(&(count as i32).to_be_bytes());
    seal(&mut batch);
    batch
}

/// Writes the CRC of a batch whose covered bytes were changed.
pub(crate) fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Where the value of the only record of `build(1, value_size, _)` starts.
pub(crate) fn value_at(value_size: usize) -> usize {
    let mut head = vec![0, 0, 0, 1];
    varint(&mut head, value_size as i64);
    let mut length = Vec::new();
    varint(&mut length, (head.len() + value_size + 1) as i64);
    HEADER_SIZE + length.len() + head.len()
}

/// Zigzag.
fn varint(to: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        to.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

/// xorshift64*: the same bytes in every run.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, to: &mut Vec<u8>, len: usize) {
        let end = to.len() + len;
        while to.len() < end {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let bytes = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes();
            let take = bytes.len().min(end - to.len());
            to.extend_from_slice(&bytes[..take]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_where_it_is_said_to_be() {
        for size in [16, 63, 64, 100, 1024, 8192, 70_000] {
            let mut batch = build(1, size, 7);
            let at = value_at(size);
            assert_eq!(batch.len(), at + size + 1, "value and the header count end the batch of {size}");
            let crc = batch[17..21].to_vec();
            batch[at] ^= 1;
            seal(&mut batch);
            assert_ne!(crc, batch[17..21]);
        }
    }
}
