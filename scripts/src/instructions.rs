//! Instructions that the hot path takes, under callgrind, against those that are written down in `benches/instructions.txt`.
//!
//! Wall time never gates: it is the machine's. Instructions are the program's, for one compiler and one kind of processor.

use crate::deps;
use crate::process;
use crate::tally::Tally;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// More than this part above or below what is written down fails.
const TOLERANCE: f64 = 0.03;
/// How often the binary runs each workload.
const TIMES: u64 = 100;
const BUILD: Duration = Duration::from_secs(1800);
const RUN: Duration = Duration::from_secs(120);
const FILE: &str = "benches/instructions.txt";
const HEAD: &str = "# Instructions of one run of each workload of benches/instructions.rs. Written by `cargo x instructions --update`.\n# A change of more than 3 % fails `cargo x test instructions`: say in the commit why it is right, and update.\n";

/// Counts every workload and compares, or writes the file anew.
pub(crate) fn run(tally: &mut Tally, update: bool) {
    let mut binary = PathBuf::new();
    let built = tally.check("instructions: build", || {
        if !process::on_path("valgrind") {
            return Err("valgrind is missing: apt-get install -y valgrind".to_owned());
        }
        binary = build()?;
        Ok(String::new())
    });
    if !built {
        return;
    }
    let names = tally_list(&binary);
    let known = Known::read();
    let compiler = compiler();
    let mut counts = BTreeMap::new();
    for name in names {
        tally.check(&format!("instructions: {name}"), || {
            let count = count(&binary, &name)?;
            counts.insert(name.clone(), count);
            if update { Ok(count.to_string()) } else { known.judge(&name, count, &compiler) }
        });
    }
    if update {
        tally.check("instructions: write down", || write(&counts, &compiler).map(|()| FILE.to_owned()));
    }
}

struct Known {
    compiler: String,
    counts: BTreeMap<String, u64>,
}

impl Known {
    fn read() -> Known {
        Known::parse(&std::fs::read_to_string(deps::root().join(FILE)).unwrap_or_default())
    }

    fn parse(text: &str) -> Known {
        let mut known = Known { compiler: String::new(), counts: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(' ') {
                Some(("compiler", compiler)) => known.compiler = compiler.to_owned(),
                Some((name, count)) => {
                    if let Ok(count) = count.trim().parse() {
                        known.counts.insert(name.to_owned(), count);
                    }
                }
                None => {}
            }
        }
        known
    }

    /// Another compiler makes other instructions: then the count is told and not judged.
    fn judge(&self, name: &str, count: u64, compiler: &str) -> Result<String, String> {
        if self.compiler != compiler {
            return Ok(format!("{count}, not compared: {FILE} is of {}, this is {compiler}", self.compiler));
        }
        let Some(before) = self.counts.get(name) else {
            return Err(format!("{count}, and nothing in {FILE}: cargo x instructions --update"));
        };
        let change = count as f64 / *before as f64 - 1.0;
        let told = format!("{count}, {:+.1} % of {before}", change * 100.0);
        if change.abs() <= TOLERANCE {
            return Ok(told);
        }
        Err(format!(
            "{told}: more than {:.0} %. If that is right: cargo x instructions --update, and say why",
            TOLERANCE * 100.0
        ))
    }
}

fn build() -> Result<PathBuf, String> {
    let mut command = Command::new("cargo");
    command.current_dir(deps::root()).args(["bench", "--package", "ringmill", "--bench", "instructions", "--no-run"]);
    command.args(["--message-format", "json"]);
    let said = process::text(&mut command, b"", BUILD)?;
    let executable = said.lines().filter(|line| line.contains(r#""name":"instructions""#));
    let path = executable.filter_map(|line| line.split_once(r#""executable":""#)?.1.split_once('"')).next_back();
    path.map(|(path, _)| PathBuf::from(path)).ok_or_else(|| "cargo named no executable".to_owned())
}

fn tally_list(binary: &Path) -> Vec<String> {
    let listed = process::text(&mut Command::new(binary), b"", RUN).unwrap_or_default();
    listed.lines().map(str::to_owned).collect()
}

/// Of one run of the workload.
fn count(binary: &Path, name: &str) -> Result<u64, String> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=instructions::counted"]);
    let output = process::run_with(command.arg(binary).arg(name), b"", RUN)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match collected(&said) {
        Some(count) if output.status.success() && count > 0 => Ok(count / TIMES),
        _ => Err(format!("callgrind counted nothing:\n{said}")),
    }
}

/// `==123== Collected : 4567`
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit_once(':')?.1.trim().parse().ok()
}

fn compiler() -> String {
    let said = process::text(Command::new("rustc").arg("-V"), b"", RUN).unwrap_or_default();
    format!("{} {}", said.trim(), std::env::consts::ARCH)
}

fn write(counts: &BTreeMap<String, u64>, compiler: &str) -> Result<(), String> {
    let lines: String = counts.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
    let text = format!("{HEAD}compiler {compiler}\n{lines}");
    std::fs::write(deps::root().join(FILE), text).map_err(|e| format!("write {FILE}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_judged_by_the_same_compiler_only() {
        let known = Known::parse("# about\ncompiler rustc 1 x86_64\ncrc 1000\n");
        assert!(known.judge("crc", 1029, "rustc 1 x86_64").is_ok());
        assert!(known.judge("crc", 1031, "rustc 1 x86_64").unwrap_err().contains("--update"));
        assert!(known.judge("crc", 969, "rustc 1 x86_64").is_err(), "less has to be written down as well");
        assert!(known.judge("new", 5, "rustc 1 x86_64").is_err());
        assert!(known.judge("crc", 5000, "rustc 2 x86_64").unwrap().contains("not compared"));
        assert_eq!(collected("==1== Events    : Ir\n==1== Collected : 4567\n"), Some(4567));
    }
}
