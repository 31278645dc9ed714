//! The directory of a store: its format, its lock, and making it anew.
//!
//! ```text
//! FORMAT   the format's number; written last when a store is made, read before anything else
//! LOCK     held while the store is open; what it holds does not matter
//! MAKING   there while a store is being made
//! RESERVE  room for the day when the disk is full
//! log/     the log
//! tables/  one tree for each table
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// The only format this version reads and writes. It covers the log, the trees and the keys.
pub const FORMAT: u32 = 1;

pub(super) const FORMAT_NAME: &str = "FORMAT";
const LOCK_NAME: &str = "LOCK";
const MAKING_NAME: &str = "MAKING";
pub(super) const RESERVE_NAME: &str = "RESERVE";
const FORMAT_PREFIX: &str = "chirrup embedded store, format ";

/// What a new directory may hold besides: a file system's own.
pub(super) const IGNORED_NAMES: [&str; 2] = [LOCK_NAME, "lost+found"];

/// A store's directory, locked while this lives.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    lock: File,
}

impl Drop for Layout {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that is just being started from this one may
        // have it open, too, for a moment.
        drop(self.lock.unlock());
    }
}

impl Layout {
    /// Checks the format, takes the lock, and makes the store with `make` if there is none.
    /// `make` gets the layout of an empty store with its directories.
    pub(super) fn open(root: &Path, make: impl FnOnce(&Self) -> Result<(), OpenError>) -> Result<Self, OpenError> {
        let root = std::path::absolute(root).map_err(OpenError::io("find", root))?;
        let known = check_format(&root)?;
        fs::create_dir_all(&root).map_err(OpenError::io("create", &root))?;
        let layout = Self { lock: lock(&root)?, root };
        // Again, now that nobody else can change it.
        if !known && !check_format(&layout.root)? {
            layout.make(make)?;
        }
        Ok(layout)
    }

    /// The directory of the log.
    pub(super) fn log(&self) -> PathBuf {
        Self::log_of(&self.root)
    }

    /// The directory of the trees.
    pub(super) fn tables(&self) -> PathBuf {
        Self::tables_of(&self.root)
    }

    /// The directory of the log of a store in `root`.
    pub(super) fn log_of(root: &Path) -> PathBuf {
        root.join("log")
    }

    /// The directory of the trees of a store in `root`.
    pub(super) fn tables_of(root: &Path) -> PathBuf {
        root.join("tables")
    }

    /// The store's directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn make(&self, make: impl FnOnce(&Self) -> Result<(), OpenError>) -> Result<(), OpenError> {
        let making = self.root.join(MAKING_NAME);
        let names = names(&self.root)?;
        if names.iter().any(|name| name == MAKING_NAME) {
            // Nothing was ever acknowledged by a store that was not finished.
            for dir in [self.log(), self.tables()] {
                match fs::remove_dir_all(&dir) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(OpenError::io("remove", &dir)(error));
                    }
                    _ => {}
                }
            }
        } else if let Some(name) = names.iter().find(|name| !IGNORED_NAMES.contains(&name.as_str())) {
            let what = format!("there is no file {FORMAT_NAME}, but there is {name}");
            return Err(OpenError::NotAStore { path: self.root.clone(), what });
        }
        write_durably(&making, b"")?;
        sync_dir(&self.root)?;
        for dir in [self.log(), self.tables()] {
            fs::create_dir(&dir).map_err(OpenError::io("create", &dir))?;
        }
        make(self)?;
        for dir in [self.log(), self.tables(), self.root.clone()] {
            sync_dir(&dir)?;
        }
        let format = self.root.join(FORMAT_NAME);
        let unfinished = self.root.join("FORMAT.unfinished");
        write_durably(&unfinished, &format_file())?;
        fs::rename(&unfinished, &format).map_err(OpenError::io("rename", &unfinished))?;
        sync_dir(&self.root)?;
        fs::remove_file(&making).map_err(OpenError::io("remove", &making))?;
        if let Some(parent) = self.root.parent() {
            sync_dir(parent)?;
        }
        Ok(())
    }
}

/// What the file that tells the format holds.
pub(super) fn format_file() -> Vec<u8> {
    format!("{FORMAT_PREFIX}{FORMAT}\n").into_bytes()
}

/// Whether there is a store of the known format; refuses any other.
pub(super) fn check_format(root: &Path) -> Result<bool, OpenError> {
    let path = root.join(FORMAT_NAME);
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(OpenError::io("read", &path)(error)),
    };
    let Some(found) = text.strip_prefix(FORMAT_PREFIX).and_then(|rest| rest.strip_suffix('\n')) else {
        return Err(OpenError::damaged(&path, 0, "the file does not tell a format"));
    };
    if found == FORMAT.to_string() {
        return Ok(true);
    }
    Err(OpenError::Format { path, found: found.to_owned(), supported: FORMAT })
}

/// Takes the lock, if there is a file for it; nothing is written.
pub(super) fn lock_if_there(root: &Path) -> Result<Option<File>, OpenError> {
    let path = root.join(LOCK_NAME);
    match File::open(&path) {
        Ok(file) => take_lock(file, root, &path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::io("open", &path)(error)),
    }
}

fn lock(root: &Path) -> Result<File, OpenError> {
    let path = root.join(LOCK_NAME);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    take_lock(file.map_err(OpenError::io("open", &path))?, root, &path)
}

fn take_lock(file: File, root: &Path, path: &Path) -> Result<File, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: root.to_owned() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io("lock", path)(error)),
    }
}

/// The names in a directory.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, OpenError> {
    let entries = fs::read_dir(dir).map_err(OpenError::io("list", dir))?;
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<io::Result<_>>().map_err(OpenError::io("list", dir))
}

/// Writes a file, durably but for its name.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    fs::write(path, bytes).map_err(OpenError::io("write", path))?;
    File::open(path).and_then(|file| file.sync_all()).map_err(OpenError::io("sync", path))
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(OpenError::io("sync", path))
}
