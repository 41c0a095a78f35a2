//! The four codecs behind one enum, streaming through a window or whole, always with a bound on what comes out.

mod gzip;
mod lz4;
mod snappy;
mod window;
mod zstd;

use std::fmt;

pub(super) use window::Window;

use super::scratch::Scratch;

/// Bytes asked of gzip and zstd at a time.
const CHUNK_BYTES: usize = 32 << 10;

/// A compression codec; the numbers stand in the attributes of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Codec {
    pub fn from_id(id: u8) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd].get(usize::from(id)).copied()
    }

    /// Kafka's name, as `compression.type` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The level Kafka takes when none is configured: `compression.gzip.level`, `compression.lz4.level`,
    /// `compression.zstd.level`. 0 for codecs without one.
    pub fn default_level(self) -> i32 {
        match self {
            Self::None | Self::Snappy => 0,
            Self::Gzip => -1,
            Self::Lz4 => 9,
            Self::Zstd => 3,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why data could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// The compressed data are damaged or cut off.
    Corrupt(Codec),
    /// More than `limit` bytes would come out.
    TooLarge { limit: usize },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(codec) => write!(f, "the {codec} data are damaged"),
            Self::TooLarge { limit } => write!(f, "the data have more than {limit} bytes when decompressed"),
        }
    }
}

impl std::error::Error for CodecError {}

/// Compresses `bytes` and appends the outcome to `out`. `level` as Kafka's settings count them; out of range ones are
/// moved into it, and [`Codec::default_level`] is the default.
pub fn compress(codec: Codec, level: i32, bytes: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) {
    let contexts = &mut scratch.contexts;
    match codec {
        Codec::None => out.extend_from_slice(bytes),
        Codec::Gzip => gzip::compress(&mut contexts.gzip, level, bytes, out),
        Codec::Snappy => snappy::compress(&mut contexts.snappy, bytes, out),
        Codec::Lz4 => lz4::compress(&mut contexts.lz4, bytes, out),
        Codec::Zstd => zstd::compress(&mut contexts.zstd, level, bytes, out),
    }
}

/// Decompresses `bytes` and appends at most `limit` bytes to `out`. After an error `out` holds what it held before.
pub fn decompress(
    codec: Codec,
    bytes: &[u8],
    limit: usize,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    if codec == Codec::None {
        if bytes.len() > limit {
            return Err(CodecError::TooLarge { limit });
        }
        out.extend_from_slice(bytes);
        return Ok(());
    }
    let before = out.len();
    let mut window = Window::over(std::mem::take(out));
    let mut source = Source::new(codec, bytes, &mut scratch.contexts);
    let result = source.drain(&mut window, limit);
    scratch.contexts.trim();
    *out = window.into_vec();
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// Decompresses `bytes` into the scratch's own buffer.
pub(super) fn decompress_whole<'s>(
    codec: Codec,
    bytes: &[u8],
    limit: usize,
    scratch: &'s mut Scratch,
) -> Result<&'s [u8], CodecError> {
    scratch.trim();
    let mut whole = std::mem::take(&mut scratch.whole);
    whole.clear();
    let result = decompress(codec, bytes, limit, scratch, &mut whole);
    scratch.whole = whole;
    result.map(|()| scratch.whole.as_slice())
}

/// Codec contexts worth keeping. Each comes to be when first needed.
#[derive(Default)]
pub(super) struct Contexts {
    gzip: gzip::Contexts,
    snappy: snappy::Contexts,
    lz4: lz4::Contexts,
    zstd: zstd::Contexts,
}

impl Contexts {
    pub(super) fn trim(&mut self) {
        self.zstd.trim();
    }

    #[cfg(test)]
    pub(super) fn zstd_bytes(&self) -> usize {
        self.zstd.bytes()
    }
}

/// Compressed data being read, in pieces appended to a window.
enum Source<'p, 's> {
    Gzip(gzip::Reader<'p, 's>),
    Snappy(snappy::Reader<'p>),
    Lz4(lz4::Reader<'p>),
    Zstd(zstd::Reader<'p, 's>),
    Nothing,
}

impl<'p, 's> Source<'p, 's> {
    fn new(codec: Codec, bytes: &'p [u8], contexts: &'s mut Contexts) -> Self {
        match codec {
            Codec::None => Self::Nothing,
            Codec::Gzip => Self::Gzip(gzip::Reader::new(bytes, &mut contexts.gzip)),
            Codec::Snappy => Self::Snappy(snappy::Reader::new(bytes)),
            Codec::Lz4 => Self::Lz4(lz4::Reader::new(bytes)),
            Codec::Zstd => Self::Zstd(zstd::Reader::new(bytes, &mut contexts.zstd)),
        }
    }

    /// Appends the next piece, at most `most` bytes and one, to the window: the one tells that there is more than
    /// may be. Returns how many bytes; 0 at the end of the data.
    fn read(&mut self, window: &mut Window, most: usize) -> Result<usize, Fault> {
        match self {
            Self::Gzip(reader) => reader.read(window, most),
            Self::Snappy(reader) => reader.read(window, most),
            Self::Lz4(reader) => reader.read(window, most),
            Self::Zstd(reader) => reader.read(window, most),
            Self::Nothing => Ok(0),
        }
    }

    fn codec(&self) -> Codec {
        match self {
            Self::Gzip(_) => Codec::Gzip,
            Self::Snappy(_) => Codec::Snappy,
            Self::Lz4(_) => Codec::Lz4,
            Self::Zstd(_) => Codec::Zstd,
            Self::Nothing => Codec::None,
        }
    }

    fn drain(&mut self, window: &mut Window, limit: usize) -> Result<(), CodecError> {
        let mut total = 0;
        while self.next(window, &mut total, limit)? {}
        Ok(())
    }

    /// Reads one piece and counts it. False at the end.
    fn next(&mut self, window: &mut Window, total: &mut usize, limit: usize) -> Result<bool, CodecError> {
        let most = limit - *total;
        match self.read(window, most) {
            Ok(0) => Ok(false),
            Ok(got) if got <= most => {
                *total += got;
                Ok(true)
            }
            Ok(_) | Err(Fault::TooLarge) => Err(CodecError::TooLarge { limit }),
            Err(Fault::Corrupt) => Err(CodecError::Corrupt(self.codec())),
        }
    }
}

/// Why a reader stops before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Corrupt,
    TooLarge,
}

/// Compressed data read through the scratch's window: what is consumed is forgotten.
pub(super) struct Stream<'p, 's> {
    window: &'s mut Window,
    source: Source<'p, 's>,
    total: usize,
    limit: usize,
}

impl<'p, 's> Stream<'p, 's> {
    /// The user trims the scratch afterwards.
    pub(super) fn new(codec: Codec, bytes: &'p [u8], limit: usize, scratch: &'s mut Scratch) -> Self {
        scratch.window.clear();
        let Scratch { window, contexts, .. } = scratch;
        Self { window, source: Source::new(codec, bytes, contexts), total: 0, limit }
    }

    /// Decompressed bytes not yet consumed.
    #[inline]
    pub(super) fn available(&self) -> &[u8] {
        self.window.bytes()
    }

    #[inline]
    pub(super) fn consume(&mut self, bytes: usize) {
        self.window.consume(bytes);
    }

    /// Makes more available. False at the end of the data.
    pub(super) fn refill(&mut self) -> Result<bool, CodecError> {
        self.source.next(self.window, &mut self.total, self.limit)
    }

    /// Bytes decompressed so far.
    pub(super) fn total(&self) -> usize {
        self.total
    }
}
