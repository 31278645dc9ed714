//! Copies that were ended in the middle: nobody serves what they left, and the same command goes
//! on from there.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use chirrup_engines::cassandra::Cassandra;
use chirrup_engines::postgres::Postgres;
use chirrup_store::embedded::{EmbeddedKv, EmbeddedOptions};
use chirrup_store::kv::{Key, Kv, Row, Table};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::raw::server;
use crate::support::{SMALL_STORE, end, json, program, signal, until};
use crate::world::{files, filled};
use crate::{compared, copied, copy, embedded, failure, on_cassandra, on_postgres};

/// Rows beside those that the server has written, so that a copy takes long enough to be met.
const MORE_ROWS: u32 = 3_000;
const MORE_BYTES: usize = 8_000;

/// A place with the data of a server that has stopped, and its path.
async fn source() -> (TempDir, PathBuf) {
    let (mut server, _) = filled(server()).await;
    server.stop();
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("source");
    std::fs::rename(server.data(), &data).unwrap();
    let kv = EmbeddedKv::open(&data.join("store"), EmbeddedOptions { reserve_bytes: 0, ..EmbeddedOptions::default() }).unwrap();
    for table in [Table::Dedupe, Table::Mention] {
        let row = |n: u32| Row { key: Key::new(table, *b"more", n.to_be_bytes()), value: Some(vec![n as u8; MORE_BYTES]), version: 1 };
        for first in (0..MORE_ROWS).step_by(500) {
            kv.commit(&(first..first + 500).map(row).collect::<Vec<_>>()).unwrap();
        }
    }
    (place, data)
}

fn begin(source: &Path, target: &Path) -> Child {
    begin_into(source, &embedded(target))
}

fn begin_into(source: &Path, target: &str) -> Child {
    let mut command = copy(&embedded(source), target);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Whether there is a store.
fn is_store(data: &Path) -> bool {
    data.join("store/FORMAT").exists()
}

/// Whether anything is in a store that nobody has open.
fn is_begun(data: &Path) -> bool {
    let options = EmbeddedOptions { reserve_bytes: 0, ..EmbeddedOptions::default() };
    let kv = EmbeddedKv::open(&data.join("store"), options).unwrap();
    !kv.partitions(Table::Meta, None, 1).unwrap().is_empty()
}

/// Waits until the target is a store, and then has some files more, or the copy has ended.
fn wait_for_files(target: &Path, more: usize, child: &mut Child) {
    until("there is a store", || is_store(target) || child.try_wait().unwrap().is_some());
    let before = files(target);
    until("there are files", || files(target) >= before + more || child.try_wait().unwrap().is_some());
}

/// Tries to serve it: what was said instead.
fn served(data: &Path) -> String {
    let mut command = program();
    for (key, value) in SMALL_STORE {
        command.env(format!("CHIRRUP_{}", key.to_uppercase().replace('.', "_")), value);
    }
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data"]).arg(data);
    failure(&command.output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_killed_again_and_again_is_served_by_nobody_and_ends_equal() {
    let (place, source) = source().await;
    let whole = copied(&embedded(&source), &embedded(&place.path().join("whole")));

    let mut left_unfinished = 0;
    for more in [0, 4, 10, 18] {
        let target = place.path().join(format!("killed after {more}"));
        for _ in 0..2 {
            let mut child = begin(&source, &target);
            wait_for_files(&target, more, &mut child);
            child.kill().unwrap();
            if child.wait().unwrap().success() {
                break;
            }
            // Before anything is in it, it is as any other that was just made.
            if is_store(&target) && is_begun(&target) {
                left_unfinished += 1;
                assert!(served(&target).contains("chirrup copy"), "a part of a store is not served");
            }
        }
        let report = copied(&embedded(&source), &embedded(&target));
        assert_eq!(report["digests"], whole["digests"]);
        assert_eq!(compared(&embedded(&source), &embedded(&target))["digests"], whole["digests"]);
    }
    println!("{left_unfinished} of 8 kills met a copy");
    assert!(left_unfinished >= 3, "too few kills met a copy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_stopped_by_hand_says_how_it_goes_on_and_does() {
    let (place, source) = source().await;
    let target = place.path().join("target");
    let mut child = begin(&source, &target);
    wait_for_files(&target, 6, &mut child);
    signal(&child, Signal::INT);
    end(&mut child);
    let words = failure(&child.wait_with_output().unwrap());
    assert!(words.contains("the same command goes on"), "{words}");
    assert!(served(&target).contains("chirrup copy"));

    let begun = begin(&source, &target).wait_with_output().unwrap();
    let report = json(&begun);
    assert!(report["copied_rows"].as_u64() < report["rows"].as_u64(), "what was copied is not copied again: {report}");
    assert_eq!(compared(&embedded(&source), &embedded(&target))["digests"], report["digests"]);
}

/// Kills a copy when it has just begun: the same command goes on, and what comes back is equal.
async fn killed_and_gone_on(target: &str) {
    let (place, source) = source().await;
    let mut child = begin_into(&source, target);
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(line.starts_with("copying: 0 of about"), "it told this first: {line}");
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "the kill met it");

    let back = embedded(&place.path().join("back"));
    let words = failure(&copy(target, &back).output().unwrap());
    assert!(words.contains("nothing is in the store") || words.contains("a part of another"), "a part is not copied: {words}");
    let report = copied(&embedded(&source), target);
    assert_eq!(copied(target, &back)["digests"], report["digests"]);
    assert_eq!(compared(&embedded(&source), &back)["digests"], report["digests"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_into_cassandra_that_was_killed_goes_on() {
    let Some(node) = Cassandra::shared("a killed chirrup copy into Cassandra") else { return };
    killed_and_gone_on(&on_cassandra(&node)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_into_postgresql_that_was_killed_goes_on() {
    let Some(server) = Postgres::shared("a killed chirrup copy into PostgreSQL") else { return };
    killed_and_gone_on(&on_postgres(&server)).await;
}
