//! Which room may speak to which; the map is in docs/ARCHITECTURE.md.

use super::source::Source;
use std::path::{Component, Path};

/// Rooms of `src/`, from the outermost to the innermost. A room may use those of later rows, not its neighbours in a row.
///
/// `net` hands each frame to whoever implements its handler, which `api` does: so `api` knows `net` and not the reverse.
const ROWS: [&[&str]; 10] = [
    &["main", "start", "cli"],
    &["shard"],
    &["api"],
    &["net"],
    &["groups", "telemetry", "transactions", "controller", "security", "admin"],
    &["route"],
    &["partition"],
    &["log"],
    &["chance", "tickets"],
    &["calls", "config", "metrics"],
];

/// Arrows that go another way, each with its reason.
const EXCEPTIONS: [(&str, &str); 0] = [];

/// Path dependencies that each crate may have.
const CRATES: [(&str, &[&str]); 6] = [
    ("src/wire", &[]),
    ("src/state", &["wire"]),
    ("shards", &[]),
    ("perf", &["wire"]),
    ("scripts", &[]),
    ("", &["wire", "state", "shards"]),
];

pub(crate) fn arrows(files: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let Some(from) = room(&file.path) else { continue };
        for (number, line) in file.code().lines().enumerate() {
            for to in named(line) {
                if !allowed(&from, &to) {
                    faults.push(format!("{}:{}: {from} uses {to}", file.path.display(), number + 1));
                }
            }
        }
    }
    faults
}

/// The room of a file of the package `ringmill`; the crates below src/ and the tests are not rooms.
fn room(path: &Path) -> Option<String> {
    let mut parts = path.components();
    if parts.next() != Some(Component::Normal("src".as_ref())) {
        return None;
    }
    let name = Path::new(parts.next()?.as_os_str()).file_stem()?.to_string_lossy().into_owned();
    (!["wire", "state", "tests", "lib", "bin"].contains(&name.as_str())).then_some(name)
}

/// The rooms that a line of code names: `crate::room` and `crate::{room, other::Thing}`.
fn named(line: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, found) in line.match_indices("crate::") {
        let rest = &line[at + found.len()..];
        match rest.strip_prefix('{') {
            None => rooms.push(word(rest)),
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && !c.is_whitespace() => {
                            rooms.push(word(&list[i..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    rooms.retain(|room| ROWS.iter().any(|row| row.contains(&room.as_str())));
    rooms
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn allowed(from: &str, to: &str) -> bool {
    let row = |room: &str| ROWS.iter().position(|row| row.contains(&room));
    match (row(from), row(to)) {
        _ if from == to || EXCEPTIONS.contains(&(from, to)) => true,
        (Some(from), Some(to)) => from < to,
        // A room that is in no row is a fault of its own: it has to find its place first.
        _ => false,
    }
}

/// wire <- state <- ringmill -> shards; perf -> wire
pub(crate) fn crates(files: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let directory = file.path.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
        let Some((_, allowed)) = CRATES.iter().find(|(crate_directory, _)| *crate_directory == directory) else {
            faults.push(format!("{}: a crate that is in no row of the table", file.path.display()));
            continue;
        };
        for name in dependencies(&file.text) {
            if ["wire", "state", "shards"].contains(&name.as_str()) && !allowed.contains(&name.as_str()) {
                faults.push(format!("{}: depends on {name}", file.path.display()));
            }
        }
    }
    faults
}

/// Names under `[dependencies]`; those of tests may go any way.
fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    section.take_while(|line| !line.starts_with('[')).map(word).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_inwards() {
        let fault = |path: &str, text: &str| arrows(&[Source::new(path, text)]);
        assert!(fault("src/api/table.rs", "use crate::net::Outcome;").is_empty());
        assert!(fault("src/log/segment.rs", "use crate::log::index;").is_empty());
        assert!(fault("src/log/mod.rs", "// crate::api is not for us").is_empty());
        assert_eq!(fault("src/log/segment.rs", "use crate::{config, api::x};"), ["src/log/segment.rs:1: log uses api"]);
        assert_eq!(fault("src/config/mod.rs", "use crate::metrics::Metrics;").len(), 1);
        assert!(fault("src/tests/hostile.rs", "use crate::net;").is_empty());
        assert!(fault("src/wire/codec.rs", "use crate::api;").is_empty());
    }

    #[test]
    fn crates_know_their_place() {
        let manifest = |path: &str, name: &str| {
            crates(&[Source::new(path, &format!("[dependencies]\n{name}.workspace = true\n"))])
        };
        assert!(manifest("src/state/Cargo.toml", "wire").is_empty());
        assert_eq!(manifest("src/wire/Cargo.toml", "state").len(), 1);
        assert!(manifest("Cargo.toml", "shards").is_empty());
    }
}
