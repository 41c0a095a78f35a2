//! Which log directory a new partition goes to. Kafka's brokers choose the one with the fewest logs, when they hear of the
//! partition; here the controller knows the directories, so it chooses, and its record says which.

use std::sync::Arc;

use state::metadata::Image;
use wire::{MetadataRecord, Uuid};

use crate::config::{Cordoned, Dynamic, Layers};
use crate::partition::LogDirs;

use super::Controller;

/// A directory that takes new partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    id: Uuid,
    free_bytes: u64,
    partitions: u64,
}

impl Controller {
    /// New partitions go to the directories of this node that work. Without this they stay unassigned where there are several.
    pub fn place_on(&mut self, directories: Arc<LogDirs>) {
        self.directories = Some(directories);
    }

    /// Gives each new partition of this node its directory.
    pub(super) fn place(&self, records: &mut [MetadataRecord]) {
        let Some(directories) = &self.directories else { return };
        if directories.iter().count() < 2
            || !records.iter().any(|record| matches!(record, MetadataRecord::Partition(_)))
        {
            return;
        }
        let layers = Layers::of_node(&self.said, &self.image, self.node_id);
        let mut rooms = rooms(directories, &Dynamic::of(&layers).cordoned, &self.image, self.node_id);
        for record in records {
            let MetadataRecord::Partition(partition) = record else { continue };
            let Some(at) = partition.replicas.iter().position(|id| *id == self.node_id) else { continue };
            if let (Some(directory), Some(id)) = (partition.directories.get_mut(at), roomiest(&mut rooms)) {
                *directory = id;
            }
        }
    }
}

/// The directories that work and are not cordoned; where all are cordoned, all that work.
fn rooms(directories: &LogDirs, cordoned: &Cordoned, image: &Image, node_id: i32) -> Vec<Room> {
    let partitions_in = |id: Uuid| {
        let all = image.topics().flat_map(|topic| topic.partitions.iter());
        all.filter(|partition| partition.directory_of(node_id) == Some(id)).count() as u64
    };
    let room = |(_, directory): (usize, &crate::partition::Directory)| Room {
        id: directory.id,
        free_bytes: directory.free_bytes(),
        partitions: partitions_in(directory.id),
    };
    let open: Vec<Room> =
        directories.online().filter(|(_, directory)| !cordoned.contains(&directory.path)).map(room).collect();
    if open.is_empty() { directories.online().map(room).collect() } else { open }
}

/// The directory with the most free space for each partition it would have then: with equal space the one with the fewest
/// partitions, with more space more of them. Counts the new one.
fn roomiest(rooms: &mut [Room]) -> Option<Uuid> {
    let best = rooms.iter_mut().rev().max_by_key(|room| room.free_bytes / (room.partitions + 1))?;
    best.partitions += 1;
    Some(best.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(rooms: &[(u64, u64)], count: usize) -> Vec<u128> {
        let room = |(at, (free_bytes, partitions)): (usize, &(u64, u64))| Room {
            id: Uuid(at as u128),
            free_bytes: *free_bytes,
            partitions: *partitions,
        };
        let mut rooms: Vec<Room> = rooms.iter().enumerate().map(room).collect();
        (0..count).map(|_| roomiest(&mut rooms).unwrap().0).collect()
    }

    #[test]
    fn more_space_takes_more_partitions() {
        assert_eq!(placed(&[(100, 0), (200, 0)], 1), [1]);
        assert_eq!(placed(&[(100, 0), (200, 0)], 6).iter().filter(|at| **at == 1).count(), 4);
    }

    #[test]
    fn with_equal_space_the_fewest_partitions_count() {
        assert_eq!(placed(&[(100, 3), (100, 1)], 3), [1, 1, 0]);
        assert_eq!(placed(&[(100, 0), (100, 0)], 4), [0, 1, 0, 1]);
        assert_eq!(roomiest(&mut []), None);
    }
}
