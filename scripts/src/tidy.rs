//! `cargo x tidy`: the rules of this repository that no compiler checks. Each is a few lines; new ones are welcome.

mod rooms;
mod source;

use crate::deps;
use crate::tally::Tally;
use source::Source;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A file of more lines than this is two files, unless it is in [`LONG`].
const LINES: usize = 500;

/// Files that are truer in one piece, with the lines they may have. The numbers only ever go down.
const LONG: [(&str, usize); 0] = [];

/// Words that belong to one machine or to nobody, and where they are allowed all the same.
const FORBIDDEN: [(&str, &[&str]); 7] = [
    ("TODO", &["scripts/src/tidy.rs"]),
    ("FIXME", &["scripts/src/tidy.rs"]),
    ("XXX", &["scripts/src/tidy.rs"]),
    ("/work/", &["scripts/src/tidy.rs"]),
    ("/root/", &["scripts/src/tidy.rs"]),
    ("/home/", &["scripts/src/tidy.rs"]),
    ("../shared", &["scripts/src/tidy.rs", ".ci/run"]),
];

pub(crate) fn run(tally: &mut Tally) {
    let root = deps::root();
    let files: Vec<Source> = match source::read(&root) {
        Ok(files) => files,
        Err(reason) => {
            tally.check("tidy", || Err(reason));
            return;
        }
    };
    type Rule = fn(&[Source]) -> Vec<String>;
    let rules: [(&str, Rule); 7] = [
        ("arrows between rooms", rooms::arrows),
        ("arrows between crates", rooms::crates),
        ("unsafe and io_uring stay in shards", shards_only),
        ("error codes are mapped in api", error_codes),
        ("file length", lengths),
        ("forbidden words", forbidden),
        ("decisions are numbered once", decisions),
    ];
    for (name, rule) in rules {
        tally.check(&format!("tidy: {name}"), || {
            let faults = rule(&files);
            if faults.is_empty() { Ok(String::new()) } else { Err(faults.join("\n")) }
        });
    }
}

/// `shards` is the only crate with `unsafe`, glommio and the ring; the others forbid unsafe code.
fn shards_only(files: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| !file.path.starts_with("shards") && file.is_rust()) {
        for word in ["unsafe", "glommio", "io_uring"] {
            faults.extend(file.code_lines_with(word).map(|line| format!("{line}: {word} outside shards/")));
        }
    }
    let roots = ["src/lib.rs", "src/main.rs", "src/wire/lib.rs", "src/state/lib.rs"];
    for file in files.iter().filter(|file| roots.iter().any(|root| file.path == Path::new(root))) {
        if !file.text.contains("#![forbid(unsafe_code)]") {
            faults.push(format!("{}: without #![forbid(unsafe_code)]", file.path.display()));
        }
    }
    faults
}

/// Inner rooms have errors of their own; what the wire calls them is decided in one place.
fn error_codes(files: &[Source]) -> Vec<String> {
    let elsewhere = files.iter().filter(|file| {
        let path = &file.path;
        file.is_rust()
            && path.starts_with("src")
            && !["src/api", "src/wire", "src/tests"].iter().any(|room| path.starts_with(room))
    });
    let faults = elsewhere
        .flat_map(|file| file.code_lines_with("ErrorCode").map(|line| format!("{line}: ErrorCode outside src/api")));
    faults.collect()
}

fn lengths(files: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && !file.is_generated()) {
        let (lines, name) = (file.text.lines().count(), file.path.display().to_string());
        let allowed = LONG.iter().find(|(path, _)| *path == name).map(|(_, lines)| *lines);
        match allowed {
            None if lines > LINES => faults.push(format!("{name}: {lines} lines, more than {LINES}")),
            Some(most) if lines > most => faults.push(format!("{name}: {lines} lines, more than its {most}")),
            Some(_) if lines <= LINES => faults.push(format!("{name}: needs no exception any more")),
            _ => {}
        }
    }
    faults
}

fn forbidden(files: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| !file.is_generated()) {
        for (word, allowed) in FORBIDDEN {
            if allowed.iter().any(|path| file.path == Path::new(path)) {
                continue;
            }
            faults.extend(file.lines_with(word).map(|line| format!("{line}: {word}")));
        }
    }
    faults
}

/// docs/decisions/NNNN-what.md
fn decisions(files: &[Source]) -> Vec<String> {
    let mut seen: HashMap<String, PathBuf> = HashMap::new();
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("docs/decisions")) {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number: String = name.chars().take_while(char::is_ascii_digit).collect();
        if number.len() != 4 || !name[4..].starts_with('-') {
            faults.push(format!("{}: not NNNN-what.md", file.path.display()));
        } else if let Some(other) = seen.insert(number, file.path.clone()) {
            faults.push(format!("{}: has the number of {}", file.path.display(), other.display()));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(path: &str, text: &str) -> Source {
        Source::new(path, text)
    }

    #[test]
    fn unsafe_is_found_in_code_and_not_in_words_about_it() {
        let head = "#![forbid(unsafe_code)]\n";
        assert!(
            shards_only(&[rust("src/lib.rs", &format!("{head}// unsafe, said here\nlet s = \"unsafe\";"))]).is_empty()
        );
        assert_eq!(
            shards_only(&[rust("src/lib.rs", &format!("{head}fn f() {{ unsafe {{}} }}"))]),
            ["src/lib.rs:2: unsafe outside shards/"]
        );
        assert!(shards_only(&[rust("shards/src/ring.rs", "unsafe {}")]).is_empty());
        assert_eq!(shards_only(&[rust("src/lib.rs", "")]).len(), 1);
    }

    #[test]
    fn long_files_are_found() {
        assert!(lengths(&[rust("src/a.rs", &"\n".repeat(500))]).is_empty());
        assert_eq!(lengths(&[rust("src/a.rs", &"\n".repeat(501))]).len(), 1);
        assert!(lengths(&[rust("src/wire/generated/a.rs", &"\n".repeat(9000))]).is_empty());
    }

    #[test]
    fn error_codes_are_for_api() {
        assert!(error_codes(&[rust("src/api/produce.rs", "use wire::ErrorCode;")]).is_empty());
        assert_eq!(error_codes(&[rust("src/log/mod.rs", "use wire::ErrorCode;")]).len(), 1);
    }

    #[test]
    fn a_decision_has_a_number_of_its_own() {
        let two = [
            rust("docs/decisions/0001-a.md", ""),
            rust("docs/decisions/0001-b.md", ""),
            rust("docs/decisions/x.md", ""),
        ];
        assert_eq!(decisions(&two).len(), 2);
    }
}
