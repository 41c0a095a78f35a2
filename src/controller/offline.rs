//! Log directories that fail: the registration goes on without them, and nobody leads what lies there, until a restart finds
//! them again. In Kafka the broker's heartbeat tells the controller (KIP-858); here the controller sees it.

use std::path::Path;
use std::sync::Arc;

use state::metadata::decide::{directories_failed, resign};
use state::metadata::{Image, Topic};
use wire::Uuid;

use super::{Controller, ControllerError};
use crate::log::partition_dir;

impl Controller {
    /// Looks for directories that have failed since the last time. Whether there is a newer image now.
    pub fn follow_directories(&mut self) -> Result<bool, ControllerError> {
        let Some(directories) = self.directories.clone().filter(|all| all.any_offline()) else { return Ok(false) };
        let failed: Vec<Uuid> = directories.iter().filter(|(_, one)| one.is_offline()).map(|(_, one)| one.id).collect();
        let Some(registration) = directories_failed(&self.image, self.node_id, &failed) else { return Ok(false) };
        self.commit(&[registration])?;
        let (image, node_id) = (Arc::clone(&self.image), self.node_id);
        let paths: Vec<&Path> = directories.online().map(|(_, directory)| directory.path.as_path()).collect();
        let is_lost = |topic: &Topic, index: i32| is_lost(&image, node_id, &paths, topic, index);
        self.commit_all(resign(&image, node_id, &is_lost))?;
        Ok(true)
    }
}

/// Whether a partition lies in a directory that is not registered. One that was moved by hand is served from where it lies.
pub(super) fn is_lost(image: &Image, node_id: i32, online: &[&Path], topic: &Topic, index: i32) -> bool {
    let dir = topic.partition(index).and_then(|partition| partition.directory_of(node_id));
    let (Some(dir), Some(broker)) = (dir, image.broker(node_id)) else { return false };
    let name = || partition_dir(&topic.name, index);
    !broker.has_online_dir(dir) && !online.iter().any(|path| path.join(name()).exists())
}
