//! How far a copy is, on standard error: a bar for a person, a line now and then for a log.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use chirrup_store::copy::{Progress, Work};
use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How long it took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    /// To copy.
    pub(super) copying: Duration,
    /// To copy and to compare.
    pub(super) all: Duration,
    /// Events that were copied in this time.
    pub(super) events: u64,
    /// Rows that were copied in this time.
    pub(super) rows: u64,
}

/// Shows how far it is, and measures.
pub(super) struct Show {
    bar: ProgressBar,
    /// Whether there is somebody to look at a bar.
    bare: bool,
    first: Option<Progress>,
    /// When the last line was written.
    told: Option<Duration>,
    spent: Spent,
}

impl Show {
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("{prefix} {bar:30} {msg}").expect("the template is valid");
        Self { bar: ProgressBar::new(0).with_style(style), bare: !stderr().is_terminal(), first: None, told: None, spent: Spent::default() }
    }

    /// It is so far.
    pub(super) fn show(&mut self, progress: Progress) {
        let now = self.bar.elapsed();
        let Progress { work, events, events_total, rows } = progress;
        let first = *self.first.get_or_insert(progress);
        if work == Work::Copying {
            self.spent = Spent { copying: now, all: now, events: events - first.events, rows: rows - first.rows };
        }
        let what = match work {
            Work::Copying => "copying",
            Work::Checking => "checking",
        };
        let events_total = events_total.max(events);
        let rate = match work {
            Work::Copying => format!(", {} rows/s", rate(self.spent.rows, now)),
            Work::Checking => String::new(),
        };
        let so_far = format!("{events} of about {events_total} events, {rows} rows{rate}");
        if self.bare && self.told.is_none_or(|told| now >= told + LINE_EVERY) {
            eprintln!("{what}: {so_far}");
            self.told = Some(now);
        }
        self.bar.set_prefix(what);
        self.bar.set_message(so_far);
        self.bar.set_length(events_total);
        self.bar.set_position(events);
    }

    /// Ends it.
    pub(super) fn spent(self) -> Spent {
        Spent { all: self.bar.elapsed(), ..self.spent }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// So many a second; 0 of no time.
pub(super) fn rate(many: u64, time: Duration) -> u64 {
    many.saturating_mul(1_000).checked_div(time.as_millis() as u64).unwrap_or(0)
}
