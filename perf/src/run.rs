//! Comparison: the same work against each broker in turns, A B A B, each on its own core, all of them warm.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::broker::{Broker, Home, Kind, Leftovers, Place};
use crate::failure::Failure;
use crate::goal::NULL;
use crate::lifecycle;
use crate::machine::{Autogroup, WarmMemory};
use crate::record::Record;
use crate::scenario::{Scenario, Work};
use crate::turn::Turn;

pub(crate) const READY_MAX: Duration = Duration::from_secs(90);
/// A broker that was paused longer than its session would be fenced when it goes on: sessions outlive the comparison.
const PAUSABLE: &str = "broker.session.timeout.ms=3600000\n";
/// What a measurement takes beside its seconds: a ramp, a topic made and removed, a look whether the machine is quiet.
const OVERHEAD: f64 = 3.0;
/// The same where each measurement has a broker of its own.
const LIFE: f64 = 10.0;
/// Of a scenario's warm-up for one broker, when time is limited.
const WARM: f64 = 12.0;
/// Of load before the first warm-up, for each kind of it: a JVM compiles for a minute or two, and the first scenarios
/// would pay for all.
const COMPILE: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Scenarios to run: files of --scenarios-dir, or `all` of its list
    scenarios: Vec<String>,
    /// What ringmill is compared with: perf/brokers/NAME.sh
    #[arg(long, default_value = "kafka")]
    vs: String,
    /// NAME=COMMAND, in place of ringmill and --vs; ratios are first to second
    #[arg(long = "broker")]
    named: Vec<Kind>,
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Minutes that all of it may take, the build of perf/run included: warm-ups end earlier and measurements are shorter where they must;
    /// 0 for no limit
    #[arg(long, default_value_t = 50.0)]
    pub(crate) minutes: f64,
    #[arg(long, default_value = "perf/scenarios")]
    pub(crate) scenarios_dir: PathBuf,
    #[arg(long, default_value = "0")]
    pub(crate) broker_core: String,
    #[arg(long, default_value = "1")]
    pub(crate) load_core: String,
    /// Where data directories are made: the file system that is measured
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    pub(crate) dir: PathBuf,
    /// Where results go; a folder for the day is made in it
    #[arg(long, default_value = "perf/runs")]
    pub(crate) out: PathBuf,
    /// GiB of memory touched before anything is measured and kept from the host until the end, all but 0.2 % of it free for
    /// everyone; at most half of what is available. A virtual machine's first touch of a page is slow
    #[arg(long, default_value_t = 8)]
    warm_gib: usize,
    /// How often a measurement that other processes disturbed is repeated
    #[arg(long, default_value_t = 1)]
    pub(crate) repeats: usize,
    /// Seconds to wait before each measurement for other processes to be quiet
    #[arg(long, default_value_t = 5)]
    pub(crate) wait_quiet: u64,
    /// Of fetched answers that the load drops, one in so many is checked; 0 for none (the null broker repeats one batch)
    #[arg(long, default_value_t = 512)]
    pub(crate) check_every: u64,
    /// Niceness of brokers and loads: below 0 (as root) where the machine can't be had alone
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) nice: i32,
    /// Factor on the measured seconds; below 1 for a quick look that is not to be quoted
    #[arg(long, default_value_t = 1.0)]
    pub(crate) scale: f64,
}

impl Args {
    pub(crate) fn brokers(&self) -> Vec<Kind> {
        if !self.named.is_empty() {
            return self.named.clone();
        }
        vec![Kind::of_script("ringmill"), Kind::of_script(&self.vs)]
    }

    pub(crate) fn place(&self) -> Place {
        Place { cores: self.broker_core.clone(), nice: self.nice }
    }

    pub(crate) fn load_place(&self) -> Place {
        Place { cores: self.load_core.clone(), nice: self.nice }
    }

    /// On all cores of broker and load: what has nothing to do disturbs nobody.
    fn both_places(&self) -> Place {
        Place { cores: format!("{},{}", self.broker_core, self.load_core), nice: self.nice }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (_group, _leftovers) = (Autogroup::nice(args.nice), Leftovers);
    let scenarios = Scenario::select(&args.scenarios_dir, &args.scenarios)?;
    let record = Record::create(args, &scenarios)?;
    let built_s = std::env::var("PERF_BUILD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let end = Instant::now() + Duration::from_secs_f64((args.minutes * 60.0 - built_s).max(0.0));
    let mut comparison = Comparison { args, record, end, ahead: Cost::default() };
    // Without it a measurement is worse, and still one.
    let warm = WarmMemory::take(args.warm_gib);
    if let Err(why) = &warm {
        comparison.record.say(&format!("memory is not kept from the host: {why}"));
    }
    for scenario in &scenarios {
        let cost = comparison.cost(scenario);
        comparison.ahead.fixed += cost.fixed;
        comparison.ahead.scaled += cost.scaled;
    }
    let Cost { fixed, scaled } = comparison.ahead;
    let (count, scale) = (scenarios.len(), comparison.scale());
    comparison.record.say(&format!(
        "{count} scenarios, {:.0} minutes at scale 1, begun at scale {scale:.2}",
        (fixed + scaled) / 60.0
    ));
    let (own, shared): (Vec<&Scenario>, Vec<&Scenario>) =
        scenarios.iter().partition(|scenario| scenario.kind.needs_fresh_broker() || scenario.needs_own_brokers());
    comparison.under_load(&shared)?;
    for scenario in own {
        if scenario.kind.needs_fresh_broker() {
            comparison.of_lives(scenario)?;
        } else {
            comparison.under_load(&[scenario])?;
        }
    }
    comparison.record.finish()
}

struct Comparison<'a> {
    args: &'a Args,
    record: Record,
    end: Instant,
    /// What is not yet done.
    ahead: Cost,
}

/// Seconds of work, about.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// What it takes whatever the scale is.
    fixed: f64,
    /// Warm-ups and measurements at scale 1.
    scaled: f64,
}

impl Comparison<'_> {
    /// The brokers that take part, and how many rounds each has.
    fn parties(&self, scenario: &Scenario) -> Vec<(Kind, usize)> {
        let mut kinds = self.args.brokers();
        if scenario.is_compared_with_null() && kinds.iter().all(|kind| kind.name != NULL) {
            kinds.push(Kind::of_script(NULL));
        }
        let extension = &scenario.extension;
        kinds.retain(|kind| extension.only.as_ref().is_none_or(|only| *only == kind.name));
        let rounds =
            |n| self.args.rounds.min(extension.rounds).min(if n > 0 { extension.others_rounds } else { usize::MAX });
        kinds.into_iter().enumerate().map(|(n, kind)| (kind, rounds(n))).collect()
    }

    fn cost(&self, scenario: &Scenario) -> Cost {
        let is_fresh = scenario.kind.needs_fresh_broker();
        let (overhead, warm) = if is_fresh { (LIFE, 0.0) } else { (OVERHEAD, WARM) };
        let parties = self.parties(scenario);
        let rounds: usize = parties.iter().map(|(_, rounds)| *rounds).sum();
        Cost {
            fixed: overhead * rounds as f64,
            scaled: scenario.extension.seconds * rounds as f64 + warm * parties.len() as f64,
        }
    }

    fn done(&mut self, scenario: &Scenario) {
        let cost = self.cost(scenario);
        self.ahead.fixed -= cost.fixed;
        self.ahead.scaled -= cost.scaled;
    }

    /// The factor on measured seconds that fits what is ahead into the time that is left.
    fn scale(&self) -> f64 {
        if self.args.minutes == 0.0 {
            return self.args.scale;
        }
        let left = self.end.saturating_duration_since(Instant::now()).as_secs_f64();
        self.args.scale * ((left - self.ahead.fixed) / self.ahead.scaled.max(1.0)).clamp(0.25, 1.0)
    }

    fn warm_max(&self) -> Duration {
        let unlimited = self.args.minutes == 0.0;
        if unlimited { Duration::from_secs(300) } else { Duration::from_secs_f64(WARM * self.scale()) }
    }

    /// Scenarios whose brokers are the same ones, which live as long as all of them.
    fn under_load(&mut self, scenarios: &[&Scenario]) -> Result<(), Failure> {
        let mut kinds: Vec<Kind> = Vec::new();
        for (kind, _) in scenarios.iter().flat_map(|scenario| self.parties(scenario)) {
            if kinds.iter().all(|known| known.name != kind.name) {
                kinds.push(kind);
            }
        }
        let mut brokers = Vec::new();
        for kind in &kinds {
            match self.start(kind, scenarios[0]) {
                Ok(broker) => brokers.push(broker),
                Err(why) => self.record.failed(&scenarios[0].name, &kind.name, &why)?,
            }
        }
        self.compile(scenarios, &mut brokers)?;
        for scenario in scenarios {
            if self.is_over(scenario)? {
                continue;
            }
            self.revive(&kinds, &mut brokers, scenario)?;
            let parties = self.parties(scenario);
            let rounds =
                |broker: &Broker| parties.iter().find(|(kind, _)| kind.name == broker.name).map(|(_, rounds)| *rounds);
            let present = brokers.iter_mut().filter_map(|broker| rounds(broker).map(|rounds| (broker, rounds)));
            self.compare(scenario, present.collect())?;
            self.done(scenario);
        }
        Ok(())
    }

    /// Each broker does some of what is ahead, whose figures nobody looks at. One that is alone is compared with no other.
    fn compile(&mut self, scenarios: &[&Scenario], brokers: &mut [Broker]) -> Result<(), Failure> {
        let begun = Instant::now();
        let of = |kind: Work| scenarios.iter().filter(move |scenario| scenario.kind == kind);
        let chosen: Vec<&Scenario> = of(Work::Produce).take(2).chain(of(Work::Fetch).take(1)).copied().collect();
        if brokers.len() < 2 || chosen.is_empty() {
            return Ok(());
        }
        for broker in brokers.iter_mut().filter(|broker| broker.name != NULL) {
            for scenario in &chosen {
                let (args, rate) = (self.args, scenario.rate);
                let mut turn = Turn { args, scenario, broker, scale: 1.0, rate, runs: 0 };
                if let Err(why) = turn.awake(|turn| turn.exercise(COMPILE).and_then(|()| turn.forget())) {
                    self.record.failed(&scenario.name, &broker.name, &why)?;
                }
            }
        }
        self.record.say(&format!("brokers ran for {:.0} s before the first warm-up", begun.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Whether the minutes are over: then what is left is noted, and not measured.
    fn is_over(&mut self, scenario: &Scenario) -> Result<bool, Failure> {
        let is_over = self.args.minutes > 0.0 && Instant::now() > self.end;
        if is_over {
            self.record.failed(&scenario.name, "every broker", &Failure::Setup("no time was left".to_owned()))?;
        }
        Ok(is_over)
    }

    /// A broker that ended at an earlier scenario, which was noted, is started again.
    fn revive(&self, kinds: &[Kind], brokers: &mut [Broker], scenario: &Scenario) -> Result<(), Failure> {
        for broker in brokers {
            let kind = kinds.iter().find(|kind| kind.name == broker.name);
            if let (Err(_), Some(kind)) = (broker.check_alive(), kind) {
                *broker = self.start(kind, scenario)?;
            }
        }
        Ok(())
    }

    fn start(&self, kind: &Kind, scenario: &Scenario) -> Result<Broker, Failure> {
        let config: String = scenario.extension.broker_config.iter().map(|line| format!("{line}\n")).collect();
        let home = Home::create(&self.args.dir, &kind.name, &format!("{PAUSABLE}{config}"))?;
        let mut place = self.args.place();
        if let Some(cores) = &scenario.extension.cores {
            place.cores.clone_from(cores);
        }
        let mut broker = Broker::start(kind, home, &place)?;
        broker.wait_ready(READY_MAX)?;
        broker.pause()?;
        Ok(broker)
    }

    /// A broker that fails at a scenario is out of it, and noted.
    fn compare(&mut self, scenario: &Scenario, brokers: Vec<(&mut Broker, usize)>) -> Result<(), Failure> {
        let (args, scale, warm_max) = (self.args, self.scale(), self.warm_max());
        let mut turns: Vec<(Turn<'_>, usize)> = brokers
            .into_iter()
            .map(|(broker, rounds)| (Turn { args, scenario, broker, scale, rate: scenario.rate, runs: 0 }, rounds))
            .collect();
        if scenario.extension.part_of_saturation > 0.0
            && let Err(why) = self.set_rates(scenario, &mut turns)
        {
            return self.record.failed(&scenario.name, "every broker", &why);
        }
        let mut out: Vec<String> = Vec::new();
        for (turn, _) in &mut turns {
            if let Err(why) = self.warm(turn, warm_max) {
                self.record.failed(&scenario.name, &turn.broker.name, &why)?;
                out.push(turn.broker.name.clone());
            }
        }
        for round in 0..turns.iter().map(|(_, rounds)| *rounds).max().unwrap_or_default() {
            for (turn, rounds) in &mut turns {
                if round >= *rounds || out.contains(&turn.broker.name) {
                    continue;
                }
                match turn.awake(Turn::measure_in_quiet) {
                    Ok(result) => self.record.line(scenario, &turn.broker.name, round, &result)?,
                    Err(why) => {
                        self.record.failed(&scenario.name, &turn.broker.name, &why)?;
                        out.push(turn.broker.name.clone());
                    }
                }
            }
        }
        for (turn, _) in turns.iter_mut().filter(|(turn, _)| !out.contains(&turn.broker.name)) {
            if let Err(why) = turn.awake(Turn::forget) {
                self.record.failed(&scenario.name, &turn.broker.name, &why)?;
            }
        }
        Ok(())
    }

    fn warm(&mut self, turn: &mut Turn<'_>, at_most: Duration) -> Result<(), Failure> {
        let (figures, counts) = turn.awake(|turn| Ok((turn.warm(at_most)?, turn.count_syscalls()?)))?;
        let (scenario, broker) = (&turn.scenario.name, &turn.broker.name);
        let words: Vec<String> = figures.iter().map(|f| format!("{f:.3}")).collect();
        self.record.say(&format!("{scenario:22} warm    {broker:9} {}", words.join(" ")));
        self.record.note(scenario, broker, &json!({ "warm": figures, "counts": counts, "scale": turn.scale }))
    }

    /// Everybody gets the part of what the last real broker takes at most.
    fn set_rates(&mut self, scenario: &Scenario, turns: &mut [(Turn<'_>, usize)]) -> Result<(), Failure> {
        let measure = turns.iter_mut().rfind(|(turn, _)| turn.broker.name != NULL);
        let Some((turn, _)) = measure else { return Ok(()) };
        let most = turn.awake(Turn::saturation)?;
        let rate = (most * scenario.extension.part_of_saturation).max(1.0);
        self.record.say(&format!(
            "{:22} rate    {rate:.0} records/s of {most:.0} that {} takes",
            scenario.name, turn.broker.name
        ));
        self.record.note(&scenario.name, &turn.broker.name, &json!({ "saturation": most, "rate": rate }))?;
        turns.iter_mut().for_each(|(turn, _)| turn.rate = rate);
        Ok(())
    }

    /// Each round has a new broker.
    fn of_lives(&mut self, scenario: &Scenario) -> Result<(), Failure> {
        if self.is_over(scenario)? {
            return Ok(());
        }
        let (args, scale) = (self.args, self.scale());
        let places = lifecycle::Places { broker: args.place(), load: args.load_place(), both: args.both_places() };
        let parties = self.parties(scenario);
        for round in 0..parties.iter().map(|(_, rounds)| *rounds).max().unwrap_or_default() {
            for (kind, _) in parties.iter().filter(|(_, rounds)| round < *rounds) {
                match lifecycle::once(scenario, kind, &places, &args.dir, scale) {
                    Ok(result) => self.record.line(scenario, &kind.name, round, &result)?,
                    Err(why) => self.record.failed(&scenario.name, &kind.name, &why)?,
                }
            }
        }
        self.done(scenario);
        Ok(())
    }
}
