//! `cargo x`: the tasks of this repository.

mod ci;
mod codegen;
mod compatibility;
mod deps;
mod instructions;
mod interop;
mod process;
mod tally;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;
use tally::Tally;

const USAGE: &str = "usage: cargo x TASK
  ci                       format, lints, tidy, generated code, tests: what needs no other client
  test [PART...]           everything: unit, instructions, oracle, interop, crash; what ./scripts/test runs
  tidy                     the rules of this repository that no compiler checks
  codegen [--check]        writes src/wire/generated from the schemas inside Kafka's jars
  compatibility [--check | --binary PATH]
                           writes docs/COMPATIBILITY.md from the tables of the binary and the tests that cover them
  interop [PART...]        real clients against a broker: tools kcat python matrix dump telemetry
                           takeover groups direct hostile crash compare
  instructions [--update]  what the hot path takes under callgrind, against benches/instructions.txt
  deps                     installs what the tests need into the cache
options of test and interop:
  --bootstrap HOST:PORT    a broker that already runs (only tools kcat python matrix)
  --binary PATH            this ringmill instead of one that is built now
  --control                Apache Kafka itself instead of ringmill
  --quick                  fewer records and rounds";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let mut tally = Tally::default();
    let rest: Vec<String> = args.collect();
    match (task.as_str(), rest.as_slice()) {
        ("ci", []) => ci::run(&mut tally),
        ("tidy", []) => tidy::run(&mut tally),
        ("codegen", []) => return plain(codegen::run(false, None, deps::kafka_libs)),
        ("codegen", [flag]) if flag == "--check" => return plain(codegen::run(true, None, deps::kafka_libs)),
        ("compatibility", []) => return plain(compatible(false, None)),
        ("compatibility", [flag]) if flag == "--check" => return plain(compatible(true, None)),
        ("compatibility", [flag, path]) if flag == "--binary" => return plain(compatible(false, Some(path))),
        ("instructions", []) => instructions::run(&mut tally, false),
        ("instructions", [flag]) if flag == "--update" => instructions::run(&mut tally, true),
        ("deps", []) => return plain(deps::everything()),
        ("test", rest) => match options(rest) {
            Ok(options) => ci::everything(options, &mut tally),
            Err(reason) => return usage(&reason),
        },
        ("interop", rest) => match options(rest) {
            Ok(options) => interop::run(&options, &mut tally),
            Err(reason) => return usage(&reason),
        },
        _ => return usage(""),
    }
    tally.close()
}

/// With the tables of `binary`, or of one that is built now.
fn compatible(check: bool, binary: Option<&String>) -> Result<(), String> {
    let binary = binary.map_or_else(ci::build_broker, |path| Ok(PathBuf::from(path)))?;
    compatibility::run(check, &binary)
}

fn options(args: &[String]) -> Result<interop::Options, String> {
    let mut options = interop::Options { quick: std::env::var_os("QUICK").is_some(), ..Default::default() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().cloned().ok_or_else(|| format!("{arg} wants a value"));
        match arg.as_str() {
            "--bootstrap" => options.bootstrap = Some(value()?),
            "--binary" => options.binary = Some(PathBuf::from(value()?)),
            "--control" => options.control = true,
            "--quick" => options.quick = true,
            flag if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
            part => options.parts.push(part.to_owned()),
        }
    }
    Ok(options)
}

fn plain(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn usage(reason: &str) -> ExitCode {
    eprintln!("{reason}\n{USAGE}");
    ExitCode::FAILURE
}
