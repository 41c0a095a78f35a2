//! The checks that cargo runs, and the order of everything.

use crate::deps;
use crate::interop::{self, Options, Scratch};
use crate::process;
use crate::tally::Tally;
use crate::{codegen, compatibility, instructions, tidy};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Long enough to build everything from nothing on two cores.
const BUILD: Duration = Duration::from_secs(1200);

/// The parts of `./scripts/test`, in the order in which they run. `instructions` only where it is named: it takes an
/// optimised build of its own.
const PARTS: [&str; 5] = ["unit", "oracle", "interop", "crash", "instructions"];

pub(crate) fn run(tally: &mut Tally) {
    tally.check("cargo fmt", || cargo(&["fmt", "--all", "--check", "--", "--color=never"]));
    tidy::run(tally);
    tally.check("generated code is current", || codegen::run(true, None, deps::kafka_libs).map(|()| String::new()));
    tally.check("cargo clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    tally.check("docs/COMPATIBILITY.md is current", || {
        compatibility::run(true, &build_broker()?).map(|()| String::new())
    });
    tests(tally, "cargo test", &["test", "--workspace", "--no-fail-fast"]);
}

/// Runs the parts that `options` names, all of them when it names none; parts of interop can be named as well.
pub(crate) fn everything(mut options: Options, tally: &mut Tally) {
    let asked: Vec<String> = std::mem::take(&mut options.parts);
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|one| one == part);
    if wanted("unit") {
        run(tally);
    }
    if wanted("oracle") {
        oracles(tally);
    }
    let parts = interop::PARTS.iter().filter(|part| match **part {
        "crash" => wanted("crash"),
        part => wanted("interop") || asked.iter().any(|one| one == part),
    });
    options.parts = parts.map(|part| (*part).to_owned()).collect();
    if !options.parts.is_empty() {
        interop::run(&options, tally);
    }
    if asked.iter().any(|part| part == "instructions") {
        instructions::run(tally, false);
    }
    for part in &asked {
        if !PARTS.contains(&part.as_str()) && !interop::PARTS.contains(&part.as_str()) {
            tally.check(part, || Err(format!("no such part; there are {PARTS:?} and {:?}", interop::PARTS)));
        }
    }
}

/// Tests against Apache Kafka's own classes and files: cargo tests that are ignored, or look at nothing, where the
/// environment does not say where those are.
fn oracles(tally: &mut Tally) {
    let mut libs = PathBuf::new();
    let installed = tally.check("oracle: Kafka's jars are installed", || {
        libs = deps::kafka_libs()?;
        Ok(String::new())
    });
    let scratch = Scratch::new("oracle");
    let mut log = PathBuf::new();
    let written = installed
        && tally.check("oracle: a log that Apache Kafka wrote", || {
            log = interop::log_of_kafka(&libs, &scratch.0)?;
            Ok(String::new())
        });
    let (mut dirty, mut cleaned) = (PathBuf::new(), PathBuf::new());
    let compacted = written
        && tally.check("oracle: a log that Apache Kafka compacted", || {
            (dirty, cleaned) = interop::compacted_logs_of_kafka(&libs, &scratch.0)?;
            Ok(String::new())
        });
    if compacted {
        let run = deps::root().join("scripts/interop/kafka/run");
        let names = [
            ("RINGMILL_KAFKA_LIBS", libs.as_ref()),
            ("KAFKA_RUN", run.as_ref()),
            ("KAFKA_LOG", log.as_ref()),
            ("KAFKA_DIRTY", dirty.as_ref()),
            ("KAFKA_CLEANED", cleaned.as_ref()),
        ];
        let filters = ["oracle", "kafka_tests"];
        let args = ["test", "--workspace", "--no-fail-fast", "--lib", "--", "--include-ignored"];
        tests_with(tally, "oracle", &[&args[..], &filters[..]].concat(), &names);
    }
}

/// Builds the broker as its tests do, and gives its path. For a package alone cargo chooses other features of what it
/// depends on, and would build everything twice.
pub(crate) fn build_broker() -> Result<PathBuf, String> {
    cargo(&["test", "--workspace", "--test", "broker", "--no-run"])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| deps::root().join("target"), PathBuf::from);
    Ok(target.join("debug/ringmill"))
}

fn cargo(args: &[&str]) -> Result<String, String> {
    let mut command = Command::new("cargo");
    command.current_dir(deps::root()).args(args);
    process::output(&mut command, b"", BUILD).map(|_| String::new())
}

fn tests(tally: &mut Tally, name: &str, args: &[&str]) {
    tests_with(tally, name, args, &[]);
}

/// Runs cargo's tests, shows what failed, and adds each test to the tally.
pub(crate) fn tests_with(tally: &mut Tally, name: &str, args: &[&str], env: &[(&str, &std::ffi::OsStr)]) {
    let mut counts = (0, 0);
    tally.check(name, || {
        let mut command = Command::new("cargo");
        command.current_dir(deps::root()).args(args).envs(env.iter().copied()).env("RUST_BACKTRACE", "0");
        let output = process::run_with(&mut command, b"", BUILD)?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        counts = count(&out);
        if output.status.success() { Ok(format!("{} tests", counts.0)) } else { Err(failures(&out, &err)) }
    });
    tally.add(name, counts.0, counts.1);
}

/// Sums up the lines `test result: ok. 3 passed; 0 failed; ...`.
fn count(out: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in out.lines().filter(|line| line.starts_with("test result: ")) {
        let number = |word: &str| {
            let part = line.split(';').find(|part| part.contains(word))?;
            part.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).next()
        };
        sum.0 += number(" passed").unwrap_or(0);
        sum.1 += number(" failed").unwrap_or(0);
    }
    sum
}

/// What a test run printed, without the tests that passed and without cargo's progress.
fn failures(out: &str, err: &str) -> String {
    let quiet = ["   Compiling", "    Finished", "     Running", "   Doc-tests", "running "];
    let fine =
        |line: &str| line.ends_with("... ok") || line.contains("... ignored") || line.starts_with("test result: ok");
    // What brokers under test log: 2026-11-28T01:58:58.895Z ERROR ...
    let logged = |line: &str| line.split(' ').next().is_some_and(|word| word.len() == 24 && word.ends_with('Z'));
    let told = |line: &&str| !fine(line) && !logged(line) && !quiet.iter().any(|start| line.starts_with(start));
    let lines: Vec<&str> = out.lines().chain(err.lines()).filter(|line| !line.is_empty()).filter(told).collect();
    lines[lines.len().saturating_sub(120)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_runs_are_summed_up() {
        let out = "test a ... ok\ntest result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                   test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(count(out), (15, 2));
    }
}
