//! The clock: everything in a benchmark is read off it. The only place that reads one.

#![expect(clippy::disallowed_methods, reason = "a benchmark is made of clocks")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// This moment.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// How long since `then`.
pub(crate) fn since(then: Instant) -> Duration {
    then.elapsed()
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

/// Blocks this thread until `due`, which a pacer does on a thread of its own.
pub(crate) fn sleep_until(due: Instant) {
    std::thread::sleep(due.saturating_duration_since(now()));
}

/// Blocks this thread for a moment, between two looks at something that tells nobody.
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}
