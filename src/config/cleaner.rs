//! How logs are cleaned: the `log.cleaner.*` settings that speak of the work and not of a topic. Most can be changed while
//! the broker runs, so they are resolved anew for each round.

use super::Layers;

/// Resolved. Memory and rate are the whole broker's, to be shared by its shards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleanerConfig {
    pub enable: bool,
    pub backoff_ms: u64,
    /// Memory for the maps of keys.
    pub dedupe_buffer_bytes: u64,
    /// How full a map may become, above 0 and below 1.
    pub load_factor: f64,
    /// Memory for what is read and written.
    pub io_buffer_bytes: u64,
    pub io_bytes_per_second_max: f64,
}

impl CleanerConfig {
    pub fn of(layers: &Layers<'_>) -> Self {
        let size = |name: &str| layers.broker(name).map_or(0, |value| value.number()).max(0) as u64;
        let double = |name: &str| layers.broker(name).map_or(0.0, |value| value.double());
        Self {
            enable: layers.broker("log.cleaner.enable").is_none_or(|value| value.boolean()),
            backoff_ms: size("log.cleaner.backoff.ms"),
            dedupe_buffer_bytes: size("log.cleaner.dedupe.buffer.size"),
            load_factor: double("log.cleaner.io.buffer.load.factor"),
            io_buffer_bytes: size("log.cleaner.io.buffer.size"),
            io_bytes_per_second_max: double("log.cleaner.io.max.bytes.per.second"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn kafkas_defaults_hold_until_somebody_says_otherwise() {
        let none = BTreeMap::new();
        let of = |cluster| CleanerConfig::of(&Layers { fixed: &none, cluster, node: &none });
        let standard = CleanerConfig {
            enable: true,
            backoff_ms: 15_000,
            dedupe_buffer_bytes: 134_217_728,
            load_factor: 0.9,
            io_buffer_bytes: 524_288,
            io_bytes_per_second_max: f64::MAX,
        };
        assert_eq!(of(&none), standard);
        let said = [("log.cleaner.backoff.ms", "7"), ("log.cleaner.io.max.bytes.per.second", "1.5E6")];
        let said = said.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(of(&said), CleanerConfig { backoff_ms: 7, io_bytes_per_second_max: 1_500_000.0, ..standard });
    }
}
