//! Restoring a backup: beside its place, checked in full, and only then put there at once.
//!
//! Must not know: what the rows mean.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::copy::{self, Meter};
use super::manifest::BackupManifest;
use super::{BackupError, EmbeddedKv, OpenError, STORE_DIR, Watch, layout, make_dir, make_store_dirs, sync_store_dirs};
use crate::embedded::layout::FORMAT;
use crate::embedded::options::EmbeddedOptions;

/// What is put behind a store's name while it is being restored.
const STAGING_SUFFIX: &str = ".restoring";

/// Makes a store at `target`, which must not be there or be empty, of the backup in `backup`.
/// Every file is compared with its digest, the store is opened and read in full, and `prepare` is
/// given it, before it gets its place. Killed at any step, it can be called again; what it left
/// beside `target` is removed then.
///
/// # Errors
/// Nothing is at `target` then that was not there before.
pub fn restore<E: From<BackupError>>(
    backup: &Path,
    target: &Path,
    options: EmbeddedOptions,
    prepare: impl FnOnce(&EmbeddedKv) -> Result<(), E>,
    watch: &mut Watch<'_>,
) -> Result<BackupManifest, E> {
    let target = std::path::absolute(target).map_err(|error| BackupError::from(OpenError::io("find", target)(error)))?;
    let manifest = BackupManifest::read(backup)?;
    if manifest.store_format != FORMAT {
        let path = backup.join(STORE_DIR).join(layout::FORMAT_NAME);
        let (found, supported) = (manifest.store_format.to_string(), FORMAT);
        return Err(BackupError::from(OpenError::Format { path, found, supported }).into());
    }
    require_free(&target)?;
    let staging = Staging::begin(&target)?;
    copy::require_room(options.files.as_ref(), &staging.path, manifest.bytes())?;
    fill(&backup.join(STORE_DIR), &staging.path, &manifest, watch)?;
    let kv = EmbeddedKv::open(&staging.path, options).map_err(BackupError::from)?;
    kv.verify().map_err(BackupError::from)?;
    prepare(&kv)?;
    drop(kv);
    staging.put_in_place(&target)?;
    Ok(manifest)
}

/// Refuses a place that holds something.
fn require_free(target: &Path) -> Result<(), BackupError> {
    match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(BackupError::NotEmpty { path: target.to_owned(), what: "a backup is not restored over a store" }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OpenError::io("list", target)(error).into()),
    }
}

/// Copies the files of a backup, each compared with its digest.
fn fill(store: &Path, staging: &Path, manifest: &BackupManifest, watch: &mut Watch<'_>) -> Result<(), BackupError> {
    make_store_dirs(staging)?;
    let mut meter = Meter::new(manifest.bytes(), watch, None);
    for file in &manifest.files {
        let from = store.join(&file.path);
        let damaged = |what: String| BackupError::Damaged { path: from.clone(), what };
        let length = match fs::metadata(&from) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("is missing".to_owned())),
            Err(error) => return Err(OpenError::io("read", &from)(error).into()),
        };
        if length != file.bytes {
            return Err(damaged(format!("is {length} bytes long, not {}", file.bytes)));
        }
        let copied = copy::copy(&from, None, &staging.join(&file.path), &mut meter)?;
        if copied.digest != file.digest {
            return Err(damaged("is not what was written: its digest is another".to_owned()));
        }
    }
    sync_store_dirs(staging)
}

/// Where a store is until it is whole, locked while this lives.
struct Staging {
    path: PathBuf,
    lock: File,
}

impl Staging {
    /// Begins with nothing, whatever an earlier restore left.
    fn begin(target: &Path) -> Result<Self, BackupError> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(STAGING_SUFFIX);
        let path = target.with_file_name(name);
        make_dir(&path)?;
        let lock = File::open(&path).map_err(OpenError::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Busy { path }),
            Err(TryLockError::Error(error)) => return Err(OpenError::io("lock", &path)(error).into()),
        }
        for name in layout::names(&path)? {
            let left = path.join(name);
            let removed = if left.is_dir() { fs::remove_dir_all(&left) } else { fs::remove_file(&left) };
            removed.map_err(OpenError::io("remove", &left))?;
        }
        Ok(Self { path, lock })
    }

    /// Gives the store its place: it is there whole, or not at all.
    fn put_in_place(self, target: &Path) -> Result<(), BackupError> {
        layout::sync_dir(&self.path)?;
        fs::rename(&self.path, target).map_err(OpenError::io("put in its place", &self.path))?;
        drop(self.lock);
        if let Some(parent) = target.parent() {
            layout::sync_dir(parent)?;
        }
        Ok(())
    }
}
