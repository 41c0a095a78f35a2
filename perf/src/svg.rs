//! Pictures as SVG text: axes, lines, bars and heat maps, and nothing else.

use std::fmt::Write;

/// Colours that stay apart in print and for the colour-blind, in the order of the brokers.
pub(crate) const COLOURS: [&str; 4] = ["#0b6bcb", "#d9730d", "#6b7280", "#15803d"];

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 44.0;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    Linear,
    Log,
}

/// One direction of a picture: what it shows and from where to where.
#[derive(Clone)]
pub(crate) struct Axis {
    title: String,
    scale: Scale,
    least: f64,
    most: f64,
    /// Where lines are drawn, and what is written there; chosen if empty.
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Wide enough for `values`; on a logarithmic axis those above 0, whole powers of ten.
    pub(crate) fn around(title: &str, scale: Scale, values: impl Iterator<Item = f64>) -> Axis {
        let values: Vec<f64> = values.filter(|v| v.is_finite() && (scale == Scale::Linear || *v > 0.0)).collect();
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        let most = values.iter().copied().fold(f64::MIN, f64::max);
        let (least, most) = match scale {
            _ if values.is_empty() => (1.0, 10.0),
            Scale::Linear => (0.0, if most > 0.0 { most * 1.05 } else { 1.0 }),
            Scale::Log => (10f64.powf(least.log10().floor()), 10f64.powf((most.log10() + 0.01).ceil())),
        };
        Axis { title: title.to_owned(), scale, least, most, ticks: Vec::new() }
    }

    pub(crate) fn between(title: &str, least: f64, most: f64, ticks: Vec<(f64, String)>) -> Axis {
        Axis { title: title.to_owned(), scale: Scale::Linear, least, most, ticks }
    }

    /// From 0 to 1.
    fn part(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.least) / (self.most - self.least),
            Scale::Log => (value.max(self.least) / self.least).log10() / (self.most / self.least).log10(),
        };
        part.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        if !self.ticks.is_empty() {
            return self.ticks.clone();
        }
        let values: Vec<f64> = match self.scale {
            Scale::Log => (0..).map(|n| self.least * 10f64.powi(n)).take_while(|v| *v <= self.most * 1.001).collect(),
            Scale::Linear => {
                let rough = (self.most - self.least) / 5.0;
                let power = 10f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|s| *s >= rough).unwrap_or(rough);
                (0..).map(|n| self.least + step * f64::from(n)).take_while(|v| *v <= self.most * 1.001).collect()
            }
        };
        values.into_iter().map(|value| (value, short(value))).collect()
    }
}

/// A line with its place in the legend; no name, no place.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) colour: &'static str,
    pub(crate) is_faint: bool,
    pub(crate) has_dots: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

pub(crate) fn lines(title: &str, x: &Axis, y: &Axis, lines: &[Line]) -> String {
    let mut out = frame(title, x, y);
    for line in lines {
        let mut points = String::new();
        for (px, py) in line.points.iter().filter(|(px, py)| px.is_finite() && py.is_finite()) {
            let _ = write!(points, "{:.1},{:.1} ", at_x(x, *px), at_y(y, *py));
            if line.has_dots {
                let (cx, cy) = (at_x(x, *px), at_y(y, *py));
                let _ = writeln!(out, r#"<circle cx="{cx:.1}" cy="{cy:.1}" r="3" fill="{}"/>"#, line.colour);
            }
        }
        let (width, opacity) = if line.is_faint { (1.0, 0.35) } else { (2.0, 1.0) };
        let _ = writeln!(
            out,
            r#"<polyline points="{points}" fill="none" stroke="{}" stroke-width="{width}" stroke-opacity="{opacity}"/>"#,
            line.colour
        );
    }
    let named = lines.iter().filter(|line| !line.name.is_empty());
    legend(&mut out, named.map(|line| (line.name.as_str(), line.colour)));
    out + "</svg>"
}

/// Counts of cells by (column, row); the darker, the more, by logarithm.
pub(crate) fn heat(title: &str, x: &Axis, y: &Axis, cells: &[(f64, f64, f64, f64, f64)]) -> String {
    let mut out = frame(title, x, y);
    let most = cells.iter().map(|cell| cell.4).fold(1.0, f64::max);
    for (x0, x1, y0, y1, count) in cells {
        let (left, right, low, high) = (at_x(x, *x0), at_x(x, *x1), at_y(y, *y0), at_y(y, *y1));
        let strength = 0.1 + 0.9 * (1.0 + count).ln() / (1.0 + most).ln();
        let _ = writeln!(
            out,
            r##"<rect x="{left:.1}" y="{high:.1}" width="{:.1}" height="{:.1}" fill="#0b3d91" fill-opacity="{strength:.2}"/>"##,
            right - left,
            low - high
        );
    }
    out + "</svg>"
}

/// Groups of horizontal bars: a name, and a value for each series.
pub(crate) fn bars(title: &str, unit: &str, series: &[String], groups: &[(String, Vec<Option<f64>>)]) -> String {
    const BAR: f64 = 11.0;
    const NAMES: f64 = 150.0;
    let group_height = BAR * series.len() as f64 + 8.0;
    let height = TOP + group_height * groups.len() as f64 + 8.0;
    let most = groups.iter().flat_map(|(_, values)| values).flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut out = opened(title, height);
    for (n, (name, values)) in groups.iter().enumerate() {
        let top = TOP + group_height * n as f64;
        let middle = top + BAR * series.len() as f64 / 2.0 + 4.0;
        let _ = writeln!(out, r#"<text x="{}" y="{middle:.1}" text-anchor="end">{}</text>"#, NAMES - 6.0, escape(name));
        for (series, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let y = top + BAR * series as f64;
            let width = (value / most * (WIDTH - NAMES - 70.0)).max(1.0);
            let colour = COLOURS[series % COLOURS.len()];
            let bar = BAR - 1.0;
            let _ = writeln!(
                out,
                r#"<rect x="{NAMES}" y="{y:.1}" width="{width:.1}" height="{bar}" fill="{colour}"/><text x="{:.1}" y="{:.1}" class="small">{} {unit}</text>"#,
                NAMES + width + 4.0,
                y + BAR - 2.0,
                crate::series::number(*value)
            );
        }
    }
    legend(&mut out, series.iter().enumerate().map(|(n, name)| (name.as_str(), COLOURS[n % COLOURS.len()])));
    out + "</svg>"
}

fn opened(title: &str, height: f64) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" font-family="system-ui,sans-serif" font-size="12" fill="#1f2937">
<style>.small{{font-size:10px}}.grid{{stroke:#e5e7eb}}</style><rect width="100%" height="100%" fill="#ffffff"/>
<text x="12" y="18" font-weight="600">{}</text>
"##,
        escape(title)
    )
}

fn frame(title: &str, x: &Axis, y: &Axis) -> String {
    let mut out = opened(title, HEIGHT);
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for (value, name) in x.ticks() {
        let at = at_x(x, value);
        let _ = writeln!(
            out,
            r#"<line class="grid" x1="{at:.1}" y1="{TOP}" x2="{at:.1}" y2="{bottom}"/><text x="{at:.1}" y="{}" text-anchor="middle" class="small">{name}</text>"#,
            bottom + 14.0
        );
    }
    for (value, name) in y.ticks() {
        let at = at_y(y, value);
        let _ = writeln!(
            out,
            r#"<line class="grid" x1="{LEFT}" y1="{at:.1}" x2="{right}" y2="{at:.1}"/><text x="{}" y="{:.1}" text-anchor="end" class="small">{name}</text>"#,
            LEFT - 5.0,
            at + 3.5
        );
    }
    let middle = TOP + (bottom - TOP) / 2.0;
    let _ = writeln!(
        out,
        r#"<text x="{:.0}" y="{}" text-anchor="middle">{}</text><text transform="translate(14 {middle:.0}) rotate(-90)" text-anchor="middle">{}</text>"#,
        LEFT + (right - LEFT) / 2.0,
        HEIGHT - 10.0,
        escape(&x.title),
        escape(&y.title)
    );
    out
}

fn legend<'a>(out: &mut String, names: impl Iterator<Item = (&'a str, &'static str)>) {
    let mut x = 12.0;
    for (name, colour) in names {
        let _ = writeln!(
            out,
            r#"<rect x="{x:.0}" y="27" width="10" height="10" fill="{colour}"/><text x="{:.0}" y="36" class="small">{}</text>"#,
            x + 14.0,
            escape(name)
        );
        x += 28.0 + 6.0 * name.len() as f64;
    }
}

fn at_x(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.part(value) * (WIDTH - LEFT - RIGHT)
}

fn at_y(axis: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.part(value) * (HEIGHT - TOP - BOTTOM)
}

/// 1500 as 1.5k.
fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = format!("{value:.2}");
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_holds_its_values_and_names_round_ones() {
        let log = Axis::around("us", Scale::Log, [30.0, 2500.0, 0.0].into_iter());
        let names: Vec<String> = log.ticks().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["10", "100", "1k", "10k"]);
        assert!((log.part(316.227_766) - 0.5).abs() < 1e-6);
        let linear = Axis::around("s", Scale::Linear, [1.0, 9.0].into_iter());
        let names: Vec<String> = linear.ticks().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["0", "2", "4", "6", "8"]);
        assert_eq!(Axis::around("none", Scale::Log, std::iter::empty()).ticks().len(), 2);
    }

    #[test]
    fn pictures_are_whole_and_escape_what_they_are_told() {
        let axis = Axis::around("a < b", Scale::Linear, [1.0].into_iter());
        let line = Line {
            name: "one".to_owned(),
            colour: COLOURS[0],
            is_faint: false,
            has_dots: true,
            points: vec![(0.5, 0.5), (1.0, f64::NAN)],
        };
        for svg in [
            lines("t & u", &axis, &axis, &[line]),
            heat("heat", &axis, &axis, &[(0.0, 0.5, 0.0, 0.5, 3.0)]),
            bars("bars", "us", &["one".to_owned()], &[("x<y".to_owned(), vec![Some(1.0)])]),
        ] {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
            assert!(!svg.contains("NaN") && !svg.contains("x<y") && !svg.contains("t & u"), "{svg}");
        }
    }
}
