//! Putting a cleaned segment in the place of those it was made of (Kafka's `LocalLog.replaceSegments`).
//!
//! 1. [`Log::offer_swap`]: `.cleaned` -> `.swap`. Before it a crash undoes the cleaning, behind it one finishes it.
//! 2. the directory is synced, so that this is so on the disk
//! 3. [`Log::swap`]: the old files are set aside, `.swap` files get their names, and readers find the new segment
//!
//! Between 1. and 3. the shard goes on; the log may have changed then, and is left as it is.

use std::fs;

use super::output::{Cleaned, discard, path};
use super::source::Source;
use crate::log::error::LogError;
use crate::log::names::{CLEANED, LOG, SEGMENT_FILES, SWAP, offset_file};
use crate::log::retention::Doomed;
use crate::log::segment::Segment;
use crate::log::{Log, snapshots};

impl Log {
    /// Makes the new segment the one that counts after a crash. False: what it was made of is not in the log any more, and
    /// its files were removed.
    pub fn offer_swap(&self, cleaned: &Cleaned) -> Result<bool, LogError> {
        if self.place_of(cleaned).is_none() {
            discard(&self.dir, cleaned.base)?;
            return Ok(false);
        }
        // The `.log` goes last: before that nothing counts.
        for suffix in SEGMENT_FILES.iter().rev() {
            let from = path(&self.dir, cleaned.base, suffix, CLEANED);
            if *suffix == LOG || from.exists() {
                let to = path(&self.dir, cleaned.base, suffix, SWAP);
                fs::rename(&from, &to).map_err(LogError::io("rename", &from))?;
            }
        }
        Ok(true)
    }

    /// Swaps the new segment in. The old files are returned, to be removed later: whoever reads them can end. `None`: the
    /// log changed meanwhile, and stays as it is.
    ///
    /// Errors: the files are then neither old nor new, until the next start puts them in order: the log must not go on.
    pub fn swap(&mut self, cleaned: &Cleaned, now_ms: i64) -> Result<Option<Vec<Doomed>>, LogError> {
        let Some(at) = self.place_of(cleaned) else {
            discard(&self.dir, cleaned.base)?;
            return Ok(None);
        };
        let due_ms = now_ms.saturating_add(self.config.file_delete_delay_ms);
        let next_offset = self.closed[at.end - 1].next_offset();
        let mut doomed = Vec::new();
        for old in &self.closed[at.clone()] {
            for path in old.paths() {
                doomed.extend(snapshots::set_aside_file(&path)?.map(|path| Doomed { path, due_ms }));
            }
            if old.base() != cleaned.base {
                doomed.extend(snapshots::set_aside(&self.dir, old.base())?.map(|path| Doomed { path, due_ms }));
            }
        }
        for suffix in SEGMENT_FILES {
            let from = path(&self.dir, cleaned.base, suffix, SWAP);
            if from.exists() {
                fs::rename(&from, offset_file(&self.dir, cleaned.base, suffix))
                    .map_err(LogError::io("rename", &from))?;
            }
        }
        let mut new = Segment::load(&self.dir, cleaned.base)?.segment;
        new.set_next_offset(next_offset);
        new.rest();
        new.cool();
        self.closed.splice(at, [new]);
        Ok(Some(doomed))
    }

    /// The closed segments that `cleaned` replaces, if they are still there as they were read.
    fn place_of(&self, cleaned: &Cleaned) -> Option<std::ops::Range<usize>> {
        let first = self.closed.binary_search_by_key(&cleaned.base, Segment::base).ok()?;
        let old = self.closed.get(first..first + cleaned.replaces.len())?;
        let same = |(old, source): (&Segment, &Source)| {
            (old.base(), old.next_offset(), old.size()) == (source.base, source.next_offset, source.size)
        };
        old.iter().zip(&cleaned.replaces).all(same).then_some(first..first + old.len())
    }
}
