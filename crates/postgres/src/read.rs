//! Reads: each a statement of its own on one of few connections that take many at once, tried
//! again until there is an answer or no more time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chirrup_store::kv::{Entry, Key, Range, ReadError, Table, limits};
use tokio::time::{sleep, timeout};
use tokio_postgres::Error;

use crate::limits::{AGAIN, CONNECT_TIMEOUT, READ_TIMEOUT, REQUEST_TIMEOUT};
use crate::session::{Reader, place};
use crate::store::Store;
use crate::trouble::{is_damage, passes, told};

/// Stands behind every sort key.
const AFTER_ALL: [u8; limits::SORT_BYTES + 1] = [0xff; limits::SORT_BYTES + 1];

impl Store {
    /// As [`chirrup_store::kv::Kv::get`] says.
    pub(crate) async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        let mut tables: BTreeMap<Table, Vec<usize>> = BTreeMap::new();
        for (place, key) in keys.iter().enumerate() {
            tables.entry(key.table).or_default().push(place);
        }
        let tables = &tables;
        self.read(async move |reader: &Reader| {
            let mut values = vec![None; keys.len()];
            for (table, places) in tables {
                let partitions: Vec<&[u8]> = places.iter().map(|place| keys[*place].partition.as_slice()).collect();
                let sorts: Vec<&[u8]> = places.iter().map(|place| keys[*place].sort.as_slice()).collect();
                let rows = reader.session.client.query(&reader.get[place(*table)], &[&partitions, &sorts]).await?;
                for row in rows {
                    let ordinal: i64 = row.try_get(0)?;
                    let asked = usize::try_from(ordinal - 1).expect("ordinals of an array begin with 1");
                    values[places[asked]] = row.try_get(1)?;
                }
            }
            Ok(values)
        })
        .await
    }

    /// As [`chirrup_store::kv::Kv::range`] says.
    pub(crate) async fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        let until = range.until.as_deref().unwrap_or(&AFTER_ALL);
        self.read(async |reader: &Reader| {
            let statements = if range.descending { &reader.descending } else { &reader.ascending };
            let (statement, limit) = (&statements[place(range.table)], count(range.limit));
            let rows = reader.session.client.query(statement, &[&range.partition, &range.from, &until, &limit]).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
        })
        .await
    }

    /// As [`chirrup_store::kv::Kv::partitions`] says, in the order of their bytes.
    pub(crate) async fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        // No partition's key is empty.
        let after = after.unwrap_or_default();
        self.read(async |reader: &Reader| {
            let rows = reader.session.client.query(&reader.partitions[place(table)], &[&after, &count(limit)]).await?;
            rows.iter().map(|row| row.try_get(0)).collect()
        })
        .await
    }

    async fn read<T>(&self, ask: impl AsyncFn(&Reader) -> Result<T, Error>) -> Result<T, ReadError> {
        let mut trouble = String::from("no answer");
        let answered = timeout(READ_TIMEOUT, async {
            loop {
                match self.try_read(&ask).await {
                    Ok(answer) => return Ok(answer),
                    Err(Failure::Late(why)) => trouble = why,
                    Err(Failure::Engine(error)) if passes(&error) => trouble = told(&error),
                    Err(Failure::Engine(error)) if is_damage(&error) => {
                        let place = format!("PostgreSQL, schema {}", self.options.schema);
                        return Err(ReadError::Damaged { place, what: told(&error) });
                    }
                    Err(Failure::Engine(error)) => return Err(ReadError::Unavailable(told(&error))),
                }
                sleep(AGAIN).await;
            }
        })
        .await;
        answered.unwrap_or_else(|_| Err(ReadError::Unavailable(format!("not read in {} s: {trouble}", READ_TIMEOUT.as_secs()))))
    }

    async fn try_read<T>(&self, ask: &impl AsyncFn(&Reader) -> Result<T, Error>) -> Result<T, Failure> {
        let slot = &self.readers[self.next_reader.fetch_add(1, Ordering::Relaxed) % self.readers.len()];
        let reader = {
            let mut slot = slot.lock().await;
            if let Some(reader) = slot.as_ref().filter(|reader| !reader.session.client.is_closed()) {
                Arc::clone(reader)
            } else {
                let connect = timeout(CONNECT_TIMEOUT, Reader::connect(&self.options.config, &self.options.schema));
                let late = |_| Failure::Late(format!("no connection in {} s", CONNECT_TIMEOUT.as_secs()));
                let reader = Arc::new(connect.await.map_err(late)?.map_err(Failure::Engine)?);
                Arc::clone(slot.insert(reader))
            }
        };
        if let Ok(answer) = timeout(REQUEST_TIMEOUT, ask(&reader)).await {
            return answer.map_err(Failure::Engine);
        }
        // Given up, unless somebody has already put another there.
        slot.lock().await.take_if(|there| Arc::ptr_eq(there, &reader));
        Err(Failure::Late(format!("no answer in {} s", REQUEST_TIMEOUT.as_secs())))
    }
}

/// Why a try gave no answer.
enum Failure {
    Engine(Error),
    Late(String),
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
