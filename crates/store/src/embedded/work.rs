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
    closing: bool,
    /// Counts the times that memtables were let go.
    flushed: u64,
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

    /// Waits until a tree is to be looked at. `None` when closing.
    pub(super) fn next_compact(&self) -> Option<usize> {
        let mut state = self.state();
        loop {
            if state.closing {
                return None;
            }
            if let Some(tree) = state.compact.pop_first() {
                return Some(tree);
            }
            state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tells waiting committers that something was done, or that nothing can be.
    pub(super) fn tell_done(&self) {
        self.state().flushed += 1;
        self.done.notify_all();
    }

    /// How often something was done so far, for `wait_done`.
    pub(super) fn done_so_far(&self) -> u64 {
        self.state().flushed
    }

    /// Waits until more was done than `so_far`, or `patience` is over.
    pub(super) fn wait_done(&self, so_far: u64, patience: Duration) {
        let state = self.state();
        let still = |state: &mut State| state.flushed == so_far && !state.closing;
        drop(self.done.wait_timeout_while(state, patience, still));
    }
}
