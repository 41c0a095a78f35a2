mod codecs;
mod golden;
mod hostile;
mod oracle;
mod stamping;
mod text;
mod views;

use super::*;

/// More than any batch made here decompresses to.
const LIMIT: usize = 16 << 20;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const COMPRESSING: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// Written by Apache Kafka 4.3.1 (`BatchOracle write src/wire/records/golden 1 small`).
const JAVA: &[u8] = include_bytes!("../golden/java.batches");
const JAVA_TEXT: &str = include_str!("../golden/java.txt");

/// A small seeded generator (xorshift): the tests draw the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// Bytes that compress a little.
    fn text(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| b"abcdefgh "[self.below(9)]).collect()
    }
}

/// `count` records of `size` bytes, timestamps from 1000 on.
fn batch_of(codec: Codec, count: usize, size: usize) -> Vec<u8> {
    let mut dice = Dice::new(count as u64 ^ (size as u64) << 20);
    let mut builder = BatchBuilder::new(0).codec(codec, codec.default_level());
    for index in 0..count {
        let value = dice.text(size);
        builder.push(1000 + index as i64, Some(&value[..size.min(8)]), Some(&value), &[]).unwrap();
    }
    builder.finish(&mut Scratch::new())
}

fn whole(bytes: &[u8]) -> Batch<'_> {
    let (batch, rest) = Batch::first(bytes).unwrap();
    assert!(rest.is_empty());
    batch
}

/// Puts the right length and CRC into the header of `bytes`.
fn reseal(bytes: &mut [u8]) {
    let length = (bytes.len() - LENGTH_OVERHEAD) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}
