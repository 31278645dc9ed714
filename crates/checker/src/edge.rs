//! The only clock here: how long ago something began.

use std::time::Instant;

/// Tells nanoseconds since it was made. Never goes back.
#[derive(Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the edge: a recorder's times begin here")]
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    #[expect(clippy::disallowed_methods, reason = "the edge: the only clock of a history")]
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).expect("no run lasts for 584 years")
    }
}
