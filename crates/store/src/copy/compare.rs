//! Two stores whose tallies differ: where they do.

use super::patience::Patience;
use super::tally::Tallies;
use super::walk::{Pages, Partitions};
use super::{CopyError, Side};
use crate::keys;
use crate::kv::{Entry, Key, Kv, ReadError, Table};

/// Refuses two stores that differ, and names the first row that does.
pub(super) fn compare(from: &dyn Kv, to: &dyn Kv, source: &Tallies, target: &Tallies, patience: &Patience) -> Result<(), CopyError> {
    let Some(table) = Table::ALL.into_iter().find(|table| source.of(*table) != target.of(*table)) else { return Ok(()) };
    let found = first_difference(from, to, table, patience)?;
    Err(found.map_or(CopyError::ReadTwice(table), |(key, what)| CopyError::Differ { table, key, what }))
}

/// The first row that is not the same in both, and how it differs.
fn first_difference(from: &dyn Kv, to: &dyn Kv, table: Table, patience: &Patience) -> Result<Option<(Key, &'static str)>, CopyError> {
    let source = |error| CopyError::Read(Side::Source, error);
    let target = |error| CopyError::Read(Side::Target, error);
    let mut partitions = Partitions::new(from, table, None, patience);
    while let Some(pages) = partitions.next().map_err(source)? {
        let partition = pages.partition().to_vec();
        let mut ours = Rows::new(table, pages);
        let mut theirs = Rows::of(to, table, &partition, patience);
        loop {
            let (sort, what) = match (ours.next().map_err(source)?, theirs.next().map_err(target)?) {
                (None, None) => break,
                (Some(ours), Some(theirs)) if ours == theirs => continue,
                (Some((sort, _)), Some((other, _))) if sort == other => (sort, "another value"),
                (Some((sort, _)), Some((other, _))) if other < sort => (other, "a row that only the target has"),
                (None, Some((sort, _))) => (sort, "a row that only the target has"),
                (Some((sort, _)), _) => (sort, "a row that only the source has"),
            };
            return Ok(Some((Key::new(table, partition, sort), what)));
        }
    }
    let mut partitions = Partitions::new(to, table, None, patience);
    while let Some(pages) = partitions.next().map_err(target)? {
        let partition = pages.partition().to_vec();
        if Rows::of(from, table, &partition, patience).next().map_err(source)?.is_some() {
            continue;
        }
        if let Some((sort, _)) = Rows::new(table, pages).next().map_err(target)? {
            return Ok(Some((Key::new(table, partition, sort), "a row that only the target has")));
        }
    }
    Ok(None)
}

/// The rows of a partition, but for those that are of one store alone.
struct Rows<'a> {
    pages: Pages<'a>,
    partition: Key,
    page: std::vec::IntoIter<Entry>,
}

impl<'a> Rows<'a> {
    fn new(table: Table, pages: Pages<'a>) -> Self {
        Self { partition: Key::new(table, pages.partition(), []), pages, page: Vec::new().into_iter() }
    }

    fn of(kv: &'a dyn Kv, table: Table, partition: &[u8], patience: &'a Patience) -> Self {
        Self::new(table, Pages::new(kv, table, partition.to_vec(), None, patience))
    }

    fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            if self.page.len() == 0 {
                self.page = self.pages.next()?.into_iter();
            }
            let Some(row) = self.page.next() else { return Ok(None) };
            let key = Key { sort: row.0.clone(), ..self.partition.clone() };
            if !keys::is_of_one_store(&key) {
                return Ok(Some(row));
            }
        }
    }
}
