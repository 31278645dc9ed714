//! Many schedules: what went wrong, and how often each rare situation was met.
//!
//! Must not know: clocks; whoever runs it measures.

use std::fmt::Write as _;
use std::ops::Range;
use std::thread;

use crate::control::Control;
use crate::judge::Violation;
use crate::met::{Met, Rare};
use crate::plan::Plan;
use crate::shrink::shrink;
use crate::world::live;

/// A run of so many schedules or more must meet every rare situation.
pub const COUNTS_FROM: u64 = 10_000;

/// Schedules within which a rule broken on purpose must be found.
pub const CONTROL_WITHIN: u64 = 10_000;
/// Schedules in one piece of a thread's work.
const PIECE: u64 = 250;

/// What a run has shown.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Schedules.
    pub schedules: u64,
    /// Those that failed: their seeds, and how.
    pub failed: Vec<(u64, Violation)>,
    /// How often each rare situation was met.
    pub met: [u64; Rare::ALL.len()],
}

impl Report {
    /// Adds what another part of a run has shown.
    pub fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.failed.extend(other.failed);
        for (own, other) in self.met.iter_mut().zip(other.met) {
            *own += other;
        }
    }

    /// Situations that were never met.
    pub fn never_met(&self) -> Vec<Rare> {
        Rare::ALL.iter().copied().filter(|rare| self.met[*rare as usize] == 0).collect()
    }

    /// Whether nothing was wrong, and the run counts.
    pub fn is_good(&self) -> bool {
        self.failed.is_empty() && (self.schedules < COUNTS_FROM || self.never_met().is_empty())
    }
}

/// Lives through the schedules of these seeds.
pub fn run(seeds: Range<u64>, control: Option<Control>) -> Report {
    let met = Met::default();
    let mut report = Report::default();
    for seed in seeds {
        report.schedules += 1;
        if let Some(violation) = live(&Plan::of(seed), control, &met, false).violation {
            report.failed.push((seed, violation));
        }
    }
    report.met = met.counts();
    report
}

/// The same, on so many threads.
pub fn run_on_threads(seeds: Range<u64>, control: Option<Control>, threads: usize) -> Report {
    let threads = threads.max(1);
    let end = seeds.end;
    let pieces: Vec<Range<u64>> = seeds.step_by(PIECE as usize).map(|from| from..(from + PIECE).min(end)).collect();
    let work = |n: usize| {
        let mut own = Report::default();
        pieces.iter().skip(n).step_by(threads).for_each(|piece| own.add(run(piece.clone(), control)));
        own
    };
    let mut report = Report::default();
    thread::scope(|scope| {
        let work = &work;
        let parts: Vec<_> = (0..threads).map(|n| scope.spawn(move || work(n))).collect();
        for part in parts {
            report.add(part.join().expect("a schedule is judged and does not panic"));
        }
    });
    report.failed.sort_by_key(|(seed, _)| *seed);
    report
}

/// The first of these seeds whose schedule fails.
pub fn first_caught(seeds: Range<u64>, control: Control) -> Option<(u64, Violation)> {
    let met = Met::default();
    seeds.into_iter().find_map(|seed| Some((seed, live(&Plan::of(seed), Some(control), &met, false).violation?)))
}

/// The history of a schedule that fails, shortened to the smallest that still does, line by line.
pub fn told(seed: u64, violation: &Violation, control: Option<Control>) -> String {
    let plan = shrink(&Plan::of(seed), control, violation.rule);
    let lived = live(&plan, control, &Met::default(), true);
    let mut text = format!("seed {seed}, shortened to {} steps:\n", plan.steps.len());
    for line in lived.story {
        let _ = writeln!(text, "  {line}");
    }
    if let Some(violation) = lived.violation {
        let _ = writeln!(text, "  broken: {violation}");
    }
    text
}
