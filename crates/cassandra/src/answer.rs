//! What the library gives back, as rows.

use scylla::deserialize::row::DeserializeRow;
use scylla::response::query_result::QueryResult;

/// The rows of an answer; what is wrong with it otherwise.
pub(crate) fn rows<R>(result: QueryResult) -> Result<Vec<R>, String>
where
    R: for<'frame> DeserializeRow<'frame, 'frame>,
{
    let result = result.into_rows_result().map_err(|error| error.to_string())?;
    let rows = result.rows::<R>().map_err(|error| error.to_string())?;
    rows.map(|row| row.map_err(|error| error.to_string())).collect()
}

/// Whether a conditional statement took effect.
pub(crate) fn applied(result: QueryResult) -> Result<bool, String> {
    // Columns follow if it did not: those that are as they were not expected.
    let rows: Vec<scylla::value::Row> = rows(result)?;
    let first = rows.first().and_then(|row| row.columns.first());
    match first {
        Some(Some(scylla::value::CqlValue::Boolean(applied))) => Ok(*applied),
        _ => Err("no answer to a condition".to_owned()),
    }
}
