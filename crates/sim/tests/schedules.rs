//! Schedules by the thousand, every one judged; rules broken on purpose, every one found; a failure
//! shortened, and the same again whenever it is replayed.

use chirrup_sim::control::Control;
use chirrup_sim::met::Met;
use chirrup_sim::plan::Plan;
use chirrup_sim::run::{CONTROL_WITHIN, COUNTS_FROM, first_caught, run_on_threads, told};
use chirrup_sim::shrink::shrink;
use chirrup_sim::world::live;

/// Seeds that fail with what was found and mended broken again; see `CHANGELOG.md`.
const FOUND: &[(u64, Control)] = &[(12, Control::KeyUnversioned), (665, Control::OwedByNumber)];

#[test]
fn ten_thousand_schedules_are_clean_and_meet_every_rare_situation() {
    let report = run_on_threads(1..1 + COUNTS_FROM, None, 2);
    let first = report.failed.first().map(|(seed, violation)| told(*seed, violation, None));
    assert!(first.is_none(), "{} schedules failed; the first:\n{}", report.failed.len(), first.unwrap_or_default());
    assert!(report.is_good(), "never met: {:?}", report.never_met());
}

#[test]
fn seeds_that_once_failed_pass() {
    for (seed, broken) in FOUND {
        let violation = |control| live(&Plan::of(*seed), control, &Met::default(), false).violation;
        assert!(violation(Some(*broken)).is_some(), "seed {seed} does not show any more: {}", broken.about());
        assert_eq!(violation(None), None, "seed {seed}");
    }
}

#[test]
fn every_rule_that_is_broken_is_found() {
    for control in Control::ALL {
        let caught = first_caught(1..1 + CONTROL_WITHIN, *control);
        assert!(caught.is_some(), "{} was missed in {CONTROL_WITHIN} schedules", control.name());
    }
}

#[test]
fn a_failing_schedule_is_shortened_and_replays_exactly() {
    let control = Control::DoubtForgotten;
    let (seed, violation) = first_caught(1..1 + CONTROL_WITHIN, control).expect("it is found");
    let plan = Plan::of(seed);
    let short = shrink(&plan, Some(control), violation.rule);
    assert!(short.steps.len() < plan.steps.len() / 2, "{} of {} steps are left", short.steps.len(), plan.steps.len());
    let told = || live(&short, Some(control), &Met::default(), true);
    assert_eq!(told().violation.map(|found| found.rule), Some(violation.rule));
    assert_eq!(told().story, told().story);
    assert!(live(&short, None, &Met::default(), false).violation.is_none(), "it fails without the broken rule too");
    for dropped in 0..short.steps.len() {
        let mut shorter = short.clone();
        shorter.steps.remove(dropped);
        let still = live(&shorter, Some(control), &Met::default(), false).violation.is_some_and(|found| found.rule == violation.rule);
        assert!(!still, "step {dropped} could go too");
    }
}
