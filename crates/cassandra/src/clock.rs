//! The driver's only clock: deadlines, and how long a claim is good.

use std::time::Instant;

/// Now, by a clock that never goes back.
#[expect(clippy::disallowed_methods, reason = "an edge: how long a request may take and a claim is good cannot be handed in")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
