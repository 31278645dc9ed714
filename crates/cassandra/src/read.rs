//! Reads: keys, ranges, and the way through all partitions.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;

use chirrup_store::kv::{self, Entry, Key, Range, ReadError, Table};
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::deserialize::row::DeserializeRow;
use scylla::response::PagingState;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;

use crate::answer::rows;
use crate::limits::{AGAIN, GET_ROWS, READ_TIMEOUT, READS_IN_FLIGHT};
use crate::store::Store;

/// Behind every sort key.
const BEHIND_ALL: [u8; kv::limits::SORT_BYTES + 1] = [u8::MAX; kv::limits::SORT_BYTES + 1];

/// A partition.
type Place<'a> = (Table, &'a [u8]);

/// What went wrong last, for whoever is told that there was no answer in time.
type Trouble = RefCell<String>;

impl Store {
    /// As [`chirrup_store::kv::Kv::get`].
    pub(crate) async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        in_time(async |trouble| {
            let mut wanted: HashMap<Place<'_>, Vec<&[u8]>> = HashMap::new();
            for key in keys {
                wanted.entry((key.table, &key.partition)).or_default().push(&key.sort);
            }
            let asked = wanted.iter().flat_map(|(place, sorts)| sorts.chunks(GET_ROWS).map(|sorts| (*place, sorts)));
            let answers = asked.map(|((table, partition), sorts)| async move {
                let rows: Vec<Entry> = self.all(&self.statements(table).get, &(partition, sorts), table, usize::MAX, trouble).await?;
                Ok::<_, ReadError>(((table, partition), rows))
            });
            let answers: Vec<_> = stream::iter(answers).buffer_unordered(READS_IN_FLIGHT).try_collect().await?;
            let mut found: HashMap<(Place<'_>, Vec<u8>), Vec<u8>> = HashMap::new();
            for (place, rows) in answers {
                found.extend(rows.into_iter().map(|(sort, value)| ((place, sort), value)));
            }
            let value = |key: &Key| found.get(&((key.table, key.partition.as_slice()), key.sort.clone())).cloned();
            Ok(keys.iter().map(value).collect())
        })
        .await
    }

    /// As [`chirrup_store::kv::Kv::range`].
    pub(crate) async fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        let until = range.until.as_deref().unwrap_or(&BEHIND_ALL);
        if range.from.as_slice() >= until || range.limit == 0 {
            return Ok(Vec::new());
        }
        let statements = self.statements(range.table);
        let statement = if range.descending { &statements.descending } else { &statements.ascending };
        let limit = range.limit.min(kv::limits::READ_ROWS);
        let values = (&range.partition, &range.from, until, count(limit));
        in_time(async |trouble| self.all(statement, &values, range.table, limit, trouble).await).await
    }

    /// As [`chirrup_store::kv::Kv::partitions`], in the cluster's own order: by token, those of one
    /// token by their bytes.
    pub(crate) async fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        let statements = self.statements(table);
        in_time(async |trouble| {
            let found: Vec<(Vec<u8>,)> = match after {
                None => self.all(&statements.first_partitions, &(count(limit),), table, limit, trouble).await?,
                Some(after) => {
                    let mut found = self.all(&statements.equal_partitions, &(after,), table, usize::MAX, trouble).await?;
                    found.retain(|(partition,): &(Vec<u8>,)| partition.as_slice() > after);
                    found.sort_unstable();
                    found.truncate(limit);
                    let left = limit - found.len();
                    if left > 0 {
                        found.extend(self.all(&statements.next_partitions, &(after, count(left)), table, left, trouble).await?);
                    }
                    found
                }
            };
            Ok(found.into_iter().map(|(partition,)| partition).collect())
        })
        .await
    }

    /// All rows of an answer, page by page, at most `limit`. A page that fails is asked for again.
    async fn all<R>(
        &self,
        statement: &PreparedStatement,
        values: &impl SerializeRow,
        table: Table,
        limit: usize,
        trouble: &Trouble,
    ) -> Result<Vec<R>, ReadError>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let mut all = Vec::new();
        let mut page = PagingState::start();
        loop {
            let (result, next) = match self.session.execute_single_page(statement, values, page.clone()).await {
                Ok(answer) => answer,
                Err(error) => {
                    *trouble.borrow_mut() = error.to_string();
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            all.extend(rows::<R>(result).map_err(|what| ReadError::Damaged { place: format!("{table:?}"), what })?);
            match next.into_paging_control_flow() {
                ControlFlow::Continue(next) if all.len() < limit => page = next,
                _ => break,
            }
        }
        all.truncate(limit);
        Ok(all)
    }
}

/// A limit as the protocol counts.
fn count(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

/// The answer, unless it takes too long.
async fn in_time<T>(read: impl AsyncFnOnce(&Trouble) -> Result<T, ReadError>) -> Result<T, ReadError> {
    let trouble = Trouble::new(String::from("no answer"));
    match tokio::time::timeout(READ_TIMEOUT, read(&trouble)).await {
        Ok(answer) => answer,
        Err(_) => Err(ReadError::Unavailable(format!("not read in {} s: {}", READ_TIMEOUT.as_secs(), trouble.into_inner()))),
    }
}
