//! The work that brokers are compared by, and what is asked of ringmill there: workload files in the shape of the OpenMessaging
//! Benchmark (`perf/scenarios`), with what it can't say under `ringmill:`.

use std::fs;
use std::path::Path;

use crate::failure::{Doing, Failure};
use crate::fetch::Receive;
use crate::goal::Figure;
use crate::member::GroupProtocol;
use crate::yaml::Fields;

/// What `perf/run all` runs, in order; a line each.
const LIST: &str = "all";
const MIB: u64 = 1 << 20;

/// One workload file.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// The file's name without its end.
    pub(crate) name: String,
    /// What the file calls its name: a line for people.
    pub(crate) about: String,
    pub(crate) kind: Work,
    pub(crate) partitions: usize,
    /// Bytes of a record's value.
    pub(crate) record_size: usize,
    pub(crate) producers: usize,
    pub(crate) subscriptions: usize,
    /// Of each subscription.
    pub(crate) consumers: usize,
    /// Records per second of all producers, open loop; 0: as fast as answers come.
    pub(crate) rate: f64,
    pub(crate) keyed: bool,
    /// Written before consumers start.
    pub(crate) backlog_bytes: u64,
    pub(crate) extension: Extension,
}

/// What stands under `ringmill:`.
#[derive(Clone, Debug)]
pub(crate) struct Extension {
    /// Unanswered requests per connection.
    pub(crate) in_flight: usize,
    /// Bytes of all values in a request's batch.
    pub(crate) batch_size: usize,
    pub(crate) acks: i16,
    pub(crate) codec: String,
    pub(crate) idempotent: bool,
    pub(crate) linger_ms: f64,
    /// Of a Fetch.
    pub(crate) max_bytes: i32,
    pub(crate) receive: Receive,
    /// What was written before is taken out of the page cache first.
    pub(crate) cold: bool,
    /// Measured, of one round.
    pub(crate) seconds: f64,
    /// Bytes that one round writes at most: above some 10 % of memory dirty, the kernel makes the writer wait.
    pub(crate) bytes_max: u64,
    /// Records per second that are tried one after the other.
    pub(crate) rates: Vec<f64>,
    /// Part of what the second broker takes at most that is the rate for all.
    pub(crate) part_of_saturation: f64,
    pub(crate) connections: usize,
    pub(crate) groups: usize,
    pub(crate) members: usize,
    pub(crate) protocol: GroupProtocol,
    /// Of one broker at most; where a round has its own broker they are slow, and little changes between them.
    pub(crate) rounds: usize,
    /// For the broker of the first place only, the others have one round.
    pub(crate) others_rounds: usize,
    /// Cores of the broker, as taskset takes them; without it those of the command line.
    pub(crate) cores: Option<String>,
    pub(crate) topic_config: Vec<(String, String)>,
    /// Lines added to server.properties.
    pub(crate) broker_config: Vec<String>,
    /// The one broker this is about.
    pub(crate) only: Option<String>,
    pub(crate) figures: Vec<Figure>,
}

/// Which program makes the load and what becomes of the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Work {
    Produce,
    /// Produce at each of several rates.
    Sweep,
    Fetch,
    /// Records with keys and stamps from producers to consumers.
    Stream,
    /// Producers and consumers of whole batches, the latter behind by a backlog.
    Drain,
    OffsetCommit,
    GroupJoin,
    Start,
    Restart,
    IdleMemory,
    IdleGroups,
    /// Connections and partitions that nobody uses.
    IdleCrowd,
    /// Creation of many partitions, and a restart with them.
    ManyPartitions,
    JavaProducer,
    JavaConsumer,
    KcatProducer,
    KcatConsumer,
}

impl Work {
    /// What is measured is the broker's life, or its growth: each round has a new one.
    pub(crate) fn needs_fresh_broker(self) -> bool {
        use Work::{IdleCrowd, IdleGroups, IdleMemory, ManyPartitions, Restart, Start};
        matches!(self, Start | Restart | IdleMemory | IdleGroups | IdleCrowd | ManyPartitions)
    }

    /// A topic is written once, before the first measurement, and read in all of them.
    pub(crate) fn is_preloaded(self) -> bool {
        matches!(self, Work::Fetch | Work::JavaConsumer | Work::KcatConsumer)
    }
}

impl Scenario {
    pub(crate) fn load(folder: &Path, name: &str) -> Result<Scenario, Failure> {
        let path = folder.join(format!("{name}.yaml"));
        let text = fs::read_to_string(&path).map_err(|_| {
            Failure::Setup(format!(
                "no scenario {name} in {}; there are {}",
                folder.display(),
                names(folder).join(", ")
            ))
        })?;
        Scenario::parse(name, &text).map_err(|why| Failure::Setup(format!("{}: {why}", path.display())))
    }

    /// Those that `names` names, once each; `all` stands for the list of that name, which none stands for too.
    pub(crate) fn select(folder: &Path, names: &[String]) -> Result<Vec<Scenario>, Failure> {
        let list = fs::read_to_string(folder.join(LIST)).doing("read the list of scenarios")?;
        let listed = || list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut asked: Vec<&str> = Vec::new();
        let all = [LIST.to_owned()];
        for name in if names.is_empty() { &all[..] } else { names } {
            asked.extend(if name == LIST { listed().collect() } else { vec![name.as_str()] });
        }
        let mut chosen: Vec<Scenario> = Vec::new();
        for name in asked {
            if !chosen.iter().any(|known| known.name == name) {
                chosen.push(Scenario::load(folder, name)?);
            }
        }
        Ok(chosen)
    }

    pub(crate) fn parse(name: &str, text: &str) -> Result<Scenario, Failure> {
        let mut fields = Fields::parse(text)?;
        if fields.take("topics", 1)? != 1 {
            return Err(Failure::Setup("topics is 1: spread over partitionsPerTopic instead".to_owned()));
        }
        let record_size = fields.take("messageSize", 1024)?;
        let scenario = Scenario {
            name: name.to_owned(),
            about: fields.take_text("name").unwrap_or_default(),
            kind: value_of(&mut fields, "ringmill.kind", Work::Produce)?,
            partitions: fields.take("partitionsPerTopic", 1)?,
            record_size,
            producers: fields.take("producersPerTopic", 1)?,
            subscriptions: fields.take("subscriptionsPerTopic", 0)?,
            consumers: fields.take("consumerPerSubscription", 1)?,
            rate: fields.take("producerRate", 0.0)?,
            keyed: fields.take("keyDistributor", "NO_KEY".to_owned())? != "NO_KEY",
            backlog_bytes: fields.take("consumerBacklogSizeGB", 0u64)? << 30,
            extension: Extension::take(&mut fields, record_size)?,
        };
        // What other drivers of the benchmark need and this one decides itself.
        for key in ["useRandomizedPayloads", "randomBytesRatio", "randomizedPayloadPoolSize", "testDurationMinutes"] {
            fields.take_text(key);
        }
        fields.finish()?;
        Ok(scenario)
    }

    /// Records in one request's batch.
    pub(crate) fn records_per_batch(&self) -> usize {
        (self.extension.batch_size / self.record_size).max(1)
    }

    /// Whether it has brokers of its own, differently set up than everybody's.
    pub(crate) fn needs_own_brokers(&self) -> bool {
        self.extension.cores.is_some() || !self.extension.broker_config.is_empty()
    }

    /// The figure that decides when a warm-up has settled.
    pub(crate) fn main_figure(&self) -> &Figure {
        &self.extension.figures[0]
    }

    pub(crate) fn is_compared_with_null(&self) -> bool {
        self.extension.figures.iter().any(|figure| figure.goal.as_ref().is_some_and(|goal| goal.is_of_null()))
    }
}

impl Extension {
    fn take(fields: &mut Fields, record_size: usize) -> Result<Extension, Failure> {
        let lines = |text: Option<String>| -> Vec<String> {
            text.unwrap_or_default().lines().map(|line| line.trim().to_owned()).collect()
        };
        let pairs = lines(fields.take_text("ringmill.topicConfig")).into_iter().map(|line| {
            let pair = line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
            pair.ok_or_else(|| Failure::Setup(format!("topicConfig: {line} is no KEY=VALUE")))
        });
        let topic_config = pairs.collect::<Result<_, _>>()?;
        let figures = lines(fields.take_text("ringmill.figures"));
        let figures = figures.iter().map(|line| Figure::parse(line)).collect::<Result<Vec<_>, _>>()?;
        if figures.is_empty() {
            return Err(Failure::Setup("no figures".to_owned()));
        }
        let rates: String = fields.take_text("ringmill.rates").unwrap_or_default();
        let rates = rates.split_whitespace().map(str::parse).collect::<Result<_, _>>();
        Ok(Extension {
            in_flight: fields.take("ringmill.inFlight", 5)?,
            batch_size: fields.take("ringmill.batchSize", record_size)?,
            acks: fields.take("ringmill.acks", 1)?,
            codec: fields.take("ringmill.codec", "none".to_owned())?,
            idempotent: fields.take("ringmill.idempotent", false)?,
            linger_ms: fields.take("ringmill.lingerMs", 0.0)?,
            max_bytes: fields.take("ringmill.maxBytes", 1 << 20)?,
            receive: value_of(fields, "ringmill.receive", Receive::Discard)?,
            cold: fields.take("ringmill.cold", false)?,
            seconds: fields.take("ringmill.seconds", 4.0)?,
            bytes_max: fields.take("ringmill.mibMax", 1024u64)? * MIB,
            rates: rates.map_err(|_| Failure::Setup("rates are numbers".to_owned()))?,
            part_of_saturation: fields.take("ringmill.partOfSaturation", 0.0)?,
            connections: fields.take("ringmill.connections", 32)?,
            groups: fields.take("ringmill.groups", 1000)?,
            members: fields.take("ringmill.members", 100)?,
            protocol: value_of(fields, "ringmill.protocol", GroupProtocol::Classic)?,
            rounds: fields.take("ringmill.rounds", usize::MAX)?,
            others_rounds: fields.take("ringmill.othersRounds", usize::MAX)?,
            cores: fields.take_text("ringmill.cores"),
            topic_config,
            broker_config: lines(fields.take_text("ringmill.brokerConfig")),
            only: fields.take_text("ringmill.only"),
            figures,
        })
    }
}

/// One of the words of an enum of the command line.
fn value_of<T: clap::ValueEnum>(fields: &mut Fields, key: &str, otherwise: T) -> Result<T, Failure> {
    let Some(word) = fields.take_text(key) else { return Ok(otherwise) };
    T::from_str(&word, false).map_err(|why| Failure::Setup(format!("{key}: {word}: {why}")))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".yaml")?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
    }

    #[test]
    fn every_file_is_sound_and_the_list_names_only_files() {
        for name in names(&folder()) {
            let scenario = Scenario::load(&folder(), &name).unwrap_or_else(|why| panic!("{why}"));
            assert!(!scenario.about.is_empty(), "{name} has a name for people");
            for figure in &scenario.extension.figures {
                if let Some(other) = figure.goal.as_ref().and_then(|goal| goal.other_scenario()) {
                    assert!(folder().join(format!("{other}.yaml")).exists(), "{name}: {other}");
                }
            }
        }
        assert!(Scenario::select(&folder(), &[]).unwrap().len() > 30);
    }

    #[test]
    fn scenarios_are_chosen_once_and_by_known_names() {
        let choose = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
            let chosen = Scenario::select(&folder(), &asked)?;
            Ok::<_, Failure>(chosen.into_iter().map(|scenario| scenario.name).collect::<Vec<_>>())
        };
        assert_eq!(choose(&["start", "64k-6x5", "start"]).unwrap(), ["start", "64k-6x5"]);
        assert!(choose(&["none"]).is_err());
    }

    #[test]
    fn keys_without_meaning_are_refused() {
        assert!(Scenario::parse("a", "name: a\nringmill:\n  figures:\n    - seconds, s\n").is_ok());
        assert!(Scenario::parse("a", "name: a\nringmill:\n  figures:\n    - seconds, s\n  speed: 1\n").is_err());
        assert!(Scenario::parse("a", "name: a\ntopics: 2\nringmill:\n  figures:\n    - seconds, s\n").is_err());
        assert!(Scenario::parse("a", "name: a\n").is_err(), "no figures");
    }
}
