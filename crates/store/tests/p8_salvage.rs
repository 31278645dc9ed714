//! P8, when it is too late: of a damaged store everything is read that is not damaged, nothing else,
//! and every place that is damaged is told.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use chirrup_store::embedded::{EmbeddedKv, Loss, OpenError, SalvageError, salvage, survey};
use chirrup_store::kv::{Key, Kv, Table};
use chirrup_store::memory::MemoryKv;
use common::{change, copy_dir, fill, open, options, row, segments};
use tempfile::TempDir;

/// Rows in tables, and rows in all.
const IN_TABLES: u64 = 120;
const ROWS: u64 = 160;
const VALUE: usize = 400;
const BLOCK: usize = 4096;

/// A closed store with rows in tables and in the log.
fn store() -> TempDir {
    let dir = common::temp_dir();
    let kv = open(dir.path()).unwrap();
    fill(&kv, 0..IN_TABLES, VALUE);
    kv.checkpoint().unwrap();
    fill(&kv, IN_TABLES..ROWS, VALUE);
    dir
}

/// What is saved of a store: which rows are missing, all others being as they were written; and
/// what was told of it.
fn saved(dir: &Path) -> (Vec<u64>, Vec<Loss>) {
    let (into, work) = (MemoryKv::new(), common::temp_dir());
    let losses = salvage(dir, &[Table::Event], &into, work.path(), &mut |_| ControlFlow::Continue(())).unwrap();
    let keys: Vec<Key> = (0..ROWS).map(|number| row(number, 0).key).collect();
    let found = into.get(&keys).unwrap();
    for (number, value) in (0..).zip(&found) {
        assert!(value.is_none() || *value == row(number, VALUE).value, "a wrong value of row {number}");
    }
    let missing: Vec<u64> = (0..ROWS).filter(|number| found[*number as usize].is_none()).collect();
    for number in &missing {
        assert!(
            losses.iter().any(|loss| loss.may_hold(&keys[*number as usize])),
            "row {number} is missing, and no place is told: {losses:?}"
        );
    }
    (missing, losses)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

/// A copy with one file changed; the salvage of it, and the survey must tell of the file.
fn with(dir: &TempDir, path: &Path, how: impl FnOnce(&mut Vec<u8>)) -> Vec<u64> {
    let copy = common::temp_dir();
    copy_dir(dir.path(), copy.path());
    let path = copy.path().join(path.strip_prefix(dir.path()).unwrap());
    let before = fs::read(&path).unwrap();
    change(&path, how);
    let changed = fs::read(&path).unwrap() != before;
    let (missing, losses) = saved(copy.path());
    assert!(missing.is_empty() || changed);
    let found = survey(copy.path(), &mut |_| ControlFlow::Continue(())).unwrap();
    for told in [&losses, &found] {
        let names_it = told.iter().any(|loss| loss.path == path && loss.offset <= before.len() as u64);
        assert!(names_it || missing.is_empty(), "{} is damaged, told is {told:?}", path.display());
    }
    missing
}

#[test]
fn p8_of_a_sound_store_everything_is_saved_and_nothing_is_told() {
    let dir = store();
    let before = files(&dir.path().join("log")).len();
    assert_eq!(saved(dir.path()), (vec![], vec![]));
    assert_eq!(survey(dir.path(), &mut |_| ControlFlow::Continue(())).unwrap(), []);
    assert_eq!(files(&dir.path().join("log")).len(), before, "nothing is changed");
    let kv = open(dir.path()).unwrap();
    let refused = survey(dir.path(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(refused, SalvageError::Open(OpenError::Locked { .. })), "{refused}");
    drop(kv);
}

#[test]
fn p8_a_damaged_table_file_costs_its_damaged_blocks_alone() {
    let dir = store();
    let tables = files(&dir.path().join("tables/01-event/tables"));
    assert_eq!(tables.len(), 1);
    let length = fs::metadata(&tables[0]).unwrap().len() as usize;
    let mut hurt = 0;
    for at in (0..length).step_by(length / 60) {
        let missing = with(&dir, &tables[0], |bytes| bytes[at] ^= 1);
        hurt += usize::from(!missing.is_empty());
        assert!(missing.len() <= 11, "a flipped bit at {at} costs {missing:?}");
        assert!(missing.iter().all(|number| *number < IN_TABLES));
    }
    assert!(hurt > 30, "flips in rows cost rows");
    for block in 0..length / BLOCK {
        let missing = with(&dir, &tables[0], |bytes| bytes[block * BLOCK..(block + 1) * BLOCK].fill(0));
        assert!(missing.len() <= 22, "a lost page at {block} costs {missing:?}");
        let missing = with(&dir, &tables[0], |bytes| bytes.truncate(block * BLOCK));
        assert!(missing.len() as u64 <= IN_TABLES && !missing.is_empty());
        assert!(missing.windows(2).all(|pair| pair[1] == pair[0] + 1), "what stands before the cut is there: {missing:?}");
    }
}

#[test]
fn p8_a_damaged_segment_costs_its_damaged_frames_alone() {
    let dir = store();
    let all = segments(dir.path());
    assert!(all.len() >= 2);
    for segment in &all {
        let length = fs::metadata(segment).unwrap().len() as usize;
        for block in 0..length / BLOCK {
            let at = block * BLOCK..(block + 1) * BLOCK;
            let missing = with(&dir, segment, |bytes| bytes[at.clone()].fill(0));
            assert!(missing.len() <= 1, "{} {block}: {missing:?}", segment.display());
            let missing = with(&dir, segment, |bytes| bytes[at.start + 20] ^= 1);
            assert!(missing.len() <= 1, "{} {block}: {missing:?}", segment.display());
        }
    }
    // A segment whose rows are all in tables may still be there, and costs nothing.
    let mut costly = 0;
    for segment in &all {
        let copy = common::temp_dir();
        copy_dir(dir.path(), copy.path());
        let gone = copy.path().join("log").join(segment.file_name().unwrap());
        fs::remove_file(&gone).unwrap();
        let (missing, losses) = saved(copy.path());
        assert!(missing.iter().all(|number| *number >= IN_TABLES), "{missing:?}");
        assert!(losses.iter().any(|loss| loss.path == gone && loss.what.contains("missing")), "{losses:?}");
        costly += usize::from(!missing.is_empty());
    }
    assert!(costly > 0);
}

#[test]
fn p8_what_only_says_where_things_are_costs_no_rows() {
    let dir = store();
    let tree = dir.path().join("tables/01-event");
    let mut lists = files(&tree);
    lists.extend([dir.path().join("log/manifest"), dir.path().join("FORMAT")]);
    assert!(lists.len() >= 4, "{lists:?}");
    for list in &lists {
        for how in ["zero", "cut"] {
            let copy = common::temp_dir();
            copy_dir(dir.path(), copy.path());
            let path = copy.path().join(list.strip_prefix(dir.path()).unwrap());
            change(&path, |bytes| if how == "zero" { bytes.fill(0) } else { bytes.truncate(1) });
            let (missing, losses) = saved(copy.path());
            assert!(missing.is_empty() && !losses.is_empty(), "{} {how}: {missing:?}", path.display());
            assert_eq!(survey(copy.path(), &mut |_| ControlFlow::Continue(())).unwrap(), losses);
        }
    }
}

#[test]
fn p8_another_format_is_not_salvaged() {
    let dir = store();
    fs::write(dir.path().join("FORMAT"), "chirrup embedded store, format 2\n").unwrap();
    let refused = survey(dir.path(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(refused, SalvageError::Open(OpenError::Format { .. })), "{refused}");
    let empty = common::temp_dir();
    assert!(survey(empty.path(), &mut |_| ControlFlow::Continue(())).is_err());
}

#[test]
fn p8_the_newest_of_a_row_is_saved_wherever_it_stands() {
    let dir = common::temp_dir();
    let kv = EmbeddedKv::open(dir.path(), options()).unwrap();
    let version = |n: u8| {
        let mut row = row(1, VALUE);
        row.value = Some(vec![n; 10]);
        row
    };
    let removed = |number: u64| {
        let mut row = row(number, VALUE);
        row.value = None;
        row
    };
    // Merged files, files at the top, and the log, each with another version.
    for n in 0..9 {
        kv.commit(&[version(n), row(2, VALUE)]).unwrap();
        kv.commit(&(100..140).map(|number| row(number, VALUE)).collect::<Vec<_>>()).unwrap();
        kv.checkpoint().unwrap();
    }
    kv.commit(&[version(77), removed(2)]).unwrap();
    drop(kv);
    let (into, work) = (MemoryKv::new(), common::temp_dir());
    salvage(dir.path(), &[Table::Event], &into, work.path(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(into.get(&[row(1, 0).key, row(2, 0).key]).unwrap(), [Some(vec![77; 10]), None]);
}
