//! `ringmill storage info`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum StorageCommand {
    /// Say whose a data directory is and what its metadata log holds
    Info { dir: PathBuf },
}

/// Runs it. Exit code 1 where there is no data directory, or a damaged one.
pub fn run_storage(command: &StorageCommand) -> ExitCode {
    let StorageCommand::Info { dir } = command;
    super::fail(format!("{}: not served yet", dir.display()))
}
