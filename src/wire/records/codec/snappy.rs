//! Snappy: raw (one block), as librdkafka and others send it, and in the framing of xerial's snappy-java, as Java sends
//! and everybody reads it: 16 bytes of header, then blocks behind their lengths (int32, big endian).

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{Fault, Window};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, then version and lowest compatible version as int32.
const HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// What snappy-java takes for a block unless told otherwise.
const BLOCK_BYTES: usize = 32 << 10;
/// Three bytes of a copy element stand for at most 64: no block decompresses to more than 22 times its size.
const RATIO_MAX: usize = 22;

#[derive(Default)]
pub(super) struct Contexts {
    encoder: Option<Encoder>,
}

pub(super) struct Reader<'p> {
    rest: &'p [u8],
    framed: bool,
    begun: bool,
}

impl<'p> Reader<'p> {
    pub(super) fn new(bytes: &'p [u8]) -> Self {
        Self { rest: bytes, framed: bytes.starts_with(&MAGIC), begun: false }
    }

    pub(super) fn read(&mut self, window: &mut Window, most: usize) -> Result<usize, Fault> {
        while let Some(block) = self.next_block()? {
            let size = block_size(block, most)?;
            if size > 0 {
                let room = window.room(size);
                Decoder::new().decompress(block, room).map_err(|_| Fault::Corrupt)?;
                window.filled(size);
                return Ok(size);
            }
        }
        Ok(0)
    }

    fn next_block(&mut self) -> Result<Option<&'p [u8]>, Fault> {
        if !self.framed {
            let first = !std::mem::replace(&mut self.begun, true);
            return Ok(first.then_some(self.rest));
        }
        // A header may also stand between blocks: streams written one behind the other.
        while !self.begun || self.rest.starts_with(&MAGIC) {
            self.rest = skip_header(self.rest).ok_or(Fault::Corrupt)?;
            self.begun = true;
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (length, rest) = self.rest.split_first_chunk::<4>().ok_or(Fault::Corrupt)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| Fault::Corrupt)?;
        let (block, rest) = rest.split_at_checked(length).ok_or(Fault::Corrupt)?;
        self.rest = rest;
        Ok(Some(block))
    }
}

fn skip_header(bytes: &[u8]) -> Option<&[u8]> {
    let (header, rest) = bytes.split_first_chunk::<{ HEADER.len() }>()?;
    let version = i32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    (version >= 1).then_some(rest)
}

/// What `block` says it decompresses to, once that is possible and allowed: before memory is taken for it.
fn block_size(block: &[u8], most: usize) -> Result<usize, Fault> {
    let size = decompress_len(block).map_err(|_| Fault::Corrupt)?;
    if size / RATIO_MAX > block.len() {
        return Err(Fault::Corrupt);
    }
    if size > most { Err(Fault::TooLarge) } else { Ok(size) }
}

pub(super) fn compress(contexts: &mut Contexts, bytes: &[u8], out: &mut Vec<u8>) {
    let encoder = contexts.encoder.get_or_insert_with(Encoder::new);
    out.extend_from_slice(&HEADER);
    for block in bytes.chunks(BLOCK_BYTES) {
        let at = out.len();
        out.resize(at + 4 + max_compress_len(block.len()), 0);
        match encoder.compress(block, &mut out[at + 4..]) {
            Ok(size) => {
                out[at..at + 4].copy_from_slice(&(size as i32).to_be_bytes());
                out.truncate(at + 4 + size);
            }
            // The room is what snappy says it may need, the block far below its 4 GiB.
            Err(error) => unreachable!("snappy cannot compress: {error}"),
        }
    }
}
