//! zstd through libzstd's streaming interface; its contexts are the expensive part and are kept.

use zstd_safe::{CCtx, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::{CHUNK_BYTES, Fault, Window};

/// A frame may ask for a window of 2^27 bytes, the most that any level writes and what Java reads. The memory comes into
/// being only as output fills it, and the output is bounded by the caller.
const WINDOW_LOG_MAX: u32 = 27;
/// A context that grew beyond this is not kept.
const CONTEXT_BYTES_MAX: usize = 16 << 20;

#[derive(Default)]
pub(super) struct Contexts {
    decode: Option<DCtx<'static>>,
    encode: Option<CCtx<'static>>,
}

impl Contexts {
    pub(super) fn trim(&mut self) {
        self.decode.take_if(|context| context.sizeof() > CONTEXT_BYTES_MAX);
        self.encode.take_if(|context| context.sizeof() > CONTEXT_BYTES_MAX);
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.decode.as_ref().map_or(0, DCtx::sizeof) + self.encode.as_ref().map_or(0, CCtx::sizeof)
    }
}

pub(super) struct Reader<'p, 's> {
    input: InBuffer<'p>,
    size: usize,
    context: &'s mut DCtx<'static>,
    /// Every frame that was begun has ended.
    whole: bool,
    ready: bool,
}

impl<'p, 's> Reader<'p, 's> {
    pub(super) fn new(bytes: &'p [u8], contexts: &'s mut Contexts) -> Self {
        let context = contexts.decode.get_or_insert_with(DCtx::create);
        let ready = context.reset(ResetDirective::SessionOnly).is_ok()
            && context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).is_ok();
        Self { input: InBuffer::around(bytes), size: bytes.len(), context, whole: false, ready }
    }

    pub(super) fn read(&mut self, window: &mut Window, most: usize) -> Result<usize, Fault> {
        if !self.ready {
            return Err(Fault::Corrupt);
        }
        let space = CHUNK_BYTES.min(most.saturating_add(1));
        loop {
            if self.whole && self.input.pos() == self.size {
                return Ok(0);
            }
            let before = self.input.pos();
            let mut output = OutBuffer::around(window.room(space));
            let hint = self.context.decompress_stream(&mut output, &mut self.input).map_err(|_| Fault::Corrupt)?;
            let produced = output.pos();
            self.whole = hint == 0;
            if produced > 0 {
                window.filled(produced);
                return Ok(produced);
            }
            if self.input.pos() == before {
                return Err(Fault::Corrupt);
            }
        }
    }
}

pub(super) fn compress(contexts: &mut Contexts, level: i32, bytes: &[u8], out: &mut Vec<u8>) {
    let context = contexts.encode.get_or_insert_with(CCtx::create);
    let level = level.clamp(zstd_safe::min_c_level(), zstd_safe::max_c_level());
    let before = out.len();
    out.resize(before + zstd_safe::compress_bound(bytes.len()), 0);
    match context.compress(&mut out[before..], bytes, level) {
        Ok(size) => out.truncate(before + size),
        // The room is what libzstd says it may need; what is left is no memory for the context.
        Err(code) => panic!("zstd cannot compress: {}", zstd_safe::get_error_name(code)),
    }
}
