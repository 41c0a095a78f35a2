//! The same commands to ringmill and to Apache Kafka, and what each tool prints about both, compared line by line.
//!
//! Both brokers are started here, with the same server.properties and the same sequence of commands, so that what one
//! command does shows in what the next ones print. What has to differ is given one name in both: addresses, ids,
//! directories, times. Where a command fails, its exit code and the exceptions' classes are compared; the words of a
//! refusal are each broker's own.

mod commands;
mod same;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::java::{Java, Said};
use super::server::{Kind, Server};
use crate::tally::Tally;
use commands::{FILES, Look, MOVES_FILES, Table};
use same::Names;

/// One broker and what its commands are filled in with.
struct Side {
    server: Server,
    names: Names,
    words: BTreeMap<&'static str, String>,
}

pub(super) fn run(java: &Java, ringmill: &Kind, scratch: &Path, tally: &mut Tally) {
    for Round { name, shape, before, after } in ROUNDS {
        let mut sides = None;
        tally.check(&format!("compare: both brokers start ({name})"), || {
            let kafka = Kind::Kafka { libs: java.libs().to_owned() };
            let dir = scratch.join(format!("compare-{name}"));
            sides = Some([side(&kafka, &dir.join("kafka"), shape)?, side(ringmill, &dir.join("ringmill"), shape)?]);
            Ok(String::new())
        });
        let Some(mut sides) = sides else { return };
        table_of(java, before, &mut sides, tally);
        for tables in after {
            let started = tally.check("compare: both brokers start again", || {
                sides.iter_mut().try_for_each(|side| side.restart()).map(|()| String::new())
            });
            if started {
                tables.iter().for_each(|table| table_of(java, table, &mut sides, tally));
            }
        }
    }
}

/// Two brokers, what is asked of them, and what is asked after each of some restarts.
struct Round {
    name: &'static str,
    shape: Shape,
    before: Table,
    after: &'static [&'static [Table]],
}

/// How both brokers are set up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// The voters stand in the metadata log (KIP-853).
    Quorum,
    Static,
    /// Three log directories.
    Directories,
}

const ROUNDS: [Round; 3] = [
    Round { name: "quorum", shape: Shape::Quorum, before: commands::QUORUM, after: &[] },
    Round {
        name: "static",
        shape: Shape::Static,
        before: commands::COMMANDS,
        after: &[&[commands::AFTER_RESTART, commands::GROUPS, commands::VOTERS], &[commands::VOTERS_KEPT]],
    },
    Round {
        name: "directories",
        shape: Shape::Directories,
        before: commands::MOVES,
        after: &[&[commands::MOVES_AFTER_RESTART]],
    },
];

/// How long a command is repeated that waits for something.
const PATIENCE: Duration = Duration::from_secs(60);

fn side(kind: &Kind, dir: &Path, shape: Shape) -> Result<Side, String> {
    // Transactions and share groups of a broker alone.
    let mut settings = vec![("share.coordinator.state.topic.replication.factor", "1")];
    let data = dir.join("data").display().to_string();
    let log_dirs = format!("{data},{data}-2,{data}-3");
    if shape == Shape::Directories {
        settings.push(("log.dirs", &log_dirs));
    }
    let server = match shape {
        Shape::Quorum => Server::dynamic(kind, dir, &settings)?,
        Shape::Static | Shape::Directories => Server::create(kind, dir, &settings)?,
    };
    let data = server.data();
    let mut side = Side { names: Names::default(), words: BTreeMap::new(), server };
    let meta = std::fs::read_to_string(data.join("meta.properties")).map_err(|e| format!("meta.properties: {e}"))?;
    let id = |key: &str| meta.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned();
    let (broker, controller) = (side.server.bootstrap(), side.server.controller());
    side.names.add(&broker, "BROKER");
    side.names.add(&controller, "CONTROLLER");
    for (address, name) in [(&broker, "BROKER"), (&controller, "CONTROLLER")] {
        let port = address.rsplit(':').next().unwrap_or_default();
        side.names.add(port, name);
    }
    side.names.add(&id("cluster.id="), "CLUSTER-ID");
    side.names.add(&id("directory.id="), "DIRECTORY-ID");
    side.names.add(&dir.display().to_string(), "DIR");
    // Where numbers make no difference, directories still do.
    side.names.add(&format!("{}-2", data.display()), "SECOND");
    side.names.add(&format!("{}-3", data.display()), "THIRD");
    side.words.insert("broker", broker);
    side.words.insert("controller", controller);
    side.words.insert("data", data.display().to_string());
    side.words.insert("directory-id", id("directory.id="));
    for (name, text) in FILES.into_iter().chain(MOVES_FILES) {
        let path: PathBuf = dir.join(name);
        std::fs::write(&path, side.fill(text)).map_err(|e| format!("write {}: {e}", path.display()))?;
        side.words.insert(name, path.display().to_string());
    }
    Ok(side)
}

fn table_of(java: &Java, table: Table, sides: &mut [Side; 2], tally: &mut Tally) {
    for (look, line) in table {
        tally.check(&format!("compare: {line}"), || {
            let [kafka, ringmill] = sides;
            let (expected, found) = (kafka.settle(java, line, *look)?, ringmill.settle(java, line, *look)?);
            same::compare(&kafka.names, &expected, &ringmill.names, &found, *look)
        });
    }
}

impl Side {
    fn restart(&mut self) -> Result<(), String> {
        self.server.stop()?;
        self.server.start().map(drop)
    }

    /// Runs one line of a table, until it says what it is to say.
    fn settle(&self, java: &Java, line: &str, look: Look) -> Result<Said, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.run(java, line)?;
            match look {
                Look::Until(word) if !said.out.contains(word) && Instant::now() < deadline => {}
                _ => return Ok(said),
            }
        }
    }

    /// Runs one line of a table: words parted by spaces, `'...'` around a word that has some, after `<` what the tool
    /// reads.
    fn run(&self, java: &Java, line: &str) -> Result<Said, String> {
        let (command, stdin) = line.split_once(" < ").unwrap_or((line, ""));
        let mut words = split(command).into_iter().map(|word| self.fill(&word));
        let script = words.next().unwrap_or_default();
        let class = commands::class(&script).ok_or_else(|| format!("no tool {script}"))?;
        let mut args: Vec<String> = words.collect();
        if !args.iter().any(|arg| arg.starts_with("--bootstrap-")) {
            // Some tools take it before their subcommand, some behind it.
            let at = if commands::ADDRESS_FIRST.contains(&script.as_str()) { 0 } else { args.len() };
            args.splice(at..at, ["--bootstrap-server".to_owned(), self.words["broker"].clone()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        java.tool(class, &stdin.replace("\\n", "\n"), &args)
    }

    /// Puts in this broker's words for `{name}`.
    fn fill(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (name, word)| text.replace(&format!("{{{name}}}"), word))
    }
}

fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_in_quotes_stay_together() {
        assert_eq!(super::split("a 'b c' d"), ["a", "b c", "d"]);
        assert_eq!(super::split("a ''"), ["a", ""]);
    }

    #[test]
    fn every_line_names_a_tool() {
        use super::commands::class;
        let tables = super::ROUNDS.into_iter().flat_map(|round| [&[round.before][..], &round.after.concat()].concat());
        for (_, line) in tables.flatten() {
            let script = line.split(' ').next().unwrap_or_default();
            assert!(class(script).is_some(), "{line}");
        }
    }
}
