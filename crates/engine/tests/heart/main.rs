//! The way of a command through runner, store, recovery and effects, over random histories with
//! a store that stops between any two partitions.

mod batch;
mod crash;
mod dedupe;
mod devices;
mod effects;
mod feed;
#[path = "../../../core/tests/histories/generator.rs"]
#[expect(dead_code, reason = "shared with the tests of the core, which use all of it")]
mod generator;
mod judge;
mod queue;
mod store;
mod world;

/// Cases of a property: `PROPTEST_CASES` if it is set. Failures are printed, not kept.
fn cases(cases: u32) -> proptest::test_runner::Config {
    let default = proptest::test_runner::Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    proptest::test_runner::Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..default }
}
