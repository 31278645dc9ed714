//! What goes on behind the commits: one thread writes memtables to files and keeps the log and
//! the reserve in order, another merges files.
//!
//! Want of room is no failure here: it is noted, and tried again when there is more. Any other
//! error stops the store, for what was acknowledged is safe in the log and a later opening may
//! find the disk in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::engine::Engine;
use super::file::is_no_room;
use super::tables::TablesError;
use super::tree::Tree;

/// How often is tried again what found no room.
const RETRY_MS: u64 = 500;
/// Time between two pieces of a spare segment: the disk is for commits first.
const PIECE_PAUSE_MS: u64 = 4;
/// How far the threads here stand back: a commit that wakes on a core where one of them computes runs
/// at once, rather than after its slice of 3 to 4 ms; on a machine that is busy with nothing else they
/// still get a third of a core's share.
const NICENESS: i32 = 5;

/// Lets other threads of the process go before this one. Without the right to, all stays as it is.
pub(super) fn give_way() {
    // Elsewhere it would be the whole process.
    #[cfg(target_os = "linux")]
    rustix::process::nice(NICENESS).ok();
}

impl Engine {
    /// Runs a thread to its end. Unless the store is being closed, that is a reason to stop it:
    /// nobody would do the thread's work.
    pub(super) fn run(&self, thread: fn(&Self) -> Result<(), String>) {
        let ended = catch_unwind(AssertUnwindSafe(|| thread(self)));
        if let Err(why) = ended.unwrap_or_else(|_| Err("a thread behind the commits panicked".to_owned())) {
            self.stop(why);
        }
        self.work.tell_last_round();
    }

    /// The thread that writes memtables to files and keeps the log and the reserve in order.
    pub(super) fn run_flusher(&self) -> Result<(), String> {
        let mut patience = Some(Duration::ZERO);
        while self.work.next_flush(patience) {
            patience = self.keep_in_order()?.map(Duration::from_millis);
            self.work.tell_round();
        }
        Ok(())
    }

    /// Does what is due. After so many milliseconds there is more to do, or to try again.
    fn keep_in_order(&self) -> Result<Option<u64>, String> {
        let flushed = self.flush_all()?;
        but_for_room(self.segments.trim(self.trees.oldest_needed()), "trim the log")?;
        self.work.tell_done();
        let in_order = flushed && !self.room.lacks_reserve() && self.room.check().is_ok();
        if self.room.may_merge_again(in_order) {
            self.abort.throw_for_room(false);
            self.ask_compact_all();
        }
        if flushed {
            but_for_room(self.room.take_reserve(), "take the reserve")?;
        }
        if self.room.check().is_err() || !flushed {
            but_for_room(self.segments.give_up_spare(), "give up a spare segment")?;
            return Ok(Some(RETRY_MS));
        }
        let is_room = self.room.is_for(self.segments.segment_bytes());
        if but_for_room(self.segments.make_spare(is_room), "make a spare segment")? == Some(false) {
            return Ok(Some(PIECE_PAUSE_MS));
        }
        let complete = !self.room.lacks_reserve() && self.room.full().is_none() && self.room.no_merge().is_none();
        Ok((!complete).then_some(RETRY_MS))
    }

    fn ask_compact_all(&self) {
        for place in 0..self.trees.all().len() {
            self.work.ask_compact(place);
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
                        let more = self.end_merges("no room for tables");
                        clear(tree)?;
                        if !more && !self.room.give_up_reserve() {
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
    pub(super) fn run_compactor(&self) -> Result<(), String> {
        self.ask_compact_all();
        while let Some(place) = self.work.next_compact() {
            self.compact(place)?;
        }
        Ok(())
    }

    fn compact(&self, place: usize) -> Result<(), String> {
        if self.room.no_merge().is_some() {
            // All trees are asked for again when there is room.
            return Ok(());
        }
        let tree = &self.trees.all()[place];
        match tree.merge_files() {
            Ok(true) => {
                self.work.tell_done();
                self.work.ask_compact(place);
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(_) if self.abort.is_thrown() => clear(tree),
            Err(TablesError::Io(error)) if is_no_room(&error) => {
                clear(tree)?;
                self.room.note_no_merge(&format!("no room to merge tables: {error}"));
                self.work.ask_flush();
                Ok(())
            }
            Err(error) => Err(failed("merge", tree, &error)),
        }
    }
}

/// Takes want of room for no failure: there is nothing then.
fn but_for_room<T>(result: std::io::Result<T>, what: &str) -> Result<Option<T>, String> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if is_no_room(&error) => Ok(None),
        Err(error) => Err(format!("failed to {what}: {error}")),
    }
}

/// Removes what a failed write left behind.
fn clear(tree: &Tree) -> Result<(), String> {
    tree.remove_litter().map_err(|error| failed("clear", tree, &TablesError::Io(error)))
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
