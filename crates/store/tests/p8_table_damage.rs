//! P8 for the tables: whatever happens to a file, opening is refused or reading is, naming the
//! file; what is read is what was written.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use chirrup_store::embedded::OpenError;
use chirrup_store::kv::{Kv, Range, ReadError, Table};
use common::{change, copy_dir, open, row};
use tempfile::TempDir;

const ROWS: u64 = 120;
const VALUE: usize = 400;
const BLOCK: usize = 4096;

/// A closed store with all rows in tables, and nothing of them in the log.
fn in_tables() -> TempDir {
    let dir = common::temp_dir();
    let kv = open(dir.path()).unwrap();
    kv.commit(&(0..ROWS).map(|number| row(number, VALUE)).collect::<Vec<_>>()).unwrap();
    kv.checkpoint().unwrap();
    dir
}

/// Files of the event table.
fn files(dir: &Path) -> Vec<PathBuf> {
    let tree = dir.join("tables").join("01-event");
    let mut paths = Vec::new();
    for dir in [tree.clone(), tree.join("tables")] {
        paths.extend(fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    }
    assert!(paths.len() >= 3, "a file of rows, a list of files and what names it: {paths:?}");
    paths
}

/// What became of a store with a damaged file.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Opening, or reading, was refused; the damaged file or its directory was named.
    Refused,
    /// Everything was read, as it was written.
    Unharmed,
}

fn outcome(dir: &TempDir, path: &Path, how: impl FnOnce(&mut Vec<u8>)) -> Outcome {
    let copy = common::temp_dir();
    copy_dir(dir.path(), copy.path());
    let path = copy.path().join(path.strip_prefix(dir.path()).unwrap());
    change(&path, how);
    let names_it = |place: &str| {
        assert!(place.contains(&path.display().to_string()), "{} was damaged, {place} is named", path.display());
    };
    let kv = match open(copy.path()) {
        Ok(kv) => kv,
        Err(error @ OpenError::Damaged { .. }) => {
            names_it(&error.to_string());
            return Outcome::Refused;
        }
        Err(other) => panic!("refused for another reason: {other}"),
    };
    let mut outcome = Outcome::Unharmed;
    let mut note = |error: ReadError| match error {
        ReadError::Damaged { place, .. } => {
            assert!(place.contains(" at byte "), "{place}");
            names_it(&place);
            outcome = Outcome::Refused;
        }
        ReadError::Unavailable(why) => panic!("not told as damage: {why}"),
    };
    for number in 0..ROWS {
        match kv.get(&[row(number, 0).key]) {
            Ok(value) => assert_eq!(value, [row(number, VALUE).value], "a wrong value of row {number}"),
            Err(error) => note(error),
        }
    }
    for descending in [false, true] {
        let range = Range { table: Table::Event, partition: b"p".to_vec(), from: Vec::new(), until: None, descending, limit: 10_000 };
        match kv.range(&range) {
            Ok(rows) => {
                let mut wanted: Vec<_> = (0..ROWS).map(|n| (n.to_be_bytes().to_vec(), row(n, VALUE).value.unwrap())).collect();
                if descending {
                    wanted.reverse();
                }
                assert!(rows == wanted, "wrong rows");
            }
            Err(error) => note(error),
        }
    }
    assert!(outcome == Outcome::Refused || kv.verify().is_ok() || !path.ends_with("current"));
    outcome
}

#[test]
fn p8_flipped_bits_of_table_files_never_give_wrong_rows() {
    let dir = in_tables();
    for path in files(dir.path()) {
        let length = fs::metadata(&path).unwrap().len() as usize;
        let step = (length / 80).max(1);
        for at in (0..length).step_by(step) {
            outcome(&dir, &path, |bytes| bytes[at] ^= 1 << (at % 8));
        }
    }
}

#[test]
fn p8_zeroed_swapped_and_cut_table_files_never_give_wrong_rows() {
    let dir = in_tables();
    for path in files(dir.path()) {
        let length = fs::metadata(&path).unwrap().len() as usize;
        let blocks = length.div_ceil(BLOCK);
        for block in 0..blocks {
            let this = block * BLOCK..((block + 1) * BLOCK).min(length);
            assert_eq!(outcome(&dir, &path, |bytes| bytes[this.clone()].fill(0)), Outcome::Refused, "{} {block}", path.display());
            if (block + 2) * BLOCK <= length {
                let swapped = outcome(&dir, &path, |bytes| {
                    let (low, high) = bytes.split_at_mut(this.end);
                    low[this.start..].swap_with_slice(&mut high[..BLOCK]);
                });
                assert_eq!(swapped, Outcome::Refused, "{} {block}", path.display());
            }
            assert_eq!(outcome(&dir, &path, |bytes| bytes.truncate(this.start)), Outcome::Refused, "{} {block}", path.display());
        }
    }
}

#[test]
fn p8_a_missing_table_file_is_refused() {
    let dir = in_tables();
    for path in files(dir.path()) {
        let copy = common::temp_dir();
        copy_dir(dir.path(), copy.path());
        fs::remove_file(copy.path().join(path.strip_prefix(dir.path()).unwrap())).unwrap();
        let error = open(copy.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("01-event"), "{error}");
    }
}

#[test]
fn p8_a_full_check_finds_what_no_read_came_across() {
    let dir = in_tables();
    let kv = open(dir.path()).unwrap();
    kv.verify().unwrap();
    drop(kv);
    let rows = files(dir.path()).into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    change(&rows, |bytes| bytes[2 * BLOCK] ^= 1);
    let kv = open(dir.path()).unwrap();
    let error = kv.verify().unwrap_err();
    assert!(error.to_string().contains(&rows.display().to_string()), "{error}");
}
