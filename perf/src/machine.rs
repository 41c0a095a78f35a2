//! What is done to the machine so that a measurement is not disturbed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::Value;

use crate::environment::field;
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

/// Memory that the host has given, and can't take back before this is dropped.
///
/// A host that shares its memory takes back what its guests leave free, in blocks of 2 MiB (free page reporting), and a page
/// that has to be given again costs several us, more than all else that a broker does for it. So all of it is written once,
/// and of each 2 MiB one page is kept: the rest is free for everyone, and no block of it is free as a whole.
pub(crate) struct WarmMemory(#[expect(dead_code, reason = "held, never read")] File);

impl WarmMemory {
    const PAGE: i64 = 4096;
    const BLOCK: i64 = 2 << 20;

    /// At most half of what is available: brokers need some as well.
    pub(crate) fn take(gib: usize) -> Result<WarmMemory, Failure> {
        let gib = gib.min(available_gib() / 2);
        let fd = memfd_create("perf-warm-memory", MFdFlags::MFD_CLOEXEC)
            .map_err(io::Error::from)
            .doing("make a file in memory")?;
        let mut file = File::from(fd);
        let block = vec![1; Self::BLOCK as usize];
        let blocks = gib as i64 * (1 << 30) / Self::BLOCK;
        for _ in 0..blocks {
            file.write_all(&block).doing("touch memory (--warm-gib)")?;
        }
        let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        for block in 0..blocks {
            let (start, length) = (block * Self::BLOCK + Self::PAGE, Self::BLOCK - Self::PAGE);
            fallocate(&file, punch, start, length).map_err(io::Error::from).doing("give memory back")?;
        }
        Ok(WarmMemory(file))
    }
}

fn available_gib() -> usize {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = field(&meminfo, "MemAvailable").and_then(|text| text.strip_suffix(" kB")?.parse::<usize>().ok());
    kib.unwrap_or_default() >> 20
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
