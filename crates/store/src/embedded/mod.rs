//! The embedded driver: a log of its own as the truth, LSM trees filled behind it.
//!
//! One process holds the directory. A commit is one frame of the log, written and synced, so it
//! is all or nothing also across partitions. Versions are not compared: the committer is the
//! only writer, in order. `docs/adr/0001` tells why it is built so. Must not know: what the
//! rows mean.

mod abort;
mod background;
mod backup;
mod engine;
mod error;
pub mod file;
mod frame;
mod key;
mod layout;
mod log;
mod manifest;
mod memtable;
mod merge;
mod options;
mod recover;
mod room;
mod salvage;
mod segment;
mod segments;
mod tables;
mod tables_check;
mod tables_config;
mod tree;
mod trees;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use abort::AbortSwitch;
pub use backup::{BackupError, BackupFile, BackupManifest, Progress, Watch, restore};
use engine::{Class, Engine};
pub use error::OpenError;
use file::{Open, is_no_room};
pub use layout::FORMAT;
use layout::Layout;
use log::Log;
use manifest::{Manifest, ManifestFile};
pub use options::{
    DEFAULT_CACHE_BYTES, DEFAULT_LOG_BYTES, DEFAULT_LOW_WATER_BYTES, DEFAULT_MEMTABLE_BYTES, DEFAULT_RESERVE_BYTES, DEFAULT_SEGMENT_BYTES,
    DEFAULT_TABLE_BYTES, EmbeddedOptions,
};
use recover::Recovered;
use room::Room;
pub use salvage::{Loss, Part, SalvageError, salvage, survey};
use tables::{Shared, TablesError};
use tree::Tree;
use trees::Trees;

use crate::kv::{CommitError, Entry, Key, Kv, Range, ReadError, Row, Status, Table};

/// A K-V store in a directory of this machine.
///
/// Dropping it ends its threads, which takes well under a second; a process that ends without
/// loses nothing.
pub struct EmbeddedKv {
    engine: Arc<Engine>,
    threads: Vec<JoinHandle<()>>,
    layout: Layout,
}

impl std::fmt::Debug for EmbeddedKv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedKv").finish_non_exhaustive()
    }
}

impl EmbeddedKv {
    /// Opens the store in `dir`, or makes one if there is nothing. What a crash left of the last
    /// commit is cut off if it is not whole; rows that are in the log only are read again.
    pub fn open(dir: &Path, options: EmbeddedOptions) -> Result<Self, OpenError> {
        let abort = AbortSwitch::default();
        let make = |layout: &Layout| {
            log::create(options.files.as_ref(), &layout.log(), options.segment_bytes)?;
            Trees::open(&layout.tables(), Shared::new(&options, abort.clone())).map(drop)
        };
        let layout = Layout::open(dir, make)?;
        let engine = Arc::new(open_engine(&layout, options, abort.clone())?);
        let mut store = Self { engine, threads: Vec::new(), layout };
        store.start("store-flush", Engine::run_flusher, dir)?;
        store.start("store-merge", Engine::run_compactor, dir)?;
        Ok(store)
    }

    fn start(&mut self, name: &str, run: fn(&Engine) -> Result<(), String>, dir: &Path) -> Result<(), OpenError> {
        let engine = Arc::clone(&self.engine);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            background::give_way();
            engine.run(run);
        });
        self.threads.push(thread.map_err(OpenError::io("start a thread for", dir))?);
        Ok(())
    }

    /// Reads every file of every table in full and compares it with the checksum kept elsewhere.
    /// Takes as long as reading the disk takes.
    ///
    /// # Errors
    /// The first damaged file, or one that could not be read.
    pub fn verify(&self) -> Result<(), OpenError> {
        for tree in self.engine.trees.all() {
            match tree.check_files() {
                Ok(None) => {}
                Ok(Some(damage)) => return Err(OpenError::damaged(&damage.path, damage.offset, damage.what)),
                Err((path, error)) => return Err(OpenError::io("read", &path)(error)),
            }
        }
        Ok(())
    }

    /// Writes all rows to tables, so that the next opening has no log to read. Commits go on
    /// meanwhile.
    pub fn checkpoint(&self) -> Result<(), CommitError> {
        self.engine.checkpoint()
    }
}

impl Drop for EmbeddedKv {
    fn drop(&mut self) {
        self.engine.close(std::mem::take(&mut self.threads));
    }
}

/// Checks all that can be checked, then opens, then reads the log again.
fn open_engine(layout: &Layout, options: EmbeddedOptions, abort: AbortSwitch) -> Result<Engine, OpenError> {
    let files = Arc::clone(&options.files);
    let mut manifest = ManifestFile::open(files.as_ref(), &layout.log(), Open::Write)?;
    let recovered = recover::check(files.as_ref(), &layout.log(), &manifest)?;
    for table in Table::ALL {
        tables_config::check(&layout.tables(), table)?;
    }
    recover::settle(&recovered)?;
    let trees = Trees::open(&layout.tables(), Shared::new(&options, abort.clone()))?;
    let room = Room::new(&options, layout.root());
    replay(layout, &options, manifest.current(), &recovered, &trees, &room)?;
    recover::remove_leftovers(files.as_ref(), &layout.log(), manifest.current())?;
    begin_log(&mut manifest, &recovered)?;
    let log = Log::new(files, &layout.log(), options.segment_bytes, manifest, recovered);
    Ok(Engine::new(trees, log, room, abort, options))
}

/// Makes the manifest tell of a log that is written on from here: it is not closed. Of a log that
/// ends with its file, the last frame is told until there is a newer segment.
fn begin_log(manifest: &mut ManifestFile, recovered: &Recovered) -> Result<(), OpenError> {
    if manifest.current().closed_after.is_none() || recovered.last.is_short() {
        return Ok(());
    }
    let path = manifest.path().to_owned();
    match manifest.write(|manifest| manifest.closed_after = None) {
        // What was said of frames that are there stays true.
        Err(error) if is_no_room(&error) => Ok(()),
        written => written.map_err(OpenError::io("write", &path)),
    }
}

/// Brings the trees to the end of the log.
fn replay(
    layout: &Layout,
    options: &EmbeddedOptions,
    manifest: &Manifest,
    recovered: &Recovered,
    trees: &Trees,
    room: &Room,
) -> Result<(), OpenError> {
    let persisted = trees.persisted();
    let last = recovered.next_number - 1;
    if let Some((place, number)) = persisted.iter().enumerate().find(|(_, number)| **number > last) {
        let path = trees.all()[place].path().display();
        let what = format!("frame {} is not what was written ({path} holds rows of frame {number})", last + 1);
        return Err(OpenError::damaged(&recovered.last.path, recovered.end, what));
    }
    let from = persisted.iter().min().copied().unwrap_or(0).max(manifest.first_number - 1) + 1;
    let dir = layout.log();
    let mut room_for_tables = true;
    recover::replay(options.files.as_ref(), &dir, recovered, from, manifest.store, &mut |number, payload| {
        trees.apply(number, payload, Some(&persisted)).map_err(|what| OpenError::damaged(&dir, 0, format!("frame {number}: {what}")))?;
        while room_for_tables && trees.memtable_bytes().0 > options.memtable_bytes / 2 {
            let tree = trees.largest();
            tree.seal();
            room_for_tables = flush(tree, room)?;
        }
        Ok(())
    })?;
    trees.begin_after(last);
    Ok(())
}

/// Writes what is sealed to tables. `false` if there is no room: then the rows stay in memory,
/// where there is place for as much as the log may hold, for a full disk must not prevent a
/// start.
fn flush(tree: &Tree, room: &Room) -> Result<bool, OpenError> {
    loop {
        match tree.flush() {
            Ok(true) => {}
            Ok(false) => return Ok(true),
            Err(TablesError::Io(error)) if is_no_room(&error) => {
                tree.remove_litter().map_err(OpenError::io("clear", tree.path()))?;
                if !room.give_up_reserve() {
                    return Ok(false);
                }
            }
            Err(TablesError::Io(error)) => return Err(OpenError::io("write tables in", tree.path())(error)),
            Err(TablesError::Damaged(damage)) => return Err(OpenError::damaged(&damage.path, damage.offset, damage.what)),
        }
    }
}

impl Kv for EmbeddedKv {
    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        self.engine.trees.get(keys)
    }

    fn range(&self, range: &Range) -> Result<Vec<Entry>, ReadError> {
        self.engine.trees.range(range)
    }

    fn commit(&self, rows: &[Row]) -> Result<(), CommitError> {
        self.engine.commit(rows, Class::Ordinary)
    }

    fn commit_reserved(&self, rows: &[Row]) -> Result<(), CommitError> {
        self.engine.commit(rows, Class::Reserved)
    }

    fn status(&self) -> Status {
        self.engine.status()
    }

    fn partitions(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        self.engine.trees.partitions(table, after, limit)
    }

    fn cache_bytes(&self) -> u64 {
        self.engine.trees.memory_bytes()
    }
}
