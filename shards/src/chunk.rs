//! A run of received bytes, shared on one core without atomics.

use std::fmt;
use std::ops::{Deref, Range};
use std::rc::Rc;

use crate::buffers::Buffer;

/// Bytes that arrived together. Cloning and slicing share the bytes; the count of owners is not atomic, so a chunk never
/// leaves its shard. A chunk may sit in one of the shard's receive buffers, which are few: copy what must be kept long.
#[derive(Clone)]
pub struct Chunk {
    owner: Owner,
    start: usize,
    len: usize,
}

#[derive(Clone)]
enum Owner {
    Vec(Rc<Vec<u8>>),
    Buffer(Rc<Buffer>),
}

impl Chunk {
    pub(crate) fn from_buffer(buffer: Buffer) -> Self {
        let len = buffer.as_slice().len();
        Self { owner: Owner::Buffer(Rc::new(buffer)), start: 0, len }
    }

    /// The same bytes, a part of them. Panics when `range` reaches beyond the end, as a slice would.
    pub fn slice(&self, range: Range<usize>) -> Chunk {
        assert!(range.start <= range.end && range.end <= self.len, "slice {range:?} of a chunk of {}", self.len);
        Chunk { owner: self.owner.clone(), start: self.start + range.start, len: range.end - range.start }
    }

    /// The bytes as a vector: moved when this chunk is the only owner of a whole vector's front, else copied.
    pub fn into_vec(self) -> Vec<u8> {
        match self.owner {
            Owner::Vec(vec) if self.start == 0 => match Rc::try_unwrap(vec) {
                Ok(mut vec) => {
                    vec.truncate(self.len);
                    vec
                }
                Err(shared) => shared[..self.len].to_vec(),
            },
            Owner::Vec(vec) => vec[self.start..self.start + self.len].to_vec(),
            Owner::Buffer(buffer) => buffer.as_slice()[self.start..self.start + self.len].to_vec(),
        }
    }

    /// Whether the bytes occupy one of the shard's few receive buffers (256 by default); keeping many such chunks slows receiving.
    pub fn is_borrowed(&self) -> bool {
        matches!(self.owner, Owner::Buffer(_))
    }
}

impl Deref for Chunk {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let whole = match &self.owner {
            Owner::Vec(vec) => vec.as_slice(),
            Owner::Buffer(buffer) => buffer.as_slice(),
        };
        &whole[self.start..self.start + self.len]
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(vec: Vec<u8>) -> Self {
        let len = vec.len();
        Self { owner: Owner::Vec(Rc::new(vec)), start: 0, len }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_share_and_the_last_owner_gets_the_vector_back() {
        let vec: Vec<u8> = (0..100).collect();
        let at = vec.as_ptr();
        let chunk = Chunk::from(vec);
        let part = chunk.slice(10..20);
        assert_eq!(&part[..], &(10..20).collect::<Vec<u8>>()[..]);
        assert_eq!(part.slice(2..4).into_vec(), vec![12, 13]);
        let front = chunk.slice(0..50);
        drop((chunk, part));
        let vec = front.into_vec();
        assert_eq!((vec.as_ptr(), vec.len()), (at, 50));
    }

    #[test]
    fn a_shared_chunk_is_copied() {
        let chunk = Chunk::from(vec![1, 2, 3]);
        let other = chunk.clone();
        assert_eq!(chunk.into_vec(), vec![1, 2, 3]);
        assert_eq!(&other[..], &[1, 2, 3]);
    }

    #[test]
    #[should_panic(expected = "slice 2..4")]
    fn a_slice_stays_inside() {
        let _ = Chunk::from(vec![1, 2, 3]).slice(2..4);
    }
}
