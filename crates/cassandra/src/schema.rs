//! The keyspace and its tables: made once, versioned, and looked at before anything else is done.
//!
//! Must not know: what rows mean.

use chirrup_store::kv::Table;
use scylla::client::session::Session;

use crate::answer::rows;
use crate::limits::{MUTATION_BYTES, REMOVED_SECONDS};
use crate::options::{OpenError, Options};

/// The format of the tables.
pub(crate) const FORMAT: i64 = 1;
/// The table of the format and of the claim: the only one that is written by conditional
/// statements, whose timestamps are the cluster's own.
pub(crate) const CHIRRUP: &str = "chirrup";
/// Name of the row that has the format.
const FORMAT_ROW: &str = "format";

/// The name of a table in the keyspace (a `token` is a word of the language).
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

/// Makes what is missing of a keyspace, unless it is another's or of a newer format.
pub(crate) async fn open(session: &Session, options: &Options) -> Result<(), OpenError> {
    let keyspace = &options.keyspace;
    settings(session, options).await?;
    let known = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    if ask::<(String,)>(session, options, known, (keyspace,)).await?.is_empty() {
        let replication = options.replication.cql()?;
        run(session, &format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}")).await?;
    }
    let tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let tables: Vec<String> = ask::<(String,)>(session, options, tables, (keyspace,)).await?.into_iter().map(|(name,)| name).collect();
    if tables.iter().any(|table| table == CHIRRUP) {
        let format = format!("SELECT number FROM {keyspace}.{CHIRRUP} WHERE name = ?");
        match ask::<(Option<i64>,)>(session, options, &format, (FORMAT_ROW,)).await?.first() {
            Some((Some(found),)) if *found > FORMAT => {
                return Err(OpenError::Newer { keyspace: keyspace.clone(), found: *found });
            }
            Some((Some(_),)) => return Ok(()),
            // It was being made, and was not finished.
            _ => {}
        }
    } else if !tables.is_empty() {
        return Err(OpenError::Foreign(keyspace.clone()));
    }
    make(session, keyspace).await
}

/// The table of the format first, by which the keyspace is known to be ours, and its row last.
async fn make(session: &Session, keyspace: &str) -> Result<(), OpenError> {
    let ours = "(name text PRIMARY KEY, number bigint, holder text, beat bigint)";
    run(session, &format!("CREATE TABLE IF NOT EXISTS {keyspace}.{CHIRRUP} {ours}")).await?;
    for table in Table::ALL {
        let columns = "(partition blob, sort blob, value blob, PRIMARY KEY (partition, sort))";
        let compaction = "{'class': 'UnifiedCompactionStrategy'}";
        let with = format!("compaction = {compaction} AND gc_grace_seconds = {REMOVED_SECONDS}");
        run(session, &format!("CREATE TABLE IF NOT EXISTS {keyspace}.{} {columns} WITH {with}", name(table))).await?;
    }
    run(session, &format!("INSERT INTO {keyspace}.{CHIRRUP} (name, number) VALUES ('{FORMAT_ROW}', {FORMAT}) IF NOT EXISTS")).await
}

/// Refuses nodes that acknowledge before they sync, or take less at once than is sent. Asked of the
/// node that happens to answer, where it can be asked.
async fn settings(session: &Session, options: &Options) -> Result<(), OpenError> {
    let there = "SELECT table_name FROM system_virtual_schema.tables WHERE keyspace_name = 'system_views' AND table_name = 'settings'";
    // Others that speak the protocol have no such tables at all.
    let there = session.query_unpaged(there, ()).await.ok().and_then(|result| rows::<(String,)>(result).ok());
    if there.is_none_or(|tables| tables.is_empty()) {
        tracing::warn!("this cluster does not tell its settings: see to it that it syncs before it acknowledges");
        return Ok(());
    }
    let wanted =
        "SELECT name, value FROM system_views.settings WHERE name IN ('commitlog_sync', 'commitlog_segment_size', 'max_mutation_size')";
    for (name, value) in ask::<(String, Option<String>)>(session, options, wanted, ()).await? {
        let Some(value) = value else { continue };
        if let Some(needed) = objection(&name, &value, options.accept_late_sync) {
            return Err(OpenError::Setting { setting: format!("{name} {value}"), needed });
        }
    }
    Ok(())
}

/// Why a setting will not do.
fn objection(name: &str, value: &str, accept_late_sync: bool) -> Option<String> {
    let less_than = |needed: usize| bytes(value).is_some_and(|bytes| bytes < needed as u64);
    match name {
        "commitlog_sync" if value == "periodic" && !accept_late_sync => {
            Some("it acknowledges before it syncs, and a power cut would lose what was acknowledged: set 'batch'".to_owned())
        }
        "max_mutation_size" if less_than(MUTATION_BYTES) => Some(format!("up to {MUTATION_BYTES} bytes are sent at once")),
        "commitlog_segment_size" if less_than(2 * MUTATION_BYTES) => {
            Some(format!("up to {MUTATION_BYTES} bytes are sent at once, and half a segment is what it takes"))
        }
        _ => None,
    }
}

/// A size as the engine tells it: `16MiB`.
fn bytes(told: &str) -> Option<u64> {
    let digits = told.find(|c: char| !c.is_ascii_digit()).unwrap_or(told.len());
    let shift = match &told[digits..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    Some(told[..digits].parse::<u64>().ok()? << shift)
}

async fn run(session: &Session, statement: &str) -> Result<(), OpenError> {
    let source = |source| OpenError::Statement { what: "make the keyspace and its tables", source: Box::new(source) };
    session.query_unpaged(statement, ()).await.map(drop).map_err(source)
}

async fn ask<R>(
    session: &Session,
    options: &Options,
    statement: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<Vec<R>, OpenError>
where
    R: for<'frame> scylla::deserialize::row::DeserializeRow<'frame, 'frame>,
{
    let source = |source| OpenError::Statement { what: "look at the keyspace", source: Box::new(source) };
    let result = session.query_unpaged(statement, values).await.map_err(source)?;
    rows(result).map_err(|what| OpenError::Shape(options.keyspace.clone(), what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_the_engine_tells_them() {
        assert_eq!(bytes("16MiB"), Some(16 << 20));
        assert_eq!(bytes("8192KiB"), Some(8 << 20));
        assert_eq!(bytes("7"), Some(7));
        assert_eq!(bytes("a lot"), None);
    }

    #[test]
    fn nodes_that_acknowledge_too_early_or_take_too_little_are_refused() {
        assert!(objection("commitlog_sync", "periodic", false).is_some());
        assert_eq!(objection("commitlog_sync", "periodic", true), None);
        assert_eq!(objection("commitlog_sync", "batch", false), None);
        assert!(objection("max_mutation_size", "4096KiB", false).is_some());
        assert_eq!(objection("max_mutation_size", "8192KiB", false), None);
        assert!(objection("commitlog_segment_size", "8MiB", false).is_some());
        assert_eq!(objection("commitlog_segment_size", "16MiB", false), None);
    }

    #[test]
    fn only_plain_names_go_into_statements() {
        let check = |name: &str| Options::new(["127.0.0.1:9042"], name).check().is_ok();
        assert!(check("chirrup_2"));
        for name in ["", "2a", "Chirrup", "a-b", "a;", &"a".repeat(49)] {
            assert!(!check(name), "{name}");
        }
    }
}
