//! The checkpoint files: where every partition of a log directory stands.

use std::path::PathBuf;

use crate::calls::PartitionOffsets;
use crate::log::{LogError, checkpoints};

/// The checkpoint files of every log directory, as `LogManager`, `ReplicaManager` and
/// `LogCleanerManager` write them.
pub fn write_checkpoints(log_dirs: &[PathBuf], offsets: &[PartitionOffsets]) -> Result<(), LogError> {
    for (index, path) in log_dirs.iter().enumerate() {
        let here = || offsets.iter().filter(|one| one.directory == index);
        let entry = |one: &PartitionOffsets, offset: i64| checkpoints::Checkpoint {
            topic: one.topic.to_string(),
            partition: one.partition.index,
            offset,
        };
        let recovery: Vec<_> = here().map(|one| entry(one, one.recovery_point)).collect();
        let replication: Vec<_> = here().map(|one| entry(one, one.high_watermark)).collect();
        let starts: Vec<_> = here().filter_map(|one| Some(entry(one, one.log_start?))).collect();
        checkpoints::write(path, checkpoints::RECOVERY_POINT, &recovery)?;
        checkpoints::write(path, checkpoints::REPLICATION, &replication)?;
        checkpoints::write(path, checkpoints::LOG_START, &starts)?;
        let cleaned: Vec<_> = here().filter_map(|one| Some(entry(one, one.cleaned?))).collect();
        checkpoints::write(path, checkpoints::CLEANER, &cleaned)?;
    }
    Ok(())
}
