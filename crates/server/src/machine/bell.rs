//! Wakes a thread of the machine that sleeps until there is something to do.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Rung by whoever has work for its thread; rings that come while it works are one.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    waiting: Condvar,
}

impl Bell {
    /// Wakes the thread, or keeps it awake.
    pub(super) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.waiting.notify_one();
    }

    /// Sleeps until the bell is rung, but no longer than `patience`.
    pub(super) fn wait(&self, patience: Duration) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        if !*rung {
            rung = self.waiting.wait_timeout(rung, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
        *rung = false;
    }
}
