//! Backups of the store of this server: while it runs, by its operator's order; of one that does
//! not run; and their restoring.
//!
//! Must not know: how the operator is asked and told.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chirrup_engine::recovery::{self, RecoveryError};
use chirrup_store::embedded::{self, BackupError, BackupManifest, EmbeddedKv, EmbeddedOptions, OpenError, Progress, Watch};
use serde::{Deserialize, Serialize};
use tokio_util::task::TaskTracker;

use crate::app::STORE_DIR;
use crate::edge;

/// Names of what the server notes in a backup.
const NOTE_INCARNATION: &str = "incarnation";
const NOTE_MADE_MS: &str = "made_ms";
const NOTE_VERSION: &str = "version";

/// How a backup of the running server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BackupStatus {
    /// None was asked for since the start.
    None,
    /// It is being made.
    Running {
        /// Where.
        dir: PathBuf,
        /// Bytes that are copied.
        done_bytes: u64,
        /// Bytes in all; 0 while they are counted.
        total_bytes: u64,
    },
    /// It is whole.
    Done(Taken),
    /// There is none.
    Failed {
        /// Where it would be.
        dir: PathBuf,
        /// Why.
        why: String,
    },
}

/// A backup that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Where.
    pub dir: PathBuf,
    /// The last commit that is in it.
    pub frame: u64,
    /// How many files.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
}

impl Taken {
    /// The backup in `dir`.
    pub fn of(dir: &Path, manifest: &BackupManifest) -> Self {
        Self { dir: dir.to_owned(), frame: manifest.frame, files: manifest.files.len(), bytes: manifest.bytes() }
    }
}

/// Why no backup is begun.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// Another one is under way.
    #[error("a backup to {} is under way", .0.display())]
    Busy(PathBuf),
    /// The store is another engine's.
    #[error("the store is not in the data directory: back it up by its engine's own means, or 'chirrup copy' it while no server runs")]
    NotEmbedded,
}

/// Why work on a store that no server has open did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ClosedError {
    /// There is no store.
    #[error("there is no store in {}", .0.display())]
    NoStore(PathBuf),
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It was not copied.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Its rows could not be read, or written.
    #[error(transparent)]
    Rows(#[from] RecoveryError),
}

/// Backups of the running server, one at a time.
pub struct Backups {
    /// None of a store that is another engine's.
    kv: Option<Arc<EmbeddedKv>>,
    status: Mutex<BackupStatus>,
    stopping: AtomicBool,
    tasks: TaskTracker,
}

impl Backups {
    /// Of this store, if it is an embedded one.
    pub fn new(kv: Option<Arc<EmbeddedKv>>) -> Arc<Self> {
        Arc::new(Self { kv, status: Mutex::new(BackupStatus::None), stopping: AtomicBool::new(false), tasks: TaskTracker::new() })
    }

    fn lock(&self) -> MutexGuard<'_, BackupStatus> {
        // Each change is one assignment.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the last one is.
    pub fn status(&self) -> BackupStatus {
        self.lock().clone()
    }

    /// Begins a backup to a directory that is new or empty. One that is under way to the same
    /// directory is the one that is asked for.
    pub fn start(self: &Arc<Self>, dir: PathBuf) -> Result<(), NotBegun> {
        let Some(kv) = self.kv.clone() else { return Err(NotBegun::NotEmbedded) };
        let mut status = self.lock();
        if let BackupStatus::Running { dir: other, .. } = &*status {
            return if *other == dir { Ok(()) } else { Err(NotBegun::Busy(other.clone())) };
        }
        *status = BackupStatus::Running { dir: dir.clone(), done_bytes: 0, total_bytes: 0 };
        drop(status);
        let backups = Arc::clone(self);
        self.tasks.spawn(async move {
            let (copying, to) = (Arc::clone(&backups), dir.clone());
            let copied = backups.tasks.spawn_blocking(move || copying.copy(&kv, &to)).await;
            let why = match copied {
                Ok(Ok(taken)) => {
                    tracing::info!(dir = %dir.display(), bytes = taken.bytes, "a backup is whole");
                    *backups.lock() = BackupStatus::Done(taken);
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic.to_string(),
            };
            tracing::error!(dir = %dir.display(), %why, "a backup was not made");
            *backups.lock() = BackupStatus::Failed { dir, why };
        });
        Ok(())
    }

    fn copy(&self, kv: &EmbeddedKv, dir: &Path) -> Result<Taken, ClosedError> {
        let mut watch = |Progress { done_bytes, total_bytes }| {
            *self.lock() = BackupStatus::Running { dir: dir.to_owned(), done_bytes, total_bytes };
            if self.stopping.load(Ordering::Acquire) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        take(kv, dir, &mut watch)
    }

    /// Ends what is under way, and waits until it has.
    pub async fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Copies an open store.
fn take(kv: &EmbeddedKv, dir: &Path, watch: &mut Watch<'_>) -> Result<Taken, ClosedError> {
    let mut notes = BTreeMap::from([
        (NOTE_MADE_MS.to_owned(), edge::now_ms().to_string()),
        (NOTE_VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    if let Some(incarnation) = recovery::incarnation(kv).map_err(RecoveryError::from)? {
        notes.insert(NOTE_INCARNATION.to_owned(), incarnation.to_string());
    }
    Ok(Taken::of(dir, &kv.backup(dir, notes, watch)?))
}

/// Copies the store of a data directory whose server does not run.
pub fn back_up_closed(data_dir: &Path, options: EmbeddedOptions, dir: &Path, watch: &mut Watch<'_>) -> Result<Taken, ClosedError> {
    let store = data_dir.join(STORE_DIR);
    if !store.exists() {
        // Opening would make one.
        return Err(ClosedError::NoStore(data_dir.to_owned()));
    }
    take(&EmbeddedKv::open(&store, options)?, dir, watch)
}

/// Makes the store of a data directory that has none of a backup. To clients it is another store
/// than it was: their cursors answer `reset`.
pub fn restore(backup: &Path, data_dir: &Path, options: EmbeddedOptions, watch: &mut Watch<'_>) -> Result<Taken, ClosedError> {
    let prepare = |kv: &EmbeddedKv| Ok(recovery::renew(kv, edge::incarnation(), 0)?);
    let manifest = embedded::restore::<ClosedError>(backup, &data_dir.join(STORE_DIR), options, prepare, watch)?;
    Ok(Taken::of(backup, &manifest))
}
