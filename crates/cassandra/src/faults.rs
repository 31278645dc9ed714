//! Faults that tests set.

use std::sync::{Mutex, PoisonError};

use crate::CassandraKv;

/// What the next commit is to do.
#[derive(Default)]
pub(crate) struct Faults {
    parts_max: Mutex<Option<usize>>,
}

impl Faults {
    pub(crate) fn take_parts_max(&self) -> Option<usize> {
        self.parts_max.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl CassandraKv {
    /// Makes the next commit stop after so many partitions.
    pub fn stop_after(&self, partitions: usize) {
        *self.faults.parts_max.lock().unwrap_or_else(PoisonError::into_inner) = Some(partitions);
    }

    /// Ends the renewal of the claim, as if the process had been stopped; and then begins it again.
    pub fn renew(&mut self, renewed: bool) {
        self.keeper.abort();
        if renewed {
            let kept = std::sync::Arc::clone(&self.store);
            let runtime = self.runtime.as_ref().expect("it is there until it is dropped");
            self.keeper = runtime.spawn(async move { kept.claim.keep().await }).abort_handle();
        }
    }
}
