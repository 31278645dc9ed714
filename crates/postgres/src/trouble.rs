//! What the engine's errors mean: tried again, refused, or told.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// An error with its causes, in one line.
pub(crate) fn told(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !line.contains(&more) {
            line = format!("{line}: {more}");
        }
        cause = error.source();
    }
    line
}

/// Whether a statement that failed so may work when tried again soon: the connection is gone, the
/// engine starts or ends, another transaction was in the way.
pub(crate) fn passes(error: &Error) -> bool {
    let Some(state) = error.code() else { return true };
    match state.code() {
        // Too many connections; a lock or an object in use.
        "53300" | "55P03" | "55006" | "25006" | "25P03" => true,
        // Connections, rollbacks for others' sake, an operator's intervention.
        code => ["08", "40", "57"].iter().any(|class| code.starts_with(class)),
    }
}

/// Whether a server that connects with this error will never get in.
pub(crate) fn shuts_out(error: &Error) -> bool {
    error.code().is_some() && !passes(error)
}

/// Whether the engine says that its own data is damaged.
pub(crate) fn is_damage(error: &Error) -> bool {
    matches!(error.code(), Some(state) if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(state))
}
