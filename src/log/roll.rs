//! When a new segment is begun (Kafka's `LogSegment.shouldRoll`).

use super::Log;
use super::index::{OffsetIndex, TimeIndex};
use crate::config::topic::TopicConfig;

/// Why a new segment is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RollCause {
    Size,
    Time,
    OffsetIndexFull,
    TimeIndexFull,
    /// The batch ends more than 2^31-1 offsets behind the segment's base.
    OffsetOverflow,
}

/// What the decision to roll is made from. Sizes are bytes, times milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RollParams {
    pub(crate) base_offset: i64,
    pub(crate) size: u64,
    pub(crate) first_timestamp: Option<i64>,
    pub(crate) created_ms: Option<i64>,
    pub(crate) offset_index_full: bool,
    pub(crate) time_index_full: bool,
    pub(crate) jitter_ms: i64,
    pub(crate) batch_bytes: u64,
    pub(crate) batch_last_offset: i64,
    pub(crate) batch_max_timestamp: i64,
    pub(crate) now_ms: i64,
}

/// Kafka's `LogSegment.shouldRoll`. An empty segment takes any batch.
pub(crate) fn roll_cause(segment: &RollParams, config: &TopicConfig) -> Option<RollCause> {
    if segment.size == 0 {
        return None;
    }
    // Positions in the index are 31 bits.
    let segment_bytes = u64::from(config.segment_bytes).min(i32::MAX as u64);
    if segment.size.saturating_add(segment.batch_bytes) > segment_bytes {
        return Some(RollCause::Size);
    }
    // Counted between timestamps of records where there are any, so that old records written today don't roll at once.
    let waited_ms = match segment.first_timestamp {
        Some(first) if first >= 0 => segment.batch_max_timestamp.saturating_sub(first),
        _ => segment.now_ms.saturating_sub(segment.created_ms.unwrap_or(segment.now_ms)),
    };
    if waited_ms > config.segment_ms_max().saturating_sub(segment.jitter_ms) {
        return Some(RollCause::Time);
    }
    if segment.offset_index_full {
        return Some(RollCause::OffsetIndexFull);
    }
    if segment.time_index_full {
        return Some(RollCause::TimeIndexFull);
    }
    let overflow = segment.batch_last_offset.saturating_sub(segment.base_offset) > i64::from(i32::MAX);
    overflow.then_some(RollCause::OffsetOverflow)
}

/// How much earlier than `segment.ms` a segment is rolled, so that segments of many partitions don't roll together:
/// spread by the name of the directory and the segment, the same after a restart.
fn jitter_ms(dir: &std::path::Path, base_offset: i64, config: &TopicConfig) -> i64 {
    let most = config.segment_jitter_ms.min(config.segment_ms);
    if most <= 0 {
        return 0;
    }
    // FNV-1a.
    let bytes = dir.as_os_str().as_encoded_bytes().iter().copied().chain(base_offset.to_be_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    (hash % most as u64) as i64
}

impl Log {
    pub(super) fn roll_params(
        &self,
        bytes: usize,
        batch_last_offset: i64,
        batch_max_timestamp: i64,
        now_ms: i64,
    ) -> RollParams {
        let (offsets, times): (&OffsetIndex, &TimeIndex) = self.active.indexes();
        let index_bytes = self.config.segment_index_bytes;
        RollParams {
            base_offset: self.active.base(),
            size: self.active.size(),
            first_timestamp: self.active.first_timestamp(),
            created_ms: self.active.created_ms(),
            offset_index_full: offsets.is_full(index_bytes),
            time_index_full: times.is_full(index_bytes),
            jitter_ms: jitter_ms(&self.dir, self.active.base(), &self.config),
            batch_bytes: bytes as u64,
            batch_last_offset,
            batch_max_timestamp,
            now_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: RollParams = RollParams {
        base_offset: 100,
        size: 1000,
        first_timestamp: Some(5000),
        created_ms: Some(90_000),
        offset_index_full: false,
        time_index_full: false,
        jitter_ms: 0,
        batch_bytes: 100,
        batch_last_offset: 200,
        batch_max_timestamp: 5000,
        now_ms: 90_000,
    };

    fn config() -> TopicConfig {
        TopicConfig { segment_bytes: 1100, segment_ms: 1000, ..TopicConfig::default() }
    }

    fn cause(params: RollParams) -> Option<RollCause> {
        roll_cause(&params, &config())
    }

    #[test]
    fn a_segment_is_rolled_for_five_reasons() {
        assert_eq!(cause(FRESH), None);
        assert_eq!(cause(RollParams { batch_bytes: 101, ..FRESH }), Some(RollCause::Size));
        assert_eq!(cause(RollParams { batch_max_timestamp: 6000, ..FRESH }), None);
        assert_eq!(cause(RollParams { batch_max_timestamp: 6001, ..FRESH }), Some(RollCause::Time));
        assert_eq!(cause(RollParams { batch_max_timestamp: 6000, jitter_ms: 1, ..FRESH }), Some(RollCause::Time));
        assert_eq!(cause(RollParams { offset_index_full: true, ..FRESH }), Some(RollCause::OffsetIndexFull));
        assert_eq!(cause(RollParams { time_index_full: true, ..FRESH }), Some(RollCause::TimeIndexFull));
        let far = 100 + i64::from(i32::MAX);
        assert_eq!(cause(RollParams { batch_last_offset: far, ..FRESH }), None);
        assert_eq!(cause(RollParams { batch_last_offset: far + 1, ..FRESH }), Some(RollCause::OffsetOverflow));
    }

    #[test]
    fn without_timestamps_the_wall_clock_counts() {
        let stampless = RollParams { first_timestamp: Some(-1), batch_max_timestamp: -1, ..FRESH };
        assert_eq!(cause(RollParams { now_ms: 91_000, ..stampless }), None);
        assert_eq!(cause(RollParams { now_ms: 91_001, ..stampless }), Some(RollCause::Time));
        assert_eq!(cause(RollParams { now_ms: i64::MAX, ..FRESH }), None, "records with timestamps don't look at it");
    }

    #[test]
    fn an_empty_segment_takes_anything() {
        let everything = RollParams { size: 0, batch_bytes: 9999, offset_index_full: true, now_ms: i64::MAX, ..FRESH };
        assert_eq!(cause(everything), None);
    }

    #[test]
    fn jitter_stays_below_its_bound() {
        let config = TopicConfig { segment_jitter_ms: 100, segment_ms: 1000, ..TopicConfig::default() };
        let jitters: Vec<i64> = (0..50).map(|base| jitter_ms("/data/t-0".as_ref(), base, &config)).collect();
        assert!(jitters.iter().all(|jitter| (0..100).contains(jitter)));
        assert!(jitters.iter().any(|jitter| *jitter != jitters[0]));
        assert_eq!(jitter_ms("/data/t-0".as_ref(), 0, &TopicConfig::default()), 0);
    }
}
