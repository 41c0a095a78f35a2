//! Which figures of a scenario count, and what is asked of them.

use crate::failure::Failure;

/// One row of the table: `PATH, UNIT[, GOAL[, TITLE]]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    /// JSON pointer into a result.
    pub(crate) path: String,
    pub(crate) unit: String,
    pub(crate) goal: Option<Goal>,
    /// What is added to the scenario's name where it has several figures.
    pub(crate) title: String,
}

/// `>= 3x` `<= 0.3x`: of the second broker's. `< 300`: absolute. `>= 0.6 of null`: of another broker's.
/// `<= 1.3 of shards-1`: of what the same broker gave in another scenario.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    bound: Bound,
    limit: f64,
    against: Against,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    AtLeast,
    AtMost,
    Below,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Against {
    Nothing,
    Second,
    Null,
    Scenario(String),
}

/// The broker that keeps nothing.
pub(crate) const NULL: &str = "null";

impl Figure {
    pub(crate) fn parse(line: &str) -> Result<Figure, Failure> {
        let mut parts = line.split(',').map(str::trim);
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let (path, unit, goal, title) = (next(), next(), next(), next());
        if path.is_empty() || unit.is_empty() || parts.next().is_some() {
            return Err(Failure::Setup(format!("{line}: a figure is PATH, UNIT, GOAL, TITLE")));
        }
        let goal = if matches!(goal.as_str(), "" | "-") { None } else { Some(Goal::parse(&goal)?) };
        Ok(Figure { path: format!("/{path}"), unit, goal, title })
    }
}

impl Goal {
    fn parse(text: &str) -> Result<Goal, Failure> {
        let fault = || Failure::Setup(format!("{text} is no goal"));
        let words: Vec<&str> = text.split_whitespace().collect();
        let bound = match words.first() {
            Some(&">=") => Bound::AtLeast,
            Some(&"<=") => Bound::AtMost,
            Some(&"<") => Bound::Below,
            _ => return Err(fault()),
        };
        let (number, against) = match words[1..] {
            [ratio] if ratio.ends_with('x') => (ratio.trim_end_matches('x'), Against::Second),
            [limit] => (limit, Against::Nothing),
            [ratio, "of", NULL] => (ratio, Against::Null),
            [ratio, "of", scenario] => (ratio, Against::Scenario(scenario.to_owned())),
            _ => return Err(fault()),
        };
        Ok(Goal { bound, limit: number.parse().map_err(|_| fault())?, against })
    }

    /// `other`: gives the figure of another broker or of another scenario. None where there is none to compare with.
    pub(crate) fn is_met(&self, ours: f64, other: impl Fn(Option<&str>, Option<&str>) -> Option<f64>) -> Option<bool> {
        self.value(ours, other).map(|value| match self.bound {
            Bound::AtLeast => value >= self.limit,
            Bound::AtMost => value <= self.limit,
            Bound::Below => value < self.limit,
        })
    }

    /// What is compared with the limit.
    pub(crate) fn value(&self, ours: f64, other: impl Fn(Option<&str>, Option<&str>) -> Option<f64>) -> Option<f64> {
        match &self.against {
            Against::Nothing => Some(ours),
            Against::Second => other(None, None).map(|theirs| ours / theirs),
            Against::Null => other(Some(NULL), None).map(|limit| ours / limit),
            Against::Scenario(name) => other(None, Some(name)).map(|there| ours / there),
        }
    }

    pub(crate) fn words(&self) -> String {
        let bound = match self.bound {
            Bound::AtLeast => "≥",
            Bound::AtMost => "≤",
            Bound::Below => "<",
        };
        match &self.against {
            Against::Nothing => format!("{bound} {}", self.limit),
            Against::Second => format!("{bound} {}x", self.limit),
            Against::Null => format!("{bound} {} of null", self.limit),
            Against::Scenario(name) => format!("{bound} {} of {name}", self.limit),
        }
    }

    pub(crate) fn is_of_null(&self) -> bool {
        self.against == Against::Null
    }

    /// Which scenario it is measured by.
    pub(crate) fn other_scenario(&self) -> Option<&str> {
        match &self.against {
            Against::Scenario(name) => Some(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(text: &str) -> Goal {
        Figure::parse(&format!("a/b, ms, {text}")).unwrap().goal.unwrap()
    }

    #[test]
    fn goals_are_met_against_what_they_name() {
        let other = |broker: Option<&str>, scenario: Option<&str>| match (broker, scenario) {
            (None, None) => Some(10.0),
            (Some(NULL), None) => Some(100.0),
            (None, Some("one")) => Some(20.0),
            _ => None,
        };
        let met = |text: &str, ours: f64| goal(text).is_met(ours, other);
        assert_eq!((met(">= 3x", 30.0), met(">= 3x", 29.0)), (Some(true), Some(false)));
        assert_eq!((met("<= 0.125x", 1.25), met("<= 0.125x", 1.3)), (Some(true), Some(false)));
        assert_eq!((met("< 300", 299.0), met("< 300", 300.0)), (Some(true), Some(false)));
        assert_eq!((met(">= 0.6 of null", 60.0), met(">= 0.6 of null", 59.0)), (Some(true), Some(false)));
        assert_eq!((met("<= 1.5 of one", 30.0), met("<= 1.5 of two", 30.0)), (Some(true), None));
        assert_eq!(goal(">= 0.6 of null").words(), "≥ 0.6 of null");
    }

    #[test]
    fn a_figure_names_its_place_and_unit() {
        let figure = Figure::parse("response_us/p99.9, us, -, tail").unwrap();
        assert_eq!((figure.path.as_str(), figure.goal), ("/response_us/p99.9", None));
        for wrong in ["a", "a, ms, 3x", "a, ms, >= x", "a, ms, >= 1 of", "a, b, -, c, d"] {
            assert!(Figure::parse(wrong).is_err(), "{wrong}");
        }
    }
}
