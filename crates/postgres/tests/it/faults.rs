//! PostgreSQL killed, stopped and cut off under load: what was acknowledged is there, what is
//! unknown is settled by committing again, and no call takes for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use chirrup_engines::postgres::Postgres;
use chirrup_postgres::PostgresKv;
use chirrup_postgres::limits::{COMMIT_TIMEOUT, READ_TIMEOUT};
use chirrup_store::kv::{CommitError, Kv, ReadError, Row, Table};

use crate::support::{Bare, eventually, now, open, options, row, value};

/// What a call may take beyond its timeout on a machine that is busy.
const SLACK: Duration = Duration::from_secs(5);
const WRITERS: u64 = 2;
/// Partitions in each commit.
const PARTITIONS: u8 = 20;
/// Commits of each writer before the trouble, and after it.
const BEFORE: u64 = 50;
const AFTER: u64 = 20;

/// The rows of a writer's commit, all of which carry its number.
fn rows(writer: u64, number: u64) -> Vec<Row> {
    let key = [writer.to_be_bytes(), number.to_be_bytes()].concat();
    let table = |partition: u8| Table::ALL[usize::from(partition) % Table::ALL.len()];
    (0..PARTITIONS).map(|partition| row(table(partition), &[partition + 1], &key, &number.to_be_bytes(), number)).collect()
}

/// Commits from several threads while there is trouble, each until it is known; then all that was
/// acknowledged is read.
fn commit_through(kv: &PostgresKv, trouble: impl FnOnce()) {
    let acked: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let until = AtomicU64::new(u64::MAX);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (acked, until) = (&acked[writer as usize], &until);
            scope.spawn(move || {
                for number in 1.. {
                    let rows = rows(writer, number);
                    let begun = now();
                    while let Err(error) = kv.commit(&rows) {
                        assert!(matches!(error, CommitError::Unknown(_)), "{error}");
                        assert!(now() - begun < COMMIT_TIMEOUT * 12, "{error}");
                    }
                    acked.store(number, Ordering::Release);
                    if number >= until.load(Ordering::Acquire) {
                        return;
                    }
                }
            });
        }
        let least = || acked.iter().map(|acked| acked.load(Ordering::Acquire)).min().unwrap();
        eventually("commits are made", || least() > BEFORE);
        trouble();
        let most = acked.iter().map(|acked| acked.load(Ordering::Acquire)).max().unwrap();
        until.store(most + AFTER, Ordering::Release);
    });
    for (writer, acked) in acked.iter().enumerate() {
        for number in 1..=acked.load(Ordering::Acquire) {
            for row in rows(writer as u64, number) {
                assert_eq!(value(kv, &row.key), row.value, "writer {writer}, commit {number}");
            }
        }
    }
}

#[test]
fn p1_p4_nothing_acked_is_lost_when_postgres_is_killed_and_unknown_is_settled() {
    let Some(server) = Postgres::alone("a kill in the middle of commits") else { return };
    let kv = open(&options(&server)).unwrap();
    commit_through(&kv, || {
        server.kill();
        server.start();
    });
}

#[test]
fn p1_p4_connections_that_are_cut_are_made_again() {
    let Some(server) = Postgres::alone("connections cut in the middle of commits") else { return };
    let kv = open(&options(&server)).unwrap();
    let bare = Bare::connect(&server);
    commit_through(&kv, || assert!(bare.cut_others() > 0));
}

#[test]
fn p4_a_postgres_that_hangs_answers_unknown_in_bounded_time_and_goes_on() {
    let Some(server) = Postgres::alone("a PostgreSQL that hangs") else { return };
    let kv = open(&options(&server)).unwrap();
    kv.commit(&rows(0, 1)).unwrap();
    server.pause();
    let begun = now();
    let unknown = kv.commit(&rows(0, 2)).unwrap_err();
    assert!(matches!(unknown, CommitError::Unknown(_)), "{unknown}");
    assert!(now() - begun < COMMIT_TIMEOUT + SLACK);
    let begun = now();
    let unavailable = kv.get(&[rows(0, 1)[0].key.clone()]).unwrap_err();
    assert!(matches!(unavailable, ReadError::Unavailable(_)), "{unavailable}");
    assert!(now() - begun < READ_TIMEOUT + SLACK);
    server.resume();
    eventually("the very same rows are committed", || kv.commit(&rows(0, 2)).is_ok());
    for number in [1, 2] {
        assert_eq!(value(&kv, &rows(0, number)[0].key), rows(0, number)[0].value);
    }
}

#[test]
fn p4_what_the_engine_cannot_take_is_refused_and_nothing_of_it_is_there() {
    let Some(server) = Postgres::shared("a table that refuses") else { return };
    let options = options(&server);
    let kv = open(&options).unwrap();
    let bare = Bare::connect(&server);
    bare.run(&format!("ALTER TABLE {}.feed ADD CHECK (length(partition) < 2)", options.schema()));
    let event = row(Table::Event, b"p", b"s", b"v", 1);
    let refused = kv.commit(&[event.clone(), row(Table::Feed, b"long", b"s", b"v", 1)]).unwrap_err();
    assert!(matches!(refused, CommitError::Refused(_)), "{refused}");
    assert_eq!(value(&kv, &event.key), None);
    kv.commit(&[event.clone(), row(Table::Feed, b"p", b"s", b"v", 1)]).unwrap();
    assert_eq!(value(&kv, &event.key), event.value);
}
