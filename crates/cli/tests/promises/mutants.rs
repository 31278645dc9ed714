//! That these tests notice: each rule that `crates/mutants` can break is broken, and a promise's
//! test must fail on that server which passes on `chirrup`, for the reason that is expected. What
//! caught what is kept in `docs/mutants.md`.

use std::fmt::Write as _;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use chirrup_mutants::Mutant;

use crate::support::{BROKEN, MUTANT, mutant, workspace};

/// The page that keeps the table, and what stands around it.
const PAGE: &str = "docs/mutants.md";
const BEGIN: &str = "<!-- generated: mutants -->\n";
const END: &str = "<!-- end -->";
/// Has the table written into the page rather than compared with it.
const WRITE: &str = "CHIRRUP_TEST_WRITE_MUTANTS";

/// A mutant, a test that catches it, and the words in which it does.
type Caught = (Mutant, &'static str, &'static str);

const CAUGHT: &[Caught] = &[
    (Mutant::AckBeforeSync, "p1_power_cut::p1_what_was_acked_survives_a_power_cut", "acked and lost"),
    (Mutant::DedupeForgottenOnRestart, "p3_one_effect::p3_an_id_belongs_to_one_request_of_one_sender", "send: Ok("),
    (Mutant::DedupeIgnoresSender, "p3_one_effect::p3_an_id_belongs_to_one_request_of_one_sender", "client_id_conflict"),
    (
        Mutant::ResumeOffByOne,
        "p5_reconnect::p5_after_reconnects_at_random_points_each_missed_event_was_got_once",
        "nothing that was missed is left out",
    ),
    (Mutant::FanOutReordered, "p2_pushes::p2_what_is_pushed_comes_in_the_order_of_the_log", "out of the order of the log"),
    (Mutant::TailRepairOff, "p8_torn_tail::p8_a_torn_write_at_the_end_of_the_log_is_cut_off", "the server did not start"),
    (Mutant::DeletedBodyLeft, "p6_only_forward::p6_nothing_deleted_comes_back_by_any_path", "\"canary-said\" came"),
    (Mutant::FormerMemberSubscribed, "p16_felt::p16_a_removed_member_gets_nothing_that_is_later", "\"what came later\" came"),
    (
        Mutant::ReadPositionSetBack,
        "p6_only_forward::p6_positions_only_grow_over_devices_parallel_and_late_requests_and_kills",
        "were answered",
    ),
    (Mutant::UnreadCounted, "unread::unread_is_what_stands_beyond_what_was_read", "unread after two were deleted"),
    (Mutant::EffectAtMostOnce, "p4_owed::p4_a_creation_that_was_cut_off_is_in_the_list_of_every_member", "in the list of every member"),
];

/// What a run of one test came to.
struct Run {
    passed: bool,
    skipped: bool,
    said: String,
    took: Duration,
}

/// Runs one of this file's tests in a process of its own.
#[expect(clippy::disallowed_methods, reason = "an edge: tells how long a test took")]
fn run(test: &str, broken: Option<Mutant>) -> Run {
    let mut command = Command::new(std::env::current_exe().expect("this test has a file"));
    command.args(["--exact", test, "--nocapture"]).env_remove(BROKEN).env(MUTANT, mutant());
    command.envs(broken.map(|mutant| (BROKEN, mutant.name())));
    let begun = Instant::now();
    let Output { status, stdout, stderr } = command.output().expect("it is run");
    let took = begun.elapsed();
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(said.contains("running 1 test\n"), "there is no test {test}:\n{said}");
    Run { passed: status.success(), skipped: said.contains("SKIPPED: "), said, took }
}

#[test]
fn every_mutant_is_caught_by_a_test_that_passes_without_it() {
    // Built first, so that it is in no run's time.
    mutant();
    let mut table = String::from("| mutant | what is broken | caught by | s |\n|---|---|---|---|\n");
    let mut skipped = Vec::new();
    for rule in Mutant::ALL {
        let mut caught = CAUGHT.iter().filter(|(mutant, ..)| mutant == rule).peekable();
        assert!(caught.peek().is_some(), "no test is named that catches {}", rule.name());
        for (_, test, words) in caught {
            let (sound, broken) = std::thread::scope(|both| {
                let sound = both.spawn(|| run(test, None));
                let broken = run(test, Some(*rule));
                (sound.join().expect("the run is seen to its end"), broken)
            });
            assert!(sound.passed, "{test} fails without a mutant:\n{}", sound.said);
            if sound.skipped {
                skipped.push(rule.name());
            } else {
                assert!(!broken.passed, "{test} does not notice {}:\n{}", rule.name(), broken.said);
                assert!(broken.said.contains(words), "{test} fails by {}, but does not say {words:?}:\n{}", rule.name(), broken.said);
            }
            let seconds = broken.took.as_secs_f64();
            writeln!(table, "| `{}` | {} | `{test}` | {seconds:.1} |", rule.name(), rule.about()).expect("a string takes everything");
        }
    }
    println!("{table}");
    if !skipped.is_empty() {
        println!("SKIPPED: this machine does not let it be seen whether this is caught: {}", skipped.join(", "));
    }
    keep(&table);
}

/// Compares the table with the page, or writes it there.
fn keep(table: &str) {
    let path = workspace().join(PAGE);
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("the page has the mark where the table begins");
    let (kept, after) = rest.split_once(END).expect("the page has the mark where it ends");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("written");
    } else {
        assert_eq!(without_seconds(kept), without_seconds(table), "{PAGE} is not up to date: 'make mutants' writes it");
    }
}

/// The rows but for their last cell, which differs from run to run.
fn without_seconds(table: &str) -> Vec<&str> {
    table.lines().filter_map(|row| row.trim_end_matches(" |").rsplit_once(" | ").map(|(cells, _)| cells)).collect()
}
