//! P14 for the store: a backup holds all up to some commit, whatever goes on meanwhile; a restore
//! gives exactly that, or nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use chirrup_core::hash::Hash;
use chirrup_store::embedded::{BackupError, BackupManifest, EmbeddedKv, Progress, restore};
use chirrup_store::kv::Kv;
use common::{change, copy_dir, count, fill, open, options, row};
use tempfile::TempDir;

const VALUE: usize = 400;

fn back_up(kv: &EmbeddedKv, dir: &Path) -> Result<BackupManifest, BackupError> {
    kv.backup(dir, BTreeMap::new(), &mut |_| ControlFlow::Continue(()))
}

fn put_back(backup: &Path, target: &Path) -> Result<BackupManifest, BackupError> {
    restore(backup, target, options(), |_| Ok(()), &mut |_| ControlFlow::Continue(()))
}

/// A store with rows in tables, in the log, and over several segments; and its directory.
fn store() -> (TempDir, EmbeddedKv) {
    let dir = common::temp_dir();
    let kv = open(dir.path()).unwrap();
    fill(&kv, 0..60, VALUE);
    kv.checkpoint().unwrap();
    fill(&kv, 60..120, VALUE);
    (dir, kv)
}

/// Every file below a directory, by its path from there.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn p14_a_backup_is_a_store_that_goes_on() {
    let (_dir, kv) = store();
    let (backup, target) = (common::temp_dir(), common::temp_dir());
    let manifest = back_up(&kv, backup.path()).unwrap();
    assert_eq!(manifest.frame, 120);
    fill(&kv, 120..130, VALUE);
    assert_eq!(put_back(backup.path(), &target.path().join("store")).unwrap(), manifest);
    let restored = open(&target.path().join("store")).unwrap();
    assert_eq!(count(&restored, 130, VALUE), 120);
    fill(&restored, 120..140, VALUE);
    drop(restored);
    assert_eq!(count(&open(&target.path().join("store")).unwrap(), 150, VALUE), 140);
    // The store that was copied lets go of its log again.
    fill(&kv, 130..160, VALUE);
    kv.checkpoint().unwrap();
    assert_eq!(count(&kv, 170, VALUE), 160);
}

#[test]
fn p14_commits_go_on_and_the_backup_is_all_up_to_one_of_them() {
    let (_dir, kv) = store();
    let backup = common::temp_dir();
    // Between any two files that are copied, rows come, are written to tables, and are merged.
    let mut next = 120;
    let manifest = kv.backup(backup.path(), BTreeMap::new(), &mut |_| {
        fill(&kv, next..next + 20, VALUE);
        kv.checkpoint().unwrap();
        next += 20;
        ControlFlow::Continue(())
    });
    assert_eq!(manifest.unwrap().frame, 120, "of what was there when the tables were listed");
    assert!(next > 200, "it was written to meanwhile");
    let target = common::temp_dir();
    put_back(backup.path(), &target.path().join("store")).unwrap();
    assert_eq!(count(&open(&target.path().join("store")).unwrap(), 400, VALUE), 120);
}

#[test]
fn p14_a_backup_of_an_empty_and_of_a_flushed_store_is_whole() {
    for rows in [0, 30] {
        let (dir, backup, target) = (common::temp_dir(), common::temp_dir(), common::temp_dir());
        let kv = open(dir.path()).unwrap();
        fill(&kv, 0..rows, VALUE);
        kv.checkpoint().unwrap();
        back_up(&kv, backup.path()).unwrap();
        put_back(backup.path(), target.path()).unwrap();
        let restored = open(target.path()).unwrap();
        fill(&restored, rows..rows + 5, VALUE);
        assert_eq!(count(&restored, 40, VALUE), rows + 5);
    }
}

#[test]
fn p14_a_backup_that_was_cut_off_anywhere_is_refused() {
    let (_dir, kv) = store();
    let whole = common::temp_dir();
    back_up(&kv, whole.path()).unwrap();
    let steps = files(whole.path()).len();
    for keep in 0..20 {
        let (backup, target) = (common::temp_dir(), common::temp_dir());
        let mut told = 0;
        let cut = kv.backup(backup.path(), BTreeMap::new(), &mut |_| {
            told += 1;
            if told > keep { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let Err(error) = cut else { break };
        assert!(keep < steps && matches!(error, BackupError::Stopped), "{error}");
        let refused = put_back(backup.path(), &target.path().join("store")).unwrap_err();
        assert!(matches!(refused, BackupError::Incomplete { .. }), "{refused}");
        assert!(refused.to_string().contains("no file BACKUP"), "{refused}");
        assert!(fs::read_dir(target.path()).unwrap().next().is_none(), "nothing was made");
        let again = back_up(&kv, backup.path()).unwrap_err();
        assert!(matches!(again, BackupError::NotEmpty { .. }), "{again}");
    }
}

#[test]
fn p14_whatever_is_wrong_with_a_backup_the_restore_names_the_file() {
    let (_dir, kv) = store();
    let whole = common::temp_dir();
    back_up(&kv, whole.path()).unwrap();
    for path in files(whole.path()) {
        let name = path.strip_prefix(whole.path()).unwrap();
        for how in ["flip", "cut", "lengthen", "remove"] {
            let (backup, target) = (common::temp_dir(), common::temp_dir());
            copy_dir(whole.path(), backup.path());
            let path = backup.path().join(name);
            match how {
                "flip" => change(&path, |bytes| {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                }),
                "cut" => change(&path, |bytes| bytes.truncate(bytes.len() - 1)),
                "lengthen" => change(&path, |bytes| bytes.push(0)),
                _ => fs::remove_file(&path).unwrap(),
            }
            let error = put_back(backup.path(), &target.path().join("store")).unwrap_err();
            if name == Path::new("BACKUP") && how == "remove" {
                assert!(matches!(error, BackupError::Incomplete { .. }), "{error}");
            } else {
                assert!(matches!(error, BackupError::Damaged { .. }), "{how} {}: {error}", name.display());
                assert!(error.to_string().contains(&path.display().to_string()), "{how} {}: {error}", name.display());
            }
            assert!(!target.path().join("store").exists(), "a store was made of a damaged backup");
            // What was left beside is no obstacle.
            put_back(whole.path(), &target.path().join("store")).unwrap();
            assert_eq!(count(&open(&target.path().join("store")).unwrap(), 121, VALUE), 120);
        }
    }
}

#[test]
fn p14_a_damaged_store_is_not_backed_up_and_the_damage_is_named() {
    let (dir, kv) = store();
    drop(kv);
    let kv = open(dir.path()).unwrap();
    let tables = files(&dir.path().join("tables").join("01-event").join("tables"));
    change(&tables[0], |bytes| bytes[5000] ^= 1);
    let backup = common::temp_dir();
    let error = back_up(&kv, backup.path()).unwrap_err().to_string();
    assert!(error.contains(&tables[0].display().to_string()) && error.contains("at byte 4"), "{error}");
    assert!(matches!(BackupManifest::read(backup.path()), Err(BackupError::Incomplete { .. })));
}

#[test]
fn p14_a_backup_is_not_restored_over_anything() {
    let (_dir, kv) = store();
    let (backup, target) = (common::temp_dir(), common::temp_dir());
    back_up(&kv, backup.path()).unwrap();
    fs::write(target.path().join("thesis.txt"), "years of work").unwrap();
    let error = put_back(backup.path(), target.path()).unwrap_err();
    assert!(matches!(error, BackupError::NotEmpty { .. }), "{error}");
    assert_eq!(fs::read(target.path().join("thesis.txt")).unwrap(), b"years of work");
    fs::remove_file(target.path().join("thesis.txt")).unwrap();
    put_back(backup.path(), target.path()).unwrap();
    let error = put_back(backup.path(), target.path()).unwrap_err();
    assert!(matches!(error, BackupError::NotEmpty { .. }), "{error}");
}

#[test]
fn p14_a_backup_of_a_store_of_another_format_is_refused_before_anything_is_made() {
    let (_dir, kv) = store();
    let (backup, target) = (common::temp_dir(), common::temp_dir());
    back_up(&kv, backup.path()).unwrap();
    let path = backup.path().join("BACKUP");
    let text = fs::read_to_string(&path).unwrap().replace("store format 1", "store format 2");
    let body = &text[..text.rfind("digest ").unwrap()];
    fs::write(&path, format!("{body}digest {}\n", Hash::of(body.as_bytes()))).unwrap();
    let error = put_back(backup.path(), &target.path().join("store")).unwrap_err();
    assert!(error.to_string().contains("store format 2; this version reads format 1"), "{error}");
    assert!(fs::read_dir(target.path()).unwrap().next().is_none(), "something was made");
}

#[test]
fn p14_a_restore_that_was_ended_at_any_step_leaves_nothing_in_its_place_and_can_be_begun_again() {
    let (_dir, kv) = store();
    let backup = common::temp_dir();
    let total = back_up(&kv, backup.path()).unwrap().bytes();
    let target = common::temp_dir();
    let place = target.path().join("store");
    for keep in 0.. {
        let mut told = 0;
        let cut = restore::<BackupError>(backup.path(), &place, options(), |_| Ok(()), &mut |Progress { total_bytes, .. }| {
            assert_eq!(total_bytes, total);
            told += 1;
            if told > keep { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if cut.is_ok() {
            assert!(keep > 5, "it has steps");
            break;
        }
        assert!(!place.exists());
    }
    assert_eq!(count(&open(&place).unwrap(), 121, VALUE), 120);
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn p14_two_restores_to_one_place_do_not_mix() {
    let (_dir, kv) = store();
    let (backup, target) = (common::temp_dir(), common::temp_dir());
    back_up(&kv, backup.path()).unwrap();
    let place = target.path().join("store");
    let mut other = None;
    let first = restore::<BackupError>(backup.path(), &place, options(), |_| Ok(()), &mut |_| {
        other.get_or_insert_with(|| put_back(backup.path(), &place));
        ControlFlow::Continue(())
    });
    assert!(matches!(other, Some(Err(BackupError::Busy { .. }))), "{other:?}");
    first.unwrap();
    assert_eq!(count(&open(&place).unwrap(), 121, VALUE), 120);
    assert!(open(&place).unwrap().get(&[row(0, 0).key]).unwrap()[0].is_some());
}
