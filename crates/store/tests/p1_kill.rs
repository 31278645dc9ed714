//! P1 for the store: what a commit returned for is there after kill -9, wherever it struck, and
//! what was being committed is there whole or not at all.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use chirrup_store::embedded::EmbeddedKv;
use chirrup_store::kv::{Key, Kv, Row, Table};

const ROUNDS: u64 = 12;
const CHILD: &str = "STORE_KILL_DIR";
/// Rows of one commit, in several tables and partitions.
const ROWS: u64 = 24;

/// The rows of commit `number`. Each overwrites those of the commit before, so that a torn one
/// would be seen; some rows of every third are removed; values are long enough that memtables
/// are written and files merged all the time.
fn rows(number: u64) -> Vec<Row> {
    let row = |n: u64| {
        let table = [Table::Event, Table::State, Table::Dedupe][n as usize % 3];
        let value = number.to_be_bytes().repeat(20 + (number % 40) as usize * 3);
        Row { key: Key::new(table, [(n % 5) as u8 + 1], n.to_be_bytes()), value: Some(value), version: number }
    };
    let log = Row { key: Key::new(Table::Feed, *b"f", number.to_be_bytes()), value: Some(vec![7; 100]), version: number };
    (0..ROWS).map(row).chain([log]).collect()
}

fn open(dir: &Path) -> EmbeddedKv {
    let options = chirrup_store::embedded::EmbeddedOptions { memtable_bytes: 256 << 10, ..common::options() };
    EmbeddedKv::open(dir, options).unwrap_or_else(|error| panic!("a killed store opens: {error}"))
}

/// The number of the commit that the store shows, checked to be whole.
fn shown(kv: &EmbeddedKv) -> u64 {
    let keys: Vec<Key> = rows(0).into_iter().take(ROWS as usize).map(|row| row.key).collect();
    let values = kv.get(&keys).unwrap();
    let number = values[0].as_ref().map_or(0, |value| u64::from_be_bytes(value[..8].try_into().unwrap()));
    for (row, value) in rows(number).into_iter().zip(&values) {
        assert_eq!(value, &row.value.filter(|_| number > 0), "commit {number} is torn at {:?}", row.key);
    }
    number
}

/// Not a test of its own: the process that is killed. Commits until then, and says so.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let kv = open(Path::new(&dir));
    for number in shown(&kv) + 1.. {
        kv.commit(&rows(number)).unwrap();
        println!("\ncommitted {number}");
    }
}

#[test]
fn p1_what_was_committed_is_there_after_kill_9() {
    let dir = common::temp_dir();
    let mut committed = 0;
    for round in 1..=ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed while it goes on, after a number of commits that differs from round to round.
        let kill_at = committed + 1 + round * 97 % 700;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some(number) = line.unwrap().strip_prefix("committed ") {
                committed = committed.max(number.parse().unwrap());
            }
            if committed == kill_at {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let kv = open(dir.path());
        let found = shown(&kv);
        assert!(found >= committed, "round {round}: {committed} was committed, {found} is there");
        let feed: Vec<Key> = (1..=found).map(|number| rows(number).pop().unwrap().key).collect();
        for keys in feed.chunks(5_000) {
            assert!(kv.get(keys).unwrap().iter().all(Option::is_some), "a commit before the last is missing");
        }
        committed = found;
    }
    assert!(committed > ROUNDS * 50, "little was committed: {committed}");
    open(dir.path()).verify().unwrap();
}

/// A crash between the two steps of a turn: the new segment is in its place, and the manifest does
/// not name it yet. Once it is written on, it must be named.
#[test]
fn p1_a_segment_that_was_begun_just_before_a_crash_is_found_ever_after() {
    const VALUE: usize = 3_000;
    let (dir, before) = (common::temp_dir(), common::temp_dir());
    let kv = common::open(dir.path()).unwrap();
    let mut rows = 0;
    let begun = loop {
        let crashed = before.path().join(rows.to_string());
        common::copy_dir(dir.path(), &crashed);
        common::fill(&kv, rows..rows + 1, VALUE);
        if let [_, begun] = common::segments(dir.path()).as_slice() {
            std::fs::copy(begun, crashed.join("log").join(begun.file_name().unwrap())).unwrap();
            break crashed;
        }
        rows += 1;
    };
    // Its first frame came after the manifest.
    common::change(&common::segments(&begun)[1], |bytes| bytes[4096..].fill(0));
    for _ in 0..3 {
        let kv = common::open(&begun).unwrap();
        assert_eq!(common::count(&kv, rows + 5, VALUE), rows);
        common::fill(&kv, rows..rows + 1, VALUE);
        rows += 1;
    }
}
