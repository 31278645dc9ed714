//! The log: the truth of the store. A commit is one frame, written and synced before anything
//! else happens.
//!
//! [`Log`] is the writing end, held by one committer at a time. [`Segments`] is what background
//! work may touch meanwhile. Must not know: what is in the frames.

use std::io;
use std::path::Path;
use std::sync::Arc;

use chirrup_mutants::{kill_point, mutant};

use super::error::OpenError;
use super::file::{FileLayer, LayerFile, Open, is_no_room};
use super::frame::{self, Frame};
use super::manifest::{Manifest, ManifestFile};
use super::segment::{self, FIRST_FRAME, Sealed, Segment};
use super::segments::{self, Segments, Spare, synced};

/// Why a frame was not appended.
#[derive(Debug)]
pub(super) enum AppendError {
    /// There is no room. Nothing was written that could be taken for the frame.
    NoRoom(io::Error),
    /// The frame may be there or not, and nothing may be written behind it.
    Broken(String),
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
        let Segment { file, header, length, .. } = last;
        Self {
            segments: Arc::new(Segments::new(files, dir, segment_bytes, manifest, sealed)),
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
            if mutant!(AckBeforeSync) {
                self.sync()?;
            }
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
            self.sync()?;
        }
        kill_point!(LogSynced);
        self.active.end += frame.len();
        self.next_number += 1;
        Ok(number)
    }

    fn sync(&self) -> Result<(), AppendError> {
        self.active.file.sync().map_err(|error| AppendError::Broken(format!("failed to sync the log: {error}")))
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
        let path = segment::path(segments.dir(), self.active.sequence + 1);
        let spare = segments.take_spare(least).map_err(classify("allocate"))?;
        let unfinished = segments.place_of(&spare);
        let begun = self.begin_segment(spare, &unfinished, &path);
        if let Err(AppendError::NoRoom(_)) = begun {
            // It bears one of these names, and gives back its room. What cannot be removed now is at
            // the next opening.
            for path in [unfinished, path] {
                drop(segments.files().remove(&path));
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
            salt: segments.files().random().map_err(classify("draw a random number for"))?,
            length,
        };
        file.write_all_at(&header.encode(), 0).map_err(classify("begin"))?;
        synced(file.sync()).map_err(classify("begin"))?;
        segments.files().rename(unfinished, path).map_err(classify("place"))?;
        synced(segments.files().sync_dir(segments.dir())).map_err(classify("place"))?;
        kill_point!(SegmentBegun);
        let Active { sequence, length: full, .. } = self.active;
        let full = Sealed { sequence, last_number: self.next_number - 1, length: full };
        segments.turn(full, header.sequence).map_err(classify("name"))?;
        self.active = Active { file, sequence: header.sequence, salt: header.salt, length, end: FIRST_FRAME };
        Ok(())
    }

    /// Tells the manifest that this is the end of the log, so that a loss of it is noticed.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.segments.close_after(self.last_number())
    }
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

/// Makes the first segment and the manifest of a new log.
pub(super) fn create(files: &dyn FileLayer, dir: &Path, segment_bytes: u64) -> Result<(), OpenError> {
    let draw = || files.random().map_err(OpenError::io("draw a random number for", dir));
    let length = segments::short(segment_bytes).max(FIRST_FRAME);
    let header = segment::Header { store: draw()?, sequence: 1, first_number: 1, salt: draw()?, length };
    let path = segment::path(dir, 1);
    let file = files.open(&path, Open::CreateNew).map_err(OpenError::io("create", &path))?;
    file.allocate(length).and_then(|()| segments::write_out(file.as_ref(), length)).map_err(OpenError::io("allocate", &path))?;
    file.write_all_at(&header.encode(), 0).map_err(OpenError::io("write", &path))?;
    file.sync().map_err(OpenError::io("sync", &path))?;
    ManifestFile::create(
        files,
        dir,
        Manifest { generation: 0, store: header.store, first_segment: 1, first_number: 1, newest_segment: 1, closed_after: None },
    )?;
    files.sync_dir(dir).map_err(OpenError::io("sync", dir))
}
