//! The core over random histories, judged by a model that is written apart from it: decisions,
//! folded rows, unread counts, what each reader sees, the chain of hashes, and that folding again
//! from anywhere repairs whatever a crash has left.

mod conversation;
mod generator;
mod heart;
mod model;
mod small;
mod unread;
mod user;

/// Cases of a property: `PROPTEST_CASES` if it is set. Failures are printed, not kept.
fn cases(cases: u32) -> proptest::test_runner::Config {
    let default = proptest::test_runner::Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    proptest::test_runner::Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..default }
}
