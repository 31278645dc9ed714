//! Stores in keyspaces of their own, and a bare session beside them.

use std::time::{Duration, Instant};

use chirrup_cassandra::{CassandraKv, OpenError, Options};
use chirrup_engines::cassandra::Cassandra;
use chirrup_store::kv::{Key, Kv, Row, Table};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

/// Every table of a keyspace that holds rows.
pub(crate) const TABLES: [&str; 12] =
    ["events", "dedupe", "feed", "states", "members", "inbox", "positions", "activity", "credentials", "tokens", "mentions", "meta"];

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// A keyspace of a test's own, on the node.
pub(crate) fn keyspace(node: &Cassandra) -> Options {
    Options::new([node.address()], Cassandra::new_keyspace())
}

pub(crate) fn open(options: &Options) -> Result<CassandraKv, OpenError> {
    CassandraKv::open(options, "this test")
}

/// The library alone, as anybody else would use it.
pub(crate) struct Bare {
    runtime: tokio::runtime::Runtime,
    session: Session,
}

impl Bare {
    pub(crate) fn connect(options: &Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let session = runtime.block_on(SessionBuilder::new().known_nodes(&options.nodes).build()).unwrap();
        Self { runtime, session }
    }

    /// Runs a statement without values.
    pub(crate) fn run(&self, statement: &str) {
        self.runtime.block_on(self.session.query_unpaged(statement, ())).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// The rows of a statement that gives one column of text.
    pub(crate) fn column(&self, statement: &str) -> Vec<String> {
        let result = self.runtime.block_on(self.session.query_unpaged(statement, ())).unwrap().into_rows_result().unwrap();
        result.rows::<(String,)>().unwrap().map(|row| row.unwrap().0).collect()
    }
}

pub(crate) fn row(table: Table, partition: &[u8], sort: &[u8], value: &[u8], version: u64) -> Row {
    Row { key: Key::new(table, partition, sort), value: Some(value.to_vec()), version }
}

pub(crate) fn value(kv: &dyn Kv, key: &Key) -> Option<Vec<u8>> {
    kv.get(std::slice::from_ref(key)).unwrap().pop().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "tests wait for events, with a limit")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = now() + PATIENCE;
    while !is_so() {
        assert!(now() < until, "not in {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
