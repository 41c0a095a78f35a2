//! gzip (RFC 1952): the framing here, deflate in flate2. Several members in a row are one stream, as Java reads them.

use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use super::{CHUNK_BYTES, Fault, Window};

const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const TRAILER_SIZE: usize = 8;
/// No flags, no time, no extra flags, unknown system: what Java writes.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

#[derive(Default)]
pub(super) struct Contexts {
    inflate: Option<Decompress>,
    deflate: Option<(i32, Compress)>,
}

pub(super) struct Reader<'p, 's> {
    rest: &'p [u8],
    inflate: &'s mut Decompress,
    crc: Crc,
    /// Between the header and the trailer of a member.
    inside: bool,
    first: bool,
}

impl<'p, 's> Reader<'p, 's> {
    pub(super) fn new(bytes: &'p [u8], contexts: &'s mut Contexts) -> Self {
        let inflate = contexts.inflate.get_or_insert_with(|| Decompress::new(false));
        Self { rest: bytes, inflate, crc: Crc::new(), inside: false, first: true }
    }

    pub(super) fn read(&mut self, window: &mut Window, most: usize) -> Result<usize, Fault> {
        let space = CHUNK_BYTES.min(most.saturating_add(1));
        loop {
            if !self.inside && !self.next_member()? {
                return Ok(0);
            }
            let room = window.room(space);
            let (consumed, produced, ended) = inflate(self.inflate, self.rest, room)?;
            self.rest = &self.rest[consumed..];
            self.crc.update(&room[..produced]);
            window.filled(produced);
            if ended {
                self.end_member()?;
            } else if consumed == 0 && produced == 0 {
                return Err(Fault::Corrupt);
            }
            if produced > 0 {
                return Ok(produced);
            }
        }
    }

    /// False when no further member follows. Like Java, what follows the last member without being one is ignored.
    fn next_member(&mut self) -> Result<bool, Fault> {
        match skip_header(self.rest) {
            Some(rest) => self.rest = rest,
            None if self.first => return Err(Fault::Corrupt),
            None => return Ok(false),
        }
        (self.first, self.inside) = (false, true);
        self.inflate.reset(false);
        self.crc.reset();
        Ok(true)
    }

    fn end_member(&mut self) -> Result<(), Fault> {
        let (trailer, rest) = self.rest.split_first_chunk::<TRAILER_SIZE>().ok_or(Fault::Corrupt)?;
        let expected = u64::from(self.crc.sum()) | u64::from(self.crc.amount()) << 32;
        if u64::from_le_bytes(*trailer) != expected {
            return Err(Fault::Corrupt);
        }
        (self.rest, self.inside) = (rest, false);
        Ok(())
    }
}

/// One step of inflating: bytes consumed, bytes produced, whether the deflate data have ended.
fn inflate(inflate: &mut Decompress, input: &[u8], room: &mut [u8]) -> Result<(usize, usize, bool), Fault> {
    let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(input, room, FlushDecompress::None).map_err(|_| Fault::Corrupt)?;
    let consumed = (inflate.total_in() - before_in) as usize;
    let produced = (inflate.total_out() - before_out) as usize;
    Ok((consumed, produced, status == Status::StreamEnd))
}

/// What follows the header of a member.
fn skip_header(bytes: &[u8]) -> Option<&[u8]> {
    let (header, mut rest) = bytes.split_first_chunk::<{ HEADER.len() }>()?;
    let flags = header[3];
    if header[..3] != MAGIC || flags & RESERVED != 0 {
        return None;
    }
    if flags & EXTRA != 0 {
        let (length, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&byte| byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HEADER_CRC != 0 {
        let (crc, after) = rest.split_first_chunk::<2>()?;
        let mut sum = Crc::new();
        sum.update(&bytes[..bytes.len() - rest.len()]);
        if sum.sum() as u16 != u16::from_le_bytes(*crc) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

pub(super) fn compress(contexts: &mut Contexts, level: i32, bytes: &[u8], out: &mut Vec<u8>) {
    let level = if level < 0 { -1 } else { level.clamp(1, 9) };
    let made = match contexts.deflate.take() {
        Some((made_for, mut deflate)) if made_for == level => {
            deflate.reset();
            deflate
        }
        _ if level == -1 => Compress::new(Compression::default(), false),
        _ => Compress::new(Compression::new(level as u32), false),
    };
    let (_, deflate) = contexts.deflate.insert((level, made));
    out.extend_from_slice(&HEADER);
    deflate_all(deflate, bytes, out);
    let mut crc = Crc::new();
    crc.update(bytes);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
}

fn deflate_all(deflate: &mut Compress, bytes: &[u8], out: &mut Vec<u8>) {
    loop {
        out.reserve(CHUNK_BYTES);
        let rest = &bytes[deflate.total_in() as usize..];
        match deflate.compress_vec(rest, out, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => return,
            Ok(_) => {}
            // Only misuse of the stream fails here, and it was reset above.
            Err(error) => unreachable!("deflate refuses to go on: {error}"),
        }
    }
}
