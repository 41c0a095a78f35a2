//! From settings to running shards, and back to a clean end, one step after the other.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shards::{Core, Counters, Plan, Running, Seating, ShardId, topology};
use state::metadata::Image;

use crate::api::Api;
use crate::calls::Call;
use crate::config::Broker;
use crate::config::addressing;
use crate::config::listener::Listener;
use crate::controller::{Controller, Directories};
use crate::groups::Coordinators;
use crate::log::{LogError, checkpoints};
use crate::metrics::log as lines;
use crate::net::{Net, NetLimits};
use crate::partition::{Directory, LogDirs, Offsets, Partitions, Wanted, write_checkpoints};
use crate::route::{CONTROLLER, Router};
use crate::shard::{Farewell, Shard};
use crate::telemetry::ClientTelemetry;

/// How long a port that is taken is waited for, and how often it is tried.
const PORT_WAIT_MAX: Duration = Duration::from_secs(2);
const PORT_RETRY: Duration = Duration::from_millis(10);

/// What every process may open.
const OPEN_FILES_AT_LEAST: u64 = 1024;
/// So few that a broker in earnest use will miss some.
const OPEN_FILES_FEW: u64 = 4096;

/// A broker that runs.
pub struct Server {
    running: Running,
    directories: Directories,
    log_dirs: Arc<LogDirs>,
    farewell: Arc<Mutex<Farewell>>,
    broker_epoch: i64,
    settings: Arc<Broker>,
}

/// How this process's open files are shared out, so that neither logs nor clients take those of the other. What is left is
/// for room that is being made, and for all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OpenFiles {
    logs: usize,
    connections: usize,
}

impl OpenFiles {
    fn of(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { logs: limit / 2, connections: (limit / 8 * 3).saturating_sub(64).max(16) }
    }
}

/// What the shards share while they start, and not after.
struct Ground {
    settings: Arc<Broker>,
    directories: Arc<LogDirs>,
    image: Arc<Image>,
    controller: Mutex<Option<Controller>>,
    listeners: Mutex<Vec<Bound>>,
    open_files: OpenFiles,
    farewell: Arc<Mutex<Farewell>>,
}

/// A socket that listens.
struct Bound {
    socket: TcpListener,
    /// The number of its listener, as [`Listeners::side`](crate::config::listener::Listeners::side) counts them.
    number: usize,
    /// The shard whose own it is; `None`: any takes its connections.
    shard: Option<u16>,
}

/// Why a broker does not start; the text says what, where, and what to do.
pub type StartFailure = String;

impl Server {
    /// Starts a broker: when this returns it answers.
    pub fn start(mut settings: Broker) -> Result<Self, StartFailure> {
        let began = Instant::now();
        let open_files = open_files();
        let cores = topology::choose(settings.shards);
        let listeners = bind(&mut settings, cores.len() as u16)?;
        let directories = Directories::open(&settings).map_err(|error| error.to_string())?;
        let log_dirs = Arc::new(LogDirs::new(found(&settings, &directories).map_err(|error| error.to_string())?));
        let mut controller = Controller::open(&settings, &directories).map_err(|error| error.to_string())?;
        controller.place_on(Arc::clone(&log_dirs));
        controller.unfence().map_err(|error| error.to_string())?;
        let broker_epoch = controller.broker_epoch();
        let farewell = Arc::default();
        let settings = Arc::new(settings);
        let ground = Ground {
            directories: Arc::clone(&log_dirs),
            image: Arc::clone(controller.image()),
            controller: Mutex::new(Some(controller)),
            listeners: Mutex::new(listeners),
            open_files,
            settings: Arc::clone(&settings),
            farewell: Arc::clone(&farewell),
        };
        let mut plan = Plan::new(cores.clone());
        plan.directories = log_dirs.online().map(|(_, directory)| directory.path.clone()).collect();
        let running = shards::run(plan, move |core| ground.shard(core)).map_err(|error| error.to_string())?;
        let server = Self { running, directories, log_dirs, farewell, broker_epoch, settings };
        server.announce(&cores, began);
        Ok(server)
    }

    /// The settings it runs with; every port is known.
    pub fn settings(&self) -> &Broker {
        &self.settings
    }

    /// A shard's counts up to its last turn; `None` when there is no such shard.
    pub fn counters(&self, shard: u16) -> Option<Counters> {
        self.running.counters(ShardId(shard))
    }

    /// Begins a clean stop; may be called from any thread.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Waits until all shards have ended, then notes where everything stands. Only a stop in which every log was closed
    /// is marked as clean.
    pub fn join(self) -> Result<(), StartFailure> {
        let Self { running, directories, log_dirs, farewell, broker_epoch, .. } = self;
        running.join()?;
        let Farewell { offsets, unclean, counts } = std::mem::take(&mut *lock(&farewell));
        tell_crossings(counts);
        let working = || directories.logs.iter().filter(|directory| log_dirs.by_id(directory.id).is_some());
        for directory in working() {
            directory.held.sync_file_system().map_err(|error| format!("not a clean stop: {error}"))?;
        }
        if !write_checkpoints(&log_dirs, &offsets, Wanted::ALL) {
            return Err("not a clean stop: the checkpoints could not be written".into());
        }
        if unclean > 0 {
            return Err(format!("{unclean} logs were not closed cleanly; the next start checks all of them"));
        }
        for directory in working() {
            directory.held.write_clean_shutdown(broker_epoch).map_err(|error| error.to_string())?;
        }
        lines::info(format_args!("stopped cleanly"));
        Ok(())
    }

    fn announce(&self, cores: &[usize], began: Instant) {
        let addresses: Vec<String> = self.settings.listeners.broker.iter().map(Listener::address).collect();
        lines::info(format_args!(
            "node {} of cluster {} listens on {} with {} shard(s) on core(s) {cores:?}, started in {} ms",
            self.settings.node_id,
            self.directories.cluster_id,
            addresses.join(", "),
            cores.len(),
            began.elapsed().as_millis()
        ));
    }
}

impl Ground {
    /// Makes one shard, on its own thread: its partitions are recovered before anything is answered.
    fn shard(&self, core: Core<Call>) -> Result<Rc<Shard>, StartFailure> {
        let partitions = Partitions::new(core.clone(), Arc::clone(&self.directories), self.open_files.logs);
        partitions.open_all(&self.image, &self.settings).map_err(|error| error.to_string())?;
        if core.id() == CONTROLLER {
            partitions.adopt_doomed(self.directories.online().flat_map(|(_, one)| one.deleted.clone()).collect());
        }
        let router = Rc::new(Router::new(core.clone(), Arc::clone(&self.image)));
        let groups = Coordinators::new(core.clone(), Rc::clone(&partitions), Arc::clone(&self.settings), &self.image);
        let groups = groups.map_err(|error| format!("the coordinators of groups: {error}"))?;
        let telemetry = self.telemetry(&core).map_err(|error| format!("telemetry of clients: {error}"))?;
        let api = Api::new(core.clone(), Arc::clone(&self.settings), router, partitions, groups, telemetry);
        if core.id() == CONTROLLER {
            let controller = lock(&self.controller).take().expect("shard 0 is made once");
            api.host_controller(controller);
        }
        self.listen(&core);
        let net = Net::new(core.clone(), net_limits(&self.settings, core.count(), self.open_files));
        Ok(Shard::new(core, net, api, Arc::clone(&self.farewell)))
    }

    fn telemetry(&self, core: &Core<Call>) -> io::Result<Option<ClientTelemetry>> {
        let receive = || ClientTelemetry::new(core.clone(), &self.settings, &self.image);
        self.settings.client_telemetry.then(receive).transpose()
    }

    /// Accepts on the sockets that are this shard's own; the first shard also on those of all.
    fn listen(&self, core: &Core<Call>) {
        let mut listeners = lock(&self.listeners);
        let here = |bound: &mut Bound| ShardId(bound.shard.unwrap_or(0)) == core.id();
        for Bound { socket, number, shard } in listeners.extract_if(.., here) {
            core.listen(socket, number, if shard.is_some() { Seating::Here } else { Seating::Any });
        }
    }
}

/// Asks for as many open files as there can be had.
fn open_files() -> OpenFiles {
    let limit = shards::raise_open_files().unwrap_or_else(|error| {
        lines::warn(format_args!("the limit of open files can't be raised: {error}"));
        OPEN_FILES_AT_LEAST
    });
    if limit < OPEN_FILES_FEW {
        lines::warn(format_args!("no more than {limit} files may be open: {}", shards::DESCRIPTOR_HELP));
    }
    OpenFiles::of(limit)
}

/// How much went between the shards: what direct addressing saves.
fn tell_crossings(mut counts: Vec<(ShardId, Counters)>) {
    counts.sort_unstable_by_key(|(shard, _)| *shard);
    for (shard, Counters { receives, crossings, .. }) in counts.iter().filter(|_| counts.len() > 1) {
        lines::info(format_args!("{shard}: {receives} pieces of input, {crossings} calls of other shards"));
    }
}

fn net_limits(settings: &Broker, shards: u16, open_files: OpenFiles) -> NetLimits {
    NetLimits {
        frame_bytes_max: settings.socket_request_max_bytes as usize,
        idle_ns_max: u64::try_from(settings.connections_max_idle_ms).unwrap_or(0).saturating_mul(1_000_000),
        request_memory_bytes: settings.request_memory_bytes as usize / usize::from(shards),
        connections_max: open_files.connections,
    }
}

/// Binds every listener, so that a port that is taken is known before anything is touched.
fn bind(settings: &mut Broker, shards: u16) -> Result<Vec<Bound>, StartFailure> {
    let listeners = settings.listeners.clone();
    let mut all = Vec::new();
    for one in addressing::endpoints(&listeners, shards)? {
        let (name, number, shard) = (&one.listener.name, one.number, one.shard);
        let host = if one.listener.host.is_empty() { "0.0.0.0" } else { &one.listener.host };
        let socket = bind_patiently(host, one.port).map_err(|error| {
            let whose = shard.filter(|shard| *shard > 0).map_or(String::new(), |shard| format!(", shard {shard}"));
            format!("listener {name}{whose}: cannot listen on {host}:{}: {error}", one.port)
        })?;
        let port = socket.local_addr().map_err(|error| error.to_string())?.port();
        match shard {
            None | Some(0) => settings.bound(name, port),
            Some(_) => settings.listeners.broker[number].shard_bound(port)?,
        }
        all.push(Bound { socket, number, shard });
    }
    Ok(all)
}

/// The kernel takes a process's rings apart after it has ended, and the sockets in them with them: after a SIGKILL the port
/// can stay taken for a moment longer than the process lives.
fn bind_patiently(host: &str, port: u16) -> io::Result<TcpListener> {
    let deadline = Instant::now() + PORT_WAIT_MAX;
    loop {
        match TcpListener::bind((host, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::sleep(PORT_RETRY);
            }
            result => return result,
        }
    }
}

/// The log directories with what their checkpoints say, in the order of `log.dirs`.
fn found(settings: &Broker, directories: &Directories) -> Result<Vec<Directory>, LogError> {
    let mut found = Vec::new();
    for path in &settings.log_dirs {
        let holds_metadata = *path == settings.metadata_log_dir;
        let nothing = Directory { path: path.clone(), holds_metadata, ..Directory::default() };
        let Some(one) = directories.logs.iter().find(|one| one.held.path() == path) else {
            nothing.offline.store(true, Ordering::Relaxed);
            found.push(nothing);
            continue;
        };
        let read = |name: &str| -> Result<Offsets, LogError> {
            let entries = checkpoints::read(path, name)?;
            Ok(entries.into_iter().map(|entry| ((entry.topic, entry.partition), entry.offset)).collect())
        };
        let listing = one.held.list()?;
        found.push(Directory {
            id: one.id,
            clean: one.clean_stop.is_some(),
            recovery_points: read(checkpoints::RECOVERY_POINT)?,
            high_watermarks: read(checkpoints::REPLICATION)?,
            log_starts: read(checkpoints::LOG_START)?,
            cleaned: read(checkpoints::CLEANER)?,
            deleted: listing.deleted,
            futures: listing.futures,
            ..nothing
        });
    }
    Ok(found)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
