//! Why shards do not start, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the shards did not start. The text says what happened, what was found to be the cause, and how to mend it.
#[derive(Debug)]
pub enum StartError {
    /// The kernel has no io_uring (`ENOSYS`), or a filter says so.
    NoRing(Facts),
    /// The kernel has it and refuses it to this process (`EPERM`, `EACCES`).
    RingForbidden(Facts),
    /// Not enough memory may be locked (`ENOMEM`, or the executor's own check).
    LockedMemory(Facts),
    /// The kernel lacks operations that the data ring is built on.
    OldKernel(Facts),
    /// Out of file descriptors.
    Descriptors,
    Ring(io::Error),
    /// The executor's own reason.
    Executor(String),
    /// A directory of the plan cannot be written.
    Directory(PathBuf, io::Error),
    Thread(String),
    ShardCount(usize),
    /// The service's own reason, from `make`.
    Service(String),
}

/// What was found out about this machine after io_uring failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `/proc/sys/kernel/io_uring_disabled`.
    pub disabled: Option<u32>,
    /// A seccomp filter is at work in this process (`Seccomp: 2`).
    pub filtered: bool,
    /// `RLIMIT_MEMLOCK` in bytes; None: no limit.
    pub memlock_bytes: Option<u64>,
    pub kernel: String,
}

impl Facts {
    fn here() -> Facts {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let status = read("/proc/thread-self/status");
        Facts {
            disabled: read("/proc/sys/kernel/io_uring_disabled").trim().parse().ok(),
            filtered: status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"])),
            memlock_bytes: memlock(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_string(),
        }
    }
}

fn memlock() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid place for the result.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    (result == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

impl StartError {
    pub(crate) fn ring(error: &io::Error) -> StartError {
        StartError::explain(error.raw_os_error().unwrap_or(0), Facts::here())
    }

    /// From the text of the executor's error: its type does not tell causes apart.
    pub(crate) fn executor(text: &str) -> StartError {
        if text.to_ascii_lowercase().contains("memlock") {
            return StartError::LockedMemory(Facts::here());
        }
        match text.rsplit_once("os error ").and_then(|(_, rest)| rest.trim_end_matches([')', '"']).parse().ok()) {
            Some(errno) => StartError::explain(errno, Facts::here()),
            None => StartError::Executor(text.to_string()),
        }
    }

    fn explain(errno: i32, facts: Facts) -> StartError {
        match errno {
            libc::ENOSYS => StartError::NoRing(facts),
            libc::EPERM | libc::EACCES => StartError::RingForbidden(facts),
            libc::ENOMEM => StartError::LockedMemory(facts),
            libc::EINVAL => StartError::OldKernel(facts),
            libc::EMFILE | libc::ENFILE => StartError::Descriptors,
            errno => StartError::Ring(io::Error::from_raw_os_error(errno)),
        }
    }
}

const FILTER: &str = "a seccomp filter is at work in this process (Seccomp: 2 in /proc/self/status): container runtimes forbid \
    io_uring by default; run with a profile that allows io_uring_setup, io_uring_enter and io_uring_register";

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::NoRing(facts) => {
                write!(f, "cannot create io_uring: function not implemented (kernel {}). ", facts.kernel)?;
                if facts.filtered {
                    f.write_str(FILTER)
                } else {
                    f.write_str("this kernel has no io_uring: Linux 6.1 or later built with CONFIG_IO_URING is needed")
                }
            }
            StartError::RingForbidden(facts) => facts.write_forbidden(f),
            StartError::LockedMemory(facts) => {
                let limit = facts.memlock_bytes.map_or("unlimited".into(), |bytes| format!("{} KiB", bytes >> 10));
                write!(
                    f,
                    "cannot create io_uring: not enough lockable memory (limit {limit}). raise it: `ulimit -l unlimited`, \
                     LimitMEMLOCK=infinity in a systemd unit, --ulimit memlock=-1 for a container"
                )
            }
            StartError::OldKernel(facts) => write!(
                f,
                "cannot set up io_uring: kernel {} lacks an operation (invalid argument). Linux 6.1 or later is needed",
                facts.kernel
            ),
            StartError::Descriptors => f.write_str(
                "cannot create io_uring: out of file descriptors. raise the limit: `ulimit -n 100000`, LimitNOFILE=",
            ),
            StartError::Ring(error) => write!(f, "cannot create io_uring: {error}"),
            StartError::Executor(reason) => write!(f, "cannot create an executor: {reason}"),
            StartError::Directory(path, error) => write!(f, "cannot write in {}: {error}", path.display()),
            StartError::Thread(reason) => write!(f, "cannot start a shard's thread: {reason}"),
            StartError::ShardCount(count) => write!(f, "{count} shards are not possible: 1 to 65535 are"),
            StartError::Service(reason) => f.write_str(reason),
        }
    }
}

impl Facts {
    fn write_forbidden(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot create io_uring: operation not permitted. ")?;
        match self.disabled {
            Some(2) => {
                f.write_str("kernel.io_uring_disabled = 2 forbids it to everybody: `sysctl kernel.io_uring_disabled=0`")
            }
            Some(1) => f.write_str(
                "kernel.io_uring_disabled = 1 forbids it to processes outside kernel.io_uring_group: \
                 `sysctl kernel.io_uring_disabled=0`, or run as a member of that group",
            ),
            disabled => {
                match disabled {
                    Some(value) => write!(f, "kernel.io_uring_disabled = {value} does not forbid it, ")?,
                    None => f.write_str("kernel.io_uring_disabled is not known here, ")?,
                }
                if self.filtered {
                    write!(f, "but {FILTER}")
                } else {
                    f.write_str("no seccomp filter is at work: look for a security module (audit log) that forbids it")
                }
            }
        }
    }
}

impl std::error::Error for StartError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(errno: i32, disabled: Option<u32>, filtered: bool) -> String {
        let facts = Facts { disabled, filtered, memlock_bytes: Some(64 << 10), kernel: "6.1.0".into() };
        StartError::explain(errno, facts).to_string()
    }

    #[test]
    fn the_text_names_the_cause_and_the_remedy() {
        for (errno, disabled, filtered, words) in [
            (libc::ENOSYS, Some(0), false, ["CONFIG_IO_URING", "6.1"]),
            (libc::ENOSYS, None, true, ["Seccomp: 2", "io_uring_setup"]),
            (libc::EPERM, Some(2), false, ["io_uring_disabled = 2", "sysctl"]),
            (libc::EPERM, Some(1), true, ["io_uring_disabled = 1", "group"]),
            (libc::EPERM, Some(0), true, ["io_uring_disabled = 0", "Seccomp: 2"]),
            (libc::EACCES, Some(0), false, ["no seccomp", "audit"]),
            (libc::ENOMEM, Some(0), false, ["64 KiB", "LimitMEMLOCK"]),
            (libc::EINVAL, Some(0), false, ["6.1.0", "6.1 or later"]),
            (libc::EMFILE, Some(0), false, ["descriptors", "LimitNOFILE"]),
            (libc::EIO, Some(0), false, ["io_uring", "os error 5"]),
        ] {
            let text = said(errno, disabled, filtered);
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn the_executor_s_text_is_understood() {
        let text = "IO error occurred: MemLockLimit(65536/524288)";
        assert!(matches!(StartError::executor(text), StartError::LockedMemory(_)));
        let text = "IO error occurred: Function not implemented (os error 38)";
        assert!(matches!(StartError::executor(text), StartError::NoRing(_)));
        assert!(matches!(StartError::executor("else"), StartError::Executor(_)));
    }
}
