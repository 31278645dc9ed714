//! Commits that stop between two partitions: within a partition all or nothing, and the very
//! same rows written again complete them.

use super::{Checks, Subject, commit, get, put, remove};
use crate::kv::{CommitError, Kv, Row, Table};

pub(super) const CHECKS: &Checks = &[
    ("a commit that stops between partitions is whole within each", whole_within),
    ("the same rows written again complete a stopped commit", completed),
];

const PARTITIONS: u8 = 5;

/// Three rows for each of five partitions in different tables, interleaved: two written anew,
/// one removed.
fn rows(version: u64) -> Vec<Row> {
    let table = |partition: u8| Table::ALL[usize::from(partition) % Table::ALL.len()];
    let mut rows = Vec::new();
    for sort in [b"a", b"b"] {
        rows.extend((0..PARTITIONS).map(|p| put(table(p), &[p], sort, &version.to_be_bytes(), version)));
    }
    rows.extend((0..PARTITIONS).map(|p| remove(table(p), &[p], b"c", version)));
    rows
}

fn before(kv: &dyn Kv) {
    let mut rows = rows(1);
    for row in &mut rows {
        row.value = Some(1u64.to_be_bytes().to_vec());
    }
    commit(kv, rows);
}

/// Whether the partition shows version 2, checked to be wholly one or the other.
fn is_new(kv: &dyn Kv, partition: u8) -> bool {
    let table = Table::ALL[usize::from(partition) % Table::ALL.len()];
    let read = |sort: &[u8]| get(kv, table, &[partition], sort);
    let old = Some(1u64.to_be_bytes().to_vec());
    let new = Some(2u64.to_be_bytes().to_vec());
    let rows = (read(b"a"), read(b"b"), read(b"c"));
    let is_new = rows == (new.clone(), new, None);
    assert!(is_new || rows == (old.clone(), old.clone(), old), "partition {partition} is torn: {rows:?}");
    is_new
}

fn whole_within(subject: &mut dyn Subject) {
    before(subject.kv());
    for stop in 0..=usize::from(PARTITIONS) {
        if !subject.stop_after(stop) {
            return;
        }
        let outcome = subject.kv().commit(&rows(2));
        assert!(matches!(outcome, Err(CommitError::Unknown(_))), "{outcome:?}");
        subject.reopen();
        let new = (0..PARTITIONS).filter(|p| is_new(subject.kv(), *p)).count();
        assert!(new >= stop, "{new} partitions written of at least {stop}");
    }
}

fn completed(subject: &mut dyn Subject) {
    before(subject.kv());
    if !subject.stop_after(2) {
        return;
    }
    subject.kv().commit(&rows(2)).expect_err("told to stop");
    commit(subject.kv(), rows(2));
    assert!((0..PARTITIONS).all(|p| is_new(subject.kv(), p)));
}
