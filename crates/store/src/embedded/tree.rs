//! One table of the store as an LSM tree: rows go to a memtable, memtables are written to files
//! in the background, files are merged.
//!
//! The number of a frame is the sequence number of its rows here. The tree keeps no journal of
//! its own: what its files do not hold yet is read from the log again. So the tree must say
//! which frames it still needs ([`Tree::oldest_needed`]), and that only ever moves on when files
//! were written and synced. Must not know: the log.

use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lsm_tree::compaction::Leveled;
use lsm_tree::{AbstractTree, AnyTree, Guard, SequenceNumberCounter, Slice};

use super::abort::AbortSwitch;
use super::error::OpenError;
use super::tree_config::{self, TABLE_TARGET_BYTES};
use crate::kv::Table;

/// When this many files wait at the top, they are merged into the level below.
const L0_THRESHOLD: u8 = 4;

/// The oldest frame of which rows are not yet in files, for the parts of the tree.
#[derive(Debug, Default)]
struct Needed {
    active: Option<u64>,
    sealed: Option<u64>,
    flushing: Option<u64>,
}

/// A table as a tree.
pub(super) struct Tree {
    table: Table,
    path: PathBuf,
    tree: AnyTree,
    strategy: Arc<Leveled>,
    active_bytes: AtomicU64,
    sealed_bytes: AtomicU64,
    needed: Mutex<Needed>,
    /// Ids of files that failed work may have left behind.
    litter: Mutex<Vec<std::ops::Range<u64>>>,
}

impl Tree {
    /// Opens the tree in `dir`, or makes an empty one there. Its versions (each a set of files
    /// and memtables) draw their numbers from `versions`; a reader uses the newest version whose
    /// number it may see. So this counter must never be behind the last published frame, or a
    /// reader could see a version from which the value it may see was dropped for a newer one.
    pub(super) fn open(
        dir: &Path,
        table: Table,
        cache: Arc<lsm_tree::Cache>,
        descriptors: Arc<lsm_tree::DescriptorTable>,
        versions: SequenceNumberCounter,
        abort: AbortSwitch,
    ) -> Result<Self, OpenError> {
        let path = tree_config::path(dir, table);
        let config = tree_config::config(&path, table, versions)
            .use_cache(cache)
            .use_descriptor_table(Some(descriptors))
            .with_compaction_filter_factory(Some(Arc::new(abort)));
        let tree = config.open().map_err(|error| match error {
            lsm_tree::Error::Io(source) => OpenError::io("open the tables in", &path)(source),
            damage => OpenError::damaged(&path, 0, damage.to_string()),
        })?;
        let strategy = Leveled::default().with_l0_threshold(L0_THRESHOLD).with_table_target_size(TABLE_TARGET_BYTES);
        Ok(Self {
            table,
            path,
            tree,
            strategy: Arc::new(strategy),
            active_bytes: AtomicU64::new(0),
            sealed_bytes: AtomicU64::new(0),
            needed: Mutex::default(),
            litter: Mutex::default(),
        })
    }

    /// Which table it is.
    pub(super) fn table(&self) -> Table {
        self.table
    }

    /// Its directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The highest frame of which rows are in files.
    pub(super) fn persisted(&self) -> Option<u64> {
        self.tree.get_highest_persisted_seqno()
    }

    fn needed(&self) -> MutexGuard<'_, Needed> {
        // Each change is one assignment.
        self.needed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a row of frame `number`. One caller at a time, numbers ascending.
    pub(super) fn write(&self, number: u64, key: &[u8], value: Option<&[u8]>) {
        self.needed().active.get_or_insert(number);
        let (_, active_bytes) = match value {
            Some(value) => self.tree.insert(Slice::from(key), Slice::from(value), number),
            None => self.tree.remove(Slice::from(key), number),
        };
        self.active_bytes.store(active_bytes, Ordering::Relaxed);
    }

    /// Bytes of rows in the memtable that is being written.
    pub(super) fn active_bytes(&self) -> u64 {
        self.active_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of rows in memtables that wait to be written to files.
    pub(super) fn sealed_bytes(&self) -> u64 {
        self.sealed_bytes.load(Ordering::Relaxed)
    }

    /// The oldest frame that must be read again after a crash; `None` if all is in files.
    pub(super) fn oldest_needed(&self) -> Option<u64> {
        let needed = self.needed();
        [needed.active, needed.sealed, needed.flushing].into_iter().flatten().min()
    }

    /// Ends the memtable that is being written, between two frames. Returns whether there was
    /// anything in it.
    pub(super) fn seal(&self) -> bool {
        let mut needed = self.needed();
        let Some(memtable) = self.tree.rotate_memtable() else { return false };
        let first = needed.active.take();
        needed.sealed = needed.sealed.or(first);
        self.sealed_bytes.fetch_add(memtable.size(), Ordering::Relaxed);
        self.active_bytes.store(0, Ordering::Relaxed);
        true
    }

    /// Whether memtables wait to be written to files.
    pub(super) fn has_sealed(&self) -> bool {
        self.tree.sealed_memtable_count() > 0
    }

    /// Writes the sealed memtables to files, durably. No reader's snapshot is below `watermark`.
    pub(super) fn flush(&self, watermark: u64) -> lsm_tree::Result<()> {
        let flush_lock = self.tree.get_flush_lock();
        {
            let mut needed = self.needed();
            needed.flushing = needed.sealed.take();
        }
        let first_id = self.tree.next_table_id();
        let flushed = self.tree.flush(&flush_lock, watermark);
        let mut needed = self.needed();
        let flushing = needed.flushing.take();
        match flushed {
            Ok(bytes) => {
                self.sealed_bytes.fetch_sub(bytes.unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                needed.sealed = flushing.or(needed.sealed);
                self.note_litter(first_id);
                Err(error)
            }
        }
    }

    /// Merges some files, if there are any that should be. Returns whether it did. No reader's
    /// snapshot is below `watermark`.
    pub(super) fn compact(&self, watermark: u64) -> lsm_tree::Result<bool> {
        let before = self.tree.current_version().id();
        let first_id = self.tree.next_table_id();
        self.tree.compact(Arc::clone(&self.strategy) as _, watermark).inspect_err(|_| self.note_litter(first_id))?;
        Ok(self.tree.current_version().id() != before)
    }

    fn note_litter(&self, first_id: u64) {
        let ids = first_id..self.tree.next_table_id();
        self.litter.lock().unwrap_or_else(PoisonError::into_inner).push(ids);
    }

    /// Removes files that failed work left behind. Not while the tree is being compacted.
    pub(super) fn remove_litter(&self) -> io::Result<()> {
        let _no_flush = self.tree.get_flush_lock();
        let ranges = std::mem::take(&mut *self.litter.lock().unwrap_or_else(PoisonError::into_inner));
        if ranges.is_empty() {
            return Ok(());
        }
        let version = self.tree.current_version();
        for entry in fs::read_dir(tree_config::files_dir(&self.path))? {
            let entry = entry?;
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()) else { continue };
            let litter = ranges.iter().any(|range| range.contains(&id));
            if litter && version.iter_tables().all(|table| table.id() != id) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Files at the top, which every read must look into.
    pub(super) fn top_files(&self) -> usize {
        self.tree.l0_run_count()
    }

    /// Memory for filters and indexes that are always kept, bytes.
    pub(super) fn pinned_bytes(&self) -> u64 {
        (self.tree.pinned_filter_size() + self.tree.pinned_block_index_size()) as u64
    }

    /// The value of a key as of frame `snapshot` - 1.
    pub(super) fn get(&self, key: &[u8], snapshot: u64) -> lsm_tree::Result<Option<Vec<u8>>> {
        Ok(self.tree.get(key, snapshot)?.map(|value| value.to_vec()))
    }

    /// Keys and values between the bounds as of frame `snapshot` - 1.
    pub(super) fn range(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        snapshot: u64,
    ) -> impl DoubleEndedIterator<Item = lsm_tree::Result<(Slice, Slice)>> + use<> {
        self.tree.range::<&[u8], _>(bounds, snapshot, None).map(Guard::into_inner)
    }
}
