//! Cuts a stream of answers into frames without keeping their bodies.

use crate::failure::Failure;

/// No answer of a sane broker to our requests is longer.
const FRAME_SIZE_MAX: usize = 256 << 20;

/// Collects the first `head_max` bytes of each frame; what follows is counted and dropped.
pub(crate) struct Replies {
    head_max: usize,
    /// Size prefix and head of a frame that came in pieces.
    partial: Vec<u8>,
    /// Bytes of that frame still to come after what `partial` holds or has dropped.
    to_drop: usize,
}

impl Replies {
    /// `head_max`: bytes after the size prefix that `on_reply` wants to see.
    pub(crate) fn new(head_max: usize) -> Replies {
        Replies { head_max, partial: Vec::with_capacity(4 + head_max), to_drop: 0 }
    }

    /// Calls `on_reply(head, frame_size)` for every frame that ends inside `bytes`, in order. The frame size is without its prefix.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut on_reply: impl FnMut(&[u8], usize) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        while !bytes.is_empty() {
            if self.partial.is_empty() && bytes.len() >= 4 {
                let size = frame_size(bytes)?;
                if bytes.len() >= 4 + size {
                    on_reply(&bytes[4..4 + size.min(self.head_max)], size)?;
                    bytes = &bytes[4 + size..];
                    continue;
                }
            }
            bytes = self.take(bytes)?;
            if self.partial.len() >= 4 && self.to_drop == 0 {
                let size = frame_size(&self.partial)?;
                if self.partial.len() == 4 + size.min(self.head_max) {
                    on_reply(&self.partial[4..], size)?;
                    self.partial.clear();
                }
            }
        }
        Ok(())
    }

    /// Takes what belongs to the broken frame; what is left starts nothing or the next piece.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Failure> {
        if self.to_drop > 0 {
            let dropped = self.to_drop.min(bytes.len());
            self.to_drop -= dropped;
            return Ok(&bytes[dropped..]);
        }
        let want = if self.partial.len() < 4 { 4 } else { 4 + frame_size(&self.partial)?.min(self.head_max) };
        let taken = (want - self.partial.len()).min(bytes.len());
        self.partial.extend_from_slice(&bytes[..taken]);
        if want > 4 && self.partial.len() == want {
            self.to_drop = frame_size(&self.partial)? + 4 - want;
        }
        Ok(&bytes[taken..])
    }
}

/// The size a frame announces in its first four bytes.
pub(crate) fn frame_size(bytes: &[u8]) -> Result<usize, Failure> {
    let size = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    usize::try_from(size)
        .ok()
        .filter(|size| (4..=FRAME_SIZE_MAX).contains(size))
        .ok_or(Failure::Malformed("frame size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(sizes: &[usize]) -> Vec<u8> {
        let frame = |(n, size): (usize, &usize)| {
            let mut frame = (*size as i32).to_be_bytes().to_vec();
            frame.extend((0..*size).map(|i| (i + n) as u8));
            frame
        };
        sizes.iter().enumerate().flat_map(frame).collect()
    }

    #[test]
    fn frames_are_the_same_however_they_are_cut() {
        let sizes = [4, 100, 5, 17, 16, 1000, 4];
        let bytes = stream(&sizes);
        for piece in [1, 2, 3, 4, 5, 7, 16, 20, 21, 64, 1003, bytes.len()] {
            let mut replies = Replies::new(16);
            let mut seen = Vec::new();
            for chunk in bytes.chunks(piece) {
                let on_reply = |head: &[u8], size: usize| {
                    let n = seen.len();
                    assert!(
                        head.iter().enumerate().all(|(i, b)| *b == (i + n) as u8),
                        "frame {n} in pieces of {piece}"
                    );
                    assert_eq!(head.len(), size.min(16));
                    seen.push(size);
                    Ok(())
                };
                replies.feed(chunk, on_reply).unwrap();
            }
            assert_eq!(seen, sizes, "pieces of {piece}");
        }
    }

    #[test]
    fn a_mad_size_is_refused() {
        let mut replies = Replies::new(16);
        assert!(replies.feed(&[0xff; 8], |_, _| Ok(())).is_err());
        assert!(Replies::new(16).feed(&[0, 0, 0, 3, 0, 0, 0], |_, _| Ok(())).is_err());
    }
}
