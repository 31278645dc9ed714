//! What is opened, what is refused, and who has the claim.

use std::collections::BTreeSet;

use chirrup_cassandra::{CassandraKv, OpenError, Options, Replication};
use chirrup_engines::cassandra::Cassandra;
use chirrup_store::kv::{CommitError, Kv, Status, Table};

use crate::support::{Bare, eventually, keyspace, open, row, value};

#[test]
fn a_second_server_is_refused_while_the_first_lives() {
    let Some(node) = Cassandra::shared("two servers on one keyspace") else { return };
    let options = keyspace(&node);
    let first = CassandraKv::open(&options, "the first").unwrap();
    let Err(OpenError::Claimed { holder, .. }) = CassandraKv::open(&options, "the second") else { panic!("opened twice") };
    assert_eq!(holder, "the first");
    let rows = [row(Table::Event, b"p", b"s", b"one", 1)];
    first.commit(&rows).unwrap();
    drop(first);
    let second = CassandraKv::open(&options, "the second").unwrap();
    assert_eq!(value(&second, &rows[0].key).as_deref(), Some(&b"one"[..]));
}

#[test]
fn a_server_that_was_stopped_too_long_writes_nothing_any_more() {
    let Some(node) = Cassandra::shared("a claim that lapses") else { return };
    let options = keyspace(&node);
    let mut stopped = CassandraKv::open(&options, "the first").unwrap();
    stopped.renew(false);
    let second = CassandraKv::open(&options, "the second").expect("a claim that is not renewed lapses");
    let rows = [row(Table::Event, b"p", b"s", b"late", 7)];
    let unknown = stopped.commit(&rows).unwrap_err();
    assert!(matches!(&unknown, CommitError::Unknown(why) if why.contains("claim")), "{unknown}");
    stopped.renew(true);
    eventually("the first finds that it was followed", || matches!(stopped.status(), Status::Stopped(_)));
    let refused = stopped.commit(&rows).unwrap_err();
    assert!(matches!(&refused, CommitError::Stopped(why) if why.contains("another server")), "{refused}");
    drop(stopped);
    assert_eq!(value(&second, &rows[0].key), None);
    second.commit(&rows).expect("the second goes on, also when the first is gone");
}

#[test]
fn a_server_that_could_not_renew_in_time_goes_on_if_nobody_followed() {
    let Some(node) = Cassandra::shared("a claim that is renewed late") else { return };
    let mut kv = open(&keyspace(&node)).unwrap();
    kv.renew(false);
    let rows = [row(Table::Event, b"p", b"s", b"one", 1)];
    eventually("the claim is good no more", || matches!(kv.commit(&rows), Err(CommitError::Unknown(_))));
    kv.renew(true);
    kv.commit(&rows).unwrap();
    assert_eq!(kv.status(), Status::Ready);
}

#[test]
fn p13_a_newer_format_is_refused_before_anything_is_touched() {
    let Some(node) = Cassandra::shared("a newer format") else { return };
    let options = keyspace(&node);
    drop(open(&options).unwrap());
    let bare = Bare::connect(&options);
    let table = format!("{}.chirrup", options.keyspace);
    bare.run(&format!("UPDATE {table} SET number = 2 WHERE name = 'format' IF EXISTS"));
    bare.run(&format!("DROP TABLE {}.events", options.keyspace));
    let before = bare.column(&format!("SELECT JSON * FROM {table}"));
    let refused = open(&options).err().unwrap();
    assert!(matches!(refused, OpenError::Newer { found: 2, .. }), "{refused}");
    assert_eq!(bare.column(&format!("SELECT JSON * FROM {table}")), before);
    assert!(!tables(&bare, &options).contains("events"), "nothing is made");
}

#[test]
fn a_keyspace_of_others_is_refused_and_one_that_was_not_finished_is_finished() {
    let Some(node) = Cassandra::shared("keyspaces of others") else { return };
    let options = keyspace(&node);
    let bare = Bare::connect(&options);
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    bare.run(&format!("CREATE KEYSPACE {} WITH replication = {replication}", options.keyspace));
    bare.run(&format!("CREATE TABLE {}.members (name text PRIMARY KEY)", options.keyspace));
    let refused = open(&options).err().unwrap();
    assert!(matches!(refused, OpenError::Foreign(_)), "{refused}");
    assert_eq!(tables(&bare, &options).len(), 1);
    bare.run(&format!("DROP TABLE {}.members", options.keyspace));
    bare.run(&format!("CREATE TABLE {}.chirrup (name text PRIMARY KEY, number bigint, holder text, beat bigint)", options.keyspace));
    drop(open(&options).unwrap());
    assert_eq!(tables(&bare, &options).len(), 1 + Table::ALL.len());
}

#[test]
fn what_makes_no_sense_is_told_at_once() {
    let nobody = Options::new(["127.0.0.1:1"], "chirrup");
    let refused = open(&nobody).err().unwrap().to_string();
    assert!(refused.contains("127.0.0.1:1"), "{refused}");
    let refused = open(&Options::new(["127.0.0.1:1"], "no name")).err().unwrap();
    assert!(matches!(refused, OpenError::Options(_)), "{refused}");
    let Some(node) = Cassandra::shared("a data center that is not there") else { return };
    let nowhere = Replication::Network(vec![("nowhere".to_owned(), 1)]);
    let refused = open(&Options { replication: nowhere, ..keyspace(&node) }).err().unwrap().to_string();
    assert!(refused.contains("nowhere"), "{refused}");
}

#[test]
fn nodes_tell_the_settings_that_are_looked_at() {
    let Some(node) = Cassandra::shared("the settings of a node") else { return };
    let bare = Bare::connect(&keyspace(&node));
    let setting = |name: &str| bare.column(&format!("SELECT value FROM system_views.settings WHERE name = '{name}'"));
    assert_eq!(setting("commitlog_sync"), ["batch"]);
    assert_eq!(setting("commitlog_segment_size"), ["16MiB"]);
}

fn tables(bare: &Bare, options: &Options) -> BTreeSet<String> {
    bare.column(&format!("SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{}'", options.keyspace)).into_iter().collect()
}
