//! The command line: one binary, some subcommands. Data goes to stdout, talk to stderr; exit code 0 is success, 1 a
//! failure, 2 a wrong command line.

mod config;
mod storage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::problem::Origin;
use crate::config::{self as settings, Problem, Properties, Resolved, Surroundings};

pub use config::{ConfigCommand, run_config};
pub use storage::{StorageCommand, run_storage};

/// What was asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a broker
    Serve(Serve),
    /// Check or explain settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print every API that is answered: key, name, versions, listeners
    Apis,
    /// Look at data directories
    #[command(subcommand)]
    Storage(StorageCommand),
}

#[derive(Debug, Parser)]
#[command(name = "ringmill", version, about = "A broker for clients of Apache Kafka, one shard per core", long_about = None)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// Run a broker. Without a file it listens on 127.0.0.1:9092 and keeps its data in ./ringmill-data.
#[derive(Debug, Args)]
pub struct Serve {
    /// Apache Kafka's server.properties
    pub file: Option<PathBuf>,
    /// One setting, said over the file; may be repeated
    #[arg(long = "override", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Directory for all data, as log.dirs
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Port on 127.0.0.1, where no file names listeners
    #[arg(long, value_name = "N", conflicts_with = "file")]
    pub port: Option<u16>,
    /// Shards to run, as ringmill.shards
    #[arg(long, value_name = "N")]
    pub shards: Option<u16>,
}

/// Reads the command line of this process. A wrong one ends it with exit code 2, `--help` and `--version` with 0.
pub fn parse() -> Command {
    Line::parse().command
}

impl Serve {
    /// All that was said: the file or the embedded default, then flags, then overrides.
    pub fn properties(&self) -> Result<Properties, Box<Problem>> {
        let mut properties = match &self.file {
            Some(file) => Properties::read(file)?,
            None => Properties::embedded(),
        };
        if let Some(dir) = &self.data_dir {
            properties.entries.remove("metadata.log.dir");
            properties.set("log.dirs", dir, Origin::Flag("--data-dir"));
        }
        if let Some(port) = self.port {
            properties.set("listeners", &format!("PLAINTEXT://127.0.0.1:{port}"), Origin::Flag("--port"));
        }
        if let Some(shards) = self.shards {
            properties.set("ringmill.shards", &shards.to_string(), Origin::Flag("--shards"));
        }
        for text in &self.overrides {
            properties.set_override(text)?;
        }
        Ok(properties)
    }

    /// The settings to run with, or all that is wrong with them.
    pub fn resolve(&self) -> Resolved {
        let properties = self.properties().map_err(|problem| vec![*problem])?;
        settings::resolve(&properties, &surroundings())
    }
}

/// Prints every API that is answered.
pub fn run_apis() -> ExitCode {
    print!("{}", crate::api::listing());
    ExitCode::SUCCESS
}

/// What this process knows beside its settings.
fn surroundings() -> Surroundings {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let hostname = if name.trim().is_empty() { "localhost".into() } else { name.trim().into() };
    let cluster_id = std::env::var("CLUSTER_ID").ok().filter(|id| !id.is_empty());
    Surroundings { hostname, cluster_id }
}

/// Prints problems to stderr.
pub fn report(problems: &[Problem]) {
    for problem in problems {
        eprintln!("{problem}");
    }
}

/// Prints one error to stderr and gives exit code 1.
pub fn fail(error: impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(line: &str) -> Result<Serve, clap::Error> {
        match Line::try_parse_from(line.split(' '))?.command {
            Command::Serve(serve) => Ok(serve),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Line::command().debug_assert();
    }

    #[test]
    fn flags_speak_over_the_default_and_overrides_over_flags() {
        let line =
            "ringmill serve --data-dir /d --port 0 --shards 2 --override num.partitions=3 --override log.dirs=/e";
        let (broker, warnings) = serve(line).unwrap().resolve().unwrap();
        assert_eq!(warnings, []);
        assert_eq!(broker.listeners.broker[0].port, 0);
        assert_eq!(broker.shards, Some(2));
        assert_eq!(broker.num_partitions, 3);
        assert_eq!(broker.log_dirs, [PathBuf::from("/e")]);
    }

    #[test]
    fn wrong_lines_are_usage_errors() {
        assert!(serve("ringmill serve --port x").is_err());
        assert!(serve("ringmill serve file --port 1").is_err());
        assert!(serve("ringmill serve --override nothing").unwrap().resolve().is_err());
        let missing = serve("ringmill serve /no/such/file").unwrap().resolve().unwrap_err();
        assert!(missing[0].to_string().starts_with("error: cannot read /no/such/file: "));
    }
}
