//! The files of the log other than the one being written: the manifest, the segments that are full,
//! and the spare that is made ready before it is needed.
//!
//! Must not know: what is in the frames.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chirrup_mutants::kill_point;

use super::file::{FileLayer, LayerFile, Open};
use super::manifest::{Manifest, ManifestFile};
use super::segment::{self, Sealed};

// Segments that are not yet part of the log. The committer and the background thread may make
// one at the same time, so they use different names; and a spare has a name of its own, since
// the next one may be made while it is being put to use.
const SPARE_PREFIX: &str = "spare-";
const UNFINISHED_SPARE_NAME: &str = "unfinished-spare";
const UNFINISHED_NAME: &str = "unfinished";

/// A segment that somebody waits for is this part of the usual length.
const SHORT_PART: u64 = 8;

/// A new segment is written out in pieces of this many bytes, each synced: a commit's own sync waits
/// behind what was written, so that is never much.
const PIECE_BYTES: u64 = 256 << 10;

struct SegmentsState {
    manifest: ManifestFile,
    sealed: VecDeque<Sealed>,
    spare: Option<Spare>,
    /// One that is being made ready, and how much of it is written out.
    begun: Option<(Box<dyn LayerFile>, u64)>,
    spares_made: u64,
    /// While there are some, nothing is removed.
    holds: usize,
}

/// A segment that is ready to become part of the log.
pub(super) struct Spare {
    pub(super) file: Box<dyn LayerFile>,
    pub(super) length: u64,
    name: String,
}

/// The log's files other than the one being written.
pub(super) struct Segments {
    files: Arc<dyn FileLayer>,
    dir: PathBuf,
    segment_bytes: u64,
    state: Mutex<SegmentsState>,
}

impl Segments {
    /// What recovery found, beside the segment that is written on.
    pub(super) fn new(files: Arc<dyn FileLayer>, dir: &Path, segment_bytes: u64, manifest: ManifestFile, sealed: Vec<Sealed>) -> Self {
        let state = SegmentsState { manifest, sealed: sealed.into(), spare: None, begun: None, spares_made: 0, holds: 0 };
        Self { files, dir: dir.to_owned(), segment_bytes, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, SegmentsState> {
        // A panic under this lock leaves at worst a manifest in memory that is behind the one on
        // disk, which the next write puts right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The length of a segment that holds no larger frame.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// What file access goes through.
    pub(super) fn files(&self) -> &dyn FileLayer {
        self.files.as_ref()
    }

    /// The directory of the log.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The place of a segment that is not yet part of the log.
    pub(super) fn place_of(&self, spare: &Spare) -> PathBuf {
        self.dir.join(&spare.name)
    }

    /// Tells the manifest of a new segment, and that the one before it is full.
    pub(super) fn turn(&self, full: Sealed, newest: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.manifest.write(|manifest| manifest.newest_segment = newest)?;
        state.sealed.push_back(full);
        Ok(())
    }

    /// Tells the manifest that the log ends with this frame, so that a loss of it is noticed.
    pub(super) fn close_after(&self, last: u64) -> io::Result<()> {
        self.lock().manifest.write(|manifest| manifest.closed_after = Some(last))
    }

    /// Keeps every segment that is there, and that is made, while the answer lives.
    pub(super) fn hold(&self) -> Held<'_> {
        self.lock().holds += 1;
        Held(self)
    }

    /// Which segments there are now.
    pub(super) fn image(&self) -> Manifest {
        self.lock().manifest.current().clone()
    }

    /// Removes segments all of whose frames are below `number`, unless they are held.
    pub(super) fn trim(&self, number: u64) -> io::Result<()> {
        let mut state = self.lock();
        if state.holds > 0 {
            return Ok(());
        }
        let removable = state.sealed.iter().take_while(|sealed| sealed.last_number < number).count();
        let Some(last) = removable.checked_sub(1).map(|last| state.sealed[last]) else { return Ok(()) };
        state.manifest.write(|manifest| {
            manifest.first_segment = last.sequence + 1;
            manifest.first_number = last.last_number + 1;
        })?;
        let removed: Vec<Sealed> = state.sealed.drain(..removable).collect();
        drop(state);
        kill_point!(LogUntrimmed);
        for sealed in removed {
            self.files.remove(&segment::path(&self.dir, sealed.sequence))?;
        }
        Ok(())
    }

    /// The length of all segments that are full and not yet removed, bytes, and the last number in the
    /// oldest.
    pub(super) fn sealed(&self) -> (u64, Option<u64>) {
        let state = self.lock();
        (state.sealed.iter().map(|sealed| sealed.length).sum(), state.sealed.front().map(|sealed| sealed.last_number))
    }

    /// Does one more piece of the work that makes a spare segment ready, so that the committer need
    /// not; a new one is begun only if there `is_room`. Whether nothing is left to do. One caller at a
    /// time.
    pub(super) fn make_spare(&self, is_room: bool) -> io::Result<bool> {
        let mut state = self.lock();
        if state.spare.is_some() {
            return Ok(true);
        }
        let begun = state.begun.take();
        drop(state);
        let unfinished = self.dir.join(UNFINISHED_SPARE_NAME);
        let (file, written) = match begun {
            Some(begun) => begun,
            None if is_room => (self.allocate(&unfinished, self.segment_bytes)?, 0),
            None => return Ok(true),
        };
        let written = match write_piece(file.as_ref(), written, self.segment_bytes) {
            Ok(written) => written,
            Err(error) => {
                self.files.remove(&unfinished)?;
                return Err(error);
            }
        };
        let mut state = self.lock();
        if written < self.segment_bytes {
            state.begun = Some((file, written));
            return Ok(false);
        }
        state.spares_made += 1;
        let name = format!("{SPARE_PREFIX}{}", state.spares_made);
        drop(state);
        self.files.rename(&unfinished, &self.dir.join(&name))?;
        self.files.sync_dir(&self.dir)?;
        self.lock().spare = Some(Spare { file, length: self.segment_bytes, name });
        Ok(true)
    }

    /// Gives back the room of a spare segment that is not ready yet.
    pub(super) fn give_up_spare(&self) -> io::Result<()> {
        let begun = self.lock().begun.take();
        begun.map_or(Ok(()), |_| self.files.remove(&self.dir.join(UNFINISHED_SPARE_NAME)))
    }

    /// The spare segment, if it is at least so long; else one that is made while a commit waits, and
    /// short.
    pub(super) fn take_spare(&self, least: u64) -> io::Result<Spare> {
        let spare = self.lock().spare.take_if(|spare| spare.length >= least);
        if let Some(spare) = spare {
            return Ok(spare);
        }
        let length = short(self.segment_bytes).max(least);
        let path = self.dir.join(UNFINISHED_NAME);
        let file = self.allocate(&path, length)?;
        if let Err(error) = write_out(file.as_ref(), length) {
            self.files.remove(&path)?;
            return Err(error);
        }
        Ok(Spare { file, length, name: UNFINISHED_NAME.to_owned() })
    }

    /// A new file with room for this length; nothing is left of it on an error.
    fn allocate(&self, path: &Path, length: u64) -> io::Result<Box<dyn LayerFile>> {
        let file = match self.files.open(path, Open::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.files.remove(path)?;
                self.files.open(path, Open::CreateNew)?
            }
            other => other?,
        };
        if let Err(error) = file.allocate(length) {
            self.files.remove(path)?;
            return Err(error);
        }
        Ok(file)
    }
}

/// While it lives, no segment is removed.
pub(super) struct Held<'a>(&'a Segments);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.lock().holds -= 1;
    }
}

/// The length of a segment that somebody waits for.
pub(super) fn short(segment_bytes: u64) -> u64 {
    segment_bytes / SHORT_PART
}

/// Writes out a new file that has its room, durably. A sync of what is written within it then changes
/// the contents alone: it waits for no journal, and needs none. Of room that was only promised ext4 may
/// say that it was synced, while its journal is given up, though it was not.
pub(super) fn write_out(file: &dyn LayerFile, length: u64) -> io::Result<()> {
    let mut written = 0;
    while written < length {
        written = write_piece(file, written, length)?;
    }
    Ok(())
}

/// One piece of it; how much is written then.
fn write_piece(file: &dyn LayerFile, written: u64, length: u64) -> io::Result<u64> {
    let piece = PIECE_BYTES.min(length - written);
    file.write_all_at(&vec![0; piece as usize], written)?;
    synced(file.sync())?;
    Ok(written + piece)
}

/// Whatever made a sync fail, it is not known what it has left: it must not be taken for want of
/// room, after which all goes on.
pub(super) fn synced(result: io::Result<()>) -> io::Result<()> {
    result.map_err(|error| io::Error::other(format!("failed to sync: {error}")))
}
