//! Backups of an open store, taken while commits go on.
//!
//! ```text
//! BACKUP   what belongs to the backup, with digests; written last: without it, it is not whole
//! store/   a store: the tables as of a moment, and the log from there up to one frame
//! ```
//!
//! The log is held meanwhile, so that nothing is removed of it that the tables as copied lack.
//! Must not know: what the rows mean.

mod copy;
mod manifest;
mod restore;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::EmbeddedKv;
use super::engine::Engine;
use super::error::OpenError;
use super::file::FileLayer;
use super::layout::{self, Layout};
use super::manifest::{Manifest, ManifestFile};
use super::segment::Segment;
use super::tables::Image;
use super::tables_config;
use super::tree::Tree;
use crate::kv::Table;
use copy::Meter;
pub use manifest::{BackupFile, BackupManifest};
pub use restore::restore;

/// The directory of the store in a backup.
const STORE_DIR: &str = "store";
/// Rows of all users, hashes of passwords among them: for the operator alone.
const DIR_MODE: u32 = 0o700;

/// How far long work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are done.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// Told how far long work is, every few megabytes; `Break` ends the work.
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Why a backup was not taken, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file could not be read or written, or one of the store is damaged.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A directory that should be new holds something.
    #[error("{} is not empty: {what}", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// Why it should be.
        what: &'static str,
    },
    /// There is too little room.
    #[error("too little room in {}: {what}", path.display())]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// How much there is, and how much is needed.
        what: String,
    },
    /// It was told to stop.
    #[error("it was stopped before it was whole")]
    Stopped,
    /// There is no backup, or it was cut off.
    #[error("{} holds no whole backup: it has no file {}, which is written last", path.display(), manifest::FILE_NAME)]
    Incomplete {
        /// The directory.
        path: PathBuf,
    },
    /// The backup was written in a format that this version does not know.
    #[error("{} has backup format {found}; this version reads format {}", path.display(), manifest::BACKUP_FORMAT)]
    Format {
        /// The file that tells the format.
        path: PathBuf,
        /// The format found there.
        found: String,
    },
    /// A file of the backup is not what was written.
    #[error("the backup is damaged: {} {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Another process restores to the same place.
    #[error("{} is in use: another restore is under way", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
}

impl EmbeddedKv {
    /// Copies the store as it is now into `dir`, which must be new or empty, while commits go on.
    /// Everything committed before the call is in it, and of what is committed meanwhile all up to
    /// some commit. `notes` are kept in the manifest. Takes as long as copying takes.
    ///
    /// # Errors
    /// Without a manifest in `dir`: what was copied is not a backup, and is left for the caller.
    pub fn backup(&self, dir: &Path, notes: BTreeMap<String, String>, watch: &mut Watch<'_>) -> Result<BackupManifest, BackupError> {
        let engine = &self.engine;
        let dir = std::path::absolute(dir).map_err(OpenError::io("find", dir))?;
        begin(&dir)?;
        let _held = engine.segments.hold();
        let images = engine.trees.all().iter().map(Tree::image).collect::<Result<Vec<_>, _>>()?;
        // After the tables: they hold no row of a later frame.
        let frame = engine.trees.applied();
        let log = engine.segments.image();
        let pieces = pieces(engine.segments.files(), self.layout.log().as_path(), &log, frame)?;
        let total = images.iter().map(image_bytes).sum::<Result<u64, _>>()? + pieces.iter().map(|piece| piece.length).sum::<u64>();
        let mut writer = Writer::new(engine, &dir, total, watch)?;
        for (table, image) in Table::ALL.into_iter().zip(&images) {
            writer.table(table, image)?;
        }
        writer.log(&log, &pieces, frame)?;
        let manifest = BackupManifest { store_format: super::FORMAT, frame, notes, files: writer.files };
        manifest.write(&dir)?;
        Ok(manifest)
    }
}

/// Makes the directory of a backup.
fn begin(dir: &Path) -> Result<(), BackupError> {
    make_dir(dir)?;
    if layout::names(dir)?.iter().any(|name| !layout::IGNORED_NAMES.contains(&name.as_str())) {
        return Err(BackupError::NotEmpty { path: dir.to_owned(), what: "a backup is made in a new directory, or in an empty one" });
    }
    make_store_dirs(&dir.join(STORE_DIR))
}

/// Makes the directories of a store without files.
fn make_store_dirs(root: &Path) -> Result<(), BackupError> {
    make_dir(&Layout::log_of(root))?;
    for table in Table::ALL {
        make_dir(&tables_config::files_dir(&tables_config::path(&Layout::tables_of(root), table)))?;
    }
    Ok(())
}

/// Makes the names in a store's directories durable.
fn sync_store_dirs(root: &Path) -> Result<(), BackupError> {
    for table in Table::ALL {
        let tree = tables_config::path(&Layout::tables_of(root), table);
        layout::sync_dir(&tables_config::files_dir(&tree))?;
        layout::sync_dir(&tree)?;
    }
    for dir in [Layout::tables_of(root), Layout::log_of(root), root.to_owned()] {
        layout::sync_dir(&dir)?;
    }
    Ok(())
}

fn make_dir(dir: &Path) -> Result<(), BackupError> {
    let made = fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir);
    Ok(made.map_err(OpenError::io("create", dir))?)
}

/// The part of a segment that goes into a backup.
struct Piece {
    sequence: u64,
    path: PathBuf,
    /// From its start, bytes.
    length: u64,
}

/// The segments with the frames of the log up to `last`, each frame found whole.
fn pieces(files: &dyn FileLayer, dir: &Path, log: &Manifest, last: u64) -> Result<Vec<Piece>, OpenError> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut next = log.first_number;
    for sequence in log.first_segment..=log.newest_segment {
        let segment = Segment::open(files, dir, sequence, log.store)?;
        if segment.header.first_number != next {
            break;
        }
        let extent = segment.scan_until(last, &mut |_, _| Ok(()))?;
        next = extent.next_number;
        pieces.push(Piece { sequence, path: segment.path, length: extent.end });
        if next > last {
            return Ok(pieces);
        }
    }
    let (path, offset) = pieces.last().map_or_else(|| (dir.to_owned(), 0), |piece| (piece.path.clone(), piece.length));
    Err(OpenError::damaged(&path, offset, format!("frame {next} is not what was written")))
}

fn image_bytes(image: &Image) -> Result<u64, OpenError> {
    let length = |path: &Path| fs::metadata(path).map(|file| file.len()).map_err(OpenError::io("read", path));
    image.files.files().iter().map(|file| length(&file.path)).sum()
}

/// Writes the files of a backup.
struct Writer<'a, 'w> {
    root: PathBuf,
    files: Vec<BackupFile>,
    meter: Meter<'a, 'w>,
    layer: &'a dyn FileLayer,
}

impl<'a, 'w> Writer<'a, 'w> {
    fn new(engine: &'a Engine, dir: &Path, total_bytes: u64, watch: &'a mut Watch<'w>) -> Result<Self, BackupError> {
        require_room(engine, dir, total_bytes)?;
        // What is held takes room of the store: not for long once that is scarce.
        let scarce = || engine.room.full();
        let give_up = scarce().is_none().then(|| Box::new(scarce) as Box<dyn Fn() -> Option<String> + 'a>);
        let meter = Meter::new(total_bytes, watch, give_up);
        Ok(Self { root: dir.join(STORE_DIR), files: Vec::new(), meter, layer: engine.segments.files() })
    }

    fn table(&mut self, table: Table, image: &Image) -> Result<(), BackupError> {
        let tree = tables_config::path(&Layout::tables_of(&self.root), table);
        for file in image.files.files() {
            let name = file.path.file_name().expect("a file has a name");
            let to = tables_config::files_dir(&tree).join(name);
            let copied = copy::copy(&file.path, None, &to, &mut self.meter)?;
            if copied.checksum != file.checksum {
                let damage = super::tables_check::check(&file).map_err(OpenError::io("read", &file.path))?;
                let (offset, what) = damage.map_or_else(|| (0, "it was read wrong once".to_owned()), |damage| (damage.offset, damage.what));
                return Err(OpenError::damaged(&file.path, offset, what).into());
            }
            self.note(&to, copied.bytes, copied.digest);
        }
        for (name, bytes) in [(&image.list_name, &image.list), (&tables_config::CURRENT.to_owned(), &image.current)] {
            self.write(&tree.join(name), bytes)?;
        }
        Ok(())
    }

    fn log(&mut self, log: &Manifest, pieces: &[Piece], frame: u64) -> Result<(), BackupError> {
        let dir = Layout::log_of(&self.root);
        for piece in pieces {
            let to = super::segment::path(&dir, piece.sequence);
            let copied = copy::copy(&piece.path, Some(piece.length), &to, &mut self.meter)?;
            self.note(&to, copied.bytes, copied.digest);
        }
        let newest_segment = pieces.last().map_or(log.first_segment, |piece| piece.sequence);
        let own = Manifest { newest_segment, closed_after: Some(frame), ..log.clone() };
        ManifestFile::create(self.layer, &dir, own)?;
        let path = dir.join(super::manifest::FILE_NAME);
        let bytes = fs::read(&path).map_err(OpenError::io("read", &path))?;
        self.note(&path, bytes.len() as u64, copy::digest(&bytes));
        self.write(&self.root.join(layout::FORMAT_NAME), &layout::format_file())?;
        sync_store_dirs(&self.root)
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
        layout::write_durably(path, bytes)?;
        self.note(path, bytes.len() as u64, copy::digest(bytes));
        Ok(())
    }

    fn note(&mut self, path: &Path, bytes: u64, digest: chirrup_core::hash::Hash) {
        let path = path.strip_prefix(&self.root).expect("a file of the backup").to_str().expect("our names are ASCII").to_owned();
        self.files.push(BackupFile { path, bytes, digest });
    }
}

/// Refuses when a copy of so many bytes would not fit, or leave the store itself without room.
fn require_room(engine: &Engine, dir: &Path, bytes: u64) -> Result<(), BackupError> {
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev());
    let same = device(dir).map_err(OpenError::io("read", dir))? == device(engine.room.dir()).map_err(OpenError::io("read", dir))?;
    let needed = bytes + if same { engine.room.low_water_bytes() } else { 0 };
    copy::require_room(engine.segments.files(), dir, needed)
}

/// Makes a file's contents, and its new name, durable.
fn put_in_place(unfinished: &Path, path: &Path) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    fs::rename(unfinished, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
