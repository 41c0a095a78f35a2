//! Brokers under test: started from a command line and one properties file, pinned, paused while another is measured, ended by id.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::failure::{Doing, Failure};

/// What every broker is configured with; see the file for the words in braces.
const PROPERTIES: &str = include_str!("../brokers/server.properties");
const STOP_MAX: Duration = Duration::from_secs(20);

/// `NAME=COMMAND`: the command gets the path of a server.properties as its last argument and must not fork away.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) name: String,
    command: Vec<String>,
}

impl Kind {
    /// One of those that `perf/brokers` has a script for.
    pub(crate) fn of_script(name: &str) -> Kind {
        Kind { name: name.to_owned(), command: vec![format!("perf/brokers/{name}.sh")] }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        let (name, command) = text.split_once('=').ok_or("a broker is given as NAME=COMMAND")?;
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if name.is_empty() || command.is_empty() {
            return Err("a broker is given as NAME=COMMAND".to_owned());
        }
        Ok(Kind { name: name.to_owned(), command })
    }
}

/// Directories of very many files. ext4 without a journal looks at each inode that was deleted in the last minutes before it
/// gives out another: removed at once they would make the next broker create its partitions in minutes instead of seconds.
static REMOVED_LATER: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Held while brokers are measured; removes what was left for later.
pub(crate) struct Leftovers;

impl Drop for Leftovers {
    fn drop(&mut self) {
        for dir in REMOVED_LATER.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

/// A directory and a port of its own for one broker; removed when dropped, or with the [`Leftovers`].
pub(crate) struct Home {
    dir: PathBuf,
    /// It will have very many files.
    pub(crate) is_crowded: bool,
    pub(crate) address: String,
}

impl Home {
    /// `parent`: where to make it. `extra`: lines added to the properties.
    pub(crate) fn create(parent: &Path, name: &str, extra: &str) -> Result<Home, Failure> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!("perf-{}-{number}-{name}", std::process::id()));
        fs::create_dir_all(&dir).doing("create the broker's directory")?;
        let (port, controller_port) = free_ports()?;
        let home = Home { dir, is_crowded: false, address: format!("127.0.0.1:{port}") };
        let properties = PROPERTIES
            .replace("{dir}", &home.data().display().to_string())
            .replace("{port}", &port.to_string())
            .replace("{controller_port}", &controller_port.to_string());
        fs::write(home.properties(), properties + extra).doing("write server.properties")?;
        Ok(home)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn properties(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("broker.log")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.is_crowded {
            let dir = std::mem::take(&mut self.dir);
            return REMOVED_LATER.lock().unwrap_or_else(PoisonError::into_inner).push(dir);
        }
        // Nothing more can be done about a directory that does not go away.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Two ports nobody listens on now, and the one after the first is free as well: a broker of two shards may want it
/// (`ringmill.addressing=direct`). All are held until all are known.
fn free_ports() -> Result<(u16, u16), Failure> {
    let bind = |port: u16| TcpListener::bind(("127.0.0.1", port));
    let port = |listener: &TcpListener| listener.local_addr().doing("find a free port").map(|address| address.port());
    for _ in 0..100 {
        let one = bind(0).doing("find a free port")?;
        let Some(next) = port(&one)?.checked_add(1) else { continue };
        let Ok(_next) = bind(next) else { continue };
        let two = bind(0).doing("find a free port")?;
        return Ok((port(&one)?, port(&two)?));
    }
    Err(Failure::Setup("no two ports beside each other are free".to_owned()))
}

/// Where and how a broker runs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// A list as taskset takes it.
    pub(crate) cores: String,
    pub(crate) nice: i32,
}

/// A running broker. Ends with its owner, and with this process however that ends.
pub(crate) struct Broker {
    child: Child,
    pub(crate) name: String,
    pub(crate) home: Home,
}

impl Broker {
    pub(crate) fn start(kind: &Kind, home: Home, place: &Place) -> Result<Broker, Failure> {
        let log = File::options().create(true).append(true).open(home.log()).doing("open the broker's log")?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nice", &format!("-n{}", place.nice), "taskset", "-c", &place.cores])
            .args(&kind.command)
            .arg(home.properties())
            .stdin(Stdio::null())
            .stdout(log.try_clone().doing("open the broker's log")?)
            .stderr(log)
            .spawn()
            .doing("start the broker (setpriv and taskset, of util-linux)")?;
        Ok(Broker { child, name: kind.name.clone(), home })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Until a client could create a topic; says what the broker said last when that doesn't come.
    pub(crate) fn wait_ready(&mut self, timeout: Duration) -> Result<(), Failure> {
        let end = Instant::now() + timeout;
        while Instant::now() < end {
            self.check_alive()?;
            if self.serves() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(Failure::Setup(format!("{} is not ready after {timeout:?}: {}", self.name, self.last_words())))
    }

    fn serves(&self) -> bool {
        let ask = || {
            let mut client = Client::connect(&self.home.address, Duration::from_secs(2))?;
            client.api_versions()?;
            client.metadata("perf-none").map(|metadata| metadata.brokers.len())
        };
        ask().is_ok_and(|brokers| brokers > 0)
    }

    pub(crate) fn check_alive(&mut self) -> Result<(), Failure> {
        match self.child.try_wait().doing("ask for the broker's state")? {
            None => Ok(()),
            Some(status) => Err(Failure::Setup(format!("{} ended ({status}): {}", self.name, self.last_words()))),
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.home.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }

    pub(crate) fn pause(&self) -> Result<(), Failure> {
        self.signal("-STOP")
    }

    pub(crate) fn resume(&self) -> Result<(), Failure> {
        self.signal("-CONT")
    }

    /// SIGKILL; the directory stays.
    pub(crate) fn kill(mut self) -> Result<Home, Failure> {
        self.child.kill().doing("kill the broker")?;
        self.ended()
    }

    /// SIGTERM, and waits for the end; the directory stays.
    pub(crate) fn stop(self) -> Result<Home, Failure> {
        self.signal("-TERM")?;
        self.ended()
    }

    fn ended(mut self) -> Result<Home, Failure> {
        self.child.wait().doing("wait for the broker's end")?;
        // The home outlives its broker: take it out before the drop that would remove it.
        let nowhere = Home { dir: PathBuf::from("/nonexistent/perf"), is_crowded: false, address: String::new() };
        Ok(std::mem::replace(&mut self.home, nowhere))
    }

    fn signal(&self, signal: &str) -> Result<(), Failure> {
        let status = Command::new("kill").args([signal, &self.pid().to_string()]).stderr(Stdio::null()).status();
        status.doing("signal the broker").map(drop)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = self.signal("-CONT");
        let _ = self.signal("-TERM");
        let end = Instant::now() + STOP_MAX;
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
