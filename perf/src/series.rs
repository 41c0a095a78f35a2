//! A finished run as its files tell it: figures by scenario and broker, what was noted beside them, and the environment.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::failure::{Doing, Failure};
use crate::goal::{Figure, NULL};
use crate::scenario::Scenario;

/// More than this part of a core used by others makes a number doubtful.
const OTHERS_MAX: f64 = 0.1;
/// The load's core is taken for full above this part of the time.
const LOAD_FULL: f64 = 0.97;

pub(crate) struct Line {
    scenario: String,
    broker: String,
    pub(crate) result: Value,
}

pub(crate) struct Run {
    lines: Vec<Line>,
    /// Scenario, broker, what is known.
    notes: Vec<(String, String, Value)>,
    pub(crate) scenarios: Vec<Scenario>,
    /// In the order in which they were measured.
    pub(crate) brokers: Vec<String>,
    pub(crate) environment: Value,
    /// The lines as they are, to be kept with whatever shows them.
    pub(crate) raw: String,
}

impl Run {
    /// `lines`: the .jsonl file; the environment lies beside it.
    pub(crate) fn read(lines: &Path) -> Result<Run, Failure> {
        let raw = fs::read_to_string(lines).doing("read the results")?;
        let name = lines.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let environment = fs::read_to_string(lines.with_file_name(format!("{name}-environment.json")));
        let environment = environment.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Run::parse(raw, environment)
    }

    pub(crate) fn parse(raw: String, environment: Value) -> Result<Run, Failure> {
        let files = environment["scenarios"].as_array().cloned().unwrap_or_default();
        let parse = |file: &Value| Scenario::parse(file["name"].as_str()?, file["file"].as_str()?).ok();
        let scenarios = files.iter().filter_map(parse).collect();
        let mut run = Run {
            lines: Vec::new(),
            notes: Vec::new(),
            scenarios,
            brokers: Vec::new(),
            environment,
            raw: String::new(),
        };
        for line in raw.lines() {
            run.add(line).ok_or(Failure::Malformed("a result line"))?;
        }
        run.raw = raw;
        Ok(run)
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let mut value: Value = serde_json::from_str(line).ok()?;
        let (scenario, broker) = (value["scenario"].as_str()?.to_owned(), value["broker"].as_str()?.to_owned());
        if let Some(note) = value.get_mut("note") {
            self.notes.push((scenario, broker, note.take()));
            return Some(());
        }
        if !self.brokers.contains(&broker) {
            self.brokers.push(broker.clone());
        }
        self.lines.push(Line { scenario, broker, result: value.get_mut("result")?.take() });
        Some(())
    }

    /// The rounds of one broker at one scenario, in order.
    pub(crate) fn rounds<'a>(&'a self, scenario: &'a str, broker: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |l| l.scenario == scenario && l.broker == broker).map(|line| &line.result)
    }

    /// One value a round.
    pub(crate) fn figures(&self, scenario: &str, broker: &str, path: &str) -> Vec<f64> {
        self.rounds(scenario, broker).filter_map(|result| result.pointer(path)?.as_f64()).collect()
    }

    pub(crate) fn median(&self, scenario: &str, broker: &str, path: &str) -> Option<f64> {
        median(&self.figures(scenario, broker, path))
    }

    /// What was noted, the last first.
    pub(crate) fn noted<'a>(&'a self, scenario: &'a str, broker: &'a str) -> impl Iterator<Item = &'a Value> {
        self.notes.iter().rev().filter(move |(s, b, _)| s == scenario && b == broker).map(|(_, _, note)| note)
    }

    pub(crate) fn failures(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.notes.iter().filter_map(|(s, b, note)| Some((s.as_str(), b.as_str(), note["failed"].as_str()?)))
    }

    pub(crate) fn syscalls_per_request(&self, scenario: &str, broker: &str) -> Option<f64> {
        self.noted(scenario, broker).find_map(|note| note["counts"]["syscalls_per_request"].as_f64())
    }

    /// What the first is compared with: no broker that keeps nothing.
    pub(crate) fn second(&self) -> Option<&String> {
        self.brokers.iter().skip(1).find(|broker| *broker != NULL)
    }

    /// Whether the goal was met, and the number that says so. None without a goal or without anything to compare with.
    pub(crate) fn verdict(&self, scenario: &Scenario, figure: &Figure) -> Option<(f64, bool)> {
        let (goal, first) = (figure.goal.as_ref()?, self.brokers.first()?);
        let ours = self.median(&scenario.name, first, &figure.path)?;
        let other = |broker: Option<&str>, there: Option<&str>| match (broker, there) {
            (Some(broker), _) => self.median(&scenario.name, broker, &figure.path),
            (None, Some(there)) => self.median(there, first, &figure.path),
            (None, None) => self.median(&scenario.name, self.second()?, &figure.path),
        };
        Some((goal.value(ours, other)?, goal.is_met(ours, other)?))
    }

    /// Of the medians, then the least and the most of the rounds' own ratios.
    pub(crate) fn ratio(&self, scenario: &str, path: &str) -> Option<(f64, f64, f64)> {
        let (first, second) = (self.brokers.first()?, self.second()?);
        let (ours, theirs) = (self.figures(scenario, first, path), self.figures(scenario, second, path));
        let ratio = median(&ours)? / median(&theirs)?;
        if !ratio.is_finite() {
            return None;
        }
        let pairs: Vec<f64> = ours.iter().zip(&theirs).filter(|(_, b)| **b > 0.0).map(|(a, b)| a / b).collect();
        let least = pairs.iter().copied().fold(f64::MAX, f64::min);
        Some((ratio, least, pairs.iter().copied().fold(f64::MIN, f64::max)))
    }

    /// What speaks against a number: a load without breath, or other work on the machine.
    pub(crate) fn doubts(&self, scenario: &str, broker: &str) -> Vec<String> {
        let parts = |path: &str| {
            let part = |result: &Value| Some(result.pointer(path)?.as_f64()? / result["seconds"].as_f64()?);
            median(&self.rounds(scenario, broker).filter_map(part).collect::<Vec<_>>())
        };
        let mut doubts = Vec::new();
        // A load that does not sleep always fills its core; the fetch load says itself how much of that was waiting.
        let spins = self.rounds(scenario, broker).any(|result| result["spins"] == true);
        let idle = self.median(scenario, broker, "/load_idle");
        let busy = if spins { None } else { parts("/cpu_s/load") };
        if idle.map(|idle| 1.0 - idle).or(busy).is_some_and(|busy| busy > LOAD_FULL) {
            doubts.push("the load's core was full".to_owned());
        }
        if let Some(others) = parts("/cpu_s/others").filter(|others| *others > OTHERS_MAX) {
            doubts.push(format!("others used {others:.2} cores"));
        }
        if let Some(stolen) = parts("/cpu_s/stolen").filter(|stolen| *stolen > OTHERS_MAX) {
            doubts.push(format!("the host took {stolen:.2} cores"));
        }
        let again = self.rounds(scenario, broker).filter_map(|result| result["again_after"].as_str());
        doubts.extend(again.map(|why| format!("a round done again after: {why}")));
        doubts
    }
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Three digits that mean something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 10_000_000.0 => format!("{:.0}M", value / 1e6),
        v if v >= 100_000.0 => format!("{:.0}k", value / 1e3),
        v if v >= 10_000.0 => format!("{:.1}k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
