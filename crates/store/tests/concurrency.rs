//! Many threads at once: commits take turns, a reader sees its own commits, and a partition is
//! never seen half-written, while memtables are written to files and files merged all the time.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use chirrup_store::embedded::{EmbeddedKv, EmbeddedOptions};
use chirrup_store::kv::{Key, Kv, Range, Row, Table};

const WRITERS: u64 = 3;
const COMMITS: u64 = 250;
/// Rows of a partition that always carry the same number.
const ROWS: u64 = 20;

/// All rows of a writer's partition, carrying `number`; every tenth time they are removed.
fn rows(writer: u64, number: u64) -> Vec<Row> {
    let value = (!number.is_multiple_of(10)).then(|| number.to_be_bytes().repeat(30));
    let row = |n: u64| Row { key: key(writer, n), value: value.clone(), version: number };
    (0..ROWS).map(row).collect()
}

fn key(writer: u64, n: u64) -> Key {
    Key::new(Table::Member, writer.to_be_bytes(), n.to_be_bytes())
}

/// The number that a partition carries, checked to be the same in all rows; 0 if removed.
fn number(values: &[Option<Vec<u8>>]) -> u64 {
    assert!(values.iter().all(|value| value == &values[0]), "a partition is torn");
    values[0].as_ref().map_or(0, |value| u64::from_be_bytes(value[..8].try_into().unwrap()))
}

#[test]
fn partitions_are_whole_and_own_writes_are_read() {
    let dir = common::temp_dir();
    let options = EmbeddedOptions { memtable_bytes: 64 << 10, ..common::options() };
    let kv = EmbeddedKv::open(dir.path(), options.clone()).unwrap();
    let done = AtomicBool::new(false);
    let latest: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        for writer in 0..2 {
            let (kv, done, latest) = (&kv, &done, &latest);
            scope.spawn(move || {
                let keys: Vec<Key> = (0..ROWS).map(|n| key(writer, n)).collect();
                let range = Range {
                    table: Table::Member,
                    partition: writer.to_be_bytes().to_vec(),
                    from: Vec::new(),
                    until: None,
                    descending: writer == 1,
                    limit: 100,
                };
                while !done.load(SeqCst) {
                    let least = latest[writer as usize].load(SeqCst);
                    let found = number(&kv.get(&keys).unwrap());
                    assert!(found == 0 || found >= least, "{found} after {least}");
                    let entries = kv.range(&range).unwrap();
                    let values: Vec<_> = entries.into_iter().map(|(_, value)| Some(value)).collect();
                    assert!(values.is_empty() || values.len() == ROWS as usize, "{} rows", values.len());
                    assert!(values.is_empty() || number(&values) > 0);
                }
            });
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (kv, latest) = (&kv, &latest);
                scope.spawn(move || {
                    for at in 1..=COMMITS {
                        kv.commit(&rows(writer, at)).unwrap();
                        latest[writer as usize].store(at, SeqCst);
                        let keys: Vec<Key> = (0..ROWS).map(|n| key(writer, n)).collect();
                        assert_eq!(number(&kv.get(&keys).unwrap()), if at % 10 == 0 { 0 } else { at });
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, SeqCst);
    });
    drop(kv);
    let kv = EmbeddedKv::open(dir.path(), options).unwrap();
    for writer in 0..WRITERS {
        let keys: Vec<Key> = (0..ROWS).map(|n| key(writer, n)).collect();
        assert_eq!(number(&kv.get(&keys).unwrap()), 0, "the last commit removed the rows");
    }
}
