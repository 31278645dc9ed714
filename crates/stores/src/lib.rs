//! Which stores there are: what an operator calls them, and how each is opened.
//!
//! The only crate that knows all drivers. Must not know: what is in a store, who serves it.

mod name;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chirrup_cassandra::{CassandraKv, Replication};
use chirrup_postgres::PostgresKv;
use chirrup_store::embedded::{self, EmbeddedKv, EmbeddedOptions};
use chirrup_store::kv::Kv;

pub use name::{NameError, StoreName};

/// The directory of the embedded store in a server's data directory.
pub const STORE_DIR: &str = "store";

/// How stores are opened, whichever it is.
#[derive(Clone, Debug)]
pub struct Options {
    /// What another process is told that wants the same store.
    pub holder: String,
    /// Of an embedded one.
    pub embedded: EmbeddedOptions,
    /// Of one on Cassandra.
    pub cassandra: CassandraOptions,
}

impl Options {
    /// As they are by default.
    pub fn new(holder: impl Into<String>) -> Self {
        Self { holder: holder.into(), embedded: EmbeddedOptions::default(), cassandra: CassandraOptions::default() }
    }
}

/// How a cluster is used: see [`chirrup_cassandra::Options`].
#[derive(Clone, Debug)]
pub struct CassandraOptions {
    /// Of a keyspace that is made.
    pub replication: Replication,
    /// The nearest data center.
    pub datacenter: Option<String>,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Takes a cluster that acknowledges writes before they are on disk.
    pub accept_late_sync: bool,
}

impl Default for CassandraOptions {
    fn default() -> Self {
        Self { replication: Replication::Simple(1), datacenter: None, login: None, accept_late_sync: false }
    }
}

/// Why a store is not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none.
    #[error("there is no store in {}", .0.display())]
    Absent(PathBuf),
    /// Its directory cannot be made.
    #[error("failed to make {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An embedded one.
    #[error(transparent)]
    Embedded(#[from] embedded::OpenError),
    /// One on Cassandra.
    #[error(transparent)]
    Cassandra(#[from] chirrup_cassandra::OpenError),
    /// One on PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] chirrup_postgres::OpenError),
}

/// Opens a store that is there; in a cluster an empty one may be made. No other process has it
/// open meanwhile.
pub fn open(name: &StoreName, options: &Options) -> Result<Arc<dyn Kv>, OpenError> {
    match name {
        // Opening would make one.
        StoreName::Embedded(data) if !data.join(STORE_DIR).is_dir() => Err(OpenError::Absent(data.clone())),
        _ => open_or_make(name, options),
    }
}

/// Opens a store, or makes one where there is none.
pub fn open_or_make(name: &StoreName, options: &Options) -> Result<Arc<dyn Kv>, OpenError> {
    Ok(match name {
        StoreName::Embedded(data) => Arc::new(open_embedded(data, &options.embedded)?),
        StoreName::Postgres { connection, schema } => {
            let database = chirrup_postgres::Options::new(connection, schema.as_str())?;
            Arc::new(PostgresKv::open(&database, &options.holder)?)
        }
        StoreName::Cassandra { nodes, keyspace } => {
            let CassandraOptions { replication, datacenter, login, accept_late_sync } = options.cassandra.clone();
            let (nodes, keyspace) = (nodes.clone(), keyspace.clone());
            let cluster = chirrup_cassandra::Options { nodes, keyspace, replication, datacenter, login, accept_late_sync };
            Arc::new(CassandraKv::open(&cluster, options.holder.as_str())?)
        }
    })
}

/// Opens the embedded store of a server's data directory, or makes it.
pub fn open_embedded(data: &Path, options: &EmbeddedOptions) -> Result<EmbeddedKv, OpenError> {
    std::fs::create_dir_all(data).map_err(|source| OpenError::Directory { path: data.to_owned(), source })?;
    Ok(EmbeddedKv::open(&data.join(STORE_DIR), options.clone())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_made_only_where_it_may_be_and_is_open_once() {
        let dir = tempfile::tempdir().unwrap();
        let name = StoreName::Embedded(dir.path().join("data"));
        let embedded = EmbeddedOptions { reserve_bytes: 0, ..EmbeddedOptions::small() };
        let options = Options { embedded, ..Options::new("a test") };
        assert!(matches!(open(&name, &options), Err(OpenError::Absent(_))));
        let made = open_or_make(&name, &options).unwrap();
        assert!(matches!(open(&name, &options), Err(OpenError::Embedded(embedded::OpenError::Locked { .. }))));
        drop(made);
        open(&name, &options).unwrap();
    }
}
