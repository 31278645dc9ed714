//! The files of one table, kept by the library `lsm-tree`: sorted, merged, found again.
//!
//! The library is used for its files alone. Its memtables stay empty, its sequence numbers are
//! the numbers of frames, and reads go to a [`Reader`]: a set of files as of one moment. That is
//! because the library holds its lock, for which its own reads and writes wait, through every
//! sync when files come or go. Some of the calls for it are not documented by the library,
//! which is why its version is fixed. No other file of ours calls it.

use std::fs;
use std::io;
use std::ops::{Bound, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use byteview::ByteView;
use lsm_tree::compaction::Leveled;
use lsm_tree::table::Scanner;
use lsm_tree::table::filter::standard_bloom::Builder as Bloom;
use lsm_tree::{AbstractTree, AnyTree, CompressionType, InternalValue, SeqNo, Slice, Tree, ValueType};

use super::abort::AbortSwitch;
use super::error::OpenError;
use super::memtable::Row;
use super::merge::Live;
use super::options::EmbeddedOptions;
use super::tables_check::{self, Damage, Expected};
use super::tables_config;
use crate::kv::Table;

/// When this many files wait at the top, they are merged into the level below.
const TOP_FILES: u8 = 4;

/// Every version of a row in the files may be dropped for a newer one: a reader has a set of
/// files of its own.
const WATERMARK: SeqNo = SeqNo::MAX;

type Rows = Box<dyn DoubleEndedIterator<Item = lsm_tree::Result<InternalValue>>>;
// The library's type for a set of files cannot be named, so it is kept in these.
type Get = dyn Fn(&[u8]) -> Result<Option<Slice>, TablesError> + Send + Sync;
type ScanRange = dyn Fn(&(Bound<Slice>, Bound<Slice>)) -> Rows + Send + Sync;
type List = dyn Fn() -> Vec<Expected> + Send + Sync;
type Bounds = (Bound<ByteView>, Bound<ByteView>);

/// Why files could not be read or written.
#[derive(Debug)]
pub(super) enum TablesError {
    /// The operating system refused.
    Io(io::Error),
    /// A file is not what was written.
    Damaged(Damage),
}

/// What all tables share.
#[derive(Clone)]
pub(super) struct Shared {
    /// Blocks in memory.
    pub(super) cache: Arc<lsm_tree::Cache>,
    /// Open files.
    pub(super) descriptors: Arc<lsm_tree::DescriptorTable>,
    /// Ends merges.
    pub(super) abort: AbortSwitch,
    /// Length of a file.
    pub(super) table_bytes: u64,
}

impl Shared {
    pub(super) fn new(options: &EmbeddedOptions, abort: AbortSwitch) -> Self {
        Self {
            cache: Arc::new(lsm_tree::Cache::with_capacity_bytes(options.cache_bytes)),
            table_bytes: options.table_bytes,
            descriptors: Arc::new(lsm_tree::DescriptorTable::new(tables_config::OPEN_FILES)),
            abort,
        }
    }
}

/// The files of a table.
pub(super) struct Tables {
    path: PathBuf,
    tree: AnyTree,
    strategy: Arc<Leveled>,
    /// Ids of files that failed work may have left behind.
    litter: Mutex<Vec<Range<u64>>>,
    /// Held while rows are being written to files, and while files are being merged.
    writing: Mutex<()>,
    merging: Mutex<()>,
}

impl Tables {
    /// Opens the files in `dir`, or begins with none there.
    pub(super) fn open(dir: &Path, table: Table, shared: &Shared) -> Result<Self, OpenError> {
        let path = tables_config::path(dir, table);
        let config = tables_config::config(&path)
            .use_cache(Arc::clone(&shared.cache))
            .use_descriptor_table(Some(Arc::clone(&shared.descriptors)))
            .with_compaction_filter_factory(Some(Arc::new(shared.abort.clone())));
        let tree = catch_unwind(AssertUnwindSafe(|| config.open())).unwrap_or(Err(lsm_tree::Error::Unrecoverable));
        let tree = tree.map_err(|error| open_error(error, &path))?;
        let strategy = Leveled::default().with_l0_threshold(TOP_FILES).with_table_target_size(shared.table_bytes);
        Ok(Self {
            path,
            tree,
            strategy: Arc::new(strategy),
            litter: Mutex::default(),
            writing: Mutex::default(),
            merging: Mutex::default(),
        })
    }

    /// Their directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The highest frame of which rows are in files, 0 for none.
    pub(super) fn persisted(&self) -> u64 {
        self.tree.get_highest_persisted_seqno().unwrap_or(0)
    }

    /// Writes rows, sorted and each key once, to files, durably. They are newer than all that
    /// were written before; `number` is the last frame that they came from.
    pub(super) fn write(&self, rows: Vec<Row>, number: u64) -> Result<(), TablesError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let first_id = self.tree.next_table_id();
        let internal = |(key, value): Row| {
            Ok(match value {
                Some(value) => InternalValue::from_components(Slice::from(key), Slice::from(value), number, ValueType::Value),
                None => InternalValue::new_tombstone(Slice::from(key), number),
            })
        };
        let written = self.tree.flush_to_tables(rows.into_iter().map(internal)).and_then(|files| match files {
            Some((files, _)) => self.tree.register_tables(&files, None, None, &[], WATERMARK),
            None => Ok(()),
        });
        written.map_err(|error| {
            self.note_litter(first_id);
            self.tell(error)
        })
    }

    /// Merges some files, if there are any that should be. Returns whether it did.
    pub(super) fn merge(&self) -> Result<bool, TablesError> {
        let _merging = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.tree.current_version().id();
        let first_id = self.tree.next_table_id();
        let strategy = Arc::clone(&self.strategy);
        self.tree.compact(strategy, WATERMARK).map_err(|error| {
            self.note_litter(first_id);
            self.tell(error)
        })?;
        Ok(self.tree.current_version().id() != before)
    }

    /// The files as they are now, with the list of them as it is on the disk. Waits for a merge
    /// that is under way.
    pub(super) fn image(&self) -> Result<Image, OpenError> {
        let _not_merging = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let _not_writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let tables_config::List { current, name, bytes } = tables_config::read_list(&self.path)?;
        Ok(Image { files: self.reader(), current, list_name: name, list: bytes })
    }

    fn tell(&self, error: lsm_tree::Error) -> TablesError {
        tell(error, &self.path, || self.tree.current_version().iter_tables().map(expected).collect())
    }

    fn note_litter(&self, first_id: u64) {
        let ids = first_id..self.tree.next_table_id();
        self.litter.lock().unwrap_or_else(PoisonError::into_inner).push(ids);
    }

    /// Removes files that failed work left behind. While files are being merged, nothing: that
    /// work fails too, and is followed by another call.
    pub(super) fn remove_litter(&self) -> io::Result<()> {
        let _not_writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(_not_merging) = self.merging.try_lock() else { return Ok(()) };
        let ranges = std::mem::take(&mut *self.litter.lock().unwrap_or_else(PoisonError::into_inner));
        if ranges.is_empty() {
            return Ok(());
        }
        let version = self.tree.current_version();
        if tables_config::version(&self.path)? != version.id() {
            // What failed last has come as far as the disk: there, other files count than here.
            return Err(io::Error::other("the list of files on the disk is not the one in memory"));
        }
        for entry in fs::read_dir(tables_config::files_dir(&self.path))? {
            let entry = entry?;
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()) else { continue };
            let litter = ranges.iter().any(|range| range.contains(&id));
            if litter && version.iter_tables().all(|table| table.id() != id) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Memory for filters and indexes that are always kept, bytes.
    pub(super) fn pinned_bytes(&self) -> u64 {
        (self.tree.pinned_filter_size() + self.tree.pinned_block_index_size()) as u64
    }

    /// The files as they are now.
    pub(super) fn reader(&self) -> Reader {
        let (files, version) = loop {
            let files = self.tree.current_version();
            let version = self.tree.get_version_history_lock().latest_version();
            // Points and ranges are asked in different ways; both must mean the same files.
            if self.tree.current_version().id() == files.id() {
                break (files, version);
            }
        };
        let (id, top_files) = (files.id(), files.l0().run_count());
        let path = self.path.clone();
        let all = files.clone();
        let get = move |key: &[u8]| {
            let hash = Bloom::get_hash(key);
            let runs = files.iter_levels().flat_map(|level| level.iter());
            for file in runs.filter_map(|run| run.get_for_key(key)) {
                let row = file.get(key, SeqNo::MAX, hash).map_err(|error| tell(error, &path, || vec![expected(file)]))?;
                if let Some(row) = row {
                    return Ok((!row.is_tombstone()).then_some(row.value));
                }
            }
            Ok(None)
        };
        let range = move |bounds: &(Bound<Slice>, Bound<Slice>)| -> Rows {
            Box::new(Tree::create_internal_range(version.clone(), bounds, SeqNo::MAX, None))
        };
        let list = move || all.iter_tables().map(expected).collect();
        Reader { id, top_files, dir: self.path.clone(), get: Box::new(get), range: Box::new(range), list: Arc::new(list) }
    }
}

fn expected(file: &lsm_tree::Table) -> Expected {
    Expected { path: PathBuf::clone(&file.path), checksum: file.checksum().into_u128() }
}

/// Whether an error of the operating system comes from a file that is not as it was left: it is
/// gone, it ends too early, or a place in it that another place names cannot be.
fn shows_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput)
}

/// What an error of the library means; damage is looked for in `files`.
fn tell(error: lsm_tree::Error, dir: &Path, files: impl FnOnce() -> Vec<Expected>) -> TablesError {
    match error {
        lsm_tree::Error::Io(error) if !shows_damage(&error) => TablesError::Io(error),
        // It may be that the system gave less than there is, this once.
        lsm_tree::Error::Io(error) => tables_check::find(&files()).map_or(TablesError::Io(error), TablesError::Damaged),
        damage => TablesError::Damaged(tables_check::find(&files()).unwrap_or_else(|| Damage {
            path: dir.to_owned(),
            offset: 0,
            what: damage.to_string(),
        })),
    }
}

/// Why the files in `dir` cannot be opened. Each is tried alone to find the one that is damaged.
fn open_error(error: lsm_tree::Error, dir: &Path) -> OpenError {
    let io = match error {
        lsm_tree::Error::Io(source) if !shows_damage(&source) => return OpenError::io("open the tables in", dir)(source),
        lsm_tree::Error::Io(source) if source.kind() != io::ErrorKind::NotFound => Some(source),
        _ => None,
    };
    let opens = |path: &Path| {
        let cache = Arc::new(lsm_tree::Cache::with_capacity_bytes(0));
        let checksum = lsm_tree::Checksum::from_raw(0);
        catch_unwind(AssertUnwindSafe(|| lsm_tree::Table::recover(path.to_owned(), checksum, 0, 0, cache, None, true, true)))
            .is_ok_and(|file| file.is_ok())
    };
    let entries = fs::read_dir(tables_config::files_dir(dir)).into_iter().flatten().flatten();
    match entries.map(|entry| entry.path()).find(|path| !opens(path)) {
        Some(path) => OpenError::damaged(&path, 0, "its index or its description is not what was written"),
        // It may be that the system gave less than there is, this once.
        None => {
            io.map_or_else(|| OpenError::damaged(dir, 0, "a file that its list names is missing"), OpenError::io("open the tables in", dir))
        }
    }
}

/// A row of a file: its key, its value unless it was removed, and its number.
pub(super) type Scanned = (Vec<u8>, Option<Vec<u8>>, u64);

/// The rows of a file that holds nothing but so many sound blocks; an error ends them.
pub(super) fn scan(path: &Path, blocks: usize, compressed: bool) -> Vec<Result<Scanned, String>> {
    let compression = if compressed { CompressionType::Lz4 } else { CompressionType::None };
    let mut rows = Vec::new();
    let scanned = catch_unwind(AssertUnwindSafe(|| {
        for row in Scanner::new(path, blocks, compression, 0)? {
            let InternalValue { key, value } = row?;
            let kept = key.value_type == ValueType::Value;
            rows.push(Ok((key.user_key.to_vec(), kept.then(|| value.to_vec()), key.seqno)));
        }
        Ok::<_, lsm_tree::Error>(())
    }));
    match scanned {
        Ok(Ok(())) => {}
        Ok(Err(error)) => rows.push(Err(error.to_string())),
        Err(_) => rows.push(Err("it holds something else than rows".to_owned())),
    }
    rows
}

/// The files of a table as of one moment, and what is on the disk to find them.
pub(super) struct Image {
    /// They stay while this lives.
    pub(super) files: Reader,
    /// The file that names the list.
    pub(super) current: Vec<u8>,
    /// The list's file.
    pub(super) list_name: String,
    pub(super) list: Vec<u8>,
}

/// The files of a table as of one moment. They stay while this lives.
pub(super) struct Reader {
    id: u64,
    top_files: usize,
    dir: PathBuf,
    get: Box<Get>,
    range: Box<ScanRange>,
    list: Arc<List>,
}

impl Reader {
    /// Rises with each set of files.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Every file, with the checksum of its bytes.
    pub(super) fn files(&self) -> Vec<Expected> {
        (self.list)()
    }

    /// How many files at the top every read must look into.
    pub(super) fn top_files(&self) -> usize {
        self.top_files
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<ByteView>, TablesError> {
        Ok((self.get)(key)?.map(ByteView::from))
    }

    /// Rows between the bounds, ascending; from the back, descending.
    pub(super) fn range(&self, bounds: &Bounds) -> impl DoubleEndedIterator<Item = Result<Live, TablesError>> + use<> {
        let bounds = (bounds.0.clone().map(Slice::from), bounds.1.clone().map(Slice::from));
        let (list, dir) = (Arc::clone(&self.list), self.dir.clone());
        (self.range)(&bounds).map(move |row| match row {
            Ok(row) => Ok((ByteView::from(row.key.user_key), ByteView::from(row.value))),
            Err(error) => Err(tell(error, &dir, || list())),
        })
    }
}
