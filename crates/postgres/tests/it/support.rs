//! Stores in schemas of their own, and a bare connection beside them.

use std::time::{Duration, Instant};

use chirrup_engines::postgres::Postgres;
use chirrup_postgres::{OpenError, Options, PostgresKv};
use chirrup_store::kv::{Key, Kv, Row, Table};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// A schema of a test's own.
pub(crate) fn options(server: &Postgres) -> Options {
    Options::new(&server.address("postgres"), Postgres::new_schema()).unwrap()
}

pub(crate) fn open(options: &Options) -> Result<PostgresKv, OpenError> {
    PostgresKv::open(options, "this test")
}

/// The library alone, as anybody else would use it.
pub(crate) struct Bare {
    runtime: Runtime,
    client: Client,
}

impl Bare {
    pub(crate) fn connect(server: &Postgres) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (client, connection) = runtime.block_on(tokio_postgres::connect(&server.address("postgres"), NoTls)).unwrap();
        runtime.spawn(async move { drop(connection.await) });
        Self { runtime, client }
    }

    pub(crate) fn run(&self, statements: &str) {
        self.runtime.block_on(self.client.batch_execute(statements)).unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// The number that a statement gives.
    pub(crate) fn number(&self, statement: &str) -> i64 {
        self.runtime.block_on(self.client.query_one(statement, &[])).unwrap().get(0)
    }

    /// Cuts all other connections.
    pub(crate) fn cut_others(&self) -> i64 {
        self.number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
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
