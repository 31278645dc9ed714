//! A `Kv` in memory, for tests and simulation: it compares versions, as a store with several
//! writers must, and can be told to stop a commit half-way.
//!
//! Must not know: files, threads, time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::kv::{CommitError, Entry, Key, Kv, Range, ReadError, Row, Status, Table};

/// What a row holds: its version, and its value unless it was removed. Removed rows stay, so
/// that a late write with a lower version cannot bring them back.
#[derive(Debug)]
struct Cell {
    version: u64,
    value: Option<Vec<u8>>,
}

type Partition = BTreeMap<Vec<u8>, Cell>;

#[derive(Debug, Default)]
struct Inner {
    partitions: BTreeMap<(Table, Vec<u8>), Partition>,
    /// What the next commit does instead of working.
    fault: Option<Fault>,
    stopped: bool,
    bytes: u64,
}

/// What one commit does instead of working, told by a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The rows of the first n partitions (in the order in which the commit first names them)
    /// are written, the others never; the answer is `Unknown`.
    StopAfterPartitions(usize),
    /// Nothing is written; the answer is `Refused`.
    Refuse,
    /// Nothing is written; the answer is `Stopped`, now and for all later commits.
    Stop,
}

/// A K-V store in memory. Atomic across partitions unless a [`Fault`] is set.
#[derive(Debug, Default)]
pub struct MemoryKv {
    inner: Mutex<Inner>,
}

impl MemoryKv {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next commit, and only that one, fail as told.
    pub fn fail_next(&self, fault: Fault) {
        self.lock().fault = Some(fault);
    }

    /// Makes the next commit write the rows of its first `partitions` partitions only, and
    /// answer `Unknown`.
    pub fn fail_after_partitions(&self, partitions: usize) {
        self.fail_next(Fault::StopAfterPartitions(partitions));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is made whole under the lock, so the data is sound even when a test
        // panicked while it held it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn apply(&mut self, row: &Row) {
        let partition = self.partitions.entry((row.key.table, row.key.partition.clone())).or_default();
        let written = row.value.as_ref().map_or(0, Vec::len) as u64;
        if let Some(cell) = partition.get_mut(&row.key.sort) {
            if row.version >= cell.version {
                self.bytes -= cell.value.as_ref().map_or(0, Vec::len) as u64;
                self.bytes += written;
                *cell = Cell { version: row.version, value: row.value.clone() };
            }
        } else {
            self.bytes += row.key.sort.len() as u64 + written;
            partition.insert(row.key.sort.clone(), Cell { version: row.version, value: row.value.clone() });
        }
    }
}

/// The first `count` partitions that `rows` names.
fn first_partitions(rows: &[Row], count: usize) -> Vec<(Table, &[u8])> {
    let mut named = Vec::new();
    for row in rows {
        let partition = (row.key.table, row.key.partition.as_slice());
        if !named.contains(&partition) {
            named.push(partition);
        }
    }
    named.truncate(count);
    named
}

impl Kv for MemoryKv {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        let inner = self.lock();
        Ok(keys
            .iter()
            .map(|key| {
                let partition = inner.partitions.get(&(key.table, key.partition.clone()))?;
                partition.get(&key.sort)?.value.clone()
            })
            .collect())
    }

    fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        let inner = self.lock();
        let Some(partition) = inner.partitions.get(&(range.table, range.partition.clone())) else {
            return Ok(Vec::new());
        };
        let within = |sort: &[u8]| sort >= range.from.as_slice() && range.until.as_ref().is_none_or(|until| sort < until.as_slice());
        let live = partition.iter().filter(|(sort, _)| within(sort)).filter_map(|(sort, cell)| Some((sort.clone(), cell.value.clone()?)));
        Ok(if range.descending { live.rev().take(range.limit).collect() } else { live.take(range.limit).collect() })
    }

    fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        let mut inner = self.lock();
        if inner.stopped {
            return Err(CommitError::Stopped("told to stop".to_owned()));
        }
        let (only, outcome) = match inner.fault.take() {
            None => (None, Ok(())),
            Some(Fault::Refuse) => return Err(CommitError::Refused("told to refuse".to_owned())),
            Some(Fault::Stop) => {
                inner.stopped = true;
                return Err(CommitError::Stopped("told to stop".to_owned()));
            }
            Some(Fault::StopAfterPartitions(count)) => {
                let stopped = CommitError::Unknown(format!("stopped after {count} partitions"));
                (Some(first_partitions(rows, count)), Err(stopped))
            }
        };
        let written = |row: &&Row| only.as_ref().is_none_or(|only| only.contains(&(row.key.table, row.key.partition.as_slice())));
        for row in rows.iter().filter(written) {
            inner.apply(row);
        }
        outcome
    }

    fn status(&self) -> Status {
        if self.lock().stopped { Status::Stopped("told to stop".to_owned()) } else { Status::Ready }
    }

    fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        let inner = self.lock();
        Ok(inner
            .partitions
            .iter()
            .filter(|((of, name), cells)| {
                *of == table && after.is_none_or(|after| name.as_slice() > after) && cells.values().any(|cell| cell.value.is_some())
            })
            .map(|((_, name), _)| name.clone())
            .take(limit)
            .collect())
    }

    fn cache_bytes(&self) -> u64 {
        self.lock().bytes
    }
}
