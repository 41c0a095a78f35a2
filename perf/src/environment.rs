//! What a number depends on beside the programs: kept with every run.

use std::path::Path;
use std::process::Command;
use std::{fs, thread};

use serde_json::{Value, json};

/// Facts about the machine and the sources; null where the machine doesn't tell.
pub(crate) fn capture(dir: &Path) -> Value {
    let cpuinfo = read("/proc/cpuinfo");
    let dir = dir.display().to_string();
    json!({
        "at": output("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "cpu": cpuinfo.as_deref().and_then(|text| field(text, "model name")),
        "cores": thread::available_parallelism().map(usize::from).ok(),
        "cores_online": read("/sys/devices/system/cpu/online"),
        "memory": read("/proc/meminfo").as_deref().and_then(|text| field(text, "MemTotal")),
        "file_system": output("findmnt", &["-no", "SOURCE,FSTYPE,OPTIONS", "-T", &dir]),
        "network": std::env::var("PERF_NETWORK").unwrap_or_else(|_| "the host's, not chosen by perf/run".to_owned()),
        "tcp_congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "tcp_rmem": read("/proc/sys/net/ipv4/tcp_rmem"),
        "tcp_wmem": read("/proc/sys/net/ipv4/tcp_wmem"),
        "scheduling": output("chrt", &["-p", &std::process::id().to_string()]),
        "clocksource": read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "transparent_hugepages": read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "dirty_ratio": read("/proc/sys/vm/dirty_ratio"),
        "dirty_background_ratio": read("/proc/sys/vm/dirty_background_ratio"),
        "load_average": read("/proc/loadavg"),
        "git": output("git", &["describe", "--always", "--dirty", "--abbrev=40"]),
        "perf": output("perf", &["--version"]),
        "kcat": output("sh", &["-c", "kcat -V 2>&1 | grep Version"]),
        "java": output("sh", &["-c", "java -version 2>&1 | head -1"]),
    })
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

pub(crate) fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// Standard output of a small command; None when it isn't there or fails.
pub(crate) fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
