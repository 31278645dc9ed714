//! All tables together: what a commit writes to, what a read sees.
//!
//! A read sees the frames that were applied when it began, whole. Must not know: the log.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lsm_tree::SequenceNumberCounter;

use super::abort::AbortSwitch;
use super::error::OpenError;
use super::tree::Tree;
use super::{frame, key, tree_config};
use crate::kv::{Entry, Key, Range, ReadError, Table};

/// The trees of all tables.
pub(super) struct Trees {
    trees: Vec<Tree>,
    cache: Arc<lsm_tree::Cache>,
    readers: Mutex<Readers>,
    /// Numbers for the trees' versions; set under the lock of `readers`, see [`Tree::open`].
    versions: SequenceNumberCounter,
}

/// Who reads as of when. A snapshot is one more than the number of the last frame it sees.
#[derive(Debug)]
struct Readers {
    latest: u64,
    open: BTreeMap<u64, usize>,
}

/// A reader's view; while it lives, nothing it sees is dropped.
struct Snapshot<'a> {
    trees: &'a Trees,
    at: u64,
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let mut readers = self.trees.readers();
        if let Some(count) = readers.open.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                readers.open.remove(&self.at);
            }
        }
    }
}

impl Trees {
    /// Opens the tree of each table, or makes empty ones.
    pub(super) fn open(dir: &Path, cache_bytes: u64, abort: &AbortSwitch) -> Result<Self, OpenError> {
        let cache = Arc::new(lsm_tree::Cache::with_capacity_bytes(cache_bytes));
        let descriptors = Arc::new(lsm_tree::DescriptorTable::new(tree_config::OPEN_FILES));
        let versions = SequenceNumberCounter::default();
        let open = |table| {
            let (cache, descriptors) = (Arc::clone(&cache), Arc::clone(&descriptors));
            Tree::open(dir, table, cache, descriptors, versions.clone(), abort.clone())
        };
        let trees = Table::ALL.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { trees, cache, versions, readers: Mutex::new(Readers { latest: 1, open: BTreeMap::new() }) })
    }

    /// Every tree.
    pub(super) fn all(&self) -> &[Tree] {
        &self.trees
    }

    fn tree(&self, table: Table) -> &Tree {
        &self.trees[table as usize - 1]
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        // Each change is one assignment or one entry.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the rows of a frame to the memtables. They are not seen before `publish`.
    ///
    /// # Errors
    /// Says what is wrong with the payload.
    pub(super) fn apply(&self, number: u64, payload: &[u8]) -> Result<(), String> {
        for row in frame::rows(payload) {
            let row = row?;
            self.tree(row.table).write(number, row.key, row.value);
        }
        Ok(())
    }

    /// As `apply`, leaving out rows that are in the tables' files already.
    pub(super) fn apply_again(&self, number: u64, payload: &[u8], persisted: &[u64]) -> Result<(), String> {
        for row in frame::rows(payload) {
            let row = row?;
            if number > persisted[row.table as usize - 1] {
                self.tree(row.table).write(number, row.key, row.value);
            }
        }
        Ok(())
    }

    /// The highest frame in the files of each tree, 0 for none.
    pub(super) fn persisted(&self) -> Vec<u64> {
        self.trees.iter().map(|tree| tree.persisted().unwrap_or(0)).collect()
    }

    /// Lets readers see all frames up to `number`.
    pub(super) fn publish(&self, number: u64) {
        let mut readers = self.readers();
        readers.latest = number + 1;
        self.versions.set(number);
    }

    /// The last frame that readers see.
    pub(super) fn applied(&self) -> u64 {
        self.readers().latest - 1
    }

    /// For work on a tree that begins now: no reader's snapshot is below this.
    pub(super) fn watermark(&self) -> u64 {
        let readers = self.readers();
        // Work counts the numbers up. Brought back, the version it makes is one that the readers
        // of now may see, and the files of the versions before are let go.
        self.versions.set(readers.latest - 1);
        readers.open.keys().next().copied().unwrap_or(readers.latest)
    }

    fn snapshot(&self) -> Snapshot<'_> {
        let mut readers = self.readers();
        let at = readers.latest;
        *readers.open.entry(at).or_insert(0) += 1;
        Snapshot { trees: self, at }
    }

    /// Bytes of rows in memtables: being written, and waiting for files.
    pub(super) fn memtable_bytes(&self) -> (u64, u64) {
        let active = self.trees.iter().map(Tree::active_bytes).sum();
        let sealed = self.trees.iter().map(Tree::sealed_bytes).sum();
        (active, sealed)
    }

    /// The tree with the most bytes in the memtable that is being written.
    pub(super) fn largest(&self) -> &Tree {
        self.trees.iter().max_by_key(|tree| tree.active_bytes()).expect("there are trees")
    }

    /// The oldest frame that must be read again after a crash; one more than the last if none.
    pub(super) fn oldest_needed(&self) -> u64 {
        // Asked first: a frame that is applied meanwhile is not below it.
        let next = self.applied() + 1;
        self.trees.iter().filter_map(Tree::oldest_needed).min().map_or(next, |needed| needed.min(next))
    }

    /// Memory for cached blocks, filters, indexes and memtables.
    pub(super) fn memory_bytes(&self) -> u64 {
        let (active, sealed) = self.memtable_bytes();
        self.cache.size() + active + sealed + self.trees.iter().map(Tree::pinned_bytes).sum::<u64>()
    }

    /// The values of keys.
    pub(super) fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        let snapshot = self.snapshot();
        keys.iter()
            .map(|asked| {
                let tree = self.tree(asked.table);
                let bytes = key::encode(&asked.partition, &asked.sort);
                tree.get(&bytes, snapshot.at).map_err(|error| read_error(tree, error))
            })
            .collect()
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
        let snapshot = self.snapshot();
        let tree = self.tree(range.table);
        let end = until.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = tree.range((Bound::Included(&from), end), snapshot.at);
        let entry = |row: lsm_tree::Result<(lsm_tree::Slice, lsm_tree::Slice)>| {
            let (bytes, value) = row.map_err(|error| read_error(tree, error))?;
            let (_, sort) = key::decode(&bytes).ok_or_else(|| bad_key(tree, &bytes))?;
            Ok((sort.to_vec(), value.to_vec()))
        };
        if range.descending { rows.rev().take(range.limit).map(entry).collect() } else { rows.take(range.limit).map(entry).collect() }
    }

    /// Partitions of a table, the shorter names first, then by bytes.
    pub(super) fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        let snapshot = self.snapshot();
        let tree = self.tree(table);
        let mut found: Vec<Vec<u8>> = Vec::new();
        let mut from = match after {
            None => Some(Vec::new()),
            Some(after) => key::after_partition(after),
        };
        while let Some(start) = from.filter(|_| found.len() < limit) {
            let Some(row) = tree.range((Bound::Included(&start), Bound::Unbounded), snapshot.at).next() else { break };
            let (bytes, _) = row.map_err(|error| read_error(tree, error))?;
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

fn read_error(tree: &Tree, error: lsm_tree::Error) -> ReadError {
    match error {
        lsm_tree::Error::Io(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            ReadError::Unavailable(format!("failed to read {}: {error}", tree.path().display()))
        }
        damage => ReadError::Damaged { place: tree.path().display().to_string(), what: damage.to_string() },
    }
}
