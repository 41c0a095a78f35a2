//! A buffer that fills at the back and is consumed at the front.

/// `buf[start..end]` is what is there; `buf` beyond `end` is room that was zeroed once and stays so long as it is kept.
#[derive(Default)]
pub(in crate::records) struct Window {
    buf: Vec<u8>,
    start: usize,
    end: usize,
    #[cfg(test)]
    peak: usize,
}

impl Window {
    /// A window that appends to `buf`.
    pub(super) fn over(buf: Vec<u8>) -> Self {
        Self { end: buf.len(), buf, ..Self::default() }
    }

    pub(super) fn into_vec(mut self) -> Vec<u8> {
        self.buf.truncate(self.end);
        self.buf
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// `bytes` must not be more than are there.
    #[inline]
    pub(super) fn consume(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.end - self.start);
        self.start += bytes;
    }

    /// `bytes` of room behind what is there; what was consumed makes way.
    pub(super) fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.start > 0 {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buf.len() < self.end + bytes {
            self.buf.resize(self.end + bytes, 0);
        }
        #[cfg(test)]
        {
            self.peak = self.peak.max(self.buf.capacity());
        }
        &mut self.buf[self.end..self.end + bytes]
    }

    /// The first `bytes` of the room now count as there.
    pub(super) fn filled(&mut self, bytes: usize) {
        debug_assert!(self.end + bytes <= self.buf.len());
        self.end += bytes;
    }

    /// The most bytes it has held room for.
    #[cfg(test)]
    pub(in crate::records) fn peak(&self) -> usize {
        self.peak
    }

    pub(in crate::records) fn trim(&mut self, keep: usize) {
        if self.buf.capacity() > keep {
            self.clear();
            self.buf = Vec::new();
        }
    }
}
