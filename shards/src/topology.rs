//! Which cores this process may use.

/// Picks the cores for `count` shards (default: one per available core).
pub fn choose(count: Option<usize>) -> Vec<usize> {
    (0..count.unwrap_or(1)).collect()
}
