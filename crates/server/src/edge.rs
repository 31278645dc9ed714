//! The edge of the deterministic world: the only place of the server that reads clocks and makes
//! random bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chirrup_core::aggregate::Stamp;
use chirrup_core::hash::{Salt, ServerKey};
use chirrup_core::ids::Time;

/// Now, by the wall clock, milliseconds since 1970; 0 if the clock stands before that. Shown to
/// people, never a reason for an order.
#[expect(clippy::disallowed_methods, reason = "the edge")]
pub fn now_ms() -> Time {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// A point in time from which waiting is measured: does not jump with the wall clock.
#[expect(clippy::disallowed_methods, reason = "the edge")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// Makes stamps for commands: the time, and salts from a keyed counter (a system call for each
/// would cost more than the hash).
pub struct Stamps {
    key: ServerKey,
    counter: AtomicU64,
}

impl Default for Stamps {
    fn default() -> Self {
        Self { key: ServerKey(random()), counter: AtomicU64::new(0) }
    }
}

impl Stamps {
    /// The next stamp.
    pub fn next(&self) -> Stamp {
        let n = self.counter.fetch_add(1, Ordering::Relaxed);
        Stamp { time: now_ms(), salt: Salt(self.key.id("salt", &[&n.to_le_bytes()])) }
    }
}
