//! Commits: all rows of one in one transaction, sent at once, and again until it is known that they
//! are there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::Poll;

use chirrup_store::kv::{CommitError, Row, Table, limits};
use tokio::time::{sleep, timeout};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::limits::{AGAIN, COMMIT_TIMEOUT, CONNECT_TIMEOUT, REQUEST_TIMEOUT};
use crate::session::{Writer, place};
use crate::store::Store;
use crate::trouble::{passes, told};

/// The rows of one table, a column each, sorted by key and each key once: what the engine takes in
/// one statement, and an order in which two transactions cannot lock each other out.
#[derive(Default)]
struct Columns<'a> {
    partitions: Vec<&'a [u8]>,
    sorts: Vec<&'a [u8]>,
    values: Vec<Option<&'a [u8]>>,
    versions: Vec<i64>,
}

/// What became of one try.
enum Tried {
    Written,
    /// Not written by this try.
    Not(Error),
    /// Perhaps written: the connection ended, or was given up, with the end of the transaction sent.
    Perhaps(String),
}

impl Store {
    /// Writes the rows, as [`chirrup_store::kv::Kv::commit`] says. Tries again until it is known
    /// that they are there, or [`COMMIT_TIMEOUT`] is over.
    pub(crate) async fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        check(rows)?;
        if let Some(why) = self.claim.lost() {
            return Err(CommitError::Stopped(why));
        }
        let tables = columns(rows);
        if tables.is_empty() {
            return Ok(());
        }
        let trouble = RefCell::new(String::from("no answer"));
        match timeout(COMMIT_TIMEOUT, self.write(&tables, &trouble)).await {
            Ok(done) => done,
            Err(_) => Err(CommitError::Unknown(format!("not written in {} s: {}", COMMIT_TIMEOUT.as_secs(), trouble.into_inner()))),
        }
    }

    async fn write(&self, tables: &BTreeMap<Table, Columns<'_>>, trouble: &RefCell<String>) -> Result<(), CommitError> {
        let mut slot = self.writer.lock().await;
        let mut perhaps_written = false;
        loop {
            // Taken out, and put back only when it is known to be good: whatever gives up this
            // future in between gives up the connection.
            let writer = match slot.take() {
                Some(writer) if !writer.session.client.is_closed() => Some(writer),
                _ => self.connect_writer(trouble).await,
            };
            if let Some(writer) = writer {
                match self.attempt(&writer, tables).await {
                    Tried::Written => {
                        *slot = Some(writer);
                        return Ok(());
                    }
                    Tried::Not(error) if error.code() == Some(&SqlState::DIVISION_BY_ZERO) => {
                        return Err(CommitError::Stopped(self.claim.lose()));
                    }
                    Tried::Not(error) if passes(&error) => *trouble.borrow_mut() = told(&error),
                    Tried::Not(error) => {
                        *slot = Some(writer);
                        let why = told(&error);
                        // That this try was refused says nothing of one before it.
                        return Err(if perhaps_written { CommitError::Unknown(why) } else { CommitError::Refused(why) });
                    }
                    Tried::Perhaps(why) => {
                        perhaps_written = true;
                        *trouble.borrow_mut() = why;
                    }
                }
            }
            sleep(AGAIN).await;
        }
    }

    async fn connect_writer(&self, trouble: &RefCell<String>) -> Option<Writer> {
        let connected = timeout(CONNECT_TIMEOUT, Writer::connect(&self.options.config, &self.options.schema)).await;
        let why = match connected {
            Ok(Ok(writer)) => return Some(writer),
            Ok(Err(error)) => told(&error),
            Err(_) => format!("no connection in {} s", CONNECT_TIMEOUT.as_secs()),
        };
        *trouble.borrow_mut() = why;
        None
    }

    /// One transaction, sent whole before anything is heard of it.
    async fn attempt(&self, writer: &Writer, tables: &BTreeMap<Table, Columns<'_>>) -> Tried {
        let client = &writer.session.client;
        let mut sent: Vec<Step<'_>> = Vec::with_capacity(tables.len() + 3);
        sent.push(Box::pin(client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")));
        sent.push(Box::pin(async { client.execute(&writer.fence, &[&self.claim.token]).await.map(drop) }));
        for (table, columns) in tables {
            let put = &writer.put[place(*table)];
            let Columns { partitions, sorts, values, versions } = columns;
            sent.push(Box::pin(async move { client.execute(put, &[partitions, sorts, values, versions]).await.map(drop) }));
        }
        // After a failure this ends the transaction without a word, so all answers are looked at.
        sent.push(Box::pin(client.batch_execute("COMMIT")));
        let last = sent.len() - 1;
        let Ok(answers) = timeout(REQUEST_TIMEOUT, in_order(sent)).await else {
            return Tried::Perhaps(format!("no answer in {} s", REQUEST_TIMEOUT.as_secs()));
        };
        match answers.into_iter().enumerate().find_map(|(n, answer)| answer.err().map(|error| (n, error))) {
            None => Tried::Written,
            // The engine says so of a statement before the end: there was no end.
            Some((n, error)) if n < last && error.code().is_some() => Tried::Not(error),
            Some((_, error)) => Tried::Perhaps(told(&error)),
        }
    }
}

type Step<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

/// Requests are sent when their futures are first polled: in this order here, which is the order of
/// the transaction.
async fn in_order(mut steps: Vec<Step<'_>>) -> Vec<Result<(), Error>> {
    let mut answers: Vec<Option<Result<(), Error>>> = steps.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut all = Poll::Ready(());
        for (step, answer) in steps.iter_mut().zip(&mut answers).filter(|(_, answer)| answer.is_none()) {
            match step.as_mut().poll(context) {
                Poll::Ready(result) => *answer = Some(result),
                Poll::Pending => all = Poll::Pending,
            }
        }
        all
    })
    .await;
    answers.into_iter().flatten().collect()
}

/// The rows by table. Of several rows of a key the one that would be left of them is taken.
fn columns(rows: &[Row]) -> BTreeMap<Table, Columns<'_>> {
    let mut last = BTreeMap::new();
    for row in rows {
        let kept = last.entry(&row.key).or_insert(row);
        if row.version >= kept.version {
            *kept = row;
        }
    }
    let mut tables: BTreeMap<Table, Columns<'_>> = BTreeMap::new();
    for (key, row) in last {
        let columns = tables.entry(key.table).or_default();
        columns.partitions.push(&key.partition);
        columns.sorts.push(&key.sort);
        columns.values.push(row.value.as_deref());
        columns.versions.push(signed(row.version));
    }
    tables
}

/// A version as the engine's signed number: in the same order.
fn signed(version: u64) -> i64 {
    (version ^ (1 << 63)).cast_signed()
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
    }
    if bytes > limits::COMMIT_BYTES {
        return Err(CommitError::Refused(format!("{bytes} bytes are too many for one commit")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chirrup_store::kv::Key;

    use super::*;

    fn row(sort: &[u8], value: &[u8], version: u64) -> Row {
        Row { key: Key::new(Table::Event, *b"p", sort), value: Some(value.to_vec()), version }
    }

    #[test]
    fn versions_keep_their_order() {
        let versions = [0, 1, u64::MAX >> 1, (u64::MAX >> 1) + 1, u64::MAX];
        assert!(versions.map(signed).is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn each_key_is_written_once_in_order_by_the_row_that_is_left() {
        let rows = [row(b"b", b"old", 1), row(b"a", b"new", 2), row(b"a", b"late", 1), row(b"b", b"new", 1)];
        let tables = columns(&rows);
        let columns = &tables[&Table::Event];
        assert_eq!(columns.sorts, [b"a", b"b"]);
        assert_eq!(columns.values, [Some(&b"new"[..]), Some(b"new")]);
    }

    #[test]
    fn what_is_beyond_the_limits_is_refused() {
        let long = vec![0; limits::SORT_BYTES + 1];
        let value = vec![0; limits::VALUE_BYTES + 1];
        let nowhere = Row { key: Key::new(Table::Event, *b"", *b"s"), value: None, version: 1 };
        for row in [row(&long, b"", 1), row(b"s", &value, 1), nowhere] {
            assert!(matches!(check(&[row]), Err(CommitError::Refused(_))));
        }
        let many: Vec<Row> = (0..33u8).map(|n| row(&[n], &value[1..], 1)).collect();
        assert!(matches!(check(&many), Err(CommitError::Refused(_))));
        assert!(check(&many[..31]).is_ok());
    }
}
