//! `ringmill config check|explain|list`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::{report, surroundings};
use crate::config::describe;
use crate::config::keys::{self, Class, Key, Standard, Update};
use crate::config::problem::Origin;
use crate::config::{self as settings, Layers, Properties};

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say what is wrong with a server.properties, and which of its settings have no effect here
    Check { file: PathBuf },
    /// Say what settings mean here; with a file also which value is in effect, and where it comes from
    Explain {
        /// A server.properties, or a key
        #[arg(value_name = "FILE|KEY")]
        what: String,
        /// Keys; where none is given, all that the file sets
        keys: Vec<String>,
    },
    /// Print every setting that is known, one a line, its fields separated by tabs
    List,
}

/// Runs it. Exit code 1 where the file can't be served, or a key is unknown.
pub fn run_config(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Check { file } => check(file),
        ConfigCommand::Explain { what, keys } => explain(what, keys),
        ConfigCommand::List => {
            print!("{}", list());
            ExitCode::SUCCESS
        }
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
        "{}: {} settings, {} honoured or mapped, {} without effect here, {errors} errors, {} warnings",
        file.display(),
        properties.entries.len(),
        known().filter(|key| matches!(key.class, Class::Honoured | Class::Mapped)).count(),
        idle.len(),
        problems.len() - errors
    );
    if !idle.is_empty() {
        println!("without effect here: {}", idle.join(", "));
    }
    code
}

fn explain(what: &str, keys: &[String]) -> ExitCode {
    let path = Path::new(what);
    if !path.is_file() {
        let all = std::iter::once(what).chain(keys.iter().map(String::as_str));
        return print_each(all, &Explained::default());
    }
    let properties = match Properties::read(path) {
        Ok(properties) => properties,
        Err(problem) => {
            report(&[*problem]);
            return ExitCode::FAILURE;
        }
    };
    let said = properties.entries.iter().map(|(name, entry)| (name.clone(), entry.value.clone())).collect();
    let names: Vec<&str> = if keys.is_empty() {
        properties.entries.keys().map(String::as_str).collect()
    } else {
        keys.iter().map(String::as_str).collect()
    };
    print_each(names.into_iter(), &Explained { of_file: Some((&properties, said)) })
}

fn print_each<'a>(names: impl Iterator<Item = &'a str>, explained: &Explained<'_>) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for name in names {
        if let Some(text) = explained.of_key(name) {
            print!("{text}");
        } else if explained.is_said(name) {
            println!("{name}\n  not a setting of Kafka or of ringmill; kept, shown by DescribeConfigs, without effect");
        } else {
            eprintln!("error: {name} is neither a setting nor a file");
            let all = keys::all_broker().chain(keys::all_own()).chain(keys::all_topic()).chain(keys::all_group());
            if let Some(nearest) = keys::nearest(name, all.map(|key| key.name)) {
                eprintln!("  did you mean {nearest}?");
            }
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// What settings mean, and with a file, what they are.
#[derive(Default)]
struct Explained<'a> {
    of_file: Option<(&'a Properties, BTreeMap<String, String>)>,
}

impl Explained<'_> {
    fn is_said(&self, name: &str) -> bool {
        self.of_file.as_ref().is_some_and(|(properties, _)| properties.entries.contains_key(name))
    }

    /// All that is known of a setting, by resource.
    fn of_key(&self, name: &str) -> Option<String> {
        let mut text = String::new();
        let found = [("broker", keys::of_file(name)), ("topic", keys::topic(name)), ("group", keys::group(name))];
        for (resource, key) in found {
            let Some(key) = key else { continue };
            let update = match key.update {
                Update::ReadOnly => "at a start",
                Update::PerBroker => "while running, per broker",
                Update::ClusterWide if resource == "broker" => "while running, for all brokers or one",
                Update::ClusterWide => "while running",
            };
            let _ = writeln!(text, "{name} ({resource} setting)\n  {}", key.doc);
            if let Some(in_effect) = self.in_effect(resource, name, key) {
                let _ = writeln!(text, "  in effect: {in_effect}");
            }
            let _ = writeln!(text, "  value: {}\n  default: {}", key.allowed_words(), standard(key));
            if !key.inherits.is_empty() {
                let _ = writeln!(text, "  where unset: {} of the broker", key.inherits);
            }
            let _ = writeln!(text, "  changes: {update}\n  here: {}", treatment(key));
        }
        (!text.is_empty()).then_some(text)
    }

    /// The value of a setting, or of a topic or group that says nothing itself, and who said it.
    fn in_effect(&self, resource: &str, name: &str, key: &Key) -> Option<String> {
        let (properties, said) = self.of_file.as_ref()?;
        let none = BTreeMap::new();
        let layers = Layers { fixed: said, cluster: &none, node: &none };
        let wanted = [name];
        let described = match resource {
            "broker" => describe::broker(&layers, Some(&wanted)),
            "topic" => describe::topic(&layers, &none, Some(&wanted)),
            _ => describe::group(&layers, &none, Some(&wanted)),
        };
        let described = described.into_iter().next();
        let value = match (resource, described.as_ref().map(|one| one.value.clone())) {
            _ if key.is_sensitive() => "(hidden)".into(),
            ("broker", Some(None)) | ("broker", None) => {
                layers.inherited(name).map_or_else(|| "unset".into(), |value| value.text())
            }
            (_, value) => value.flatten().unwrap_or_else(|| "unset".into()),
        };
        let value = if value.is_empty() { "empty".into() } else { value };
        let own = described.and_then(|one| one.synonyms.into_iter().next()).map(|synonym| synonym.name);
        let inherited = if resource == "broker" { name } else { key.inherits };
        let speaker = own.unwrap_or_else(|| layers.speaker(inherited).to_string());
        let said = properties.entries.get(&speaker).map(|entry| match &entry.origin {
            Origin::File { path, line } => format!("{speaker} at {path}:{line}"),
            _ => speaker,
        });
        Some(match said {
            Some(place) => format!("{value}, by {place}"),
            None => format!("{value}, the default"),
        })
    }
}

fn standard(key: &Key) -> String {
    match key.standard {
        Standard::Required => "none; Kafka requires it".into(),
        Standard::Null => "unset".into(),
        Standard::Is(text) => format!("{text:?}"),
    }
}

/// What ringmill does with a setting, and why.
fn treatment(key: &Key) -> String {
    let reason = keys::reason(key).unwrap_or_default();
    match key.class {
        Class::Honoured => "honoured".into(),
        Class::Mapped => format!("mapped: it speaks where {reason} is not set"),
        Class::Accepted => format!("accepted, without effect: {reason}"),
        Class::Refused => format!("refused unless it is the default: {reason}"),
    }
}

/// Resource, name, type, default, allowed values, when it changes, class, reason, what it is: a table for scripts.
fn list() -> String {
    let resources: [(&str, Vec<&Key>); 4] = [
        ("broker", keys::all_broker().collect()),
        ("ringmill", keys::all_own().collect()),
        ("topic", keys::all_topic().collect()),
        ("group", keys::all_group().collect()),
    ];
    let mut text = String::new();
    for (resource, all) in resources {
        for key in all.into_iter().filter(|key| !key.internal) {
            let default = standard(key);
            let fields = [
                resource,
                key.name,
                &format!("{:?}", key.kind).to_lowercase(),
                &default,
                &key.allowed_words(),
                &format!("{:?}", key.update),
                &format!("{:?}", key.class).to_lowercase(),
                keys::reason(key).unwrap_or_default(),
                key.doc,
            ];
            let _ = writeln!(text, "{}", fields.join("\t"));
        }
    }
    text
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
        let explained = Explained::default();
        assert_eq!(explained.of_key("retention.ms").unwrap(), expected);
        let password = explained.of_key("listener.name.a.ssl.key.password").unwrap();
        assert!(password.contains("without effect: listeners with TLS or SASL are refused"));
        assert_eq!(explained.of_key("nonsense"), None);
        assert_eq!(explained.of_key("compression.type").unwrap().matches("setting)").count(), 2);
        assert!(explained.of_key("log.retention.hours").unwrap().contains("speaks where log.retention.ms is not set"));
        assert!(
            explained.of_key("authorizer.class.name").unwrap().contains("refused unless it is the default: without")
        );
    }

    #[test]
    fn with_a_file_the_value_in_effect_and_its_place_are_told() {
        let text = "log.retention.hours=2\nssl.key.password=abc\nmessage.max.bytes=7\nlog.dirs=/a,/b\n";
        let properties = Properties::parse("f", text.as_bytes()).unwrap();
        let said = properties.entries.iter().map(|(name, entry)| (name.clone(), entry.value.clone())).collect();
        let explained = Explained { of_file: Some((&properties, said)) };
        let in_effect = |name: &str| {
            let text = explained.of_key(name).unwrap();
            let lines = text.lines().filter_map(|line| line.strip_prefix("  in effect: ").map(str::to_owned));
            lines.collect::<Vec<String>>().join(" | ")
        };
        assert_eq!(in_effect("retention.ms"), "7200000, by log.retention.hours at f:1");
        assert_eq!(in_effect("log.retention.ms"), "7200000, by log.retention.hours at f:1");
        assert_eq!(in_effect("log.retention.hours"), "2, by log.retention.hours at f:1");
        assert_eq!(in_effect("max.message.bytes"), "7, by message.max.bytes at f:3");
        assert_eq!(in_effect("ssl.key.password"), "(hidden), by ssl.key.password at f:2");
        assert_eq!(in_effect("log.dirs"), "/a,/b, by log.dirs at f:4");
        assert_eq!(in_effect("num.partitions"), "1, the default");
        assert_eq!(in_effect("cordoned.log.dirs"), "empty, the default");
        assert_eq!(in_effect("broker.rack"), "unset, the default");
    }

    #[test]
    fn the_list_has_every_key_that_is_not_internal() {
        let text = list();
        assert_eq!(text.lines().filter(|line| line.starts_with("broker\t")).count(), 343);
        assert!(text.lines().all(|line| line.split('\t').count() == 9));
    }
}
