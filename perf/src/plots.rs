//! Which pictures a run gives, each with a name for its file.

use serde_json::Value;

use crate::measure::BUCKETS_PER_OCTAVE;
use crate::scenario::{Scenario, Work};
use crate::series::Run;
use crate::svg::{self, Axis, COLOURS, Line, Scale};

pub(crate) struct Plot {
    pub(crate) name: String,
    pub(crate) svg: String,
}

/// Pictures of all scenarios together.
pub(crate) fn overview(run: &Run) -> Vec<Plot> {
    // CPU time is drawn where it is among a scenario's figures: a GiB of tiny requests would make all else invisible.
    let listed = |path: &'static str| {
        move |run: &Run, scenario: &Scenario, broker: &str| {
            let is_listed = scenario.extension.figures.iter().any(|figure| figure.path == path);
            run.median(&scenario.name, broker, path).filter(|_| is_listed)
        }
    };
    let calls = |run: &Run, scenario: &Scenario, broker: &str| run.syscalls_per_request(&scenario.name, broker);
    let pictures = [
        ("throughput-ratio", ratios(run)),
        ("cpu-per-gib", grouped(run, "CPU time of the broker for a GiB", "s", listed("/broker_cpu_s_per_gib"))),
        (
            "cpu-per-request",
            grouped(run, "CPU time of the broker for a request", "us", listed("/broker_cpu_us_per_request")),
        ),
        ("syscalls", grouped(run, "System calls of the broker for a request", "", calls)),
    ];
    let drawn = pictures.into_iter().filter_map(|(name, svg)| Some(Plot { name: name.to_owned(), svg: svg? }));
    drawn.collect()
}

/// Pictures of one scenario.
pub(crate) fn of(run: &Run, scenario: &Scenario) -> Vec<Plot> {
    let mut plots = Vec::new();
    let mut add = |kind: &str, svg: Option<String>| {
        plots.extend(svg.map(|svg| Plot { name: format!("{}-{kind}", scenario.name), svg }))
    };
    if scenario.kind == Work::Sweep {
        add("throughput-p99", sweep(run, scenario));
        return plots;
    }
    add("percentiles", percentiles(run, scenario));
    add("over-time", over_time(run, scenario));
    for broker in &run.brokers {
        add(&format!("heat-{broker}"), heat(run, scenario, broker));
    }
    plots
}

/// Where the latency that counts stands: from the intended time where there is one.
fn latency(result: &Value) -> Option<&Value> {
    ["response_us", "produce_us", "service_us"].into_iter().map(|name| &result[name]).find(|value| value.is_object())
}

fn colour(run: &Run, broker: &str) -> &'static str {
    let at = run.brokers.iter().position(|known| known == broker).unwrap_or_default();
    COLOURS[at % COLOURS.len()]
}

/// Latency by how many are slower: each round faint, the median of the rounds at each percentile strong.
fn percentiles(run: &Run, scenario: &Scenario) -> Option<String> {
    let mut lines = Vec::new();
    for broker in &run.brokers {
        let curve = |result: &Value| -> Option<Vec<f64>> {
            latency(result)?["curve"].as_array()?.iter().map(Value::as_f64).collect()
        };
        let rounds: Vec<Vec<f64>> = run.rounds(&scenario.name, broker).filter_map(curve).collect();
        let at = |(n, us): (usize, &f64)| (n as f64 / 5.0, *us);
        let longest = rounds.iter().map(Vec::len).max().unwrap_or_default();
        let median = |n: usize| {
            let values: Vec<f64> = rounds.iter().filter_map(|round| round.get(n).copied()).collect();
            crate::series::median(&values)
        };
        let line = |name: &str, is_faint, points| Line {
            name: name.to_owned(),
            colour: colour(run, broker),
            is_faint,
            has_dots: false,
            points,
        };
        lines.extend(rounds.iter().map(|round| line("", true, round.iter().enumerate().map(at).collect())));
        let medians: Vec<f64> = (0..longest).map_while(median).collect();
        if !medians.is_empty() {
            lines.push(line(broker, false, medians.iter().enumerate().map(at).collect()));
        }
    }
    let most = lines.iter().flat_map(|line| &line.points).map(|point| point.0).fold(1.0, f64::max);
    let names = ["0", "90", "99", "99.9", "99.99", "99.999", "99.9999"];
    let ticks =
        names.iter().enumerate().map(|(n, name)| (n as f64, format!("{name} %"))).take_while(|tick| tick.0 <= most);
    let x = Axis::between("percentile", 0.0, most, ticks.collect());
    drawn(&format!("{}: latency by percentile", scenario.name), x, "us", lines)
}

/// p50, p99 and most of each moment, of the middle round of each broker.
fn over_time(run: &Run, scenario: &Scenario) -> Option<String> {
    let mut lines = Vec::new();
    for broker in &run.brokers {
        let Some(timeline) = middle(run, scenario, broker) else { continue };
        let slot_s = timeline["slot_s"].as_f64()?;
        for (column, name) in [(0, "p50"), (1, "p99"), (2, "max")] {
            let slots = timeline["slots"].as_array()?.iter().enumerate();
            let points = slots.filter_map(|(n, slot)| {
                Some(((n as f64 + 0.5) * slot_s, slot[column].as_f64().filter(|us| *us > 0.0)?))
            });
            let name = if column == 1 { format!("{broker} {name} (faint: p50, max)") } else { String::new() };
            lines.push(Line {
                name,
                colour: colour(run, broker),
                is_faint: column != 1,
                has_dots: false,
                points: points.collect(),
            });
        }
    }
    let x =
        Axis::around("seconds, by when it was due", Scale::Linear, lines.iter().flat_map(|l| &l.points).map(|p| p.0));
    drawn(&format!("{}: latency over time", scenario.name), x, "us", lines)
}

/// The round whose main figure is the median; of two, the lower.
fn middle<'a>(run: &'a Run, scenario: &'a Scenario, broker: &'a str) -> Option<&'a Value> {
    let path = &scenario.main_figure().path;
    let mut rounds: Vec<(f64, &Value)> = run
        .rounds(&scenario.name, broker)
        .filter_map(|result| Some((result.pointer(path)?.as_f64()?, result)))
        .collect();
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (_, result) = rounds.get(rounds.len().saturating_sub(1) / 2)?;
    Some(&result["timeline"]).filter(|timeline| timeline.is_object())
}

/// From when to when, from how many microseconds to how many, and how many were there.
type Cell = (f64, f64, f64, f64, f64);

fn cells(run: &Run, scenario: &Scenario, broker: &str) -> Option<Vec<Cell>> {
    let timeline = middle(run, scenario, broker)?;
    let slot_s = timeline["slot_s"].as_f64()?;
    let mut cells = Vec::new();
    for (n, slot) in timeline["slots"].as_array()?.iter().enumerate() {
        for cell in slot[3].as_array()? {
            let (bucket, count) = (cell[0].as_f64()?, cell[1].as_f64()?);
            let us = |bucket: f64| 2f64.powf(bucket / BUCKETS_PER_OCTAVE);
            cells.push((n as f64 * slot_s, (n + 1) as f64 * slot_s, us(bucket), us(bucket + 1.0), count));
        }
    }
    Some(cells).filter(|cells| !cells.is_empty())
}

fn heat(run: &Run, scenario: &Scenario, broker: &str) -> Option<String> {
    let cells_of = |broker: &str| cells(run, scenario, broker);
    let shown = cells_of(broker)?;
    // One scale for all brokers, so that their pictures can be compared.
    let all: Vec<Cell> = run.brokers.iter().filter_map(|broker| cells_of(broker)).flatten().collect();
    let x = Axis::around("seconds, by when it was due", Scale::Linear, all.iter().map(|cell| cell.1));
    let y = Axis::around("us", Scale::Log, all.iter().flat_map(|cell| [cell.2, cell.3]));
    Some(svg::heat(&format!("{} {broker}: how many took how long", scenario.name), &x, &y, &shown))
}

/// What was reached against its p99, at rising rates; each round faint.
fn sweep(run: &Run, scenario: &Scenario) -> Option<String> {
    let mut lines = Vec::new();
    for broker in &run.brokers {
        for (n, result) in run.rounds(&scenario.name, broker).enumerate() {
            let point = |p: &Value| Some((p["records_per_s"].as_f64()?, p["response_us"]["p99"].as_f64()?));
            let points = result["points"].as_array()?.iter().filter_map(point).collect();
            let name = if n == 0 { broker.clone() } else { String::new() };
            lines.push(Line { name, colour: colour(run, broker), is_faint: n > 0, has_dots: true, points });
        }
    }
    let x =
        Axis::around("requests/s that were answered", Scale::Log, lines.iter().flat_map(|l| &l.points).map(|p| p.0));
    drawn(&format!("{}: p99 from the intended time against throughput", scenario.name), x, "p99 us", lines)
}

fn drawn(title: &str, x: Axis, unit: &str, lines: Vec<Line>) -> Option<String> {
    if lines.iter().all(|line| line.points.is_empty()) {
        return None;
    }
    let y = Axis::around(unit, Scale::Log, lines.iter().flat_map(|line| &line.points).map(|point| point.1));
    Some(svg::lines(title, &x, &y, &lines))
}

/// How many times the second broker's throughput the first has.
fn ratios(run: &Run) -> Option<String> {
    let is_rate = |path: &str| ["/gib_per_s", "/requests_per_s", "/records_per_s", "/mib_per_s"].contains(&path);
    let scenarios = run.scenarios.iter().filter(|scenario| is_rate(&scenario.main_figure().path));
    let groups: Vec<(String, Vec<Option<f64>>)> = scenarios
        .filter_map(|s| Some((s.name.clone(), vec![Some(run.ratio(&s.name, &s.main_figure().path)?.0)])))
        .collect();
    let series = format!("{} to {}", run.brokers.first()?, run.second()?);
    (!groups.is_empty()).then(|| svg::bars("Throughput, ratio of medians", "x", &[series], &groups))
}

fn grouped(run: &Run, title: &str, unit: &str, value: impl Fn(&Run, &Scenario, &str) -> Option<f64>) -> Option<String> {
    let of = |scenario: &Scenario| -> Vec<Option<f64>> {
        run.brokers.iter().map(|broker| value(run, scenario, broker)).collect()
    };
    let groups = run.scenarios.iter().map(|scenario| (scenario.name.clone(), of(scenario)));
    let groups: Vec<(String, Vec<Option<f64>>)> =
        groups.filter(|(_, values)| values.iter().flatten().count() > 0).collect();
    (!groups.is_empty()).then(|| svg::bars(title, unit, &run.brokers, &groups))
}
