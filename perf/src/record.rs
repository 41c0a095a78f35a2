//! The files of one comparison: raw lines as they come, the environment first, tables and pictures at the end.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::failure::{Doing, Failure};
use crate::run::Args;
use crate::scenario::Scenario;
use crate::{environment, html, report};

pub(crate) struct Record {
    lines: PathBuf,
    file: File,
    started: Instant,
}

impl Record {
    pub(crate) fn create(args: &Args, scenarios: &[Scenario]) -> Result<Record, Failure> {
        let stamp = |format: &str| environment::output("date", &["-u", format]).unwrap_or_else(|| "undated".to_owned());
        let folder = args.out.join(stamp("+%Y-%m-%d"));
        fs::create_dir_all(&folder).doing("create the folder for results")?;
        let time = stamp("+%H%M%S");
        let mut environment = environment::capture(&args.dir);
        environment["brokers"] = json!(args.brokers().iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>());
        environment["rounds"] = json!(args.rounds);
        environment["scale"] = json!(args.scale);
        environment["minutes"] = json!(args.minutes);
        environment["nice"] = json!(args.nice);
        environment["broker_core"] = json!(args.broker_core);
        environment["load_core"] = json!(args.load_core);
        environment["server_properties"] = json!(include_str!("../brokers/server.properties"));
        let read = |name: &str| fs::read_to_string(args.scenarios_dir.join(format!("{name}.yaml"))).unwrap_or_default();
        environment["scenarios"] = scenarios.iter().map(|s| json!({ "name": s.name, "file": read(&s.name) })).collect();
        let pretty = serde_json::to_string_pretty(&environment).unwrap_or_default();
        fs::write(folder.join(format!("{time}-environment.json")), pretty).doing("write the environment")?;
        let lines = folder.join(format!("{time}.jsonl"));
        let file = File::create(&lines).doing("create the result file")?;
        Ok(Record { lines, file, started: Instant::now() })
    }

    /// One measurement.
    pub(crate) fn line(
        &mut self,
        scenario: &Scenario,
        broker: &str,
        round: usize,
        result: &Value,
    ) -> Result<(), Failure> {
        self.write(json!({ "scenario": scenario.name, "broker": broker, "round": round, "result": result }))?;
        let figure = result.pointer(&scenario.main_figure().path).and_then(Value::as_f64).unwrap_or(f64::NAN);
        self.say(&format!(
            "{:22} round {round} {broker:9} {figure:12.3} {}",
            scenario.name,
            scenario.main_figure().unit
        ));
        Ok(())
    }

    /// What is known of a broker at a scenario beside its rounds.
    pub(crate) fn note(&mut self, scenario: &str, broker: &str, note: &Value) -> Result<(), Failure> {
        self.write(json!({ "scenario": scenario, "broker": broker, "note": note }))
    }

    pub(crate) fn failed(&mut self, scenario: &str, broker: &str, why: &Failure) -> Result<(), Failure> {
        self.say(&format!("{scenario:22} FAILED  {broker:9} {why}"));
        self.note(scenario, broker, &json!({ "failed": why.to_string() }))
    }

    fn write(&mut self, mut line: Value) -> Result<(), Failure> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        line["at"] = json!(at);
        writeln!(self.file, "{line}").doing("write a result")
    }

    /// A line of progress, with the time since the start.
    pub(crate) fn say(&self, what: &str) {
        let seconds = self.started.elapsed().as_secs();
        eprintln!("{:02}:{:02} {what}", seconds / 60, seconds % 60);
    }

    pub(crate) fn finish(self) -> Result<(), Failure> {
        print!("{}", report::write(&self.lines)?);
        let page = html::write(&self.lines)?;
        eprintln!("raw: {}\nreport: {}", self.lines.display(), page.display());
        Ok(())
    }
}
