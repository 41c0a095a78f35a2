//! The flat part of YAML that workload files need: `key: value`, one level of nested keys, lists of strings, comments.
//!
//! Anything else is refused with its line, so that no file means here something else than to a real parser. Why no crate: decision 12.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::failure::Failure;

/// The values of one file by `key` or `parent.key`. A list is one value, an item a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fields(BTreeMap<String, String>);

impl Fields {
    pub(crate) fn parse(text: &str) -> Result<Fields, Failure> {
        let mut fields = BTreeMap::new();
        let (mut parent, mut list) = (String::new(), None::<String>);
        for (number, line) in text.lines().enumerate() {
            let fault = |why: &str| Failure::Setup(format!("line {}: {why}: {line}", number + 1));
            let bare = without_comment(line);
            if bare.is_empty() {
                continue;
            }
            let depth = bare.len() - bare.trim_start().len();
            if let Some(item) = bare.trim_start().strip_prefix("- ") {
                let list = list.as_ref().ok_or_else(|| fault("an item of no list"))?;
                let items: &mut String = fields.entry(list.clone()).or_default();
                items.push_str(scalar(item).ok_or_else(|| fault("no plain string"))?);
                items.push('\n');
                continue;
            }
            let (key, value) = bare.trim_start().split_once(':').ok_or_else(|| fault("no `key: value`"))?;
            let key = match depth {
                0 => key.to_owned(),
                2 if !parent.is_empty() => format!("{parent}.{key}"),
                _ => return Err(fault("nested deeper than this reader goes")),
            };
            let value = scalar(value).ok_or_else(|| fault("no plain value"))?;
            list = None;
            if value.is_empty() {
                // What follows says whether this is a map or a list; only the first level has maps.
                if depth == 0 {
                    parent.clone_from(&key);
                }
                list = Some(key);
                continue;
            }
            if depth == 0 {
                parent.clear();
            }
            if fields.insert(key, value.to_owned()).is_some() {
                return Err(fault("the same key again"));
            }
        }
        Ok(Fields(fields))
    }

    /// Takes a value out; `otherwise` where there is none.
    pub(crate) fn take<T: FromStr<Err: Display>>(&mut self, key: &str, otherwise: T) -> Result<T, Failure> {
        let Some(value) = self.0.remove(key) else { return Ok(otherwise) };
        value.parse().map_err(|why| Failure::Setup(format!("{key}: {value}: {why}")))
    }

    pub(crate) fn take_text(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// Every key has to have a meaning.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.0.first_key_value() {
            Some((key, _)) => Err(Failure::Setup(format!("{key} means nothing here"))),
            None => Ok(()),
        }
    }
}

/// A comment starts the line or follows a space.
fn without_comment(line: &str) -> &str {
    let end = if line.starts_with('#') { 0 } else { line.find(" #").unwrap_or(line.len()) };
    line[..end].trim_end()
}

/// A plain or quoted string; None for anything that YAML reads in another way.
fn scalar(text: &str) -> Option<&str> {
    let text = text.trim();
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.strip_suffix('"').filter(|inside| !inside.contains(['"', '\\']));
    }
    let plain = !text.starts_with(['[', '{', '&', '*', '!', '|', '>', '\'', '%', '@', '`']) && !text.contains(": ");
    plain.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_file_is_read_and_anything_else_refused() {
        let text = "# about\nname: \"1 KiB: many\"  # quoted\ntopics: 1\nringmill:\n  kind: produce\n  figures:\n    - a/b, ms, <= 2x\n    - c\n";
        let mut fields = Fields::parse(text).unwrap();
        assert_eq!(fields.take_text("name").unwrap(), "1 KiB: many");
        assert_eq!(fields.take("topics", 7u32).unwrap(), 1);
        assert_eq!(fields.take("absent", 7u32).unwrap(), 7);
        assert_eq!(fields.take_text("ringmill.kind").unwrap(), "produce");
        assert_eq!(fields.take_text("ringmill.figures").unwrap(), "a/b, ms, <= 2x\nc\n");
        fields.finish().unwrap();
        for wrong in ["a", "a: [1]", "a: 1\na: 2", "a:\n  b:\n    c: 1", "  b: 1", "- a", "a: 'b'", "a: b: c"] {
            assert!(Fields::parse(wrong).is_err(), "{wrong}");
        }
        let mut fields = Fields::parse("a: x").unwrap();
        assert!(fields.take("a", 1u32).is_err());
        assert!(Fields::parse("b: 1").unwrap().finish().is_err());
    }
}
