//! The tables of a run in Markdown: figures with their goals, what else was seen, what speaks against them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Doing, Failure};
use crate::scenario::Scenario;
use crate::series::{Run, number};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The .jsonl file of a run
    lines: PathBuf,
}

pub(crate) fn print(args: &Args) -> Result<(), Failure> {
    print!("{}", tables(&Run::read(&args.lines)?));
    Ok(())
}

/// Writes the tables beside the lines of a run and gives them.
pub(crate) fn write(lines: &Path) -> Result<String, Failure> {
    let text = tables(&Run::read(lines)?);
    fs::write(lines.with_extension("md"), &text).doing("write the table")?;
    Ok(text)
}

fn tables(run: &Run) -> String {
    let mut out = String::new();
    if let Some(network) = run.environment["network"].as_str().filter(|network| !network.starts_with("private")) {
        let _ =
            writeln!(out, "**Not in a private network: {network}. Ratios of latency and of fetch may be unfair.**\n");
    }
    let _ = write!(out, "| scenario |");
    for broker in &run.brokers {
        let _ = write!(out, " {broker} |");
    }
    let _ = writeln!(
        out,
        " unit | ratio (rounds) | goal | met |\n|---|{}---|---:|---:|---|",
        "---:|".repeat(run.brokers.len())
    );
    for scenario in &run.scenarios {
        rows(&mut out, run, scenario);
    }
    for (scenario, broker, why) in run.failures() {
        let _ = writeln!(out, "\n- **{scenario} {broker} failed**: {why}");
    }
    for scenario in &run.scenarios {
        for broker in &run.brokers {
            details(&mut out, run, scenario, broker);
        }
    }
    out.push('\n');
    out
}

fn rows(out: &mut String, run: &Run, scenario: &Scenario) {
    for (n, figure) in scenario.extension.figures.iter().enumerate() {
        if run.brokers.iter().all(|broker| run.figures(&scenario.name, broker, &figure.path).is_empty()) {
            continue;
        }
        let about = if n == 0 { format!("**{}**: {}", scenario.name, scenario.about) } else { String::new() };
        let title = if figure.title.is_empty() || n == 0 { String::new() } else { format!("… {}", figure.title) };
        let _ = write!(out, "| {about}{title} |");
        for broker in &run.brokers {
            let median = run.median(&scenario.name, broker, &figure.path);
            let _ = write!(out, " {} |", median.map_or("-".to_owned(), number));
        }
        let goal = figure.goal.as_ref().map_or("-".to_owned(), |goal| goal.words());
        let verdict = run.verdict(scenario, figure);
        let value = match (verdict, run.ratio(&scenario.name, &figure.path)) {
            (Some((value, _)), _)
                if figure.goal.as_ref().is_some_and(|g| g.is_of_null() || g.other_scenario().is_some()) =>
            {
                number(value)
            }
            (_, Some((ratio, least, most))) => format!("{}x ({}-{})", number(ratio), number(least), number(most)),
            _ => "-".to_owned(),
        };
        let met = verdict.map_or("-", |(_, met)| if met { "yes" } else { "**no**" });
        let _ = writeln!(out, " {} | {value} | {goal} | {met} |", figure.unit);
    }
}

/// Figures beside the main ones: their path in a result, and how they are called.
pub(crate) const DETAILS: &[(&str, &str)] = &[
    ("/seconds", "seconds"),
    ("/service_us/p50", "service p50 us"),
    ("/service_us/p99", "service p99 us"),
    ("/service_us/p99.9", "service p99.9 us"),
    ("/response_us/p50", "response p50 us"),
    ("/response_us/p99", "response p99 us"),
    ("/response_us/p99.9", "response p99.9 us"),
    ("/response_us/max", "response max us"),
    ("/ack_us/p99", "ack p99 us"),
    ("/alone_us/p99", "producers alone p99 us"),
    ("/produce_us/p99.9", "producers p99.9 us"),
    ("/produced_per_s", "produced requests/s"),
    ("/broker_cpu_us_per_request", "broker CPU us/request"),
    ("/broker_cpu_s_per_gib", "broker CPU s/GiB"),
    ("/load_idle", "part of the time the load had nothing to do"),
    ("/serving_ms", "metadata names a broker ms"),
    ("/first_answer_ms", "first answer ms"),
    ("/first_ack_ms", "first ack ms"),
    ("/cpu_percent", "idle CPU %"),
    ("/first_share_ms", "first share ms"),
    ("/generation", "generation"),
    ("/heartbeats_per_s", "heartbeats/s"),
    ("/resident_before_mib", "MiB before"),
    ("/resident_joined_mib", "MiB joined"),
    ("/resident_end_mib", "MiB at the end"),
    ("/resident_mib", "MiB resident"),
    ("/descriptors", "descriptors"),
    ("/stop_s", "stop s"),
];

fn details(out: &mut String, run: &Run, scenario: &Scenario, broker: &str) {
    let name = &scenario.name;
    let rounds = run.figures(name, broker, &scenario.main_figure().path);
    if rounds.is_empty() {
        return;
    }
    let all: Vec<String> = rounds.iter().map(|f| number(*f)).collect();
    let _ = write!(out, "\n- {name} {broker}: rounds {} {}", all.join(", "), scenario.main_figure().unit);
    for (path, title) in DETAILS {
        if let Some(median) = run.median(name, broker, path) {
            let _ = write!(out, "; {title} {}", number(median));
        }
    }
    if let Some(calls) = run.syscalls_per_request(name, broker) {
        let _ = write!(out, "; syscalls/request {}", number(calls));
    }
    for doubt in run.doubts(name, broker) {
        let _ = write!(out, "; **{doubt}**");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(file: &str, lines: &str) -> Run {
        let environment = json!({ "scenarios": [{ "name": "one", "file": file }], "network": "private" });
        Run::parse(lines.to_owned(), environment).unwrap()
    }

    fn file(figures: &str) -> String {
        format!("name: first\nringmill:\n  figures:\n    - {figures}\n")
    }

    #[test]
    fn medians_and_ratios_of_interleaved_rounds() {
        let mut text = String::new();
        for (round, (ours, theirs)) in [(2.0, 1.0), (4.0, 1.0), (3.0, 1.5)].into_iter().enumerate() {
            for (broker, figure) in [("a", ours), ("b", theirs)] {
                let _ = writeln!(
                    text,
                    r#"{{"scenario":"one","broker":"{broker}","round":{round},"result":{{"gib_per_s":{figure},"seconds":1,"cpu_s":{{"load":0.5,"others":0.3}}}}}}"#
                );
            }
        }
        let table = tables(&run(&file("gib_per_s, GiB/s, >= 2x"), &text));
        assert!(table.contains("| 3.00 | 1.00 | GiB/s | 3.00x (2.00-4.00) | ≥ 2x | yes |"), "{table}");
        assert!(table.contains("rounds 2.00, 4.00, 3.00 GiB/s"), "{table}");
        assert!(table.contains("others used 0.30 cores"), "{table}");
    }

    #[test]
    fn one_result_has_a_row_for_each_of_its_figures_and_notes_are_told() {
        let text = concat!(
            r#"{"scenario":"one","broker":"a","note":{"counts":{"syscalls_per_request":2.5}}}"#,
            "\n",
            r#"{"scenario":"one","broker":"a","round":0,"result":{"cpu_percent":1.5,"resident_growth_mib":70,"again_after":"it stumbled"}}"#,
            "\n",
            r#"{"scenario":"one","broker":"b","note":{"failed":"it ended"}}"#
        );
        let figures = "cpu_percent, %, < 2\n    - resident_growth_mib, MiB, < 64, memory";
        let table = tables(&run(&file(figures), text));
        assert!(table.contains("| 1.50 | % | - | < 2 | yes |"), "{table}");
        assert!(table.contains("| … memory | 70.0 | MiB | - | < 64 | **no** |"), "{table}");
        assert!(table.contains("syscalls/request 2.50") && table.contains("one b failed"), "{table}");
        assert!(table.contains("a round done again after: it stumbled"), "{table}");
        assert!(Run::parse("nonsense".to_owned(), Value::Null).is_err());
    }
}
