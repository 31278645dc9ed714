//! What is not copied, and what is not a copy.

use std::path::Path;

use chirrup_store::embedded::{EmbeddedKv, EmbeddedOptions};
use chirrup_store::kv::{Key, Kv, Range, Row, Table};

use crate::raw::server;
use crate::support::{Server, program};
use crate::world::World;
use crate::{compared, copied, copy, embedded, failure};

/// What the command says that copies, or compares, in vain.
fn refused(from: &Path, to: &Path) -> String {
    failure(&copy(&embedded(from), &embedded(to)).output().unwrap())
}

fn differ(from: &Path, to: &Path) -> String {
    failure(&copy(&embedded(from), &embedded(to)).arg("--check").output().unwrap())
}

/// A stopped server's data, put away.
async fn stopped(place: &Path, name: &str) -> std::path::PathBuf {
    let mut server: Server = server();
    World::talk_of(&server, 6).await;
    server.stop();
    let data = place.join(name);
    std::fs::rename(server.data(), &data).unwrap();
    data
}

/// Changes one row of a table, in the store of a data directory: its key.
fn damage(data: &Path, table: Table) -> Key {
    let kv = EmbeddedKv::open(&data.join("store"), EmbeddedOptions { reserve_bytes: 0, ..EmbeddedOptions::small() }).unwrap();
    let partition = kv.partitions(table, None, 1).unwrap().pop().unwrap();
    let all = Range { table, partition: partition.clone(), from: Vec::new(), until: None, descending: false, limit: 1 };
    let (sort, mut value) = kv.range(&all).unwrap().pop().unwrap();
    *value.last_mut().unwrap() ^= 1;
    let key = Key::new(table, partition, sort);
    kv.commit(&[Row { key: key.clone(), value: Some(value), version: u64::MAX }]).unwrap();
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_served_is_neither_source_nor_target() {
    let place = tempfile::tempdir().unwrap();
    let server = server();
    let data = stopped(place.path(), "data").await;
    for (from, to) in [(server.data(), place.path().join("new")), (data, server.data())] {
        let words = refused(&from, &to);
        assert!(words.contains("in use by another process"), "{words}");
    }
    assert!(!place.path().join("new").exists(), "nothing is made where nothing is copied");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_empty_store_or_the_unfinished_copy_of_this_one_is_a_target() {
    let place = tempfile::tempdir().unwrap();
    let (one, other) = (stopped(place.path(), "one").await, stopped(place.path(), "other").await);
    let words = refused(&one, &other);
    assert!(words.contains("the target is not empty"), "{words}");
    let absent = place.path().join("absent");
    let words = refused(&absent, &place.path().join("new"));
    assert!(words.contains("there is no store in") && !absent.exists(), "{words}");

    // What is damaged is found before the copy is whole, and found again until it is mended.
    let target = place.path().join("target");
    let damaged = damage(&one, Table::Event);
    let words = refused(&one, &target);
    assert!(words.contains("broken at event 1:") || words.contains("damaged data"), "{words}, of {damaged:?}");
    for (source, why) in [(&other, "another source"), (&one, "broken at event 1:")] {
        let words = refused(source, &target);
        assert!(words.contains(why) || words.contains("damaged data"), "{words}");
    }
    let words = refused(&target, &place.path().join("new"));
    assert!(words.contains("nothing is in the store") || words.contains("unfinished copy"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_not_the_same_is_named() {
    let place = tempfile::tempdir().unwrap();
    let source = stopped(place.path(), "source").await;
    for table in [Table::Dedupe, Table::Inbox, Table::Token, Table::Position, Table::Feed] {
        let target = place.path().join(format!("{table:?}"));
        let report = copied(&embedded(&source), &embedded(&target));
        assert_eq!(compared(&embedded(&source), &embedded(&target))["digests"], report["digests"]);
        let key = damage(&target, table);
        let words = differ(&source, &target);
        assert!(words.contains(&format!("differ in table {table:?}: another value, first at {key:?}")), "{words}");
    }
}

#[test]
fn wrong_names_are_told_from_right_ones() {
    for arguments in [
        ["copy", "--from", "embedded:a", "--to", "embedded:a"].as_slice(),
        &["copy", "--from", "a", "--to", "embedded:b"],
        &["copy", "--from", "embedded:a"],
    ] {
        let ended = program().args(arguments).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}
