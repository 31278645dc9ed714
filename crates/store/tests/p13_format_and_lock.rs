//! P13 and the directory: an unknown format is refused before anything is touched, the store is
//! opened once, a start that was cut short is made good.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chirrup_store::embedded::{FORMAT, OpenError};
use chirrup_store::kv::{Kv, Status};
use common::{count, fill, open};

/// Every file below a directory, and what it holds.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn p13_another_format_is_refused_before_anything_is_touched() {
    let dir = common::temp_dir();
    fill(&open(dir.path()).unwrap(), 0..3, 10);
    let format = dir.path().join("FORMAT");
    let own = fs::read(&format).unwrap();
    for found in ["2", "0", "1.1", "100"] {
        fs::write(&format, format!("chirrup embedded store, format {found}\n")).unwrap();
        let before = contents(dir.path());
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::Format { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("format {found};")) && text.contains(&format!("reads format {FORMAT}")), "{text}");
        assert!(contents(dir.path()) == before, "something was touched");
    }
    fs::write(&format, own).unwrap();
    assert_eq!(count(&open(dir.path()).unwrap(), 5, 10), 3);
}

#[test]
fn the_directory_is_opened_once_and_a_stale_lock_is_no_obstacle() {
    let dir = common::temp_dir();
    let first = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("in use"), "{error}");
    fill(&first, 0..1, 10);
    drop(first);
    // The file stays, as after a process that died.
    assert!(dir.path().join("LOCK").exists());
    assert_eq!(count(&open(dir.path()).unwrap(), 2, 10), 1);
}

#[test]
fn a_directory_with_other_files_is_left_alone() {
    let dir = common::temp_dir();
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    assert!(error.to_string().contains("thesis.txt"), "{error}");
    assert_eq!(fs::read(dir.path().join("thesis.txt")).unwrap(), b"years of work");
}

#[test]
fn a_first_start_that_was_cut_short_anywhere_is_made_good() {
    let whole = common::temp_dir();
    drop(open(whole.path()).unwrap());
    for keep in ["MAKING", "log", "tables"] {
        let dir = common::temp_dir();
        common::copy_dir(whole.path(), dir.path());
        fs::remove_file(dir.path().join("FORMAT")).unwrap();
        fs::write(dir.path().join("MAKING"), "").unwrap();
        for part in ["log", "tables"].into_iter().filter(|part| *part != keep) {
            fs::remove_dir_all(dir.path().join(part)).unwrap();
        }
        let kv = open(dir.path()).unwrap();
        fill(&kv, 0..2, 10);
        assert_eq!(kv.status(), Status::Ready);
        drop(kv);
        assert_eq!(count(&open(dir.path()).unwrap(), 3, 10), 2);
        assert!(!dir.path().join("MAKING").exists());
    }
}

#[test]
fn a_relative_and_a_nested_directory_are_made() {
    let dir = common::temp_dir();
    let nested = dir.path().join("a").join("b");
    fill(&open(&nested).unwrap(), 0..1, 10);
    assert_eq!(count(&open(&nested).unwrap(), 2, 10), 1);
}
