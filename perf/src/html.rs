//! One page that holds a whole run: tables, pictures, configuration, environment, raw lines. It loads nothing.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::{Doing, Failure};
use crate::plots::{self, Plot};
use crate::report::DETAILS;
use crate::scenario::Scenario;
use crate::series::{Run, number};
use crate::svg::escape;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The .jsonl file of a run
    lines: PathBuf,
}

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1180px;padding:0 1rem;color:#1f2937;background:#fff}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .6rem;border-bottom:1px solid #e5e7eb;text-align:right;vertical-align:top}\
td:first-child,th:first-child{text-align:left;max-width:34rem}.yes{color:#15803d;font-weight:600}.no{color:#b91c1c;font-weight:600}\
.plots{display:flex;flex-wrap:wrap;gap:12px}.plots svg{max-width:100%;border:1px solid #e5e7eb}pre{background:#f3f4f6;padding:.8rem;overflow:auto}\
.warn{background:#fef3c7;padding:.6rem;font-weight:600}summary{cursor:pointer;font-weight:600;margin:.6rem 0}.doubt{color:#b45309}";

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    println!("{}", write(&args.lines)?.display());
    Ok(())
}

/// Writes the page beside the lines, and its pictures into a folder; gives the page.
pub(crate) fn write(lines: &Path) -> Result<PathBuf, Failure> {
    let run = Run::read(lines)?;
    let name = lines.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = lines.with_file_name(format!("{name}-plots"));
    fs::create_dir_all(&folder).doing("create the folder for pictures")?;
    let overview = plots::overview(&run);
    let scenarios: Vec<(&Scenario, Vec<Plot>)> = run.scenarios.iter().map(|s| (s, plots::of(&run, s))).collect();
    for plot in overview.iter().chain(scenarios.iter().flat_map(|(_, plots)| plots)) {
        fs::write(folder.join(format!("{}.svg", plot.name)), &plot.svg).doing("write a picture")?;
    }
    let page = lines.with_extension("html");
    fs::write(&page, page_of(&run, &overview, &scenarios)).doing("write the page")?;
    Ok(page)
}

fn page_of(run: &Run, overview: &[Plot], scenarios: &[(&Scenario, Vec<Plot>)]) -> String {
    let text = |name: &str| escape(run.environment[name].as_str().unwrap_or("not told"));
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>ringmill: a comparison</title><style>{STYLE}</style>\n\
         <h1>{} in turns</h1><p>{}, {}, {} rounds; network: {}. What each figure means and what would make it wrong: docs/PERFORMANCE.md.</p>\n",
        escape(&run.brokers.join(", ")),
        text("at"),
        text("cpu"),
        run.environment["rounds"],
        text("network")
    );
    if !run.environment["network"].as_str().unwrap_or_default().starts_with("private") {
        out.push_str("<p class=\"warn\">Not in a private network: congestion control may favour one broker, ratios of latency and of fetch may be unfair.</p>\n");
    }
    for (scenario, broker, why) in run.failures() {
        let _ = writeln!(out, "<p class=\"warn\">{} {} failed: {}</p>", escape(scenario), escape(broker), escape(why));
    }
    goals(&mut out, run);
    out.push_str("<h2>All scenarios</h2>\n");
    pictures(&mut out, overview);
    for (scenario, plots) in scenarios {
        section(&mut out, run, scenario, plots);
    }
    appendix(&mut out, run);
    out
}

fn goals(out: &mut String, run: &Run) {
    out.push_str("<h2>Figures and goals</h2><table><tr><th>scenario</th>");
    for broker in &run.brokers {
        let _ = write!(out, "<th>{}</th>", escape(broker));
    }
    out.push_str("<th>unit</th><th>ratio (rounds)</th><th>against the goal</th><th>goal</th><th>met</th></tr>\n");
    for scenario in &run.scenarios {
        for (n, figure) in scenario.extension.figures.iter().enumerate() {
            if run.brokers.iter().all(|broker| run.figures(&scenario.name, broker, &figure.path).is_empty()) {
                continue;
            }
            let title = if n == 0 {
                format!("<b>{}</b> {}", escape(&scenario.name), escape(&scenario.about))
            } else {
                format!("… {}", escape(&figure.title))
            };
            let _ = write!(out, "<tr><td>{title}</td>");
            for broker in &run.brokers {
                let doubtful = n == 0 && !run.doubts(&scenario.name, broker).is_empty();
                let value = run.median(&scenario.name, broker, &figure.path).map_or("-".to_owned(), number);
                let _ = write!(out, "<td>{value}{}</td>", if doubtful { "<span class=\"doubt\">?</span>" } else { "" });
            }
            let ratio = run.ratio(&scenario.name, &figure.path);
            let ratio = ratio.map_or("-".to_owned(), |(r, least, most)| {
                format!("{}x ({}-{})", number(r), number(least), number(most))
            });
            let verdict = run.verdict(scenario, figure);
            let value = verdict.map_or("-".to_owned(), |(value, _)| number(value));
            let met = verdict.map_or("-", |(_, met)| {
                if met { "<span class=\"yes\">yes</span>" } else { "<span class=\"no\">no</span>" }
            });
            let goal = figure.goal.as_ref().map_or("-".to_owned(), |goal| escape(&goal.words()));
            let _ = writeln!(
                out,
                "<td>{}</td><td>{ratio}</td><td>{value}</td><td>{goal}</td><td>{met}</td></tr>",
                escape(&figure.unit)
            );
        }
    }
    out.push_str("</table>\n<p><span class=\"doubt\">?</span>: something speaks against this number; its section says what.</p>\n");
}

fn pictures(out: &mut String, plots: &[Plot]) {
    out.push_str("<div class=\"plots\">\n");
    for plot in plots {
        out.push_str(&plot.svg);
        out.push('\n');
    }
    out.push_str("</div>\n");
}

fn section(out: &mut String, run: &Run, scenario: &Scenario, plots: &[Plot]) {
    let _ = writeln!(out, "<h3 id=\"{0}\">{0}</h3><p>{1}</p>", escape(&scenario.name), escape(&scenario.about));
    pictures(out, plots);
    let _ = write!(out, "<details><summary>figures</summary><table><tr><th>median of the rounds</th>");
    let brokers: Vec<&String> =
        run.brokers.iter().filter(|broker| run.rounds(&scenario.name, broker).next().is_some()).collect();
    brokers.iter().for_each(|broker| {
        let _ = write!(out, "<th>{}</th>", escape(broker));
    });
    out.push_str("</tr>\n");
    let mut row = |title: &str, values: Vec<Option<String>>| {
        if values.iter().any(Option::is_some) {
            let cells: String = values.into_iter().map(|v| format!("<td>{}</td>", v.unwrap_or_default())).collect();
            let _ = writeln!(out, "<tr><td>{title}</td>{cells}</tr>");
        }
    };
    for figure in &scenario.extension.figures {
        let rounds = |broker: &&String| {
            let rounds: Vec<String> =
                run.figures(&scenario.name, broker, &figure.path).into_iter().map(number).collect();
            Some(rounds.join(", ")).filter(|rounds| !rounds.is_empty())
        };
        row(&escape(&format!("{} {}, each round", figure.title, figure.unit)), brokers.iter().map(rounds).collect());
    }
    for (path, title) in DETAILS {
        row(title, brokers.iter().map(|broker| run.median(&scenario.name, broker, path).map(number)).collect());
    }
    row(
        "system calls a request",
        brokers.iter().map(|broker| run.syscalls_per_request(&scenario.name, broker).map(number)).collect(),
    );
    let doubts =
        |broker: &&String| Some(run.doubts(&scenario.name, broker).join("; ")).filter(|doubts| !doubts.is_empty());
    row("what speaks against it", brokers.iter().map(doubts).collect());
    let warm = |broker: &&String| {
        let figures = run.noted(&scenario.name, broker).find_map(|note| note["warm"].as_array())?;
        Some(figures.iter().filter_map(Value::as_f64).map(number).collect::<Vec<_>>().join(", "))
    };
    row("warm-up", brokers.iter().map(warm).collect());
    out.push_str("</table></details>\n");
}

fn appendix(out: &mut String, run: &Run) {
    let mut environment = run.environment.clone();
    let scenarios = environment["scenarios"].take();
    let properties = environment["server_properties"].take();
    let pretty = serde_json::to_string_pretty(&environment).unwrap_or_default();
    let _ = writeln!(out, "<h2>Environment</h2><pre>{}</pre>", escape(&pretty));
    let _ = writeln!(
        out,
        "<details><summary>server.properties of every broker</summary><pre>{}</pre></details>",
        escape(properties.as_str().unwrap_or_default())
    );
    for scenario in scenarios.as_array().into_iter().flatten() {
        let text = |name: &str| escape(scenario[name].as_str().unwrap_or_default());
        let _ = writeln!(out, "<details><summary>{}.yaml</summary><pre>{}</pre></details>", text("name"), text("file"));
    }
    // `</` would end the element; JSON may escape its slash.
    let raw = run.raw.replace("</", "<\\/");
    let _ = writeln!(
        out,
        "<h2>Raw lines</h2><p>One JSON value a line, in this page's source.</p><script type=\"application/json-lines\" id=\"raw\">\n{raw}</script></html>"
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_holds_everything_and_loads_nothing() {
        let file = "name: a <test>\nringmill:\n  figures:\n    - requests_per_s, requests/s, >= 2x\n";
        let environment =
            json!({ "scenarios": [{ "name": "one", "file": file }], "network": "the host's, bbr", "rounds": 1 });
        let mut raw = String::new();
        for (broker, rate) in [("a", 4.0), ("b", 1.0)] {
            let curve: Vec<f64> = (1..12).map(|n| f64::from(n) * rate).collect();
            let slots: Vec<Value> =
                (0..40).map(|n| json!([10.0, 20.0 + f64::from(n), 30.0, [[12, 5], [20, 1]]])).collect();
            let result = json!({
                "requests_per_s": rate, "seconds": 1.0, "service_us": { "p99": 3.0, "curve": curve },
                "timeline": { "slot_s": 0.1, "slots": slots }, "broker_cpu_s_per_gib": 0.5, "note": "</script>",
            });
            let _ = writeln!(raw, "{}", json!({ "scenario": "one", "broker": broker, "round": 0, "result": result }));
        }
        let run = Run::parse(raw, environment).unwrap();
        let scenario = &run.scenarios[0];
        let plots = plots::of(&run, scenario);
        let names: Vec<&str> = plots.iter().map(|plot| plot.name.as_str()).collect();
        assert_eq!(names, ["one-percentiles", "one-over-time", "one-heat-a", "one-heat-b"]);
        let page = page_of(&run, &plots::overview(&run), &[(scenario, plots)]);
        assert!(
            page.contains("class=\"yes\"")
                && page.contains("Not in a private network")
                && page.contains("a &lt;test&gt;")
        );
        assert_eq!(page.matches("</script>").count(), 1, "what is embedded can't end its element");
        assert!(!page.contains("src=") && !page.contains("href=") && !page.contains("NaN"));
    }
}
