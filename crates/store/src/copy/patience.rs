//! Asking again a store that does not answer, so long as nobody has said to stop.

use std::sync::{Condvar, Mutex, PoisonError};

use super::limits::{PAUSE, TRIES};
use crate::kv::{CommitError, Kv, ReadError, Row};

/// How long to wait for a store, and whether to stop: for all threads of a copy.
#[derive(Default)]
pub(super) struct Patience {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Patience {
    /// Ends all waiting: whoever works ends at the next step.
    pub(super) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the store alone for a while. Whether to ask again.
    fn pause(&self) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(stopped, PAUSE, |stopped| !*stopped);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// What a read gives, however often the store has to be asked, within limits.
    pub(super) fn read<T>(&self, mut read: impl FnMut() -> Result<T, ReadError>) -> Result<T, ReadError> {
        let mut tries = 1;
        loop {
            match read() {
                Err(ReadError::Unavailable(_)) if tries < TRIES && self.pause() => tries += 1,
                other => return other,
            }
        }
    }

    /// Writes rows, the very same ones again while it is unknown what became of them.
    pub(super) fn commit(&self, kv: &dyn Kv, rows: &[Row]) -> Result<(), CommitError> {
        let mut tries = 1;
        loop {
            match kv.commit(rows) {
                Err(CommitError::Unknown(_)) if tries < TRIES && self.pause() => tries += 1,
                other => return other,
            }
        }
    }
}
