//! What is wrong with a setting, said so that its writer can mend it: where, what, what is allowed.

use std::fmt;
use std::sync::Arc;

/// Where a setting was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a properties file, counted from 1.
    File { path: Arc<str>, line: usize },
    /// `--override key=value`.
    Override,
    /// A flag of the command line, such as `--port`.
    Flag(&'static str),
    /// The defaults that hold when no file was named.
    Embedded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// One finding. Its text never shows a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub origin: Option<Origin>,
    /// One sentence: the key and what is wrong.
    pub what: String,
    /// The setting as it was written, `key=value`, and which part of it to underline.
    pub excerpt: Option<Excerpt>,
    /// What to write instead.
    pub help: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    pub key: String,
    pub value: String,
    /// Underline the value; else the key.
    pub value_marked: bool,
}

impl Problem {
    /// An error that belongs to no line.
    pub fn error(what: impl Into<String>) -> Self {
        Self { severity: Severity::Error, origin: None, what: what.into(), excerpt: None, help: None }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.severity {
            Severity::Error => write!(f, "error: ")?,
            Severity::Warning => write!(f, "warning: ")?,
        }
        match &self.origin {
            Some(Origin::File { path, line }) => write!(f, "{path}:{line}: ")?,
            Some(Origin::Override) => write!(f, "--override: ")?,
            Some(Origin::Flag(name)) => write!(f, "{name}: ")?,
            Some(Origin::Embedded) | None => {}
        }
        write!(f, "{}", self.what)?;
        if let Some(excerpt) = &self.excerpt {
            return self.fmt_excerpt(f, excerpt);
        }
        match &self.help {
            Some(help) => write!(f, "\n  {help}"),
            None => Ok(()),
        }
    }
}

impl Problem {
    fn fmt_excerpt(&self, f: &mut fmt::Formatter<'_>, excerpt: &Excerpt) -> fmt::Result {
        let number = match &self.origin {
            Some(Origin::File { line, .. }) => line.to_string(),
            _ => String::new(),
        };
        let (before, marked) = if excerpt.value_marked {
            (excerpt.key.chars().count() + 1, excerpt.value.chars().count())
        } else {
            (0, excerpt.key.chars().count())
        };
        let marks = "^".repeat(marked.max(1));
        write!(f, "\n{number:>5} | {}={}\n      | {:before$}{marks}", excerpt.key, excerpt.value, "")?;
        match &self.help {
            Some(help) => write!(f, " {help}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_points_at_its_place() {
        let problem = Problem {
            severity: Severity::Warning,
            origin: Some(Origin::File { path: "server.properties".into(), line: 14 }),
            what: "log.retention.hourz is not a known setting".into(),
            excerpt: Some(Excerpt { key: "log.retention.hourz".into(), value: "168".into(), value_marked: false }),
            help: Some("did you mean log.retention.hours?".into()),
        };
        let expected = "\
warning: server.properties:14: log.retention.hourz is not a known setting
   14 | log.retention.hourz=168
      | ^^^^^^^^^^^^^^^^^^^ did you mean log.retention.hours?";
        assert_eq!(problem.to_string(), expected);
    }
}
