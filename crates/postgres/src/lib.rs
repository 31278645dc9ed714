//! [`Kv`] on PostgreSQL: a table for each table of the store, versions compared on write, one
//! server at a time by a token that every commit checks.
//!
//! A commit is one transaction, so it is atomic across partitions as well. Every call returns in
//! bounded time (see [`limits`]); requests are tried again, and connections made again, until then.
//!
//! Must not know: what a row means, who is connected.

mod claim;
mod commit;
mod options;
mod read;
mod schema;
mod session;
mod store;
mod trouble;
mod wait;

pub mod limits;

use std::sync::Arc;

use chirrup_store::kv::{CommitError, Entry, Key, Kv, Range, ReadError, Row, Status, Table};
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

pub use options::{OpenError, Options};
pub use schema::FORMAT;
use store::Store;

/// A store on PostgreSQL. Dropping it gives the claim back.
pub struct PostgresKv {
    store: Arc<Store>,
    keeper: AbortHandle,
    /// Last, so that all else goes before its thread does; none only while it is dropped.
    runtime: Option<Runtime>,
}

impl PostgresKv {
    /// Connects, makes the schema if it is not there, and claims it. `holder` is what another server
    /// is told that wants it too.
    ///
    /// # Errors
    /// If there is no connection, the schema is not one of ours or of a newer format, the engine is
    /// set up in a way that loses data, or another server has the claim and lives.
    pub fn open(options: &Options, holder: &str) -> Result<Self, OpenError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build()
            .expect("the system can start a thread");
        let store = match wait::wait(runtime.handle(), Store::open(options, holder)) {
            Ok(store) => Arc::new(store),
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let kept = Arc::clone(&store);
        let keeper = runtime.spawn(async move { kept.claim.keep().await }).abort_handle();
        Ok(Self { store, keeper, runtime: Some(runtime) })
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        wait::wait(self.runtime.as_ref().expect("it is there until it is dropped").handle(), future)
    }
}

impl Kv for PostgresKv {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        self.wait(self.store.get(keys))
    }

    fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        self.wait(self.store.range(range))
    }

    fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        self.wait(self.store.commit(rows))
    }

    fn status(&self) -> Status {
        self.store.claim.lost().map_or(Status::Ready, Status::Stopped)
    }

    fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        self.wait(self.store.partitions(table, after, limit))
    }

    fn cache_bytes(&self) -> u64 {
        // Nothing is kept on this side.
        0
    }
}

impl Drop for PostgresKv {
    fn drop(&mut self) {
        self.keeper.abort();
        let given_back = self.wait(async { tokio::time::timeout(limits::REQUEST_TIMEOUT, self.store.claim.give_back()).await });
        if !matches!(given_back, Ok(Ok(()))) {
            tracing::warn!("the claim on the store was not given back: it lapses with the connection");
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
