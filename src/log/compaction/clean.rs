//! Cleaning: looks for transactions, maps the keys of the dirty part, then writes group after group of segments anew.
//!
//! A [`Cleaning`] owns all it needs and knows no shard: it goes to a worker thread for each step and comes back. It reads
//! segments by their names, so one that retention took meanwhile is an error "not found", which ends the cleaning.

use std::ops::Range;
use std::path::PathBuf;

use shards::File;
use state::compaction::{
    Candidate, CleanedTransactions, LastOfProducers, Retention, SegmentSpan, TransactionScan, groups,
};
use wire::records::{Batch, BatchHeader, RecordError, Scratch};

use super::map::OffsetMap;
use super::output::{Cleaned, Output, discard};
use super::rewrite::{Rewritten, rewrite};
use super::source::{BatchReader, Source};
use crate::log::error::{Damage, LogError, ReadError};
use crate::log::walk::{DECOMPRESSED_BYTES_MAX, HeaderWalk, marker, read_marker};

/// Bytes read at once while only headers are looked at.
const WALK_BYTES: usize = 16 * 1024;

/// By what a log is cleaned. Sizes are bytes, times milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleaningLimits {
    /// For the map of keys.
    pub map_bytes: u64,
    /// How full the map may become, above 0 and below 1.
    pub map_load_factor: f64,
    /// For what is read at once.
    pub buffer_bytes: usize,
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    More,
    /// A segment is ready to be swapped in; then there is more to do.
    Cleaned(Cleaned),
    /// All of it was cleaned up to this offset.
    Done(i64),
}

/// What one cleaning did so far. Bytes are those of batches in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleaningStats {
    pub bytes_before: u64,
    pub bytes_after: u64,
    pub segments_before: usize,
    pub segments_after: usize,
    pub keys: usize,
}

/// One round of cleaning of one log.
#[derive(Debug)]
pub struct Cleaning {
    pub(super) dir: PathBuf,
    /// Segments that may be cleaned, oldest first.
    pub(super) segments: Vec<SegmentSpan>,
    /// Those behind them that may hold the markers of their transactions.
    pub(super) behind: Vec<Source>,
    pub(super) first_dirty: i64,
    pub(super) first_uncleanable: i64,
    pub(super) last_stable: i64,
    pub(super) segment_bytes: u64,
    pub(super) index_bytes: u64,
    pub(super) index_interval: u64,
    pub(super) delete_retention_ms: i64,
    pub(super) now_ms: i64,
    pub(super) last: LastOfProducers,
    pub(super) limits: CleaningLimits,
    pub(super) work: Work,
    pub(super) stats: CleaningStats,
    pub(super) scratch: Codecs,
    /// Base of the segment that was made last.
    pub(super) made: Option<i64>,
    /// Bytes read and written by the step under way.
    pub(super) moved: u64,
}

/// Codec contexts are no part of what a cleaning says about itself.
#[derive(Default)]
pub(super) struct Codecs(Scratch);

impl std::fmt::Debug for Codecs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scratch")
    }
}

/// How far it has come.
#[derive(Debug)]
pub(super) enum Work {
    Scan(Scanning),
    Map(Box<Mapping>),
    Clean(Box<Writing>),
    Done(i64),
}

#[derive(Debug, Default)]
pub(super) struct Scanning {
    /// Index of the source to go on with, those behind included, and the position in it.
    source: usize,
    position: u64,
    /// Offset behind the last batch that was looked at.
    reached: i64,
    scan: TransactionScan,
    /// Records in the dirty part: as many keys at most.
    records: u64,
}

#[derive(Debug)]
pub(super) struct Mapping {
    source: usize,
    reader: Option<BatchReader>,
    map: OffsetMap,
    /// All records before it are in the map.
    end: i64,
    /// Not to be crossed: there are undecided transactions behind it.
    limit: i64,
    transactions: CleanedTransactions,
    /// The same, as of the beginning of the log: for the writing.
    fresh: CleanedTransactions,
}

#[derive(Debug)]
pub(super) struct Writing {
    groups: Vec<Range<usize>>,
    group: usize,
    /// The source under way, inside of the group.
    source: usize,
    reader: Option<BatchReader>,
    output: Option<Output>,
    map: OffsetMap,
    /// All records before it are in the map.
    end: i64,
    transactions: CleanedTransactions,
}

impl Cleaning {
    /// Goes on until about `budget` bytes were read and written, or a segment is ready; says how many it were.
    ///
    /// Errors: `Corrupt` names file and position of a batch that can't be understood. Nothing of the log was changed.
    pub fn step(&mut self, budget: u64) -> (Result<Step, LogError>, u64) {
        self.moved = 0;
        let result = self.advance(budget);
        (result, self.moved)
    }

    pub fn stats(&self) -> CleaningStats {
        self.stats
    }

    /// Removes the files of a segment that was made, or half made, and not swapped in.
    pub fn discard(&self) {
        if let Some(base) = self.made {
            _ = discard(&self.dir, base);
        }
    }

    fn advance(&mut self, budget: u64) -> Result<Step, LogError> {
        while self.moved < budget {
            // Taken out: a step that fails leaves nothing to go on with.
            let (work, cleaned) = match std::mem::replace(&mut self.work, Work::Done(self.first_dirty)) {
                Work::Scan(scanning) => (self.scan(scanning)?, None),
                Work::Map(mapping) => (self.map(mapping)?, None),
                Work::Clean(writing) => self.clean(writing)?,
                Work::Done(end) => return Ok(Step::Done(end)),
            };
            self.work = work;
            if let Some(cleaned) = cleaned {
                return Ok(Step::Cleaned(cleaned));
            }
        }
        Ok(Step::More)
    }

    fn source(&self, at: usize) -> Option<Source> {
        match self.segments.get(at) {
            Some(SegmentSpan { base, next_offset, size, .. }) => {
                Some(Source { base: *base, next_offset: *next_offset, size: *size })
            }
            None => self.behind.get(at - self.segments.len()).copied(),
        }
    }

    /// Index of the segment in which the dirty part begins.
    fn first_dirty_source(&self) -> usize {
        self.segments.partition_point(|segment| segment.next_offset <= self.first_dirty)
    }

    /// One source further: finds aborted transactions and counts records.
    fn scan(&mut self, mut scanning: Scanning) -> Result<Work, LogError> {
        scanning.source = scanning.source.max(self.first_dirty_source());
        let Some(source) = self.source(scanning.source).filter(|_| !scanning.scan.is_full()) else {
            return Ok(self.begin_map(scanning));
        };
        let mut walk = HeaderWalk::new(source.open(&self.dir)?, scanning.position, source.size, WALK_BYTES);
        let budget = self.moved + super::SLICE_BYTES;
        while let Some(located) = walk.next()? {
            let header = &located.header;
            if header.base_offset >= self.last_stable || scanning.scan.is_full() {
                return Ok(self.begin_map(scanning));
            }
            if header.last_offset() >= self.first_dirty {
                scanning.scan.note(header, read_marker(walk.file(), &located)?);
                scanning.records += header.records_count.max(0) as u64;
            }
            self.moved += located.size().min(WALK_BYTES as u64);
            (scanning.position, scanning.reached) = (located.end(), header.next_offset());
            if self.moved >= budget {
                return Ok(Work::Scan(scanning));
            }
        }
        (scanning.source, scanning.position) = (scanning.source + 1, 0);
        Ok(Work::Scan(scanning))
    }

    fn begin_map(&mut self, scanning: Scanning) -> Work {
        let CleaningLimits { map_bytes, map_load_factor, .. } = self.limits;
        let map = OffsetMap::new(scanning.records, map_bytes, map_load_factor);
        let limit = scanning.scan.first_undecided().unwrap_or(i64::MAX).min(self.first_uncleanable);
        let limit = if scanning.scan.is_full() { limit.min(scanning.reached) } else { limit };
        let transactions = scanning.scan.finish();
        let (source, end) = (self.first_dirty_source(), self.first_dirty);
        let fresh = transactions.clone();
        Work::Map(Box::new(Mapping { source, reader: None, map, end, limit, fresh, transactions }))
    }

    /// One batch further: its keys go into the map.
    fn map(&mut self, mut mapping: Box<Mapping>) -> Result<Work, LogError> {
        let Some(source) = self.source(mapping.source).filter(|source| source.base < mapping.limit) else {
            return self.begin_clean(mapping);
        };
        let mut reader = match mapping.reader.take() {
            Some(reader) => reader,
            None => BatchReader::open(&self.dir, &source, self.limits.buffer_bytes)?,
        };
        let Some(header) = reader.header()? else {
            mapping.end = mapping.end.max(source.next_offset.min(mapping.limit));
            mapping.source += 1;
            return Ok(Work::Map(mapping));
        };
        if header.last_offset() >= mapping.limit {
            return self.begin_clean(mapping);
        }
        if header.last_offset() < self.first_dirty {
            self.moved += (header.size() as u64).min(WALK_BYTES as u64);
            reader.skip(&header);
        } else if !self.map_batch(&mut reader, &header, &mut mapping)? {
            return self.begin_clean(mapping);
        }
        mapping.reader = Some(reader);
        Ok(Work::Map(mapping))
    }

    /// False: the map is full, and ends in the middle of the batch.
    fn map_batch(
        &mut self,
        reader: &mut BatchReader,
        header: &BatchHeader,
        mapping: &mut Mapping,
    ) -> Result<bool, LogError> {
        let (file, position) = reader.place();
        let batch = reader.batch(header)?;
        self.moved += header.size() as u64;
        let discardable = mapping.transactions.is_discardable(header, marker(header, batch.bytes));
        if !header.is_control() && !discardable {
            let damaged = |error| damaged(&file, position, error);
            for record in batch.records(&mut self.scratch.0, DECOMPRESSED_BYTES_MAX).map_err(damaged)? {
                let record = record.map_err(damaged)?;
                let offset = header.base_offset.wrapping_add(i64::from(record.offset_delta));
                let Some(key) = record.key.filter(|_| offset >= self.first_dirty) else { continue };
                if !mapping.map.put(key, offset) {
                    // Records up to here are known: those behind stay as they are.
                    mapping.end = mapping.end.max(offset);
                    return Ok(false);
                }
            }
        }
        mapping.end = mapping.end.max(header.next_offset());
        Ok(true)
    }

    fn begin_clean(&mut self, mapping: Box<Mapping>) -> Result<Work, LogError> {
        let Mapping { map, end, fresh, .. } = *mapping;
        if end <= self.first_dirty {
            return Ok(Work::Done(self.first_dirty));
        }
        self.stats.keys = map.len();
        let count = self.segments.partition_point(|segment| segment.base < end);
        self.stats.segments_before = count;
        self.stats.bytes_before = self.segments[..count].iter().map(|segment| segment.size).sum();
        let groups = groups(&self.segments[..count], self.segment_bytes, self.index_bytes);
        let writing =
            Writing { groups, group: 0, source: 0, reader: None, output: None, map, end, transactions: fresh };
        Ok(Work::Clean(Box::new(writing)))
    }

    /// One batch further, or the end of a group: what is left of it goes to the new segment.
    fn clean(&mut self, mut writing: Box<Writing>) -> Result<(Work, Option<Cleaned>), LogError> {
        let Some(group) = writing.groups.get(writing.group).cloned() else {
            return Ok((Work::Done(writing.end), None));
        };
        let Some(source) = self.source(group.start + writing.source).filter(|_| writing.source < group.len()) else {
            let cleaned = self.finish_group(&mut writing, group)?;
            return Ok((Work::Clean(writing), cleaned));
        };
        if writing.output.is_none() {
            let base = self.segments[group.start].base;
            self.made = Some(base);
            writing.output = Some(Output::create(&self.dir, base, self.index_interval)?);
        }
        let mut reader = match writing.reader.take() {
            Some(reader) => reader,
            None => BatchReader::open(&self.dir, &source, self.limits.buffer_bytes)?,
        };
        match reader.header()? {
            Some(header) => {
                let in_last = writing.source + 1 == group.len();
                self.clean_batch(&mut reader, &header, in_last, &mut writing)?;
                writing.reader = Some(reader);
            }
            None => writing.source += 1,
        }
        Ok((Work::Clean(writing), None))
    }

    fn finish_group(&mut self, writing: &mut Writing, group: Range<usize>) -> Result<Option<Cleaned>, LogError> {
        let sources: Vec<Source> = group.filter_map(|at| self.source(at)).collect();
        (writing.group, writing.source) = (writing.group + 1, 0);
        let Some(output) = writing.output.take() else { return Ok(None) };
        let cleaned = output.finish(&sources)?;
        self.stats.bytes_after += cleaned.size;
        self.stats.segments_after += 1;
        Ok(Some(cleaned))
    }

    fn clean_batch(
        &mut self,
        reader: &mut BatchReader,
        header: &BatchHeader,
        in_last: bool,
        writing: &mut Writing,
    ) -> Result<(), LogError> {
        let (file, position) = reader.place();
        let is_last = in_last && reader.ends_with(header);
        let batch = reader.batch(header)?;
        let discardable = writing.transactions.is_discardable(header, marker(header, batch.bytes));
        let retention = Retention::of(header, discardable, is_last, &self.last, self.now_ms);
        let (map, end, now_ms) = (&writing.map, writing.end, self.now_ms);
        let horizon_ms = now_ms.saturating_add(self.delete_retention_ms);
        let rewritten = rewrite(&batch, retention, horizon_ms, &mut self.scratch.0, |record| {
            header.is_control()
                || Candidate {
                    offset: header.base_offset.wrapping_add(i64::from(record.offset_delta)),
                    newest: record.key.and_then(|key| map.get(key)),
                    has_key: record.key.is_some(),
                    has_value: record.value.is_some(),
                }
                .stays(end, header.delete_horizon_ms(), now_ms)
        });
        self.moved += header.size() as u64;
        let Some(output) = &mut writing.output else { return Ok(()) };
        match rewritten.map_err(|error| damaged(&file, position, error))? {
            Rewritten::Nothing => {}
            Rewritten::Same => {
                output.push(header, batch.bytes)?;
                self.moved += header.size() as u64;
            }
            Rewritten::Batch(bytes) => {
                let (batch, _) = Batch::first(&bytes).map_err(|error| made_wrong(&self.dir, error))?;
                output.push(&batch.header, batch.bytes)?;
                self.moved += bytes.len() as u64;
            }
        }
        Ok(())
    }
}

fn damaged(file: &File, position: u64, error: RecordError) -> LogError {
    LogError::Corrupt { path: file.path().to_path_buf(), position, damage: Damage::Records(error) }
}

/// A batch that was made here and is none: a bug, but one that must not take the shard with it.
fn made_wrong(dir: &std::path::Path, error: wire::records::BatchError) -> LogError {
    ReadError::Corrupt { path: dir.to_path_buf(), position: 0, damage: Damage::Batch(error) }.into()
}
