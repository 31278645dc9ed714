//! [`Kv`] on Apache Cassandra, by its native protocol: a table for each table of the store, the
//! versions of rows as write timestamps, one server at a time by a claim that lapses.
//!
//! Atomic within a partition only. Every call returns in bounded time (see [`limits`]); requests
//! are tried again, and connections made again, until then.
//!
//! Must not know: what a row means, who is connected.

mod answer;
mod claim;
mod clock;
mod commit;
mod options;
mod read;
mod schema;
mod statements;
mod store;
mod wait;

pub mod limits;

#[cfg(feature = "faults")]
mod faults;

use std::sync::Arc;

use chirrup_store::kv::{CommitError, Entry, Key, Kv, Range, ReadError, Row, Status, Table};
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

use claim::Standing;
pub use options::{OpenError, Options, Replication};
use store::Store;

/// Threads that write to and read from sockets; requests are made on the callers' own.
const THREADS: usize = 2;

/// A store on Cassandra. Dropping it gives the claim back.
pub struct CassandraKv {
    store: Arc<Store>,
    keeper: AbortHandle,
    #[cfg(feature = "faults")]
    faults: faults::Faults,
    /// Last, so that all else goes before its threads do; none only while it is dropped.
    runtime: Option<Runtime>,
}

impl CassandraKv {
    /// Connects to the cluster, makes the keyspace if it is not there, and claims it. `holder` is
    /// what another server is told that wants it too.
    ///
    /// # Errors
    /// If no node answers, the keyspace is not one of ours or of a newer format, the cluster is
    /// set up in a way that loses data, or another server has the claim and lives.
    pub fn open(options: &Options, holder: impl Into<String>) -> Result<Self, OpenError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("cassandra")
            .enable_all()
            .build()
            .expect("the system can start a thread");
        let opened = wait::wait(runtime.handle(), Store::open(options, holder.into()));
        let store = match opened {
            Ok(store) => Arc::new(store),
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let kept = Arc::clone(&store);
        let keeper = runtime.spawn(async move { kept.claim.keep().await }).abort_handle();
        Ok(Self {
            store,
            keeper,
            #[cfg(feature = "faults")]
            faults: faults::Faults::default(),
            runtime: Some(runtime),
        })
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        wait::wait(self.runtime.as_ref().expect("it is there until it is dropped").handle(), future)
    }

    /// How many partitions the next commit is to write; tests have it stop half-way.
    #[cfg(feature = "faults")]
    fn parts_max(&self) -> Option<usize> {
        self.faults.take_parts_max()
    }

    #[cfg(not(feature = "faults"))]
    #[expect(clippy::unused_self, reason = "the same with and without faults")]
    fn parts_max(&self) -> Option<usize> {
        None
    }
}

impl Kv for CassandraKv {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        self.wait(self.store.get(keys))
    }

    fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        self.wait(self.store.range(range))
    }

    fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        self.wait(self.store.commit(rows, self.parts_max()))
    }

    fn status(&self) -> Status {
        match self.store.claim.standing() {
            Standing::Until(_) => Status::Ready,
            Standing::Lost(why) => Status::Stopped(why),
        }
    }

    fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        self.wait(self.store.partitions(table, after, limit))
    }

    fn cache_bytes(&self) -> u64 {
        // Nothing is kept on this side.
        0
    }
}

impl Drop for CassandraKv {
    fn drop(&mut self) {
        self.keeper.abort();
        if let Standing::Until(_) = self.store.claim.standing()
            && let Err(error) = self.wait(self.store.claim.give_back())
        {
            tracing::warn!(%error, "the claim on the store was not given back: it lapses by itself");
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
