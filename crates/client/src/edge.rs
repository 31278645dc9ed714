//! The edge of the SDK: the only place that reads clocks and makes random bytes.

use std::time::{SystemTime, UNIX_EPOCH};

use chirrup_core::ids::{ClientId, Time};
use tokio::time::Instant;

/// Now, by the wall clock, milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the edge")]
pub(crate) fn wall_ms() -> Time {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Random bytes from the operating system.
#[expect(clippy::disallowed_methods, reason = "the edge")]
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// A clock that does not jump, from its making on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the edge")]
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds since its making.
    #[expect(clippy::disallowed_methods, reason = "the edge")]
    pub(crate) fn now_ms(&self) -> u64 {
        Instant::now().duration_since(self.0).as_millis() as u64
    }

    /// The instant of such a time.
    pub(crate) fn at(&self, ms: u64) -> Instant {
        self.0 + std::time::Duration::from_millis(ms)
    }
}

/// A new client id: UUID version 7 (RFC 9562, section 5.7).
pub fn new_client_id() -> ClientId {
    let mut bytes = random::<16>();
    bytes[..6].copy_from_slice(&wall_ms().to_be_bytes()[2..]);
    bytes[6] = (bytes[6] & 0x0f) | 0x70;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    ClientId(bytes)
}
