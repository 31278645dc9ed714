//! P1, P2 and P7 of a real server whose power is cut, which is killed, stopped and ended in mid-load:
//! the checker chats with it meanwhile, reads everything back as everybody, and judges. Where no disk
//! can be mounted whose power may be cut, cuts are but kills, and that is said.

#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use chirrup_checker::judge::Rule;
use chirrup_faults::plan::Plan;
use chirrup_faults::points::Points;
use chirrup_faults::process::SERVES_WITHIN;
use chirrup_faults::report::Report;
use chirrup_faults::run::{Means, run};
use tokio_util::sync::CancellationToken;

/// What every run of the tests does.
const SHORT: Plan = Plan { seed: 20_261_124, slow: true, cuts: 20, kills: 50, stops: 2, terms: 3, stop_for: Duration::from_secs(1) };
/// What the long tests do.
const LONG: Plan = Plan { cuts: 500, kills: 500, stops: 4, terms: 20, stop_for: Duration::from_secs(30), ..SHORT };
/// Nothing but deaths at named points.
const POINTS: Plan = Plan { slow: false, cuts: 0, kills: 0, stops: 0, terms: 0, ..SHORT };

/// Does what a plan says. `name` is that of the kept history.
fn report(name: &str, plan: &Plan, points: Option<&Points<'_>>) -> Result<Report, String> {
    let history = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{name}.jsonl"));
    let program = Path::new(env!("CARGO_BIN_EXE_chirrup"));
    let means = Means { program, environment: &[], history: Some(&history), tell: |how_far| println!("{how_far}") };
    let interrupt = CancellationToken::new();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let done = runtime.block_on(async {
        tokio::select! {
            done = run(plan, points, means, &interrupt) => done,
            // Dropped like that, the run has killed its server and unmounted its disk.
            _ = tokio::signal::ctrl_c() => panic!("interrupted"),
        }
    });
    let report = done.map_err(|error| format!("seed {}: {error}", plan.seed))?;
    println!("{}{report}\nthe history is kept in {}", report.verdict, history.display());
    if let Some(why) = &report.no_cuts {
        println!("SKIPPED: {} power cuts were but kills: {why}", plan.cuts);
    }
    Ok(report)
}

/// One run that all short tests look at.
fn short() -> &'static Report {
    static REPORT: OnceLock<Result<Report, String>> = OnceLock::new();
    REPORT.get_or_init(|| report("short", &SHORT, None)).as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// Whether so much was done as the plan says.
fn assert_done(report: &Report, plan: &Plan) {
    let done = &report.done;
    assert_eq!((done.cuts + done.kills, done.stops, done.terms), (plan.cuts + plan.kills, plan.stops, plan.terms));
    assert_eq!(done.cuts, if report.no_cuts.is_some() { 0 } else { plan.cuts });
}

#[test]
fn p1_nothing_acked_is_lost_or_doubled_by_20_power_cuts_and_50_kills() {
    let report = short();
    assert_done(report, &SHORT);
    assert!(report.missing().is_empty(), "the run does not count: it did not meet {:?}", report.missing());
    assert_eq!((report.lost(), report.doubled()), (0, 0), "{}", report.verdict);
}

#[test]
fn p2_everybody_reads_one_order_after_power_cuts_and_kills() {
    let verdict = &short().verdict;
    for rule in [Rule::NoGap, Rule::SameForAll, Rule::BytesUnchanged, Rule::NothingInvented, Rule::RealTimeOrder] {
        assert_eq!(verdict.of(rule), 0, "{verdict}");
    }
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn p7_after_every_power_cut_and_kill_the_server_serves_within_5_seconds() {
    // A start that takes longer ends the run.
    let took = short().done.slowest_start;
    assert!(took <= SERVES_WITHIN, "{took:?}");
}

#[test]
fn p1_a_death_at_every_named_point_under_load_loses_and_doubles_nothing() {
    let points = Points::every(support::mutant(), POINTS.seed);
    let report = report("points", &POINTS, Some(&points)).unwrap();
    assert_eq!(report.done.points, points.kills.len());
    assert!(report.verdict.is_clean(), "{}", report.verdict);
}

#[test]
#[ignore = "takes long: 'make test-long' runs it"]
fn p1_p2_p7_hold_over_500_power_cuts_and_500_kills() {
    let report = report("long", &LONG, None).unwrap();
    assert_done(&report, &LONG);
    assert!(report.missing().is_empty(), "the run does not count: it did not meet {:?}", report.missing());
    assert!(report.verdict.is_clean(), "{}", report.verdict);
}
