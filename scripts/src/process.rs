//! Other programs: run to their end within a deadline, with everything they said.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Runs `command` with `stdin` as its input. A program that outlives the deadline is killed, which is an error.
pub(crate) fn run_with(command: &mut Command, stdin: &[u8], deadline: Duration) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("start {name}: {e}"))?;
    let (mut input, mut out, mut err) =
        (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (done, finished) = mpsc::channel();
    std::thread::scope(|scope| {
        // A program may end without having read everything: its exit code says whether that was right.
        scope.spawn(move || drop(input.write_all(stdin)));
        let stderr = scope.spawn(move || read_all(&mut err));
        let stdout = scope.spawn(move || {
            let bytes = read_all(&mut out);
            let _ = done.send(());
            bytes
        });
        let in_time = finished.recv_timeout(deadline).is_ok();
        if !in_time {
            let _ = child.kill();
        }
        let status = child.wait().map_err(|e| format!("wait for {name}: {e}"))?;
        let output = Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() };
        if in_time { Ok(output) } else { Err(format!("{name}: not done in {deadline:?}\n{}", tail(&output, 20))) }
    })
}

/// Runs `command` and gives its standard output when it succeeded.
pub(crate) fn output(command: &mut Command, stdin: &[u8], deadline: Duration) -> Result<Vec<u8>, String> {
    let output = run_with(command, stdin, deadline)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("{}: {}\n{}", command.get_program().to_string_lossy(), output.status, tail(&output, 30)))
}

pub(crate) fn text(command: &mut Command, stdin: &[u8], deadline: Duration) -> Result<String, String> {
    output(command, stdin, deadline).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Sends SIGTERM; the standard library only knows SIGKILL.
pub(crate) fn terminate(pid: u32) -> Result<(), String> {
    output(Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]), b"", Duration::from_secs(5)).map(drop)
}

/// True when the program can be found on PATH.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// The last lines of a file, for a failure message.
pub(crate) fn file_tail(path: &Path, lines: usize) -> String {
    let content = std::fs::read(path).unwrap_or_default();
    last_lines(&String::from_utf8_lossy(&content), lines)
}

fn read_all(from: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    bytes
}

fn tail(output: &Output, lines: usize) -> String {
    let all = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].join("\n");
    last_lines(&all, lines)
}

fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gets_its_input_and_gives_its_output() {
        assert_eq!(text(&mut Command::new("cat"), b"through", Duration::from_secs(10)).unwrap(), "through");
    }

    #[test]
    fn a_failure_tells_what_was_said() {
        let failed = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"]), b"", Duration::from_secs(10));
        let reason = failed.unwrap_err();
        assert!(reason.contains("why") && reason.contains('3'), "{reason}");
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let late = output(&mut Command::new("cat"), b"", Duration::from_secs(10));
        assert!(late.is_ok());
        let hung = output(Command::new("sleep").arg("60"), b"", Duration::from_millis(50));
        assert!(hung.unwrap_err().contains("not done"));
    }
}
