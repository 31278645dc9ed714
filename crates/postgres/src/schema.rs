//! The tables: made, known again, refused if they are another's or of a newer format.

use std::fmt::Write;

use chirrup_store::kv::Table;
use tokio_postgres::Client;

use crate::options::{OpenError, Options};

/// The format of the tables.
pub const FORMAT: i32 = 1;

/// What a table is called.
pub(crate) fn name(table: Table) -> &'static str {
    match table {
        Table::Event => "events",
        Table::Dedupe => "dedupe",
        Table::Feed => "feed",
        Table::State => "states",
        Table::Member => "members",
        Table::Inbox => "inbox",
        Table::Position => "positions",
        Table::Activity => "activity",
        Table::Credential => "credentials",
        Table::Token => "tokens",
        Table::Mention => "mentions",
        Table::Meta => "meta",
    }
}

/// Percent of a page that is filled at first: where rows are written over, their next version then
/// finds room beside the last, and no index has to change.
fn fill_percent(table: Table) -> u8 {
    match table {
        Table::State | Table::Inbox | Table::Position | Table::Activity | Table::Meta => 70,
        _ => 100,
    }
}

fn failed(what: &'static str) -> impl Fn(tokio_postgres::Error) -> OpenError {
    move |source| OpenError::Statement { what, source }
}

/// Makes the schema if it is not there; refuses one that is not ours to touch.
pub(crate) async fn open(client: &Client, options: &Options) -> Result<(), OpenError> {
    settings(client, options).await?;
    if !is_made(client, options).await? {
        make(client, &options.schema).await.map_err(failed("make the schema and its tables"))?;
        // Another may have made it at the same time, and be newer.
        is_made(client, options).await?;
    }
    Ok(())
}

/// Whether the schema is there, and ours.
async fn is_made(client: &Client, options: &Options) -> Result<bool, OpenError> {
    let schema = &options.schema;
    let failed = failed("look at the schema");
    let tables = "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
    let rows = client.query(tables, &[schema]).await.map_err(&failed)?;
    let tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if tables.is_empty() {
        return Ok(false);
    }
    if !tables.iter().any(|table| table == "chirrup") {
        return Err(OpenError::Foreign(schema.clone()));
    }
    let row = client.query_one(&format!("SELECT format FROM {schema}.chirrup"), &[]).await.map_err(&failed)?;
    match row.get::<_, i32>(0) {
        found if found > FORMAT => Err(OpenError::Newer { schema: schema.clone(), found }),
        _ => Ok(true),
    }
}

/// All of it or nothing, by one at a time.
async fn make(client: &Client, schema: &str) -> Result<(), tokio_postgres::Error> {
    let mut script = format!(
        "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('chirrup make {schema}', 0)); \
         CREATE SCHEMA IF NOT EXISTS {schema}; \
         CREATE TABLE IF NOT EXISTS {schema}.chirrup (one boolean PRIMARY KEY DEFAULT true CHECK (one), format integer NOT NULL, \
         token text, holder text, since timestamptz) WITH (fillfactor = 10);"
    );
    for table in Table::ALL {
        let (table, fill) = (name(table), fill_percent(table));
        // Large values are kept beside the row as they are: no commit waits for them to be compressed.
        write!(
            script,
            "CREATE TABLE IF NOT EXISTS {schema}.{table} (partition bytea NOT NULL, sort bytea NOT NULL, value bytea, \
             version bigint NOT NULL, PRIMARY KEY (partition, sort)) WITH (fillfactor = {fill}); \
             ALTER TABLE {schema}.{table} ALTER COLUMN value SET STORAGE EXTERNAL;"
        )
        .expect("a string takes everything");
    }
    write!(script, "INSERT INTO {schema}.chirrup (format) VALUES ({FORMAT}) ON CONFLICT DO NOTHING; COMMIT")
        .expect("a string takes everything");
    let made = client.batch_execute(&script).await;
    if made.is_err() {
        client.batch_execute("ROLLBACK").await?;
    }
    made
}

/// Refuses an engine that does not keep what it acknowledges.
async fn settings(client: &Client, options: &Options) -> Result<(), OpenError> {
    let ask = "SELECT current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery()";
    let row = client.query_one(ask, &[]).await.map_err(failed("look at the settings"))?;
    let refused = |setting: &str, needed| Err(OpenError::Setting { setting: setting.to_owned(), needed });
    if row.get(2) {
        return refused("a standby's role", "it takes no writes: name the primary");
    }
    if options.accept_late_sync {
        return Ok(());
    }
    if row.get::<_, &str>(0) != "on" {
        return refused("fsync off", "a power cut would lose what was acknowledged: set it on");
    }
    if row.get::<_, &str>(1) != "on" {
        return refused("full_page_writes off", "a power cut could tear pages: set it on");
    }
    Ok(())
}
