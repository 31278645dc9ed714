//! What a run says of the server.

use std::fmt;
use std::time::Duration;

use chirrup_checker::judge::{Rare, Rule, Verdict};

/// What was done to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Power cuts.
    pub cuts: usize,
    /// Kills with -9.
    pub kills: usize,
    /// Standstills.
    pub stops: usize,
    /// Ends in mid-load.
    pub terms: usize,
    /// Deaths at named points.
    pub points: usize,
    /// Of all starts the longest, until it served.
    pub slowest_start: Duration,
}

/// What a run says. Displayed, it is one line.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was done.
    pub done: Done,
    /// What the checker says.
    pub verdict: Verdict,
    /// Why power cuts were but kills, if they were.
    pub no_cuts: Option<String>,
}

impl Report {
    /// Violations of the rule that what was acked is there. The checker keeps some of each rule, and
    /// counts no more than it keeps.
    pub fn lost(&self) -> usize {
        self.verdict.of(Rule::AckedInFinal)
    }

    /// Violations of the rules that everything is there once.
    pub fn doubled(&self) -> usize {
        self.verdict.of(Rule::OneEffect) + self.verdict.of(Rule::NoDuplicate)
    }

    /// Rare situations that were not met.
    pub fn missing(&self) -> Vec<Rare> {
        self.verdict.missing(Rare::ALL)
    }

    /// Whether the server did well, in a run that counts.
    pub fn is_good(&self) -> bool {
        self.verdict.is_clean() && self.missing().is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done { cuts, kills, .. } = self.done;
        let (acked, lost, doubled) = (self.verdict.acked, self.lost(), self.doubled());
        let (met, all) = (self.verdict.met.len(), Rare::ALL.len());
        write!(f, "faults: {cuts} cuts, {kills} kills, {acked} acked, {lost} lost, {doubled} doubled, {met} rare situations met of {all}")
    }
}

#[cfg(test)]
mod tests {
    use chirrup_checker::judge::Violation;

    use super::*;

    fn report(broken: &[Rule], met: &[Rare]) -> Report {
        let of = |rule: &Rule| Violation {
            rule: *rule,
            record: 1,
            conversation: None,
            seq: None,
            body: None,
            reader: None,
            path: None,
            why: String::new(),
        };
        let violations = broken.iter().map(of).collect();
        let verdict = Verdict { violations, omitted: 0, met: met.iter().map(|rare| (*rare, 1)).collect(), acked: 9 };
        Report { done: Done { cuts: 3, kills: 4, ..Done::default() }, verdict, no_cuts: None }
    }

    #[test]
    fn a_run_is_good_if_nothing_is_broken_and_every_rare_situation_was_met() {
        let good = report(&[], Rare::ALL);
        assert!(good.is_good());
        let all = Rare::ALL.len();
        assert_eq!(good.to_string(), format!("faults: 3 cuts, 4 kills, 9 acked, 0 lost, 0 doubled, {all} rare situations met of {all}"));
        assert!(!report(&[], &Rare::ALL[1..]).is_good(), "it does not count");
        assert!(!report(&[Rule::SameForAll], Rare::ALL).is_good());
    }

    #[test]
    fn what_is_lost_and_what_is_doubled_stands_on_the_line() {
        let bad = report(&[Rule::AckedInFinal, Rule::OneEffect, Rule::NoDuplicate, Rule::NoGap], &[]);
        let line = bad.to_string();
        assert!(line.contains(" 1 lost, 2 doubled, 0 rare "), "{line}");
    }
}
