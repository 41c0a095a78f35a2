//! `ringmill storage info`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::fail;
use crate::controller::{Inspection, inspect};
use crate::log::directory::read_meta_properties;

#[derive(Debug, Subcommand)]
pub enum StorageCommand {
    /// Say whose a data directory is and what its metadata log holds; the directory may be in use
    Info { dir: PathBuf },
}

/// Runs it. Exit code 1 where there is no data directory, or a damaged one.
pub fn run_storage(command: &StorageCommand) -> ExitCode {
    let StorageCommand::Info { dir } = command;
    match info(dir) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(error),
    }
}

fn info(dir: &Path) -> Result<String, String> {
    let meta = read_meta_properties(dir).map_err(|error| error.to_string())?;
    let meta = meta.ok_or_else(|| format!("{} is no data directory: it has no meta.properties", dir.display()))?;
    let directory = meta.directory_id.map_or("none yet".into(), |id| id.to_string());
    let mut text = String::new();
    let _ = writeln!(text, "cluster.id    {}", meta.cluster_id);
    let _ = writeln!(text, "node.id       {}", meta.node_id);
    let _ = writeln!(text, "directory.id  {directory}");
    match inspect(dir, &meta.cluster_id).map_err(|error| error.to_string())? {
        Some(found) => tell(&mut text, &found),
        None => text.push_str("metadata      none here\n"),
    }
    Ok(text)
}

fn tell(text: &mut String, found: &Inspection) {
    let image = &found.image;
    let partitions: usize = image.topics().map(|topic| topic.partitions.len()).sum();
    let _ = writeln!(
        text,
        "metadata      epoch {}, end offset {}, {} segments, snapshots at {:?}, metadata.version {}",
        found.epoch,
        found.end_offset,
        found.segment_count,
        found.snapshots,
        image.metadata_version()
    );
    let _ = writeln!(text, "topics        {} with {partitions} partitions", image.topic_count());
    if found.torn_bytes > 0 {
        let _ = writeln!(
            text,
            "torn tail     {} bytes of an unfinished append; the next start cuts them",
            found.torn_bytes
        );
    }
    if let Some(damage) = &found.damage {
        let _ = writeln!(text, "passed over   {damage}");
    }
}
