//! The way through a store: row by row, each partition in order, from any row on.

use std::collections::VecDeque;

use super::limits::{PARTITIONS, RANGE_ROWS};
use super::patience::Patience;
use crate::keys;
use crate::kv::{Entry, Key, Kv, Range, ReadError, Table};

/// The rows of a partition, page by page.
pub(super) struct Pages<'a> {
    kv: &'a dyn Kv,
    patience: &'a Patience,
    table: Table,
    partition: Vec<u8>,
    last: Option<Vec<u8>>,
    ended: bool,
}

impl<'a> Pages<'a> {
    /// Of the rows after `last`, or of all.
    pub(super) fn new(kv: &'a dyn Kv, table: Table, partition: Vec<u8>, last: Option<Vec<u8>>, patience: &'a Patience) -> Self {
        Self { kv, patience, table, partition, last, ended: false }
    }

    /// Some rows more; none where the partition ends.
    pub(super) fn next(&mut self) -> Result<Vec<Entry>, ReadError> {
        if self.ended {
            return Ok(Vec::new());
        }
        // From the last row on, and without it: the key behind it may be longer than a key can be.
        let from = self.last.clone().unwrap_or_default();
        let range = Range { table: self.table, partition: self.partition.clone(), from, until: None, descending: false, limit: RANGE_ROWS };
        let mut rows = self.patience.read(|| self.kv.range(&range))?;
        self.ended = rows.len() < RANGE_ROWS;
        if self.last.is_some() && rows.first().map(|(sort, _)| sort) == self.last.as_ref() {
            rows.remove(0);
        }
        self.last = rows.last().map(|(sort, _)| sort.clone()).or(self.last.take());
        Ok(rows)
    }
}

/// The partitions of a table, one after the other.
pub(super) struct Partitions<'a> {
    kv: &'a dyn Kv,
    patience: &'a Patience,
    table: Table,
    after: Option<Vec<u8>>,
    page: VecDeque<Vec<u8>>,
}

impl<'a> Partitions<'a> {
    pub(super) fn new(kv: &'a dyn Kv, table: Table, after: Option<Vec<u8>>, patience: &'a Patience) -> Self {
        Self { kv, patience, table, after, page: VecDeque::new() }
    }

    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        if self.page.is_empty() {
            let (kv, table, after) = (self.kv, self.table, self.after.as_deref());
            self.page = self.patience.read(|| kv.partitions(table, after, PARTITIONS))?.into();
            self.after = self.page.back().cloned().or(self.after.take());
        }
        Ok(self.page.pop_front())
    }
}

/// Every row of a store, or of some tables, but for those that are of that store alone.
pub(super) struct Walk<'a> {
    kv: &'a dyn Kv,
    patience: &'a Patience,
    tables: &'a [Table],
    partitions: Option<Partitions<'a>>,
    pages: Option<Pages<'a>>,
    rows: VecDeque<Entry>,
}

impl<'a> Walk<'a> {
    /// Of these tables, the rows after one, or all.
    pub(super) fn new(kv: &'a dyn Kv, tables: &'a [Table], after: Option<&Key>, patience: &'a Patience) -> Self {
        let mut walk = Self { kv, patience, tables, partitions: None, pages: None, rows: VecDeque::new() };
        if let Some(Key { table, partition, sort }) = after {
            walk.tables = tables.iter().position(|other| other == table).map_or(&[], |place| &tables[place..]);
            walk.partitions = Some(Partitions::new(kv, *table, Some(partition.clone()), patience));
            walk.pages = Some(Pages::new(kv, *table, partition.clone(), Some(sort.clone()), patience));
        }
        walk
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<(Key, Vec<u8>)>, ReadError> {
        while let Some(&table) = self.tables.first() {
            let Some(pages) = &mut self.pages else {
                self.turn(table)?;
                continue;
            };
            let Some((sort, value)) = self.rows.pop_front() else {
                self.rows = pages.next()?.into();
                if self.rows.is_empty() {
                    self.pages = None;
                }
                continue;
            };
            let key = Key::new(table, pages.partition.clone(), sort);
            if !keys::is_of_one_store(&key) {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }

    /// Turns to the next partition, or to the next table where there is none.
    fn turn(&mut self, table: Table) -> Result<(), ReadError> {
        let (kv, patience) = (self.kv, self.patience);
        let partitions = self.partitions.get_or_insert_with(|| Partitions::new(kv, table, None, patience));
        if let Some(partition) = partitions.next()? {
            self.pages = Some(Pages::new(kv, table, partition, None, patience));
        } else {
            (self.tables, self.partitions) = (&self.tables[1..], None);
        }
        Ok(())
    }
}
