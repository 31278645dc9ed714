//! The store at work: the way of a commit, and what the background threads do for it.
//!
//! A commit is written to the log and synced, then its rows go to memtables, where readers see
//! them. Everything else can wait: memtables are written to files by one thread, files are
//! merged by another. Must not know: how a store is opened.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use super::abort::AbortSwitch;
use super::file::is_no_room;
use super::frame::Frame;
use super::log::{AppendError, Log, Segments};
use super::options::EmbeddedOptions;
use super::room::Room;
use super::tables::TablesError;
use super::tree::Tree;
use super::trees::Trees;
use super::work::Work;
use crate::kv::{CommitError, Row, Status};

/// With more unmerged files of a table than this, all of which every read must look into,
/// commits are slowed down, the more the more there are, so that merging keeps up.
const SLOW_TOP_FILES: usize = 10;

/// How much slower a commit is for each such file beyond, nanoseconds a byte. With ten of them
/// it is a rate of 25 MB a second, which merging keeps up with on a slow machine.
const SLOW_NS_PER_BYTE: u64 = 4;

/// A commit is slowed down by at most this.
const SLOW_MOST_MS: u64 = 100;

/// With this many unmerged files commits wait until there are fewer.
const MAX_TOP_FILES: usize = 40;

/// How long a committer waits before it looks again whether it still has to.
const WAIT_MS: u64 = 100;

/// How often the threads try again what found no room, or what is still missing.
const RETRY_MS: u64 = 500;

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
    segments: Arc<Segments>,
    pub(super) room: Room,
    work: Work,
    abort: AbortSwitch,
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

    fn stop(&self, why: String) -> CommitError {
        let why = self.stopped.get_or_init(|| why).clone();
        self.work.tell_done();
        CommitError::Stopped(why)
    }

    /// Whether ordinary commits would be taken now.
    pub(super) fn status(&self) -> Status {
        match self.stopped.get() {
            Some(why) => Status::Stopped(why.clone()),
            None => self.room.full().map_or(Status::Ready, Status::Full),
        }
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
        if class == Class::Ordinary
            && let Err(why) = self.room.check()
        {
            self.work.ask_flush();
            return Err(CommitError::Refused(why));
        }
        self.wait_for_threads()?;
        self.slow_down(frame.len());
        let segment = log.active_sequence();
        let number = self.append(&mut log, &mut frame, class)?;
        self.trees.apply(number, frame.payload(), None).map_err(|what| self.stop(what))?;
        let turned = log.active_sequence() != segment;
        self.seal_memtables(turned);
        Ok(())
    }

    fn append(&self, log: &mut Log, frame: &mut Frame, class: Class) -> Result<u64, CommitError> {
        loop {
            match log.append(frame) {
                Ok(number) => return Ok(number),
                Err(AppendError::Broken(why)) => return Err(self.stop(why)),
                Err(AppendError::NoRoom(error)) => {
                    self.room.note_full("no room for the log", &error);
                    if class == Class::Ordinary || !self.room.give_up_reserve() {
                        self.work.ask_flush();
                        return Err(CommitError::Refused(format!("no room for the log: {error}")));
                    }
                }
            }
        }
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
            std::thread::sleep(pause.min(Duration::from_millis(SLOW_MOST_MS)));
        }
    }

    /// Waits while the memtables are full, or files come faster than they are merged.
    fn wait_for_threads(&self) -> Result<(), CommitError> {
        loop {
            let so_far = self.work.done_so_far();
            if !self.is_behind() {
                return Ok(());
            }
            self.stopped()?;
            if let Some(why) = self.room.full() {
                return Err(CommitError::Refused(why));
            }
            self.work.ask_flush();
            self.work.wait_done(so_far, Duration::from_millis(WAIT_MS));
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

    fn seal_old_memtables(&self) -> bool {
        let (segments, oldest) = self.segments.sealed();
        let Some(oldest) = oldest.filter(|_| segments as u64 * self.options.segment_bytes > self.options.log_bytes) else {
            return false;
        };
        let old = self.trees.all().iter().filter(|tree| tree.oldest_needed().is_some_and(|needed| needed <= oldest));
        old.fold(false, |sealed, tree| sealed | tree.seal())
    }

    /// Writes all memtables to files, so that the log need not be read at the next start.
    pub(super) fn checkpoint(&self) -> Result<(), CommitError> {
        let log = self.lock_log()?;
        for tree in self.trees.all() {
            tree.seal();
        }
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

    /// The thread that writes memtables to files and keeps the log and the reserve in order.
    pub(super) fn run_flusher(&self) {
        let mut patience = Some(Duration::ZERO);
        while self.work.next_flush(patience) {
            let complete = match self.keep_in_order() {
                Ok(complete) => complete,
                Err(why) => {
                    self.stop(why);
                    return;
                }
            };
            self.work.tell_done();
            patience = (!complete).then_some(Duration::from_millis(RETRY_MS));
        }
    }

    /// Does what is due. `false` if something must be tried again.
    fn keep_in_order(&self) -> Result<bool, String> {
        let room = self.room.check().is_ok();
        let flushed = self.flush_all()?;
        self.segments.trim(self.trees.oldest_needed()).map_err(|error| format!("failed to trim the log: {error}"))?;
        self.work.tell_done();
        if !room || !flushed {
            return Ok(false);
        }
        self.without_room(self.segments.make_spare(), "make a spare segment")?;
        self.without_room(self.room.take_reserve(), "take the reserve")?;
        Ok(!self.room.lacks_reserve())
    }

    /// Takes want of room for no failure.
    fn without_room(&self, result: std::io::Result<()>, what: &str) -> Result<(), String> {
        match result {
            Err(error) if !is_no_room(&error) => Err(format!("failed to {what}: {error}")),
            _ => Ok(()),
        }
    }

    /// `false` if there was no room.
    fn flush_all(&self) -> Result<bool, String> {
        for (place, tree) in self.trees.all().iter().enumerate() {
            loop {
                match tree.flush() {
                    Ok(false) => break,
                    Ok(true) => self.work.ask_compact(place),
                    Err(TablesError::Io(error)) if is_no_room(&error) => {
                        self.room.note_full("no room for tables", &error);
                        self.work.ask_compact(place);
                        if !self.room.give_up_reserve() {
                            return Ok(false);
                        }
                    }
                    Err(error) => return Err(failed("write", tree, &error)),
                }
                self.work.tell_done();
            }
        }
        Ok(true)
    }

    /// The thread that merges files.
    pub(super) fn run_compactor(&self) {
        for place in 0..self.trees.all().len() {
            self.work.ask_compact(place);
        }
        while let Some(place) = self.work.next_compact() {
            if let Err(why) = self.compact(place) {
                self.stop(why);
                return;
            }
        }
    }

    fn compact(&self, place: usize) -> Result<(), String> {
        let tree = &self.trees.all()[place];
        tree.remove_litter().map_err(|error| failed("clear", tree, &TablesError::Io(error)))?;
        match tree.merge_files() {
            Ok(true) => {
                self.work.tell_done();
                self.work.ask_compact(place);
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(_) if self.abort.is_thrown() => Ok(()),
            Err(TablesError::Io(error)) if is_no_room(&error) => {
                // The next flush, which needs room too, asks again.
                self.room.note_full("no room to merge tables", &error);
                tree.remove_litter().map_err(|error| failed("clear", tree, &TablesError::Io(error)))
            }
            Err(error) => Err(failed("merge", tree, &error)),
        }
    }

    /// Ends the threads, and tells the log that it ends here.
    pub(super) fn close(&self, threads: Vec<std::thread::JoinHandle<()>>) {
        self.abort.throw();
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

fn failed(what: &str, tree: &Tree, error: &TablesError) -> String {
    match error {
        TablesError::Io(error) => format!("failed to {what} {}: {error}", tree.path().display()),
        TablesError::Damaged(damage) => {
            format!(
                "failed to {what} {}: damaged file {} at byte {}: {}",
                tree.path().display(),
                damage.path.display(),
                damage.offset,
                damage.what
            )
        }
    }
}
