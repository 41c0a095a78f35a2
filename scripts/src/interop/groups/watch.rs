//! What is written, and what the broker says is committed, while groups run.

use crate::interop::java::Java;
use crate::interop::python;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The log end offset of each partition, as far as its producer knows: what must be read.
#[derive(Clone)]
pub(crate) struct Ends(Arc<Mutex<Vec<i64>>>);

impl Ends {
    pub(crate) fn now(&self) -> Vec<i64> {
        self.0.lock().expect("no thread panics while it holds this").clone()
    }
}

/// A producer that writes to all partitions in turns until it is dropped.
pub(crate) struct Load {
    child: Child,
    _input: Option<ChildStdin>,
    pub ends: Ends,
}

impl Load {
    pub(crate) fn start(
        python: &Path,
        bootstrap: &str,
        topic: &str,
        partitions: u32,
        rate: u32,
    ) -> Result<Load, String> {
        let mut command = python::program(python, "client.py");
        command.args(["load", bootstrap, topic, &partitions.to_string(), &rate.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().expect("it is piped")));
        let ends = Ends(Arc::new(Mutex::new(vec![0; partitions as usize])));
        let known = ends.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let mut words = line.split(' ').map(|word| word.parse::<i64>());
                if let (Some(Ok(partition)), Some(Ok(offset))) = (words.next(), words.next()) {
                    let mut ends = known.0.lock().expect("no thread panics while it holds this");
                    ends[partition as usize] = ends[partition as usize].max(offset + 1);
                }
            }
        });
        Ok(Load { child, _input: input, ends })
    }

    /// Waits until it has written more than now: the broker takes records again.
    pub(crate) fn progress(&mut self, limit: Duration) -> Result<(), String> {
        let (before, end) = (self.ends.now(), Instant::now() + limit);
        while self.ends.now() == before {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the producer ended by itself with {status}"));
            }
            if Instant::now() > end {
                return Err(format!("nothing acknowledged for {limit:?}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Committed offsets of groups, asked of the broker again and again by one thread and looked at by others.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<HashMap<String, Watched>>>);

#[derive(Default)]
struct Watched {
    over: bool,
    answers: Vec<BTreeMap<u32, i64>>,
}

impl Watch {
    pub(crate) fn add(&self, group: &str) {
        self.lock().insert(group.to_owned(), Watched::default());
    }

    pub(crate) fn remove(&self, group: &str) {
        self.lock().entry(group.to_owned()).or_default().over = true;
    }

    /// True when the last answer was not below these offsets.
    pub(crate) fn committed(&self, group: &str, ends: &[i64]) -> bool {
        let all = self.lock();
        let Some(last) = all.get(group).and_then(|watched| watched.answers.last()) else { return false };
        ends.iter()
            .enumerate()
            .all(|(partition, end)| last.get(&(partition as u32)).is_some_and(|offset| offset >= end))
    }

    pub(crate) fn answers(&self, group: &str) -> Vec<BTreeMap<u32, i64>> {
        self.lock().get(group).map(|watched| watched.answers.clone()).unwrap_or_default()
    }

    /// Asks for all groups that run, in one call of the JVM. An error tells why some have no new answer.
    pub(crate) fn ask(&self, java: &Java, bootstrap: &str, topic: &str) -> Result<(), String> {
        let groups: Vec<String> =
            self.lock().iter().filter(|(_, watched)| !watched.over).map(|(group, _)| group.clone()).collect();
        let mut request = vec!["committed", bootstrap, topic];
        request.extend(groups.iter().map(String::as_str));
        let said = java.ask(&request)?;
        let mut found: HashMap<&str, BTreeMap<u32, i64>> = HashMap::new();
        for line in said.out.lines() {
            match line.split('\t').collect::<Vec<&str>>()[..] {
                [group] => drop(found.insert(group, BTreeMap::new())),
                [group, partition, offset] => {
                    let number = |text: &str| text.parse::<i64>().map_err(|e| format!("{line}: {e}"));
                    found.entry(group).or_default().insert(number(partition)? as u32, number(offset)?);
                }
                _ => return Err(format!("not a committed offset: {line}")),
            }
        }
        let mut all = self.lock();
        for (group, offsets) in found {
            all.entry(group.to_owned()).or_default().answers.push(offsets);
        }
        if said.err.is_empty() { Ok(()) } else { Err(said.err) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Watched>> {
        self.0.lock().expect("no thread panics while it holds this")
    }
}
