//! The only clock here: how long a server took to serve.

use std::time::{Duration, Instant};

/// Tells how long ago it was made.
#[derive(Debug)]
pub(crate) struct Watch(Instant);

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "the edge: starts are timed")]
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    #[expect(clippy::disallowed_methods, reason = "the edge: starts are timed")]
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
