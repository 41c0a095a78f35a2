//! Buffers and codec contexts that outlive one batch.

use super::codec::{Contexts, Window};

/// Above this a buffer is given back after use, so that one large batch does not hold memory for good.
const KEEP_BYTES: usize = 1 << 20;

/// What decompressing and compressing need and is worth keeping between batches: one per shard. Empty until used.
#[derive(Default)]
pub struct Scratch {
    pub(super) window: Window,
    pub(super) whole: Vec<u8>,
    pub(super) contexts: Contexts,
}

impl Scratch {
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives back what grew beyond what is worth keeping.
    pub(super) fn trim(&mut self) {
        self.window.trim(KEEP_BYTES);
        if self.whole.capacity() > KEEP_BYTES {
            self.whole = Vec::new();
        }
        self.contexts.trim();
    }

    /// Bytes that libzstd's contexts hold.
    #[cfg(test)]
    pub(super) fn contexts_bytes(&self) -> usize {
        self.contexts.zstd_bytes()
    }
}
