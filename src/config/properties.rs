//! What was said: a properties file, overrides and flags, each with its origin. Nothing is interpreted here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use java_properties::{LineContent, PropertiesIter};

use super::keys;
use super::problem::{Excerpt, Origin, Problem, Severity};

/// One `key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub value: String,
    pub origin: Origin,
}

/// All that was said, a later word for the same key replacing an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    pub entries: BTreeMap<String, Entry>,
}

/// Longest file that is read, in bytes.
const FILE_SIZE_MAX: u64 = 1 << 20;

impl Properties {
    /// What holds when no file is named: one node on loopback with its data in `./ringmill-data`.
    pub fn embedded() -> Self {
        let mut properties = Self::default();
        for (key, value) in [
            ("process.roles", "broker,controller"),
            ("node.id", "1"),
            ("listeners", "PLAINTEXT://127.0.0.1:9092"),
            ("log.dirs", "ringmill-data"),
            ("offsets.topic.replication.factor", "1"),
            ("transaction.state.log.replication.factor", "1"),
            ("transaction.state.log.min.isr", "1"),
            ("share.coordinator.state.topic.replication.factor", "1"),
            ("share.coordinator.state.topic.min.isr", "1"),
        ] {
            properties.set(key, value, Origin::Embedded);
        }
        properties
    }

    /// Reads a file of at most 1 MiB in the format of `java.util.Properties`.
    pub fn read(path: &Path) -> Result<Self, Box<Problem>> {
        let size = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
        if size > FILE_SIZE_MAX {
            let what = format!("{} has {size} bytes; at most 1 MiB is read", path.display());
            return Err(Box::new(Problem::error(what)));
        }
        let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        Self::parse(&path.display().to_string(), &bytes)
    }

    /// Parses `bytes` as a properties file that messages call `path`.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self, Box<Problem>> {
        let path: Arc<str> = path.into();
        let at = |line| Origin::File { path: path.clone(), line };
        let mut properties = Self::default();
        for line in PropertiesIter::new(bytes) {
            let line = line.map_err(|error| {
                let origin = error.line_number().map(at);
                Box::new(Problem { origin, ..Problem::error(format!("this line can't be read: {error}")) })
            })?;
            let number = line.line_number();
            if let LineContent::KVPair(key, value) = line.consume_content() {
                properties.set(&key, value.trim(), at(number));
            }
        }
        Ok(properties)
    }

    /// Takes `key=value` from `--override`.
    pub fn set_override(&mut self, text: &str) -> Result<(), Box<Problem>> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                self.set(key.trim(), value.trim(), Origin::Override);
                Ok(())
            }
            _ => Err(Box::new(Problem::error(format!("--override {text}: key=value is wanted")))),
        }
    }

    pub fn set(&mut self, key: &str, value: &str, origin: Origin) {
        self.entries.insert(key.into(), Entry { value: value.into(), origin });
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|entry| entry.value.as_str())
    }

    /// An error about the setting `key`: pointing at its value if it was said, else at nothing.
    pub fn error(&self, key: &str, what: impl Into<String>, help: impl Into<String>) -> Problem {
        self.problem(Severity::Error, key, true, what.into(), Some(help.into()))
    }

    /// A warning about the setting `key`, pointing at its name.
    pub fn warning(&self, key: &str, what: impl Into<String>, help: Option<String>) -> Problem {
        self.problem(Severity::Warning, key, false, what.into(), help)
    }

    fn problem(
        &self,
        severity: Severity,
        key: &str,
        value_marked: bool,
        what: String,
        help: Option<String>,
    ) -> Problem {
        let entry = self.entries.get(key).filter(|entry| entry.origin != Origin::Embedded);
        let origin = entry.map(|entry| entry.origin.clone());
        // What no table knows might be a password too.
        let hidden = keys::of_file(key).is_none_or(keys::Key::is_sensitive) && value_marked;
        let excerpt = entry.map(|entry| Excerpt {
            key: key.into(),
            value: if hidden || looks_secret(key) { "[hidden]".into() } else { entry.value.clone() },
            value_marked,
        });
        Problem { severity, origin, what, excerpt, help }
    }
}

fn looks_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    keys::of_file(&key).is_some_and(keys::Key::is_sensitive)
        || ["password", "passphrase", "secret", "jaas", "token"].iter().any(|word| key.contains(word))
            && keys::of_file(&key).is_none()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Box<Problem> {
    Box::new(Problem::error(format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers_and_the_last_word_counts() {
        let text = b"# comment\n\nnode.id = 7\nlisteners=\\\n  PLAINTEXT://:9092\nnode.id=8 \nempty\n";
        let mut properties = Properties::parse("a", text).unwrap();
        assert_eq!(properties.entries["node.id"].origin, Origin::File { path: "a".into(), line: 6 });
        assert_eq!(properties.get("node.id"), Some("8"));
        assert_eq!(properties.get("listeners"), Some("PLAINTEXT://:9092"));
        assert_eq!(properties.get("empty"), Some(""));
        properties.set_override("node.id=9=10").unwrap();
        assert_eq!(properties.get("node.id"), Some("9=10"));
        assert!(properties.set_override("node.id").is_err());
    }

    #[test]
    fn a_broken_escape_is_an_error_with_its_line() {
        let problem = Properties::parse("a", b"x=1\ny=\\u12\n").unwrap_err();
        assert_eq!(problem.origin, Some(Origin::File { path: "a".into(), line: 2 }));
    }

    #[test]
    fn a_password_is_never_shown() {
        let properties = Properties::parse("a", b"ssl.key.password=hunter2\nmy.secret.key=hunter2\n").unwrap();
        for key in ["ssl.key.password", "my.secret.key"] {
            assert!(!properties.error(key, "x", "y").to_string().contains("hunter2"));
            assert!(!properties.warning(key, "x", None).to_string().contains("hunter2"));
        }
    }
}
