//! All tables together: what a commit writes to, what a read sees.
//!
//! Must not know: the log.

use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use byteview::ByteView;

use super::error::OpenError;
use super::memtable::Rows;
use super::merge::Live;
use super::tables::{Shared, TablesError};
use super::tables_check::Damage;
use super::tree::Tree;
use super::{frame, key};
use crate::kv::{Entry, Key, Range, ReadError, Table};

/// The trees of all tables.
pub(super) struct Trees {
    all: Vec<Tree>,
    shared: Shared,
    /// The last frame whose rows are in memtables or files.
    applied: AtomicU64,
}

impl Trees {
    /// Opens the tree of each table, or makes empty ones.
    pub(super) fn open(dir: &Path, shared: Shared) -> Result<Self, OpenError> {
        let trees = Table::ALL.into_iter().map(|table| Tree::open(dir, table, &shared)).collect::<Result<_, _>>()?;
        Ok(Self { all: trees, shared, applied: AtomicU64::new(0) })
    }

    /// Every tree.
    pub(super) fn all(&self) -> &[Tree] {
        &self.all
    }

    fn tree(&self, table: Table) -> &Tree {
        &self.all[table as usize - 1]
    }

    /// Writes the rows of frame `number` to the memtables, leaving out those of tables in whose
    /// files they are already (`persisted`, as this type tells it). One caller at a time, numbers
    /// ascending.
    ///
    /// # Errors
    /// Says what is wrong with the payload; nothing was written then.
    pub(super) fn apply(&self, number: u64, payload: &[u8], persisted: Option<&[u64]>) -> Result<(), String> {
        let rows = frame::rows(payload).collect::<Result<Vec<_>, _>>()?;
        for (place, tree) in self.all.iter().enumerate() {
            let of_tree = rows.iter().filter(|row| row.table as usize - 1 == place).map(|row| (row.key, row.value));
            let missing = persisted.is_none_or(|persisted| number > persisted[place]);
            if missing && of_tree.clone().next().is_some() {
                tree.write(number, Rows::new(of_tree));
            }
        }
        self.applied.store(number, Ordering::Release);
        Ok(())
    }

    /// Tells that all rows of the frames up to `number` are in memtables or files.
    pub(super) fn begin_after(&self, number: u64) {
        self.applied.store(number, Ordering::Release);
    }

    /// The last frame all of whose rows are in memtables or files; every row in files is of it or
    /// an earlier one.
    pub(super) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// The highest frame in the files of each tree, 0 for none.
    pub(super) fn persisted(&self) -> Vec<u64> {
        self.all.iter().map(Tree::persisted).collect()
    }

    /// Memory of memtables, bytes: those being written, and those that wait for files.
    pub(super) fn memtable_bytes(&self) -> (u64, u64) {
        let active = self.all.iter().map(Tree::active_bytes).sum();
        let sealed = self.all.iter().map(Tree::sealed_bytes).sum();
        (active, sealed)
    }

    /// The tree with the largest memtable being written.
    pub(super) fn largest(&self) -> &Tree {
        self.all.iter().max_by_key(|tree| tree.active_bytes()).expect("there are tables")
    }

    /// Unmerged files, of the table that has the most.
    pub(super) fn most_top_files(&self) -> usize {
        self.all.iter().map(Tree::top_files).max().unwrap_or(0)
    }

    /// The oldest frame that must be read again after a crash; one more than the last if none.
    pub(super) fn oldest_needed(&self) -> u64 {
        // Asked first: a frame that is applied meanwhile is not below it.
        let next = self.applied() + 1;
        self.all.iter().filter_map(Tree::oldest_needed).min().map_or(next, |needed| needed.min(next))
    }

    /// Memory for cached blocks, filters, indexes and memtables, bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        let (active, sealed) = self.memtable_bytes();
        self.shared.cache.size() + active + sealed + self.all.iter().map(Tree::pinned_bytes).sum::<u64>()
    }

    /// The values of keys, in their order.
    pub(super) fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        let mut values = vec![None; keys.len()];
        for table in Table::ALL {
            let places: Vec<usize> = (0..keys.len()).filter(|place| keys[*place].table == table).collect();
            if places.is_empty() {
                continue;
            }
            let encode = |place: &usize| ByteView::from(key::encode(&keys[*place].partition, &keys[*place].sort));
            let asked: Vec<ByteView> = places.iter().map(encode).collect();
            let tree = self.tree(table);
            let found = tree.get(&asked).map_err(|error| read_error(tree, error))?;
            for (place, value) in places.into_iter().zip(found) {
                values[place] = value.map(|value| value.to_vec());
            }
        }
        Ok(values)
    }

    /// The rows of a range.
    pub(super) fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        let from = key::encode(&range.partition, &range.from);
        let until = match &range.until {
            Some(until) => Some(key::encode(&range.partition, until)),
            None => key::after_partition(&range.partition),
        };
        if until.as_ref().is_some_and(|until| *until <= from) {
            return Ok(Vec::new());
        }
        let end = until.map_or(Bound::Unbounded, |until| Bound::Excluded(ByteView::from(until)));
        let tree = self.tree(range.table);
        let bounds = (Bound::Included(ByteView::from(from)), end);
        let rows = tree.range(&bounds, range.descending, range.limit).map_err(|error| read_error(tree, error))?;
        let entry = |(bytes, value): Live| {
            let (_, sort) = key::decode(&bytes).ok_or_else(|| bad_key(tree, &bytes))?;
            Ok((sort.to_vec(), value.to_vec()))
        };
        rows.into_iter().map(entry).collect()
    }

    /// Partitions of a table, the shorter names first, then by bytes.
    pub(super) fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        let tree = self.tree(table);
        let mut found: Vec<Vec<u8>> = Vec::new();
        let mut from = after.map_or_else(|| Some(Vec::new()), key::after_partition);
        while let Some(start) = from.filter(|_| found.len() < limit) {
            let bounds = (Bound::Included(ByteView::from(start)), Bound::Unbounded);
            let rows = tree.range(&bounds, false, 1).map_err(|error| read_error(tree, error))?;
            let Some((bytes, _)) = rows.into_iter().next() else { break };
            let (partition, _) = key::decode(&bytes).ok_or_else(|| bad_key(tree, &bytes))?;
            found.push(partition.to_vec());
            from = key::after_partition(partition);
        }
        Ok(found)
    }
}

fn bad_key(tree: &Tree, key: &[u8]) -> ReadError {
    ReadError::Damaged { place: tree.path().display().to_string(), what: format!("a key that is none of ours: {key:02x?}") }
}

fn read_error(tree: &Tree, error: TablesError) -> ReadError {
    match error {
        TablesError::Io(error) => ReadError::Unavailable(format!("failed to read {}: {error}", tree.path().display())),
        TablesError::Damaged(Damage { path, offset, what }) => {
            ReadError::Damaged { place: format!("{} at byte {offset}", path.display()), what }
        }
    }
}
