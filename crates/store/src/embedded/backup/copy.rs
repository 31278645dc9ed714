//! Copying files of a store, with digests on the way.
//!
//! Must not know: which files.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use chirrup_core::hash::Hash;
use xxhash_rust::xxh3::Xxh3;

use super::{BackupError, OpenError, Progress, Watch};
use crate::embedded::file::FileLayer;

/// Read and written at once. The new file is synced as often: a commit's own sync may wait
/// behind what was written here, so that is never much.
const PIECE_BYTES: usize = 4 << 20;

/// Tells how far a copy is, and whether to go on.
pub(super) struct Meter<'a, 'w> {
    progress: Progress,
    watch: &'a mut Watch<'w>,
    give_up: Option<Box<dyn Fn() -> Option<String> + 'a>>,
}

impl<'a, 'w> Meter<'a, 'w> {
    /// `give_up` says why the copy should not go on, if so.
    pub(super) fn new(total_bytes: u64, watch: &'a mut Watch<'w>, give_up: Option<Box<dyn Fn() -> Option<String> + 'a>>) -> Self {
        Self { progress: Progress { done_bytes: 0, total_bytes }, watch, give_up }
    }

    fn done(&mut self, bytes: u64, path: &Path) -> Result<(), BackupError> {
        self.progress.done_bytes += bytes;
        if let Some(what) = self.give_up.as_ref().and_then(|give_up| give_up()) {
            return Err(BackupError::NoRoom { path: path.to_owned(), what });
        }
        if (self.watch)(self.progress).is_break() { Err(BackupError::Stopped) } else { Ok(()) }
    }
}

/// What was copied.
pub(super) struct Copied {
    pub(super) bytes: u64,
    pub(super) digest: Hash,
    /// As lists of files hold it.
    pub(super) checksum: u128,
}

/// The digest of some bytes.
pub(super) fn digest(bytes: &[u8]) -> Hash {
    Hash::of(bytes)
}

/// Copies a file, or its first `length` bytes, durably but for its name. `to` must be new.
pub(super) fn copy(from: &Path, length: Option<u64>, to: &Path, meter: &mut Meter<'_, '_>) -> Result<Copied, BackupError> {
    let source = File::open(from).map_err(OpenError::io("open", from))?;
    let mut source = source.take(length.unwrap_or(u64::MAX));
    let mut target = OpenOptions::new().write(true).create_new(true).open(to).map_err(OpenError::io("create", to))?;
    let (mut digest, mut checksum, mut bytes) = (blake3::Hasher::new(), Xxh3::new(), 0);
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    loop {
        piece.clear();
        source.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(OpenError::io("read", from))?;
        if piece.is_empty() {
            break;
        }
        digest.update(&piece);
        checksum.update(&piece);
        target.write_all(&piece).and_then(|()| target.sync_data()).map_err(OpenError::io("write", to))?;
        bytes += piece.len() as u64;
        meter.done(piece.len() as u64, to)?;
    }
    if let Some(length) = length.filter(|length| bytes < *length) {
        return Err(OpenError::damaged(from, bytes, format!("the file ends before byte {length}")).into());
    }
    target.sync_all().map_err(OpenError::io("sync", to))?;
    Ok(Copied { bytes, digest: Hash(*digest.finalize().as_bytes()), checksum: checksum.digest128() })
}

/// Refuses when so many bytes would not fit where `dir` is.
pub(super) fn require_room(files: &dyn FileLayer, dir: &Path, needed: u64) -> Result<(), BackupError> {
    let free = files.free_bytes(dir).map_err(OpenError::io("ask for room in", dir))?;
    if free < needed {
        return Err(BackupError::NoRoom { path: dir.to_owned(), what: format!("{free} bytes are free, {needed} are needed") });
    }
    Ok(())
}
