//! What /proc tells about processes and cores.

use std::fs;

use serde_json::{Value, json};

/// USER_HZ: fixed at 100 for every architecture this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds (user and system, all threads) that a process has used; None when it is gone.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command may hold spaces and brackets; what follows the last bracket doesn't.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let user: f64 = fields.nth(11)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Resident memory in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Busy and stolen seconds of all cores since boot.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cores {
    pub(crate) busy: f64,
    pub(crate) stolen: f64,
}

pub(crate) fn cores() -> Cores {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    if ticks.len() < 8 {
        return Cores::default();
    }
    // user, nice, system, idle, iowait, irq, softirq, steal
    Cores {
        busy: (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / TICKS_PER_SECOND,
        stolen: ticks[7] / TICKS_PER_SECOND,
    }
}

/// CPU use between two moments: the broker's, the load's, and what neither of them used.
pub(crate) struct Usage {
    watched: Option<u32>,
    watched_before: Option<f64>,
    own_before: f64,
    cores_before: Cores,
}

impl Usage {
    /// `watched`: process id of the broker.
    pub(crate) fn start(watched: Option<u32>) -> Usage {
        let own_before = cpu_seconds(std::process::id()).unwrap_or_default();
        Usage { watched, watched_before: watched.and_then(cpu_seconds), own_before, cores_before: cores() }
    }

    /// CPU seconds since the start; `others` is everything else that ran on any core, kernel threads included.
    pub(crate) fn finish(&self) -> Value {
        let broker = self.watched.and_then(cpu_seconds).zip(self.watched_before).map(|(now, before)| now - before);
        let load = cpu_seconds(std::process::id()).unwrap_or_default() - self.own_before;
        let now = cores();
        let others = now.busy - self.cores_before.busy - load - broker.unwrap_or_default();
        json!({ "broker": broker, "load": load, "others": others.max(0.0), "stolen": now.stolen - self.cores_before.stolen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_time() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(cpu_seconds(pid).unwrap() >= 0.0);
        assert!(cpu_seconds(u32::MAX).is_none());
        assert!(cores().busy > 0.0);
    }
}
