//! `chirrup copy` with the real program: what is copied is served as if it had always been there,
//! whatever ended a copy in the middle it goes on, and nothing wrong is copied or served.

#![allow(missing_docs, unreachable_pub, reason = "nobody else uses a module of a test")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "copy/ended_early.rs"]
mod ended_early;
#[path = "promises/log.rs"]
#[allow(dead_code, reason = "the promises use all of it")]
mod log;
#[path = "promises/raw.rs"]
#[allow(dead_code, reason = "the promises use all of it")]
mod raw;
#[path = "copy/refused.rs"]
mod refused;
#[path = "copy/served.rs"]
mod served;
mod support;
#[path = "data/world.rs"]
#[allow(dead_code, reason = "the tests of data use all of it")]
mod world;

use std::path::Path;
use std::process::{Command, Output};

use chirrup_engines::cassandra::Cassandra;
use chirrup_engines::postgres::Postgres;
use serde_json::Value;

use support::{SMALL_STORE, json, output, program};

/// The store of a data directory, as it is named.
fn embedded(data: &Path) -> String {
    format!("embedded:{}", data.display())
}

/// A new store on PostgreSQL.
fn on_postgres(server: &Postgres) -> String {
    format!("postgres:{}#{}", server.address("postgres"), Postgres::new_schema())
}

/// A new store on Cassandra.
fn on_cassandra(node: &Cassandra) -> String {
    format!("cassandra:{}/{}", node.address(), Cassandra::new_keyspace())
}

/// The command, on stores that are as small as those of the servers here.
fn copy(from: &str, to: &str) -> Command {
    let mut command = program();
    command.args(["--json", "copy", "--from", from, "--to", to]);
    for (key, value) in SMALL_STORE {
        command.env(format!("CHIRRUP_{}", key.to_uppercase().replace('.', "_")), value);
    }
    command
}

/// Copies to the end: the report.
fn copied(from: &str, to: &str) -> Value {
    json(&output(&mut copy(from, to)))
}

/// Compares two stores that must be equal: the report.
fn compared(from: &str, to: &str) -> Value {
    json(&output(copy(from, to).arg("--check")))
}

/// What a command says that must fail.
fn failure(output: &Output) -> String {
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    words
}
