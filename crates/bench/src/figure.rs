//! Figures: what was measured, beside its floor and its goal. One line each; three runs, of which
//! the median counts.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// None: it is printed only.
    Printed,
    /// At least so much, and at least this part of the floor (0 for none).
    AtLeast(f64, f64),
    /// At most so much.
    AtMost(f64),
}

impl Goal {
    fn met(self, value: f64, floor: Option<f64>) -> bool {
        match self {
            Self::Printed => true,
            Self::AtLeast(least, part) => value >= least && floor.is_none_or(|floor| value >= part * floor),
            Self::AtMost(most) => value <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Printed => "-".to_owned(),
            Self::AtLeast(least, 0.0) => format!(">={}", number(least)),
            Self::AtLeast(least, part) => format!(">={},ratio>={part}", number(least)),
            Self::AtMost(most) => format!("<={}", number(most)),
        }
    }
}

/// A figure of one run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    /// Its name, the same in every run.
    pub(crate) name: &'static str,
    /// What was measured.
    pub(crate) value: f64,
    /// In what.
    pub(crate) unit: &'static str,
    /// What the machine gives at best, measured in the same run.
    pub(crate) floor: Option<f64>,
    /// What it should be.
    pub(crate) goal: Goal,
}

impl Figure {
    /// A figure without floor and goal.
    pub(crate) fn new(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, unit, floor: None, goal: Goal::Printed }
    }

    /// The same, beside a floor.
    pub(crate) fn floor(self, floor: f64) -> Self {
        Self { floor: Some(floor), ..self }
    }

    /// The same, with a goal.
    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self { goal, ..self }
    }

    /// As a line of one run.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{} {} {}", self.name, number(self.value), self.unit);
        let floor = self.floor.map_or_else(|| "-".to_owned(), number);
        let ratio = self.floor.map_or_else(|| "-".to_owned(), |floor| number(self.value / floor));
        let verdict = if self.met() { "ok" } else { "short" };
        let _ = write!(line, " floor={floor} ratio={ratio} goal={} {verdict}", self.goal.text());
        line
    }

    /// Whether its goal is met.
    pub(crate) fn met(&self) -> bool {
        self.goal.met(self.value, self.floor)
    }
}

/// The figures of all runs, put together: of each the run whose value is the median.
pub(crate) struct Summary(Vec<(Figure, Vec<f64>)>);

impl Summary {
    /// Puts runs together; a figure that a run lacks counts in the others.
    pub(crate) fn of(runs: &[Vec<Figure>]) -> Self {
        let mut figures: Vec<(Figure, Vec<f64>)> = Vec::new();
        for figure in runs.iter().flatten() {
            if figures.iter().any(|(known, _)| known.name == figure.name) {
                continue;
            }
            let mut same: Vec<&Figure> = runs.iter().flatten().filter(|f| f.name == figure.name).collect();
            let values = same.iter().map(|f| f.value).collect();
            same.sort_by(|a, b| a.value.total_cmp(&b.value));
            figures.push((same[(same.len() - 1) / 2].clone(), values));
        }
        Self(figures)
    }

    /// One line a figure.
    pub(crate) fn lines(&self) -> String {
        self.0.iter().map(|(figure, _)| figure.line() + "\n").collect()
    }

    /// The same as JSON, with the values of all runs.
    pub(crate) fn json(&self) -> Value {
        let figures = self.0.iter().map(|(figure, runs)| {
            json!({
                "name": figure.name,
                "value": figure.value,
                "unit": figure.unit,
                "floor": figure.floor,
                "ratio": figure.floor.map(|floor| figure.value / floor),
                "goal": figure.goal.text(),
                "ok": figure.met(),
                "runs": runs,
            })
        });
        json!({ "figures": figures.collect::<Vec<_>>() })
    }

    /// How many are short of their goals.
    pub(crate) fn short(&self) -> usize {
        self.0.iter().filter(|(figure, _)| !figure.met()).count()
    }
}

/// Three digits that count, without an exponent.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.0 => 0,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_all() {
        let figure = Figure::new("sends", 21_000.0, "1/s").floor(50_000.0).goal(Goal::AtLeast(20_000.0, 0.4));
        assert_eq!(figure.line(), "sends 21000 1/s floor=50000 ratio=0.420 goal=>=20000,ratio>=0.4 ok");
        let short = Figure { value: 20_000.0, floor: Some(50_001.0), ..figure };
        assert!(short.line().ends_with(" short"), "{}", short.line());
        let printed = Figure::new("rows", 2.5, "rows");
        assert_eq!(printed.line(), "rows 2.50 rows floor=- ratio=- goal=- ok");
    }

    #[test]
    fn the_median_counts() {
        let goal = Goal::AtMost(2.0);
        let run = |value| vec![Figure::new("p99", value, "ms").goal(goal)];
        let summary = Summary::of(&[run(9.0), run(1.0), run(1.5)]);
        assert_eq!(summary.lines(), "p99 1.50 ms floor=- ratio=- goal=<=2.00 ok\n");
        assert_eq!(summary.short(), 0);
        assert_eq!(summary.json()["figures"][0]["runs"], json!([9.0, 1.0, 1.5]));
    }
}
