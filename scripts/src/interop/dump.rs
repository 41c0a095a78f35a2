//! Kafka's DumpLogSegments accepts every file of the data directory: after a run, after a restart, after SIGKILL.

use crate::interop::Env;
use crate::interop::java::{CONSUMER_GROUPS, Java};
use crate::interop::server::Server;
use crate::tally::Tally;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Two JVMs that dump files side by side: the tool has one thread.
pub(crate) struct Dumpers<'a> {
    first: &'a Java,
    second: Java,
}

pub(crate) fn run(env: &Env, server: &mut Server, tally: &mut Tally) {
    let mut dumpers = None;
    tally.check("dump: a second JVM", || {
        dumpers = Some(Dumpers::start(&env.java)?);
        Ok(String::new())
    });
    let Some(dumpers) = dumpers else { return };
    tally.check("dump: a group commits offsets", || group(env));
    tally.check("dump: every log while the broker runs", || dumpers.logs(&server.data(), false));
    tally.check("dump: every log and index after a clean stop", || {
        server.stop()?;
        dumpers.everything(&server.data())
    });
    let mut ends = String::new();
    tally.check("dump: the offsets after a restart are those from before", || {
        server.start()?;
        ends = offsets(env)?;
        let written = more(env)?;
        let now = offsets(env)?;
        if now == ends { Err(format!("{written} records made no difference to\n{now}")) } else { Ok(written) }
    });
    tally.check("dump: every log right after SIGKILL", || {
        ends = offsets(env)?;
        server.kill();
        dumpers.logs(&server.data(), true)
    });
    tally.check("dump: nothing was lost by SIGKILL", || {
        let took = server.start()?;
        let now = offsets(env)?;
        if now != ends {
            return Err(format!("before\n{ends}\nafter\n{now}"));
        }
        Ok(format!("restart to the first answer {} ms", took.as_millis()))
    });
    tally.check("dump: every log and index after SIGKILL, restart and stop", || {
        server.stop()?;
        dumpers.everything(&server.data())
    });
    tally.check("dump: the control, a flipped bit, is found", || dumpers.planted(env, &server.data()));
}

fn offsets(env: &Env) -> Result<String, String> {
    let text = env.java.tool_ok("GetOffsetShell", "", &["--bootstrap-server", &env.bootstrap, "--time", "-1"])?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    Ok(lines.join("\n"))
}

/// Writes a little more, through Java.
fn more(env: &Env) -> Result<String, String> {
    let topic = env.topic("after-restart");
    let args = ["--topic", &topic, "--num-records", "5000", "--record-size", "500", "--throughput", "-1"];
    let server = ["--bootstrap-server", &env.bootstrap];
    env.java.tool_ok("ProducerPerformance", "", &[&server[..], &args[..]].concat())?;
    Ok("5000".to_owned())
}

/// Leaves records of a group in the offsets topic.
fn group(env: &Env) -> Result<String, String> {
    let topic = env.topic("committed");
    env.create_topic(&topic, 3)?;
    let server = ["--bootstrap-server", &env.bootstrap, "--group", "dumped"];
    let reset = ["--topic", &topic, "--reset-offsets", "--to-earliest", "--execute"];
    env.java.tool_ok(CONSUMER_GROUPS, "", &[&server[..], &reset[..]].concat())
}

impl Dumpers<'_> {
    pub(crate) fn start(first: &Java) -> Result<Dumpers<'_>, String> {
        Ok(Dumpers { first, second: first.another()? })
    }

    /// The `.log` files alone: the indexes of a running broker, and of one that was killed, still have room at their ends.
    pub(crate) fn logs(&self, data: &Path, torn_tail: bool) -> Result<String, String> {
        let mut files = files(data)?;
        files.retain(|file| has_extension(file, &["log"]));
        let (data_logs, metadata): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| !is_metadata(file));
        self.dump(&["--deep-iteration"], &data_logs, torn_tail)?;
        self.dump(&["--cluster-metadata-decoder", "--skip-record-metadata"], &metadata, torn_tail)?;
        Ok(format!("{} logs", data_logs.len() + metadata.len()))
    }

    pub(crate) fn everything(&self, data: &Path) -> Result<String, String> {
        let files = files(data)?;
        let (metadata, rest): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_metadata(file));
        let segments: Vec<_> =
            rest.into_iter().filter(|file| has_extension(file, &["log", "index", "timeindex", "txnindex"])).collect();
        let indexes: Vec<_> =
            segments.iter().filter(|file| has_extension(file, &["index", "timeindex"])).cloned().collect();
        self.dump(&["--deep-iteration", "--index-sanity-check"], &segments, false)?;
        self.dump(&["--verify-index-only"], &indexes, false)?;
        let records: Vec<_> = metadata.into_iter().filter(|file| has_extension(file, &["log", "checkpoint"])).collect();
        self.dump(&["--cluster-metadata-decoder", "--skip-record-metadata"], &records, false)?;
        let groups: Vec<_> =
            segments.iter().filter(|file| is_of_groups(file) && has_extension(file, &["log"])).cloned().collect();
        self.dump(&["--offsets-decoder"], &groups, false)?;
        if segments.is_empty() || records.is_empty() {
            return Err(format!("{} segments and indexes, {} metadata files", segments.len(), records.len()));
        }
        Ok(format!("{} segments and indexes, {} metadata files", segments.len(), records.len()))
    }

    /// Dumps the files and looks for anything that is not plain contents.
    fn dump(&self, flags: &[&str], files: &[PathBuf], torn_tail: bool) -> Result<(), String> {
        // Few at a time: the tool keeps what it prints in memory here.
        let waiting = Mutex::new(files.chunks(10));
        let work = |java: &Java| {
            let next = || waiting.lock().expect("no thread panics while it holds this").next();
            while let Some(some) = next() {
                dump(java, flags, some, torn_tail)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let second = scope.spawn(|| work(&self.second));
            work(self.first).and(second.join().unwrap_or_else(|_| Err("the second dump panicked".to_owned())))
        })
    }

    fn planted(&self, env: &Env, data: &Path) -> Result<String, String> {
        let mut logs: Vec<PathBuf> =
            files(data)?.into_iter().filter(|file| has_extension(file, &["log"]) && !is_metadata(file)).collect();
        logs.retain(|file| std::fs::metadata(file).is_ok_and(|meta| meta.len() > 200));
        let sound = logs.first().ok_or("no log has records")?;
        let damaged = env.scratch.join(sound.file_name().expect("a file has a name"));
        let mut bytes = std::fs::read(sound).map_err(|e| e.to_string())?;
        bytes[100] ^= 0x10;
        std::fs::write(&damaged, bytes).map_err(|e| e.to_string())?;
        match self.dump(&["--deep-iteration"], &[damaged], false) {
            Ok(()) => Err("a flipped bit went unseen: this check is blind".to_owned()),
            Err(_) => Ok(String::new()),
        }
    }
}

fn dump(java: &Java, flags: &[&str], files: &[PathBuf], torn_tail: bool) -> Result<(), String> {
    let list = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(",");
    let said = java.ask(&[&["dump"], flags, &["--files", &list]].concat())?;
    let (code, all) = (said.code, format!("{}\n{}", said.out, said.err));
    let suspicious: Vec<&str> = all.lines().filter(|line| is_finding(line, torn_tail)).take(10).collect();
    if code != 0 || !suspicious.is_empty() {
        return Err(format!("{flags:?} exit {code}\n{}", suspicious.join("\n")));
    }
    Ok(())
}

/// Words that DumpLogSegments only prints about damage.
fn is_finding(line: &str, torn_tail: bool) -> bool {
    // A write that SIGKILL cut off in the middle was not acknowledged; recovery cuts it.
    if torn_tail && line.contains(" invalid bytes at the end of ") {
        return false;
    }
    // It also names the first offset of a file that does not begin at 0, of Apache Kafka's files as well.
    if line.trim_start().starts_with("-1 is followed by ") {
        return false;
    }
    let words = ["isvalid: false", "ismatch", " is followed by ", "not found in", "invalid bytes", "out of order"];
    let errors = ["Exception", "Error", "orrupt", "Could not", "at org.apache", "Ignoring unknown"];
    words.iter().chain(&errors).any(|word| line.contains(word))
}

/// Every file below the data directory.
fn files(data: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut directories = vec![data.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = std::fs::read_dir(&directory).map_err(|e| format!("list {}: {e}", directory.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                found.push(path);
            }
        }
    }
    // Deleted topics wait for their end under another name.
    found.retain(|path| !path.components().any(|part| part.as_os_str().to_string_lossy().ends_with("-delete")));
    found.sort();
    Ok(found)
}

fn is_metadata(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "__cluster_metadata-0")
}

fn is_of_groups(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str().to_string_lossy().starts_with("__consumer_offsets-"))
}

fn has_extension(file: &Path, extensions: &[&str]) -> bool {
    file.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one))
}
