//! Offsets by time (Kafka's `UnifiedLog.fetchOffsetByTimestamp`, protocol items 59 and 60).

use wire::records::{Batch, Scratch, find_timestamp};

use super::Log;
use super::error::{Damage, ReadError};
use super::segment::Segment;
use super::walk::{DECOMPRESSED_BYTES_MAX, Located};

const STEP_BYTES: usize = 16 * 1024;

impl Log {
    /// Offset and timestamp of the first record at or behind the log start whose timestamp is at least `timestamp`
    /// (milliseconds). Only written records count; whether readers may see it is the caller's to check.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<(i64, i64)>, ReadError> {
        for (index, segment) in self.segments().enumerate() {
            if segment.max_timestamp().0 < timestamp || segment.next_offset() <= self.log_start {
                continue;
            }
            self.warm_up(index);
            if let Some(found) = self.first_at_or_after(segment, timestamp)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Offset and timestamp of the first record that has the largest timestamp of the log (KIP-734); `None` when no
    /// record has one.
    pub fn max_timestamp_offset(&self) -> Result<Option<(i64, i64)>, ReadError> {
        // The first of equals: `max_by_key` would give the last.
        let mut newest: Option<(usize, &Segment)> = None;
        for (index, segment) in self.segments().enumerate() {
            if newest.is_none_or(|(_, newest)| segment.max_timestamp().0 > newest.max_timestamp().0) {
                newest = Some((index, segment));
            }
        }
        let Some((index, segment)) = newest.filter(|(_, segment)| segment.max_timestamp().0 >= 0) else {
            return Ok(None);
        };
        self.warm_up(index);
        let (timestamp, last_offset) = segment.max_timestamp();
        let (from, _) = segment.indexes().0.around(last_offset).map_err(segment.index_error())?;
        self.search(segment, from, timestamp, i64::MIN)
    }

    fn first_at_or_after(&self, segment: &Segment, timestamp: i64) -> Result<Option<(i64, i64)>, ReadError> {
        let (offsets, times) = segment.indexes();
        // Up to the floor entry's offset no record is newer than the entry's timestamp.
        let floor = times.floor(timestamp).map_err(segment.index_error())?;
        let (from, _) = offsets.around(floor.max(self.log_start)).map_err(segment.index_error())?;
        match self.search(segment, from, timestamp, self.log_start) {
            Err(ReadError::Corrupt { .. }) if from > 0 => self.search(segment, 0, timestamp, self.log_start),
            found => found,
        }
    }

    fn search(
        &self,
        segment: &Segment,
        from: u64,
        timestamp: i64,
        from_offset: i64,
    ) -> Result<Option<(i64, i64)>, ReadError> {
        let mut walk = segment.walk(from, STEP_BYTES)?;
        while let Some(located) = walk.next()? {
            if located.header.max_timestamp < timestamp || located.header.last_offset() < from_offset {
                continue;
            }
            if let Some(found) = first_record(segment, &located, timestamp, from_offset)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// The first record of the batch that is new enough and not below `from_offset`.
fn first_record(
    segment: &Segment,
    located: &Located,
    timestamp: i64,
    from_offset: i64,
) -> Result<Option<(i64, i64)>, ReadError> {
    let mut bytes = Vec::new();
    segment.read(located, &mut bytes)?;
    let batch = Batch { header: located.header, bytes: &bytes };
    let mut scratch = Scratch::default();
    let damaged =
        |error| ReadError::Corrupt { path: segment.path(), position: located.position, damage: Damage::Records(error) };
    let found = find_timestamp(&batch, timestamp, &mut scratch, DECOMPRESSED_BYTES_MAX).map_err(damaged)?;
    if found.is_none_or(|(offset, _)| offset >= from_offset) {
        return Ok(found);
    }
    // The log start lies inside of this batch, behind the first match.
    let append_time = batch.header.timestamp_type() == wire::records::TimestampType::LogAppendTime;
    for record in batch.records(&mut scratch, DECOMPRESSED_BYTES_MAX).map_err(damaged)? {
        let record = record.map_err(damaged)?;
        let offset = located.header.base_offset + i64::from(record.offset_delta);
        let found = if append_time {
            located.header.max_timestamp
        } else {
            located.header.base_timestamp.wrapping_add(record.timestamp_delta)
        };
        if found >= timestamp && offset >= from_offset {
            return Ok(Some((offset, found)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::records::{BatchBuilder, Codec};

    use super::*;
    use crate::config::topic::TopicConfig;
    use crate::log::testing::{TempDir, append, create, open_clean, open_unclean};

    fn batch(timestamps: &[i64], codec: Codec) -> Vec<u8> {
        let mut builder = BatchBuilder::new(0).codec(codec, codec.default_level());
        for timestamp in timestamps {
            builder.push(*timestamp, None, Some(&[7; 40]), &[]).unwrap();
        }
        builder.finish(&mut Scratch::default())
    }

    /// Offset and timestamp of every record, as a list.
    fn naive(records: &[(i64, i64)], start: i64, timestamp: i64) -> Option<(i64, i64)> {
        records.iter().copied().find(|(offset, found)| *offset >= start && *found >= timestamp)
    }

    fn check(log: &Log, records: &[(i64, i64)], targets: &[i64]) {
        for &target in targets {
            let found = log.offset_for_timestamp(target).unwrap();
            assert_eq!(found, naive(records, log.log_start_offset(), target), "timestamp {target}");
        }
        let newest = records.iter().map(|(_, timestamp)| *timestamp).max().filter(|newest| *newest >= 0);
        let first = newest.and_then(|newest| records.iter().copied().find(|(_, timestamp)| *timestamp == newest));
        assert_eq!(log.max_timestamp_offset().unwrap(), first);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn lookups_agree_with_a_list_of_all_records(
            batches in prop::collection::vec((prop::collection::vec(-1_i64..500, 1..6), 0..5_usize), 1..60),
            interval in 1_u32..2000,
            segment_bytes in 600_u32..6000,
            start in 0..50_i64,
        ) {
            let dir = TempDir::new();
            let path = dir.path().join("t-0");
            let config = TopicConfig { index_interval_bytes: interval, segment_bytes, ..TopicConfig::default() };
            let mut log = create(&path, &config);
            let mut records = Vec::new();
            for (timestamps, codec) in &batches {
                let codec = Codec::from_id(*codec as u8).unwrap();
                let base = append(&mut log, batch(timestamps, codec)).base_offset;
                records.extend(timestamps.iter().enumerate().map(|(at, timestamp)| (base + at as i64, *timestamp)));
            }
            let targets: Vec<i64> = (0..510).step_by(7).chain(records.iter().map(|(_, timestamp)| *timestamp)).filter(|at| *at >= 0).collect();
            check(&log, &records, &targets);
            log.close_clean().unwrap();
            for open in [open_clean, open_unclean] {
                let mut log = open(&path, &config).unwrap();
                check(&log, &records, &targets);
                log.advance_start(start.min(log.log_end_offset())).unwrap();
                for &target in &targets {
                    prop_assert_eq!(log.offset_for_timestamp(target).unwrap(), naive(&records, log.log_start_offset(), target));
                }
            }
        }
    }

    #[test]
    fn with_log_append_time_every_record_of_a_batch_has_the_same() {
        let dir = TempDir::new();
        let mut log = create(&dir.path().join("t-0"), &TopicConfig::default());
        for now in [100, 200, 200] {
            let mut builder = BatchBuilder::new(0).append_time(now);
            for _ in 0..3 {
                builder.push(1, None, None, &[]).unwrap();
            }
            append(&mut log, builder.finish(&mut Scratch::default()));
        }
        assert_eq!(log.offset_for_timestamp(150).unwrap(), Some((3, 200)));
        assert_eq!(log.max_timestamp_offset().unwrap(), Some((3, 200)));
        log.advance_start(4).unwrap();
        assert_eq!(log.offset_for_timestamp(150).unwrap(), Some((4, 200)));
    }

    #[test]
    fn an_empty_log_has_no_times() {
        let dir = TempDir::new();
        let log = create(&dir.path().join("t-0"), &TopicConfig::default());
        assert_eq!(log.offset_for_timestamp(0).unwrap(), None);
        assert_eq!(log.max_timestamp_offset().unwrap(), None);
    }
}
