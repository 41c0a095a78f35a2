//! A broker under test: ringmill, or Apache Kafka as the control that every check must pass with.

use crate::process;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(40);
const CLUSTER_ID: &str = "WbjIpBzRRpmpIbDrVba8wA";

#[derive(Clone)]
pub(crate) enum Kind {
    Ringmill { binary: PathBuf },
    Kafka { libs: PathBuf },
}

/// One broker process on loopback, with a directory of its own. Dropping it kills the process; the directory stays.
pub(crate) struct Server {
    kind: Kind,
    dir: PathBuf,
    port: u16,
    controller: u16,
    form: Form,
    child: Option<Child>,
}

/// How a broker differs from the usual one, beyond its settings.
#[derive(Clone, Default)]
pub(crate) struct Form {
    /// The voters stand in the metadata log (KIP-853) and not in server.properties.
    pub dynamic_quorum: bool,
    /// Classes that Apache Kafka finds beside its own.
    pub classes: Option<PathBuf>,
}

impl Server {
    /// Writes server.properties into `dir` and starts; returns when the broker answers requests.
    pub(crate) fn create(kind: &Kind, dir: &Path, overrides: &[(&str, &str)]) -> Result<Server, String> {
        Self::create_with(kind, dir, overrides, Form::default())
    }

    /// The same with a quorum whose voters may change (KIP-853).
    pub(crate) fn dynamic(kind: &Kind, dir: &Path, overrides: &[(&str, &str)]) -> Result<Server, String> {
        Self::create_with(kind, dir, overrides, Form { dynamic_quorum: true, classes: None })
    }

    pub(crate) fn create_with(
        kind: &Kind,
        dir: &Path,
        overrides: &[(&str, &str)],
        form: Form,
    ) -> Result<Server, String> {
        std::fs::create_dir_all(dir).map_err(|e| format!("create {}: {e}", dir.display()))?;
        let (port, controller) = (free_port()?, free_port()?);
        let mut server = Server { kind: kind.clone(), dir: dir.to_owned(), port, controller, form, child: None };
        server.configure(overrides)?;
        if let Kind::Kafka { libs } = kind {
            let mut format = java(libs, "-Xmx256m");
            format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(server.properties_file());
            if server.form.dynamic_quorum {
                format.arg("--standalone");
            }
            process::output(&mut format, b"", START)?;
        }
        server.start()?;
        Ok(server)
    }

    /// Writes server.properties; counts from the next start.
    pub(crate) fn configure(&self, overrides: &[(&str, &str)]) -> Result<(), String> {
        let properties = self.properties(overrides);
        std::fs::write(self.properties_file(), properties).map_err(|e| format!("write server.properties: {e}"))
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address of the controller's listener.
    pub(crate) fn controller(&self) -> String {
        format!("127.0.0.1:{}", self.controller)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the broker runs").id()
    }

    /// Starts the process again on the same directory and waits until it answers; gives the time that took.
    pub(crate) fn start(&mut self) -> Result<Duration, String> {
        let started = Instant::now();
        let log = std::fs::File::options().create(true).append(true).open(self.log()).map_err(|e| e.to_string())?;
        let mut command = match &self.kind {
            Kind::Ringmill { binary } => {
                let mut command = Command::new(binary);
                command.arg("serve").arg(self.properties_file());
                command
            }
            Kind::Kafka { libs } => {
                let libs = libs.join("*");
                let classes: Vec<&Path> = self.form.classes.as_deref().into_iter().chain([libs.as_path()]).collect();
                let mut command = jvm("-Xmx768m", &classes);
                command.arg("kafka.Kafka").arg(self.properties_file());
                command
            }
        };
        command.stdin(Stdio::null()).stderr(log.try_clone().map_err(|e| e.to_string())?).stdout(log);
        self.child = Some(command.spawn().map_err(|e| format!("start the broker: {e}"))?);
        while !answers(self.port) {
            if let Ok(Some(status)) = self.child.as_mut().unwrap().try_wait() {
                self.child = None;
                return Err(format!("the broker ended with {status}\n{}", process::file_tail(&self.log(), 20)));
            }
            if started.elapsed() > START {
                return Err(format!("the broker does not answer\n{}", process::file_tail(&self.log(), 20)));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(started.elapsed())
    }

    /// Starts the other broker on the directory of the one that was stopped, with the same settings and ports.
    pub(crate) fn become_kind(&mut self, kind: &Kind) -> Result<Duration, String> {
        self.kind = kind.clone();
        self.start()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for the clean end.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        process::terminate(child.id())?;
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if child.try_wait().map_err(|e| e.to_string())?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(format!("no clean stop within {STOP:?} of SIGTERM\n{}", process::file_tail(&self.log(), 20)))
    }

    /// An error when the process is gone, with the end of its log.
    pub(crate) fn alive(&mut self) -> Result<(), String> {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(None)) => Ok(()),
            other => Err(format!("the broker is gone ({other:?})\n{}", process::file_tail(&self.log(), 20))),
        }
    }

    /// The end of what the broker said.
    pub(crate) fn log_tail(&self, lines: usize) -> String {
        process::file_tail(&self.log(), lines)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("broker.log")
    }

    fn properties_file(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn properties(&self, overrides: &[(&str, &str)]) -> String {
        let (port, controller, data) = (self.port, self.controller, self.data());
        let quorum = if self.form.dynamic_quorum {
            format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller}")
        } else {
            format!("controller.quorum.voters=1@127.0.0.1:{controller}")
        };
        let mut text = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             {quorum}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n",
            data.display()
        );
        for (key, value) in overrides {
            text.push_str(&format!("{key}={value}\n"));
        }
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A JVM with Kafka's jars on its class path, ready for a main class and its arguments.
pub(crate) fn java(libs: &Path, heap: &str) -> Command {
    jvm(heap, &[&libs.join("*")])
}

/// A JVM with these entries on its class path, after the one that configures logging.
pub(crate) fn jvm(heap: &str, class_path: &[&Path]) -> Command {
    let logging = crate::deps::root().join("scripts/interop/kafka");
    let mut entries = vec![logging.display().to_string()];
    entries.extend(class_path.iter().map(|entry| entry.display().to_string()));
    let mut command = Command::new("java");
    command.args([heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", "-cp"]);
    command.arg(entries.join(":"));
    command
}

/// A port that nothing listened on a moment ago, from below those that the kernel gives to outgoing connections: a client that
/// tries again and again while its broker is down could be given the broker's own port, and the broker find it taken.
fn free_port() -> Result<u16, String> {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    const LOWEST: u16 = 10_000;
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first_ephemeral = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768);
    let count = u16::saturating_sub(first_ephemeral, LOWEST).max(1);
    // Not two processes the same ports.
    let start = (std::process::id() * 97 % u32::from(count)) as u16;
    for _ in 0..count {
        let place = (u32::from(start) + u32::from(TRIED.fetch_add(1, Ordering::Relaxed))) % u32::from(count);
        let port = LOWEST + place as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(format!("no port from {LOWEST} to {first_ephemeral} is free"))
}

/// True when ApiVersions (version 0) gets an answer with no error.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut socket = TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        // length 10; key 18, version 0, correlation id 7, null client id
        socket.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255])?;
        let mut head = [0; 10];
        socket.read_exact(&mut head)?;
        Ok(head[4..] == [0, 0, 0, 7, 0, 0])
    };
    ask().unwrap_or(false)
}
