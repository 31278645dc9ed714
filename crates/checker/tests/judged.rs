//! The judge judged: each kept history that is bad must be found to break exactly the rule that its
//! file is named for, by naming the message, the reader and the path; each that is good but looks
//! odd must pass. Adding a history is adding a file.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;

use chirrup_checker::history::History;
use chirrup_checker::judge::{Rare, Rule, Verdict, judge};

/// Histories whose names begin like this: their names without it, their paths, their judgements.
fn kept(beginning: &str) -> Vec<(String, PathBuf, Verdict)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let mut kept: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    kept.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().strip_prefix(beginning).map(str::to_owned);
    let history = |path: &Path| History::read(BufReader::new(File::open(path).unwrap())).unwrap();
    kept.into_iter().filter_map(|path| Some((name(&path)?, path.clone(), judge(&history(&path))))).collect()
}

/// What a file's head says under a word: `# names: this | that`.
fn head(path: &Path, word: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("# {word}: ")));
    line.map(|line| line.split(" | ").map(str::to_owned).collect()).unwrap_or_default()
}

#[test]
fn each_bad_history_breaks_exactly_its_rule_and_message_reader_and_path_are_named() {
    let (mut shown, mut wrong) = (BTreeSet::new(), Vec::new());
    for (name, path, verdict) in kept("bad-") {
        let rule = name.split('-').next().unwrap();
        let broken: BTreeSet<&str> = verdict.violations.iter().map(|violation| violation.rule.name()).collect();
        let names = head(&path, "names");
        let named = |violation: &String| !names.is_empty() && names.iter().all(|name| violation.contains(name));
        if broken != BTreeSet::from([rule]) || !verdict.violations.iter().map(ToString::to_string).any(|v| named(&v)) {
            wrong.push(format!("{name} must break {rule} and name {names:?}: {:#?}", verdict.violations));
        }
        shown.insert(rule.to_owned());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all: BTreeSet<String> = Rule::ALL.iter().map(|rule| rule.name().to_owned()).collect();
    assert_eq!(shown, all, "each rule has a history that breaks it");
}

#[test]
fn each_good_history_that_looks_odd_passes_and_what_it_met_is_counted() {
    let (good, mut wrong) = (kept("good-"), Vec::new());
    assert!(!good.is_empty());
    for (name, path, verdict) in good {
        let met = head(&path, "met").into_iter().filter(|met| !met.is_empty());
        let met: Vec<Rare> = met.map(|met| *Rare::ALL.iter().find(|rare| rare.name() == met).unwrap()).collect();
        if !verdict.is_clean() || !verdict.counts(&met) {
            wrong.push(format!("{name} must pass and have met {met:?}: {verdict:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_run_that_did_not_meet_all_that_was_wanted_does_not_count() {
    let (_, _, verdict) = kept("good-conflict").pop().unwrap();
    assert!(verdict.counts(&[Rare::ConflictRefused]));
    assert!(!verdict.counts(&[Rare::ConflictRefused, Rare::Fault]));
    assert_eq!(verdict.missing(&[Rare::ConflictRefused, Rare::Fault]), [Rare::Fault]);
}

#[test]
fn a_history_is_read_as_it_was_written() {
    for (name, path, _) in kept("good-") {
        let history = History::read(BufReader::new(File::open(&path).unwrap())).unwrap();
        let mut written = Vec::new();
        history.write(&mut written).unwrap();
        assert_eq!(History::read(written.as_slice()).unwrap(), history, "{name}");
    }
    let error = History::read("# a comment\n\nnot a record\n".as_bytes()).unwrap_err();
    assert!(error.to_string().starts_with("line 3: "), "{error}");
}

#[test]
fn the_program_prints_the_verdict_and_ends_with_one_on_violations() {
    for (beginning, code) in [("bad-one_effect", 1), ("good-reset", 0)] {
        let (_, path, verdict) = kept(beginning).remove(0);
        let run = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_chirrup-checker")).args(arguments).arg(&path).output().unwrap();
        let output = run(&["judge"]);
        assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap()), (Some(code), verdict.to_string()));
        let output = run(&["--json", "judge"]);
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), told), (Some(code), serde_json::to_value(&verdict).unwrap()));
    }
    let missing = Command::new(env!("CARGO_BIN_EXE_chirrup-checker")).args(["judge", "no such file"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
}
