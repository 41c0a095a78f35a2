//! Where a partition lies when the shard opens it: where the metadata says, or where else it is found. What a crash
//! left of a move between log directories is brought to its end here (Kafka's `LogManager.loadLog`,
//! `recoverAbandonedFutureLogs`).

use std::path::{Path, PathBuf};

use state::metadata::Topic;
use wire::Uuid;

use super::{LogDirs, Partitions};
use crate::log::directory::rename_stray;
use crate::log::future::{Dirs, recover};
use crate::log::{LogError, partition_dir, partition_metadata};
use crate::metrics::log as lines;

impl Partitions {
    /// Which of `log.dirs` a partition lies in, or shall. `None`: one that does not work, or may be that.
    ///
    /// The metadata names the new directory of a move only once all of the log lies there, so what it says counts:
    /// another copy is set aside. Where it says nothing of use, the partition was moved by hand, or made by a broker
    /// that told nobody.
    ///
    /// Errors: `Duplicate`: there are two, and nobody knows which is the right one.
    pub(super) fn home(&self, topic: &Topic, index: i32, node_id: i32) -> Result<Option<usize>, LogError> {
        let directories = &*self.directories;
        let name = partition_dir(&topic.name, index);
        let assigned = topic.partitions[index as usize].directory_of(node_id);
        let known = assigned.and_then(|id| directories.by_id(id));
        let path = |directory: usize| directories.get(directory).path.join(&name);
        let others = directories.online().map(|(index, _)| index).filter(|index| Some(*index) != known);
        let holders: Vec<usize> = others.filter(|index| is_it(&path(*index), topic.id)).collect();
        if let Some(known) = known
            && may_be_it(&path(known), topic.id)
        {
            holders.into_iter().for_each(|other| self.set_copy_aside(other, &path(other)));
            return Ok(Some(known));
        }
        if let Some(known) = known
            && let Some(future) = future_in(directories, known, topic, index)
            && self.finish_move(&future, holders.first().map(|current| path(*current)))?
        {
            return Ok(Some(known));
        }
        match holders[..] {
            [] => Ok(known.or_else(|| if is_unassigned(assigned) { roomiest(directories) } else { None })),
            [_] if known.is_none() && may_be_offline(directories, assigned) => Ok(None),
            [found] => Ok(Some(found)),
            [first, second, ..] => Err(LogError::Duplicate { first: path(first), second: path(second) }),
        }
    }

    /// The metadata says that a replica has moved, but its directory has not got its name. True if it has now: there is
    /// no other one, or that one is the same. Else the move is not over.
    fn finish_move(&self, future: &Path, current: Option<PathBuf>) -> Result<bool, LogError> {
        if let Some(current) = current {
            let dirs = Dirs { current, future: future.to_path_buf() };
            if !dirs.are_same()? {
                return Ok(false);
            }
            self.doom_directory(&dirs.current, 0)?;
        }
        lines::info(format_args!("{} takes its place, as the metadata says", future.display()));
        recover(future).map(|()| true)
    }

    /// Another copy of a partition than the one that counts: whoever made it may want it.
    fn set_copy_aside(&self, directory: usize, dir: &Path) {
        match rename_stray(dir, self.chance()) {
            Ok(aside) => {
                let (dir, aside) = (dir.display(), aside.display());
                lines::warn(format_args!("{dir} is not where the metadata says: it is kept as {aside}"));
            }
            Err(error) => self.blame(directory, &error),
        }
    }
}

fn is_it(dir: &Path, topic_id: Uuid) -> bool {
    matches!(partition_metadata::read(dir), Ok(Some(id)) if id == topic_id)
}

/// It is there and does not say that it is another topic's.
fn may_be_it(dir: &Path, topic_id: Uuid) -> bool {
    dir.exists() && !matches!(partition_metadata::read(dir), Ok(Some(id)) if id != topic_id)
}

fn future_in(directories: &LogDirs, directory: usize, topic: &Topic, index: i32) -> Option<PathBuf> {
    let mut futures = directories.get(directory).futures.iter();
    let found = futures.find(|it| it.topic == *topic.name && it.partition == index && is_it(&it.path, topic.id))?;
    Some(found.path.clone())
}

fn is_unassigned(assigned: Option<Uuid>) -> bool {
    [None, Some(Uuid::MIGRATING_DIR), Some(Uuid::UNASSIGNED_DIR)].contains(&assigned)
}

/// Whether a directory that does not work is, or may be, the assigned one: what is found elsewhere is out of date then.
fn may_be_offline(directories: &LogDirs, assigned: Option<Uuid>) -> bool {
    let may_be = |id: Uuid| id == Uuid::ZERO || Some(id) == assigned;
    !is_unassigned(assigned) && directories.iter().any(|(_, one)| one.is_offline() && may_be(one.id))
}

fn roomiest(directories: &LogDirs) -> Option<usize> {
    directories.online().max_by_key(|(_, directory)| directory.free_bytes()).map(|(index, _)| index)
}
