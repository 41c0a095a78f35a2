//! The broker under test.

use crate::raw::Connection;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A broker process with a directory of its own; ends with the value.
pub(crate) struct Broker {
    address: SocketAddr,
    pid: u32,
    child: Option<Child>,
    /// Holds the data directory and the log, and nothing else.
    dir: PathBuf,
}

/// True when Apache Kafka is the broker under test.
pub(crate) fn is_control() -> bool {
    std::env::var_os("RINGMILL_TEST_BOOTSTRAP").is_some()
}

impl Broker {
    pub(crate) fn start() -> Broker {
        Broker::with(&[])
    }

    /// Starts with these settings on top of the embedded default; the control has its own.
    pub(crate) fn with(overrides: &[&str]) -> Broker {
        let dir = Broker::new_dir();
        if let Ok(bootstrap) = std::env::var("RINGMILL_TEST_BOOTSTRAP") {
            let pid = std::env::var("RINGMILL_TEST_PID").ok().and_then(|pid| pid.parse().ok());
            let address = bootstrap.parse().expect("RINGMILL_TEST_BOOTSTRAP is an address and a port");
            return Broker { address, pid: pid.expect("RINGMILL_TEST_PID is a number"), child: None, dir };
        }
        Broker::launch(dir, free_address(), overrides, None)
    }

    /// Not for the control: no more than `limit` files may be open in it.
    pub(crate) fn with_open_files(limit: u64, overrides: &[&str]) -> Broker {
        Broker::launch(Broker::new_dir(), free_address(), overrides, Some(limit))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Not for the control: listens at `address`.
    pub(crate) fn at(address: SocketAddr, overrides: &[&str]) -> Broker {
        Broker::launch(Broker::new_dir(), address, overrides, None)
    }

    fn new_dir() -> PathBuf {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("ringmill-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary directory takes a new directory");
        dir
    }

    /// Starts one that does not come up, and returns what it said.
    pub(crate) fn refusal(overrides: &[&str]) -> String {
        let mut broker = Broker::spawn(Broker::new_dir(), free_address(), overrides, None);
        let status = broker.child.as_mut().map(Child::wait);
        let log = broker.log();
        assert!(status.is_some_and(|status| status.is_ok_and(|status| !status.success())), "{log}");
        log
    }

    fn launch(dir: PathBuf, address: SocketAddr, overrides: &[&str], open_files: Option<u64>) -> Broker {
        let broker = Broker::spawn(dir, address, overrides, open_files);
        broker.wait_until_it_answers();
        broker
    }

    fn spawn(dir: PathBuf, address: SocketAddr, overrides: &[&str], open_files: Option<u64>) -> Broker {
        let log = std::fs::File::create(dir.join("broker.log")).expect("a new file");
        let binary = std::env::var_os("RINGMILL_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_ringmill").into());
        let mut command = match open_files {
            None => Command::new(binary),
            Some(limit) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "ulimit -n $0 && exec \"$@\"", &limit.to_string()]).arg(binary);
                shell
            }
        };
        command.arg("serve").arg("--data-dir").arg(dir.join("data")).args(["--port", &address.port().to_string()]);
        command.args(overrides.iter().flat_map(|setting| ["--override", setting]));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let child = command.spawn().expect("the broker starts");
        Broker { address, pid: child.id(), child: Some(child), dir }
    }

    /// Kills this one and starts another on its directory, at another address: the old one may be somebody's by now.
    pub(crate) fn restarted(mut self) -> Broker {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let dir = std::mem::replace(&mut self.dir, Broker::new_dir());
        Broker::launch(dir, free_address(), &[], None)
    }

    fn wait_until_it_answers(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !Connection::try_open(self.address).is_some_and(|mut connection| connection.is_served()) {
            assert!(Instant::now() < deadline, "the broker does not answer\n{}", self.log());
            std::thread::yield_now();
        }
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::try_open(self.address).unwrap_or_else(|| panic!("no connection\n{}", self.log()))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The broker still serves a new connection.
    pub(crate) fn assert_goes_on(&self, after: &str) {
        let served = Connection::try_open(self.address).is_some_and(|mut connection| connection.is_served());
        assert!(served, "after {after} the broker serves nobody\n{}", self.log());
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that was ever resident, in bytes.
    pub(crate) fn resident_peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.unwrap_or_else(|| panic!("the broker is gone\n{}", self.log())) * 1024
    }

    pub(crate) fn log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("broker.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// An empty directory for tests whose files outlive a broker. `name` is the test's alone.
pub(crate) fn new_dir(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("ringmill-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a new directory");
    dir
}

fn free_address() -> SocketAddr {
    let probe = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    probe.expect("loopback has a free port")
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
