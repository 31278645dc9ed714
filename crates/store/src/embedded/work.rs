//! What the committer asks of the background threads, and what it waits for.
//!
//! Must not know: what the work is.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
struct State {
    flush: bool,
    /// Trees, by place, whose files may have to be merged.
    compact: BTreeSet<usize>,
    /// Whether files of a tree are being merged.
    merging: bool,
    closing: bool,
    /// Counts the times that memtables were let go, or files merged.
    done: u64,
    /// Counts the times that the flusher did all it could.
    rounds: u64,
}

/// The signals between committers and background threads.
#[derive(Debug, Default)]
pub(super) struct Work {
    state: Mutex<State>,
    asked: Condvar,
    done: Condvar,
}

impl Work {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment or one entry.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for sealed memtables to be written, and for what else keeps the log short.
    pub(super) fn ask_flush(&self) {
        self.state().flush = true;
        self.asked.notify_all();
    }

    /// Asks for a look at whether the files of a tree should be merged.
    pub(super) fn ask_compact(&self, tree: usize) {
        self.state().compact.insert(tree);
        self.asked.notify_all();
    }

    /// Asks all threads to end.
    pub(super) fn close(&self) {
        self.state().closing = true;
        self.asked.notify_all();
        self.done.notify_all();
    }

    /// Waits until a flush is asked for or `patience` is over. `false` when closing.
    pub(super) fn next_flush(&self, patience: Option<Duration>) -> bool {
        let mut state = self.state();
        while !state.flush && !state.closing {
            match patience {
                None => state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    state = self.asked.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
                    break;
                }
            }
        }
        state.flush = false;
        !state.closing
    }

    /// Waits until a tree is to be looked at; the one before was. `None` when closing.
    pub(super) fn next_compact(&self) -> Option<usize> {
        let mut state = self.state();
        state.merging = false;
        self.done.notify_all();
        loop {
            if state.closing {
                return None;
            }
            if let Some(tree) = state.compact.pop_first() {
                state.merging = true;
                return Some(tree);
            }
            state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until no tree is being looked at, or `patience` is over.
    pub(super) fn wait_no_merge(&self, patience: Duration) {
        let state = self.state();
        drop(self.done.wait_timeout_while(state, patience, |state| state.merging && !state.closing));
    }

    /// Tells waiting committers that something was done, or that nothing can be.
    pub(super) fn tell_done(&self) {
        self.state().done += 1;
        self.done.notify_all();
    }

    /// How often something was done so far, for `wait_done`.
    pub(super) fn done_so_far(&self) -> u64 {
        self.state().done
    }

    /// Tells waiting committers that the flusher did all it could.
    pub(super) fn tell_round(&self) {
        let mut state = self.state();
        // Another thread may have ended already, which is told as the last round.
        state.rounds = state.rounds.saturating_add(1);
        drop(state);
        self.tell_done();
    }

    /// Tells waiting committers that the flusher has ended.
    pub(super) fn tell_last_round(&self) {
        self.state().rounds = u64::MAX;
        self.tell_done();
    }

    /// How often the flusher did all it could, for `wait_round`.
    pub(super) fn rounds(&self) -> u64 {
        self.state().rounds
    }

    /// Waits until the flusher did all it could for the `round`th time, asking it to; each time
    /// for at most `patience`.
    pub(super) fn wait_round(&self, round: u64, patience: Duration) {
        while self.rounds() < round && !self.state().closing {
            self.ask_flush();
            self.wait_done(self.done_so_far(), patience);
        }
    }

    /// Waits until more was done than `so_far`, or `patience` is over.
    pub(super) fn wait_done(&self, so_far: u64, patience: Duration) {
        let state = self.state();
        let still = |state: &mut State| state.done == so_far && !state.closing;
        drop(self.done.wait_timeout_while(state, patience, still));
    }
}
