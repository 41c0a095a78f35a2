//! From the log of a partition back to its groups (Kafka's `CoordinatorLoaderImpl`).
//!
//! The log may have been written by Apache Kafka: offsets that a transaction committed count from its commit marker on,
//! those of an aborted one never, and those of one that is still open wait for a marker that nobody here writes.

use std::collections::HashMap;
use std::fmt;

use state::group::Groups;
use wire::codec::DecodeError;
use wire::coordinator_record::{GroupRecordKey, GroupRecordValue};
use wire::records::{Batch, BatchError, Batches, ControlRecordType, RecordError, Scratch, control_record_type};

/// The most bytes the records of one batch may unfold to.
const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// So many damaged records of a log are told one by one.
const TOLD_MAX: u64 = 5;

/// Groups that are being read.
#[derive(Default)]
pub(super) struct Loader {
    pub(super) groups: Groups,
    pub(super) counts: Counts,
    /// Records below it are not to be read, those up to it were.
    next_offset: i64,
    /// Records of transactions whose end was not met, by producer id.
    open: HashMap<i64, Vec<Entry>>,
    /// Where an offset was last committed outside of transactions, as long as any is open.
    plain: HashMap<OffsetKey, i64>,
    scratch: Scratch,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) bytes: u64,
    pub(super) records: u64,
    /// Record types that this release does not know, left by a newer one.
    pub(super) unknown: u64,
    pub(super) damaged: u64,
}

struct Entry {
    offset: i64,
    key: GroupRecordKey,
    value: Option<GroupRecordValue>,
}

/// Group, topic, partition.
type OffsetKey = (String, String, i32);

/// Why a log can't be read on.
#[derive(Debug)]
pub(super) enum LoadError {
    Batch { offset: i64, error: BatchError },
    Checksum { offset: i64 },
    Records { offset: i64, error: RecordError },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch { offset, error } => write!(f, "behind offset {offset}: {error}"),
            Self::Checksum { offset } => write!(f, "the CRC-32C of the batch at offset {offset} does not match"),
            Self::Records { offset, error } => write!(f, "the batch at offset {offset}: {error}"),
        }
    }
}

impl Loader {
    /// Where to read on.
    pub(super) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    pub(super) fn start_at(&mut self, log_start: i64) {
        self.next_offset = self.next_offset.max(log_start);
    }

    /// Takes whole batches from the front of `bytes` until `budget` bytes are used up, at least one; says how many bytes
    /// were taken. 0: there is no whole batch.
    pub(super) fn feed(&mut self, bytes: &[u8], budget: usize) -> Result<usize, LoadError> {
        let mut batches = Batches::new(bytes);
        let mut taken = 0;
        while taken < budget.max(1) {
            let Some(batch) = batches.next() else { break };
            let batch = batch.map_err(|error| LoadError::Batch { offset: self.next_offset, error })?;
            self.batch(&batch)?;
            taken = bytes.len() - batches.rest().len();
        }
        self.counts.bytes += taken as u64;
        Ok(taken)
    }

    fn batch(&mut self, batch: &Batch<'_>) -> Result<(), LoadError> {
        let header = &batch.header;
        let offset = header.base_offset;
        if !batch.crc_matches() {
            return Err(LoadError::Checksum { offset });
        }
        let broken = |error| LoadError::Records { offset, error };
        let mut scratch = std::mem::take(&mut self.scratch);
        let transaction = header.is_transactional().then_some(header.producer_id);
        for record in batch.records(&mut scratch, DECOMPRESSED_BYTES_MAX).map_err(broken)? {
            let record = record.map_err(broken)?;
            let at = offset.saturating_add(i64::from(record.offset_delta));
            if at < self.next_offset {
                continue;
            }
            self.counts.records += 1;
            match record.key {
                Some(key) if header.is_control() => self.marker(header.producer_id, key),
                Some(key) => self.record(at, key, record.value, transaction),
                None => self.damaged(at, "it has no key"),
            }
        }
        self.scratch = scratch;
        self.next_offset = self.next_offset.max(header.last_offset().saturating_add(1));
        Ok(())
    }

    fn record(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>, transaction: Option<i64>) {
        let key = match GroupRecordKey::decode(key) {
            Ok(key) => key,
            Err(DecodeError::UnknownRecordType) => return self.counts.unknown += 1,
            Err(error) => return self.damaged(offset, error),
        };
        let value = match value.map(|value| GroupRecordValue::decode(value, key.id())).transpose() {
            Ok(value) => value.map(|(value, _version)| value),
            Err(error) => return self.damaged(offset, error),
        };
        let entry = Entry { offset, key, value };
        match transaction {
            Some(producer) => self.open.entry(producer).or_default().push(entry),
            None => self.plain(entry),
        }
    }

    fn plain(&mut self, entry: Entry) {
        if !self.open.is_empty()
            && let Some(key) = offset_key(&entry.key)
        {
            if entry.value.is_none() {
                // A deleted offset is not brought back by a commit that was made before.
                for pending in self.open.values_mut() {
                    pending.retain(|pending| offset_key(&pending.key).as_ref() != Some(&key));
                }
            }
            self.plain.insert(key, entry.offset);
        }
        self.groups.replay(entry.key, entry.value);
    }

    /// A transaction ends.
    fn marker(&mut self, producer: i64, key: &[u8]) {
        let kind = control_record_type(key);
        if !matches!(kind, Some(ControlRecordType::Commit | ControlRecordType::Abort)) {
            return;
        }
        let pending = self.open.remove(&producer).unwrap_or_default();
        if kind == Some(ControlRecordType::Commit) {
            for entry in pending {
                let newer = offset_key(&entry.key).and_then(|key| self.plain.get(&key).copied());
                if newer.is_none_or(|newer| newer < entry.offset) {
                    self.groups.replay(entry.key, entry.value);
                }
            }
        }
        if self.open.is_empty() {
            self.plain.clear();
        }
    }

    fn damaged(&mut self, offset: i64, what: impl fmt::Display) {
        self.counts.damaged += 1;
        if self.counts.damaged <= TOLD_MAX {
            crate::metrics::log::error(format_args!("the record at offset {offset} is skipped: {what}"));
        }
    }
}

fn offset_key(key: &GroupRecordKey) -> Option<OffsetKey> {
    match key {
        GroupRecordKey::OffsetCommit(key) => Some((key.group.clone(), key.topic.clone(), key.partition)),
        GroupRecordKey::LegacyOffsetCommit(key) => Some((key.group.clone(), key.topic.clone(), key.partition)),
        _ => None,
    }
}
