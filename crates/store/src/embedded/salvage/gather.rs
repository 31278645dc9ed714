//! Puts rows that were found in any order into a store, the newest of each key.
//!
//! Beside each row stands the number of the commit that it came from, so that an older one, found
//! later, does not count. Must not know: where rows are found.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::SalvageError;
use crate::embedded::key;
use crate::kv::{Key, Kv, Row, Table};

/// Bytes of rows that are written at once.
const BATCH_BYTES: usize = 4 << 20;
/// Rows that are written at once; each takes a read of its number.
const BATCH_ROWS: usize = 8_000;

/// A row that was found.
pub(super) struct Found {
    pub(super) table: Table,
    /// As it is encoded.
    pub(super) key: Vec<u8>,
    /// None if the row was removed.
    pub(super) value: Option<Vec<u8>>,
    /// Of the commit that it came from, or of a later one before the next of this row.
    pub(super) number: u64,
}

/// The newest of each row that waits to be written: its value, if it is there, and its number.
type Batch = HashMap<(Table, Vec<u8>), (Option<Vec<u8>>, u64)>;

/// Takes rows.
pub(super) struct Gather<'a> {
    into: &'a dyn Kv,
    tables: &'a [Table],
    work: &'a Path,
    batch: Batch,
    bytes: usize,
    /// The highest number of a row that was taken.
    newest: u64,
}

impl<'a> Gather<'a> {
    /// Takes rows of these tables into a store.
    pub(super) fn new(into: &'a dyn Kv, tables: &'a [Table], work: &'a Path) -> Self {
        Self { into, tables, work, batch: HashMap::new(), bytes: 0, newest: 0 }
    }

    /// Whether rows of this table are taken.
    pub(super) fn wants(&self, table: Table) -> bool {
        self.tables.contains(&table)
    }

    /// A file that may be written over.
    pub(super) fn work_file(&self) -> PathBuf {
        self.work.join("blocks")
    }

    /// The highest number of a row that was taken, 0 for none.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Takes a row.
    pub(super) fn take(&mut self, found: Found) -> Result<(), SalvageError> {
        let Found { table, key, value, number } = found;
        self.newest = self.newest.max(number);
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        let newer = self.batch.get(&(table, key.clone())).is_none_or(|(_, known)| *known <= number);
        if newer {
            self.batch.insert((table, key), (value, number));
        }
        if self.bytes >= BATCH_BYTES || self.batch.len() >= BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    /// Writes what was taken.
    pub(super) fn flush(&mut self) -> Result<(), SalvageError> {
        self.bytes = 0;
        let mut batch: Vec<(Key, Option<Vec<u8>>, u64)> = Vec::with_capacity(self.batch.len());
        for ((table, bytes), (value, number)) in self.batch.drain() {
            // What no key of ours can be was not written by this store.
            if let Some((partition, sort)) = key::decode(&bytes).filter(|(partition, _)| !partition.is_empty()) {
                batch.push((Key::new(table, partition, sort), value, number));
            }
        }
        let numbers: Vec<Key> = batch.iter().map(|(key, ..)| number_key(key)).collect();
        let known = self.into.get(&numbers)?;
        let mut rows = Vec::with_capacity(2 * batch.len());
        for (((key, value, number), place), known) in batch.into_iter().zip(numbers).zip(known) {
            let known = known.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
            if known <= number {
                rows.push(Row { key, value, version: number });
                rows.push(Row { key: place, value: Some(number.to_le_bytes().to_vec()), version: number });
            }
        }
        Ok(self.into.commit(&rows)?)
    }
}

/// Where the number of a row stands.
fn number_key(key: &Key) -> Key {
    let mut partition = vec![key.table as u8];
    partition.extend_from_slice(&key.partition);
    Key::new(Table::Meta, partition, key.sort.clone())
}
