//! One server at a time.

use chirrup_engines::postgres::Postgres;
use chirrup_postgres::{OpenError, PostgresKv};
use chirrup_store::kv::{CommitError, Kv, Status, Table};

use crate::support::{Bare, eventually, open, options, row, value};

#[test]
fn a_second_server_is_refused_and_told_who_is_there() {
    let Some(server) = Postgres::shared("two servers") else { return };
    let options = options(&server);
    let first = PostgresKv::open(&options, "ada's server").unwrap();
    let refused = open(&options).err().unwrap();
    assert!(matches!(&refused, OpenError::Claimed { holder, since, .. } if holder == "ada's server" && since.len() == 19), "{refused}");
    first.commit(&[row(Table::Event, b"p", b"s", b"first", 1)]).unwrap();
    drop(first);
    open(&options).unwrap();
}

#[test]
fn who_was_taken_over_writes_nothing_any_more() {
    let Some(server) = Postgres::shared("a server taken over") else { return };
    let mut options = options(&server);
    let first = open(&options).unwrap();
    options.take_over = true;
    let second = open(&options).unwrap();
    let late = first.commit(&[row(Table::Event, b"p", b"s", b"late", 9)]).unwrap_err();
    assert!(matches!(late, CommitError::Stopped(_)), "{late}");
    assert!(matches!(first.status(), Status::Stopped(_)));
    second.commit(&[row(Table::Event, b"p", b"s", b"second", 1)]).unwrap();
    assert_eq!(value(&second, &row(Table::Event, b"p", b"s", b"", 0).key).as_deref(), Some(&b"second"[..]));
}

#[test]
fn who_was_taken_over_finds_out_without_writing() {
    let Some(server) = Postgres::shared("an idle server taken over") else { return };
    let mut options = options(&server);
    let first = open(&options).unwrap();
    options.take_over = true;
    let second = open(&options).unwrap();
    eventually("the first knows", || matches!(first.status(), Status::Stopped(_)));
    assert_eq!(second.status(), Status::Ready);
}

#[test]
fn a_lock_that_was_lost_with_its_connection_is_taken_again() {
    // Connections of other tests would be cut as well.
    let Some(server) = Postgres::alone("a lock lost") else { return };
    let options = options(&server);
    let first = open(&options).unwrap();
    let bare = Bare::connect(&server);
    assert!(bare.cut_others() > 0);
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    eventually("the lock is held again", || bare.number(locks) == 1);
    assert!(matches!(open(&options), Err(OpenError::Claimed { .. })));
    first.commit(&[row(Table::Event, b"p", b"s", b"v", 1)]).unwrap();
}
