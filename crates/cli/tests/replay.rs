//! `chirrup replay` against a real server process: real logs, played live by all who were in them,
//! are read back equal by every one of them, each within what they may see (rules E-4 and E-5): as it
//! came, by `events` with the digest of the chain (E-6), and by `history` both ways (E-7).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Server, collected, workspace};

/// Plays a log; answers with its report.
fn replay(server: &Server, log: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["replay", "--fast", log.to_str().unwrap()], arguments].concat();
    let report = server.json("nobody", &arguments);
    println!("{}: {report}", log.file_name().unwrap().display());
    assert_eq!((&report["equal"], &report["complete"]), (&Value::Bool(true), &Value::Bool(true)));
    assert_eq!((report["differences"].as_array().map(Vec::len), report["refused"].as_array().map(Vec::len)), (Some(0), Some(0)));
    // The owner reads along.
    assert_eq!(report["readers"].as_u64(), report["people"].as_u64().map(|people| people + 1));
    report
}

fn counts(report: &Value) -> [u64; 4] {
    ["people", "entered", "said", "left"].map(|what| report[what].as_u64().unwrap())
}

/// A log of the collection, with what a reader of the raw file counts in it; or a sample.
fn log(name: &str, counts: [u64; 4]) -> (PathBuf, [u64; 4]) {
    match collected("irc/ubuntu-disentanglement") {
        Some(folder) => (folder.join(name), counts),
        None => (workspace().join("tests/data/irc/ubuntu/2006-02-20.train-c.raw.txt"), SAMPLE),
    }
}

const SAMPLE: [u64; 4] = [37, 38, 166, 2];

#[test]
fn a_log_with_joins_and_leaves_is_played_by_all_who_were_there() {
    let server = Server::start();
    let (log, expected) = log("train/2007-07-03.train-a.raw.txt", [415, 423, 1_292, 54]);
    assert_eq!(counts(&replay(&server, &log, &[])), expected);
}

#[test]
fn a_log_of_many_speakers_is_played_by_all_of_them() {
    let server = Server::start();
    let (log, expected) = log("test/2010-08-17_18.raw.txt", [221, 221, 1_448, 0]);
    assert_eq!(counts(&replay(&server, &log, &[])), expected);
}

#[test]
fn the_rule_of_history_is_kept_and_a_second_play_is_the_same_under_other_names() {
    let server = Server::start();
    let log = workspace().join("tests/data/irc/ubuntu/2006-02-20.train-c.raw.txt");
    let from_join = replay(&server, &log, &[]);
    assert_eq!(counts(&from_join), SAMPLE);
    let again = replay(&server, &log, &["--history", "from_join"]);
    assert_eq!(from_join["digest"], again["digest"]);
    let full = replay(&server, &log, &["--history", "full"]);
    assert_ne!(from_join["digest"], full["digest"]);
    assert!(full["forward"].as_u64() > from_join["forward"].as_u64(), "more is seen");
}
