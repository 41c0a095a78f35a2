//! `ringmill config check|explain`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::{report, surroundings};
use crate::config::keys::{self, Class, Key, Standard, Update};
use crate::config::{self as settings, Properties};

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say what is wrong with a server.properties, and which of its settings have no effect here
    Check { file: PathBuf },
    /// Say what a setting means here; of a file, every setting in it
    Explain {
        #[arg(value_name = "FILE|KEY")]
        what: String,
    },
}

/// Runs it. Exit code 1 where the file can't be served, or the key is unknown.
pub fn run_config(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Check { file } => check(file),
        ConfigCommand::Explain { what } => explain(what),
    }
}

fn check(file: &Path) -> ExitCode {
    let properties = match Properties::read(file) {
        Ok(properties) => properties,
        Err(problem) => {
            report(&[*problem]);
            return ExitCode::FAILURE;
        }
    };
    let (problems, code) = match settings::resolve(&properties, &surroundings()) {
        Ok((_, warnings)) => (warnings, ExitCode::SUCCESS),
        Err(problems) => (problems, ExitCode::FAILURE),
    };
    report(&problems);
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let of_class = |class| move |key: &&'static Key| key.class == class;
    let known = || properties.entries.keys().filter_map(|name| keys::of_file(name));
    let idle: Vec<&str> = known().filter(of_class(Class::Accepted)).map(|key| key.name).collect();
    println!(
        "{}: {} settings, {} honoured, {} without effect here, {errors} errors, {} warnings",
        file.display(),
        properties.entries.len(),
        known().filter(of_class(Class::Honoured)).count(),
        idle.len(),
        problems.len() - errors
    );
    if !idle.is_empty() {
        println!("without effect here: {}", idle.join(", "));
    }
    code
}

fn explain(what: &str) -> ExitCode {
    if let Some(text) = of_key(what) {
        print!("{text}");
        return ExitCode::SUCCESS;
    }
    let path = Path::new(what);
    if !path.exists() {
        eprintln!("error: {what} is neither a setting nor a file");
        let all = keys::all_broker().chain(keys::all_own()).chain(keys::all_topic()).chain(keys::all_group());
        if let Some(nearest) = keys::nearest(what, all.map(|key| key.name)) {
            eprintln!("  did you mean {nearest}?");
        }
        return ExitCode::FAILURE;
    }
    match Properties::read(path) {
        Ok(properties) => {
            for name in properties.entries.keys() {
                print!("{}", of_key(name).unwrap_or_else(|| format!("{name}\n  unknown; accepted, without effect\n")));
            }
            ExitCode::SUCCESS
        }
        Err(problem) => {
            report(&[*problem]);
            ExitCode::FAILURE
        }
    }
}

/// All that is known of a setting, by resource.
fn of_key(name: &str) -> Option<String> {
    let mut text = String::new();
    let found = [("broker", keys::of_file(name)), ("topic", keys::topic(name)), ("group", keys::group(name))];
    for (resource, key) in found {
        let Some(key) = key else { continue };
        let standard = match key.standard {
            Standard::Required => "none; Kafka requires it".into(),
            Standard::Null => "unset".into(),
            Standard::Is(text) => format!("{text:?}"),
        };
        let update = match key.update {
            Update::ReadOnly => "at a start",
            Update::PerBroker => "while running, per broker",
            Update::ClusterWide if resource == "broker" => "while running, for all brokers or one",
            Update::ClusterWide => "while running",
        };
        let class = match key.class {
            Class::Honoured => "honoured",
            Class::Accepted => "accepted, without effect here",
            Class::Refused => "refused, unless it is the default",
        };
        let _ = writeln!(text, "{name} ({resource} setting)\n  {}", key.doc);
        let _ = writeln!(text, "  value: {}\n  default: {standard}", key.allowed_words());
        if !key.inherits.is_empty() {
            let _ = writeln!(text, "  where unset: {} of the broker", key.inherits);
        }
        let _ = writeln!(text, "  changes: {update}\n  here: {class}");
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_explained() {
        let expected = "retention.ms (topic setting)
  Milliseconds a record stays at least; -1 for ever.
  value: a whole number of 64 bits, at least -1
  default: \"604800000\"
  where unset: log.retention.ms of the broker
  changes: while running
  here: honoured
";
        assert_eq!(of_key("retention.ms").unwrap(), expected);
        assert!(of_key("listener.name.a.ssl.key.password").unwrap().contains("without effect"));
        assert_eq!(of_key("nonsense"), None);
        assert_eq!(of_key("compression.type").unwrap().matches("setting)").count(), 2);
    }
}
