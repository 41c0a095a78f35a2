//! `cargo x compatibility`: writes docs/COMPATIBILITY.md from the tables of the binary and from what tests cover.
//!
//! The binary says which APIs it answers and which settings it knows. `docs/compatibility/*.txt` say which test covers
//! each of them; an API, a tool or an honoured setting without a test is refused, and so is a test that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::deps;
use crate::process;

const TARGET: &str = "docs/COMPATIBILITY.md";
const SOURCES: &str = "docs/compatibility";

/// Writes the page, or with `check` fails where the one in the tree differs.
pub(crate) fn run(check: bool, binary: &Path) -> Result<(), String> {
    let root = deps::root();
    let text = page(&Tree(root.clone()), &tool(binary, &["apis"])?, &tool(binary, &["config", "list"])?)?;
    let path = root.join(TARGET);
    if check {
        let current = fs::read_to_string(&path).map_err(|error| format!("read {TARGET}: {error}"))?;
        let stale = || format!("{TARGET} is not what `cargo x compatibility` writes");
        return if current == text { Ok(()) } else { Err(stale()) };
    }
    fs::write(&path, text).map_err(|error| format!("write {TARGET}: {error}"))
}

fn tool(binary: &Path, args: &[&str]) -> Result<String, String> {
    process::text(Command::new(binary).args(args), b"", Duration::from_secs(60))
}

/// The files that rows are checked against.
struct Tree(PathBuf);

impl Tree {
    fn read(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(self.0.join(path)).map_err(|error| format!("read {path}: {error}"))
    }

    /// Fails unless the test is there: `path::function`, or `path: words of a check`.
    fn require(&self, test: &str) -> Result<(), String> {
        let (path, wanted) = match test.split_once("::") {
            Some((path, function)) => (path, format!("fn {function}(")),
            None => match test.split_once(": ") {
                Some((path, words)) => (path, words.to_owned()),
                None => return Err(format!("{test}: neither path::function nor path: words")),
            },
        };
        let text = self.read(path)?;
        if text.contains(&wanted) { Ok(()) } else { Err(format!("{path} has no {wanted:?}")) }
    }
}

/// The kind of resource, and the key.
type Setting = (String, String);

/// A line of a source file: what it speaks of, the test, and what there is to be said.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    subject: String,
    test: String,
    note: String,
}

/// Lines `subject | test | note`, the note being optional. Empty lines and those that begin with `#` are skipped.
fn rows(text: &str) -> Result<Vec<Row>, String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let row = |line: &str| {
        let mut fields = line.split('|').map(|field| field.trim().to_owned());
        let (subject, test) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        if subject.is_empty() || test.is_empty() {
            return Err(format!("{line:?} names no test"));
        }
        Ok(Row { subject, test, note: fields.next().unwrap_or_default() })
    };
    lines.map(row).collect()
}

fn page(tree: &Tree, apis: &str, configs: &str) -> Result<String, String> {
    let mut out = String::from(
        "# Compatibility\n\nWritten by `cargo x compatibility` from the tables of the binary; do not edit. Apache Kafka 4.3.1 is the \
         measure.\nEach row names the test that covers it: a row without one is not written.\n",
    );
    write_apis(tree, apis, &mut out)?;
    write_tools(tree, &mut out)?;
    write_configs(tree, configs, &mut out)?;
    write_conformance(tree, &mut out)?;
    Ok(out)
}

fn write_apis(tree: &Tree, apis: &str, out: &mut String) -> Result<(), String> {
    let mut said: BTreeMap<String, Row> = BTreeMap::new();
    for row in rows(&tree.read(&format!("{SOURCES}/apis.txt"))?)? {
        tree.require(&row.test)?;
        said.insert(row.subject.clone(), row);
    }
    out.push_str(
        "\n## APIs\n\nVersions are those that ApiVersions tells. Where the note says *absent*, the API answers as Apache Kafka \
         does where there is\nno such thing or its feature is off.\n\n| key | API | versions | listeners | covered by | note |\n|---|---|---|---|---|---|\n",
    );
    for line in apis.lines() {
        let [key, name, min, max, listeners, _] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("{line:?} is no API"));
        };
        let row =
            said.remove(name).ok_or_else(|| format!("no test is named for the API {name} in {SOURCES}/apis.txt"))?;
        let _ = writeln!(out, "| {key} | {name} | {min}-{max} | {listeners} | `{}` | {} |", row.test, row.note);
    }
    match said.keys().next() {
        Some(name) => Err(format!("{name} of {SOURCES}/apis.txt is no API that is answered")),
        None => Ok(()),
    }
}

fn write_tools(tree: &Tree, out: &mut String) -> Result<(), String> {
    out.push_str("\n## Tools and clients\n\n| tool | covered by | note |\n|---|---|---|\n");
    for Row { subject, test, note } in rows(&tree.read(&format!("{SOURCES}/tools.txt"))?)? {
        tree.require(&test)?;
        let _ = writeln!(out, "| {subject} | `{test}` | {note} |");
    }
    Ok(())
}

/// The test of each setting that has an effect, and those of which no test is known yet.
fn tested(tree: &Tree) -> Result<(BTreeMap<Setting, String>, BTreeSet<Setting>), String> {
    let (mut tests, mut open) = (BTreeMap::new(), BTreeSet::new());
    for Row { subject, test, .. } in rows(&tree.read(&format!("{SOURCES}/configs.txt"))?)? {
        let mut words = subject.split_whitespace();
        let resource = words.next().unwrap_or_default().to_owned();
        if test != "none" {
            tree.require(&test)?;
        }
        for key in words {
            let name = (resource.clone(), key.to_owned());
            if test == "none" {
                open.insert(name);
            } else if tests.insert(name, test.clone()).is_some() {
                return Err(format!("{key} stands twice in {SOURCES}/configs.txt"));
            }
        }
    }
    Ok((tests, open))
}

fn write_configs(tree: &Tree, configs: &str, out: &mut String) -> Result<(), String> {
    let (mut tests, mut open) = tested(tree)?;
    out.push_str(
        "\n## Settings\n\nEvery setting of Kafka is known, with its type, bounds and default; `src/config/oracle` compares them with \
         Kafka's own.\n*Honoured*: it does what it does in Kafka. *Mapped*: another key carries its value. *Accepted*: read, \
         checked and\nreported, without effect. *Refused*: any value but the default is an error, since to ignore it would \
         break durability or\nsecurity. *Read*: its value reaches the code that shall honour it, and no test shows the effect.\n",
    );
    let mut section = "";
    for line in configs.lines() {
        let [resource, name, kind, default, _, update, class, reason, _] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            return Err(format!("{line:?} is no setting"));
        };
        if section != resource {
            section = resource;
            let _ = writeln!(
                out,
                "\n### {}\n\n| key | type | default | changes | here | why, or covered by |",
                title(resource)
            );
            out.push_str("|---|---|---|---|---|---|\n");
        }
        let key = (resource.to_owned(), name.to_owned());
        let (class, why) = match class {
            "honoured" | "mapped" if open.remove(&key) => ("read", "no test of its effect".to_owned()),
            "honoured" | "mapped" => {
                let test = tests.remove(&key).ok_or_else(|| {
                    format!(
                        "no test is named for the {resource} setting {name} in {SOURCES}/configs.txt, and it is {class}"
                    )
                })?;
                let target = if reason.is_empty() { String::new() } else { format!("to {reason}; ") };
                (class, format!("{target}`{test}`"))
            }
            other => (other, reason.to_owned()),
        };
        let changes = match update {
            "ReadOnly" => "at a start",
            "PerBroker" => "per broker",
            _ => "while running",
        };
        let default = if default.len() > 60 { "(long)" } else { default };
        let default = default.replace('|', "\\|");
        let _ = writeln!(out, "| {name} | {kind} | {default} | {changes} | {class} | {why} |");
    }
    match tests.keys().chain(&open).next() {
        Some((resource, name)) => {
            Err(format!("{SOURCES}/configs.txt names {resource} {name}, which is no setting that is honoured"))
        }
        None => Ok(()),
    }
}

fn title(resource: &str) -> &str {
    match resource {
        "broker" => "Broker",
        "ringmill" => "ringmill's own",
        "topic" => "Topic",
        _ => "Group",
    }
}

fn write_conformance(tree: &Tree, out: &mut String) -> Result<(), String> {
    out.push_str("\n## Apache Kafka's own tests\n\nThese pass, see scripts/conformance.txt:\n\n");
    let passing = tree.read("scripts/conformance.txt")?;
    for class in passing.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let _ = writeln!(out, "- {}", class.trim());
    }
    out.push_str("\nThese cannot pass against a broker that is a process of its own:\n\n| test | why |\n|---|---|\n");
    for Row { subject, test: reason, .. } in rows(&tree.read(&format!("{SOURCES}/conformance.txt"))?)? {
        let _ = writeln!(out, "| {subject} | {reason} |");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_subject_and_a_test() {
        let row = |subject: &str, test: &str, note: &str| Row {
            subject: subject.into(),
            test: test.into(),
            note: note.into(),
        };
        assert_eq!(rows("# no row\n\nA | b::c | d\nE|f: g\n"), Ok(vec![row("A", "b::c", "d"), row("E", "f: g", "")]));
        assert!(rows("A |").unwrap_err().contains("names no test"));
    }

    #[test]
    fn what_no_test_covers_is_refused() {
        let tree = Tree(deps::root());
        assert_eq!(tree.require("scripts/src/compatibility.rs::what_no_test_covers_is_refused"), Ok(()));
        assert!(tree.require("scripts/src/tally.rs::no_such_test").unwrap_err().contains("has no"));
        let mut out = String::new();
        assert!(write_apis(&tree, "999\tNoSuchApi\t0\t1\tbroker\t\n", &mut out).unwrap_err().contains("NoSuchApi"));
        let line = "broker\tno.such.key\tint\t\"1\"\t\tReadOnly\thonoured\t\tNothing.\n";
        assert!(write_configs(&tree, line, &mut out).unwrap_err().contains("no.such.key"));
    }
}
