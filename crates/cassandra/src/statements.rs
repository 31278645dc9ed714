//! The statements of each table, prepared once.

use chirrup_store::kv::Table;
use futures_util::future::try_join_all;
use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::statement::prepared::PreparedStatement;

use crate::limits::{PAGE_PARTITIONS, PAGE_ROWS};
use crate::schema::name;

/// What is asked and told of one table. The version of a row is its timestamp, in every statement
/// that writes: a timestamp that the library or the cluster made would outlive all of them.
pub(crate) struct Statements {
    /// partition, sort, value, version.
    pub(crate) put: PreparedStatement,
    /// version, partition, sort.
    pub(crate) remove: PreparedStatement,
    /// partition, sorts.
    pub(crate) get: PreparedStatement,
    /// partition, from, until, limit.
    pub(crate) ascending: PreparedStatement,
    /// The same, highest first.
    pub(crate) descending: PreparedStatement,
    /// limit.
    pub(crate) first_partitions: PreparedStatement,
    /// partition: those whose token is the same.
    pub(crate) equal_partitions: PreparedStatement,
    /// partition, limit: those whose token is higher.
    pub(crate) next_partitions: PreparedStatement,
}

impl Statements {
    async fn prepare(session: &Session, keyspace: &str, table: Table) -> Result<Self, PrepareError> {
        let table = format!("{keyspace}.{}", name(table));
        let prepare = async |statement: String, page: i32| {
            let mut prepared = session.prepare(statement).await?;
            prepared.set_is_idempotent(true);
            prepared.set_page_size(page);
            Ok::<_, PrepareError>(prepared)
        };
        let rows = format!("SELECT sort, value FROM {table} WHERE partition = ?");
        let range = format!("{rows} AND sort >= ? AND sort < ?");
        let partitions = format!("SELECT DISTINCT partition FROM {table}");
        Ok(Self {
            put: prepare(format!("INSERT INTO {table} (partition, sort, value) VALUES (?, ?, ?) USING TIMESTAMP ?"), PAGE_ROWS).await?,
            remove: prepare(format!("DELETE FROM {table} USING TIMESTAMP ? WHERE partition = ? AND sort = ?"), PAGE_ROWS).await?,
            get: prepare(format!("{rows} AND sort IN ?"), PAGE_ROWS).await?,
            ascending: prepare(format!("{range} ORDER BY sort ASC LIMIT ?"), PAGE_ROWS).await?,
            descending: prepare(format!("{range} ORDER BY sort DESC LIMIT ?"), PAGE_ROWS).await?,
            first_partitions: prepare(format!("{partitions} LIMIT ?"), PAGE_PARTITIONS).await?,
            equal_partitions: prepare(format!("{partitions} WHERE token(partition) = token(?)"), PAGE_PARTITIONS).await?,
            next_partitions: prepare(format!("{partitions} WHERE token(partition) > token(?) LIMIT ?"), PAGE_PARTITIONS).await?,
        })
    }

    /// Of every table, in the order of [`Table::ALL`].
    pub(crate) async fn all(session: &Session, keyspace: &str) -> Result<Vec<Self>, PrepareError> {
        try_join_all(Table::ALL.map(|table| Self::prepare(session, keyspace, table))).await
    }
}
