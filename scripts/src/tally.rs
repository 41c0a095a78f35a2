//! What passed and what failed, one line each as it happens, and the closing line that sums it up.

use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    failures: Vec<String>,
    /// Stands before the name of each check.
    prefix: String,
}

impl Tally {
    /// Runs checks whose names are those of others, told apart by `prefix`.
    pub(crate) fn prefixed(&mut self, prefix: &str, checks: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.prefix, prefix.to_owned());
        checks(self);
        self.prefix = before;
    }

    /// Runs one check and prints its verdict, its time in seconds, and what it has to say.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Result<String, String>) -> bool {
        let started = Instant::now();
        let verdict = check();
        self.done(name, started.elapsed(), verdict)
    }

    /// The same for a check that ran elsewhere, and took `time`.
    pub(crate) fn done(&mut self, name: &str, time: Duration, verdict: Result<String, String>) -> bool {
        let seconds = time.as_secs_f32();
        let name = &format!("{}{name}", self.prefix);
        match verdict {
            Ok(detail) if detail.is_empty() => println!("ok    {name} ({seconds:.1} s)"),
            Ok(detail) => println!("ok    {name}: {detail} ({seconds:.1} s)"),
            Err(reason) => {
                println!("FAIL  {name} ({seconds:.1} s)\n{}", indented(&reason));
                self.fail(name);
                return false;
            }
        }
        self.passed += 1;
        true
    }

    /// Adds results that another runner counted, for example those of `cargo test`.
    pub(crate) fn add(&mut self, name: &str, passed: u64, failed: u64) {
        self.passed += passed;
        self.failed += failed;
        if failed > 0 {
            self.failures.push(format!("{name}: {failed} failed"));
        }
    }

    fn fail(&mut self, name: &str) {
        self.failed += 1;
        self.failures.push(name.to_owned());
    }

    /// Prints the failures again and, last, `N passed, N failed`.
    pub(crate) fn close(self) -> ExitCode {
        for failure in &self.failures {
            println!("failed: {failure}");
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        // Nothing run is not a success: it would hide a runner that found no tests.
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("      {line}\n")).collect::<String>().trim_end().to_owned()
}
