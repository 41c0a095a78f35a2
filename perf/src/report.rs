//! The table of a run, from its raw lines.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::failure::{Doing, Failure};
use crate::scenario::{self, Scenario};

/// The load's core is taken for full above this part of the time.
const LOAD_FULL: f64 = 0.97;
/// More than this part of a core used by others makes a number doubtful.
const OTHERS_MAX: f64 = 0.1;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The .jsonl file of a run
    lines: PathBuf,
}

pub(crate) fn print(args: &Args) -> Result<(), Failure> {
    print!("{}", table(&fs::read_to_string(&args.lines).doing("read the results")?)?);
    Ok(())
}

struct Line {
    scenario: String,
    broker: String,
    result: Value,
}

/// Markdown: the figures with their goals, then what else was seen.
pub(crate) fn table(text: &str) -> Result<String, Failure> {
    let lines: Vec<Line> = text.lines().map(parse).collect::<Option<_>>().ok_or(Failure::Malformed("a result line"))?;
    let mut brokers: Vec<&str> = Vec::new();
    for line in &lines {
        if !brokers.contains(&line.broker.as_str()) {
            brokers.push(&line.broker);
        }
    }
    let mut out = String::from("| Scenario |");
    for broker in &brokers {
        let _ = write!(out, " {broker} |");
    }
    let _ = writeln!(out, " unit | ratio | goal | met |\n|---|{}---|---:|---:|---|", "---:|".repeat(brokers.len()));
    for scenario in scenario::ALL {
        if lines.iter().any(|line| line.scenario == scenario.measured_by()) {
            row(&mut out, scenario, &lines, &brokers);
        }
    }
    details(&mut out, &lines, &brokers);
    Ok(out)
}

fn parse(line: &str) -> Option<Line> {
    let mut value: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    Some(Line { scenario: text("scenario")?, broker: text("broker")?, result: value["result"].take() })
}

/// One value a round, in the order of the rounds.
fn figures(lines: &[Line], scenario: &str, broker: &str, path: &str) -> Vec<f64> {
    let of = lines.iter().filter(|line| line.scenario == scenario && line.broker == broker);
    of.filter_map(|line| line.result.pointer(path)?.as_f64()).collect()
}

fn row(out: &mut String, scenario: &Scenario, lines: &[Line], brokers: &[&str]) {
    let all: Vec<Vec<f64>> =
        brokers.iter().map(|broker| figures(lines, scenario.measured_by(), broker, scenario.figure)).collect();
    let _ = write!(out, "| {}: {} |", scenario.name, scenario.about);
    for figures in &all {
        let _ = write!(out, " {} |", median(figures).map_or("-".to_owned(), number));
    }
    let ours = all.first().and_then(|f| median(f));
    let theirs = all.get(1).and_then(|f| median(f));
    let met =
        ours.and_then(|ours| scenario.goal.is_met(ours, theirs)).map_or("-", |met| if met { "yes" } else { "no" });
    let _ = writeln!(out, " {} | {} | {} | {met} |", scenario.unit, ratio(&all), scenario.goal.words());
}

/// The ratio of the medians, and the least and most of the rounds' own ratios.
fn ratio(all: &[Vec<f64>]) -> String {
    let [ours, theirs, ..] = all else { return "-".to_owned() };
    let (Some(a), Some(b)) = (median(ours), median(theirs)) else { return "-".to_owned() };
    let pairs: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    let least = pairs.iter().copied().fold(f64::MAX, f64::min);
    let most = pairs.iter().copied().fold(f64::MIN, f64::max);
    format!("{}x ({}-{})", number(a / b), number(least), number(most))
}

/// Figures beside the main one: their path in a result, how they are called, and the factor to the unit in that name.
const DETAILS: &[(&str, &str, f64)] = &[
    ("/seconds", "seconds", 1.0),
    ("/service_us/p50", "service p50 us", 1.0),
    ("/service_us/p99", "service p99 us", 1.0),
    ("/service_us/p99.9", "service p99.9 us", 1.0),
    ("/response_us/p50", "response p50 us", 1.0),
    ("/response_us/p99", "response p99 us", 1.0),
    ("/response_us/p99.9", "response p99.9 us", 1.0),
    ("/response_us/max", "response max us", 1.0),
    ("/ack_us/p99", "ack p99 us", 1.0),
    ("/broker_cpu_us_per_request", "broker CPU us/request", 1.0),
    ("/broker_cpu_s_per_gib", "broker CPU s/GiB", 1.0),
    ("/load_idle", "part of the time the load had nothing to do", 1.0),
    ("/serving_ms", "metadata names a broker ms", 1.0),
    ("/first_answer_ms", "first answer ms", 1.0),
    ("/first_ack_ms", "first ack ms", 1.0),
    ("/cpu_percent", "idle CPU %", 1.0),
    ("/first_share_ms", "first share ms", 1.0),
    ("/generation", "generation", 1.0),
    ("/heartbeats_per_s", "heartbeats/s", 1.0),
    ("/resident_before_mib", "MiB before", 1.0),
    ("/resident_joined_mib", "MiB joined", 1.0),
    ("/resident_end_mib", "MiB at the end", 1.0),
];

fn details(out: &mut String, lines: &[Line], brokers: &[&str]) {
    for scenario in scenario::ALL {
        for broker in brokers {
            let rounds = figures(lines, scenario.measured_by(), broker, scenario.figure);
            if rounds.is_empty() {
                continue;
            }
            let all: Vec<String> = rounds.iter().map(|f| number(*f)).collect();
            let _ = write!(out, "\n- {} {broker}: rounds {} {}", scenario.name, all.join(", "), scenario.unit);
            if scenario.measured_by() != scenario.name {
                continue;
            }
            for (path, name, factor) in DETAILS {
                if let Some(median) = median(&figures(lines, scenario.name, broker, path)) {
                    let _ = write!(out, "; {name} {}", number(median * factor));
                }
            }
            out.push_str(&doubts(lines, scenario.name, broker));
        }
    }
    out.push('\n');
}

/// What speaks against a number: a load without breath, or other work on the machine.
fn doubts(lines: &[Line], scenario: &str, broker: &str) -> String {
    let seconds = figures(lines, scenario, broker, "/seconds");
    let part = |path: &str| {
        let parts: Vec<f64> =
            figures(lines, scenario, broker, path).iter().zip(&seconds).map(|(cpu, s)| cpu / s).collect();
        median(&parts)
    };
    let mut doubts = String::new();
    // A load that does not sleep always fills its core; it says itself how much of that was waiting.
    let idle = median(&figures(lines, scenario, broker, "/load_idle"));
    let is_full =
        idle.map_or_else(|| part("/cpu_s/load").is_some_and(|load| load > LOAD_FULL), |idle| idle < 1.0 - LOAD_FULL);
    if is_full && scenario != "e2e-1k" {
        doubts.push_str("; **the load's core was full**");
    }
    if let Some(others) = part("/cpu_s/others").filter(|others| *others > OTHERS_MAX) {
        let _ = write!(doubts, "; **others used {others:.2} cores**");
    }
    if let Some(stolen) = part("/cpu_s/stolen").filter(|stolen| *stolen > OTHERS_MAX) {
        let _ = write!(doubts, "; **the host took {stolen:.2} cores**");
    }
    doubts
}

fn median(values: &[f64]) -> Option<f64> {
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
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios_of_interleaved_rounds() {
        let mut text = String::new();
        for (round, (ours, theirs)) in [(2.0, 1.0), (4.0, 1.0), (3.0, 1.5)].into_iter().enumerate() {
            for (broker, figure) in [("a", ours), ("b", theirs)] {
                let _ = writeln!(
                    text,
                    r#"{{"scenario":"64k-6x5","broker":"{broker}","round":{round},"result":{{"gib_per_s":{figure},"seconds":1,"cpu_s":{{"load":0.5,"others":0.3}}}}}}"#
                );
            }
        }
        let table = table(&text).unwrap();
        assert!(table.contains("| 3.00 | 1.00 | GiB/s | 3.00x (2.00-4.00) | >= 2x | yes |"), "{table}");
        assert!(table.contains("rounds 2.00, 4.00, 3.00 GiB/s"), "{table}");
        assert!(table.contains("others used 0.30 cores"), "{table}");
    }

    #[test]
    fn one_result_has_a_row_for_each_of_its_figures() {
        let text = r#"{"scenario":"idle-groups","broker":"a","round":0,"result":{"cpu_percent":1.5,"resident_growth_mib":70}}"#;
        let table = table(text).unwrap();
        assert!(table.contains("| 1.50 | % of a core | - | < 2 | yes |"), "{table}");
        assert!(table.contains("| 70.0 | MiB | - | < 64 | no |"), "{table}");
        assert!(table.contains("- idle-groups-rss a: rounds 70.0 MiB\n"), "{table}");
    }

    #[test]
    fn one_broker_alone_has_no_ratio() {
        let text = r#"{"scenario":"start","broker":"a","round":0,"result":{"first_answer_ms":120.4}}"#;
        let table = table(text).unwrap();
        assert!(table.contains("| 120 | ms | - | < 300 | yes |"), "{table}");
        assert!(super::table("nonsense").is_err());
    }
}
