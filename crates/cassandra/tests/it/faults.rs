//! Cassandra killed and stopped under load: what was acknowledged is there, what is unknown is
//! settled by committing again, and no call takes for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use chirrup_cassandra::limits::{COMMIT_TIMEOUT, READ_TIMEOUT};
use chirrup_engines::cassandra::Cassandra;
use chirrup_store::kv::{CommitError, Kv, ReadError, Row, Table};

use crate::support::{eventually, keyspace, now, open, row, value};

/// What a call may take beyond its timeout on a machine that is busy.
const SLACK: Duration = Duration::from_secs(5);
const WRITERS: u64 = 2;
/// Partitions in each commit.
const PARTITIONS: u8 = 20;

/// The rows of a writer's commit, all of which carry its number.
fn rows(writer: u64, number: u64) -> Vec<Row> {
    let key = [writer.to_be_bytes(), number.to_be_bytes()].concat();
    let table = |partition: u8| Table::ALL[usize::from(partition) % Table::ALL.len()];
    (0..PARTITIONS).map(|partition| row(table(partition), &[partition + 1], &key, &number.to_be_bytes(), number)).collect()
}

#[test]
fn p1_p4_nothing_acked_is_lost_when_cassandra_is_killed_and_unknown_is_settled() {
    let Some(node) = Cassandra::alone("a kill in the middle of commits") else { return };
    let kv = open(&keyspace(&node)).unwrap();
    let acked: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let unknown = AtomicU64::new(0);
    let until = AtomicU64::new(u64::MAX);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (kv, acked, unknown, until) = (&kv, &acked[writer as usize], &unknown, &until);
            scope.spawn(move || {
                for number in 1.. {
                    let rows = rows(writer, number);
                    let begun = now();
                    while let Err(error) = kv.commit(&rows) {
                        assert!(matches!(error, CommitError::Unknown(_)), "{error}");
                        assert!(now() - begun < COMMIT_TIMEOUT * 20, "{error}");
                        unknown.fetch_add(1, Ordering::Relaxed);
                    }
                    acked.store(number, Ordering::Release);
                    if number >= until.load(Ordering::Acquire) {
                        return;
                    }
                }
            });
        }
        let least = || acked.iter().map(|acked| acked.load(Ordering::Acquire)).min().unwrap();
        let most = || acked.iter().map(|acked| acked.load(Ordering::Acquire)).max().unwrap();
        eventually("commits are made", || least() > 50);
        node.kill();
        let before = most();
        node.start();
        until.store(before + 20, Ordering::Release);
    });
    for writer in 0..WRITERS {
        for number in 1..=acked[writer as usize].load(Ordering::Acquire) {
            for row in rows(writer, number) {
                assert_eq!(value(&kv, &row.key), row.value, "writer {writer}, commit {number}");
            }
        }
    }
    println!("acked {acked:?}, unknown {unknown:?}");
}

#[test]
fn p4_a_cassandra_that_hangs_answers_unknown_in_bounded_time_and_goes_on() {
    let Some(node) = Cassandra::alone("a Cassandra that hangs") else { return };
    let kv = open(&keyspace(&node)).unwrap();
    kv.commit(&rows(0, 1)).unwrap();
    node.pause();
    let begun = now();
    let unknown = kv.commit(&rows(0, 2)).unwrap_err();
    assert!(matches!(unknown, CommitError::Unknown(_)), "{unknown}");
    assert!(now() - begun < COMMIT_TIMEOUT + SLACK);
    let begun = now();
    let unavailable = kv.get(&[rows(0, 1)[0].key.clone()]).unwrap_err();
    assert!(matches!(unavailable, ReadError::Unavailable(_)), "{unavailable}");
    assert!(now() - begun < READ_TIMEOUT + SLACK);
    let partitions = kv.partitions(Table::Event, None, 1).unwrap_err();
    assert!(matches!(partitions, ReadError::Unavailable(_)), "{partitions}");
    node.resume();
    eventually("what is unknown is settled by committing again", || kv.commit(&rows(0, 2)).is_ok());
    for row in [rows(0, 1), rows(0, 2)].concat() {
        assert_eq!(value(&kv, &row.key), row.value);
    }
}
