//! One connection with its settings and prepared statements. What is dropped is cut at once, so
//! that an engine that hangs keeps nothing alive on this side.

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, Error, NoTls, Statement};

use chirrup_store::kv::Table;

use crate::limits::SESSION_BOUNDS;
use crate::schema::name;

/// Commits are synced before they are acknowledged, whatever the engine's default.
const SYNCED: &str = "SET synchronous_commit = on";
/// Every read goes by the primary key, whatever the engine thinks it knows of the tables' sizes.
const BY_KEY: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; \
     SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan; SET jit = off";

/// A connection.
pub(crate) struct Session {
    pub(crate) client: Client,
    connection: AbortHandle,
}

impl Session {
    pub(crate) async fn connect(config: &Config) -> Result<Self, Error> {
        let (client, connection) = config.connect(NoTls).await?;
        // It ends with this session. What ends it otherwise is seen by whoever asks next.
        let connection = Handle::current().spawn(async move { drop(connection.await) }).abort_handle();
        let session = Self { client, connection };
        session.client.batch_execute(&format!("{SESSION_BOUNDS}; {SYNCED}; {BY_KEY}")).await?;
        Ok(session)
    }

    /// A statement for each table, in the order of [`Table::ALL`].
    async fn prepare(&self, types: &[Type], sql: impl Fn(&str) -> String) -> Result<Vec<Statement>, Error> {
        let mut statements = Vec::with_capacity(Table::ALL.len());
        for table in Table::ALL {
            statements.push(self.client.prepare_typed(&sql(name(table)), types).await?);
        }
        Ok(statements)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// The place of a table in [`Table::ALL`].
pub(crate) fn place(table: Table) -> usize {
    table as usize - 1
}

/// A connection for reads. Its statements are each a table's, at its [`place`].
pub(crate) struct Reader {
    pub(crate) session: Session,
    /// Partitions, sorts → ordinal from 1, value.
    pub(crate) get: Vec<Statement>,
    /// Partition, first sort, sort to stop before, limit → sort, value.
    pub(crate) ascending: Vec<Statement>,
    pub(crate) descending: Vec<Statement>,
    /// Partition to begin after, limit → partition.
    pub(crate) partitions: Vec<Statement>,
}

impl Reader {
    pub(crate) async fn connect(config: &Config, schema: &str) -> Result<Self, Error> {
        let session = Session::connect(config).await?;
        let get = |table: &str| {
            format!(
                "SELECT asked.n, row.value FROM unnest($1, $2) WITH ORDINALITY AS asked (partition, sort, n) \
                 JOIN {schema}.{table} AS row ON row.partition = asked.partition AND row.sort = asked.sort"
            )
        };
        let range = |order: &'static str| {
            move |table: &str| {
                format!(
                    "SELECT sort, value FROM {schema}.{table} WHERE partition = $1 AND sort >= $2 AND sort < $3 \
                     AND value IS NOT NULL ORDER BY sort {order} LIMIT $4"
                )
            }
        };
        // One look into the index for each partition, and no more than are asked for.
        let partitions = |table: &str| {
            let next = |after: &str| {
                format!(
                    "SELECT partition FROM {schema}.{table} WHERE partition > {after} AND value IS NOT NULL \
                     ORDER BY partition LIMIT 1"
                )
            };
            format!(
                "WITH RECURSIVE walk AS (({}) UNION ALL SELECT ({}) FROM walk WHERE walk.partition IS NOT NULL) \
                 SELECT partition FROM walk WHERE partition IS NOT NULL LIMIT $2",
                next("$1"),
                next("walk.partition")
            )
        };
        let bounds = [Type::BYTEA, Type::BYTEA, Type::BYTEA, Type::INT8];
        Ok(Self {
            get: session.prepare(&[Type::BYTEA_ARRAY, Type::BYTEA_ARRAY], get).await?,
            ascending: session.prepare(&bounds, range("ASC")).await?,
            descending: session.prepare(&bounds, range("DESC")).await?,
            partitions: session.prepare(&[Type::BYTEA, Type::INT8], partitions).await?,
            session,
        })
    }
}

/// The connection for commits.
pub(crate) struct Writer {
    pub(crate) session: Session,
    /// Token → fails unless it is the one that holds the claim, which then stays as it is until the
    /// transaction ends.
    pub(crate) fence: Statement,
    /// Partitions, sorts, values, versions. At its table's [`place`].
    pub(crate) put: Vec<Statement>,
}

impl Writer {
    pub(crate) async fn connect(config: &Config, schema: &str) -> Result<Self, Error> {
        let session = Session::connect(config).await?;
        // Without such a row a division by zero, which fails the statements behind it as well.
        let fence = format!("SELECT 1 / count(*) FROM (SELECT 1 FROM {schema}.chirrup WHERE token = $1 FOR SHARE) AS held");
        let put = |table: &str| {
            format!(
                "INSERT INTO {schema}.{table} AS old (partition, sort, value, version) SELECT * FROM unnest($1, $2, $3, $4) \
                 ON CONFLICT (partition, sort) DO UPDATE SET value = excluded.value, version = excluded.version \
                 WHERE excluded.version >= old.version"
            )
        };
        let columns = [Type::BYTEA_ARRAY, Type::BYTEA_ARRAY, Type::BYTEA_ARRAY, Type::INT8_ARRAY];
        Ok(Self { fence: session.client.prepare_typed(&fence, &[Type::TEXT]).await?, put: session.prepare(&columns, put).await?, session })
    }
}
