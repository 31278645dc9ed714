//! The log: the truth of the store. A commit is one frame, written and synced before anything
//! else happens.
//!
//! [`Log`] is the writing end, held by one committer at a time. [`Segments`] is what background
//! work may touch meanwhile: the manifest, the segments that are full, and the spare that is
//! made ready before it is needed. Must not know: what is in the frames.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chirrup_mutants::{kill_point, mutant};

use super::error::OpenError;
use super::file::{FileLayer, LayerFile, Open, is_no_room};
use super::frame::{self, Frame};
use super::manifest::{Manifest, ManifestFile};
use super::segment::{self, FIRST_FRAME, Segment};

// Segments that are not yet part of the log. The committer and the background thread may make
// one at the same time, so they use different names; and a spare has a name of its own, since
// the next one may be made while it is being put to use.
const SPARE_PREFIX: &str = "spare-";
const UNFINISHED_SPARE_NAME: &str = "unfinished-spare";
const UNFINISHED_NAME: &str = "unfinished";

/// A segment that somebody waits for is this part of the usual length.
const SHORT_PART: u64 = 8;

/// Written in pieces of this many bytes when a segment is filled with zeros.
const ZEROS_BYTES: usize = 1 << 20;

/// Why a frame was not appended.
#[derive(Debug)]
pub(super) enum AppendError {
    /// There is no room. Nothing was written that could be taken for the frame.
    NoRoom(io::Error),
    /// The frame may be there or not, and nothing may be written behind it.
    Broken(String),
}

/// A segment that is full.
#[derive(Clone, Copy, Debug)]
struct Sealed {
    sequence: u64,
    last_number: u64,
}

struct SegmentsState {
    manifest: ManifestFile,
    sealed: VecDeque<Sealed>,
    spare: Option<Spare>,
    spares_made: u64,
    /// While there are some, nothing is removed.
    holds: usize,
}

/// A segment that is ready to become part of the log.
struct Spare {
    file: Box<dyn LayerFile>,
    length: u64,
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

    /// How many segments are full and not yet removed, and the last number in the oldest.
    pub(super) fn sealed(&self) -> (usize, Option<u64>) {
        let state = self.lock();
        (state.sealed.len(), state.sealed.front().map(|sealed| sealed.last_number))
    }

    /// Makes a spare segment ready if there is none, so that the committer need not.
    pub(super) fn make_spare(&self) -> io::Result<()> {
        let mut state = self.lock();
        if state.spare.is_some() {
            return Ok(());
        }
        state.spares_made += 1;
        let name = format!("{SPARE_PREFIX}{}", state.spares_made);
        drop(state);
        let file = self.allocate(UNFINISHED_SPARE_NAME, self.segment_bytes)?;
        self.files.rename(&self.dir.join(UNFINISHED_SPARE_NAME), &self.dir.join(&name))?;
        self.files.sync_dir(&self.dir)?;
        self.lock().spare = Some(Spare { file, length: self.segment_bytes, name });
        Ok(())
    }

    /// A new file for a segment of at least this length, made while a commit waits: a short one.
    fn allocate_short(&self, least: u64) -> io::Result<Spare> {
        let length = (self.segment_bytes / SHORT_PART).max(least);
        Ok(Spare { file: self.allocate(UNFINISHED_NAME, length)?, length, name: UNFINISHED_NAME.to_owned() })
    }

    /// A new file of this name and length; nothing is left of it on an error.
    fn allocate(&self, name: &str, length: u64) -> io::Result<Box<dyn LayerFile>> {
        let path = self.dir.join(name);
        let file = match self.files.open(&path, Open::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.files.remove(&path)?;
                self.files.open(&path, Open::CreateNew)?
            }
            other => other?,
        };
        if let Err(error) = write_out(file.as_ref(), length) {
            self.files.remove(&path)?;
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

/// The segment being written.
struct Active {
    file: Box<dyn LayerFile>,
    sequence: u64,
    salt: u64,
    length: u64,
    /// Where the next frame goes.
    end: u64,
}

/// The writing end of the log.
pub(super) struct Log {
    segments: Arc<Segments>,
    store: u64,
    active: Active,
    next_number: u64,
}

impl Log {
    /// The log as recovery found it: `last` ends at `end`, the frame after it bears `next_number`.
    pub(super) fn new(
        files: Arc<dyn FileLayer>,
        dir: &Path,
        segment_bytes: u64,
        manifest: ManifestFile,
        recovered: super::recover::Recovered,
    ) -> Self {
        let super::recover::Recovered { sealed, last, end, next_number, .. } = recovered;
        let store = manifest.current().store;
        let sealed = sealed.into_iter().map(|(sequence, last_number)| Sealed { sequence, last_number }).collect();
        let Segment { file, header, length, .. } = last;
        Self {
            segments: Arc::new(Segments {
                files,
                dir: dir.to_owned(),
                segment_bytes,
                state: Mutex::new(SegmentsState { manifest, sealed, spare: None, spares_made: 0, holds: 0 }),
            }),
            store,
            active: Active { file, sequence: header.sequence, salt: header.salt, length, end },
            next_number,
        }
    }

    /// What background work may touch.
    pub(super) fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// The number of the last frame; 0 if there was never one.
    pub(super) fn last_number(&self) -> u64 {
        self.next_number - 1
    }

    /// The sequence of the segment being written.
    pub(super) fn active_sequence(&self) -> u64 {
        self.active.sequence
    }

    /// Whether the segment being written has room for this frame.
    pub(super) fn fits(&self, frame: &Frame) -> bool {
        self.active.end + frame.len() <= self.active.length
    }

    /// Writes a frame and makes it durable. Returns its number. After `Broken` it must not be called
    /// again.
    pub(super) fn append(&mut self, frame: &mut Frame) -> Result<u64, AppendError> {
        if !self.fits(frame) {
            self.next_segment(frame.len())?;
        }
        let number = self.next_number;
        let half = frame.payload().len() / 2;
        let bytes = frame.seal(self.active.salt, number);
        kill_point!(LogUnwritten);
        kill_point!(LogTorn, self.active.file.write_all_at(&bytes[..half], self.active.end));
        if let Err(error) = self.active.file.write_all_at(bytes, self.active.end) {
            return Err(self.unwrite(frame, error));
        }
        kill_point!(LogWritten);
        if !mutant!(AckBeforeSync) {
            self.active.file.sync().map_err(|error| AppendError::Broken(format!("failed to sync the log: {error}")))?;
        }
        kill_point!(LogSynced);
        self.active.end += frame.len();
        self.next_number += 1;
        Ok(number)
    }

    /// After a write of `frame` that failed: makes sure that it is not found whole in its place.
    fn unwrite(&self, frame: &Frame, error: io::Error) -> AppendError {
        if !is_no_room(&error) {
            return AppendError::Broken(format!("failed to write to the log: {error}"));
        }
        let file = self.active.file.as_ref();
        let nothing = [0; frame::HEADER_BYTES];
        let undone = match file.write_all_at(&nothing, self.active.end) {
            Ok(()) => file.sync().map(|()| true),
            // A file system that writes elsewhere each time may have no room for that either. Then
            // the part that was written stays until the next frame takes its place.
            Err(second) if is_no_room(&second) => frame.is_at(file, self.active.end).map(|whole| !whole),
            Err(second) => Err(second),
        };
        match undone {
            Ok(true) => AppendError::NoRoom(error),
            Ok(false) => AppendError::Broken(format!("a frame of the log was written, in spite of: {error}")),
            Err(second) => AppendError::Broken(format!("failed to undo a write to the log: {second}, after: {error}")),
        }
    }

    /// Turns to a new segment with room for a frame of `bytes`.
    fn next_segment(&mut self, bytes: u64) -> Result<(), AppendError> {
        let segments = Arc::clone(&self.segments);
        let least = FIRST_FRAME + bytes;
        let path = segment::path(&segments.dir, self.active.sequence + 1);
        let spare = segments.lock().spare.take_if(|spare| spare.length >= least);
        let spare = match spare {
            Some(spare) => spare,
            None => segments.allocate_short(least).map_err(classify("allocate"))?,
        };
        let unfinished = segments.dir.join(&spare.name);
        let begun = self.begin_segment(spare, &unfinished, &path);
        if let Err(AppendError::NoRoom(_)) = begun {
            // It bears one of these names, and gives back its room. What cannot be removed now is at
            // the next opening.
            for path in [unfinished, path] {
                drop(segments.files.remove(&path));
            }
        }
        begun
    }

    /// Makes a spare segment the one that is written, in its place at `path`. After `NoRoom` the
    /// segment before counts.
    fn begin_segment(&mut self, spare: Spare, unfinished: &Path, path: &Path) -> Result<(), AppendError> {
        let segments = Arc::clone(&self.segments);
        let Spare { file, length, .. } = spare;
        let header = segment::Header {
            store: self.store,
            sequence: self.active.sequence + 1,
            first_number: self.next_number,
            salt: segments.files.random().map_err(classify("draw a random number for"))?,
            length,
        };
        file.write_all_at(&header.encode(), 0).map_err(classify("begin"))?;
        synced(file.sync()).map_err(classify("begin"))?;
        segments.files.rename(unfinished, path).map_err(classify("place"))?;
        synced(segments.files.sync_dir(&segments.dir)).map_err(classify("place"))?;
        kill_point!(SegmentBegun);
        let mut state = segments.lock();
        state.manifest.write(|manifest| manifest.newest_segment = header.sequence).map_err(classify("name"))?;
        state.sealed.push_back(Sealed { sequence: self.active.sequence, last_number: self.next_number - 1 });
        self.active = Active { file, sequence: header.sequence, salt: header.salt, length, end: FIRST_FRAME };
        Ok(())
    }

    /// Tells the manifest that this is the end of the log, so that a loss of it is noticed.
    pub(super) fn close(&mut self) -> io::Result<()> {
        let last = self.last_number();
        self.segments.lock().manifest.write(|manifest| manifest.closed_after = Some(last))
    }
}

/// Gives a new file its length, and writes it out, durably. A sync of what is written within it then
/// changes the contents alone: it waits for no journal, and needs none. Of room that was only promised
/// ext4 may say that it was synced, while its journal is given up, though it was not.
fn write_out(file: &dyn LayerFile, length: u64) -> io::Result<()> {
    file.allocate(length)?;
    let zeros = vec![0; ZEROS_BYTES];
    for offset in (0..length).step_by(ZEROS_BYTES) {
        let piece = usize::try_from(length - offset).map_or(ZEROS_BYTES, |left| left.min(ZEROS_BYTES));
        file.write_all_at(&zeros[..piece], offset)?;
        // A commit's own sync waits behind what was written here, so that is never much.
        synced(file.sync())?;
    }
    Ok(())
}

fn classify(what: &str) -> impl FnOnce(io::Error) -> AppendError {
    move |error| {
        if is_no_room(&error) {
            AppendError::NoRoom(error)
        } else {
            AppendError::Broken(format!("failed to {what} a segment of the log: {error}"))
        }
    }
}

/// Whatever made a sync fail, it is not known what it has left: it must not be taken for want of
/// room, after which all goes on.
fn synced(result: io::Result<()>) -> io::Result<()> {
    result.map_err(|error| io::Error::other(format!("failed to sync: {error}")))
}

/// Makes the first segment and the manifest of a new log.
pub(super) fn create(files: &dyn FileLayer, dir: &Path, segment_bytes: u64) -> Result<(), OpenError> {
    let draw = || files.random().map_err(OpenError::io("draw a random number for", dir));
    let length = (segment_bytes / SHORT_PART).max(FIRST_FRAME);
    let header = segment::Header { store: draw()?, sequence: 1, first_number: 1, salt: draw()?, length };
    let path = segment::path(dir, 1);
    let file = files.open(&path, Open::CreateNew).map_err(OpenError::io("create", &path))?;
    write_out(file.as_ref(), length).map_err(OpenError::io("allocate", &path))?;
    file.write_all_at(&header.encode(), 0).map_err(OpenError::io("write", &path))?;
    file.sync().map_err(OpenError::io("sync", &path))?;
    ManifestFile::create(
        files,
        dir,
        Manifest { generation: 0, store: header.store, first_segment: 1, first_number: 1, newest_segment: 1, closed_after: None },
    )?;
    files.sync_dir(dir).map_err(OpenError::io("sync", dir))
}
