//! What is done to the machine so that a measurement is not disturbed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::failure::{Doing, Failure};
use crate::processes;

/// Cores that other processes may use before a measurement is repeated.
pub(crate) const OTHERS_MAX: f64 = 0.15;

/// Cores used by neither broker nor load.
pub(crate) fn others(result: &Value) -> f64 {
    let number = |path: &str| result.pointer(path).and_then(Value::as_f64).unwrap_or_default();
    number("/cpu_s/others") / number("/seconds").max(0.001)
}

/// Until the machine did next to nothing for half a second, or `timeout` is over.
pub(crate) fn wait_for_quiet(timeout: Duration) {
    const LOOK: Duration = Duration::from_millis(500);
    let end = Instant::now() + timeout;
    while Instant::now() < end {
        let before = processes::cores().busy;
        std::thread::sleep(LOOK);
        if processes::cores().busy - before < OTHERS_MAX * LOOK.as_secs_f64() {
            return;
        }
    }
}

/// What is dirty now is written now, not during the measurement.
pub(crate) fn sync(dir: &Path) -> Result<(), Failure> {
    Command::new("sync").arg("-f").arg(dir).status().doing("sync the file system").map(drop)
}

/// Takes the segments of a topic out of the page cache: `posix_fadvise(POSIX_FADV_DONTNEED)`, as dd offers it.
pub(crate) fn evict(data: &Path, topic: &str) -> Result<(), Failure> {
    sync(data)?;
    let partitions = fs::read_dir(data).doing("list the data directory")?.flatten();
    for partition in partitions.filter(|entry| entry.file_name().to_string_lossy().starts_with(topic)) {
        for file in fs::read_dir(partition.path()).doing("list a partition")?.flatten() {
            let name = format!("if={}", file.path().display());
            let mut dd = Command::new("dd");
            dd.args([&name, "iflag=nocache", "count=0", "status=none"]).stdin(Stdio::null()).stderr(Stdio::null());
            dd.status().doing("run dd").map(drop)?;
        }
    }
    Ok(())
}

/// Touches memory and gives it back, so that the page cache grows into pages the host has already given.
pub(crate) fn touch_memory(gib: usize) {
    const PAGE: usize = 4096;
    let mut held = Vec::new();
    for _ in 0..gib {
        let mut block = vec![0u8; 1 << 30];
        block.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        held.push(std::hint::black_box(block));
    }
}

/// Where the scheduler groups processes by session, niceness only counts inside of one: the group must be as nice as its members.
pub(crate) struct Autogroup(Option<String>);

impl Autogroup {
    const FILE: &str = "/proc/self/autogroup";

    pub(crate) fn nice(nice: i32) -> Autogroup {
        if nice == 0 {
            return Autogroup(None);
        }
        let before = fs::read_to_string(Self::FILE).ok().and_then(|s| Some(s.trim().rsplit_once(' ')?.1.to_owned()));
        // Not there, or not allowed: then the processes' own niceness has to do.
        let _ = fs::write(Self::FILE, nice.to_string());
        Autogroup(before)
    }
}

impl Drop for Autogroup {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = fs::write(Self::FILE, before);
        }
    }
}
