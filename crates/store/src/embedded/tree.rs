//! One table of the store: a memtable that is written, memtables that wait to be written to
//! files, and the files.
//!
//! Readers take the three together as of one moment, and never wait for a disk write. What the
//! files do not hold yet is read from the log again after a crash, so the tree must say which
//! frames it still needs, and that moves on only when files were written and synced.
//! Must not know: the log.

use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use byteview::ByteView;
use chirrup_mutants::kill_point;

use super::error::OpenError;
use super::memtable::{Memtable, Rows};
use super::merge::{Live, merge};
use super::tables::{Image, Reader, Shared, Tables, TablesError};
use super::tables_check::{self, Damage};
use crate::kv::Table;

/// What a reader sees.
#[derive(Clone)]
struct View {
    active: Arc<Memtable>,
    /// Oldest first.
    sealed: Vec<Arc<Memtable>>,
    files: Arc<Reader>,
}

/// A table of the store.
pub(super) struct Tree {
    tables: Tables,
    view: RwLock<Arc<View>>,
}

impl Tree {
    /// Opens the table in `dir`, or makes an empty one there.
    pub(super) fn open(dir: &Path, table: Table, shared: &Shared) -> Result<Self, OpenError> {
        let tables = Tables::open(dir, table, shared)?;
        let view = View { active: Arc::default(), sealed: Vec::new(), files: Arc::new(tables.reader()) };
        Ok(Self { tables, view: RwLock::new(Arc::new(view)) })
    }

    /// Its directory.
    pub(super) fn path(&self) -> &Path {
        self.tables.path()
    }

    /// The highest frame of which rows are in files, 0 for none.
    pub(super) fn persisted(&self) -> u64 {
        self.tables.persisted()
    }

    fn view(&self) -> Arc<View> {
        // A view is replaced whole.
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change_view(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = View::clone(&view);
        change(&mut next);
        let before = std::mem::replace(&mut *view, Arc::new(next));
        drop(view);
        // Memory and files are let go here rather than while readers wait.
        drop(before);
    }

    /// Adds the rows of frame `number`, all at once for readers. One caller at a time, numbers
    /// ascending.
    pub(super) fn write(&self, number: u64, rows: Rows) {
        self.view().active.write(number, rows);
    }

    /// Memory of the memtable that is being written, bytes.
    pub(super) fn active_bytes(&self) -> u64 {
        self.view().active.bytes()
    }

    /// Memory of memtables that wait to be written to files, bytes.
    pub(super) fn sealed_bytes(&self) -> u64 {
        self.view().sealed.iter().map(|memtable| memtable.bytes()).sum()
    }

    /// The oldest frame that must be read again after a crash; `None` if all is in files.
    pub(super) fn oldest_needed(&self) -> Option<u64> {
        let view = self.view();
        view.sealed.first().map_or_else(|| view.active.first(), |memtable| memtable.first())
    }

    /// Ends the memtable that is being written. By the caller of `write` only. Returns whether
    /// there was anything in it.
    pub(super) fn seal(&self) -> bool {
        let written = self.view().active.first().is_some();
        if written {
            self.change_view(|view| view.sealed.push(std::mem::take(&mut view.active)));
        }
        written
    }

    /// Writes the oldest sealed memtable to files, durably. Returns whether there was one. One
    /// caller at a time.
    pub(super) fn flush(&self) -> Result<bool, TablesError> {
        let Some(oldest) = self.view().sealed.first().cloned() else { return Ok(false) };
        kill_point!(FlushBegun);
        self.tables.write(oldest.all(), oldest.last())?;
        kill_point!(FlushWritten);
        let files = self.tables.reader();
        self.change_view(|view| {
            view.sealed.remove(0);
            view.turn_to(files);
        });
        Ok(true)
    }

    /// Merges some files, if there are any that should be. Returns whether it did. One caller at
    /// a time.
    pub(super) fn merge_files(&self) -> Result<bool, TablesError> {
        let merged = self.tables.merge()?;
        if merged {
            kill_point!(MergeWritten);
            let files = self.tables.reader();
            self.change_view(|view| view.turn_to(files));
        }
        Ok(merged)
    }

    /// Reads every file in full. The first that is not what was written, if there is one.
    pub(super) fn check_files(&self) -> Result<Option<Damage>, (PathBuf, io::Error)> {
        let view = self.view();
        for file in view.files.files() {
            let checked = tables_check::check(&file).map_err(|error| (file.path, error))?;
            if checked.is_some() {
                return Ok(checked);
            }
        }
        Ok(None)
    }

    /// Its files, to be copied.
    pub(super) fn image(&self) -> Result<Image, OpenError> {
        self.tables.image()
    }

    /// Removes files that failed work left behind.
    pub(super) fn remove_litter(&self) -> io::Result<()> {
        self.tables.remove_litter()
    }

    /// How many files at the top every read must look into.
    pub(super) fn top_files(&self) -> usize {
        self.view().files.top_files()
    }

    /// Memory for filters and indexes that are always kept, bytes.
    pub(super) fn pinned_bytes(&self) -> u64 {
        self.tables.pinned_bytes()
    }

    /// The values of keys, of each partition as of one moment.
    pub(super) fn get(&self, keys: &[ByteView]) -> Result<Vec<Option<ByteView>>, TablesError> {
        let view = self.view();
        let mut found = view.active.get(keys);
        for memtable in view.sealed.iter().rev() {
            let older = memtable.get(keys);
            found = found.into_iter().zip(older).map(|(newer, older)| newer.or(older)).collect();
        }
        keys.iter().zip(found).map(|(key, found)| found.map_or_else(|| view.files.get(key), |(_, value)| Ok(value))).collect()
    }

    /// Rows between the bounds as of one moment, in the direction asked.
    pub(super) fn range(
        &self,
        bounds: &(Bound<ByteView>, Bound<ByteView>),
        descending: bool,
        limit: usize,
    ) -> Result<Vec<Live>, TablesError> {
        let view = self.view();
        let newest_first = std::iter::once(&view.active).chain(view.sealed.iter().rev());
        let newer = newest_first.map(|memtable| memtable.range(bounds, descending, limit)).collect();
        let files = view.files.range(bounds);
        if descending { merge(newer, files.rev(), true, limit) } else { merge(newer, files, false, limit) }
    }
}

impl View {
    /// Takes newer files. Two threads make files come and go, and the one that asked first may
    /// come here last.
    fn turn_to(&mut self, files: Reader) {
        if files.id() > self.files.id() {
            self.files = Arc::new(files);
        }
    }
}
