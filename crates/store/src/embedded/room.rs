//! Room on the disk: whether there is enough for ordinary commits, and the reserve for those
//! that must fit when there is not.
//!
//! Must not know: what is written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::file::{FileLayer, Open};
use super::layout::RESERVE_NAME;
use super::options::EmbeddedOptions;

/// Files that were not merged for want of room are tried again when all else was in order so often.
/// Where bytes are what is missing, they are told by the file system; but a quota, or the number of
/// files, is not.
const MERGE_AFTER: u32 = 8;

#[derive(Debug, Default)]
struct State {
    /// Why there is too little room, if so.
    full: Option<String>,
    /// Why files are not merged, if so.
    no_merge: Option<NoMerge>,
    /// Whether the reserve is there to be given up.
    reserve: bool,
}

#[derive(Debug)]
struct NoMerge {
    why: String,
    /// How much room there was then, bytes.
    free: u64,
    /// How often all else was in order since.
    in_order: u32,
}

/// Watches the room on the file system of a store.
pub(super) struct Room {
    files: Arc<dyn FileLayer>,
    dir: PathBuf,
    low_water_bytes: u64,
    reserve_bytes: u64,
    state: Mutex<State>,
}

impl Room {
    pub(super) fn new(options: &EmbeddedOptions, dir: &Path) -> Self {
        let files = Arc::clone(&options.files);
        // One that is shorter holds less room than it should: it is taken anew.
        let length = files.open(&dir.join(RESERVE_NAME), Open::Read).and_then(|file| file.length());
        let reserve = length.is_ok_and(|length| length >= options.reserve_bytes);
        Self {
            files,
            dir: dir.to_owned(),
            low_water_bytes: options.low_water_bytes,
            reserve_bytes: options.reserve_bytes,
            state: Mutex::new(State { reserve, ..State::default() }),
        }
    }

    /// The directory of the store.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Room that commits need, bytes.
    pub(super) fn low_water_bytes(&self) -> u64 {
        self.low_water_bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for ordinary commits, or why not. Asks the file system.
    pub(super) fn check(&self) -> Result<(), String> {
        let free = self.files.free_bytes(&self.dir).map_err(|error| format!("failed to ask for room: {error}"));
        let mut state = self.state();
        // Room that was too little must have grown by an eighth, lest the answer change with
        // each commit.
        let needed = self.low_water_bytes + if state.full.is_some() { self.low_water_bytes / 8 } else { 0 };
        state.full = match free {
            Ok(free) if free >= needed => None,
            Ok(free) => Some(format!("{free} bytes of room on the disk, {needed} are needed")),
            Err(why) => Some(why),
        };
        state.full.clone().map_or(Ok(()), Err)
    }

    /// Notes that a write found no room, whatever the file system says of it.
    pub(super) fn note_full(&self, what: &str, error: &io::Error) {
        self.state().full = Some(format!("{what}: {error}"));
    }

    /// Why there is too little room, as last seen.
    pub(super) fn full(&self) -> Option<String> {
        self.state().full.clone()
    }

    /// Notes that files are not merged for want of room. Asked when their room was given back.
    pub(super) fn note_no_merge(&self, why: &str) {
        let free = self.files.free_bytes(&self.dir).unwrap_or(0);
        self.state().no_merge = Some(NoMerge { why: why.to_owned(), free, in_order: 0 });
    }

    /// Why files are not merged, if so.
    pub(super) fn no_merge(&self) -> Option<String> {
        self.state().no_merge.as_ref().map(|no_merge| no_merge.why.clone())
    }

    /// Whether files were not merged and may be now: there is more room, or all else was in order
    /// for long enough, `in_order` this time too, for what was missing to have been another thing
    /// than bytes. If so, that is forgotten.
    pub(super) fn may_merge_again(&self, in_order: bool) -> bool {
        let mut state = self.state();
        let Some(no_merge) = &mut state.no_merge else { return false };
        no_merge.in_order += u32::from(in_order);
        let enough = no_merge.free + self.low_water_bytes / 8;
        let again = no_merge.in_order > MERGE_AFTER || self.files.free_bytes(&self.dir).is_ok_and(|free| free > enough);
        if again {
            state.no_merge = None;
        }
        again
    }

    /// Whether there is room for this much beside what commits need.
    pub(super) fn is_for(&self, bytes: u64) -> bool {
        self.files.free_bytes(&self.dir).is_ok_and(|free| free >= self.low_water_bytes + bytes)
    }

    /// Gives up the reserve. Returns whether there was one.
    pub(super) fn give_up_reserve(&self) -> bool {
        let mut state = self.state();
        state.reserve && {
            state.reserve = false;
            self.files.remove(&self.dir.join(RESERVE_NAME)).is_ok()
        }
    }

    /// Whether the reserve is missing.
    pub(super) fn lacks_reserve(&self) -> bool {
        self.reserve_bytes > 0 && !self.state().reserve
    }

    /// Takes the reserve if it is missing and there is room for it and as much again. It comes
    /// before room for ordinary commits.
    pub(super) fn take_reserve(&self) -> io::Result<()> {
        let path = self.dir.join(RESERVE_NAME);
        let mut state = self.state();
        if state.reserve || self.reserve_bytes == 0 {
            return Ok(());
        }
        if self.files.free_bytes(&self.dir)? < 2 * self.reserve_bytes {
            return Ok(());
        }
        let file = match self.files.open(&path, Open::CreateNew) {
            // It could not be removed, or is too short.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.files.open(&path, Open::Write)?,
            other => other?,
        };
        if let Err(error) = file.allocate(self.reserve_bytes).and_then(|()| file.sync()) {
            self.files.remove(&path)?;
            return Err(error);
        }
        state.reserve = true;
        Ok(())
    }
}
