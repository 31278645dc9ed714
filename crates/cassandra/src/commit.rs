//! Commits: stage by stage, in each stage all partitions at once, each as one mutation.
//!
//! Must not know: why rows are in the order they are in (see `chirrup_store::stages`).

use std::cell::RefCell;

use chirrup_store::kv::{CommitError, Row, limits};
use chirrup_store::stages::{Part, stages};
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::errors::ExecutionError;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};

use crate::limits::{AGAIN, COMMIT_TIMEOUT, PART_BYTES, PART_ROWS, ROW_BYTES, WRITES_IN_FLIGHT};
use crate::store::Store;

impl Store {
    /// Writes the rows, as [`chirrup_store::kv::Kv::commit`] says. Tries again until it is known
    /// that they are there, or [`COMMIT_TIMEOUT`] is over.
    pub(crate) async fn commit(&self, rows: &[Row], parts_max: Option<usize>) -> Result<(), CommitError> {
        check(rows)?;
        let trouble = RefCell::new(String::from("no answer"));
        match tokio::time::timeout(COMMIT_TIMEOUT, self.write(rows, parts_max, &trouble)).await {
            Ok(done) => done,
            Err(_) => Err(CommitError::Unknown(format!("not written in {} s: {}", COMMIT_TIMEOUT.as_secs(), trouble.into_inner()))),
        }
    }

    async fn write(&self, rows: &[Row], parts_max: Option<usize>, trouble: &RefCell<String>) -> Result<(), CommitError> {
        let mut left = parts_max.unwrap_or(usize::MAX);
        for mut stage in stages(rows) {
            stage.truncate(left);
            left -= stage.len();
            let writes = stage.iter().map(|part| self.write_part(part, trouble));
            stream::iter(writes).buffer_unordered(WRITES_IN_FLIGHT).try_collect::<()>().await?;
        }
        parts_max.map_or(Ok(()), |parts| Err(CommitError::Unknown(format!("stopped after {parts} partitions"))))
    }

    async fn write_part(&self, part: &Part<'_>, trouble: &RefCell<String>) -> Result<(), CommitError> {
        for rows in mutations(&part.rows) {
            loop {
                if !self.claim.is_good() {
                    "the claim on the store could not be renewed in time".clone_into(&mut trouble.borrow_mut());
                    self.claim.hold().await.map_err(CommitError::Stopped)?;
                }
                match self.send(part, rows).await {
                    Ok(()) => break,
                    Err(error) => *trouble.borrow_mut() = error.to_string(),
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
        Ok(())
    }

    async fn send(&self, part: &Part<'_>, rows: &[&Row]) -> Result<(), ExecutionError> {
        let statements = self.statements(part.table);
        let statement = |row: &Row| if row.value.is_some() { &statements.put } else { &statements.remove };
        if let [row] = rows {
            return self.session.execute_unpaged(statement(row), Values(row)).await.map(drop);
        }
        let prepared = rows.iter().map(|row| BatchStatement::PreparedStatement(statement(row).clone())).collect();
        let mut batch = Batch::new_with_statements(BatchType::Unlogged, prepared);
        batch.set_is_idempotent(true);
        let values: Vec<Values<'_>> = rows.iter().map(|row| Values(row)).collect();
        self.session.batch(&batch, values).await.map(drop)
    }
}

/// The rows of a part in pieces that are written as one mutation each: nearly always one.
fn mutations<'r, 'a>(rows: &'r [&'a Row]) -> impl Iterator<Item = &'r [&'a Row]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |row: &&&Row| {
            bytes += ROW_BYTES + row.key.sort.len() + row.value.as_ref().map_or(0, Vec::len);
            bytes <= PART_BYTES
        };
        let count = rest.iter().take(PART_ROWS).take_while(fits).count().max(1);
        let (piece, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(piece)
    })
}

/// Refuses what no driver has to take, before anything is sent.
fn check(rows: &[Row]) -> Result<(), CommitError> {
    let mut bytes = 0;
    for row in rows {
        let value = row.value.as_ref().map_or(0, Vec::len);
        bytes += row.key.partition.len() + row.key.sort.len() + value;
        let refused = |why: &str| Err(CommitError::Refused(format!("row {:?} {why}", row.key)));
        if !(1..=limits::PARTITION_BYTES).contains(&row.key.partition.len()) || row.key.sort.len() > limits::SORT_BYTES {
            return refused("has a key beyond the limits");
        }
        if value > limits::VALUE_BYTES {
            return refused("has a value beyond the limits");
        }
        if i64::try_from(row.version).is_err() {
            return refused("has a version beyond what a timestamp holds");
        }
    }
    if bytes > limits::COMMIT_BYTES {
        return Err(CommitError::Refused(format!("{bytes} bytes are too many for one commit")));
    }
    Ok(())
}

/// A row as the values of the statement that writes it.
struct Values<'a>(&'a Row);

impl SerializeRow for Values<'_> {
    fn serialize(&self, context: &RowSerializationContext<'_>, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        let Row { key, value, version } = self.0;
        let version = version.cast_signed();
        match value {
            Some(value) => (&key.partition, &key.sort, value, version).serialize(context, writer),
            None => (version, &key.partition, &key.sort).serialize(context, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use chirrup_store::kv::{Key, Table};

    use super::*;

    fn row(bytes: usize) -> Row {
        Row { key: Key::new(Table::Event, *b"p", *b"s"), value: Some(vec![0; bytes]), version: 1 }
    }

    fn sizes(rows: &[Row]) -> Vec<usize> {
        mutations(&rows.iter().collect::<Vec<_>>()).map(<[_]>::len).collect()
    }

    #[test]
    fn rows_are_one_mutation_unless_they_are_many_bytes() {
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&vec![row(100); 1_000]), [1_000]);
        assert_eq!(sizes(&vec![row(limits::VALUE_BYTES); 8]), [3, 3, 2]);
        assert_eq!(sizes(&vec![row(0); PART_ROWS + 1]), [PART_ROWS, 1]);
    }

    #[test]
    fn what_is_beyond_the_limits_is_refused() {
        let refused = |row: Row| matches!(check(&[row]), Err(CommitError::Refused(_)));
        assert!(!refused(row(limits::VALUE_BYTES)));
        assert!(refused(row(limits::VALUE_BYTES + 1)));
        assert!(refused(Row { version: 1 << 63, ..row(1) }));
        assert!(!refused(Row { version: i64::MAX as u64, ..row(1) }));
        assert!(refused(Row { key: Key::new(Table::Event, [], []), ..row(1) }));
        assert!(refused(Row { key: Key::new(Table::Event, *b"p", vec![0; 256]), ..row(1) }));
        assert!(matches!(check(&vec![row(limits::VALUE_BYTES); 33]), Err(CommitError::Refused(_))));
    }
}
