//! A sorted map that shares what did not change: a copy costs one reference count, a change after a copy one chunk and
//! the list of chunks.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Entries in one chunk at most. A map of 100,000 topics has about a thousand chunks.
const CHUNK_MAX: usize = 128;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

#[derive(Clone)]
pub(crate) struct ChunkMap<K, V> {
    /// None is empty, and their keys rise from the first to the last.
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> Default for ChunkMap<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::new(Vec::new()), len: 0 }
    }
}

impl<K, V> ChunkMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// In the order of the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
    }

    /// The value whose key compares as equal.
    pub(crate) fn get_by(&self, order: impl Fn(&K) -> Ordering) -> Option<&V> {
        let chunk = self.chunks.partition_point(|chunk| order(&chunk[0].0).is_le()).checked_sub(1)?;
        let chunk = &self.chunks[chunk];
        chunk.binary_search_by(|(key, _)| order(key)).ok().map(|index| &chunk[index].1)
    }
}

impl<K: Ord, V> ChunkMap<K, V> {
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_by(|other| other.borrow().cmp(key))
    }

    /// In the order of the keys, beginning with the first that is not below `key`.
    pub(crate) fn iter_from<Q: Ord + ?Sized>(&self, key: &Q) -> impl Iterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        let first = self.chunk_of(key);
        let skip = self.chunks.get(first).map_or(0, |chunk| chunk.partition_point(|(other, _)| other.borrow() < key));
        let rest = self.chunks.get(first..).unwrap_or_default();
        rest.iter().flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value))).skip(skip)
    }

    /// Index of the chunk that holds `key` or would.
    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.chunks.partition_point(|chunk| chunk[0].0.borrow() <= key).saturating_sub(1)
    }
}

impl<K: Ord + Clone, V: Clone> ChunkMap<K, V> {
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.chunk_of(key);
        let chunk = self.chunks.get(at)?;
        let index = chunk.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
        Some(&mut Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[at])[index].1)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at = self.chunk_of(&key);
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(chunk) = chunks.get_mut(at) else {
            chunks.push(Arc::new(vec![(key, value)]));
            self.len = 1;
            return None;
        };
        let chunk = Arc::make_mut(chunk);
        match chunk.binary_search_by(|(other, _)| other.cmp(&key)) {
            Ok(index) => return Some(std::mem::replace(&mut chunk[index].1, value)),
            Err(index) => chunk.insert(index, (key, value)),
        }
        self.len += 1;
        if chunk.len() > CHUNK_MAX {
            let upper = chunk.split_off(CHUNK_MAX / 2);
            chunks.insert(at + 1, Arc::new(upper));
        }
        None
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.chunk_of(key);
        let index = self.chunks.get(at)?.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut chunks[at]);
        let (_, value) = chunk.remove(index);
        let left = chunk.len();
        self.len -= 1;
        if left == 0 {
            chunks.remove(at);
        } else if left < CHUNK_MAX / 4 && chunks.get(at + 1).is_some_and(|next| left + next.len() <= CHUNK_MAX / 2) {
            let next = chunks.remove(at + 1);
            Arc::make_mut(&mut chunks[at]).extend(next.iter().cloned());
        }
        Some(value)
    }
}

impl<K: Ord, V: PartialEq> ChunkMap<K, V> {
    /// Tells what differs: the key, the value in `old`, the value in `self`. Chunks that both share are skipped.
    pub(crate) fn diff<'a>(&'a self, old: &'a Self, mut tell: impl FnMut(&'a K, Option<&'a V>, Option<&'a V>)) {
        let (mut before, mut after) = (Walk::new(old), Walk::new(self));
        loop {
            while before.skip_shared(&after) {
                before.next_chunk();
                after.next_chunk();
            }
            match (before.peek(), after.peek()) {
                (None, None) => return,
                (Some((key, value)), None) => {
                    tell(key, Some(value), None);
                    before.advance();
                }
                (None, Some((key, value))) => {
                    tell(key, None, Some(value));
                    after.advance();
                }
                (Some((key, was)), Some((new_key, is))) => match key.cmp(new_key) {
                    Ordering::Less => {
                        tell(key, Some(was), None);
                        before.advance();
                    }
                    Ordering::Greater => {
                        tell(new_key, None, Some(is));
                        after.advance();
                    }
                    Ordering::Equal => {
                        if was != is {
                            tell(key, Some(was), Some(is));
                        }
                        before.advance();
                        after.advance();
                    }
                },
            }
        }
    }
}

struct Walk<'a, K, V> {
    map: &'a ChunkMap<K, V>,
    chunk: usize,
    index: usize,
}

impl<'a, K, V> Walk<'a, K, V> {
    fn new(map: &'a ChunkMap<K, V>) -> Self {
        Self { map, chunk: 0, index: 0 }
    }

    /// True if both stand at the start of one and the same chunk.
    fn skip_shared(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (self.map.chunks.get(self.chunk), other.map.chunks.get(other.chunk)) else {
            return false;
        };
        self.index == 0 && other.index == 0 && Arc::ptr_eq(a, b)
    }

    fn next_chunk(&mut self) {
        self.chunk += 1;
        self.index = 0;
    }

    fn peek(&self) -> Option<(&'a K, &'a V)> {
        let (key, value) = &self.map.chunks.get(self.chunk)?[self.index];
        Some((key, value))
    }

    fn advance(&mut self) {
        self.index += 1;
        if self.index == self.map.chunks[self.chunk].len() {
            self.next_chunk();
        }
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for ChunkMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && (Arc::ptr_eq(&self.chunks, &other.chunks) || self.iter().eq(other.iter()))
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for ChunkMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(crate::testing::cases(64))]

        #[test]
        fn agrees_with_a_tree(steps in prop::collection::vec((any::<bool>(), 0..600u32, 0..9u32), 0..1500)) {
            let (mut map, mut tree) = (ChunkMap::default(), BTreeMap::new());
            let (mut old_map, mut old_tree) = (map.clone(), tree.clone());
            for (index, (insert, key, value)) in steps.into_iter().enumerate() {
                if insert || index < 700 {
                    prop_assert_eq!(map.insert(key, value), tree.insert(key, value));
                } else {
                    prop_assert_eq!(map.remove(&key), tree.remove(&key));
                }
                if let (Some(a), Some(b)) = (map.get_mut(&(key / 2)), tree.get_mut(&(key / 2))) {
                    *a += 1;
                    *b += 1;
                }
                prop_assert_eq!(map.get(&key), tree.get(&key));
                if index % 100 == 0 {
                    prop_assert!(map.iter().eq(tree.iter()) && old_map.iter().eq(old_tree.iter()));
                    prop_assert!(map.iter_from(&key).eq(tree.range(key..)));
                    let mut rebuilt = old_tree.clone();
                    map.diff(&old_map, |key, was, is| {
                        assert_eq!(rebuilt.get(key), was);
                        match is { Some(value) => rebuilt.insert(*key, *value), None => rebuilt.remove(key) };
                    });
                    prop_assert_eq!(&rebuilt, &tree);
                    (old_map, old_tree) = (map.clone(), tree.clone());
                }
            }
            prop_assert_eq!(map.len(), tree.len());
            prop_assert!(map.chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK_MAX));
        }
    }
}
