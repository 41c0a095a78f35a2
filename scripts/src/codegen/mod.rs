//! `cargo x codegen`: writes `src/wire/generated/` from the message schemas inside Apache Kafka's jars.
//!
//! jars -> [`schema`] (what a schema says) -> [`message`] (one Rust module a schema) and [`tables`] (what lists them all).
//! Names, types, versions and tags are taken over; the schemas' prose is not.

mod jars;
mod message;
mod names;
mod schema;
mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The release whose schemas are checked in.
const KAFKA: &str = "4.3.1";

/// File name to text.
type Files = BTreeMap<String, String>;

/// Writes the generated files, or with `check` fails when those in the tree differ. The jars are looked for in `jar_dir`,
/// else in the directory that the environment's RINGMILL_KAFKA_LIBS names, else where `install` puts them.
pub(crate) fn run(
    check: bool,
    jar_dir: Option<PathBuf>,
    install: fn() -> Result<PathBuf, String>,
) -> Result<(), String> {
    let libs = match jar_dir.or_else(|| env::var_os("RINGMILL_KAFKA_LIBS").map(PathBuf::from)) {
        Some(dir) => dir,
        None => install()?,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the task crate has no parent directory")?;
    let target = root.join("src/wire/generated");
    let files = formatted(root, generate(&libs)?)?;
    if check { compare(&target, &files) } else { write(&target, &files) }
}

fn generate(libs: &Path) -> Result<Files, String> {
    let mut schemas = Vec::new();
    for (group, path, json) in jars::schemas(libs)? {
        let message = schema::parse(group, &json).map_err(|error| format!("{path}: {error}"))?;
        schemas.extend(message);
    }
    schemas.sort_by(|a, b| a.name.cmp(&b.name));
    let mut files = Files::new();
    for schema in schemas.iter().filter(|schema| schema.has_body()) {
        let response = schemas.iter().find(|other| schema.is_answered_by(other));
        let text = message::module(schema, response).map_err(|error| format!("{}: {error}", schema.name))?;
        files.insert(format!("{}.rs", names::snake(&schema.name)), text);
    }
    files.insert("mod.rs".into(), tables::modules(&schemas));
    files.insert("api.rs".into(), tables::apis(&schemas)?);
    files.insert("metadata_record.rs".into(), tables::metadata_records(&schemas)?);
    files.insert("coordinator_record.rs".into(), tables::coordinator_records(&schemas)?);
    files.insert("recode.rs".into(), tables::recode(&schemas));
    Ok(files)
}

/// Runs rustfmt over the files, in a directory of their own.
fn formatted(root: &Path, files: Files) -> Result<Files, String> {
    let dir = env::temp_dir().join(format!("ringmill-codegen-{}", std::process::id()));
    let result = format_in(&dir, root, files);
    let _ = fs::remove_dir_all(&dir);
    result
}

fn format_in(dir: &Path, root: &Path, files: Files) -> Result<Files, String> {
    write(dir, &files)?;
    // rustfmt follows `mod` declarations, so the root module alone covers all.
    let status = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root)
        .arg(dir.join("mod.rs"))
        .status()
        .map_err(|error| format!("run rustfmt: {error}"))?;
    if !status.success() {
        return Err(format!("rustfmt failed: {status}"));
    }
    let read = |name: &String| fs::read_to_string(dir.join(name)).map_err(|error| format!("read {name}: {error}"));
    files.keys().map(|name| Ok((name.clone(), read(name)?))).collect()
}

fn write(dir: &Path, files: &Files) -> Result<(), String> {
    let failed = |error| format!("write {}: {error}", dir.display());
    fs::create_dir_all(dir).map_err(failed)?;
    for (name, text) in files {
        let path = dir.join(name);
        // An unchanged file keeps its time, so that nothing is built anew.
        if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            fs::write(path, text).map_err(failed)?;
        }
    }
    for name in present(dir)?.iter().filter(|name| !files.contains_key(*name)) {
        fs::remove_file(dir.join(name)).map_err(failed)?;
    }
    Ok(())
}

fn compare(dir: &Path, files: &Files) -> Result<(), String> {
    let mut stale: Vec<String> = present(dir)?.into_iter().filter(|name| !files.contains_key(name)).collect();
    let differs = |(name, text): &(&String, &String)| fs::read_to_string(dir.join(name)).ok().as_ref() != Some(*text);
    stale.extend(files.iter().filter(differs).map(|(name, _)| name.clone()));
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("not what `cargo x codegen` writes, in {}: {}", dir.display(), stale.join(", ")))
}

fn present(dir: &Path) -> Result<Vec<String>, String> {
    let failed = |error| format!("read {}: {error}", dir.display());
    let entries = fs::read_dir(dir).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    Ok(entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}
