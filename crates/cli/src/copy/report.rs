//! What a copy came to: the same lines of any two stores that hold the same.

use chirrup_store::copy::{Survey, Tally};
use chirrup_store::kv::Table;
use chirrup_stores::StoreName;
use serde::Serialize;

use super::show::{Spent, rate};

/// What a copy, or a comparison, came to.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    from: String,
    to: String,
    /// Whether nothing was copied.
    check: bool,
    /// What both hold.
    events: u64,
    rows: u64,
    bytes: u64,
    /// What this command has copied of it: all, unless an earlier one had begun.
    copied_events: u64,
    copied_rows: u64,
    seconds: f64,
    copying_seconds: f64,
    events_per_second: u64,
    rows_per_second: u64,
    digests: Vec<Digest>,
}

/// Of a part of both.
#[derive(Debug, Serialize)]
struct Digest {
    of: String,
    count: u64,
    digest: String,
}

impl Digest {
    fn new(of: &str, tally: &Tally) -> Self {
        Self { of: of.to_owned(), count: tally.rows, digest: tally.digest().to_string() }
    }
}

impl Report {
    pub(super) fn new(from: &StoreName, to: &StoreName, check: bool, survey: &Survey, spent: Spent) -> Self {
        let total = survey.tallies.total();
        let mut digests = vec![Digest::new("logs", &survey.logs)];
        digests.extend(Table::ALL.map(|table| Digest::new(&format!("{table:?}").to_lowercase(), &survey.tallies.of(table))));
        digests.push(Digest::new("all", &total));
        Self {
            from: from.to_string(),
            to: to.to_string(),
            check,
            events: survey.events,
            rows: total.rows,
            bytes: total.bytes,
            copied_events: spent.events,
            copied_rows: spent.rows,
            seconds: spent.all.as_secs_f64(),
            copying_seconds: spent.copying.as_secs_f64(),
            events_per_second: rate(spent.events, spent.copying),
            rows_per_second: rate(spent.rows, spent.copying),
            digests,
        }
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        let Self { from, to, events, rows, bytes, .. } = self;
        let mut lines: Vec<String> =
            self.digests.iter().map(|Digest { of, count, digest }| format!("{of:<10} {count:>10}  {digest}")).collect();
        lines.push(format!("{from} and {to} hold the same {events} events in {rows} rows of {bytes} bytes."));
        if !self.check {
            lines.push(format!(
                "Copied {} events in {:.1} s ({} events/s, {} rows/s), and compared, in {:.1} s in all.",
                self.copied_events, self.copying_seconds, self.events_per_second, self.rows_per_second, self.seconds
            ));
        }
        lines.join("\n")
    }
}
