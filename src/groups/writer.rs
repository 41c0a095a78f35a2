//! Records of a coordinator on their way into batches.

use state::group::Record;
use wire::codec::Encoder;
use wire::records::{BatchBuilder, BuildError, Codec, Scratch};

/// Commits of one wake share a batch up to this size.
const JOINED_BYTES_MAX: usize = 256 * 1024;

/// More than what a record has around its key and value.
const RECORD_OVERHEAD: usize = 32;

/// What goes around the records: the topic's limit, and `offsets.topic.compression.codec`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) batch_bytes_max: usize,
    pub(super) codec: Codec,
}

/// Batches are counted from 1, in the order in which they will be written.
#[derive(Default)]
pub(super) struct Writer {
    /// The batch with number `begun`, while records may join it.
    open: Option<BatchBuilder>,
    closed: Vec<(u64, Vec<u8>)>,
    /// Number of the newest batch.
    begun: u64,
    encoder: Encoder,
}

impl Writer {
    /// Number of the batch that has to be safe before anybody may hear of what was decided up to now.
    pub(super) fn newest(&self) -> u64 {
        self.begun
    }

    pub(super) fn has_records(&self) -> bool {
        self.open.is_some() || !self.closed.is_empty()
    }

    /// Puts records behind those that wait, in one batch if the topic's limit allows it; if not, in several. A record that
    /// is larger than the limit has a batch of its own: the state has moved on and must not be lost.
    pub(super) fn push(
        &mut self,
        records: &[Record],
        now_ms: i64,
        form: Form,
        scratch: &mut Scratch,
    ) -> Result<(), BuildError> {
        let mut encoder = std::mem::take(&mut self.encoder);
        encoder.buf.clear();
        let ends: Vec<(usize, Option<usize>)> = records.iter().map(|record| encode(record, &mut encoder)).collect();
        let size = encoder.buf.len() + records.len() * RECORD_OVERHEAD;
        let joined_max = JOINED_BYTES_MAX.min(form.batch_bytes_max);
        if self.open.as_ref().is_some_and(|open| open.size() + size > joined_max) {
            self.close(scratch);
        }
        let (mut start, mut result) = (0, Ok(()));
        for (key_end, value_end) in ends {
            let key = &encoder.buf[start..key_end];
            let value = value_end.map(|end| &encoder.buf[key_end..end]);
            start = value_end.unwrap_or(key_end);
            result = result.and_then(|()| self.push_one(now_ms, key, value, form, scratch));
        }
        self.encoder = encoder;
        result
    }

    fn push_one(
        &mut self,
        now_ms: i64,
        key: &[u8],
        value: Option<&[u8]>,
        form: Form,
        scratch: &mut Scratch,
    ) -> Result<(), BuildError> {
        let size = key.len() + value.map_or(0, <[u8]>::len) + RECORD_OVERHEAD;
        if self.open.as_ref().is_some_and(|open| !open.is_empty() && open.size() + size > form.batch_bytes_max) {
            self.close(scratch);
        }
        let open = self.open.get_or_insert_with(|| {
            self.begun += 1;
            BatchBuilder::new(0).codec(form.codec, form.codec.default_level())
        });
        open.push(now_ms, Some(key), value, &[])
    }

    fn close(&mut self, scratch: &mut Scratch) {
        if let Some(open) = self.open.take() {
            self.closed.push((self.begun, open.finish(scratch)));
        }
    }

    /// Whole batches with their numbers, oldest first.
    pub(super) fn take(&mut self, scratch: &mut Scratch) -> Vec<(u64, Vec<u8>)> {
        self.close(scratch);
        std::mem::take(&mut self.closed)
    }
}

/// Appends key and value; returns where each ends.
fn encode(record: &Record, e: &mut Encoder) -> (usize, Option<usize>) {
    record.key.encode(e);
    let key_end = e.buf.len();
    let value_end = record.value.as_ref().map(|value| {
        value.encode(e, record.value_version());
        e.buf.len()
    });
    (key_end, value_end)
}

#[cfg(test)]
mod tests {
    use state::group::Record;
    use wire::coordinator_record::{GroupRecordKey, GroupRecordValue};
    use wire::messages::{OffsetCommitKey, OffsetCommitValue};
    use wire::records::Batch;

    use super::*;

    fn record(partition: i32, metadata_bytes: usize) -> Record {
        let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition };
        let value = OffsetCommitValue { metadata: "m".repeat(metadata_bytes), ..Default::default() };
        Record { key: GroupRecordKey::OffsetCommit(key), value: Some(GroupRecordValue::OffsetCommit(value)) }
    }

    /// Pushes each list as the records of one event, and tells the numbers and record counts of the batches.
    fn batches(lists: &[&[Record]], batch_bytes_max: usize) -> Vec<(u64, i32)> {
        let (mut writer, mut scratch) = (Writer::default(), Scratch::default());
        let form = Form { batch_bytes_max, codec: Codec::None };
        for list in lists {
            writer.push(list, 1, form, &mut scratch).unwrap();
        }
        let newest = writer.newest();
        let batches = writer.take(&mut scratch);
        assert_eq!(batches.last().map_or(0, |(number, _)| *number), newest);
        assert!(!writer.has_records());
        batches.iter().map(|(number, bytes)| (*number, Batch::first(bytes).unwrap().0.header.records_count)).collect()
    }

    #[test]
    fn events_of_one_wake_share_a_batch() {
        assert_eq!(batches(&[], 1000), []);
        assert_eq!(batches(&[&[record(0, 1)], &[record(1, 1), record(2, 1)]], 1000), [(1, 3)]);
        let event = [record(0, 100), record(1, 100)];
        assert_eq!(batches(&[&event, &event], 1 << 20), [(1, 4)]);
        assert_eq!(batches(&[&event, &event], 500), [(1, 2), (2, 2)], "an event stays together where it can");
    }

    #[test]
    fn what_is_too_large_for_one_batch_goes_into_several() {
        let event: Vec<Record> = (0..10).map(|partition| record(partition, 100)).collect();
        let found = batches(&[&event], 500);
        assert!(found.len() > 2, "{found:?}");
        assert_eq!(found.iter().map(|(_, count)| count).sum::<i32>(), 10);
        assert_eq!(batches(&[&[record(0, 2000), record(1, 1)]], 500), [(1, 1), (2, 1)]);
    }

    #[test]
    fn keys_and_values_come_back() {
        for codec in [Codec::None, Codec::Zstd] {
            let (mut writer, mut scratch) = (Writer::default(), Scratch::default());
            let written = [record(7, 3), Record { value: None, ..record(8, 0) }];
            writer.push(&written, 99, Form { batch_bytes_max: 1000, codec }, &mut scratch).unwrap();
            let bytes = writer.take(&mut scratch).remove(0).1;
            let batch = Batch::first(&bytes).unwrap().0;
            assert!(batch.crc_matches() && batch.header.codec() == Ok(codec) && batch.header.max_timestamp == 99);
            let found = batch.records(&mut scratch, 1 << 20).unwrap().map(|found| {
                let found = found.unwrap();
                let key = GroupRecordKey::decode(found.key.unwrap()).unwrap();
                let value = found.value.map(|value| GroupRecordValue::decode(value, key.id()).unwrap().0);
                Record { key, value }
            });
            assert_eq!(found.collect::<Vec<_>>(), written);
        }
    }
}
