//! The last offset of each key, without the keys (Kafka's `SkimpyOffsetMap`).

use std::hash::{BuildHasher, Hasher, RandomState};

/// Bytes of one slot: 16 of hash, 8 of offset.
pub(crate) const SLOT_BYTES: usize = 24;

/// Key to last offset, in memory that is fixed when it is made. A key stands as 128 bits of hash under two secret keys of
/// this process: nobody can make two keys that are taken for one, and by chance it does not happen.
///
/// It holds offsets of at least 0; linear probing, one slot always free.
#[derive(Debug)]
pub(crate) struct OffsetMap {
    /// Two halves of the hash, and offset + 1; 0 there is a free slot.
    slots: Vec<[u64; 3]>,
    hashers: [RandomState; 2],
    len: usize,
    len_max: usize,
}

impl OffsetMap {
    /// For up to `keys` keys, or as many as fit into `bytes` filled to `load_factor`; never for less than one.
    pub(crate) fn new(keys: u64, bytes: u64, load_factor: f64) -> Self {
        let load_factor = if load_factor.is_finite() { load_factor.clamp(0.01, 0.99) } else { 0.9 };
        let slots_max = (bytes / SLOT_BYTES as u64).max(2);
        let slots = ((keys as f64 / load_factor).ceil() as u64).saturating_add(1).clamp(2, slots_max) as usize;
        let len_max = ((slots as f64 * load_factor) as usize).clamp(1, slots - 1);
        let hashers = [RandomState::new(), RandomState::new()];
        Self { slots: vec![[0; 3]; slots], hashers, len: 0, len_max }
    }

    /// Notes that `key` stands at `offset`, which is above all before. False: it did not fit, nothing was noted.
    pub(crate) fn put(&mut self, key: &[u8], offset: i64) -> bool {
        let [a, b] = self.hash(key);
        let slot = self.slot_of(a, b);
        if self.slots[slot][2] == 0 {
            if self.len == self.len_max {
                return false;
            }
            self.len += 1;
        }
        self.slots[slot] = [a, b, offset as u64 + 1];
        true
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<i64> {
        let [a, b] = self.hash(key);
        let found = self.slots[self.slot_of(a, b)][2];
        found.checked_sub(1).map(|offset| offset as i64)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [&self.hashers[0], &self.hashers[1]].map(|state| {
            let mut hasher = state.build_hasher();
            hasher.write(key);
            hasher.finish()
        })
    }

    /// The slot of the key, or the free one where it would go.
    fn slot_of(&self, a: u64, b: u64) -> usize {
        let count = self.slots.len();
        let mut at = ((u128::from(a) * count as u128) >> 64) as usize;
        while self.slots[at][2] != 0 && (self.slots[at][0] != a || self.slots[at][1] != b) {
            at = if at + 1 == count { 0 } else { at + 1 };
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_each_key_comes_back() {
        let mut map = OffsetMap::new(1000, u64::MAX, 0.9);
        for offset in 0..3000_i64 {
            assert!(map.put(&(offset % 1000).to_be_bytes(), offset));
        }
        assert_eq!(map.len(), 1000);
        for key in 0..1000_i64 {
            assert_eq!(map.get(&key.to_be_bytes()), Some(2000 + key));
        }
        assert_eq!(map.get(b"another"), None);
        assert_eq!(map.get(b""), None);
        assert!(map.put(b"", 0));
        assert_eq!(map.get(b""), Some(0));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_known_keys_still_fit() {
        let mut map = OffsetMap::new(1 << 40, 100 * SLOT_BYTES as u64, 0.5);
        for key in 0..50_i64 {
            assert!(map.put(&key.to_be_bytes(), key));
        }
        assert!(!map.put(b"one more", 50));
        assert!(map.put(&7_i64.to_be_bytes(), 51));
        assert_eq!((map.get(&7_i64.to_be_bytes()), map.get(b"one more")), (Some(51), None));
    }

    #[test]
    fn there_is_room_for_one_key_whatever_was_asked_for() {
        for (keys, bytes, load_factor) in [(0, 0, 0.9), (5, 1, 0.0), (1, 48, 7.5), (9, 48, f64::NAN)] {
            let mut map = OffsetMap::new(keys, bytes, load_factor);
            assert_eq!(map.get(b"key"), None);
            assert!(map.put(b"key", i64::MAX - 1), "{keys} {bytes} {load_factor}");
            assert_eq!(map.get(b"key"), Some(i64::MAX - 1));
        }
    }
}
