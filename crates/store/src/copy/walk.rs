//! The way through a store: row by row, each partition in order, from any row on.

use std::collections::VecDeque;

use super::limits::{AHEAD_PARTITIONS, FIRST_ROWS, PARTITIONS, RANGE_ROWS, READERS};
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
    /// Read ahead, and not given yet.
    ahead: Option<Vec<Entry>>,
    ended: bool,
}

impl<'a> Pages<'a> {
    /// Of the rows after `last`, or of all.
    pub(super) fn new(kv: &'a dyn Kv, table: Table, partition: Vec<u8>, last: Option<Vec<u8>>, patience: &'a Patience) -> Self {
        Self { kv, patience, table, partition, last, ahead: None, ended: false }
    }

    pub(super) fn partition(&self) -> &[u8] {
        &self.partition
    }

    /// Some rows more; none where the partition ends.
    pub(super) fn next(&mut self) -> Result<Vec<Entry>, ReadError> {
        match self.ahead.take() {
            Some(rows) => Ok(rows),
            None => self.read(RANGE_ROWS),
        }
    }

    fn read(&mut self, limit: usize) -> Result<Vec<Entry>, ReadError> {
        if self.ended {
            return Ok(Vec::new());
        }
        // From the last row on, and without it: the key behind it may be longer than a key can be.
        let from = self.last.clone().unwrap_or_default();
        let range = Range { table: self.table, partition: self.partition.clone(), from, until: None, descending: false, limit };
        let mut rows = self.patience.read(|| self.kv.range(&range))?;
        self.ended = rows.len() < limit;
        if self.last.is_some() && rows.first().map(|(sort, _)| sort) == self.last.as_ref() {
            rows.remove(0);
        }
        self.last = rows.last().map(|(sort, _)| sort.clone()).or(self.last.take());
        Ok(rows)
    }
}

/// The partitions of a table, one after the other, with their first rows read ahead: of most
/// there are few, and a store far away is asked for many at once.
pub(super) struct Partitions<'a> {
    kv: &'a dyn Kv,
    patience: &'a Patience,
    table: Table,
    after: Option<Vec<u8>>,
    names: VecDeque<Vec<u8>>,
    ahead: VecDeque<Pages<'a>>,
}

impl<'a> Partitions<'a> {
    pub(super) fn new(kv: &'a dyn Kv, table: Table, after: Option<Vec<u8>>, patience: &'a Patience) -> Self {
        Self { kv, patience, table, after, names: VecDeque::new(), ahead: VecDeque::new() }
    }

    pub(super) fn next(&mut self) -> Result<Option<Pages<'a>>, ReadError> {
        if self.ahead.is_empty() {
            self.read_ahead()?;
        }
        Ok(self.ahead.pop_front())
    }

    fn read_ahead(&mut self) -> Result<(), ReadError> {
        let (kv, table, patience) = (self.kv, self.table, self.patience);
        if self.names.is_empty() {
            let after = self.after.as_deref();
            self.names = patience.read(|| kv.partitions(table, after, PARTITIONS))?.into();
            self.after = self.names.back().cloned().or(self.after.take());
        }
        let names = self.names.drain(..self.names.len().min(AHEAD_PARTITIONS));
        let mut pages: Vec<Pages<'a>> = names.map(|name| Pages::new(kv, table, name, None, patience)).collect();
        let share = pages.len().div_ceil(READERS).max(1);
        std::thread::scope(|scope| {
            let read = |pages: &mut [Pages<'a>]| {
                pages.iter_mut().try_for_each(|pages| pages.read(FIRST_ROWS).map(|rows| pages.ahead = Some(rows)))
            };
            let threads: Vec<_> = pages.chunks_mut(share).map(|share| scope.spawn(move || read(share))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        self.ahead = pages.into();
        Ok(())
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
        self.pages = partitions.next()?;
        if self.pages.is_none() {
            (self.tables, self.partitions) = (&self.tables[1..], None);
        }
        Ok(())
    }
}
