//! The store at work: the way of a commit.
//!
//! A commit is written to the log and synced, then its rows go to memtables, where readers see
//! them. Everything else can wait for the threads in `background`. Must not know: how a store is
//! opened.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use super::abort::AbortSwitch;
use super::frame::Frame;
use super::log::{AppendError, Log};
use super::options::EmbeddedOptions;
use super::room::Room;
use super::segments::Segments;
use super::trees::Trees;
use super::work::Work;
use crate::kv::{CommitError, Row, Status};

/// With more unmerged files of a table than this, all of which every read must look into,
/// commits are slowed down, the more the more there are, so that merging keeps up.
const SLOW_TOP_FILES: usize = 10;

/// How much slower a commit is for each such file beyond, nanoseconds a byte. With ten of them
/// it is a rate of 25 MB a second, which merging keeps up with on a slow machine.
const SLOW_NS_PER_BYTE: u64 = 4;

/// A commit is slowed down by at most this. Less, if files were merged meanwhile.
const SLOW_MOST_MS: u64 = 100;

/// With this many unmerged files commits wait until there are fewer.
const MAX_TOP_FILES: usize = 40;

/// How long a committer waits before it looks again whether it still has to.
const WAIT_MS: u64 = 100;

/// How long to wait for a merge to end that was told to.
const MERGE_END_MS: u64 = 2_000;

/// A reserved commit waits so often for the flusher to go through all its work, which may give
/// back room.
const RESERVED_ROUNDS: u32 = 4;

/// Whether a commit may use what is kept aside for a full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Ordinary,
    Reserved,
}

/// An open store.
pub(super) struct Engine {
    pub(super) trees: Trees,
    log: Mutex<Log>,
    pub(super) segments: Arc<Segments>,
    pub(super) room: Room,
    pub(super) work: Work,
    pub(super) abort: AbortSwitch,
    options: EmbeddedOptions,
    /// Why nothing more is written.
    stopped: OnceLock<String>,
}

impl Engine {
    pub(super) fn new(trees: Trees, log: Log, room: Room, abort: AbortSwitch, options: EmbeddedOptions) -> Self {
        let segments = Arc::clone(log.segments());
        let log = Mutex::new(log);
        Self { trees, log, segments, room, work: Work::default(), abort, options, stopped: OnceLock::new() }
    }

    /// Why nothing more is written, if so.
    fn stopped(&self) -> Result<(), CommitError> {
        self.stopped.get().map_or(Ok(()), |why| Err(CommitError::Stopped(why.clone())))
    }

    /// Takes no more commits from now on.
    pub(super) fn stop(&self, why: String) -> CommitError {
        let why = self.stopped.get_or_init(|| why).clone();
        self.work.tell_done();
        CommitError::Stopped(why)
    }

    /// Whether ordinary commits would be taken now.
    pub(super) fn status(&self) -> Status {
        if let Some(why) = self.stopped.get() {
            return Status::Stopped(why.clone());
        }
        let full = self.room.full().or_else(|| self.room.no_merge().filter(|_| self.is_behind()));
        full.map_or(Status::Ready, Status::Full)
    }

    fn lock_log(&self) -> Result<MutexGuard<'_, Log>, CommitError> {
        // A panic between the log and the memtables leaves rows that are durable and not seen.
        self.log.lock().map_err(|_| self.stop("an earlier commit did not come to its end".to_owned()))
    }

    /// Writes rows.
    pub(super) fn commit(&self, rows: &[Row], class: Class) -> Result<(), CommitError> {
        if rows.is_empty() {
            return self.stopped();
        }
        let mut frame = Frame::new(rows).map_err(CommitError::Refused)?;
        let mut log = self.lock_log()?;
        self.stopped()?;
        if class == Class::Ordinary {
            self.require_room()?;
        }
        self.wait_for_threads(class)?;
        self.slow_down(frame.len());
        let segment = log.active_sequence();
        let number = self.append(&mut log, &mut frame, class)?;
        self.trees.apply(number, frame.payload(), None).map_err(|what| self.stop(what))?;
        let turned = log.active_sequence() != segment;
        self.seal_memtables(turned);
        Ok(())
    }

    /// Refuses when there is too little room.
    fn require_room(&self) -> Result<(), CommitError> {
        let was_full = self.room.full().is_some();
        self.room.check().map_err(|why| {
            if !was_full {
                // What is in memory needs room too, and there still is some.
                self.seal_all();
            }
            self.work.ask_flush();
            CommitError::Refused(why)
        })
    }

    fn append(&self, log: &mut Log, frame: &mut Frame, class: Class) -> Result<u64, CommitError> {
        if self.room.full().is_some() && !log.fits(frame) {
            // What room there is goes to tables first: then the log gives back its own, while a
            // log that took it all would have no end.
            let round = self.work.rounds();
            self.seal_all();
            self.wait_for_round(round);
        }
        let mut waits = 0;
        loop {
            let round = self.work.rounds();
            let error = match log.append(frame) {
                Ok(number) => return Ok(number),
                Err(AppendError::Broken(why)) => return Err(self.stop(why)),
                Err(AppendError::NoRoom(error)) => error,
            };
            self.room.note_full("no room for the log", &error);
            if class == Class::Reserved && (self.end_merges("no room for the log") || self.room.give_up_reserve()) {
                continue;
            }
            if class == Class::Ordinary || waits == RESERVED_ROUNDS {
                self.work.ask_flush();
                return Err(CommitError::Refused(format!("no room for the log: {error}")));
            }
            waits += 1;
            self.seal_all();
            self.wait_for_round(round);
        }
    }

    /// Takes from merges the room that they take. Returns whether there may have been such.
    pub(super) fn end_merges(&self, why: &str) -> bool {
        if self.room.no_merge().is_some() {
            return false;
        }
        self.room.note_no_merge(why);
        self.abort.throw_for_room(true);
        self.work.wait_no_merge(Duration::from_millis(MERGE_END_MS));
        // Asked again for how much room there is without them.
        self.room.note_no_merge(why);
        true
    }

    /// Waits until the flusher did all it could with what is sealed now.
    fn wait_for_round(&self, round: u64) {
        self.work.ask_flush();
        // The round that is under way may not have seen it.
        self.work.wait_round(round.saturating_add(2), Duration::from_millis(WAIT_MS));
    }

    /// Whether a commit must wait for the threads behind it.
    fn is_behind(&self) -> bool {
        let (active, sealed) = self.trees.memtable_bytes();
        let full = active + sealed > self.options.memtable_bytes && sealed > 0;
        full || self.trees.most_top_files() >= MAX_TOP_FILES
    }

    /// Lets merging catch up, before it would have to be waited for.
    fn slow_down(&self, bytes: u64) {
        let beyond = self.trees.most_top_files().saturating_sub(SLOW_TOP_FILES) as u64;
        if beyond > 0 {
            let pause = Duration::from_nanos(beyond * SLOW_NS_PER_BYTE * bytes);
            self.work.wait_done(self.work.done_so_far(), pause.min(Duration::from_millis(SLOW_MOST_MS)));
        }
    }

    /// Waits while the memtables are full, or files come faster than they are merged.
    fn wait_for_threads(&self, class: Class) -> Result<(), CommitError> {
        let mut waits = 0;
        loop {
            let so_far = self.work.done_so_far();
            if !self.is_behind() {
                return Ok(());
            }
            self.stopped()?;
            if let Some(why) = self.room.full().or_else(|| self.room.no_merge()) {
                if class == Class::Ordinary || waits == RESERVED_ROUNDS {
                    return Err(CommitError::Refused(why));
                }
                waits += 1;
                self.wait_for_round(self.work.rounds());
            } else {
                self.work.ask_flush();
                self.work.wait_done(so_far, Duration::from_millis(WAIT_MS));
            }
        }
    }

    /// Ends memtables that have grown large, and after a turn to a new segment those that keep
    /// too much of the log.
    fn seal_memtables(&self, turned: bool) {
        let mut sealed = false;
        while self.trees.memtable_bytes().0 > self.options.memtable_bytes / 2 {
            sealed |= self.trees.largest().seal();
        }
        if turned {
            sealed |= self.seal_old_memtables();
        }
        if sealed || turned {
            self.work.ask_flush();
        }
    }

    fn seal_all(&self) -> bool {
        self.trees.all().iter().fold(false, |sealed, tree| sealed | tree.seal())
    }

    fn seal_old_memtables(&self) -> bool {
        let (bytes, oldest) = self.segments.sealed();
        let Some(oldest) = oldest.filter(|_| bytes > self.options.log_bytes) else {
            return false;
        };
        let old = self.trees.all().iter().filter(|tree| tree.oldest_needed().is_some_and(|needed| needed <= oldest));
        old.fold(false, |sealed, tree| sealed | tree.seal())
    }

    /// Writes all memtables to files, so that the log need not be read at the next start.
    pub(super) fn checkpoint(&self) -> Result<(), CommitError> {
        let log = self.lock_log()?;
        self.seal_all();
        drop(log);
        loop {
            self.stopped()?;
            let so_far = self.work.done_so_far();
            if self.trees.memtable_bytes().1 == 0 {
                return Ok(());
            }
            if let Some(why) = self.room.full() {
                return Err(CommitError::Refused(why));
            }
            self.work.ask_flush();
            self.work.wait_done(so_far, Duration::from_millis(WAIT_MS));
        }
    }

    /// Ends the threads, and tells the log that it ends here.
    pub(super) fn close(&self, threads: Vec<std::thread::JoinHandle<()>>) {
        self.abort.throw_for_ever();
        self.work.close();
        for thread in threads {
            // A thread that panicked has no more to do.
            drop(thread.join());
        }
        if self.stopped.get().is_none()
            && let Ok(mut log) = self.log.lock()
        {
            // Without the mark, the next opening takes a lost end for a torn one. It is no more
            // than that, so a failure need not be told.
            drop(log.close());
        }
    }
}
