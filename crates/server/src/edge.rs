//! The edge of the deterministic world: the only place of the server that reads clocks and makes
//! random bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chirrup_core::aggregate::Stamp;
use chirrup_core::hash::{Salt, ServerKey};
use chirrup_core::ids::{ClientId, Time};

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

/// The same for what tokio waits for; it stands still where a test has paused it.
#[expect(clippy::disallowed_methods, reason = "the edge")]
pub fn monotonic() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// How long ago that was.
#[expect(clippy::disallowed_methods, reason = "the edge")]
pub fn since(instant: Instant) -> std::time::Duration {
    instant.elapsed()
}

/// Random bytes from the operating system.
///
/// # Panics
/// If it has none: nothing can be done safely then.
#[expect(clippy::disallowed_methods, reason = "the edge")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// What a store is known by to those who were given cursors of it: a number that no other has.
pub fn incarnation() -> u64 {
    // A number that JSON keeps exact.
    u64::from_le_bytes(random()) >> 11
}

/// A random number below `bound`, which is above 0; near enough to even for delays.
pub fn below(bound: u64) -> u64 {
    u64::from_le_bytes(random()) % bound
}

/// A client id (UUID, version 7) for a command that the server makes once and does not retry.
pub fn client_id(now_ms: Time) -> ClientId {
    let mut bytes: [u8; 16] = random();
    bytes[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    ClientId(bytes)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_stamps_have_one_salt() {
        let (one, other) = (Stamps::default(), Stamps::default());
        let salts = [one.next().salt, one.next().salt, other.next().salt];
        assert!(salts[0] != salts[1] && salts[0] != salts[2] && salts[1] != salts[2]);
    }

    #[test]
    fn client_ids_are_uuids_that_grow_with_time() {
        let (early, late) = (client_id(1), client_id(1 << 40));
        assert!(early < late);
        let text = late.to_string();
        assert_eq!((&text[14..15], text.len()), ("7", 36));
        assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"));
    }
}
