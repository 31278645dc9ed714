//! Reading all that can be read of a store that is damaged, and finding every place that cannot.
//!
//! Nothing is changed in the store's directory, and nothing is believed that a checksum does not
//! vouch for. Must not know: what the rows mean.

mod blocks;
mod gather;
mod log;
mod tables;

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::backup::{Progress, Watch};
use super::error::OpenError;
use super::key;
use super::layout::{self, Layout};
use crate::kv::{CommitError, Key, Kv, ReadError, Table};
use gather::Gather;

/// What a disk reads at once: what it does not give back is left out in pieces of this size.
const SECTOR_BYTES: usize = 4096;

/// A part of a store's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The file that tells the format.
    Format,
    /// The file that tells which segments the log has.
    LogManifest,
    /// A segment of the log.
    Log,
    /// The list of a table's files, or what names it.
    TableList(Table),
    /// A file with rows of a table.
    TableFile(Table),
}

/// A place that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The file.
    pub path: PathBuf,
    /// Where in it, bytes from its start.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
    /// What kind of file it is.
    pub part: Part,
    reach: Reach,
}

/// Which rows a loss may have taken with it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reach {
    Nothing,
    Anything,
    /// Rows of a table with keys, as they are encoded, between these.
    Between(Table, Vec<u8>, Option<Vec<u8>>),
}

impl Loss {
    /// Whether the row of this key, if it cannot be read, may have been lost here.
    pub fn may_hold(&self, key: &Key) -> bool {
        match &self.reach {
            Reach::Nothing => false,
            Reach::Anything => true,
            Reach::Between(table, after, before) => {
                let encoded = key::encode(&key.partition, &key.sort);
                key.table == *table && *after < encoded && before.as_ref().is_none_or(|before| encoded < *before)
            }
        }
    }

    /// Whether any row may have been lost here.
    pub fn takes_rows(&self) -> bool {
        self.reach != Reach::Nothing
    }

    fn of(error: &OpenError, part: Part, reach: Reach) -> Self {
        let (path, offset, what) = match error {
            OpenError::Damaged { path, offset, what } => (path.clone(), *offset, what.clone()),
            OpenError::Io { path, .. } => (path.clone(), 0, error.to_string()),
            other => (PathBuf::new(), 0, other.to_string()),
        };
        Self { path, offset, what, part, reach }
    }
}

/// Why not even damaged data could be read, or what was read not kept.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// There is no store, it is in use, or it is of another format.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was read could not be written where it should go.
    #[error("failed to keep what was read: {0}")]
    Write(#[from] CommitError),
    /// What was kept could not be read again.
    #[error("failed to read what was kept: {0}")]
    Read(#[from] ReadError),
    /// A file for work could not be written.
    #[error("failed to write {}: {source}", path.display())]
    Scratch {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was told to stop.
    #[error("it was stopped before its end")]
    Stopped,
}

/// Finds every place of the store in `dir` that is not what was written. Takes as long as reading
/// all of it takes.
pub fn survey(dir: &Path, watch: &mut Watch<'_>) -> Result<Vec<Loss>, SalvageError> {
    read(dir, None, watch)
}

/// Reads what can be read of some tables of the store in `dir` into another store, whose table
/// [`Table::Meta`] is used for numbers; tells what could not be read. `work` is a directory for
/// files that are removed again.
pub fn salvage(dir: &Path, tables: &[Table], into: &dyn Kv, work: &Path, watch: &mut Watch<'_>) -> Result<Vec<Loss>, SalvageError> {
    read(dir, Some(Gather::new(into, tables, work)), watch)
}

fn read(dir: &Path, sink: Option<Gather<'_>>, watch: &mut Watch<'_>) -> Result<Vec<Loss>, SalvageError> {
    let dir = std::path::absolute(dir).map_err(OpenError::io("find", dir))?;
    let mut losses = Vec::new();
    match layout::check_format(&dir) {
        Ok(true) => {}
        Ok(false) if Layout::log_of(&dir).is_dir() && Layout::tables_of(&dir).is_dir() => {
            let path = dir.join(layout::FORMAT_NAME);
            losses.push(Loss { path, offset: 0, what: "the file is missing".to_owned(), part: Part::Format, reach: Reach::Nothing });
        }
        Ok(false) => return Err(OpenError::NotAStore { what: "it has no log or no tables".to_owned(), path: dir }.into()),
        Err(error @ OpenError::Damaged { .. }) => losses.push(Loss::of(&error, Part::Format, Reach::Nothing)),
        Err(other) => return Err(other.into()),
    }
    let _lock = layout::lock_if_there(&dir)?;
    let total_bytes = size(&Layout::log_of(&dir)) + size(&Layout::tables_of(&dir));
    let mut salvager = Salvager { sink, losses, progress: Progress { done_bytes: 0, total_bytes }, watch };
    for table in Table::ALL {
        salvager.table(&Layout::tables_of(&dir), table)?;
    }
    salvager.log(&Layout::log_of(&dir))?;
    if let Some(mut sink) = salvager.sink {
        sink.flush()?;
    }
    Ok(salvager.losses)
}

/// Goes through the files.
struct Salvager<'a, 'w> {
    sink: Option<Gather<'a>>,
    losses: Vec<Loss>,
    progress: Progress,
    watch: &'a mut Watch<'w>,
}

impl Salvager<'_, '_> {
    fn lose(&mut self, path: &Path, offset: u64, what: impl Into<String>, part: Part, reach: Reach) {
        self.losses.push(Loss { path: path.to_owned(), offset, what: what.into(), part, reach });
    }

    /// A file's bytes; where the disk does not give them back, zeros.
    fn bytes(&mut self, path: &Path) -> Result<io::Result<Vec<u8>>, SalvageError> {
        let bytes = read_bytes(path);
        self.progress.done_bytes += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        match (self.watch)(self.progress) {
            ControlFlow::Break(()) => Err(SalvageError::Stopped),
            ControlFlow::Continue(()) => Ok(bytes),
        }
    }
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    if file.read_exact_at(&mut bytes, 0).is_err() {
        for (place, sector) in bytes.chunks_mut(SECTOR_BYTES).enumerate() {
            if file.read_exact_at(sector, (place * SECTOR_BYTES) as u64).is_err() {
                sector.fill(0);
            }
        }
    }
    Ok(bytes)
}

/// Bytes of all files below a directory, as far as it can be listed.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
