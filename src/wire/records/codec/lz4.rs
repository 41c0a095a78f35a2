//! The LZ4 frame format (1.5.1), as far as Kafka knows it (`Lz4BlockInputStream`): independent blocks, header and block
//! checksums verified, content size and checksum stepped over, nothing read behind the end mark. Blocks are lz4_flex's.

use lz4_flex::block::{
    CompressTable, DecompressError, compress_into_with_table, decompress_into, get_maximum_output_size,
};

use super::{Fault, Window};

const MAGIC: u32 = 0x184d_2204;
/// Bit of a block size: the block is stored as it is.
const STORED: u32 = 1 << 31;
const BLOCK_BYTES: usize = 64 << 10;
/// One byte of a block stands for at most 255.
const RATIO_MAX: usize = 255;

const VERSION_1: u8 = 1 << 6;
const VERSION_MASK: u8 = 0b11 << 6;
const INDEPENDENT: u8 = 1 << 5;
const BLOCK_CHECKSUM: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED: u8 = 0b11;

#[derive(Default)]
pub(super) struct Contexts {
    table: Option<CompressTable>,
}

pub(super) struct Reader<'p> {
    rest: &'p [u8],
    frame: Option<Frame>,
    ended: bool,
}

#[derive(Clone, Copy)]
struct Frame {
    block_max: usize,
    block_checksum: bool,
    content_checksum: bool,
}

impl<'p> Reader<'p> {
    pub(super) fn new(bytes: &'p [u8]) -> Self {
        Self { rest: bytes, frame: None, ended: false }
    }

    pub(super) fn read(&mut self, window: &mut Window, most: usize) -> Result<usize, Fault> {
        let frame = match self.frame {
            Some(frame) => frame,
            None => {
                let (frame, rest) = parse_header(self.rest).ok_or(Fault::Corrupt)?;
                self.rest = rest;
                *self.frame.insert(frame)
            }
        };
        while !self.ended {
            let Some((block, stored)) = self.next_block(frame)? else { break };
            let size = if stored { copy(block, window, most)? } else { unpack(block, frame, window, most)? };
            if size > 0 {
                return Ok(size);
            }
        }
        Ok(0)
    }

    /// The bytes of the next block and whether they are stored as they are. `None` at the end mark.
    fn next_block(&mut self, frame: Frame) -> Result<Option<(&'p [u8], bool)>, Fault> {
        let word = self.word()?;
        let size = (word & !STORED) as usize;
        if size == 0 {
            self.ended = true;
            if frame.content_checksum {
                self.word()?;
            }
            return Ok(None);
        }
        if size > frame.block_max {
            return Err(Fault::Corrupt);
        }
        let (block, rest) = self.rest.split_at_checked(size).ok_or(Fault::Corrupt)?;
        self.rest = rest;
        if frame.block_checksum && self.word()? != xxh32(block) {
            return Err(Fault::Corrupt);
        }
        Ok(Some((block, word & STORED != 0)))
    }

    fn word(&mut self) -> Result<u32, Fault> {
        let (word, rest) = self.rest.split_first_chunk::<4>().ok_or(Fault::Corrupt)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*word))
    }
}

fn parse_header(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (&[flags, block], _) = rest.split_first_chunk::<2>()?;
    if u32::from_le_bytes(*magic) != MAGIC || flags & VERSION_MASK != VERSION_1 {
        return None;
    }
    if flags & INDEPENDENT == 0 || flags & RESERVED != 0 || block & 0b1000_1111 != 0 {
        return None;
    }
    let block_max = match block >> 4 {
        4 => BLOCK_BYTES,
        5 => 256 << 10,
        6 => 1 << 20,
        7 => 4 << 20,
        _ => return None,
    };
    let described = if flags & CONTENT_SIZE != 0 { 10 } else { 2 };
    let (descriptor, rest) = rest.split_at_checked(described)?;
    let (&checksum, rest) = rest.split_first()?;
    let frame = Frame {
        block_max,
        block_checksum: flags & BLOCK_CHECKSUM != 0,
        content_checksum: flags & CONTENT_CHECKSUM != 0,
    };
    (header_checksum(descriptor) == checksum).then_some((frame, rest))
}

fn header_checksum(descriptor: &[u8]) -> u8 {
    (xxh32(descriptor) >> 8) as u8
}

fn copy(block: &[u8], window: &mut Window, most: usize) -> Result<usize, Fault> {
    if block.len() > most {
        return Err(Fault::TooLarge);
    }
    window.room(block.len()).copy_from_slice(block);
    window.filled(block.len());
    Ok(block.len())
}

fn unpack(block: &[u8], frame: Frame, window: &mut Window, most: usize) -> Result<usize, Fault> {
    let possible = frame.block_max.min(block.len() * RATIO_MAX);
    let room = window.room(possible.min(most));
    match decompress_into(block, room) {
        Ok(size) => {
            window.filled(size);
            Ok(size)
        }
        Err(DecompressError::OutputTooSmall { .. }) if most < possible => Err(Fault::TooLarge),
        Err(_) => Err(Fault::Corrupt),
    }
}

/// One frame of independent 64 KiB blocks without block checksums, as Java and librdkafka write it. lz4_flex has one
/// speed; Kafka's level 9 is the same fast one, other levels would compress harder there.
pub(super) fn compress(contexts: &mut Contexts, bytes: &[u8], out: &mut Vec<u8>) {
    let table = contexts.table.get_or_insert_with(CompressTable::large);
    let descriptor = [VERSION_1 | INDEPENDENT, 4 << 4];
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&descriptor);
    out.push(header_checksum(&descriptor));
    for block in bytes.chunks(BLOCK_BYTES) {
        let at = out.len();
        out.resize(at + 4 + get_maximum_output_size(block.len()), 0);
        match compress_into_with_table(block, &mut out[at + 4..], table) {
            Ok(size) if size < block.len() => {
                out[at..at + 4].copy_from_slice(&(size as u32).to_le_bytes());
                out.truncate(at + 4 + size);
            }
            _ => {
                out[at..at + 4].copy_from_slice(&(block.len() as u32 | STORED).to_le_bytes());
                out.truncate(at + 4);
                out.extend_from_slice(block);
            }
        }
    }
    out.extend_from_slice(&0_u32.to_le_bytes());
}

const PRIMES: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];

/// xxHash, 32 bits, seed 0: the checksum of the frame format.
fn xxh32(bytes: &[u8]) -> u32 {
    let mut stripes = bytes.chunks_exact(16);
    let mut hash = if bytes.len() < 16 {
        PRIMES[4]
    } else {
        let mut lanes = [PRIMES[0].wrapping_add(PRIMES[1]), PRIMES[1], 0, PRIMES[0].wrapping_neg()];
        for stripe in &mut stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<4>().0) {
                let mixed = lane.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIMES[1]));
                *lane = mixed.rotate_left(13).wrapping_mul(PRIMES[0]);
            }
        }
        lanes.iter().zip([1, 7, 12, 18]).fold(0, |sum: u32, (lane, turn)| sum.wrapping_add(lane.rotate_left(turn)))
    };
    hash = hash.wrapping_add(bytes.len() as u32);
    let (words, tail) = stripes.remainder().as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIMES[2]));
        hash = hash.rotate_left(17).wrapping_mul(PRIMES[3]);
    }
    for &byte in tail {
        hash = hash.wrapping_add(u32::from(byte).wrapping_mul(PRIMES[4]));
        hash = hash.rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    for (shift, prime) in [(15, PRIMES[1]), (13, PRIMES[2]), (16, 1)] {
        hash = (hash ^ hash >> shift).wrapping_mul(prime);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xxh32_of_known_inputs() {
        for (input, hash) in [
            (&b""[..], 0x02cc_5d05),
            (b"a", 0x550d_7456),
            (b"abc", 0x32d1_53ff),
            (b"Nobody inspects the spammish repetition", 0xe229_3b2f),
        ] {
            assert_eq!(xxh32(input), hash, "{input:?}");
        }
    }
}
